"""Distances between labels in a tree: a mistake between siblings is smaller than one across the house.

A tree is told by the parent of each of its nodes. Everything is worked out from the nodes' paths down from the root,
a table of nodes times levels, so that all pairs of labels, or any list of pairs, take one pass over the levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.errors import DataError

__all__ = ["Distances", "Paths", "tree_distances"]

_SHOWN = 5


@dataclass(frozen=True)
class Paths:
    """The way from the root to each node.

    Parameters
    ----------
    nodes : (V, D+1) int64, ``nodes[v, j]`` is the ancestor of v at depth j, v itself at its own depth, and below it
        numbers that no other node has
    depth : (V,) int64, edges between the root and each node

    Examples
    --------
    >>> paths = Paths.of([4, 4, 3, 5, 5, -1])
    >>> paths.depth
    array([2, 2, 2, 1, 1, 0])
    >>> paths.common([0, 0], [1, 2])
    array([1, 0])
    """

    nodes: np.ndarray
    depth: np.ndarray

    @classmethod
    def of(cls, parent: Any) -> Paths:
        """From the parent of each node; the root has -1.

        Raises
        ------
        DataError
            where that is no tree: no root or several, a parent that is no node, a circle
        """
        above = _checked_parents(parent)
        count = len(above)
        climbing = np.arange(count)
        way = [climbing]
        while (climbing >= 0).any():
            if len(way) > count:
                raise DataError(
                    f"The hierarchy goes in a circle through node {int(climbing.max())}; it must be a tree."
                )
            climbing = np.where(climbing >= 0, above[climbing], -1)
            way.append(climbing)
        upward = np.stack(way[:-1], axis=1)  # (V, D+1): itself, its parent, ..., the root, then -1
        depth = (upward >= 0).sum(axis=1) - 1
        levels = np.arange(upward.shape[1])
        place = depth[:, None] - levels
        downward = np.take_along_axis(upward, np.maximum(place, 0), axis=1)
        # below a node stands a number of its own, so that nothing there equals anything of another node
        return cls(np.where(place >= 0, downward, count + np.arange(count)[:, None]), depth)

    def common(self, a: Any, b: Any) -> np.ndarray:
        """Depth of the lowest common ancestor of nodes ``a`` and ``b``, which are broadcast against each other."""
        a, b = np.broadcast_arrays(np.asarray(a), np.asarray(b))
        found = np.full(a.shape, -1, dtype=np.int64)
        for level in range(self.nodes.shape[1]):
            same = self.nodes[a, level] == self.nodes[b, level]
            found += same & (found == level - 1)
        # a node's own number stands at one level only, but a label compared with itself agrees below its depth too
        return np.minimum(found, np.minimum(self.depth[a], self.depth[b]))

    def graph_distance(self, a: Any, b: Any) -> np.ndarray:
        """Edges between two nodes (GD)."""
        a, b = np.asarray(a), np.asarray(b)
        return self.depth[a] + self.depth[b] - 2 * self.common(a, b)

    def ancestor_distance(self, a: Any, b: Any) -> np.ndarray:
        """Edges between ``a`` and its lowest common ancestor with ``b`` (LD); it is not symmetric."""
        return self.depth[np.asarray(a)] - self.common(a, b)


@dataclass(frozen=True)
class Distances:
    """Distances between K labels of a tree.

    Parameters
    ----------
    graph : (K, K) edges between a given and a predicted label (GD)
    ancestor : (K, K) edges between the given label (row) and the lowest common ancestor with the predicted one (LD)
    depth : (K,) edges between the root and each label

    Examples
    --------
    >>> Distances.flat(3).graph
    array([[0, 2, 2],
           [2, 0, 2],
           [2, 2, 0]])
    """

    graph: np.ndarray
    ancestor: np.ndarray
    depth: np.ndarray

    @classmethod
    def flat(cls, num_labels: int) -> Distances:
        """Of a tree in which every label hangs from the root: only whether labels differ counts."""
        differ = 1 - np.eye(num_labels, dtype=np.int64)
        return cls(2 * differ, differ, np.ones(num_labels, dtype=np.int64))


def tree_distances(parent: Any, labels: Any) -> Distances:
    """All distances between some nodes of a tree.

    Parameters
    ----------
    parent : (V,) the parent of each node, -1 for the root
    labels : (K,) the labels' nodes, or K for the first K nodes; a label may be an inner node

    Returns
    -------
    Distances

    Raises
    ------
    DataError
        where ``parent`` is no tree, or a label no node of it

    Examples
    --------
    Two animals under one node, and a car beside it:

    >>> found = tree_distances([3, 3, 4, 4, -1], 3)
    >>> found.graph[0], found.ancestor[0], found.ancestor[2]
    (array([0, 2, 3]), array([0, 1, 2]), array([1, 1, 0]))

    References
    ----------
    Parekh, Anand, Awekar: Budget sensitive reannotation of noisy relation classification data using label hierarchy,
    arXiv 2112.13320: strategies GD and LD.
    """
    paths = Paths.of(parent)
    nodes = np.arange(labels) if isinstance(labels, (int, np.integer)) else np.asarray(labels, dtype=np.int64)
    if nodes.size and (nodes.min() < 0 or nodes.max() >= len(paths.depth)):
        odd = int(nodes[(nodes < 0) | (nodes >= len(paths.depth))][0])
        raise DataError(f"The hierarchy has nodes 0 to {len(paths.depth) - 1}; a label was said to be node {odd}.")
    common = paths.common(nodes[:, None], nodes[None, :])
    depth = paths.depth[nodes]
    return Distances(depth[:, None] + depth[None, :] - 2 * common, depth[:, None] - common, depth)


def _checked_parents(parent: Any) -> np.ndarray:
    above = np.asarray(parent)
    if above.ndim != 1 or not len(above) or above.dtype.kind not in "iu":
        raise DataError(f"Expected the parent of each node as whole numbers; got {above.dtype} {above.shape}.")
    above = above.astype(np.int64)
    roots = np.flatnonzero(above == -1)
    if len(roots) != 1:
        told = f"nodes {', '.join(map(str, roots[:_SHOWN]))} have none" if len(roots) else "every node has a parent"
        raise DataError(f"A hierarchy has one root, the node without a parent (-1); here {told}.")
    odd = np.flatnonzero((above < -1) | (above >= len(above)))
    if len(odd):
        raise DataError(f"The parent of node {odd[0]} is {above[odd[0]]}, which is no node (0 to {len(above) - 1}).")
    return above
