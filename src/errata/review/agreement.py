"""What several opinions come to: the consensus on each row, and how far the reviewers agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.errors import ParameterError
from errata.forms.agreeing import Alike

if TYPE_CHECKING:
    from errata.review.decisions import Decision

__all__ = ["Agreed", "Agreement", "Pair", "agree", "cohen_kappa", "consensus", "fleiss_kappa", "grouped", "verdict"]

Answer = tuple[str, str | None]
"""An action, and the new label where there is one."""


@dataclass(frozen=True)
class Agreed:
    """What most reviewers say of one row: fields as in ``Decision``, the reviewers of that opinion joined by commas."""

    row: Any
    action: str
    label: str | None
    reviewer: str
    when: str
    note: str


@dataclass(frozen=True)
class Pair:
    """Two reviewers, on the rows that both decided.

    Parameters
    ----------
    first, second : their names
    rows : how many rows both decided
    same : on how many they say the same
    kappa : Cohen's kappa, in [-1, 1]; NaN where it isn't defined
    """

    first: str
    second: str
    rows: int
    same: int
    kappa: float


@dataclass(frozen=True)
class Agreement:
    """How far the reviewers agree.

    Parameters
    ----------
    tallies : by reviewer, how often each action
    pairs : every two reviewers who have rows in common
    fleiss : Fleiss' kappa over all rows with two opinions or more; NaN where there are none
    rows : how many rows have two opinions or more
    disputed : the rows on which opinions differ; True where there is no consensus yet
    """

    tallies: dict[str, Counter[str]]
    pairs: list[Pair]
    fleiss: float
    rows: int
    disputed: dict[Any, bool]


def grouped(answers: Sequence[Answer], alike: Alike | None = None) -> list[Answer]:
    """Each answer as the first one said it that means the same.

    Parameters
    ----------
    alike : whether two labels mean the same; by default where they are equal

    Examples
    --------
    >>> grouped([("relabel", "dog"), ("relabel", "Dog")], lambda a, b: a.lower() == b.lower())
    [('relabel', 'dog'), ('relabel', 'dog')]
    """
    if alike is None:
        return list(answers)
    first: list[Answer] = []
    found = []
    for action, label in answers:
        same = (one for one in first if one[0] == action and _mean_the_same(one[1], label, alike))
        known = next(same, (action, label))
        first += [known] if known not in first else []
        found.append(known)
    return found


def _mean_the_same(one: str | None, other: str | None, alike: Alike) -> bool:
    return one == other or (one is not None and other is not None and alike(one, other))


def verdict(answers: Sequence[Answer], alike: Alike | None = None) -> Answer | None:
    """The most common answer, as it was said first; None for a tie, or where there is no answer.

    Parameters
    ----------
    alike : as of ``grouped``

    Examples
    --------
    >>> verdict([("keep", None), ("relabel", "dog"), ("keep", None)])
    ('keep', None)
    >>> verdict([("keep", None), ("drop", None)]) is None
    True
    """
    counted = Counter(grouped(answers, alike)).most_common(2)
    if not counted or (len(counted) == 2 and counted[0][1] == counted[1][1]):
        return None
    return counted[0][0]


def _by_row(standing: Iterable[Decision]) -> Iterator[tuple[Any, list[Decision]]]:
    """The rows with their opinions; who skipped has none. ``standing`` is ordered by row."""
    for row, group in groupby(standing, key=lambda d: d.row):
        opinions = [d for d in group if d.action != "skip"]
        if opinions:
            yield row, opinions


def consensus(standing: Iterable[Decision], overlap: int = 1, alike: Alike | None = None) -> Iterator[Agreed]:
    """What most reviewers say of each row that has enough opinions and no tie.

    Parameters
    ----------
    standing : ordered by row, as ``Decisions.standing`` gives them
    overlap : how many opinions a row needs, 1 or more
    alike : as of ``grouped``; of several labels that mean the same, the first counts
    """
    if overlap < 1:
        raise ParameterError(f"overlap must be 1 or more opinions per row; got {overlap}.")
    for row, opinions in _by_row(standing):
        answers = grouped([(d.action, d.label) for d in opinions], alike)
        found = verdict(answers) if len(opinions) >= overlap else None
        if found is not None:
            of_it = [d for d, answer in zip(opinions, answers) if answer == found]
            notes = " / ".join(d.note for d in opinions if d.note)
            names = ", ".join(d.reviewer for d in of_it)
            yield Agreed(row, *found, names, max(d.when for d in of_it), notes)


def cohen_kappa(first: Sequence[Any], second: Sequence[Any]) -> float:
    """Cohen's kappa of two raters: agreement beyond what their habits alone would give.

    Parameters
    ----------
    first, second : (N,) their answers on the same N items, of any hashable type

    Returns
    -------
    float in [-1, 1]; NaN where N is 0 or chance alone agrees always (both gave one and the same answer)

    References
    ----------
    J. Cohen, A coefficient of agreement for nominal scales, 1960.

    Examples
    --------
    >>> cohen_kappa(["keep", "drop", "keep", "drop"], ["keep", "drop", "drop", "drop"])
    0.5
    """
    if len(first) != len(second):
        raise ParameterError(f"Both raters must have answered the same items; got {len(first)} and {len(second)}.")
    n = len(first)
    if n == 0:
        return math.nan
    same = sum(a == b for a, b in zip(first, second))
    counts_a, counts_b = Counter(first), Counter(second)
    chance = sum(counts_a[answer] * counts_b[answer] for answer in counts_a)  # times n ** 2
    if chance == n * n:
        return math.nan
    return (same * n - chance) / (n * n - chance)


def fleiss_kappa(counts: Any) -> float:
    """Fleiss' kappa of many raters, who need not be the same for each item.

    Parameters
    ----------
    counts : (N, K) how many raters gave item i the answer k; items with fewer than two raters are left out. Where the
        number of raters differs between items, each item counts once in the agreement and each rating in the chance.

    Returns
    -------
    float, at most 1; NaN where no item has two raters, or all ratings are one and the same answer

    References
    ----------
    J. L. Fleiss, Measuring nominal scale agreement among many raters, 1971.

    Examples
    --------
    >>> round(fleiss_kappa([[3, 0], [2, 1], [0, 3]]), 3)
    0.55
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2:
        raise ParameterError(f"counts must be (items, answers); got shape {table.shape}.")
    raters = table.sum(axis=1)
    table, raters = table[raters >= 2], raters[raters >= 2]
    if not len(table):
        return math.nan
    observed = float(((table * (table - 1)).sum(axis=1) / (raters * (raters - 1))).mean())
    shares = table.sum(axis=0) / raters.sum()
    chance = float((shares**2).sum())
    return math.nan if np.isclose(chance, 1.0) else (observed - chance) / (1.0 - chance)


