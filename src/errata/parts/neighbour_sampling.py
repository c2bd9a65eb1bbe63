"""Parts of a graph around some of its nodes, for graphs that are too large for one pass.

A network of k layers needs of a node what lies within k edges. For training some neighbours of each node are enough,
drawn anew each time (GraphSAGE, Hamilton et al. 2017, arXiv 1706.02216); for prediction all are taken. On plain arrays:
PyTorch Geometric's own sampler needs a compiled package that is not on PyPI.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from errata.errors import ParameterError
from errata.parts.batch import Batch
from errata.parts.nodes import Graph

__all__ = ["Neighbourhoods", "NodeBatches"]


class Neighbourhoods:
    """A graph's edges by the node that they lead to.

    Parameters
    ----------
    edge_index : (2, E) int64, from source to target
    num_nodes : N

    Examples
    --------
    >>> path = Neighbourhoods(np.array([[0, 1, 1, 2], [1, 0, 2, 1]]), 3)
    >>> nodes, edges = path.around(np.array([0]), [None])
    >>> nodes, edges
    (array([0, 1]), array([[1],
           [0]]))
    """

    def __init__(self, edge_index: np.ndarray, num_nodes: int) -> None:
        source, target = np.asarray(edge_index, dtype=np.int64)
        order = np.argsort(target, kind="stable")
        self.sources = source[order]
        self.start = np.concatenate([[0], np.cumsum(np.bincount(target, minlength=num_nodes))])
        self.num_nodes = num_nodes

    def around(
        self, seeds: np.ndarray, fanout: Sequence[int | None], rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The nodes within reach of ``seeds``, and the edges that were followed.

        Parameters
        ----------
        seeds : (S,) int64, different nodes
        fanout : for each step away from the seeds how many of a node's edges are followed at most; None for all
        rng : draws them; not needed where all are followed

        Returns
        -------
        nodes : (M,) int64, the seeds first
        edges : (2, E') int64, by their places in ``nodes``
        """
        place = np.full(self.num_nodes, -1, dtype=np.int64)
        place[seeds] = np.arange(len(seeds))
        nodes, found = [np.asarray(seeds, dtype=np.int64)], []
        count, frontier = len(seeds), nodes[0]
        for most in fanout:
            source, target = self._into(frontier, most, rng)
            fresh = np.unique(source[place[source] < 0])
            place[fresh] = count + np.arange(len(fresh))
            count += len(fresh)
            nodes.append(fresh)
            found.append(np.stack([place[source], place[target]]))
            frontier = fresh
        return np.concatenate(nodes), np.concatenate(found, axis=1) if found else np.zeros((2, 0), dtype=np.int64)

    def _into(
        self, targets: np.ndarray, most: int | None, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, np.ndarray]:
        degree = self.start[targets + 1] - self.start[targets]
        owner = np.repeat(np.arange(len(targets)), degree)
        first = np.cumsum(degree) - degree
        rank = np.arange(len(owner)) - first[owner]
        if most is not None and len(owner) and degree.max() > most:
            if rng is None:
                raise ParameterError("Drawing neighbours needs a random generator: give rng.")
            shuffled = np.lexsort((rng.random(len(owner)), owner))  # in random order within each node
            chosen = shuffled[rank < most]  # sorted by owner, so the ranks are those of the places
            owner, rank = owner[chosen], rank[chosen]
        return self.sources[self.start[targets][owner] + rank], targets[owner]


class NodeBatches:
    """Batches of nodes with what lies around them: ``Batch(index, Graph(x, edge_index), y)``.

    ``index`` and ``y`` are those of the batch's own nodes, which come first in the graph; the others are there for
    their sake. Every node comes once an epoch, in an order drawn anew.

    Parameters
    ----------
    x : (N, D) features
    edge_index : (2, E)
    y : (N,) labels, -1 where unknown
    batch_nodes : how many nodes a batch is for
    fanout : see ``Neighbourhoods.around``
    seed : of order and neighbours
    shuffle : False for the nodes' own order
    nodes : only these; by default all
    """

    def __init__(
        self,
        x: Tensor,
        edge_index: Tensor,
        y: Tensor,
        *,
        batch_nodes: int,
        fanout: Sequence[int | None],
        seed: int = 0,
        shuffle: bool = True,
        nodes: np.ndarray | None = None,
    ) -> None:
        if batch_nodes < 1 or not len(fanout) or any(most is not None and most < 1 for most in fanout):
            raise ParameterError(
                f"batch_nodes and each number of fanout must be 1 or more; got {batch_nodes!r}, {list(fanout)!r}."
            )
        self.x, self.y = x, y
        self.around = Neighbourhoods(edge_index.numpy(), len(x))
        self.batch_nodes, self.fanout, self.seed, self.shuffle = batch_nodes, tuple(fanout), seed, shuffle
        self.nodes = np.arange(len(x)) if nodes is None else np.asarray(nodes, dtype=np.int64)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order and neighbours come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.nodes) // self.batch_nodes)

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, self.epoch, 0x6A])
        order = rng.permutation(self.nodes) if self.shuffle else self.nodes
        for start in range(0, len(order), self.batch_nodes):
            own = order[start : start + self.batch_nodes]
            nodes, edges = self.around.around(own, self.fanout, rng)
            index = torch.from_numpy(own.copy())
            yield Batch(index, Graph(self.x[torch.from_numpy(nodes)], torch.from_numpy(edges)), self.y[index])
