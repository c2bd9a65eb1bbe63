from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.errors import DataError
from errata.scores.tree import Distances, Paths, tree_distances


def random_tree(count: int, seed: int) -> np.ndarray:
    """Parents under random names: node 0 of a growing tree is the root, and all are then renamed."""
    rng = np.random.default_rng(seed)
    parent = np.array([-1, *(int(rng.integers(i)) for i in range(1, count))])
    name = rng.permutation(count)
    renamed = np.empty(count, dtype=np.int64)
    renamed[name] = np.where(parent < 0, -1, name[np.maximum(parent, 0)])
    return renamed


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(0, 1000))
def test_distances_are_those_of_networkx(count: int, seed: int) -> None:
    parent = random_tree(count, seed)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from((int(p), v) for v, p in enumerate(parent) if p >= 0)
    around = dict(nx.all_pairs_shortest_path_length(graph.to_undirected()))
    found = tree_distances(parent, count)
    for a in range(count):
        for b in range(count):
            assert found.graph[a, b] == around[a][b]
            ancestor = nx.lowest_common_ancestor(graph, a, b)
            assert found.ancestor[a, b] == around[a][ancestor]


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.integers(0, 1000))
def test_identities(count: int, seed: int) -> None:
    found = tree_distances(random_tree(count, seed), count)
    gd, ld = found.graph, found.ancestor
    assert (gd == gd.T).all()
    assert ((gd == 0) == np.eye(count, dtype=bool)).all()
    assert (gd[:, None, :] <= gd[:, :, None] + gd[None, :, :].transpose(0, 2, 1)).all()
    assert (ld >= 0).all()
    assert (ld <= np.minimum(gd, found.depth[:, None])).all()
    assert (gd == ld + ld.T).all()


def test_ld_is_nought_where_the_label_is_an_ancestor() -> None:
    found = tree_distances([2, 0, -1], 3)  # 2 > 0 > 1
    assert found.ancestor[0, 1] == 0
    assert found.ancestor[1, 0] == 1


def test_a_flat_tree_counts_what_differs() -> None:
    flat = tree_distances([3, 3, 3, -1], 3)
    assert (flat.graph == Distances.flat(3).graph).all()
    assert (flat.ancestor == Distances.flat(3).ancestor).all()
    assert (flat.depth == Distances.flat(3).depth).all()


def test_pairs_equal_the_table() -> None:
    parent = random_tree(40, 3)
    paths, table = Paths.of(parent), tree_distances(parent, 40)
    a, b = np.random.default_rng(0).integers(40, size=(2, 500))
    assert (paths.graph_distance(a, b) == table.graph[a, b]).all()
    assert (paths.ancestor_distance(a, b) == table.ancestor[a, b]).all()


@pytest.mark.parametrize(
    ("parent", "says"),
    [
        ([-1, -1], "one root"),
        ([1, 0], "every node has a parent"),
        ([1, 2, 1, -1], "circle"),
        ([5, -1], "which is no node"),
        ([0.5, -1.0], "whole numbers"),
        ([], "whole numbers"),
    ],
)
def test_what_is_no_tree_is_refused(parent: list, says: str) -> None:
    with pytest.raises(DataError, match=says):
        tree_distances(parent, 1)


def test_a_label_that_is_no_node_is_refused() -> None:
    with pytest.raises(DataError, match="node 7"):
        tree_distances([1, -1], [7])
