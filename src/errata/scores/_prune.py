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

from errata.scores.blocks import BlockReader
from errata.scores.evidence import Evidence, narrowed

_CLEAR = 3e-6
"""Above this, a margin belongs to a contested row for certain, whatever the rounding."""

_LEAST_BUFFER = 2**18
_PART_ROWS = 2**16


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
    >>> sorted(zip(pairs.tolist(), rows.tolist()))
    [(0, 3), (1, 2), (1, 4)]
    """

    quota: NDArray[np.int64]
    least: NDArray[Any]
    _parts: list[tuple[NDArray[Any], ...]] = field(default_factory=list)
    _held: int = 0

    def __post_init__(self) -> None:
        self._limit = max(_LEAST_BUFFER, 2 * int(self.quota.sum()))
        self.least = np.where(self.quota > 0, self.least, self.least.dtype.type(np.inf))

    @classmethod
    def of_pairs(cls, quota: NDArray[np.int64], least: float, dtype: np.dtype[Any]) -> TopMargins:
        """Return one for (K, K) quotas, with the same least margin for all pairs that have a quota."""
        return cls(quota.reshape(-1), np.full(quota.size, least, dtype))

    def add(self, pairs: NDArray[np.int64], margins: NDArray[Any], rows: NDArray[np.int64]) -> None:
        """Offer candidates, each pair and row at most once; what is below ``least`` should be left out."""
        self._parts.append((pairs, margins, rows))
        self._held += len(pairs)
        if self._held > self._limit:
            self.settle()

    def finish(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return pair and row of what is kept."""
        self.settle()
        pairs, _, rows = self._parts[0]
        return pairs, rows

    def settle(self) -> None:
        """Drop what is out of the quotas, and raise ``least`` to the last that is in."""
        pairs, margins, rows = (np.concatenate(column) for column in zip(*self._parts))
        sizes = np.bincount(pairs, minlength=len(self.quota))
        full = np.flatnonzero((sizes >= self.quota) & (self.quota > 0))
        least = self.least.copy()  # other threads may be reading the old one
        least[full] = _sorted_within(pairs, margins, len(self.quota))[np.cumsum(sizes)[full] - self.quota[full]]
        self.least = least
        above = np.flatnonzero(margins > least[pairs])
        keep = np.concatenate([above, self._earliest_ties(pairs, margins, rows, above)])
        self._parts = [(pairs[keep], margins[keep], rows[keep])]
        self._held = len(self._parts[0][0])

    def _earliest_ties(
        self, pairs: NDArray[np.int64], margins: NDArray[Any], rows: NDArray[np.int64], above: NDArray[np.intp]
    ) -> NDArray[np.intp]:
        """Return where the candidates are that equal their pair's least margin and still find room, by row."""
        ties = np.flatnonzero(margins == self.least[pairs])
        ties = ties[np.lexsort((rows[ties], pairs[ties]))]
        of = pairs[ties]
        place = np.arange(len(of)) - np.searchsorted(of, of)
        room = self.quota - np.bincount(pairs[above], minlength=len(self.quota))
        return ties[place < room[of]]


def _sorted_within(pairs: NDArray[np.int64], margins: NDArray[Any], num_pairs: int) -> NDArray[Any]:
    """Return the margins sorted by pair, and ascending within each pair.

    Examples
    --------
    >>> _sorted_within(np.array([1, 0, 1, 1]), np.array([0.5, 0.25, -0.5, -1.0], np.float32), 2)
    array([ 0.25, -1.  , -0.5 ,  0.5 ], dtype=float32)
    """
    if margins.itemsize > 4:
        order = np.argsort(margins)
        return margins[order[np.argsort(narrowed(pairs[order], num_pairs), kind="stable")]]
    # Pair and margin in one 64-bit key: several times faster. A float's bits sort as the float does once the sign bit
    # is turned over, and for negative ones all the others too.
    bits = margins.view(np.uint32)
    turned = bits ^ np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
    keys = np.sort(pairs.astype(np.uint64) << np.uint64(32) | turned)
    turned = keys.astype(np.uint32)
    return (turned ^ np.where(turned >> 31, np.uint32(0x80000000), np.uint32(0xFFFFFFFF))).view(np.float32)


def rows_by_noise_rate(reader: BlockReader, evidence: Evidence, quota: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (N,) which contested rows are among their given class's quota for some other class."""
    wanted = quota.copy()
    np.fill_diagonal(wanted, 0)
    flagged = np.zeros(reader.num_rows, bool)
    top = TopMargins.of_pairs(wanted, _CLEAR, reader.dtype)
    _offer_predicted(evidence, top)
    _offer_all(reader, evidence, top, evidence.contested, but_predicted=True)
    pairs, rows = top.finish()
    flagged[rows] = True

    kept = np.bincount(pairs, minlength=wanted.size).reshape(wanted.shape)
    undecided = np.bincount(evidence.given[evidence.contested & ~flagged], minlength=len(wanted))
    wanted[(kept == wanted) | (undecided.reshape(-1, 1) == 0)] = 0
    if wanted.any():
        top = TopMargins.of_pairs(wanted, -np.inf, reader.dtype)
        _offer_all(reader, evidence, top, (evidence.given >= 0) & (wanted.max(axis=1) > 0)[evidence.given])
        flagged[top.finish()[1]] = True
    return flagged & evidence.contested


def _offer_predicted(evidence: Evidence, top: TopMargins) -> None:
    """Offer to ``top`` the predicted class's margin of each contested row, and let it settle.

    These are known without reading the probabilities again, and are most of what is kept in the end: the least margins
    that they lead to keep nearly all others out.
    """
    for start in range(0, len(evidence.given), _PART_ROWS):
        rows = start + np.flatnonzero(evidence.contested[start : start + _PART_ROWS])
        pairs = evidence.given[rows].astype(np.int64) * len(evidence.counts) + evidence.predicted[rows]
        margins = evidence.rival_prob[rows] - evidence.own[rows]
        good = np.flatnonzero(margins >= top.least[pairs])
        top.add(pairs[good], margins[good], rows[good])
    top.settle()


def _offer_all(
    reader: BlockReader, evidence: Evidence, top: TopMargins, chosen: NDArray[np.bool_], *, but_predicted: bool = False
) -> None:
    """Offer to ``top`` every margin of the chosen rows that it has a use for, except of the given class."""
    num_classes = reader.num_classes

    def work(start: int, stop: int) -> tuple[NDArray[Any], ...]:
        local = np.flatnonzero(chosen[start:stop])
        rows = start + local
        given = evidence.given[rows].astype(np.int64)
        margins = reader.take(start, stop, local)
        margins -= evidence.own[rows, None]
        each = np.arange(len(rows))
        margins[each, given] = -np.inf
        if but_predicted:
            margins[each, evidence.predicted[rows]] = -np.inf
        found = np.flatnonzero(margins >= top.least.reshape(num_classes, num_classes)[given])
        at, other = np.divmod(found, num_classes)
        return given[at] * num_classes + other, margins.reshape(-1)[found], rows[at]

    for part in reader.map(work):
        top.add(*part)
