"""Confident learning: which labels do the probabilities contradict, and how often is one class given for another.

A model that was not trained on a row says how probable each class is for it. A class is *confident* for a row if its
probability reaches the mean that the rows labelled so get for it. Counting rows by given label and confident class
estimates the joint distribution of given and true labels; from its off-diagonal follows how many labels of each class
are wrong, and the rows that contradict their label most are flagged, as many as that. Labels in, probabilities in,
arrays out; nothing is trained here.

All functions take the given labels as (N,) integers in [0, K), -1 where a label is missing, and the probabilities as an
(N, K) array with a distribution in each row: of any real type, in memory or memory-mapped. They read it in blocks,
one to four times from front to back, so that a memory-mapped table of any size needs little memory; half precision
and single precision are computed on in single precision, all else in double. Rows without a label are never flagged
nor counted. Bad input raises :class:`errata.errors.DataError` naming the first row that is wrong.

References
----------
Northcutt, Jiang, Chuang: Confident Learning: Estimating Uncertainty in Dataset Labels. JAIR 70 (2021),
arXiv 1911.00068.
The details of thresholds, calibration and rules are those of cleanlab 2.9, so that the same rows are flagged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from errata.scores._rules import COUNTS, RULES, Case, find_rule
from errata.scores.blocks import BlockReader, as_given
from errata.scores.evidence import gather

__all__ = [
    "COUNTS",
    "RULES",
    "LabelIssues",
    "class_thresholds",
    "confident_joint",
    "confident_learning",
    "entropy_weighted",
    "find_label_issues",
    "low_normalized_margin",
    "low_self_confidence",
    "normalized_margin",
    "num_label_issues",
    "predicted_neq_given",
    "prune_by_both",
    "prune_by_class",
    "prune_by_noise_rate",
    "self_confidence",
]

_TINY = 1e-6


@dataclass(frozen=True, eq=False)
class LabelIssues:
    """What confident learning says of each row, and of the classes.

    Parameters
    ----------
    issues : (N,) bool
        Whether the row is flagged.
    self_confidence : (N,) float in [0, 1]
        Probability of the given label; NaN where it is missing.
    normalized_margin : (N,) float in [0, 1]
        Below one half if another class is more probable than the given one; NaN where the label is missing.
    predicted : (N,) int32
        Class of the largest probability; the lowest such class where several are equal.
    joint : (K, K) float64
        Estimated joint distribution of given (rows) and true labels (columns), see :func:`confident_joint`.
    thresholds : (K,) float64
        From where each class counts as confident, see :func:`class_thresholds`.
    rule : str
        Name of the rule that flagged the rows.
    """

    issues: NDArray[np.bool_]
    self_confidence: NDArray[Any]
    normalized_margin: NDArray[Any]
    predicted: NDArray[np.int32]
    joint: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    rule: str

    def ranked(self) -> NDArray[np.intp]:
        """Return the flagged rows, the lowest self-confidence first, the earlier row where it is equal.

        Examples
        --------
        >>> probs = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7]]
        >>> find_label_issues([0, 0, 0, 0, 1, 1], probs, rule="predicted_neq_given").ranked()
        array([3, 2])
        """
        rows = np.flatnonzero(self.issues)
        return rows[np.argsort(self.self_confidence[rows], kind="stable")]


def find_label_issues(
    given: ArrayLike,
    pred_probs: ArrayLike,
    *,
    rule: str = "prune_by_noise_rate",
    count: str = "off_diagonal",
    adjust: bool = False,
    threads: int = 1,
    block_rows: int | None = None,
) -> LabelIssues:
    """Flag the rows whose labels the probabilities contradict, and estimate the label noise.

    Parameters
    ----------
    given : (N,) int in [0, K), -1 where missing
        Given labels.
    pred_probs : (N, K) float
        Out-of-sample probabilities, each row summing to 1. A ``np.memmap`` is read without being kept in memory.
    rule : str, default "prune_by_noise_rate"
        - ``"prune_by_noise_rate"``: of each pair of a given and another class, as many rows as the joint estimates to
          be confused so, those where the other class leads by most;
        - ``"prune_by_class"``: of each class, as many rows as the joint estimates to be wrong, those of the lowest
          self-confidence;
        - ``"both"``: what these two agree on;
        - ``"confident_learning"``: rows counted off the diagonal of the confident joint;
        - ``"predicted_neq_given"``: rows predicted as another class;
        - ``"low_normalized_margin"``, ``"low_self_confidence"``: as many rows as ``"confident_learning"`` flags, those
          lowest in the score.

        All but the last two flag only rows predicted as another class than the given one.
    count : str, default "off_diagonal"
        Of "low_normalized_margin" and "low_self_confidence": how many rows are flagged, see :func:`num_label_issues`.
    adjust : bool, default False
        Of the scores that are returned: take off each class's threshold first, so that rows of rare classes are ranked
        fairly. The flagged rows do not depend on it.
    threads : int >= 1, default 1
        Blocks that are worked on at the same time. The result does not depend on it.
    block_rows : int >= 1, optional
        Rows read at a time; by default as many as suit the processor's cache. The result does not depend on it.

    Returns
    -------
    LabelIssues
        Equal margins and scores are flagged from the earliest row on.

    Raises
    ------
    DataError
        If shapes do not fit, a label has no column, a row is no distribution, or no row has a label.
    ParameterError
        If the rule or the count is unknown, or ``threads`` or ``block_rows`` is not a positive integer.

    Examples
    --------
    >>> given = [0, 0, 0, 1, 1, 1]
    >>> probs = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]]
    >>> found = find_label_issues(given, probs)
    >>> found.issues
    array([False, False,  True, False, False, False])
    >>> found.joint.round(2)
    array([[0.33, 0.17],
           [0.  , 0.5 ]])
    """
    flag = find_rule(rule)
    case = Case(given, pred_probs, threads=threads, block_rows=block_rows, count=count)
    return LabelIssues(
        issues=flag(case),
        self_confidence=case.self_confidence(adjust),
        normalized_margin=case.normalized_margin(adjust),
        predicted=case.evidence.predicted,
        joint=case.calibrated / case.calibrated.sum(),
        thresholds=case.thresholds,
        rule=rule,
    )


def num_label_issues(given: ArrayLike, pred_probs: ArrayLike, *, count: str = "off_diagonal", threads: int = 1) -> int:
    """Return how many labels are estimated to be wrong.

    "off_diagonal" counts the rows confident of another class than the given one; "off_diagonal_calibrated" takes the
    share of the calibrated joint that is off its diagonal, which counts rows that are confident of no class too.

    Examples
    --------
    >>> probs = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]]
    >>> num_label_issues([0, 0, 0, 1, 1, 1], probs)
    1
    """
    return Case(given, pred_probs, threads=threads, count=count).number()


def self_confidence(given: ArrayLike, pred_probs: ArrayLike, *, adjust: bool = False, threads: int = 1) -> NDArray[Any]:
    """Return (N,) the probability of each given label: low where the label is likely wrong; NaN where it is missing.

    With ``adjust`` each class's threshold is taken off first (and the row made to sum to one), so that rows of rare
    classes, of which models are never sure, are ranked fairly.

    Examples
    --------
    >>> self_confidence([0, 0], [[0.75, 0.25], [0.25, 0.75]])
    array([0.75, 0.25])
    """
    return Case(given, pred_probs, threads=threads).self_confidence(adjust)


def normalized_margin(
    given: ArrayLike, pred_probs: ArrayLike, *, adjust: bool = False, threads: int = 1
) -> NDArray[Any]:
    """Return (N,) how far the given label leads the most probable other class, mapped from [-1, 1] to [0, 1].

    One half means that both are equally probable; NaN where the label is missing. ``adjust`` as in
    :func:`self_confidence`.

    Examples
    --------
    >>> normalized_margin([0, 0], [[0.75, 0.25], [0.25, 0.75]])
    array([0.75, 0.25])
    """
    return Case(given, pred_probs, threads=threads).normalized_margin(adjust)


def entropy_weighted(given: ArrayLike, pred_probs: ArrayLike, *, threads: int = 1) -> NDArray[Any]:
    """Return (N,) a score in [0, 1] that is low where the prediction is unsure and the given label improbable.

    With ``x`` the entropy of the row (1 for the uniform one) over the self-confidence (at least 1e-6), the score is
    ``log(1 + x) / x``. Where ``x`` vanishes (below 1e-6) the model is certain, and the score is the self-confidence: 1
    if certain of the given label, 0 if of another. NaN where the label is missing.

    Examples
    --------
    >>> entropy_weighted([0, 0, 0], [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]).round(3)
    array([1.   , 0.549, 0.   ])
    """
    reader = BlockReader(pred_probs, threads=threads)
    evidence = gather(reader, as_given(given, reader.num_rows, reader.num_classes))
    entropy = np.empty(reader.num_rows, reader.dtype)

    def work(start: int, stop: int) -> None:
        block = np.clip(reader.copy(start, stop), 0, None)
        entropy[start:stop] = -np.einsum("ij,ij->i", block, np.log(np.where(block > 0, block, 1)))

    reader.run(work)
    own = np.clip(evidence.own, 0, 1)
    ratio = entropy / reader.dtype.type(np.log(reader.num_classes)) / np.maximum(own, _TINY)
    scores = np.where(ratio > _TINY, np.log1p(ratio) / np.maximum(ratio, _TINY), own)
    scores[evidence.given < 0] = np.nan
    return scores


def class_thresholds(given: ArrayLike, pred_probs: ArrayLike, *, threads: int = 1) -> NDArray[np.float64]:
    """Return (K,) from which probability on each class counts as confident: the mean self-confidence of its rows.

    At least 2e-6; infinite for a class that no row is labelled as, since nothing can be confident of it.

    Examples
    --------
    >>> class_thresholds([0, 0, 1], [[0.75, 0.25], [0.25, 0.75], [0.25, 0.75]])
    array([0.5 , 0.75])
    """
    return Case(given, pred_probs, threads=threads).thresholds


def confident_joint(
    given: ArrayLike, pred_probs: ArrayLike, *, calibrate: bool = True, threads: int = 1
) -> NDArray[np.float64]:
    """Estimate the joint distribution of given and true labels.

    Each row that is confident of some class is counted to its given label and that class (the predicted one where it
    is confident of several). At least one row of each class is taken to be right.

    Parameters
    ----------
    given : (N,) int in [0, K), -1 where missing
        Given labels.
    pred_probs : (N, K) float
        Out-of-sample probabilities, each row summing to 1.
    calibrate : bool, default True
        Scale the counts to all labelled rows, in whole rows, so that the sums over columns are the given labels'
        frequencies. Otherwise only confident rows count.
    threads : int >= 1, default 1
        Blocks that are worked on at the same time.

    Returns
    -------
    (K, K) float64, >= 0, summing to 1
        Entry (i, j): share of rows given as i and estimated to be truly j.

    Raises
    ------
    DataError
        If shapes do not fit, a label has no column, a row is no distribution, or no row has a label.

    Examples
    --------
    >>> probs = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]]
    >>> confident_joint([0, 0, 0, 1, 1, 1], probs).round(2)
    array([[0.33, 0.17],
           [0.  , 0.5 ]])
    """
    case = Case(given, pred_probs, threads=threads)
    pairs = case.calibrated if calibrate else case.pairs
    return pairs / pairs.sum()


def prune_by_noise_rate(given: ArrayLike, pred_probs: ArrayLike, *, threads: int = 1) -> NDArray[np.bool_]:
    """Flag, of each pair of a given and another class, the estimated number of rows where the other leads by most.

    Examples
    --------
    >>> prune_by_noise_rate([0, 0, 1, 1, 1], [[0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]])
    array([False,  True, False, False, False])
    """
    return find_rule("prune_by_noise_rate")(Case(given, pred_probs, threads=threads))


def prune_by_class(given: ArrayLike, pred_probs: ArrayLike, *, threads: int = 1) -> NDArray[np.bool_]:
    """Flag, of each class, the estimated number of wrong rows, those of the lowest self-confidence.

    Examples
    --------
    >>> prune_by_class([0, 0, 1, 1, 1], [[0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]])
    array([False,  True, False, False, False])
    """
    return find_rule("prune_by_class")(Case(given, pred_probs, threads=threads))


def prune_by_both(given: ArrayLike, pred_probs: ArrayLike, *, threads: int = 1) -> NDArray[np.bool_]:
    """Flag what both :func:`prune_by_noise_rate` and :func:`prune_by_class` flag.

    Examples
    --------
    >>> prune_by_both([0, 0, 1, 1, 1], [[0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]])
    array([False,  True, False, False, False])
    """
    return find_rule("both")(Case(given, pred_probs, threads=threads))


def confident_learning(given: ArrayLike, pred_probs: ArrayLike, *, threads: int = 1) -> NDArray[np.bool_]:
    """Flag the rows counted off the diagonal of the confident joint: confident of another class than the given one.

    Examples
    --------
    >>> confident_learning([0, 0, 1, 1, 1], [[0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]])
    array([False,  True, False, False, False])
    """
    return find_rule("confident_learning")(Case(given, pred_probs, threads=threads))


def predicted_neq_given(given: ArrayLike, pred_probs: ArrayLike, *, threads: int = 1) -> NDArray[np.bool_]:
    """Flag the rows predicted as another class than the given one, by more than 1e-6.

    Examples
    --------
    >>> predicted_neq_given([0, 0, 1], [[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    array([False,  True, False])
    """
    return find_rule("predicted_neq_given")(Case(given, pred_probs, threads=threads))


def low_self_confidence(given: ArrayLike, pred_probs: ArrayLike, *, threads: int = 1) -> NDArray[np.bool_]:
    """Flag as many rows as :func:`confident_learning` does, those of the lowest self-confidence.

    Examples
    --------
    >>> low_self_confidence([0, 0, 1, 1, 1], [[0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]])
    array([False,  True, False, False, False])
    """
    return find_rule("low_self_confidence")(Case(given, pred_probs, threads=threads))


def low_normalized_margin(given: ArrayLike, pred_probs: ArrayLike, *, threads: int = 1) -> NDArray[np.bool_]:
    """Flag as many rows as :func:`confident_learning` does, those of the lowest normalized margin.

    Examples
    --------
    >>> low_normalized_margin([0, 0, 1, 1, 1], [[0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]])
    array([False,  True, False, False, False])
    """
    return find_rule("low_normalized_margin")(Case(given, pred_probs, threads=threads))
