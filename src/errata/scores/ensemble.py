"""Several opinions of the same labels: ranks are averaged, and the average is given the spread of a calibrated one.

Scores of different methods have different units, but each of them orders the rows. The mean of a row's places in these
orders needs no unit, and errs less than each where they err apart. What it says of probabilities is nothing, so it
borrows: the row in a certain place gets the trust that stands in this place of a method whose trust is calibrated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from errata.errors import DataError, ParameterError

__all__ = ["like", "mixture_share", "rank_average"]

SMALLEST = 1e-7


def rank_average(scores: Sequence[Any], weights: Sequence[float] | None = None) -> np.ndarray:
    """The mean place of each row among all rows, over several scores.

    Parameters
    ----------
    scores : S of (N,) float, each rising with the trust in the labels; NaN where a method says nothing of a row
    weights : S numbers, 0 or more, not all 0; by default equal ones

    Returns
    -------
    (N,) float64 in (0, 1), rising with the trust; equal scores share their mean place; the mean is over those methods
    that say something, NaN where none does

    Examples
    --------
    >>> rank_average([[0.1, 0.5, 0.9], [10.0, 30.0, 20.0]]).round(2)
    array([0.17, 0.67, 0.67])
    """
    from scipy.stats import rankdata

    if not len(scores):
        raise DataError("There is no score to average; at least one is needed.")
    table = [np.asarray(s, dtype=np.float64) for s in scores]
    if any(s.ndim != 1 or len(s) != len(table[0]) for s in table):
        raise DataError(f"Scores must be of the same rows; got shapes {', '.join(str(s.shape) for s in table)}.")
    share = np.ones(len(table)) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != (len(table),) or not (share >= 0).all() or not share.sum() > 0:
        raise ParameterError(f"Expected {len(table)} weights of 0 or more, not all 0; got {weights!r}.")
    total, heard = np.zeros((2, len(table[0])))
    for score, weight in zip(table, share):
        known = np.flatnonzero(~np.isnan(score))
        total[known] += weight * (rankdata(score[known]) - 0.5) / max(1, len(known))
        heard[known] += weight
    return np.divide(total, heard, out=np.full(len(total), np.nan), where=heard > 0)


def like(values: Any, reference: Any) -> np.ndarray:
    """Give values the distribution of a reference, keeping their order: the lowest gets the lowest, and so on.

    Parameters
    ----------
    values : (N,) float; NaN stays NaN
    reference : (M,) float, not all NaN where there are values

    Returns
    -------
    (N,) float32; equal values get the mean of what falls to them

    Examples
    --------
    >>> like([3.0, 1.0, 2.0, 2.0], [0.1, 0.2, 0.4, 0.9]).round(2)
    array([0.9, 0.1, 0.3, 0.3], dtype=float32)
    """
    array, spread = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    spread = np.sort(spread[~np.isnan(spread)])
    known = np.flatnonzero(~np.isnan(array))
    found = np.full(len(array), np.nan, dtype=np.float32)
    if not len(known):
        return found
    if not len(spread):
        raise DataError("The reference holds no number, so there is no distribution to take over.")
    place = (np.arange(len(known)) + 0.5) / len(known)
    taken = np.interp(place, (np.arange(len(spread)) + 0.5) / len(spread), spread)
    _, group, counts = np.unique(array[known], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    sums = np.concatenate([[0.0], np.cumsum(taken)])
    found[known] = ((sums[ends] - sums[ends - counts]) / counts)[group]
    return found


def mixture_share(one: Any, other: Any) -> float:
    """The share of one of two sources in the mixture of both that makes what was observed most probable.

    Parameters
    ----------
    one, other : (N,) the probabilities that two sources, neither of which has seen the row, gave to what was observed;
        NaN where one says nothing

    Returns
    -------
    float in [0, 1]; 0.5 where there is nothing to go by

    References
    ----------
    Smyth, Wolpert: Linearly combining density estimators via stacking, Machine Learning 1999.

    Examples
    --------
    >>> mixture_share([0.9, 0.8, 0.9], [0.5, 0.5, 0.5]), mixture_share([0.5, 0.5], [0.9, 0.9])
    (1.0, 0.0)
    >>> round(mixture_share([0.9, 0.1], [0.1, 0.9]), 2)
    0.5
    """
    a, b = (np.clip(np.asarray(p, dtype=np.float64), SMALLEST, 1.0) for p in (one, other))
    if a.ndim != 1 or a.shape != b.shape:
        raise DataError(f"Expected two sources' probabilities of the same rows; got shapes {a.shape} and {b.shape}.")
    known = ~(np.isnan(a) | np.isnan(b))
    gain, base = (a - b)[known], b[known]
    if not gain.any():
        return 0.5
    if (gain / base).sum() <= 0:  # the likelihood is concave in the share: its slope at the ends tells
        return 0.0
    if (gain / (base + gain)).sum() >= 0:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if (gain / (base + middle * gain)).sum() > 0 else (low, middle)
    return (low + high) / 2
