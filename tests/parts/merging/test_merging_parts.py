"""The pieces of merging: groups, blocks, weights by the paper's blocks, ratios, least squares, tracing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from errata.errors import DataError, ParameterError, UnknownNameError
from errata.parts.merging.blocks import Layout, merge_blocks, merge_states
from errata.parts.merging.least_squares import Gram, block_least_squares, layer_rows, solve
from errata.parts.merging.matching import activation_matching, match_features
from errata.parts.merging.modules import PairedNorm, reestimate_norms
from errata.parts.merging.ratios import flop_terms, qp_ratios, ratio_weights, ratios_for, relative_flops
from errata.parts.merging.regression import fit_layers, layer_tasks
from errata.parts.merging.running import Pair
from errata.parts.merging.spec import PermutationSpec


class Conv(nn.Module):
    """The second architecture of the reference cases."""

    def __init__(self, channels: int = 3, c1: int = 4, c2: int = 6, classes: int = 5) -> None:
        super().__init__()
        self.c1, self.b1, self.r1 = nn.Conv2d(channels, c1, 3, padding=1, bias=False), nn.BatchNorm2d(c1), nn.ReLU()
        self.c2, self.b2 = nn.Conv2d(c1, c2, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(c2)
        self.r2, self.p, self.fl = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.fc = nn.Linear(c2, classes)

    def forward(self, x):
        x = self.r1(self.b1(self.c1(x)))
        return self.fc(self.fl(self.p(self.r2(self.b2(self.c2(x))))))


def networks():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Conv().double().eval(), Conv().double().eval(), torch.randn(7, 3, 8, 8, dtype=torch.float64)


def test_groups_are_named_by_the_weight_that_makes_them():
    model, _, x = networks()
    spec = PermutationSpec.of(model, x)
    found = {n: (g.size, sorted(map(str, g.state)), sorted(map(str, g.nodes))) for n, g in spec.groups.items()}
    assert found == {
        "c1.weight:0": (
            4,
            ["b1.bias:0", "b1.running_mean:0", "b1.running_var:0", "b1.weight:0", "c1.weight:0", "c2.weight:1"],
            ["b1:1", "c1:1", "r1:1"],
        ),
        "c2.weight:0": (
            6,
            ["b2.bias:0", "b2.running_mean:0", "b2.running_var:0", "b2.weight:0", "c2.weight:0", "fc.weight:1"],
            ["b2:1", "c2:1", "fl:1", "p:1", "r2:1"],
        ),
    }


def test_weights_are_put_together_block_by_block():
    a, b, x = networks()
    spec = PermutationSpec.of(a, x)
    found = activation_matching(Pair(spec, a, b), [x])
    blocks = {n: merge_blocks(found.similarity[n], found.perm[n], 0.5) for n in spec.groups}
    state = merge_states(spec, a.state_dict(), b.state_dict(), blocks, head="copy")
    ins, outs = blocks["c1.weight:0"], blocks["c2.weight:0"]
    wa, wb = a.c2.weight.detach(), b.c2.weight.detach()
    n, m, k, s = (len(part) for part in (ins.merged_a, ins.separate_a, outs.merged_a, outs.separate_a))
    wanted = torch.zeros(k + 2 * s, n + 2 * m, 3, 3, dtype=torch.float64)
    wanted[:k, :n] = (wa[outs.merged_a][:, ins.merged_a] + wb[outs.merged_b][:, ins.merged_b]) / 2
    wanted[:k, n : n + m] = wa[outs.merged_a][:, ins.separate_a] / 2
    wanted[:k, n + m :] = wb[outs.merged_b][:, ins.separate_b] / 2
    wanted[k : k + s, :n] = wa[outs.separate_a][:, ins.merged_a]
    wanted[k : k + s, n : n + m] = wa[outs.separate_a][:, ins.separate_a]
    wanted[k + s :, :n] = wb[outs.separate_b][:, ins.merged_b]
    wanted[k + s :, n + m :] = wb[outs.separate_b][:, ins.separate_b]
    assert m > 0
    torch.testing.assert_close(state["c2.weight"], wanted)
    head = a.fc.weight.detach(), b.fc.weight.detach()
    copied = [(head[0][:, outs.merged_a] + head[1][:, outs.merged_b]) / 2]
    copied += [head[0][:, outs.separate_a], head[1][:, outs.separate_b]]
    torch.testing.assert_close(state["fc.weight"], torch.cat(copied, 1))
    assert torch.equal(state["fc.bias"], a.fc.bias)
    halved = merge_states(spec, a.state_dict(), b.state_dict(), blocks)
    torch.testing.assert_close(halved["fc.weight"], torch.cat([copied[0], copied[1] / 2, copied[2] / 2], 1))
    torch.testing.assert_close(halved["fc.bias"], (a.fc.bias + b.fc.bias).detach() / 2)


@given(st.integers(1, 9), st.floats(0, 1), st.integers(0, 99), st.booleans())
@settings(max_examples=60, deadline=None)
def test_blocks_hold_every_unit_once(size, ratio, seed, as_code):
    rng = np.random.default_rng(seed)
    similarity, perm = rng.normal(size=(size, size)), rng.permutation(size)
    blocks = merge_blocks(similarity, perm, ratio, as_code=as_code)
    for merged, separate in ((blocks.merged_a, blocks.separate_a), (blocks.merged_b, blocks.separate_b)):
        assert sorted([*merged, *separate]) == list(range(size))
    if ratio < 0.999:
        assert (perm[blocks.merged_a] == blocks.merged_b).all()
        kept, apart = (
            similarity[a, b]
            for a, b in zip(*[(blocks.merged_a, blocks.separate_a), (blocks.merged_b, blocks.separate_b)])
        )
        assert not len(apart) or kept.min() >= apart.max()
    layout = Layout.of(blocks, inner=2, start=3)
    assert layout.width == 2 * blocks.width
    assert sorted(layout.a[layout.a >= 0].tolist()) == list(range(3, 3 + 2 * size))


def test_multiplications_are_those_of_the_network_that_is_made():
    a, _, x = networks()
    spec = PermutationSpec.of(a, x)
    terms = flop_terms(spec, a, x, rows=2)
    assert terms == [
        (2.0 * 64 * 9 * 3, ("c1.weight:0",)),
        (2.0 * 16 * 9, ("c1.weight:0", "c2.weight:0")),
        (2.0 * 5, ("c2.weight:0",)),
    ]
    sizes = {n: g.size for n, g in spec.groups.items()}
    assert (relative_flops(terms, sizes, 0.0), relative_flops(terms, sizes, 1.0)) == (1.0, 2.0)
    for rule in ("zip", "uniform", "qp"):
        ratios = ratios_for(spec, terms, 1.4, rule=rule)
        assert relative_flops(terms, sizes, ratios) == pytest.approx(1.4, abs=1e-6)
    assert ratios_for(spec, terms, 1.0) == {"c1.weight:0": 0.0, "c2.weight:0": 0.0}
    with pytest.raises(ParameterError, match=r"in \[1, 2\]"):
        ratios_for(spec, terms, 2.1)


def test_the_weighted_rule_beats_the_others_by_its_own_measure():
    rng = np.random.default_rng(0)
    weights, cost = rng.uniform(size=6), rng.uniform(0.5, 1.5, size=6)

    def spent(r):
        return 1 + (float(cost @ r) - float((cost * r)[:-1] @ r[1:]) * 0.3) / float(cost.sum() - 0.3 * cost[:-1].sum())

    found = qp_ratios(weights, spent, 1.5)
    assert spent(found) <= 1.5 + 1e-9
    grid = rng.uniform(size=(20_000, 6))
    allowed = [r for r in grid if spent(r) <= 1.5]
    assert weights @ found >= max(weights @ r for r in allowed)


def test_weights_of_layers_are_the_papers():
    assert ratio_weights({"a": 0.5}, {"a": 0.7}, 1.25)["a"] == pytest.approx(
        (0.5 - 0.4684) * 0.75 - (0.7 - 0.7743) * 0.25
    )


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Conv2d(3, 4, (3, 1), stride=2, padding=(1, 0), bias=False),
        nn.Conv2d(3, 4, 3, dilation=2, padding=2, padding_mode="circular"),
        nn.Conv1d(3, 4, 5, padding=2),
        nn.Linear(6, 4),
    ],
    ids=str,
)
@pytest.mark.parametrize("positions", [None, 5])
def test_rows_of_a_layer_give_its_outputs(layer, positions):
    layer = layer.double()
    shape = (2, 3, 9) if isinstance(layer, nn.Conv1d) else (2, 7, 6) if isinstance(layer, nn.Linear) else (2, 3, 8, 6)
    x = torch.randn(shape, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    rows, wanted = layer_rows(layer, x, layer(x).detach(), positions, generator)
    made = rows @ layer.weight.detach().flatten(1).T + (0 if layer.bias is None else layer.bias.detach())
    torch.testing.assert_close(made, wanted)


def test_the_closed_form_is_scikit_learns_ridge_block_by_block():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 7)), rng.normal(size=(50, 8))
    weight, bias, _ = block_least_squares(torch.from_numpy(x), torch.from_numpy(y), (3, 2), (2, 3), 0.7)
    for rows, columns in (([0, 1], range(7)), ([2, 3, 4], [0, 1, 2, 3, 4]), ([5, 6, 7], [0, 1, 2, 5, 6])):
        model = Ridge(alpha=0.7).fit(x[:, list(columns)], y[:, rows])
        np.testing.assert_allclose(weight[rows][:, list(columns)], model.coef_, atol=1e-9)
        np.testing.assert_allclose(bias[rows], model.intercept_, atol=1e-9)


def test_a_gram_matrix_of_batches_is_that_of_all_and_inputs_that_never_vary_do_no_harm():
    x, y = torch.randn(30, 4), torch.randn(30, 3)
    x[:, 2] = 1.0
    whole, parts = Gram.empty(4, 3), Gram.empty(4, 3)
    whole.add(x, y)
    for some in (slice(0, 11), slice(11, 30)):
        parts.add(x[some], y[some])
    torch.testing.assert_close(whole.xx, parts.xx)
    weight, bias = solve(whole, Layout.same(4), Layout.same(3), ridge=0.0)
    assert torch.isfinite(weight).all()
    left = whole.residual(weight, bias)
    torch.testing.assert_close(left, (x.double() @ weight.T + bias - y.double()).square().sum(0))
    with pytest.raises(ParameterError):
        solve(whole, Layout.same(4), Layout.same(3), ridge=-1)


def test_how_much_memory_is_allowed_changes_nothing_but_the_passes():
    a, b, x = networks()
    spec = PermutationSpec.of(a, x)
    found = activation_matching(Pair(spec, a, b), [x])
    blocks = {n: merge_blocks(found.similarity[n], found.perm[n], 0.3) for n in spec.groups}
    states = []
    for memory in (0, 1 << 30):
        state = merge_states(spec, a.state_dict(), b.state_dict(), blocks)
        calls = []
        fits = fit_layers(
            Pair(spec, a, b),
            [x],
            layer_tasks(spec, a, blocks),
            state,
            memory=memory,
            positions=None,
            progress=calls.append,
        )
        assert len(calls) == (3 if memory == 0 else 1)
        assert [fit.module for fit in fits] == ["c1", "c2", "fc"]
        states.append(state)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_paired_norm_of_both_networks_units_is_each_networks_own():
    x = torch.randn(5, 9)
    norm = PairedNorm([(3, 3)])  # merged, A's, B's
    found = norm(x)
    a = F.layer_norm(x[:, :6], (6,))
    b = F.layer_norm(x[:, [0, 1, 2, 6, 7, 8]], (6,))
    torch.testing.assert_close(found[:, 3:6], a[:, 3:])
    torch.testing.assert_close(found[:, 6:], b[:, 3:])
    torch.testing.assert_close(found[:, :3], (a[:, :3] + b[:, :3]) / 2)


def test_statistics_are_plain_means_over_batches_and_need_two_samples():
    model = nn.Sequential(nn.BatchNorm1d(2))
    x = torch.randn(40, 2) * 3 + 1
    assert reestimate_norms(model, [x[:20], x[20:]]) == 1
    torch.testing.assert_close(model[0].running_mean, x.mean(0))
    assert model[0].momentum == 0.1
    with pytest.raises(DataError, match="two samples"):
        reestimate_norms(model, [x[:1]])


def test_similarities():
    a = torch.randn(20, 6)
    b = a[:, [2, 0, 1, 5, 3, 4]]
    for similarity in ("cdist", "inner"):
        _, perm, _ = match_features(a, b, similarity)
        assert (b[:, perm] == a).all() or similarity == "inner"
    with pytest.raises(UnknownNameError, match="cdist"):
        match_features(a, b, "cdits")


def test_code_that_asks_for_the_number_of_rows_is_followed_for_any_number():
    class Tokened(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.randn(1, 1, 4))
            self.f1, self.f2 = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x):
            if x.ndim != 3 or x.shape[2] != 4:
                raise ValueError("no")
            x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
            return self.f2(self.f1(x).relu().mean(1).reshape(int(x.shape[0]), -1))

    model = Tokened().eval()
    spec = PermutationSpec.of(model, torch.randn(2, 3, 4))
    x = torch.randn(11, 3, 4)
    seen = []
    Pair(spec, model, model).run([x], {"f2": lambda a, b: seen.append(a)})
    torch.testing.assert_close(seen[0], model(x))
    assert list(spec.groups) == ["f1.weight:0"]
