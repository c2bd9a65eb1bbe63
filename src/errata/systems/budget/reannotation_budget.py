"""Budget-sensitive reannotation: with money for B labels, which rows shall be labelled again?

Several models that were trained on the noisy labels predict every row. Where a prediction is not the given label, one
of the two is wrong, and the label hierarchy says how much is at stake: two kinds of birthplace are near each other, a
person's employer and a river's mouth are not. A row's score is the mean distance of its given label to the models'
predictions in the tree: by edges (GD), or up to the lowest common ancestor only (LD). The rows with the highest scores
are looked at first.

What a budget buys is simulated where the truth is known: errors caught after each row, how many of the rows looked at
were wrong, how far two strategies catch the same errors, and how the measured F1 of fixed predictions moves as the
labels are mended. Nothing is trained here and nothing is kept per row but a score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata import systems
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.scores.query import random_score, signed_confidence
from errata.scores.tree import Distances

__all__ = [
    "STRATEGIES",
    "Curve",
    "ReannotationBudget",
    "agreement",
    "budget_curve",
    "budget_rows",
    "ensemble_scores",
    "f1_curve",
    "rank_rows",
    "selection_jaccard",
]

STRATEGIES = ("gd", "ld", "confidence", "ratio", "random")


def ensemble_scores(
    labels: Any, predictions: Any, distances: Distances, confidence: Any = None, power: float = 0.0
) -> dict[str, np.ndarray]:
    """The strategies' scores, each the mean over the models.

    Parameters
    ----------
    labels : (N,) given labels in [0, K)
    predictions : (N, M) labels that M models predict
    distances : between the K labels; see ``errata.scores.tree.tree_distances``
    confidence : (N, M) probability that each model gives its prediction; without it there is no "confidence", and
        ``power`` must be 0
    power : p of ratio * confidence ** p

    Returns
    -------
    dict of (N,) float64:

    - "gd": edges between given and predicted label
    - "ld": edges between the given label and its lowest common ancestor with the predicted one
    - "ratio": ld as a share of the given label's depth, times confidence ** power; 0 for a label at the root
    - "confidence": confidence in predictions that differ, less the confidence in those that don't

    Examples
    --------
    >>> found = ensemble_scores([0, 2], [[0, 1], [0, 0]], Distances.flat(3), [[0.5, 0.5], [1.0, 0.5]], power=1.0)
    >>> {name: score.tolist() for name, score in found.items()}
    {'gd': [1.0, 2.0], 'ld': [0.5, 1.0], 'ratio': [0.25, 0.75], 'confidence': [0.0, 0.75]}
    """
    given, votes = _checked(labels, predictions, len(distances.depth))
    ld = distances.ancestor[given[:, None], votes]
    ratio = ld / np.maximum(distances.depth[given], 1)[:, None]
    found = {"gd": distances.graph[given[:, None], votes].mean(axis=1), "ld": ld.mean(axis=1)}
    if confidence is None:
        if power:
            raise ParameterError("ratio with a power of the confidence needs the models' confidence.")
        return {**found, "ratio": ratio.mean(axis=1)}
    sure = np.asarray(confidence, dtype=np.float64)
    if sure.shape != votes.shape:
        raise DataError(f"Expected a confidence for each prediction, {votes.shape}; got {sure.shape}.")
    found["ratio"] = (ratio * sure**power).mean(axis=1)
    found["confidence"] = signed_confidence(given, votes, sure)
    return found


def rank_rows(score: Any, ties: Any = None) -> np.ndarray:
    """(N,) rows by falling score; equal ones by falling ``ties``, and then in their own order.

    A score of NaN (nothing is known of the row) comes last.

    Examples
    --------
    >>> rank_rows([1.0, 2.0, 1.0]), rank_rows([1.0, 2.0, 1.0], ties=[0, 0, 1])
    (array([1, 0, 2]), array([1, 2, 0]))
    """
    first = np.nan_to_num(-np.asarray(score, dtype=np.float64), nan=np.inf)
    if ties is None:
        return np.argsort(first, kind="stable")
    second = np.nan_to_num(-np.asarray(ties, dtype=np.float64), nan=np.inf)
    return np.lexsort((np.arange(len(first)), second, first))


def budget_rows(budget: int | float | str, num_rows: int) -> int:
    """How many rows a budget pays for: a number of rows, or a share of them ("5%", or 0.05), rounded up.

    Examples
    --------
    >>> budget_rows("5%", 68_124), budget_rows(500, 68_124), budget_rows(0.1, 15)
    (3407, 500, 2)
    """
    wrong = ParameterError(
        f"A budget is a whole number of rows, or a share such as 5% or 0.05 (100% for all); got {budget!r}."
    )
    value: float
    try:
        if isinstance(budget, str) and budget.strip().endswith("%"):
            value = float(budget.strip()[:-1]) / 100
            share = True
        else:
            value = float(budget)
            share = 0 < value < 1
    except ValueError:
        raise wrong from None
    if isinstance(budget, bool) or not math.isfinite(value) or value <= 0 or (share and value > 1):
        raise wrong
    if not share and value != int(value):
        raise wrong
    # 5 % of 60 is 3, and not the 4 that 3.0000000000000004 would be rounded up to
    return min(num_rows, math.ceil(value * num_rows - 1e-9) if share else int(value))


@dataclass(frozen=True)
class Curve:
    """What a budget buys when rows are looked at in some order.

    Parameters
    ----------
    order : (N,) rows, the first to be looked at first
    caught : (N+1,) errors among the first i rows
    """

    order: np.ndarray
    caught: np.ndarray

    @property
    def errors(self) -> int:
        """How many there are in all."""
        return int(self.caught[-1])

    def efficiency(self, rows: int) -> float:
        """The share of the first ``rows`` rows that are errors."""
        return float(self.caught[rows]) / max(1, rows)

    def recall(self, rows: int) -> float:
        """The share of all errors that are among the first ``rows`` rows; NaN where there are none."""
        return float(self.caught[rows]) / self.errors if self.errors else math.nan

    def caught_rows(self, rows: int, is_error: Any) -> np.ndarray:
        """The errors among the first ``rows`` rows, in the order in which they are met."""
        head = self.order[:rows]
        return head[np.asarray(is_error, dtype=bool)[head]]


def budget_curve(score: Any, is_error: Any, ties: Any = None) -> Curve:
    """Simulate a budget: errors caught after 0, 1, ..., N rows in the order of the score.

    Parameters
    ----------
    score : (N,) the highest first
    is_error : (N,) bool, whether the given label is wrong
    ties : see ``rank_rows``

    Examples
    --------
    >>> curve = budget_curve([0.1, 0.9, 0.5], [True, True, False])
    >>> curve.order, curve.caught, curve.efficiency(2)
    (array([1, 2, 0]), array([0, 1, 1, 2]), 0.5)
    """
    wrong = np.asarray(is_error, dtype=bool)
    if wrong.shape != np.shape(score):
        raise DataError(f"Expected whether each of {np.shape(score)} rows is an error; got shape {wrong.shape}.")
    order = rank_rows(score, ties)
    return Curve(order, np.concatenate([[0], np.cumsum(wrong[order])]))


def f1_curve(labels: Any, mended: Any, predictions: Any, order: Any, exclude: int | None = 0) -> np.ndarray:
    """Micro-F1 of fixed predictions against labels of which the first i in an order have been mended.

    Parameters
    ----------
    labels, mended : (N,) the given labels, and those that a second look gives
    predictions : (N,) of one model
    order : (N,) rows
    exclude : a label that means "none of them": its predictions are no finds, and rows with it nothing to be found

    Returns
    -------
    (N+1,) float64 in [0, 1]. Three counters are moved by each row, so it takes O(N).

    Examples
    --------
    >>> f1_curve([0, 1, 2], [1, 1, 2], [1, 1, 1], order=[0, 1, 2]).round(2)
    array([0.4 , 0.67, 0.67, 0.67])
    """
    old, new, said, rows = (np.asarray(v, dtype=np.int64) for v in (labels, mended, predictions, order))
    none = -(2**62) if exclude is None else exclude
    found = said != none

    def moved(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        step = after[rows].astype(np.int64) - before[rows]
        return before.sum() + np.concatenate([[0], np.cumsum(step)])

    hits = moved((said == old) & found, (said == new) & found)
    wanted = moved(old != none, new != none)
    total = int(found.sum()) + wanted
    return np.divide(2.0 * hits, total, out=np.zeros(len(total)), where=total > 0)


def selection_jaccard(a: Any, b: Any) -> float:
    """How far two selections are the same: shared rows as a share of all; 1 for two empty ones. Low means novel.

    Examples
    --------
    >>> selection_jaccard([1, 2, 3], [2, 3, 4])
    0.5
    """
    one, other = np.unique(np.asarray(a)), np.unique(np.asarray(b))
    shared = len(np.intersect1d(one, other, assume_unique=True))
    either = len(one) + len(other) - shared
    return shared / either if either else 1.0


def agreement(mended: Any, predictions: Any, rows: Any) -> float:
    """The share of some rows whose mended label at least one of the models predicts; NaN of no rows.

    Examples
    --------
    >>> agreement([0, 1, 2], [[0, 1], [0, 0], [2, 2]], rows=[0, 1])
    0.5
    """
    some = np.asarray(rows, dtype=np.int64)
    if not len(some):
        return math.nan
    right = np.asarray(predictions)[some] == np.asarray(mended)[some, None]
    return float(right.any(axis=1).mean())


class ReannotationBudget:
    """Puts rows in the order in which their labels should be looked at again.

    Parameters
    ----------
    strategy : "gd" (the paper's first, edges between given and predicted label), "ld" (its second, up to the lowest
        common ancestor), "confidence" (the models' confidence that the label is another), "ratio" (LD as a share of the
        label's depth), or "random"
    power : of the confidence that "ratio" is multiplied with, 0 or more; the authors tried 0, 1/2, 1 and 2
    seed : of "random"

    Notes
    -----
    On a flat tree GD and LD only count the models that disagree with the label, and with leaves of one depth GD is
    twice LD. In the authors' own data the tree's gain over that count is small, and confidence does as well once pure
    renamings of labels are no errors.

    Examples
    --------
    >>> from errata.scores.tree import tree_distances
    >>> distances = tree_distances([3, 3, 4, 4, -1], 3)  # two siblings, and a third label
    >>> rule = ReannotationBudget("gd")
    >>> rule.order([0, 0, 0], [[0], [1], [2]], distances)
    array([2, 1, 0])

    References
    ----------
    Parekh, Anand, Awekar: Budget sensitive reannotation of noisy relation classification data using label hierarchy,
    arXiv 2112.13320.
    """

    card = systems.card("reannotation-budget")

    def __init__(self, strategy: str = "gd", *, power: float = 0.0, seed: int = 0) -> None:
        if strategy not in STRATEGIES:
            raise UnknownNameError("strategy", strategy, STRATEGIES)
        if not power >= 0:
            raise ParameterError(f"power must be 0 or more; got {power!r}.")
        self.strategy = strategy
        self.power = power
        self.seed = seed

    def score(
        self, labels: Any, predictions: Any, distances: Distances | None = None, confidence: Any = None
    ) -> np.ndarray:
        """(N,) the strategy's score; arguments as of ``ensemble_scores``, a flat tree by default."""
        votes = np.asarray(predictions)
        if self.strategy == "random":
            return random_score(len(votes), seed=self.seed)
        if self.strategy == "confidence" and confidence is None:
            raise ParameterError("The strategy 'confidence' needs the models' confidence in their predictions.")
        tree = distances
        if tree is None:
            tree = Distances.flat(int(max(np.max(labels, initial=0), votes.max(initial=0))) + 1)
        return ensemble_scores(labels, votes, tree, confidence, self.power)[self.strategy]

    def order(
        self,
        labels: Any,
        predictions: Any,
        distances: Distances | None = None,
        confidence: Any = None,
        ties: Any = None,
    ) -> np.ndarray:
        """(N,) the rows, the first to be looked at first; ties as of ``rank_rows``."""
        return rank_rows(self.score(labels, predictions, distances, confidence), ties)


def _checked(labels: Any, predictions: Any, num_labels: int) -> tuple[np.ndarray, np.ndarray]:
    given, votes = np.asarray(labels), np.asarray(predictions)
    if given.ndim != 1 or votes.ndim != 2 or len(votes) != len(given) or not votes.shape[1]:
        raise DataError(
            f"Expected labels (N,) and predictions (N, M) of M models; got {given.shape} and {votes.shape}."
        )
    for what, codes in (("label", given), ("prediction", votes)):
        if codes.dtype.kind not in "iu":
            raise DataError(f"Expected each {what} as a whole number, a class code; got {codes.dtype}.")
        if codes.size and (codes.min() < 0 or codes.max() >= num_labels):
            row = int(np.argwhere((codes < 0) | (codes >= num_labels))[0][0])
            raise DataError(f"The hierarchy has labels 0 to {num_labels - 1}; the {what} of row {row} is outside.")
    return given.astype(np.int64), votes.astype(np.int64)