def agree(standing: Iterable[Decision], alike: Alike | None = None) -> Agreement:
    """Compare the reviewers. The answers compared are "keep", "drop", and each new label; skipping is no answer.

    Parameters
    ----------
    standing : ordered by row, as ``Decisions.standing`` gives them
    alike : as of ``grouped``
    """
    standing = list(standing)
    tallies: dict[str, Counter[str]] = {}
    for d in standing:
        tallies.setdefault(d.reviewer, Counter())[d.action] += 1
    answers: dict[Answer, int] = {}
    shared: list[Counter[int]] = []
    both: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
    disputed: dict[Any, bool] = {}
    for row, opinions in _by_row(standing):
        if len(opinions) < 2:
            continue
        same = grouped([(d.action, d.label) for d in opinions], alike)
        said = {d.reviewer: answers.setdefault(answer, len(answers)) for d, answer in zip(opinions, same)}
        shared.append(Counter(said.values()))
        for a, b in combinations(sorted(said), 2):
            lists = both.setdefault((a, b), ([], []))
            lists[0].append(said[a])
            lists[1].append(said[b])
        if len(shared[-1]) > 1:
            disputed[row] = verdict(same) is None
    counts = np.zeros((len(shared), max(1, len(answers))))
    for i, counted in enumerate(shared):
        for answer, n in counted.items():
            counts[i, answer] = n
    pairs = [
        Pair(a, b, len(x), sum(p == q for p, q in zip(x, y)), cohen_kappa(x, y))
        for (a, b), (x, y) in sorted(both.items())
    ]
    return Agreement(dict(sorted(tallies.items())), pairs, fleiss_kappa(counts), len(shared), disputed)
