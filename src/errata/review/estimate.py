"""How many wrong labels are probably left: what the ledger expects, corrected by what reviewers have found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["ErrorsLeft", "ErrorsLeftEstimator"]

BANDS = 10
PRIOR = 5.0
"""How many expected errors' worth of belief the ledger gets before anything is found."""


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
        self.band = np.where(self.counts, np.clip(self.doubt * BANDS, 0, BANDS - 1), 0).astype(np.int8)
        known = np.flatnonzero(self.counts)
        self.rows_of_band = np.bincount(self.band[known], minlength=BANDS)
        self.doubt_of_band = np.bincount(self.band[known], weights=self.doubt[known], minlength=BANDS)

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
        expected = np.bincount(band, weights=self.doubt[decided], minlength=BANDS)
        found = np.bincount(band[wrong], minlength=BANDS)
        elsewhere = (found.sum() - found + PRIOR) / (expected.sum() - expected + PRIOR)
        ratio = (found + PRIOR * elsewhere) / (expected + PRIOR)
        undecided = self.rows_of_band - np.bincount(band, minlength=BANDS)
        stated = np.maximum(self.doubt_of_band - expected, 0.0)
        left = np.minimum(ratio * stated, undecided)
        return ErrorsLeft(
            float(left.sum()),
            float(stated.sum()),
            int(undecided.sum()),
            float(expected.sum()),
            int(found.sum()),
            len(decided),
        )
