"""Parts of a graph: everything in reach, or so many neighbours, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.errors import ParameterError
from errata.parts.neighbour_sampling import Neighbourhoods, NodeBatches


def random_graph(seed, nodes=30, edges=80):
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, nodes, size=(2, edges))
    return np.unique(np.concatenate([pairs, pairs[::-1]], axis=1), axis=1)


def reach(edges, seeds, steps):
    """By hand: the nodes within so many edges, and the edges into those within one less."""
    near, followed = set(seeds), set()
    frontier = set(seeds)
    for _ in range(steps):
        into = {(a, b) for a, b in edges.T.tolist() if b in frontier}
        followed |= into
        frontier = {a for a, _ in into} - near
        near |= frontier
    return near, followed


@given(st.integers(0, 1000), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_all_that_is_in_reach(seed, steps):
    edges = random_graph(seed)
    seeds = np.random.default_rng(seed).choice(30, size=4, replace=False)
    nodes, found = Neighbourhoods(edges, 30).around(seeds, [None] * steps)
    near, followed = reach(edges, seeds.tolist(), steps)
    assert nodes[:4].tolist() == seeds.tolist()
    assert len(nodes) == len(set(nodes.tolist()))
    assert set(nodes.tolist()) == near
    assert {tuple(edge) for edge in nodes[found].T.tolist()} == followed
    assert found.shape[1] == len(followed)


@given(st.integers(0, 1000), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_no_more_neighbours_than_asked_for(seed, most):
    edges = random_graph(seed, edges=200)
    seeds = np.array([3, 7])
    nodes, found = Neighbourhoods(edges, 30).around(seeds, [most, most], np.random.default_rng(seed))
    given_degree = np.bincount(edges[1], minlength=30)
    degree = np.bincount(nodes[found[1]], minlength=30)
    assert (degree[seeds] == np.minimum(given_degree[seeds], most)).all()
    assert degree.max() <= most
    known = {tuple(edge) for edge in edges.T.tolist()}
    drawn = [tuple(edge) for edge in nodes[found].T.tolist()]
    assert set(drawn) <= known
    assert len(drawn) == len(set(drawn))  # without putting back


def test_neighbours_are_drawn_evenly():
    star = np.array([np.arange(1, 11), np.zeros(10, dtype=np.int64)])
    rng = np.random.default_rng(0)
    around = Neighbourhoods(star, 11)
    counts = np.bincount(
        np.concatenate([around.around(np.array([0]), [3], rng)[0][1:] for _ in range(2000)]), minlength=11
    )
    assert counts[1:].min() > 500
    assert counts[1:].max() < 700


def test_every_node_has_its_turn():
    edges = torch.from_numpy(random_graph(0))
    x, y = torch.arange(30.0)[:, None], torch.arange(30) % 3
    flow = NodeBatches(x, edges, y, batch_nodes=8, fanout=(3, 3), seed=1)
    assert len(flow) == 4
    first = list(flow)
    flow.set_epoch(1)
    second = list(flow)
    for epoch in (first, second):
        assert sorted(torch.cat([batch.index for batch in epoch]).tolist()) == list(range(30))
        for batch in epoch:
            assert torch.equal(batch.x.x[: len(batch.index), 0].long(), batch.index)
            assert torch.equal(batch.y, y[batch.index])
            assert batch.x.edge_index.max() < len(batch.x.x)
    assert not torch.equal(first[0].index, second[0].index)
    flow.set_epoch(0)
    assert all(torch.equal(a.x.edge_index, b.x.edge_index) for a, b in zip(first, flow))
    with pytest.raises(ParameterError, match="batch_nodes and each number"):
        NodeBatches(x, edges, y, batch_nodes=0, fanout=(3,))
