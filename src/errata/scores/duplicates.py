"""Which rows are the same, or nearly: exact by value, texts by the pieces they share, features by distance.

Nothing here compares all rows with all: equal rows are brought together by sorting, texts by MinHash, features by a
tree over their main directions. What is found is then checked by the exact measure: a pair that is told is a pair.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLOSE", "group_equal", "groups_of_pairs", "near_features", "near_texts", "nearest_distance"]

CLOSE = 0.1
"""Near duplicates are closer than this share of the median distance to the nearest other row."""

ALIKE = 0.8
"""Texts are near duplicates that share at least this share of their pieces."""

_BANDS, _ROWS = 20, 4  # of MinHash: two texts that share 0.8 of their pieces meet but once in 50,000 times not
_PROBED = 2_000
_DIRECTIONS = 10
_NEIGHBOURS = 8
_PRIME = np.uint64((1 << 61) - 1)


def group_equal(codes: NDArray[Any]) -> NDArray[np.int64]:
    """Return (N,) the number of the group of equal values that a row is in, from 0; -1 where no other row is equal.

    Groups are numbered by their first row.

    Examples
    --------
    >>> group_equal(np.array([7, 3, 7, 5, 3]))
    array([ 0,  1,  0, -1,  1])
    """
    _, first, codes, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts > 1)
    number = np.full(len(counts), -1, dtype=np.int64)
    number[several[np.argsort(first[several])]] = np.arange(len(several))
    return number[codes.ravel()]


def groups_of_pairs(pairs: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Return (rows,) the group of each row where pairs (P, 2) are in one group, and pairs of pairs; -1 for none.

    Examples
    --------
    >>> groups_of_pairs(np.array([[3, 1], [1, 4]]), 5)
    array([-1,  0, -1,  0,  0])
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(rows, rows))
    return group_equal(connected_components(links, directed=False)[1])


# -- features ---------------------------------------------------------------------------------------------------------


def nearest_distance(features: NDArray[np.float32], *, seed: int = 0, probed: int = _PROBED) -> NDArray[np.float32]:
    """Return (min(N, probed),) the distance of a random sample of rows to the nearest row that is not equal.

    Examples
    --------
    >>> nearest_distance(np.array([[0.0], [0.0], [3.0]], dtype=np.float32))
    array([3., 3., 3.], dtype=float32)
    """
    rng = np.random.default_rng([seed, 0xD15])
    rows = rng.choice(len(features), min(len(features), probed), replace=False)
    chosen, own = features[rows], (features[rows] ** 2).sum(axis=1)
    found = np.full(len(rows), np.inf, dtype=np.float32)
    step = max(1, (1 << 24) // max(1, len(rows)))
    for start in range(0, len(features), step):
        block = features[start : start + step]
        squares = own[:, None] + (block**2).sum(axis=1)[None, :] - 2 * chosen @ block.T
        squares[squares <= 1e-6 * np.maximum(own, 1e-12)[:, None]] = np.inf  # the row itself, and equal ones
        np.minimum(found, squares.min(axis=1), out=found)
    return np.sqrt(found)


def near_features(
    features: NDArray[np.float32], *, close: float = CLOSE, radius: float | None = None, seed: int = 0
) -> tuple[NDArray[np.int64], float]:
    """Find pairs of rows that are nearly the same, but not equal.

    Parameters
    ----------
    features : (N, D) float32, comparable in all directions (standardised, or of length one)
    close : how close: as a share of the median distance of a row to the nearest other one
    radius : how close as a distance instead
    seed : of the sample that the median is taken over

    Returns
    -------
    (P, 2) int64 pairs of rows, the first lower, the closest first; and the radius
        Each row is compared with the 8 nearest in the ten main directions; of a larger group not every pair is found.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(100, 5)).astype(np.float32)
    >>> x[70] = x[20] + 0.001
    >>> near_features(x)[0]
    array([[20, 70]])
    """
    from scipy.spatial import cKDTree

    if len(features) < 3:
        return np.empty((0, 2), dtype=np.int64), 0.0
    features = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)  # small numbers lose less
    if radius is None:
        distances = nearest_distance(features, seed=seed)
        distances = distances[np.isfinite(distances)]
        radius = close * float(np.median(distances)) if len(distances) else 0.0
    if radius <= 0:
        return np.empty((0, 2), dtype=np.int64), 0.0
    unequal = np.unique(_row_codes(features), return_index=True)[1]
    main = _main_directions(features[unequal], seed)
    tree = cKDTree(main, balanced_tree=False, compact_nodes=False)
    count = min(_NEIGHBOURS + 1, len(unequal))
    near: Any
    _, near = tree.query(main, k=list(range(1, count + 1)), distance_upper_bound=radius * (1 + 1e-4))
    at, place = np.nonzero((near < len(unequal)) & (near != np.arange(len(unequal))[:, None]))
    pairs = np.sort(np.column_stack([unequal[at], unequal[near[at, place]]]), axis=1)
    pairs = np.unique(pairs, axis=0) if len(pairs) else pairs
    apart = np.linalg.norm(features[pairs[:, 0]] - features[pairs[:, 1]], axis=1)
    kept = np.flatnonzero(apart <= radius)
    return pairs[kept[np.argsort(apart[kept], kind="stable")]].astype(np.int64), radius


def _row_codes(features: NDArray[np.float32]) -> NDArray[Any]:
    rows = np.ascontiguousarray(features + np.float32(0.0))  # -0 becomes 0
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _main_directions(features: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """(N, at most 10), by a rotation: rows that are close stay close."""
    if features.shape[1] <= _DIRECTIONS:
        return features
    rng = np.random.default_rng([seed, 0xD12])
    some = features[rng.choice(len(features), min(len(features), 10_000), replace=False)]
    centre = some.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((some - centre).T.astype(np.float64)))
    return (features - centre) @ vectors[:, ::-1][:, :_DIRECTIONS].astype(np.float32)


# -- texts ------------------------------------------------------------------------------------------------------------


def near_texts(
    offsets: NDArray[np.int64], ids: NDArray[np.int32], *, alike: float = ALIKE, seed: int = 0
) -> NDArray[np.int64]:
    """Find pairs of texts that share most of their pieces (Jaccard similarity), equal ones too.

    Parameters
    ----------
    offsets : (N + 1,) int64; text i has the pieces ``ids[offsets[i]:offsets[i + 1]]``
    ids : (M,) int32 >= 0, hashes of words or of pairs of words
    alike : share of all pieces of two texts that both have, in (0, 1]
    seed : of the hash functions

    Returns
    -------
    (P, 2) int64 pairs of rows, the first lower
        Texts are compared that meet under one of 20 combinations of four hash functions (MinHash), each with the first
        and with the next that it meets there; of a larger group not every pair is found.

    References
    ----------
    Broder: On the resemblance and containment of documents, 1997.

    Examples
    --------
    >>> ids = np.array([1, 2, 3, 4, 5, 9, 1, 2, 3, 4, 5, 8, 9], dtype=np.int32)
    >>> near_texts(np.array([0, 5, 6, 11, 13]), ids)
    array([[0, 2]])
    """
    filled = np.flatnonzero(np.diff(offsets) > 0)
    pairs = [np.empty((0, 2), dtype=np.int64)]
    rng = np.random.default_rng([seed, 0x7E87])
    for _ in range(_BANDS):
        key = np.zeros(len(filled), dtype=np.uint64)
        for _ in range(_ROWS):
            factor, shift = rng.integers(1, 1 << 61, 2, dtype=np.uint64)
            mixed = ids.astype(np.uint64) * factor + shift  # wraps around, which mixes just as well
            mixed ^= mixed >> np.uint64(31)
            least = np.minimum.reduceat(mixed, offsets[filled]) if len(filled) else mixed
            key = (key ^ least) * np.uint64(0x9E3779B97F4A7C15)
        pairs.append(_meeting(key, filled))
    met = np.unique(np.concatenate(pairs), axis=0)
    return met[_jaccard(offsets, ids, met) >= alike]


def _meeting(key: NDArray[np.uint64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order][1:] == key[order][:-1])
    first = np.arange(len(order))
    starts = np.append(True, key[order][1:] != key[order][:-1]) if len(order) else np.empty(0, bool)
    first = np.maximum.accumulate(np.where(starts, first, 0))
    chain = np.column_stack([order[same], order[same + 1]])
    hub = np.column_stack([order[first[same + 1]], order[same + 1]])
    return np.sort(rows[np.concatenate([chain, hub])], axis=1).astype(np.int64)


def _jaccard(offsets: NDArray[np.int64], ids: NDArray[np.int32], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """(P,) shares of different pieces that two texts have in common."""
    from scipy.sparse import csr_array

    if not len(pairs):
        return np.empty(0)
    bags = csr_array((np.ones(len(ids), np.float32), ids, offsets), shape=(len(offsets) - 1, int(ids.max()) + 1))
    bags.sum_duplicates()
    bags.data[:] = 1.0
    size = np.diff(bags.indptr)
    shares = np.empty(len(pairs))
    for start in range(0, len(pairs), 100_000):
        a, b = pairs[start : start + 100_000].T
        both = np.asarray(bags[a].multiply(bags[b]).sum(axis=1)).ravel()
        shares[start : start + len(a)] = both / (size[a] + size[b] - both)
    return shares
