"""Several labels per item, each there or not: how far each can be trusted, and the item as a whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from errata.errors import DataError, UnknownNameError
from errata.scores.confident import find_label_issues

__all__ = ["WAYS", "combine", "judge", "self_confidence", "unvarying"]

WAYS = ("product", "min", "average", "ema")
"""How the trust in an item follows from that in its labels, see :func:`combine`."""


def self_confidence(given: NDArray[np.integer], probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return (N, L) how probable it is that each label is rightly there, or rightly not.

    Parameters
    ----------
    given : (N, L) int: 1 where the label is given, 0 where not, -1 where nothing is known
    probabilities : (N, L) float in [0, 1], that the label applies; they need not sum to one over labels

    Returns
    -------
    (N, L) float in [0, 1]; NaN where nothing is known

    Raises
    ------
    DataError
        If shapes differ, or a value is no probability.

    Examples
    --------
    >>> self_confidence(np.array([[1, 0, -1]]), np.array([[0.75, 0.25, 0.5]]))
    array([[0.75, 0.75,  nan]])
    """
    if given.shape != probabilities.shape or given.ndim != 2:
        raise DataError(
            f"Expected given labels and probabilities of one shape (N, L); got {given.shape} and {probabilities.shape}."
        )
    odd = ~((probabilities >= 0) & (probabilities <= 1))
    if odd.any():
        row, column = np.argwhere(odd)[0].tolist()
        raise DataError(
            f"pred_probs: row {row}, column {column} is {probabilities[row, column]:.6g}, expected a probability from "
            "0 to 1. If these are logits, apply the sigmoid function first."
        )
    return np.where(given == 1, probabilities, np.where(given == 0, 1 - probabilities, np.nan))


def judge(
    given: NDArray[np.integer], probabilities: NDArray[np.floating], given_odds: float = 4.0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return (N, L) trust in each given label, and (N, L) which of them are issues.

    An issue is what confident learning flags on the label by itself, and what is improbable besides: the first alone
    mistakes labels that are hard to predict for wrong ones, the second alone those that are rare. Of a label that all
    rows have, or none has, no row is an issue.

    Parameters
    ----------
    given, probabilities : see ``self_confidence``
    given_odds : what it counts for a label that it was given, above 0: the odds of the model are multiplied by this

    Returns
    -------
    trust in [0, 1], NaN where nothing is known; and issues

    Examples
    --------
    >>> trust, issue = judge(np.array([[1], [1], [0], [0], [0]]), np.array([[0.9], [0.8], [0.1], [0.2], [0.95]]))
    >>> issue.T
    array([[False, False, False, False,  True]])
    """
    score = self_confidence(given, probabilities).astype(np.float32)
    trust = score * given_odds / (score * given_odds + (1 - score))
    issue = np.nan_to_num(trust, nan=1.0) < 0.5
    same = unvarying(given)
    for place in range(given.shape[1]):
        column = given[:, place].astype(np.int32)
        if same[place]:
            trust[:, place] = np.where(column < 0, np.nan, np.maximum(trust[:, place], 0.5))
            issue[:, place] = False
            continue
        both = np.column_stack([1 - probabilities[:, place], probabilities[:, place]])
        issue[:, place] &= find_label_issues(column, both, rule="prune_by_noise_rate").issues
    return trust, issue


def unvarying(given: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return (L,) which labels all known rows have, or none of them.

    Examples
    --------
    >>> unvarying(np.array([[1, 0, -1], [1, 1, -1]]))
    array([ True, False,  True])
    """
    return ~((given == 1).any(axis=0) & (given == 0).any(axis=0))


def combine(trust: NDArray[np.floating], way: str = "product", *, weight: float = 0.8) -> NDArray[np.float64]:
    """Return (N,) the trust in items from that in their parts; NaN parts do not count, an item without any has NaN.

    Parameters
    ----------
    trust : (N, L) float in [0, 1]
    way : "product": the chance that all are right, if they are right independently of each other. "min": the worst
        part alone. "average": the mean. "ema": the parts sorted from best to worst, and averaged so that each
        outweighs all before it by ``weight`` (an exponential moving average, as cleanlab's default)
    weight : of "ema", in (0, 1]; 1 is "min"

    Examples
    --------
    >>> for way in WAYS:
    ...     print(way, combine(np.array([[0.5, 1.0, 1.0]]), way).round(2))
    product [0.5]
    min [0.5]
    average [0.83]
    ema [0.6]
    """
    if way not in WAYS:
        raise UnknownNameError("way to combine", way, WAYS)
    known = ~np.isnan(trust)
    none = ~known.any(axis=1)
    if way == "product":
        found = np.where(known, trust, 1.0).prod(axis=1, dtype=np.float64)
    elif way == "min":
        found = np.where(known, trust, 1.0).min(axis=1).astype(np.float64)
    elif way == "average":
        found = np.where(known, trust, 0.0).sum(axis=1, dtype=np.float64) / np.maximum(known.sum(axis=1), 1)
    else:
        found = _moving_average(np.where(known, trust, np.nan), weight)
    found[none] = np.nan
    return found


def _moving_average(trust: NDArray[np.floating], weight: float) -> NDArray[np.float64]:
    ordered = -np.sort(-trust, axis=1)  # NaN last
    found = ordered[:, 0].astype(np.float64)
    for column in ordered.T[1:]:
        found = np.where(np.isnan(column), found, weight * column + (1 - weight) * found)
    return found
