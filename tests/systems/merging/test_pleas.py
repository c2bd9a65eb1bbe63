"""What must hold of a merge, whatever the network's build: the identities of the paper, and nothing else moved."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import errata
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.parts.merging.matching import permute_state
from errata.parts.merging.modules import explicit
from errata.parts.merging.regression import layer_tasks
from errata.parts.merging.running import Inputs
from errata.parts.merging.spec import PermutationSpec
from errata.parts.merging.tracing import UntraceableError
from errata.systems.merging.baselines import LogitEnsemble, git_rebasin, regmean, simple_average
from errata.systems.merging.pleas import linear_probe, pleas

sys.path.append(str(Path(__file__).parents[2] / "parts" / "merging"))

from networks import BUILDS, Branching, inputs, make

EXACT = 1e-9  # in float64


def permuted(model: nn.Module, spec: PermutationSpec, seed: int = 0) -> tuple[nn.Module, dict[str, np.ndarray]]:
    """A twin with its units in another order, and that order."""
    rng = np.random.default_rng(seed)
    order = {}
    for groups in spec.leaders().values():
        blocks = rng.permutation(groups[0].size // groups[0].unit)
        for group in groups:
            inside = rng.permutation(group.unit)
            order[group.name] = (blocks[:, None] * group.unit + inside).reshape(-1)
    twin = copy.deepcopy(model)
    twin.load_state_dict(permute_state(spec, model.state_dict(), order))
    return twin, order


@pytest.fixture(params=list(BUILDS))
def build(request):
    return request.param


class TestATwinInAnotherOrder:
    """B is A with its units permuted: the merge must give A back."""

    @pytest.fixture
    def twins(self, build):
        model, x = explicit(make(build, 1)), inputs(build)
        spec = PermutationSpec.of(model, x)
        return model, *permuted(model, spec), x

    def test_permuting_leaves_the_function_as_it_was(self, twins):
        model, twin, _, x = twins
        assert not all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), twin.state_dict().values()))
        torch.testing.assert_close(twin(x), model(x), rtol=0, atol=EXACT)

    @pytest.mark.parametrize("matching", ["activation", "weight"])
    def test_matching_finds_the_order_and_the_merge_is_the_network(self, twins, matching):
        model, twin, order, x = twins
        for ratio, solver in ((0.0, "closed"), (0.4, "none"), (0.4, "closed"), (1.0, "none")):
            merged = pleas(
                model, twin, [x[:20], x[20:]], ratios=ratio, matching=matching, solver=solver, norm_batches=0
            )
            for name, perm in merged.matching.perm.items():
                assert (order[name][perm] == np.arange(len(perm))).all()
            torch.testing.assert_close(merged.model(x), model(x), rtol=0, atol=EXACT)
            assert all(fit.after < EXACT for fit in merged.fits)
            assert merged.cost >= 1.0


class TestTwoNetworks:
    @pytest.fixture
    def pair(self, build):
        return make(build, 1), make(build, 2), inputs(build)

    def test_all_separate_is_the_mean_of_both(self, build, pair):
        if build == "plain-attention":
            pytest.skip("its code computes with the sizes, so it stays merged: see test_code_that_computes_with_sizes")
        a, b, x = pair
        for solver in ("none", "closed"):
            merged = pleas(a, b, [x], ratios=1.0, solver=solver, norm_batches=0)
            torch.testing.assert_close(merged.model(x), (a(x) + b(x)) / 2, rtol=0, atol=1e-8)
            assert merged.cost == pytest.approx(2.0)

    def test_least_squares_never_makes_a_layer_worse_and_keeps_the_zeros(self, pair):
        a, b, x = pair
        merged = pleas(a, b, [x[:20], x[20:]], budget=1.4, rule="uniform", norm_batches=0, positions=None)
        assert merged.fits
        assert all(fit.after <= fit.before * (1 + 1e-9) + 1e-12 for fit in merged.fits)
        state = merged.model.state_dict()
        for task in layer_tasks(merged.spec, explicit(a), merged.blocks):
            weight = state[f"{task.layer.module}.weight"]
            for rows, columns in (
                (task.rows_out.only_a, task.rows_in.only_b),
                (task.rows_out.only_b, task.rows_in.only_a),
            ):
                assert (weight[rows][:, columns] == 0).all()

    def test_the_blocks_are_all_units_once(self, pair):
        a, b, x = pair
        merged = pleas(a, b, [x], budget=1.3, solver="none", norm_batches=0)
        for name, group in merged.spec.groups.items():
            blocks = merged.blocks[name]
            for merged_units, separate in (
                (blocks.merged_a, blocks.separate_a),
                (blocks.merged_b, blocks.separate_b),
            ):
                assert sorted([*merged_units, *separate]) == list(range(group.size))

    def test_the_networks_are_left_as_they_were(self, pair):
        a, b, x = pair
        before = [{k: v.clone() for k, v in m.state_dict().items()} for m in (a, b)]
        a.train()
        pleas(a, b, [x], budget=1.2)
        assert a.training
        assert not b.training
        for model, state in zip((a, b), before):
            assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_the_system_is_a_plain_function_with_a_card():
    assert errata.system("pleas") is pleas
    assert pleas.card.task == "merging"


def test_the_same_seed_gives_the_same_network_and_leaves_the_global_generator_alone():
    a, b, x = make("cnn", 1), make("cnn", 2), inputs("cnn")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, other = (pleas(a, b, [x], budget=1.3, matching="weight", positions=9, seed=3).model for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items())


def test_code_that_computes_with_sizes_is_widened_only_where_it_can_be():
    a, b, x = make("plain-attention", 1), make("plain-attention", 2), inputs("plain-attention")
    merged = pleas(a, b, [x], budget=2.0)
    assert merged.ratios["inner.weight:0"] == 1.0
    assert {n for n, r in merged.ratios.items() if r == 0} == {"embed.weight:0", "qkv.weight:0[0]", "qkv.weight:0[2]"}
    assert any("computes with the sizes" in note for note in merged.spec.notes)
    with pytest.raises(ParameterError, match="can't be kept separate"):
        pleas(a, b, [x], ratios={"embed.weight:0": 0.5})


def test_adam_comes_near_the_closed_form():
    a, b, x = make("mlp", 1).float(), make("mlp", 2).float(), inputs("mlp", 200).float()
    first = pleas(a, b, [x], budget=1.3, solver="none")
    adam = pleas(a, b, [x], budget=1.3, solver="adam", steps=250, lr=1e-2)
    closed = pleas(a, b, [x], budget=1.3)
    for slow, best in zip(adam.fits, closed.fits):
        assert best.after <= slow.after * 1.001 + 1e-6
        assert slow.after <= slow.before + 1e-6
    assert len(first.fits) == 0
    for task in layer_tasks(adam.spec, a, adam.blocks):
        weight = adam.model.state_dict()[f"{task.layer.module}.weight"]
        assert (weight[task.rows_out.only_a][:, task.rows_in.only_b] == 0).all()


@pytest.mark.parametrize("rule", ["zip", "uniform", "qp"])
@pytest.mark.parametrize("budget", [1.0, 1.35, 2.0])
def test_a_budget_is_kept(rule, budget):
    a, b, x = make("mlp", 1), make("mlp", 2), inputs("mlp")
    merged = pleas(a, b, [x], budget=budget, rule=rule)
    assert merged.cost <= budget + 0.06  # whole units
    assert merged.cost >= budget - 0.2
    zipped = list(merged.ratios.values())
    assert rule != "zip" or zipped == sorted(zipped)


class TestDifferentClasses:
    CLASSES = (["a", "b", "c", "d", "e"], ["c", "x", "a", "y", "z"])

    def networks(self):
        return make("mlp", 1), make("mlp", 2), inputs("mlp", 200)

    def test_all_separate_reads_both_heads_through(self):
        a, b, x = self.networks()
        merged = pleas(a, b, [x], ratios=1.0, classes=self.CLASSES)
        assert merged.classes == ["a", "b", "c", "d", "e", "x", "y", "z"]
        found, one, other = merged.model(x), a(x), b(x)
        torch.testing.assert_close(found[:, 1], one[:, 1], rtol=0, atol=EXACT)
        torch.testing.assert_close(found[:, 5], other[:, 1], rtol=0, atol=EXACT)
        torch.testing.assert_close(found[:, 2], (one[:, 2] + other[:, 0]) / 2, rtol=0, atol=EXACT)
        torch.testing.assert_close(LogitEnsemble(a, b, self.CLASSES)(x), found, rtol=0, atol=EXACT)

    def test_numbers_of_classes_may_differ(self):
        a, x = make("mlp", 1), inputs("mlp")
        b = errata.models.build("mlp", 3, (12,), hidden=[16, 10], seed=4).double()
        merged = pleas(a, b, [x], budget=1.2, classes=(list("abcde"), list("vwx")))
        assert merged.model(x).shape == (len(x), 8)
        with pytest.raises(DataError, match="5 and 3 classes"):
            pleas(a, b, [x])

    def test_classes_are_named_once_each(self):
        a, b, x = self.networks()
        with pytest.raises(ParameterError, match="once"):
            pleas(a, b, [x], classes=(list("aabcd"), list("abcde")))

    def test_a_probe_learns_the_labels(self):
        a, b, x = self.networks()
        merged = pleas(a, b, [x], classes=self.CLASSES)
        y = (x[:, 0] > 0).long()
        probed = linear_probe(merged.model, [(x[:100], y[:100]), (x[100:], y[100:])], 2, lr=1e-2)
        assert float((probed(x).argmax(1) == y).double().mean()) > 0.7


class TestInput:
    def test_networks_of_different_builds_are_told_apart(self):
        x = inputs("mlp")
        wider = errata.models.build("mlp", 5, (12,), hidden=[17, 10]).double()
        with pytest.raises(DataError, match=r"'body.0.weight' has shape \(16, 12\) in the first and \(17, 12\)"):
            pleas(make("mlp", 1), wider, [x])
        deeper = errata.models.build("mlp", 5, (12,), hidden=[16, 10, 4]).double()
        with pytest.raises(DataError, match="in one alone"):
            pleas(make("mlp", 1), deeper, [x])

    @pytest.mark.parametrize("batches", [[], [torch.zeros(0, 12)], [[1, 2]], iter([])])
    def test_no_data(self, batches):
        with pytest.raises(DataError):
            pleas(make("mlp", 1), make("mlp", 2), batches)

    def test_nan(self):
        x = inputs("mlp")
        x[3, 2] = torch.nan
        with pytest.raises(DataError, match="NaN"):
            pleas(make("mlp", 1), make("mlp", 2), [x])

    @pytest.mark.parametrize(
        "options",
        [{"budget": 0.9}, {"budget": 2.5}, {"rule": "zap"}, {"matching": "luck"}, {"solver": "x"}]
        + [{"ratios": 1.5}, {"ratios": {"nothing": 0.5}}, {"head": "tail"}, {"ridge": -1.0}, {"similarity": "l1"}],
    )
    def test_parameters(self, options):
        with pytest.raises((ParameterError, UnknownNameError)):
            pleas(make("mlp", 1), make("mlp", 2), [inputs("mlp")], **options)

    def test_a_generator_and_labelled_batches_will_do(self):
        a, b, x = make("cnn", 1), make("cnn", 2), inputs("cnn")
        listed = pleas(a, b, [x[:20], x[20:]])
        lazy = pleas(a, b, ((part, torch.zeros(20)) for part in (x[:20], x[20:])))
        assert all(torch.equal(v, lazy.model.state_dict()[k]) for k, v in listed.model.state_dict().items())

    def test_one_sample(self):
        a, b = make("mlp", 1), make("mlp", 2)
        merged = pleas(a, b, [inputs("mlp", 1)], budget=1.5)
        assert torch.isfinite(merged.model(inputs("mlp"))).all()

    def test_different_encodings_of_one_input(self):
        a, b, x = make("mlp", 1), make("mlp", 2), inputs("mlp", 100)
        shifted = 2 * x + 1  # what B was trained to see
        merged = pleas(a, b, [Inputs(x, shifted)], ratios=1.0, ridge=1e-12)
        torch.testing.assert_close(merged.model(x), (a(x) + b(shifted)) / 2, rtol=0, atol=1e-6)

    def test_what_cannot_be_followed_is_told_and_can_be_written_by_hand(self):
        torch.manual_seed(0)
        a, b, x = Branching(), Branching(), torch.randn(50, 6)
        with pytest.raises(UntraceableError, match="by_hand"):
            pleas(a, b, [x])
        groups = {"hidden": {"state": ["f1.weight:0", "f1.bias:0", "f2.weight:1"], "nodes": ["f1:1"]}}
        spec = PermutationSpec.by_hand(a, groups)
        merged = pleas(a, b, [x], spec=spec, ratios=1.0)
        torch.testing.assert_close(merged.model(x), (a(x) + b(x)) / 2, rtol=0, atol=1e-4)

    def test_a_wrong_specification_is_found_out(self):
        a, b, x = make("mlp", 1), make("mlp", 2), inputs("mlp")
        groups = {
            "hidden": {"state": ["body.0.weight:0", "body.2.weight:1"], "nodes": ["body.0:1"]}
        }  # the bias is missing
        with pytest.raises(UntraceableError, match="changes what it answers"):
            pleas(a, b, [x], spec=PermutationSpec.by_hand(a, groups))


@pytest.mark.parametrize("build", ["mlp", "cnn", "patches"])
def test_baselines(build):
    model, x = make(build, 1), inputs(build)
    spec = PermutationSpec.of(model, x)
    twin, _ = permuted(model, spec)
    torch.testing.assert_close(git_rebasin(model, twin, [x], norm_batches=0)(x), model(x), rtol=0, atol=EXACT)
    torch.testing.assert_close(
        git_rebasin(model, twin, [x], matching="activation", norm_batches=0)(x), model(x), rtol=0, atol=EXACT
    )
    assert not torch.allclose(simple_average(model, twin, [x], norm_batches=0)(x), model(x), atol=1e-3)
    same = regmean(model, model, [x], [x[:20]], norm_batches=0)
    torch.testing.assert_close(same(x), model(x), rtol=0, atol=1e-4)
