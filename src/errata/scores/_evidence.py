"""What confident learning needs to know of each row, gathered in one or two readings of the probabilities.

First reading: the probability of the given label, and the strongest other class (its *rival*). From these follow, with
no further reading, the prediction, the margin, the class thresholds, and for every row whose predicted class is above
its threshold also the class it is confidently counted to. Second reading, for the remaining rows only: whether another
class with a lower threshold is reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errata.scores._blocks import BlockReader, check_block

THRESHOLD_SLACK = 1e-6
"""A probability counts as above a threshold from this much below it, so that rounding does not decide."""

_CONTEST_SLACK = 1e-6
_LOWEST_THRESHOLD = 2e-6
_COUNT_ROWS = 2**20


@dataclass(frozen=True)
class Evidence:
    """Per row: the given label, its probability, the rival and its probability.

    Where the label is missing (-1), class 0 stands in for it in the three others.
    """

    given: NDArray[np.int32]
    own: NDArray[Any]
    rival: NDArray[np.int32]
    rival_prob: NDArray[Any]
    num_classes: int

    def predicted(self, start: int = 0, stop: int | None = None) -> NDArray[np.int32]:
        """Return the class of the largest probability, the lower class where two are equal."""
        rows = slice(start, stop)
        given, own, rival, rival_prob = self.given[rows], self.own[rows], self.rival[rows], self.rival_prob[rows]
        stand_in = np.maximum(given, 0)
        wins = (own > rival_prob) | ((own == rival_prob) & (stand_in < rival))
        return np.where(wins, stand_in, rival)

    def contested(self, start: int = 0, stop: int | None = None) -> NDArray[np.bool_]:
        """Return which rows have a label, and are predicted as another class by more than rounding."""
        rows = slice(start, stop)
        given, own, rival, rival_prob = self.given[rows], self.own[rows], self.rival[rows], self.rival_prob[rows]
        raised = own + own.dtype.type(_CONTEST_SLACK)
        return (given >= 0) & ((rival_prob > raised) | ((rival_prob == raised) & (rival < given)))

    def counts(self) -> NDArray[np.int64]:
        """Return (K,) how many rows are labelled as each class."""
        return np.bincount(self.given[self.given >= 0], minlength=self.num_classes)

    def by_class(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Return the rows sorted by class (missing ones first, else in order), and (K,) where each class ends."""
        narrow = self.given.astype(np.int16) if self.num_classes < 2**15 else self.given
        counts = self.counts()
        ends = np.cumsum(counts) + (len(self.given) - counts.sum())
        return np.argsort(narrow, kind="stable"), ends  # sixteen bits are sorted by counting, in linear time


def gather(reader: BlockReader, given: NDArray[np.int32]) -> Evidence:
    """Check the probabilities and gather the evidence, in one reading."""
    own = np.empty(reader.num_rows, reader.dtype)
    rival = np.empty(reader.num_rows, np.int32)
    rival_prob = np.empty(reader.num_rows, reader.dtype)

    def work(start: int, stop: int) -> None:
        block = reader.copy(start, stop)
        check_block(block, start)
        flat = block.reshape(-1)
        first = np.arange(0, flat.size, reader.num_classes)
        at = first + np.maximum(given[start:stop], 0)
        flat.take(at, out=own[start:stop])
        flat[at] = -1.0  # below anything the check lets through, so the largest of the others is left
        best = block.argmax(axis=1)
        rival[start:stop] = best
        flat.take(first + best, out=rival_prob[start:stop])

    reader.run(work)
    return Evidence(given, own, rival, rival_prob, reader.num_classes)


def mean_self_confidence(evidence: Evidence) -> NDArray[np.float64]:
    """Return (K,) each class's threshold: the mean probability of its own label; infinite for a class without rows."""
    counts = evidence.counts()
    order, ends = evidence.by_class()
    ordered = evidence.own[order]
    thresholds = np.full(evidence.num_classes, np.inf)
    for k in np.flatnonzero(counts):
        # the mean in the probabilities' own precision, as numpy takes it of a column
        thresholds[k] = max(float(ordered[ends[k] - counts[k] : ends[k]].mean()), _LOWEST_THRESHOLD)
    return thresholds


def cutoffs(thresholds: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return (K,) the smallest value of ``dtype`` that counts as above each threshold."""
    if np.isfinite(thresholds).all():
        return thresholds.astype(dtype) - dtype.type(THRESHOLD_SLACK)
    exact = thresholds - THRESHOLD_SLACK
    rounded = exact.astype(dtype)
    return np.where(rounded < exact, np.nextafter(rounded, dtype.type(np.inf)), rounded)


def confident_class(reader: BlockReader, evidence: Evidence, thresholds: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return (N,) the class each labelled row is confidently counted to, -1 for none.

    The only class above its threshold, or the predicted class where there are several. If the predicted class is
    itself above its threshold, both cases name it, so only the other rows have to be looked at.
    """
    cut = cutoffs(thresholds, reader.dtype)
    result = np.full(reader.num_rows, -1, np.int32)

    def work(start: int, stop: int) -> None:
        predicted = evidence.predicted(start, stop)
        best = np.maximum(evidence.own[start:stop], evidence.rival_prob[start:stop])
        labelled = evidence.given[start:stop] >= 0
        sure = best >= cut[predicted]
        counted = np.where(sure & labelled, predicted, -1)
        open_rows = np.flatnonzero(labelled & ~sure & (best >= cut.min()))
        if open_rows.size:
            above = reader.take(start, stop, open_rows) >= cut
            counted[open_rows] = _single_or(above, predicted[open_rows])
        result[start:stop] = counted

    reader.run(work)
    return result


def _single_or(above: NDArray[np.bool_], otherwise: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return per row the one True column, ``otherwise`` where there are several, -1 where there is none."""
    flat = above.reshape(-1)
    at = np.arange(len(above)) * above.shape[1]
    first = above.argmax(axis=1)
    any_ = flat[at + first]
    flat[at + first] = False
    several = flat[at + above.argmax(axis=1)]
    return np.where(several, otherwise, np.where(any_, first, -1)).astype(np.int32)


def count_pairs(given: NDArray[np.int32], counted: NDArray[np.int32], num_classes: int) -> NDArray[np.int64]:
    """Return (K, K) how many rows are labelled i and confidently counted to j."""
    total = np.zeros(num_classes * num_classes, np.int64)
    for start in range(0, len(given), _COUNT_ROWS):
        g, c = given[start : start + _COUNT_ROWS], counted[start : start + _COUNT_ROWS]
        known = np.flatnonzero(c >= 0)
        total += np.bincount(g[known].astype(np.int64) * num_classes + c[known], minlength=total.size)
    return total.reshape(num_classes, num_classes)
