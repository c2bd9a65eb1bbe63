"""How far a row is from the others, and whether the order of the rows has a meaning: both by nearest neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from errata.errors import DataError

__all__ = ["REFERENCES", "drift", "knn_distance", "outlier_score", "sampled_neighbours"]

REFERENCES = 5_000
"""Rows that distances are measured to, at most; of a larger data set a random sample."""

_CELLS = 1 << 23  # distances at a time
_PERMUTATIONS = 200
_BINS = 64


def sampled_neighbours(
    features: NDArray[np.float32], k: int = 10, *, references: int = REFERENCES, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Find the k nearest rows of each, among all or a random sample of them.

    Parameters
    ----------
    features : (N, D) float32
    k : neighbours, 1 or more; less where there are not so many rows
    references : rows that are searched at most
    seed : of the sample

    Returns
    -------
    (N, k) float32 distances, rising; (N, k) int64 rows; and the (S,) int64 rows that were searched
        A row is not its own neighbour.

    Examples
    --------
    >>> distance, row, _ = sampled_neighbours(np.array([[0.0], [1.0], [5.0]], dtype=np.float32), k=1)
    >>> distance.ravel(), row.ravel()
    (array([1., 1., 4.], dtype=float32), array([1, 0, 1]))
    """
    if features.ndim != 2 or len(features) < 2:
        raise DataError(f"features: expected shape (N, D) with two rows or more, found {features.shape}.")
    n = len(features)
    features = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)  # small numbers lose less
    searched = np.arange(n)
    if n > references:
        searched = np.sort(np.random.default_rng([seed, 0x0A7]).choice(n, references, replace=False))
    k = min(k, len(searched) - 1)
    pool = np.ascontiguousarray(features[searched])
    norms = (pool**2).sum(axis=1)
    distance = np.empty((n, k), dtype=np.float32)
    row = np.empty((n, k), dtype=np.int64)
    step = max(1, _CELLS // len(pool))
    for start in range(0, n, step):
        block = features[start : start + step]
        squares = norms - 2 * (block @ pool.T)
        own = np.searchsorted(searched, np.arange(start, start + len(block)))
        own = np.minimum(own, len(searched) - 1)
        at = np.flatnonzero(searched[own] == np.arange(start, start + len(block)))
        squares[at, own[at]] = np.inf
        near = np.argpartition(squares, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(squares, near, axis=1)
        order = np.argsort(values, axis=1, kind="stable")
        near, values = np.take_along_axis(near, order, axis=1), np.take_along_axis(values, order, axis=1)
        distance[start : start + step] = np.sqrt(np.maximum(values + (block**2).sum(axis=1)[:, None], 0.0))
        row[start : start + step] = searched[near]
    return distance, row, searched


def knn_distance(distance: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (N,) the mean of each row's distances to its neighbours, (N, k)."""
    return distance.mean(axis=1, dtype=np.float64)


def outlier_score(mean_distance: NDArray[np.floating]) -> NDArray[np.float64]:
    """Turn mean distances to the neighbours into scores, (N,): how many times the usual spread above the usual.

    The logarithms of the distances are compared with their median, in units of the upper quartile's lead over it (of a
    normal distribution 0.674 deviations), so that single far rows do not shift the scale. Rows that equal their
    neighbours have minus infinity.

    Examples
    --------
    >>> outlier_score(np.array([1.0, 1.1, 1.2, 1.3, 1.4, 9.0])).round(1)
    array([-1.6, -0.9, -0.3,  0.3,  0.8, 13.9])
    """
    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(mean_distance, dtype=np.float64))
    known = logs[np.isfinite(logs)]
    if not len(known):
        return np.full(len(logs), -np.inf)
    middle, upper = np.quantile(known, [0.5, 0.75])
    scale = max((upper - middle) / 0.6745, 1e-3)
    return (logs - middle) / scale


def drift(neighbours: NDArray[np.int64], rows: int, *, seed: int = 0) -> tuple[float, float]:
    """Tell whether rows that are alike lie near each other in the data, as where the data changed over time.

    The distances in the order between rows and their nearest neighbours are compared with those of random pairs, by the
    largest difference of the two distributions (Kolmogorov's statistic). How large it gets by chance is found by
    permuting the order.

    Parameters
    ----------
    neighbours : (M, 1 + k) int: a row, and its neighbours
    rows : N, how many rows there are; all numbers are below
    seed : of the permutations

    Returns
    -------
    the statistic in [0, 1], and its p-value in (0, 1], 1/201 at least

    References
    ----------
    Cummings, Snorrason, Mueller: Detecting Dataset Drift and Non-IID Sampling via k-Nearest Neighbors, 2023,
    arXiv 2305.15696, on the idea; the test here is of distances in the order, with permutations.

    Examples
    --------
    >>> near = np.array([[i, (i + 1) % 100] for i in range(99)])
    >>> statistic, p = drift(near, 100)
    >>> statistic > 0.9, p < 0.01
    (True, True)
    """
    rng = np.random.default_rng([seed, 0xD81F7])
    used, places = np.unique(neighbours, return_inverse=True)
    places = places.reshape(neighbours.shape)
    if len(used) < 3:
        return 0.0, 1.0
    position = np.arange(len(used))
    observed = _statistic(position, places)
    larger = sum(_statistic(rng.permutation(position), places) >= observed for _ in range(_PERMUTATIONS))
    return observed, (1 + larger) / (1 + _PERMUTATIONS)


def _statistic(position: NDArray[np.int64], places: NDArray[np.int64]) -> float:
    n = len(position)
    apart = np.abs(position[places[:, :1]] - position[places[:, 1:]]).ravel()
    edges = np.linspace(0, n, _BINS + 1)[1:]
    found = np.bincount(np.searchsorted(edges, apart, side="left"), minlength=_BINS)[:_BINS].cumsum() / len(apart)
    whole = np.floor(edges)
    random = np.minimum(1.0, (2.0 * n * whole - whole * (whole + 1)) / (n * (n - 1.0)))  # of pairs drawn at random
    return float(np.abs(found - random).max())
