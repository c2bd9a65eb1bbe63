"""The rules by which confident learning flags rows, each a function of one case: evidence, counts and joint."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from errata.errors import UnknownNameError
from errata.scores._adjusted import adjusted
from errata.scores._prune import rows_by_noise_rate
from errata.scores.blocks import BlockReader, as_given
from errata.scores.counts import at_least_one_correct, calibrate, prune_quota
from errata.scores.evidence import Evidence, confident_class, count_pairs, gather, mean_self_confidence

Mask = NDArray[np.bool_]

COUNTS = ("off_diagonal", "off_diagonal_calibrated")
"""How the number of wrong labels is estimated."""


class Case:
    """Labels and probabilities, and what the rules need of them, each computed when first asked for."""

    def __init__(
        self,
        given: ArrayLike,
        pred_probs: ArrayLike,
        *,
        threads: int = 1,
        block_rows: int | None = None,
        count: str = "off_diagonal",
    ) -> None:
        if count not in COUNTS:
            raise UnknownNameError("way to count issues", count, COUNTS)
        self.count = count
        self.reader = BlockReader(pred_probs, threads=threads, block_rows=block_rows)
        labels = as_given(given, self.reader.num_rows, self.reader.num_classes)
        self.evidence: Evidence = gather(self.reader, labels)

    @cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """(K,) the mean self-confidence of each class, infinite where no row has the class."""
        return mean_self_confidence(self.evidence)

    @cached_property
    def counted(self) -> NDArray[np.int32]:
        """(N,) the class each row is confidently counted to, -1 for none."""
        return confident_class(self.reader, self.evidence, self.thresholds)

    @cached_property
    def pairs(self) -> NDArray[np.int64]:
        """(K, K) rows labelled i and confidently counted to j, at least one on the diagonal."""
        return at_least_one_correct(count_pairs(self.evidence.given, self.counted, self.reader.num_classes))

    @cached_property
    def calibrated(self) -> NDArray[np.int64]:
        """(K, K) the same, scaled up to all labelled rows."""
        return calibrate(self.pairs, self.evidence.counts)

    @cached_property
    def adjusted(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """(N,) own and rival probability with each class's threshold taken off."""
        return adjusted(self.reader, self.evidence, self.thresholds)

    def number(self) -> int:
        """How many rows are estimated to be wrong, counted as ``count`` says."""
        if self.count == "off_diagonal":
            return int(off_diagonal(self).sum())
        right = float(self.calibrated.trace() / self.calibrated.sum())
        return int(np.rint((1.0 - right) * self.evidence.counts.sum()))

    def self_confidence(self, adjust: bool = False) -> NDArray[Any]:
        """(N,) probability of the given label, NaN where it is missing."""
        return self._known(self.adjusted[0].copy() if adjust else self.evidence.own.copy())

    def normalized_margin(self, adjust: bool = False) -> NDArray[Any]:
        """(N,) margin of the given label over its rival, from [-1, 1] to [0, 1], NaN where it is missing."""
        margin = self.adjusted[0] - self.adjusted[1] if adjust else self.evidence.own - self.evidence.rival_prob
        margin += 1
        margin /= 2
        return self._known(margin)

    def _known(self, scores: NDArray[Any]) -> NDArray[Any]:
        np.clip(scores, 0, 1, out=scores)
        scores[self.evidence.given < 0] = np.nan
        return scores


def by_noise_rate(case: Case) -> Mask:
    """Of each (given, other) pair, its quota of rows with the largest margins."""
    return rows_by_noise_rate(case.reader, case.evidence, prune_quota(case.calibrated))


def by_class(case: Case) -> Mask:
    """Of each class, as many rows of the lowest self-confidence as its off-diagonal counts sum to."""
    counts = case.evidence.counts
    remove = counts - prune_quota(case.calibrated).diagonal()
    order, ends = case.evidence.by_class()
    flagged = np.zeros(case.reader.num_rows, bool)
    for k in np.flatnonzero(remove > 0):
        rows = order[ends[k] - counts[k] : ends[k]]
        flagged[rows[lowest(case.evidence.own[rows], int(remove[k]))]] = True
    return flagged & case.evidence.contested


def by_both(case: Case) -> Mask:
    """What is flagged by noise rate and by class."""
    return by_noise_rate(case) & by_class(case)


def off_diagonal(case: Case) -> Mask:
    """Rows confidently counted to another class than the given one."""
    return (case.counted >= 0) & (case.counted != case.evidence.given) & case.evidence.contested


def predicted_otherwise(case: Case) -> Mask:
    """Rows predicted as another class than the given one."""
    return case.evidence.contested.copy()


def lowest_self_confidence(case: Case) -> Mask:
    """As many rows as are counted to be wrong, those of the lowest self-confidence."""
    return _as_many_as_counted(case, case.self_confidence())


def lowest_normalized_margin(case: Case) -> Mask:
    """As many rows as are counted to be wrong, those of the lowest normalized margin."""
    return _as_many_as_counted(case, case.normalized_margin())


def _as_many_as_counted(case: Case, scores: NDArray[Any]) -> Mask:
    labelled = np.flatnonzero(case.evidence.given >= 0)
    flagged = np.zeros(len(scores), bool)
    flagged[labelled[lowest(scores[labelled], case.number())]] = True
    return flagged


def lowest(scores: NDArray[Any], number: int) -> NDArray[np.intp]:
    """Return the positions of the ``number`` lowest scores, the earlier ones where scores are equal.

    Examples
    --------
    >>> lowest(np.array([0.4, 0.1, 0.4, 0.4]), 2)
    array([1, 0])
    """
    if number <= 0:
        return np.empty(0, np.intp)
    if number >= len(scores):
        return np.arange(len(scores))
    last = np.partition(scores, number - 1)[number - 1]
    below = np.flatnonzero(scores < last)
    return np.concatenate([below, np.flatnonzero(scores == last)[: number - len(below)]])


RULES: dict[str, Callable[[Case], Mask]] = {
    "prune_by_noise_rate": by_noise_rate,
    "prune_by_class": by_class,
    "both": by_both,
    "confident_learning": off_diagonal,
    "predicted_neq_given": predicted_otherwise,
    "low_normalized_margin": lowest_normalized_margin,
    "low_self_confidence": lowest_self_confidence,
}


def find_rule(name: str) -> Callable[[Case], Mask]:
    """Return the rule of this name, or raise with the nearest known one."""
    if name not in RULES:
        raise UnknownNameError("rule", name, RULES)
    return RULES[name]
