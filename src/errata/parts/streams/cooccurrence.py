"""Which labels come together, counted while a stream goes by.

``JaccardCounts`` touches only the pairs of labels that are present, O(|y|^2) per event: how often at least one of two
labels was there follows from the marginals, ``U = n_k + n_l - I``, on the diagonal of ``I``. ``PearsonCounts``
is what the released code of iHOMER keeps, one correlation object of River per pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from errata._lazy import optional

__all__ = ["JaccardCounts", "PearsonCounts", "Spread", "jaccard_distances"]


def jaccard_distances(both: np.ndarray) -> np.ndarray:
    """(G, G) distances ``1 - I / U`` from counts; 1 where neither label was ever there.

    Parameters
    ----------
    both : (G, G), I: how often both labels were there, and on the diagonal how often each was

    Examples
    --------
    >>> jaccard_distances(np.array([[4.0, 2.0], [2.0, 4.0]])).round(3)
    array([[0.   , 0.667],
           [0.667, 0.   ]])
    """
    alone = np.diagonal(both)
    either = alone[:, None] + alone[None, :] - both
    return 1.0 - np.divide(both, either, out=np.zeros_like(both), where=either > 0)


@dataclass(frozen=True)
class Spread:
    """How the labels of a cluster lie: ``d1`` the largest distance, of the pair ``pivots``, ``d2`` the next, ``d0`` the
    smallest, ``mean`` over the pairs; the last three are None where there are too few pairs."""

    d1: float
    pivots: tuple[int, int] = (0, 0)
    d2: float | None = None
    d0: float | None = None
    mean: float | None = None


def spread_of(distances: np.ndarray, divisor: float | None = None) -> Spread:
    """The ``Spread`` of (G, G) symmetric distances; of equal distances the lexicographically first pair counts.

    Parameters
    ----------
    divisor : what the sum over the pairs is divided by for ``mean``; by default the number of pairs
    """
    size = len(distances)
    if size < 2:
        return Spread(0.0)
    flat = distances[np.triu_indices(size, 1)]
    place = int(flat.argmax())
    d1, d0, total = float(flat[place]), float(flat.min()), float(flat.sum())
    flat[place] = -np.inf
    first, rest = 0, place
    while rest >= size - 1 - first:
        rest -= size - 1 - first
        first += 1
    d2 = float(flat.max()) if len(flat) > 1 else None
    return Spread(d1, (first, first + 1 + rest), d2, d0, total / (len(flat) if divisor is None else divisor))


class JaccardCounts:
    """Counts of a cluster's labels and of their pairs.

    Parameters
    ----------
    size : G, the labels of the cluster

    Examples
    --------
    >>> counts = JaccardCounts(3)
    >>> for present in ([0, 1], [0, 1], [2]):
    ...     counts.add(present)
    >>> counts.spread(3).pivots, counts.spread(3).d0
    ((0, 2), 0.0)
    """

    every_event = False

    def __init__(self, size: int) -> None:
        self.both = np.zeros((size, size))

    def add(self, present: Sequence[int], weight: float = 1.0) -> None:
        """Count an event with the labels at these positions of the cluster; a negative weight takes it back."""
        if len(present) == 1:
            self.both[present[0], present[0]] += weight
        elif len(present):
            place = np.asarray(present)
            self.both[place[:, None], place] += weight

    def grow(self, size: int) -> None:
        """Make room for more labels, at the end."""
        grown = np.zeros((size, size))
        old = len(self.both)
        grown[:old, :old] = self.both
        self.both = grown

    def scale(self, factor: float) -> None:
        """Multiply all counts."""
        self.both *= factor

    def spread(self, n: float) -> Spread:
        """How the labels lie, after n events."""
        return spread_of(jaccard_distances(self.both))

    def sides(self, pivots: tuple[int, int]) -> np.ndarray:
        """(G,) bool: which labels lie nearer to the second pivot; a tie goes to the first."""
        distances = jaccard_distances(self.both)
        second = distances[pivots[1]] < distances[pivots[0]]
        second[list(pivots)] = [False, True]
        return second


class PearsonCounts:
    """The released code's statistics: a running Pearson correlation per pair, taken for a distance; its mean is over
    the events instead of over the pairs. Slow: every pair is an object, and every event updates all of them."""

    every_event = True

    def __init__(self, size: int) -> None:
        stats = optional("river.stats", "streams", "Clustering labels by correlation")
        self.size = size
        self.pairs: dict[tuple[int, int], Any] = {pair: stats.PearsonCorr() for pair in combinations(range(size), 2)}
        self.alone = stats.Var() if size == 1 else None

    def add(self, present: Sequence[int], weight: float = 1.0) -> None:
        """Count an event with the labels at these positions of the cluster, and none of the others."""
        values = [0.0] * self.size
        for place in present:
            values[place] = 1.0
        if self.alone is not None:
            self.alone.update(values[0])
        for (k, l), correlation in self.pairs.items():
            correlation.update(values[k], values[l])

    def _matrix(self) -> np.ndarray:
        found = np.zeros((self.size, self.size))
        for (k, l), correlation in self.pairs.items():
            found[k, l] = found[l, k] = correlation.get()
        return found

    def spread(self, n: float) -> Spread:
        """How the labels lie, after n events."""
        if self.alone is not None:
            return Spread(float(self.alone.get()))
        return spread_of(self._matrix(), divisor=n)

    def sides(self, pivots: tuple[int, int]) -> np.ndarray:
        """(G,) bool: which labels have the smaller value with the second pivot, or an equal one."""
        values = self._matrix()
        second = values[pivots[0]] >= values[pivots[1]]
        second[list(pivots)] = [False, True]
        return second
