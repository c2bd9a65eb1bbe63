"""Trust from neighbours: samples that look alike should have the same label, and one that differs is suspicious.

Nothing is trained here. Features in (an embedding, the numbers of a table), a graph of each row's most similar rows
out, and from their labels how far they agree with the row's own (:func:`agreement`), and at which rates classes are
given for each other (:func:`consensus`, :func:`solve_consensus`).

The graph is exact, by matrix products in blocks: memory grows with N (k + D), never with N x N, and what is counted of
labels grows with N k, never with N x K.

References
----------
Zhu, Song, Liu: Clusterability as an alternative to anchor points when learning with noisy labels. ICML 2021,
arXiv 2102.05291 (HOC).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.errors import DataError, ParameterError
from errata.labels import MISSING
from errata.scores.consensus import consensus, share_right, solve_consensus

__all__ = [
    "Neighbours",
    "Votes",
    "agreement",
    "consensus",
    "nearest",
    "share_right",
    "solve_consensus",
]

_BLOCK_VALUES = 1 << 25
"""Similarities held at a time: 128 MB."""

_ROWS = 1 << 15


@dataclass(frozen=True, eq=False)
class Neighbours:
    """A graph of nearest rows.

    Parameters
    ----------
    index : (N, k) int32, the k most similar rows of each row, the most similar first, never the row itself
    similarity : (N, k) float32, cosine in [-1, 1]; 0 for what is not there
        Where fewer than k rows can be neighbours, the row itself with similarity 0 fills the places left.
    """

    index: np.ndarray
    similarity: np.ndarray

    def __len__(self) -> int:
        return len(self.index)


def nearest(
    features: Any,
    k: int = 10,
    *,
    among: Any = None,
    within: Any = None,
    block_rows: int | None = None,
    advance: Callable[[float], None] | None = None,
) -> Neighbours:
    """Find the k most similar rows of each row by the cosine of their features; exact.

    Parameters
    ----------
    features : (N, D) numbers, finite
    k : neighbours of each row, 1 or more
    among : (N,) bool, which rows can be neighbours (those with a label); by default all
    within : (N,) int, rows are compared with rows of the same number only; by default with all
    block_rows : rows compared at a time; by default as many as need 128 MB. The result does not depend on it.
    advance : is told of shares of the work that are done, 1 in all

    Raises
    ------
    DataError
        where features are no finite table
    ParameterError
        where k is no whole number of 1 or more

    Examples
    --------
    >>> graph = nearest([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], k=1)
    >>> graph.index.ravel(), graph.similarity.ravel().round(2)
    (array([1, 0, 1], dtype=int32), array([1. , 1. , 0.1], dtype=float32))
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ParameterError(f"k must be a whole number of neighbours, 1 or more; got {k!r}.")
    unit = _unit(features)
    n = len(unit)
    allowed = np.ones(n, dtype=bool) if among is None else np.asarray(among, dtype=bool)
    index = np.repeat(np.arange(n, dtype=np.int32)[:, None], k, axis=1)
    similarity = np.zeros((n, k), dtype=np.float32)
    parts = [np.arange(n)] if within is None else _groups(np.asarray(within))
    for rows in parts:
        candidates = rows[allowed[rows]]
        for queries, found, values in _search(unit, rows, candidates, k, block_rows):
            index[queries, : found.shape[1]], similarity[queries, : found.shape[1]] = found, values
            if advance is not None:
                advance(len(queries) / n)
    return Neighbours(index, similarity)


def _unit(features: Any) -> np.ndarray:
    """(N, D) float32 of length one each; a row of zeros stays as it is."""
    table = np.asarray(features)
    if table.ndim != 2 or table.dtype.kind not in "fiub" or not table.size:
        raise DataError(f"Expected features as numbers of shape (N, D); got {table.dtype} {table.shape}.")
    table = table.astype(np.float32)
    odd = ~np.isfinite(table).all(axis=1)
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise DataError(
            f"Features must be finite numbers; row {row} holds NaN or infinity ({int(odd.sum()):,} rows do). "
            "Fill in or leave out what is missing."
        )
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    return table


def _groups(within: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(within, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(within[order])) + 1)


