"""Prune by noise rate: per (given, other) pair the rows that prefer the other class most, found while streaming.

The pair (k, j) may prune its quota of rows labelled k, those with the largest margin p_j - p_k. A row in which no
class beats the given one cannot be flagged, and its margins are not positive; so the positive margins of contested rows
decide every pair that has enough of them. Only where a pair's quota reaches down to margins around zero do other rows
take part in the ranking, and then the pairs concerned are ranked again over all rows of their class.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errata.scores._blocks import BlockReader
from errata.scores._evidence import Evidence, narrowed

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
    >>> pairs, rows = top.finish()
    >>> pairs, rows
    (array([1, 0, 1]), array([2, 3, 4]))
    """

    quota: NDArray[np.int64]
    least: NDArray[Any]
    _parts: list[tuple[NDArray[Any], ...]] = field(default_factory=list)
    _held: int = 0

    def __post_init__(self) -> None:
        self._limit = max(_LEAST_BUFFER, 2 * int(self.quota.sum()))

    @classmethod
    def of_pairs(cls, quota: NDArray[np.int64], least: float, dtype: np.dtype[Any]) -> TopMargins:
        """Return one for (K, K) quotas, with the same least margin for all pairs that have a quota."""
        return cls(quota.reshape(-1), np.where(quota > 0, least, np.inf).astype(dtype).reshape(-1))

    def add(self, pairs: NDArray[np.int64], margins: NDArray[Any], rows: NDArray[np.int64]) -> None:
        """Offer candidates; rows come in ascending order from call to call."""
        self._parts.append((pairs, margins, rows))
        self._held += len(pairs)
        if self._held > self._limit:
            self._compact()

    def finish(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return pair and row of what is kept, by ascending row."""
        self._compact()
        pairs, _, rows = self._parts[0]
        return pairs, rows

    def _compact(self) -> None:
        pairs, margins, rows = (np.concatenate(column) for column in zip(*self._parts))
        order = np.argsort(margins)
        order = order[np.argsort(narrowed(pairs[order], len(self.quota)), kind="stable")]
        sizes = np.bincount(pairs, minlength=len(self.quota))
        full = np.flatnonzero((sizes >= self.quota) & (self.quota > 0))
        least = self.least.copy()  # other threads may be reading the old one
        least[full] = margins[order[np.cumsum(sizes)[full] - self.quota[full]]]
        self.least = least
        keep = margins > least[pairs]
        keep[self._earliest_ties(pairs, margins, keep)] = True
        self._parts = [(pairs[keep], margins[keep], rows[keep])]
        self._held = len(self._parts[0][0])

    def _earliest_ties(
        self, pairs: NDArray[np.int64], margins: NDArray[Any], above: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Return where the candidates are that equal their pair's least margin and still find room, by row."""
        ties = np.flatnonzero(margins == self.least[pairs])
        ties = ties[np.argsort(pairs[ties], kind="stable")]
        of = pairs[ties]
        place = np.arange(len(of)) - np.searchsorted(of, of)
        room = self.quota - np.bincount(pairs[above], minlength=len(self.quota))
        return ties[place < room[of]]


def rows_by_noise_rate(reader: BlockReader, evidence: Evidence, quota: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (N,) which contested rows are among their given class's quota for some other class.

    Three attempts, each for the pairs that the one before has left short of their quota: the leads kept from the first
    reading; all margins of contested rows; all margins of the class.
    """
    wanted = quota.copy()
    np.fill_diagonal(wanted, 0)
    wanted[evidence.counts <= 1] = 0  # a class's last row stays
    flagged = np.zeros(reader.num_rows, bool)
    if evidence.leads is not None and evidence.leads.complete:
        top = TopMargins.of_pairs(wanted, evidence.leads.floor, reader.dtype)
        _offer_leads(evidence, top)
        wanted = _flag(top, wanted, flagged)
    for least, eligible in ((_CLEAR, evidence.contested), (-np.inf, evidence.given >= 0)):
        undecided = np.bincount(evidence.given[evidence.contested & ~flagged], minlength=len(wanted)) > 0
        wanted[~undecided] = 0
        if wanted.any():
            top = TopMargins.of_pairs(wanted, least, reader.dtype)
            _stream(reader, evidence, top, eligible & wanted.any(axis=1)[evidence.given])
            wanted = _flag(top, wanted, flagged)
    return flagged & evidence.contested


def _flag(top: TopMargins, wanted: NDArray[np.int64], flagged: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Flag the rows that ``top`` has kept, and return the (K, K) quotas of the pairs it could not fill, 0 for others."""
    pairs, rows = top.finish()
    flagged[rows] = True
    kept = np.bincount(pairs, minlength=wanted.size).reshape(wanted.shape)
    return np.where(kept < wanted, wanted, 0)


def _offer_leads(evidence: Evidence, top: TopMargins) -> None:
    """Offer to ``top`` the leads of the first reading.

    The predicted classes' leads alone go first, in a trial that raises the least margin of most pairs to near where it
    ends, so that nearly all the others can be passed over.
    """
    num_classes = len(evidence.counts)
    rows = np.flatnonzero(evidence.contested)
    pairs = evidence.given[rows].astype(np.int64) * num_classes + evidence.predicted[rows]
    margins = evidence.rival_prob[rows] - evidence.own[rows]
    good = np.flatnonzero(margins >= top.least[pairs])
    trial = TopMargins(top.quota, top.least)
    trial.add(pairs[good], margins[good], rows[good])
    trial.finish()
    top.least = trial.least
    for positions, margins in evidence.leads.parts if evidence.leads else ():
        rows, other = np.divmod(positions, num_classes)
        pairs = evidence.given[rows].astype(np.int64) * num_classes + other
        good = np.flatnonzero(margins >= top.least[pairs])
        top.add(pairs[good], margins[good], rows[good])


def _stream(reader: BlockReader, evidence: Evidence, top: TopMargins, chosen: NDArray[np.bool_]) -> None:
    """Offer to ``top`` every margin of the chosen rows that it has a use for."""
    num_classes = reader.num_classes

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
