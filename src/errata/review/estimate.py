"""How many wrong labels are probably left: what the ledger expects, corrected by what reviewers have found."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from errata.labels import MISSING
from errata.ledger import Ledger

__all__ = ["Chance", "ErrorsLeft", "ErrorsLeftEstimator", "Progress", "Tally", "doubts"]

BANDS = 10
PRIOR = 5.0
"""How many expected errors' worth of belief the ledger gets before anything is found."""


def doubts(ledger: Ledger) -> np.ndarray:
    """How probably each row's given label is wrong, before anyone has looked; NaN without a label.

    ``1 - trust``; where the ledger's list is vouched for, the estimate made there: the errors that are expected among
    the first n rows, shared out by rank, and those left elsewhere in proportion to ``1 - trust``.

    Returns
    -------
    (N,) float64 in [0, 1]

    Examples
    --------
    >>> from errata.vouching import Vouched
    >>> ledger = Ledger([0, 1, 1, 0], [1, 0, 1, 0], [0.0, 0.1, 0.6, 0.8], classes=["a", "b"])
    >>> doubts(ledger).round(2)
    array([1. , 0.9, 0.4, 0.2])
    >>> ledger.vouched = Vouched([1, 2], [0.8, 0.7], [0.5, 0.4], [1, 1], [0.5, 0.875], [0.8, 0.2], 1.6)
    >>> doubts(ledger).round(2)
    array([0.8 , 0.6 , 0.13, 0.07])
    """
    doubt = 1.0 - ledger.trust.astype(np.float64)
    v = ledger.vouched
    labelled = ledger.order[: int((ledger.given != MISSING).sum())]
    if v is None or not len(v.n) or not len(labelled):
        return doubt
    head = min(int(v.n[-1]), len(labelled))
    among = np.interp(np.arange(head + 1), np.concatenate([[0], v.n]), np.concatenate([[0.0], v.errors * v.recall]))
    doubt[labelled[:head]] = np.clip(np.diff(among), 0.0, 1.0)
    rest = labelled[head:]
    total = float(np.nansum(doubt[rest]))
    if total > 0:
        doubt[rest] = np.clip(doubt[rest] * (v.left[-1] / total), 0.0, 1.0)
    return doubt


@dataclass(frozen=True)
class ErrorsLeft:
    """How many wrong labels are probably left, and how that number comes about.

    Parameters
    ----------
    left : the estimate
    stated : what the ledger alone says of the rows not decided, the sum of ``1 - trust``
    undecided : how many rows that is
    expected : what the ledger said of the rows that are decided now
    found : how many of these were in fact wrong (relabelled or dropped)
    decided : how many rows that is
    """

    left: float
    stated: float
    undecided: int
    expected: float
    found: int
    decided: int


@dataclass(frozen=True)
class Chance:
    """What rows drawn at random tell of all rows, whatever their errors are like.

    Parameters
    ----------
    rows : how many of the random order's first rows are decided
    wrong : how many of them had a wrong label
    low, high : between which, in 9 cases of 10, the number of wrong labels in all rows lies
    """

    rows: int
    wrong: int
    low: float
    high: float


@dataclass(frozen=True)
class Progress:
    """How far the review is.

    Parameters
    ----------
    goal : how many rows are to be decided: the budget, or else the rows flagged as issues
    done : how many of these are
    decided : how many rows are decided at all
    mine : how many of the standing decisions are this reviewer's
    actions : how many rows were kept, relabelled, dropped
    left : the estimate of the errors left
    chance : what the rows decided tell of all, where they are drawn at random; else None
    """

    goal: int
    done: int
    decided: int
    mine: int
    actions: dict[str, int]
    left: ErrorsLeft
    chance: Chance | None = None


@dataclass(frozen=True)
class Tally:
    """What was decided in each band of doubt.

    Parameters
    ----------
    decided : (BANDS,) rows
    expected : (BANDS,) the errors that were expected of them
    found : (BANDS,) those that were found
    """

    decided: np.ndarray = field(default_factory=lambda: np.zeros(BANDS, dtype=np.int64))
    expected: np.ndarray = field(default_factory=lambda: np.zeros(BANDS))
    found: np.ndarray = field(default_factory=lambda: np.zeros(BANDS, dtype=np.int64))


class ErrorsLeftEstimator:
    """Estimates the errors left.

    The ledger expects ``1 - trust`` errors of each row. Where reviewers find more or fewer, the expectation is scaled,
    in ten bands of trust on their own: ``ratio = (found + PRIOR * r) / (expected + PRIOR)``, where ``r`` is the ratio
    in the other bands, itself drawn to 1. A band where nothing was decided yet is thus scaled like the others, and a
    few decisions don't upset anything. (Found errors taken as Poisson, with a gamma prior around the ledger's word.)

    Parameters
    ----------
    trust : (N,) in [0, 1]; rows with NaN (without a label) don't count

    Examples
    --------
    >>> import numpy as np
    >>> estimator = ErrorsLeftEstimator(np.full(100, 0.5))
    >>> estimator.estimate(np.arange(0), np.zeros(0, bool)).left
    50.0
    >>> estimator.estimate(np.arange(40), np.zeros(40, bool)).left < 10
    True
    """

    def __init__(self, trust: np.ndarray) -> None:
        self.doubt = 1.0 - np.asarray(trust, dtype=np.float64)
        self.counts = ~np.isnan(self.doubt)
        known = np.nan_to_num(self.doubt)  # 0 where there is no label
        self.band = np.minimum((known * BANDS).astype(np.int8), BANDS - 1)
        self.rows_of_band = np.bincount(self.band, minlength=BANDS)
        self.rows_of_band[0] -= len(known) - int(self.counts.sum())
        self.doubt_of_band = np.bincount(self.band, weights=known, minlength=BANDS)

    def estimate(self, decided: np.ndarray, wrong: np.ndarray) -> ErrorsLeft:
        """Estimate after some decisions.

        Parameters
        ----------
        decided : (n,) positions of the rows that are decided
        wrong : (n,) bool, whether the given label was found wrong
        """
        keep = self.counts[decided]
        decided, wrong = decided[keep], np.asarray(wrong, dtype=bool)[keep]
        band = self.band[decided]
        return self.of(
            Tally(
                np.bincount(band, minlength=BANDS),
                np.bincount(band, weights=self.doubt[decided], minlength=BANDS),
                np.bincount(band[wrong], minlength=BANDS),
            )
        )

    def add(self, tally: Tally, position: int, wrong: bool, times: int = 1) -> None:
        """Count a decided row in, or out again with ``times=-1``."""
        if self.counts[position]:
            band = self.band[position]
            tally.decided[band] += times
            tally.expected[band] += times * self.doubt[position]
            tally.found[band] += times * wrong

    def of(self, tally: Tally) -> ErrorsLeft:
        """Estimate from what was decided, band by band."""
        expected, found = tally.expected, tally.found
        elsewhere = (found.sum() - found + PRIOR) / (expected.sum() - expected + PRIOR)
        ratio = (found + PRIOR * elsewhere) / (expected + PRIOR)
        undecided = self.rows_of_band - tally.decided
        stated = np.maximum(self.doubt_of_band - expected, 0.0)
        left = np.minimum(ratio * stated, undecided)
        return ErrorsLeft(
            float(left.sum()),
            float(stated.sum()),
            int(undecided.sum()),
            float(expected.sum()),
            int(found.sum()),
            int(tally.decided.sum()),
        )
