from __future__ import annotations

import pytest
import torch

from errata.errors import LoadError, ParameterError, UnknownNameError
from errata.models import graphs
from errata.parts import Graph

pytest.importorskip("torch_geometric", reason="needs PyTorch Geometric: pip install 'errata[graphs]'")

GRAPH = Graph(torch.rand(4, 5), torch.tensor([[0, 1, 2, 1], [1, 0, 1, 2]]))


@pytest.mark.parametrize("conv", graphs.CONVOLUTIONS)
def test_representations_are_not_negative_and_at_most_one_in_sum(conv):
    z = graphs.build("encoder", 5, 8, conv=conv, seed=0)(GRAPH)
    assert z.shape == (4, 8)
    assert (z >= 0).all()
    assert (z.sum(1) <= 1 + 1e-6).all()  # the negative part of an absolute sum of 1 is cut off


@pytest.mark.parametrize("conv", graphs.CONVOLUTIONS)
def test_a_node_is_seen_through_its_neighbours(conv):
    network = graphs.build("classifier", 5, 3, conv=conv, seed=0).eval()
    changed = Graph(GRAPH.x.clone(), GRAPH.edge_index)
    changed.x[2] += 1
    before, after = network(GRAPH), network(changed)
    assert not torch.equal(before[0], after[0])  # two steps away
    assert torch.equal(before[3], after[3])  # not linked at all


def test_the_seed_says_the_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = (graphs.build("encoder", 5, 8, seed=3) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_network_is_built_again_from_its_spec():
    network = graphs.build("encoder", 5, 8, conv="gcn", hidden=16, seed=0).eval()
    again = graphs.from_spec(network.spec).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(network(GRAPH), again(GRAPH))


@pytest.mark.parametrize("spec", [None, {}, {"name": "mlp", "kwargs": {}}, {"name": "graph-encoder", "kwargs": {}}])
def test_what_is_no_spec_is_refused(spec):
    with pytest.raises(LoadError):
        graphs.from_spec(spec)


@pytest.mark.parametrize("share", [0.05, 0.9])
def test_dropout_keeps_the_mean_and_leaves_zeros_alone(share):
    torch.manual_seed(0)
    x = (torch.rand(400, 100) < share).float() * 3
    found = graphs.sparse_dropout(x, 0.4, training=True)
    assert not found[x == 0].any()
    assert set(found.unique().tolist()) <= {0.0, 5.0}
    assert abs(float(found[x > 0].mean()) - 3) < 0.2
    assert graphs.sparse_dropout(x, 0.4, training=False) is x


def test_unknown_convolutions_and_odd_widths_are_told():
    with pytest.raises(UnknownNameError, match=r"gatt.*Did you mean 'gat'"):
        graphs.build("encoder", 5, 8, conv="gatt")
    with pytest.raises(ParameterError, match="multiple of heads; got 10 and 8"):
        graphs.build("encoder", 5, 8, hidden=10)
