"""FedLabel's identities, as its dossier and the paper imply them, on small models of every shape."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from errata.errors import ParameterError
from errata.parts.federated import Share, floating_state, parameter_names, server_update
from errata.systems.federated.fedavg import FedAvg
from errata.systems.federated.fedlabel import (
    DIRECTIONS,
    FedLabel,
    assign,
    assigned_loss,
    client_round,
    combined,
    confidence,
    fedlabel_loss,
)


def logits(*shape, seed=0, scale=2.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def share(labelled=12, unlabelled=20, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(labelled + unlabelled) % classes
    x = 2.0 * F.one_hot(y, classes).float() + 0.5 * torch.randn(len(y), classes, generator=generator)
    return Share(x, torch.where(torch.arange(len(y)) < labelled, y, -1))


def linear(seed=0, classes=3):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(classes, classes)


seeds = st.integers(0, 10_000)


class TestConfidence:
    def test_uniform_and_one_hot(self):
        p = torch.stack([torch.full((5,), 0.2), torch.eye(5)[2]])
        assert torch.allclose(confidence(p), torch.tensor([0.0, 4 / 25]))
        assert torch.allclose(confidence(p, "entropy"), torch.tensor([0.0, 5.0]).log().clamp(min=0), atol=1e-6)

    def test_an_unknown_kind_is_told(self):
        with pytest.raises(ParameterError, match="variance, entropy"):
            confidence(torch.ones(1, 2) / 2, "gini")


@given(seeds, st.integers(2, 6), st.floats(0, 1), st.sampled_from(("variance", "entropy")))
@settings(max_examples=40, deadline=None)
def test_the_ratio_lies_in_0_1_and_the_chosen_is_the_surer(seed, classes, beta, kind):
    found = assign(logits(16, classes, seed=seed), logits(16, classes, seed=seed + 1), beta, kind)
    assert bool(((found.ratio > 0) & (found.ratio <= 1)).all())
    assert torch.equal(found.is_local, found.h_local > found.h_global)
    assert not bool((found.agrees & ~found.passes).any())
    assert bool(((found.pseudo_label == -1) == ~found.passes).all())


@given(seeds, st.sampled_from(DIRECTIONS))
@settings(max_examples=30, deadline=None)
def test_without_lambda_or_agreement_it_is_cross_entropy_of_what_passes(seed, kl):
    one, two, student = logits(9, 4, seed=seed), logits(9, 4, seed=seed + 1), logits(9, 4, seed=seed + 2)
    loss, found = fedlabel_loss(one, two, student, beta=0.5, lambda0=0.0, kl=kl)
    expected = F.cross_entropy(student[found.passes], found.pseudo_label[found.passes], reduction="sum")
    assert torch.allclose(loss, expected / max(1, int(found.passes.sum())))
    disagreeing = found.passes & ~found.agrees
    if disagreeing.any():
        rows = torch.nonzero(disagreeing)[:, 0]
        assert torch.allclose(
            assigned_loss(student[rows], found[rows], 3.0, kl),
            F.cross_entropy(student[rows], found.pseudo_label[rows]),
        )


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_the_order_within_a_batch_changes_nothing(seed):
    one, two, student = logits(9, 4, seed=seed), logits(9, 4, seed=seed + 1), logits(9, 4, seed=seed + 2)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(fedlabel_loss(one, two, student)[0], fedlabel_loss(one[order], two[order], student[order])[0])


def test_the_usual_direction_has_the_gradient_of_distillation():
    both = torch.tensor([[3.0, 0.0, 0.0]], dtype=torch.float64)
    student = logits(1, 3, seed=3).requires_grad_()
    with_kl = fedlabel_loss(both, both, student, beta=0.1, lambda0=1.0)[0]
    without = fedlabel_loss(both, both, student, beta=0.1, lambda0=0.0)[0]
    (gradient,) = torch.autograd.grad(with_kl - without, student)
    assert torch.allclose(gradient, student.softmax(1) - both.softmax(1))


def test_equal_teachers_agree_wherever_they_pass():
    same = logits(50, 4)
    found = assign(same, same, beta=0.4)
    assert torch.equal(found.agrees, found.passes)
    assert bool((found.ratio == 1).all())
    assert not bool(found.is_local.any()), "of equals the global model is taken"


@pytest.mark.parametrize(("teacher", "local"), [("local", True), ("global", False)])
def test_the_papers_ablations_take_one_teacher(teacher, local):
    found = assign(logits(20, 4), logits(20, 4, seed=1), 0.4, teacher=teacher)
    assert bool((found.is_local == local).all())
    assert bool((found.ratio <= 1).all())


def test_no_gradient_reaches_the_teachers():
    one, two, student = (logits(4, 3, seed=i).requires_grad_() for i in range(3))
    fedlabel_loss(one, two, student, beta=0.0)[0].backward()
    assert one.grad is None
    assert two.grad is None
    assert student.grad is not None


class TestRound:
    def test_the_global_model_is_left_as_it_was(self):
        model = linear()
        before = copy.deepcopy(model.state_dict())
        FedLabel(batch_size=4, beta=0.0).client_round(model, share(), seed=1)
        assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
        assert all(p.grad is None for p in model.parameters())

    def test_with_a_threshold_of_1_it_is_federated_averaging(self):
        ours = FedLabel(beta=1.0, tau=5, batch_size=4).client_round(linear(), share(), seed=3)
        base = FedAvg(tau=5, batch_size=4).client_round(linear(), share(), seed=3)
        assert all(torch.allclose(ours.state[k], base.state[k], atol=1e-7) for k in base.state)
        assert ours.samples == base.samples == 12

    def test_without_supervised_steps_both_teachers_are_one(self):
        update = FedLabel(tau=0, beta=0.2).client_round(linear(), share(), seed=0)
        assert update.metrics["agreeing"] == update.metrics["passing"] > 0
        assert update.metrics["chose_local"] == 0

    def test_it_sends_the_sum_of_both_movements(self):
        model, own = linear(), share()
        x, y = own.x[own.labelled], own.y[own.labelled]
        rows = [torch.arange(4), torch.arange(4, 8)]
        done = client_round(model, (x, y), own.x[own.unlabelled], rows, rows, eta=0.1, beta=0.3, lambda0=1.0)
        start = floating_state(model)
        sent = combined(start, done, parameter_names(model))
        for name, w in start.items():
            assert torch.allclose(sent[name], w + done.delta_labelled[name] + done.delta_unlabelled[name])
        assert any(bool(d.abs().sum() > 0) for d in done.delta_unlabelled.values())

    def test_running_statistics_are_no_steps(self):
        # summed like weights, the variance would fall from 1 to 2 * 0.01 - 1
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = nn.Sequential(nn.BatchNorm1d(3, momentum=0.9), nn.Linear(3, 3))
        own = share()
        own.x = 0.1 * own.x
        update = FedLabel(beta=0.0, batch_size=8).client_round(model, own, seed=0)
        assert bool((update.state["0.running_var"] > 0).all())
        assert all(bool(v.isfinite().all()) for v in update.state.values())
        assert "0.num_batches_tracked" not in update.state

    def test_samples_are_counted_once_or_as_consumed(self):
        own = share()
        distinct = FedLabel(beta=0.0, tau=10, tau_prime=10, batch_size=6).client_round(linear(), own, seed=0)
        consumed = FedLabel(beta=0.0, tau=10, tau_prime=10, batch_size=6, count="consumed").client_round(
            linear(), own, seed=0
        )
        assert distinct.samples == 12 + 20
        assert consumed.samples == 60 + 60

    @pytest.mark.parametrize(("labelled", "unlabelled", "samples"), [(0, 20, 20), (12, 0, 12), (0, 0, 0), (1, 1, 2)])
    def test_a_client_may_lack_either_part(self, labelled, unlabelled, samples):
        update = FedLabel(beta=0.0).client_round(linear(), share(labelled, unlabelled), seed=0)
        assert update.samples == samples
        assert all(bool(v.isfinite().all()) for v in update.state.values())

    def test_the_plain_view_for_the_consistency_term_differs(self):
        own = share()
        torch.manual_seed(0)
        strong = FedLabel(beta=0.0).client_round(linear(), own, seed=0).state
        torch.manual_seed(0)
        plain = FedLabel(beta=0.0, kl_view="plain").client_round(linear(), own, seed=0).state
        assert not torch.allclose(strong["weight"], plain["weight"])

    def test_the_same_seed_gives_the_same_update(self):
        states = []
        for _ in range(2):
            torch.manual_seed(4)
            states.append(FedLabel(beta=0.3).client_round(linear(), share(), seed=9).state)
        assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])

    def test_what_the_global_model_says_may_be_given(self):
        model, own = linear(), share()
        with torch.no_grad():
            known = model(own.x)
        updates = []
        for given_ in (None, known):
            torch.manual_seed(0)
            updates.append(FedLabel().client_round(model, own, seed=0, known=given_))
        assert all(torch.allclose(updates[0].state[k], updates[1].state[k]) for k in updates[0].state)


def test_one_client_of_any_weight_gives_its_own_model():
    model = linear()
    update = FedLabel().client_round(model, share(), seed=0)
    update.samples = 7
    new = FedLabel().update(floating_state(model), [update])
    assert all(torch.allclose(new[k], update.state[k]) for k in new)


def test_training_on_both_parts_learns_where_few_labels_do_not():
    # labelled: one of each class; the other two dozen are told apart with their help
    model, own, test = linear(seed=2), share(labelled=3, unlabelled=60), share(labelled=90, seed=8)
    system = FedLabel(eta=0.2, beta=0.5, noise=0.2)
    for step in range(5):
        torch.manual_seed(step)
        state = system.update(floating_state(model), [system.client_round(model, own, seed=step)])
        model.load_state_dict(state)
    with torch.no_grad():
        right = (model(test.x).argmax(1) == test.y)[:90].float().mean()
    assert right > 0.9


@pytest.mark.parametrize(
    "wrong",
    [
        {"confidence": "gini"},
        {"kl": "both"},
        {"normaliser": "none"},
        {"teacher": "nobody"},
        {"count": "twice"},
        {"kl_view": "weak"},
        {"tau": -1},
        {"batch_size": 0},
        {"lambda0": float("nan")},
        {"randaugment_m": 30},
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        FedLabel(**wrong)


def test_parameters_are_stored_as_given():
    for kind in (FedLabel, FedAvg):
        known = kind.hyperparameters()
        assert kind().settings() == known
        for name, default in known.items():
            if isinstance(default, (int, float)):
                assert getattr(kind(**{name: default + 1}), name) == default + 1


def test_the_servers_step_can_be_made_smaller():
    w, moved = {"w": torch.tensor([1.0])}, [{"w": torch.tensor([3.0])}, {"w": torch.tensor([7.0])}]
    assert server_update(w, moved, [1, 1])["w"].item() == 5.0
    assert server_update(w, moved, [1, 1], server_lr=0.25)["w"].item() == 2.0
    assert server_update(w, moved, [0, 0])["w"].item() == 1.0


class TestFixMatch:
    def test_it_uses_what_the_current_model_is_sure_of(self):
        update = FedAvg(pseudo_labels="fixmatch", threshold=0.0, tau=10).client_round(linear(), share(), seed=0)
        assert update.samples == 12 + 20
        assert FedAvg(pseudo_labels="fixmatch", threshold=1.0).client_round(linear(), share(), seed=0).samples == 12
