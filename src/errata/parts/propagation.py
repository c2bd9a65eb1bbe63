"""Label propagation over a graph: sparse, so that memory grows with the edges and never with the square of the nodes.

An edge list is (2, E) int: ``edge_index[0, e]`` takes from ``edge_index[1, e]``, and an undirected edge stands there in
both directions. Edges count once however often they are listed, and nodes are no neighbours of themselves.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from errata.errors import DataError

__all__ = ["check_edges", "column_normalized", "propagate", "simple_edges"]


def check_edges(edge_index: Tensor, num_nodes: int) -> None:
    """Refuse what is no (2, E) list of nodes in [0, num_nodes).

    Raises
    ------
    DataError
        with the first edge that is wrong
    """
    if edge_index.ndim != 2 or edge_index.shape[0] != 2 or edge_index.is_floating_point():
        raise DataError(
            f"Expected edges as integers of shape (2, E); got {edge_index.dtype} {tuple(edge_index.shape)}. "
            "Node names become numbers by errata.data.graphs.read."
        )
    odd = ((edge_index < 0) | (edge_index >= num_nodes)).any(0)
    if bool(odd.any()):
        at = int(odd.nonzero()[0])
        raise DataError(
            f"Edge {at} joins the nodes {edge_index[:, at].tolist()}, but there are nodes 0 to {num_nodes - 1} only."
        )


def simple_edges(edge_index: Tensor, num_nodes: int) -> Tensor:
    """The edges without loops and repetitions, sorted by their first node: (2, E) -> (2, E') int64.

    Examples
    --------
    >>> simple_edges(torch.tensor([[1, 0, 1, 2], [0, 1, 0, 2]]), 3)
    tensor([[0, 1],
            [1, 0]])
    """
    check_edges(edge_index, num_nodes)
    row, column = edge_index.long()
    keys = torch.unique((row * num_nodes + column)[row != column])
    return torch.stack([keys // max(1, num_nodes), keys % max(1, num_nodes)])


def column_normalized(
    edge_index: Tensor, num_nodes: int, mask: Tensor | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """``A diag(1 / rowsum(A))`` of the 0/1 adjacency, a node without neighbours giving nothing.

    For undirected graphs each column of a node with neighbours sums to 1, so that a propagation step moves the mass of
    a class around and makes none.

    Parameters
    ----------
    edge_index : (2, E)
    num_nodes : N
    mask : (N,) bool; only edges between these nodes count

    Returns
    -------
    (N, N) sparse CSR tensor, O(N + E)

    Examples
    --------
    >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    >>> column_normalized(path, 3).to_dense()
    tensor([[0.0000, 0.5000, 0.0000],
            [1.0000, 0.0000, 1.0000],
            [0.0000, 0.5000, 0.0000]])
    """
    edges = simple_edges(edge_index, num_nodes)
    if mask is not None:
        edges = edges[:, mask[edges[0]] & mask[edges[1]]]
    row, column = edges
    degree = torch.bincount(row, minlength=num_nodes)
    starts = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    # a directed edge may come from a node that has none itself: its degree is 0, and it gives nothing
    values = torch.where(degree > 0, 1.0 / degree.clamp(min=1).to(dtype), torch.zeros((), dtype=dtype))[column]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Ss]parse")  # "in beta state", since years
        return torch.sparse_csr_tensor(starts, column, values, (num_nodes, num_nodes), check_invariants=False)


def propagate(adjacency: Tensor, labels: Tensor, alpha: float, steps: int) -> Tensor:
    """Repeat ``Y <- (1 - alpha) A Y + alpha Y``: a node keeps ``alpha`` of what it says, the rest its neighbours say.

    Parameters
    ----------
    adjacency : (N, N) sparse, as ``column_normalized`` gives it
    labels : (N, K) float
    alpha : weight of the node itself, in [0, 1]
    steps : 0 or more

    Returns
    -------
    (N, K), without gradient

    Examples
    --------
    >>> pair = column_normalized(torch.tensor([[0, 1], [1, 0]]), 2)
    >>> propagate(pair, torch.tensor([[1.0], [0.0]]), alpha=0.75, steps=1)
    tensor([[0.7500],
            [0.2500]])
    """
    labels = labels.detach()
    with torch.autocast(labels.device.type, enabled=False):
        for _ in range(steps if alpha < 1 else 0):
            labels = (1 - alpha) * torch.sparse.mm(adjacency, labels) + alpha * labels
    return labels
