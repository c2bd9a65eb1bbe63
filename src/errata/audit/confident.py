"""Confident learning: from labels and out-of-sample probabilities to a ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from errata.audit.trust import sharpness, shifted_odds
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.labels import MISSING, ClassLabels
from errata.ledger import Ledger, Noise

__all__ = ["RANKINGS", "confident"]

RANKINGS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
"""What the rows can be ranked by."""

_CHUNK = 65_536


def confident(
    labels: ClassLabels,
    pred_probs: np.ndarray,
    *,
    rule: str = "prune_by_noise_rate",
    rank_by: str = "self_confidence",
    adjust_pred_probs: bool = False,
    count: str = "off_diagonal",
    index: np.ndarray | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Ledger:
    """Find the wrong labels by confident learning (Northcutt et al. 2021).

    The joint distribution of given and true labels is counted among the rows whose probability of some class is above
    that class's average among its own rows; ``rule`` flags as many rows as the joint says are wrong.

    Parameters
    ----------
    labels : N labels of K classes
    pred_probs : (N, K) out-of-sample probabilities, column k for class k; memory-mapped arrays are read in blocks
    rule : which rows are issues: "prune_by_noise_rate", "prune_by_class", "both", "confident_learning", ... (see
        ``errata.scores.confident.find_label_issues``)
    rank_by : "self_confidence", the probability of the given label; "normalized_margin", its lead over the strongest
        other class; or "confidence_weighted_entropy", low where the prediction is unsure and the given label improbable
    adjust_pred_probs : take each class's threshold off the probabilities before ranking, so that rows of rare classes
        are ranked fairly; not for "confidence_weighted_entropy". The flagged rows do not depend on it.
    count : of the rules "low_self_confidence" and "low_normalized_margin": how many rows are flagged, "off_diagonal" or
        "off_diagonal_calibrated" (see ``errata.scores.confident.num_label_issues``)
    index : (N,) row numbers in the data; by default 0 to N-1
    meta : goes into the ledger

    Returns
    -------
    Ledger
        ``proposed`` is, for an issue, the most probable class other than the given one; for a row without a label, the
        most probable class; else the given label. ``trust`` has the order of ``rank_by``, and the scale of a chance to
        be right (see ``shifted_odds`` and ``sharpness``). Columns: ``self_confidence``, ``normalized_margin``, and
        ``proposed_probability``, the model's own figure for the proposed label.

    Raises
    ------
    DataError
        where a row of ``pred_probs`` is no distribution, or fewer than two classes have labels
    UnknownNameError
        for a rule or a ranking that does not exist

    References
    ----------
    Northcutt, Jiang, Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR 2021,
    arXiv 1911.00068.

    Examples
    --------
    >>> labels = ClassLabels.encode(["cat", "cat", "dog", "dog", "dog"])
    >>> probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])
    >>> confident(labels, probs).table[["given", "proposed", "issue"]].tail(2)
      given proposed  issue
    3   dog      dog  False
    4   dog      cat   True
    """
    from errata.scores.confident import find_label_issues

    _check_ranking(rank_by, adjust_pred_probs)
    require_two_classes(labels)
    given = labels.codes.astype(np.int32)
    found = find_label_issues(given, pred_probs, rule=rule, count=count)
    noise = Noise(np.asarray(found.joint, dtype=np.float64).T.copy())
    score = _score(found, given, pred_probs, rank_by, adjust_pred_probs)
    proposed, probability = _proposals(given, found, pred_probs)
    options = {**({"adjust_pred_probs": True} if adjust_pred_probs else {}), **_unusual(count)}
    return Ledger(
        given,
        proposed,
        shifted_odds(score, noise.rate, slope=sharpness(given, pred_probs)),
        classes=labels.classes,
        issue=found.issues,
        noise=noise,
        columns={
            "self_confidence": found.self_confidence,
            "normalized_margin": found.normalized_margin,
            "proposed_probability": probability,
        },
        index=index,
        meta={"method": "confident", "rule": rule, "rank_by": rank_by, **options, **(meta or {})},
    )


def _check_ranking(rank_by: str, adjust_pred_probs: bool) -> None:
    if rank_by not in RANKINGS:
        raise UnknownNameError("ranking (rank_by)", rank_by, RANKINGS)
    if adjust_pred_probs and rank_by == "confidence_weighted_entropy":
        raise ParameterError(
            "adjust_pred_probs is for rank_by='self_confidence' and 'normalized_margin'; adjusted numbers are no "
            "distribution that has an entropy. Leave one of the two out."
        )


def _unusual(count: str) -> dict[str, str]:
    return {} if count == "off_diagonal" else {"count": count}


def _score(found: Any, given: np.ndarray, pred_probs: np.ndarray, rank_by: str, adjust: bool) -> np.ndarray:
    """(N,) what the rows are ranked by."""
    from errata.scores.confident import entropy_weighted, normalized_margin, self_confidence

    if rank_by == "confidence_weighted_entropy":
        return entropy_weighted(given, pred_probs)
    if adjust:
        return (self_confidence if rank_by == "self_confidence" else normalized_margin)(given, pred_probs, adjust=True)
    return found.self_confidence if rank_by == "self_confidence" else found.normalized_margin


def require_two_classes(labels: ClassLabels) -> None:
    """Refuse labels that are all the same: no label can then be told to be wrong."""
    present = [c for c, n in zip(labels.classes, labels.counts) if n]
    if len(present) < 2:
        raise DataError(
            f"Expected labels of at least two classes; all {len(labels) - labels.missing:,} are {present[0]!r}. "
            "There is nothing to compare them with."
        )


def _proposals(given: np.ndarray, found: Any, pred_probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) the proposed labels, and (N,) the model's probability of each.

    Of most rows both follow from what is known already, so that a memory-mapped table is not read once more.
    """
    proposed = np.where(found.issues, found.predicted, given).astype(np.int32)
    probability = np.array(found.self_confidence, dtype=np.float32)
    changed = np.flatnonzero(proposed != given)
    # the margin is (own - rival + 1) / 2
    rival = found.self_confidence[changed] - 2 * found.normalized_margin[changed] + 1
    probability[changed] = np.clip(rival, 0.0, 1.0)
    read = np.flatnonzero((given == MISSING) | (found.issues & (proposed == given)))
    for start in range(0, len(read), _CHUNK):
        rows = read[start : start + _CHUNK]
        others = np.array(pred_probs[rows], dtype=np.float32)
        labelled = np.flatnonzero(given[rows] != MISSING)
        others[labelled, given[rows[labelled]]] = -1.0  # some rules flag a label that is predicted, but weakly
        proposed[rows] = others.argmax(1)
        probability[rows] = others.max(1)
    return proposed, probability
