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

from errata.scores.blocks import BlockReader, check_block

THRESHOLD_SLACK = 1e-6
"""A probability counts as above a threshold from this much below it, so that rounding does not decide."""

_CONTEST_SLACK = 1e-6
_LOWEST_THRESHOLD = 2e-6
_COUNT_ROWS = 2**16


@dataclass(frozen=True)
class Evidence:
    """What the first reading leaves of each row.

    Parameters
    ----------
    given : (N,) the given label, -1 where missing
    own : (N,) probability of the given label; of class 0 where it is missing
    rival_prob : (N,) largest probability of another class
    predicted : (N,) class of the largest probability, the lower class where two are equal
    contested : (N,) whether there is a label, and another class is predicted by more than rounding
    counts : (K,) rows labelled as each class
    """

    given: NDArray[np.int32]
    own: NDArray[Any]
    rival_prob: NDArray[Any]
    predicted: NDArray[np.int32]
    contested: NDArray[np.bool_]
    counts: NDArray[np.int64]

    def by_class(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Return the labelled rows sorted by class, in order within each, and (K,) where each class ends."""
        order = np.argsort(narrowed(self.given, len(self.counts) + 1), kind="stable")
        return order[: self.counts.sum()], np.cumsum(self.counts)


def narrowed(numbers: NDArray[Any], limit: int) -> NDArray[Any]:
    """Return integers in [0, limit) in as few bits as hold them, and -1 as the largest number of these bits.

    Up to sixteen bits are sorted stably in linear time.
    """
    return numbers.astype(np.min_scalar_type(limit - 1))


def gather(reader: BlockReader, given: NDArray[np.int32]) -> Evidence:
    """Check the probabilities and gather the evidence, in one reading."""
    own, rival_prob = np.empty((2, reader.num_rows), reader.dtype)  # one allocation, large enough for large pages
    predicted = np.empty(reader.num_rows, np.int32)
    contested = np.empty(reader.num_rows, bool)
    slack = reader.dtype.type(_CONTEST_SLACK)

    def work(start: int, stop: int) -> NDArray[np.int64]:
        block = reader.copy(start, stop)
        check_block(block, start)
        flat = block.reshape(-1)
        label = np.maximum(given[start:stop], 0)
        first = np.arange(0, flat.size, reader.num_classes)
        mine = flat.take(first + label)
        flat[first + label] = -1.0  # below anything the check lets through, so the largest of the others is left
        rival = block.argmax(axis=1)
        theirs = flat.take(first + rival)
        rival_first = rival < label
        ahead = (theirs > mine) | ((theirs == mine) & rival_first)
        clearly = (theirs > mine + slack) | ((theirs == mine + slack) & rival_first)
        own[start:stop], rival_prob[start:stop] = mine, theirs
        predicted[start:stop] = np.where(ahead, rival, label)
        contested[start:stop] = clearly & (given[start:stop] >= 0)
        return np.bincount(given[start:stop] + 1, minlength=reader.num_classes + 1)

    counts = np.zeros(reader.num_classes + 1, np.int64)
    for of_block in reader.map(work):
        counts += of_block
    return Evidence(given, own, rival_prob, predicted, contested, counts[1:])


def mean_self_confidence(evidence: Evidence) -> NDArray[np.float64]:
    """Return (K,) each class's threshold: the mean probability of its own label; infinite for a class without rows."""
    counts = evidence.counts
    order, ends = evidence.by_class()
    thresholds = np.full(len(counts), np.inf)
    for k in np.flatnonzero(counts):
        # the mean in the probabilities' own precision, as numpy takes it of a column
        mean = evidence.own[order[ends[k] - counts[k] : ends[k]]].mean()
        thresholds[k] = max(float(mean), _LOWEST_THRESHOLD)
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
        predicted = evidence.predicted[start:stop]
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
    step = max(_COUNT_ROWS, total.size)
    for start in range(0, len(given), step):  # in parts, since bincount makes a wider copy of what it counts
        part = slice(start, start + step)
        known = np.flatnonzero(counted[part] >= 0)
        pairs = given[part][known].astype(np.int64) * num_classes + counted[part][known]
        total += np.bincount(pairs, minlength=total.size)
    return total.reshape(num_classes, num_classes)
