"""The network over the graph of labels: each part against its formula, in a size for tests."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import errata
from errata import models
from errata.errors import DataError, ParameterError
from errata.models.label_graph import (
    CHUNK,
    GatedLabelGraph,
    LabelGraphNet,
    LocalGlobalConv2d,
    SemanticDecoupling,
    add_global_branches,
    label_cooccurrence,
)

TINY = {"depths": [1, 1], "width": 8, "channels": 8, "inner": 6}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_cooccurrence_is_counted_from_known_positives():
    y = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 0]])
    expected = torch.tensor([[1, 2 / 3, 0], [1, 1, 0], [0, 0, 1]])
    torch.testing.assert_close(label_cooccurrence(y), expected)
    torch.testing.assert_close(label_cooccurrence(torch.where(y == 1, 1, -1) == 1), expected)


@pytest.mark.parametrize("labels", [3, CHUNK + 5])
def test_decoupling_is_its_formula(labels):
    layer = SemanticDecoupling(6, torch.randn(labels, 4), inner=5).double()
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    places = x.flatten(2).transpose(1, 2)
    product = layer.fc1(places)[:, :, None] * layer.fc2(layer.words)[None, None]
    scores = layer.fc4(layer.fc3(product.tanh()))[..., 0].softmax(1)  # over places
    expected = torch.einsum("bpl,bpc->blc", scores, places)
    torch.testing.assert_close(layer(x), expected)


def test_messages_go_along_the_graph_and_nowhere_else():
    layer = GatedLabelGraph(4, 3, steps=1)
    state = torch.randn(1, 3, 4)
    other = state.clone()
    other[0, 2] += 1
    assert torch.equal(layer(state)[0, :2], layer(other)[0, :2])  # nobody hears anything
    layer.graph[0, 2] = 0.5
    assert not torch.equal(layer(state)[0, 0], layer(other)[0, 0])
    assert torch.equal(layer(state)[0, 1], layer(other)[0, 1])


def test_a_step_is_the_gated_update():
    layer = GatedLabelGraph(4, 3, steps=1)
    layer.graph.copy_(torch.rand(3, 3))
    h = torch.randn(2, 3, 4)
    a = torch.cat([layer.graph @ h, layer.graph.T @ h], 2)
    wz, wr, wh = layer.heard.weight.chunk(3)
    bz, br, bh = layer.heard.bias.chunk(3)
    uz, ur = layer.gates.weight.chunk(2)
    z = (a @ wz.T + bz + h @ uz.T).sigmoid()
    r = (a @ wr.T + br + h @ ur.T).sigmoid()
    new = (a @ wh.T + bh + (r * h) @ layer.proposal.weight.T).tanh()
    torch.testing.assert_close(layer(h), (1 - z) * h + z * new)


def test_a_global_branch_hardly_changes_a_trained_convolution_and_sees_everything():
    conv = nn.Conv2d(8, 4, 3, padding=1)
    layer = LocalGlobalConv2d(conv, heads=4).eval()
    x = torch.randn(1, 8, 9, 9)
    assert (layer(x) - conv(x)).abs().max() < 1e-2
    far = x.clone()
    far[..., 8, 8] += 3
    nn.init.ones_(layer.norm.weight)
    assert torch.equal(conv(x)[..., 0, 0], conv(far)[..., 0, 0])
    assert not torch.allclose(layer(x)[..., 0, 0], layer(far)[..., 0, 0])
    with pytest.raises(ParameterError, match="heads must divide"):
        LocalGlobalConv2d(nn.Conv2d(6, 4, 3), heads=4)


def test_branches_are_added_where_they_fit():
    trunk = models.ResNet(3, depths=(1, 1), width=8)
    count = add_global_branches(trunk)
    assert count == 4  # two in each block; not in the stem, which has three channels
    assert trunk(torch.randn(2, 3, 8, 8)).shape == (2, 3)
    assert add_global_branches(trunk) == 0  # nor beneath those that have one


def test_each_label_has_its_own_classifier():
    model = LabelGraphNet(5, **TINY).eval()
    x = torch.randn(2, 3, 16, 16)
    before = model(x)
    with torch.no_grad():
        model.classifier.weight[3] += 1
    changed = (model(x) - before).abs().amax(0) > 1e-6
    assert changed.tolist() == [False, False, False, True, False]
    assert model.features(x).shape == (2, 8)


def test_frozen_normalisation_stays_in_evaluation():
    model = LabelGraphNet(3, **TINY, frozen_norm=True).train()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert not any(m.training for m in norms)
    assert model.training
    assert all(m.training for m in LabelGraphNet(3, **TINY).train().modules())


def test_wrong_shapes_are_told():
    with pytest.raises(ParameterError, match="each of the 3 labels"):
        LabelGraphNet(3, **TINY, words=[[1.0]])
    model = LabelGraphNet(3, **TINY)
    with pytest.raises(DataError, match=r"\(N, 3\)"):
        model.set_labels(torch.ones(4, 2))
    with pytest.raises(DataError, match="takes images of shape"):
        model(torch.randn(2, 1, 16, 16))


def test_it_trains_is_told_the_labels_and_is_loaded_again(tmp_path):
    y = np.random.default_rng(0).integers(0, 2, (24, 3))
    x = (60 + 180 * y[:, :, None, None] * np.ones((1, 1, 8, 8))).astype(np.uint8)
    model = models.build("label_graph", 3, (3, 8, 8), seed=0, **TINY)
    run = errata.train(x, y, system="pu-mlc", model=model, epochs=1, device="cpu", progress=False)
    torch.testing.assert_close(run.system.model.graph.graph, label_cooccurrence(torch.tensor(y)))
    p = run.predict_proba(x)
    run.save(tmp_path / "run", report=False)
    again = models.build("label_graph", 3, (3, 8, 8), **TINY)
    np.testing.assert_array_equal(errata.Run.load(tmp_path / "run", model=again, device="cpu").predict_proba(x), p)