def _search(
    unit: np.ndarray, rows: np.ndarray, candidates: np.ndarray, k: int, block_rows: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield some rows, the most similar candidates of each, and their similarities; rows without candidates never."""
    import torch

    if not len(candidates):
        return
    whole = len(candidates) == len(unit)
    keys = torch.from_numpy(unit if whole else unit[candidates]).T
    place = np.full(len(unit), -1, dtype=np.int64)
    place[candidates] = np.arange(len(candidates))
    size = block_rows or max(1, min(4096, _BLOCK_VALUES // len(candidates)))
    for start in range(0, len(rows), size):
        queries = rows[start : start + size]
        likeness = torch.from_numpy(unit[queries]) @ keys
        own = place[queries]
        likeness[np.flatnonzero(own >= 0), own[own >= 0]] = -2.0
        values, at = likeness.topk(min(k, len(candidates)), dim=1)
        found, closeness = candidates[at.numpy()].astype(np.int32), values.numpy()
        itself = closeness < -1.5  # there are no more candidates than the row itself takes
        yield (
            queries,
            np.where(itself, queries[:, None], found).astype(np.int32),
            np.where(itself, np.float32(0), closeness),
        )


# -- votes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Votes:
    """What the neighbours of each row say.

    Parameters
    ----------
    own : (N,) float32 in [0, 1], the share of the votes for the given label; NaN where it is missing
    rival : (N,) float32 in [0, 1], the share for the strongest other label
    predicted : (N,) int32, the label with most votes; -1 where no neighbour has a label
    weight : (N,) float32, the sum of the similarities that voted
    """

    own: np.ndarray
    rival: np.ndarray
    predicted: np.ndarray
    weight: np.ndarray

    @property
    def margin(self) -> np.ndarray:
        """(N,) the lead of the given label from [-1, 1] to [0, 1], nearer to one half the less alike the voters are.

        It is as if one more vote, of similarity 1, were left undecided.
        """
        return (1 + (self.own - self.rival) * self.weight / (1 + self.weight)) / 2


def agreement(graph: Neighbours, codes: Any, *, k: int | None = None) -> Votes:
    """How far each row's neighbours have its label: shares of votes, each as heavy as it is similar.

    Parameters
    ----------
    graph : of N rows
    codes : (N,) given labels as codes, -1 where missing
    k : of how many neighbours; by default all of the graph

    Examples
    --------
    >>> graph = Neighbours(np.array([[1, 2], [0, 2], [0, 1]], dtype=np.int32), np.ones((3, 2), dtype=np.float32))
    >>> votes = agreement(graph, [0, 0, 1])
    >>> votes.own, votes.predicted
    (array([0.5, 0.5, 0. ], dtype=float32), array([0, 0, 0], dtype=int32))
    """
    given = as_codes(codes, len(graph))
    own, rival = np.zeros((2, len(graph)), dtype=np.float32)
    heavy = np.zeros(len(graph), dtype=np.float32)
    predicted = np.full(len(graph), MISSING, dtype=np.int32)
    for rows in row_blocks(len(graph)):
        index = graph.index[rows, :k]
        weights = np.maximum(graph.similarity[rows, :k], 0.0)
        labels = given[index]
        counts = label_weights(labels, weights * (labels != MISSING))
        heavy[rows] = (weights * (labels != MISSING)).sum(axis=1)
        total = np.maximum(heavy[rows], 1e-12)
        mine = labels == given[rows][:, None]
        own[rows] = (weights * mine).sum(axis=1) / total
        rival[rows] = np.where(mine, 0.0, counts).max(axis=1) / total
        best = counts.argmax(axis=1)
        at = np.arange(len(best))
        predicted[rows] = np.where(counts[at, best] > 0, labels[at, best], MISSING)
    np.clip(own, 0.0, 1.0, out=own)
    np.clip(rival, 0.0, 1.0, out=rival)
    own[given == MISSING] = np.nan
    return Votes(own, rival, predicted, heavy)


def label_weights(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B, k) for each neighbour the weight of all that have its label: what is counted grows with k, not with K."""
    return np.einsum("bij,bj->bi", (labels[:, :, None] == labels[:, None, :]).astype(np.float32), weights)


def row_blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _ROWS):
        yield slice(start, min(start + _ROWS, n))


def as_codes(codes: Any, n: int) -> np.ndarray:
    given = np.asarray(codes)
    if given.shape != (n,):
        raise DataError(f"Expected one label for each of the {n:,} rows of the graph; got shape {given.shape}.")
    return given.astype(np.int32)
