"""Which samples a pruned training set keeps, given their scores or features.

Every rule returns the positions that are kept, in rising order. ``keep`` is the share that is *kept* (the pruning
factor of "Distilling the knowledge in data pruning"); some papers call the share that is dropped the pruning rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from errata.errors import DataError, ParameterError

__all__ = [
    "Strata",
    "herding",
    "k_center",
    "keep_coverage",
    "keep_highest",
    "keep_middle",
    "keep_random",
    "kept_count",
    "strata",
    "within_classes",
]


def kept_count(keep: float, num_samples: int) -> int:
    """int(keep * N), at least 1.

    Examples
    --------
    >>> kept_count(0.29, 100), kept_count(0.001, 100)
    (29, 1)
    """
    if not 0 < keep <= 1:
        raise ParameterError(f"keep is the share of samples that stays, in (0, 1]; got {keep!r}.")
    return max(1, int(keep * num_samples + 1e-9))


def keep_random(num_samples: int, count: int, *, seed: int) -> np.ndarray:
    """``count`` samples uniformly without replacement: with distillation, as good as any score."""
    return np.sort(np.random.default_rng([seed, 0x9A]).permutation(num_samples)[:count])


def keep_highest(score: Any, count: int) -> np.ndarray:
    """The ``count`` samples with the highest scores; of equal ones the earlier. Infinite scores are allowed.

    Examples
    --------
    >>> keep_highest([0.5, np.inf, 0.1, 0.5], 2)
    array([0, 1])
    """
    values = np.asarray(score, dtype=np.float64)
    if np.isnan(values).any():
        raise DataError(f"Sample {int(np.flatnonzero(np.isnan(values))[0])} has no score (NaN); score all, or drop it.")
    return np.sort(np.argsort(-values, kind="stable")[:count])


def keep_middle(score: Any, keep: float) -> np.ndarray:
    """The middle share of all samples in the order of a score (moderate coreset); not class by class.

    Positions from round(N (1/2 - keep/2)) to round(N (1/2 + keep/2)) of the rising order are kept, halves rounded to
    even as in the authors' code.

    Examples
    --------
    >>> keep_middle([5.0, 1.0, 3.0, 2.0, 4.0], 0.6)
    array([2, 3, 4])
    """
    values = np.asarray(score, dtype=np.float64)
    order, n = np.argsort(values, kind="stable"), len(values)
    low, high = round(n * (0.5 - keep / 2)), round(n * (0.5 + keep / 2))
    return np.sort(order[low:high])


@dataclass(frozen=True)
class Strata:
    """A coverage-centric selection.

    Parameters
    ----------
    pool : positions that were left after the likely mislabelled ones were cut, rising
    counts : (S,) samples of the pool in each stratum of equal width
    selected : (S,) how many each may give
    stratum : (len(pool),) the stratum of each
    """

    pool: np.ndarray
    counts: np.ndarray
    selected: np.ndarray
    stratum: np.ndarray


def strata(margin: Any, score: Any, *, cut: float, count: int, num_strata: int = 50) -> Strata:
    """Coverage-centric selection: drop the likely mislabelled, then spread the budget over strata of the score.

    Parameters
    ----------
    margin : (N,) accumulated margin; the int(cut * N) samples with the lowest are dropped
    score : (N,) what the strata are made of, between its least value and 1.0001 times its largest
    cut : share that is dropped as mislabelled, in [0, 1)
    count : how many samples shall be kept
    num_strata : strata of equal width

    Returns
    -------
    Strata; the small ones give all they have, and what they lack is shared by the larger ones

    Examples
    --------
    >>> found = strata([1.0] * 5, [0.0, 0.1, 0.2, 0.3, 1.0], cut=0.0, count=3, num_strata=2)
    >>> found.counts, found.selected
    (array([4, 1]), array([2, 1]))
    """
    m, values = np.asarray(margin, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if m.shape != values.shape or not len(m):
        raise DataError(f"Expected a margin and a score for each sample, one at least; got {m.shape}, {values.shape}.")
    if not 0 <= cut < 1:
        raise ParameterError(f"cut is the share dropped as mislabelled, in [0, 1); got {cut!r}.")
    pool = np.sort(np.argsort(m, kind="stable")[int(cut * len(m)) :])
    own = values[pool]
    finite = np.isfinite(own)
    top = own[finite].max() if finite.any() else 0.0
    own = np.where(finite, own, top)  # never learned: in the hardest stratum
    edges = np.linspace(own.min(), 1.0001 * top if top > 0 else top + 1e-4 * max(1.0, abs(top)), num_strata + 1)
    stratum = np.clip(np.searchsorted(edges, own, side="right") - 1, 0, num_strata - 1)
    counts = np.bincount(stratum, minlength=num_strata)
    selected = np.zeros(num_strata, dtype=np.int64)
    left = min(count, len(pool))
    # which of several strata of one size comes first is free; torch's order is that of the authors' code
    for visited, one in enumerate(torch.argsort(torch.from_numpy(counts)).tolist()):
        selected[one] = min(counts[one], left // (num_strata - visited))
        left -= selected[one]
    return Strata(pool, counts, selected, stratum)


def keep_coverage(
    margin: Any, score: Any, *, cut: float, count: int, num_strata: int = 50, seed: int = 0
) -> np.ndarray:
    """The samples of a coverage-centric selection, drawn at random within each stratum; parameters as of ``strata``.

    Examples
    --------
    >>> len(keep_coverage(np.arange(100), np.arange(100), cut=0.2, count=30))
    30
    """
    found = strata(margin, score, cut=cut, count=count, num_strata=num_strata)
    shuffled = np.random.default_rng([seed, 0xCC]).permutation(len(found.pool))
    by_stratum = shuffled[np.argsort(found.stratum[shuffled], kind="stable")]
    start = np.cumsum(found.counts) - found.counts
    place = np.arange(len(by_stratum)) - start[found.stratum[by_stratum]]
    return np.sort(found.pool[by_stratum[place < found.selected[found.stratum[by_stratum]]]])


def herding(features: Any, count: int) -> np.ndarray:
    """Samples whose mean runs along the mean of all: at each step the one that brings it nearest. O(count N d).

    Examples
    --------
    >>> herding([[0.0], [1.0], [2.0]], 1)
    array([1])
    """
    h = np.asarray(features, dtype=np.float64)
    mean, total = h.mean(0), np.zeros(h.shape[1])
    free = np.ones(len(h), dtype=bool)
    norms = np.square(h).sum(1)
    for step in range(1, min(count, len(h)) + 1):
        # |mean - (total + h) / step|^2 without what does not depend on h
        wanted = step * mean - total
        distance = np.where(free, norms - 2 * (h @ wanted), np.inf)
        best = int(distance.argmin())
        free[best] = False
        total += h[best]
    return np.flatnonzero(~free)


def k_center(features: Any, count: int, *, seed: int = 0) -> np.ndarray:
    """Samples such that every other is near one of them: at each step the one farthest from all. O(count N d).

    Examples
    --------
    >>> len(k_center([[0.0], [0.1], [9.0]], 2)), 2 in k_center([[0.0], [0.1], [9.0]], 2)
    (2, True)
    """
    h = np.asarray(features, dtype=np.float64)
    chosen = [int(np.random.default_rng([seed, 0x6C]).integers(len(h)))]
    norms = np.square(h).sum(1)
    nearest = np.full(len(h), np.inf)
    while len(chosen) < min(count, len(h)):
        last = chosen[-1]
        nearest = np.minimum(nearest, norms - 2 * (h @ h[last]) + norms[last])
        nearest[last] = -np.inf
        chosen.append(int(nearest.argmax()))
    return np.sort(np.asarray(chosen))


def within_classes(labels: Any, count: int) -> dict[int, int]:
    """How many samples each class may keep, in proportion to its size; the largest remainders get what rounding left.

    Examples
    --------
    >>> within_classes([0, 0, 0, 1], 2)
    {0: 1, 1: 1}
    """
    found, sizes = np.unique(np.asarray(labels), return_counts=True)
    exact = sizes * count / sizes.sum()
    quota = np.floor(exact).astype(np.int64)
    # the smaller class first where remainders are equal: it has more to lose
    order = np.lexsort((sizes, -(exact - quota)))
    quota[order[: count - int(quota.sum())]] += 1
    return {int(one): int(q) for one, q in zip(found, quota)}
