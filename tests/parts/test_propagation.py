"""Label propagation: mass is kept, nodes and edges are what they should be, and nothing is N x N."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.errors import DataError
from errata.parts import column_normalized, propagate
from errata.parts.propagation import simple_edges


def random_graph(n: int, seed: int, share: float = 0.2) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    half = (torch.rand(n, n, generator=random) < share).triu(1).nonzero().T
    return torch.cat([half, half.flip(0)], 1)


def dense(edges: torch.Tensor, n: int) -> torch.Tensor:
    """A diag(1 / rowsum), written down as the dossier has it."""
    a = torch.zeros(n, n, dtype=torch.float64)
    a[edges[0], edges[1]] = 1
    a.fill_diagonal_(0)
    degree = a.sum(1)
    return a @ torch.diag(torch.where(degree > 0, 1 / degree, 0.0))


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 12), seed=st.integers(0, 1000), share=st.floats(0, 1))
def test_it_is_what_the_dense_matrix_is(n, seed, share):
    edges = random_graph(n, seed, share)
    sparse = column_normalized(edges, n, dtype=torch.float64)
    torch.testing.assert_close(sparse.to_dense(), dense(edges, n))
    y = torch.rand(n, 3, dtype=torch.float64)
    step = 0.4 * dense(edges, n) @ y + 0.6 * y
    torch.testing.assert_close(propagate(sparse, y, 0.6, 1), step)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), alpha=st.floats(0, 1), steps=st.integers(0, 5))
def test_the_mass_of_each_class_is_kept_over_nodes_with_neighbours(seed, alpha, steps):
    edges = random_graph(10, seed)
    linked = torch.bincount(edges[0], minlength=10) > 0
    y = torch.rand(10, 3, dtype=torch.float64)
    after = propagate(column_normalized(edges, 10, dtype=torch.float64), y, alpha, steps)
    torch.testing.assert_close(after[linked].sum(0), y[linked].sum(0))
    torch.testing.assert_close(after[~linked], y[~linked] * alpha**steps)


def test_directed_edges_out_of_a_node_without_any_of_its_own_give_nothing():
    assert column_normalized(torch.tensor([[0], [1]]), 2).to_dense().tolist() == [[0, 0], [0, 0]]


def test_loops_and_repetitions_count_for_nothing():
    edges = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 0, 1, 1]])
    assert simple_edges(edges, 2).tolist() == [[0, 1], [1, 0]]


def test_only_edges_within_the_mask_count():
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    found = column_normalized(edges, 3, torch.tensor([True, True, False])).to_dense()
    assert found.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_a_large_graph_takes_no_square_of_the_nodes():
    n = 300_000  # dense: 360 GB
    chain = torch.stack([torch.arange(n - 1), torch.arange(1, n)])
    sparse = column_normalized(torch.cat([chain, chain.flip(0)], 1), n)
    y = torch.zeros(n, 2)
    y[0, 1] = 1
    assert propagate(sparse, y, 0.5, 3)[:, 1].nonzero().ravel().tolist() == [0, 1, 2, 3]


def test_labels_get_no_gradient():
    y = torch.ones(2, 1, requires_grad=True)
    assert not propagate(column_normalized(torch.tensor([[0, 1], [1, 0]]), 2), y, 0.5, 2).requires_grad


@pytest.mark.parametrize(
    ("edges", "told"),
    [
        (torch.tensor([[0, 1], [1, 2]]), r"Edge 1 joins the nodes \[1, 2\]"),
        (torch.tensor([[0, -1], [1, 0]]), r"Edge 1 joins the nodes \[-1, 0\]"),
        (torch.zeros(2, 2), r"integers of shape \(2, E\); got torch.float32"),
        (torch.zeros(3, 2, dtype=torch.int64), r"got torch.int64 \(3, 2\)"),
    ],
)
def test_what_are_no_edges_is_refused(edges, told):
    with pytest.raises(DataError, match=told):
        simple_edges(edges, 2)
