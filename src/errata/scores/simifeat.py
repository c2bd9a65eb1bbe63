"""SimiFeat: labels that neighbours contradict, by votes or by ranks, again and again over random subsets.

Nothing is trained: the method takes the graph of :mod:`errata.scores.neighbours`, drops rows at random, and flags what
most draws flag. Written after the paper; the numbers (k, rounds, share) are its own.

References
----------
Zhu, Dong, Liu: Detecting corrupted labels without training a model to predict. ICML 2022, arXiv 2110.06283.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.errors import ParameterError, UnknownNameError
from errata.labels import MISSING
from errata.scores.neighbours import Neighbours, as_codes, label_weights, row_blocks

__all__ = ["RULES", "SimiFeat", "simifeat"]

RULES = ("vote", "rank")
"""How rows are flagged."""

_MOST_WRONG = 0.95  # of a class: never all of it


@dataclass(frozen=True, eq=False)
class SimiFeat:
    """What SimiFeat says of each row.

    Parameters
    ----------
    issues : (N,) bool, whether more than half of the rounds flagged the row
    flagged : (N,) float32 in (0, 1), (rounds that flagged it + 1) / (rounds that drew it + 2); NaN without a label
    score : (N,) float32 in [0, 1], mean cosine of the neighbours' votes and the given label; NaN without a label
    proposed : (N,) int32, the label most often suggested by rounds that flagged the row; else the given one
    """

    issues: np.ndarray
    flagged: np.ndarray
    score: np.ndarray
    proposed: np.ndarray


def simifeat(
    graph: Neighbours,
    codes: Any,
    *,
    rule: str = "vote",
    k: int = 10,
    right: Any = None,
    rounds: int = 21,
    share: float = 0.9,
    seed: int = 0,
) -> SimiFeat:
    """Detect corrupted labels by the votes (SimiFeat-V) or the ranks (SimiFeat-R) of neighbours, over random subsets.

    In each round a share of the rows is drawn; of each, the nearest k - 1 drawn ones vote with their similarity, the
    row itself with what the similarity of its nearest two extrapolates to. "vote" flags a row where another label has
    most votes. "rank" scores a row by the cosine of the votes with its label, and flags of each class the lowest, as
    many as are estimated to be wrong. A row is an issue where most of its rounds flagged it.

    Parameters
    ----------
    graph : of N rows, with more than k neighbours each: those not drawn are passed over. k / share and half as many
        again is ample; then the result is that of a new graph in every round.
    codes : (N,) given labels as codes, -1 where missing
    rule : "vote" or "rank"
    k : rows that vote, the row itself included; 3 or more
    right : (K,) of "rank": share of right labels among those given as each class, see :func:`share_right`
    rounds : 1 or more
    share : of the rows drawn in a round, in (0, 1]
    seed : of the draws

    References
    ----------
    Zhu, Dong, Liu: Detecting corrupted labels without training a model to predict. ICML 2022, arXiv 2110.06283.

    Examples
    --------
    >>> from errata.scores.neighbours import nearest
    >>> angle = np.r_[np.linspace(0, 0.2, 12), np.linspace(1.3, 1.5, 12)]
    >>> codes = np.repeat([0, 1], 12)
    >>> codes[3] = 1
    >>> found = simifeat(nearest(np.c_[np.cos(angle), np.sin(angle)], k=8), codes, k=5)
    >>> np.flatnonzero(found.issues), found.proposed[3]
    (array([3]), np.int32(0))
    """
    _check_simifeat(rule, k, rounds, share, right)
    given = as_codes(codes, len(graph))
    labelled = np.flatnonzero(given != MISSING)
    rng = np.random.default_rng([seed, 0x51F1])
    flags, drawn = np.zeros((2, len(given)), dtype=np.int32)
    total = np.zeros(len(given), dtype=np.float32)
    suggested = np.full((len(given), rounds), MISSING, dtype=np.int32)
    for number in range(rounds):
        chosen = np.zeros(len(given), dtype=bool)
        chosen[rng.permutation(labelled)[: max(1, int(share * len(labelled)))]] = True
        score, predicted = _round(graph, given, chosen, k)
        flagged = chosen & ((predicted != given) if rule == "vote" else _lowest(score, given, chosen, right))
        drawn += chosen
        flags += flagged
        total += np.where(chosen, score, 0.0)
        suggested[flagged, number] = predicted[flagged]
    return _summed(given, flags, drawn, total, suggested)


def _summed(
    given: np.ndarray, flags: np.ndarray, drawn: np.ndarray, total: np.ndarray, suggested: np.ndarray
) -> SimiFeat:
    known = given != MISSING
    often = ((flags + 1.0) / (drawn + 2.0)).astype(np.float32)
    issues = known & (often > 0.5)
    proposed = given.copy()
    for row in np.flatnonzero(issues):
        names, counts = np.unique(suggested[row][suggested[row] != MISSING], return_counts=True)
        counts = np.where(names == given[row], 0, counts)  # a low rank may have the given label in front
        if counts.max() > 0:
            proposed[row] = names[counts.argmax()]
    score = (total / np.maximum(drawn, 1)).astype(np.float32)
    for values in (often, score):
        values[~known] = np.nan
    return SimiFeat(issues, often, score, proposed)


def _check_simifeat(rule: str, k: int, rounds: int, share: float, right: Any) -> None:
    if rule not in RULES:
        raise UnknownNameError("rule of SimiFeat", rule, RULES)
    if k < 3 or rounds < 1 or not 0 < share <= 1:
        raise ParameterError(
            f"SimiFeat needs k of 3 or more, rounds of 1 or more and a share in (0, 1]; got k={k!r}, "
            f"rounds={rounds!r}, share={share!r}."
        )
    if rule == "rank" and right is None:
        raise ParameterError(
            "SimiFeat's 'rank' needs the share of right labels of each class (right=share_right(...))."
        )


def _round(graph: Neighbours, given: np.ndarray, chosen: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) the cosine of the votes with the given label, and (N,) the label with most votes."""
    score = np.zeros(len(given), dtype=np.float32)
    predicted = given.copy()
    for rows in row_blocks(len(given)):
        index, similarity = graph.index[rows], graph.similarity[rows]
        taken = chosen[index] & (index != np.arange(rows.start, rows.stop)[:, None])
        taken &= taken.cumsum(axis=1) < k
        first = _of_rank(similarity, taken, 1)
        itself = np.maximum(2.0 * first - _of_rank(similarity, taken, 2), first)
        labels = np.concatenate([given[rows][:, None], given[index]], axis=1)
        weights = np.concatenate([itself[:, None], similarity * taken], axis=1).clip(min=0.0)
        counts = label_weights(labels, weights)
        length = np.sqrt(np.maximum((weights * counts).sum(axis=1), 1e-12))
        score[rows] = counts[:, 0] / length
        best = np.where(weights > 0, counts, 0.0).argmax(axis=1)
        predicted[rows] = labels[np.arange(len(best)), best]
    return np.clip(score, 0.0, 1.0), predicted


def _of_rank(similarity: np.ndarray, taken: np.ndarray, rank: int) -> np.ndarray:
    """(B,) the similarity of the rank-th (from 1) that is taken; 0 where there is none."""
    at = taken & (taken.cumsum(axis=1) == rank)
    return (similarity * at).sum(axis=1)


def _lowest(score: np.ndarray, given: np.ndarray, chosen: np.ndarray, right: Any) -> np.ndarray:
    """(N,) of each class the lowest scores among the chosen rows, as many as are taken to be wrong."""
    wrong = np.clip(1.0 - np.asarray(right, dtype=np.float64), 0.0, _MOST_WRONG)
    flagged = np.zeros(len(score), dtype=bool)
    for c in range(len(wrong)):
        rows = np.flatnonzero(chosen & (given == c))
        number = round(float(wrong[c]) * len(rows))
        flagged[rows[np.argsort(score[rows], kind="stable")[:number]]] = True
    return flagged
