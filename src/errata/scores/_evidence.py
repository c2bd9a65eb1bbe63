"""What confident learning needs to know of each row, gathered in one or two readings of the probabilities.

First reading: the probability of the given label, and the strongest other class (its *rival*). From these follow, with
no further reading, the prediction, the margin, the class thresholds, and for every row whose predicted class is above
its threshold also the class it is confidently counted to. Second reading, for the remaining rows only: whether another
class with a lower threshold is reached.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errata.scores._blocks import BlockReader, check_block

THRESHOLD_SLACK = 1e-6
"""A probability counts as above a threshold from this much below it, so that rounding does not decide."""

_CONTEST_SLACK = 1e-6
_LOWEST_THRESHOLD = 2e-6
_COUNT_ROWS = 2**16


@dataclass
class Leads:
    """Where in the table a class leads the given label of a contested row by ``floor`` or more, and by how much.

    Kept from the first reading, because they decide nearly all that is asked later about margins. If there are more
    than ``limit``, all are dropped, so that the memory stays a fraction of the table's.
    """

    floor: float
    limit: int
    parts: list[tuple[NDArray[np.int64], NDArray[Any]]] = field(default_factory=list)
    held: int = 0

    @classmethod
    def for_table(cls, reader: BlockReader) -> Leads:
        """Return empty leads, with a floor and a limit that suit the number of classes."""
        return cls(min(0.02, 2 / reader.num_classes), reader.num_rows * max(2, reader.num_classes // 16))

    @property
    def complete(self) -> bool:
        """Whether nothing had to be dropped."""
        return self.held <= self.limit

    def find(
        self, others: NDArray[Any], mine: NDArray[Any], rows: NDArray[np.intp]
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return position (row times K plus class) and margin of the leads in ``rows``, where ``mine`` is the label's."""
        found = np.flatnonzero(others >= self.floor)  # before the label's probability is taken off: few are left
        at, column = np.divmod(found, others.shape[1])
        margins = others.reshape(-1)[found] - mine[at]
        leading = np.flatnonzero(margins >= self.floor)
        return rows[at[leading]] * others.shape[1] + column[leading], margins[leading]

    def add(self, positions: NDArray[np.int64], margins: NDArray[Any]) -> None:
        """Keep a block's leads, or drop all if that is too many."""
        self.held += len(positions)
        if self.complete:
            self.parts.append((positions, margins))
        else:
            self.parts.clear()


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
    leads : by how much classes lead the given label, if asked for
    """

    given: NDArray[np.int32]
    own: NDArray[Any]
    rival_prob: NDArray[Any]
    predicted: NDArray[np.int32]
    contested: NDArray[np.bool_]
    counts: NDArray[np.int64]
    leads: Leads | None = None

    def by_class(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Return the rows sorted by class (missing ones first, else in order), and (K,) where each class ends."""
        order = np.argsort(narrowed(self.given + 1, len(self.counts) + 1), kind="stable")
        return order, np.cumsum(self.counts) + (len(self.given) - self.counts.sum())


def narrowed(numbers: NDArray[Any], limit: int) -> NDArray[Any]:
    """Return integers in [0, limit) as sixteen bits where they fit: NumPy's stable sort of those takes linear time."""
    return numbers.astype(np.uint16) if limit <= 2**16 else numbers


def gather(reader: BlockReader, given: NDArray[np.int32], *, with_leads: bool = False) -> Evidence:
    """Check the probabilities and gather the evidence, in one reading; leads only where they are asked for."""
    evidence = Evidence(
        given=given,
        own=np.empty(reader.num_rows, reader.dtype),
        rival_prob=np.empty(reader.num_rows, reader.dtype),
        predicted=np.maximum(given, 0),
        contested=np.zeros(reader.num_rows, bool),
        counts=np.bincount(given + 1, minlength=reader.num_classes + 1)[1:],
        leads=Leads.for_table(reader) if with_leads else None,
    )
    for leads in reader.map(lambda start, stop: _gather_block(evidence, reader.copy(start, stop), start)):
        if evidence.leads is not None and leads is not None:
            evidence.leads.add(*leads)
    return evidence


def _gather_block(evidence: Evidence, block: NDArray[Any], start: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Fill in the evidence for the rows of a block, which is used up, and return its leads."""
    check_block(block, start)
    part = slice(start, start + len(block))
    label = evidence.predicted[part]  # what it was set to before: the given label
    flat = block.reshape(-1)
    at = np.arange(0, flat.size, block.shape[1]) + label
    mine = flat.take(at)
    flat[at] = -1.0  # below anything the check lets through, so the largest of the others is left
    theirs = _largest(block)
    evidence.own[part], evidence.rival_prob[part] = mine, theirs

    rows = np.flatnonzero(theirs >= mine)
    others, mine, theirs, label = block.take(rows, axis=0), mine[rows], theirs[rows], label[rows]
    rival = others.argmax(axis=1)
    raised = mine + mine.dtype.type(_CONTEST_SLACK)
    rival_first = rival < label
    evidence.predicted[part][rows] = np.where((theirs > mine) | rival_first, rival, label)
    contested = (theirs > raised) | ((theirs == raised) & rival_first)
    contested &= evidence.given[part][rows] >= 0
    evidence.contested[part][rows] = contested
    if evidence.leads is None or not evidence.leads.complete:
        return None
    return evidence.leads.find(others, np.where(contested, mine, 1), start + rows)


def _largest(block: NDArray[Any]) -> NDArray[Any]:
    """Return each row's largest probability. Read as integers, they sort the same, and NumPy compares them faster."""
    bits = block.view(np.int32 if block.dtype.itemsize == 4 else np.int64)
    return np.maximum(bits.max(axis=1).view(block.dtype), 0)  # but negative ones, if -1e-9 should occur, do not


def mean_self_confidence(evidence: Evidence) -> NDArray[np.float64]:
    """Return (K,) each class's threshold: the mean probability of its own label; infinite for a class without rows."""
    counts = evidence.counts
    order, ends = evidence.by_class()
    ordered = evidence.own[order]
    thresholds = np.full(len(counts), np.inf)
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
    for start in range(0, len(given), step):
        g, c = given[start : start + step], counted[start : start + step]
        known = np.flatnonzero(c >= 0)
        total += np.bincount(g[known].astype(np.int64) * num_classes + c[known], minlength=total.size)
    return total.reshape(num_classes, num_classes)
