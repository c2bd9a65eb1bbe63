"""Prune by noise rate: per (given, other) pair the rows that prefer the other class most, found while streaming.

The pair (k, j) may prune its quota of rows labelled k, those with the largest margin p_j - p_k. A row in which no class
beats the given one cannot be flagged, and its margins are not positive; so the positive margins of contested rows decide
every pair that has enough of them. Only where a pair's quota reaches down to margins around zero do other rows take
part in the ranking, and then the pairs concerned are ranked again over all rows of their class.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errata.scores._blocks import BlockReader
from errata.scores._evidence import Evidence

_CLEAR = 3e-6
"""Above this, a margin belongs to a contested row for certain, whatever the rounding."""

_LEAST_BUFFER = 2**18


@dataclass
class TopMargins:
    """The rows with the largest margins of each pair, as many as the pair's quota, from a stream of candidates.

    Of equal margins the earlier row is taken. What is held is at most a small multiple of the quotas' sum.

    Parameters
    ----------
    quota : (P,) int, how many rows to keep of each pair
    least : (P,) float, candidates below it are of no interest

    Examples
    --------
    >>> top = TopMargins(np.array([1, 2]), np.array([0.0, 0.0]))
    >>> top.add(np.array([0, 1, 1, 0, 1]), np.array([0.3, 0.2, 0.9, 0.4, 0.5]), np.arange(5))
    >>> pairs, margins, rows = top.finish()
    >>> list(zip(pairs.tolist(), rows.tolist()))
    [(0, 3), (1, 2), (1, 4)]
    """

    quota: NDArray[np.int64]
    least: NDArray[Any]
    _parts: list[tuple[NDArray[Any], ...]] = field(default_factory=list)
    _held: int = 0

    def __post_init__(self) -> None:
        self._limit = max(_LEAST_BUFFER, 2 * int(self.quota.sum()))

    def add(self, pairs: NDArray[np.int64], margins: NDArray[Any], rows: NDArray[np.int64]) -> None:
        """Offer candidates; rows come in ascending order from call to call."""
        self._parts.append((pairs, margins, rows))
        self._held += len(pairs)
        if self._held > self._limit:
            self._compact()

    def finish(self) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]:
        """Return pair, margin and row of what is kept, by pair and then from the largest margin down."""
        self._compact()
        pairs, margins, rows = self._parts[0]
        return pairs, margins, rows

    def _compact(self) -> None:
        pairs, margins, rows = (np.concatenate(column) for column in zip(*self._parts))
        order = np.lexsort((-margins, pairs))  # stable, so earlier rows stay before later ones
        pairs, margins, rows = pairs[order], margins[order], rows[order]
        sizes = np.bincount(pairs, minlength=len(self.quota))
        first = np.cumsum(sizes) - sizes
        full = np.flatnonzero((sizes >= self.quota) & (self.quota > 0))
        least = self.least.copy()  # other threads may be reading the old one
        least[full] = np.maximum(least[full], margins[first[full] + self.quota[full] - 1])
        self.least = least
        keep = np.arange(len(pairs)) - first[pairs] < self.quota[pairs]
        self._parts = [(pairs[keep], margins[keep], rows[keep])]
        self._held = len(self._parts[0][0])


def rows_by_noise_rate(
    reader: BlockReader, evidence: Evidence, quota: NDArray[np.int64], contested: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return (N,) which contested rows are among their given class's quota for some other class."""
    num_classes = evidence.num_classes
    wanted = quota.copy()
    np.fill_diagonal(wanted, 0)
    wanted[evidence.counts() <= 1] = 0  # a class's last row stays
    flat = wanted.reshape(-1)
    least = np.where(flat > 0, _CLEAR, np.inf).astype(reader.dtype)
    top = TopMargins(flat, _raise_by_rivals(evidence, flat, least, contested))
    _stream(reader, evidence, top, contested)
    pairs, _, rows = top.finish()
    flagged = np.zeros(reader.num_rows, bool)
    flagged[rows] = True

    short = flat > np.bincount(pairs, minlength=flat.size)
    open_rows = contested & ~flagged
    short_by_class = short.reshape(num_classes, num_classes)
    short_by_class[np.bincount(evidence.given[open_rows], minlength=num_classes) == 0] = False
    if short.any():
        top = TopMargins(np.where(short, flat, 0), np.where(short, -np.inf, np.inf).astype(reader.dtype))
        _stream(reader, evidence, top, (evidence.given >= 0) & short_by_class.any(axis=1)[evidence.given])
        flagged[top.finish()[2]] = True
    return flagged & contested


def _raise_by_rivals(
    evidence: Evidence, quota: NDArray[np.int64], least: NDArray[Any], contested: NDArray[np.bool_]
) -> NDArray[Any]:
    """Return ``least`` raised to what each pair's quota needs among the rows whose strongest class is the other one.

    This is known without reading the probabilities again, and keeps nearly all other candidates out of the stream.
    """
    top = TopMargins(quota, least)
    rows = np.flatnonzero(contested)
    pairs = evidence.given[rows].astype(np.int64) * evidence.num_classes + evidence.rival[rows]
    margins = evidence.rival_prob[rows] - evidence.own[rows]
    good = margins >= least[pairs]
    top.add(pairs[good], margins[good], rows[good])
    top.finish()
    return top.least


def _stream(reader: BlockReader, evidence: Evidence, top: TopMargins, chosen: NDArray[np.bool_]) -> None:
    """Offer to ``top`` every margin of the chosen rows that it has a use for."""
    num_classes = evidence.num_classes

    def work(start: int, stop: int) -> tuple[NDArray[Any], ...]:
        local = np.flatnonzero(chosen[start:stop])
        rows = start + local
        given = evidence.given[rows].astype(np.int64)
        margins = reader.take(start, stop, local)
        margins -= evidence.own[rows, None]
        margins[np.arange(len(rows)), given] = -np.inf  # the given class is no rival of itself
        found = np.flatnonzero(margins >= top.least.reshape(num_classes, num_classes)[given])
        at, other = np.divmod(found, num_classes)
        return given[at] * num_classes + other, margins.reshape(-1)[found], rows[at]

    for part in reader.map(work):
        top.add(*part)
