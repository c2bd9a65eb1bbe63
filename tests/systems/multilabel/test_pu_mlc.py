"""PU-MLC's equations: the identities that they imply, and what the system makes of labels and inputs."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.errors import DataError, ParameterError
from errata.parts import Batch
from errata.systems.multilabel.pu_mlc import (
    ClassStatistics,
    PositiveUnlabelledMultiLabel,
    adaptive_temperature,
    halves,
    mixup_consistency,
    rebalance_factor,
    soft_labels,
    variational_loss,
)
from errata.testing import check_system


def case(seed, rows=8, labels=4, scale=2.0):
    random = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(rows, labels, generator=random, dtype=torch.float64)
    target = torch.randint(-1, 2, (rows, labels), generator=random)
    return logits.requires_grad_(), target


def loss_and_gradient(logits, target, **how):
    loss = variational_loss(logits, target, **how)
    return loss, torch.autograd.grad(loss, logits)[0]


@given(st.integers(0, 10_000), st.floats(0, 2), st.floats(0.1, 3))
@settings(max_examples=25, deadline=None)
def test_known_negatives_are_unlabelled(seed, gamma, alpha):
    logits, target = case(seed)
    both = [loss_and_gradient(logits, t, gamma=gamma, alpha=alpha) for t in (target, target.clamp(min=0))]
    assert torch.equal(both[0][0], both[1][0])
    assert torch.equal(both[0][1], both[1][1])


@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
@settings(max_examples=25, deadline=None)
def test_without_factor_and_temperature_a_label_can_be_scaled(seed, share):
    """The objective is the variational one of binary PU learning, which sees q up to a constant."""
    logits, target = case(seed)
    target[0] = 1
    scaled = (share * logits.detach().sigmoid()).logit()
    found = [variational_loss(x, target, gamma=0.0, alpha=None, eps=0.0) for x in (logits, scaled)]
    assert found[0].item() == pytest.approx(found[1].item(), abs=1e-7)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_all_positive_is_at_least_zero_and_zero_for_a_constant(seed):
    logits, target = case(seed)
    everyone = torch.ones_like(target)
    assert variational_loss(logits, everyone, gamma=0.0, alpha=None, eps=0.0) >= -1e-12  # Jensen
    constant = logits[:1].expand_as(logits)
    assert abs(variational_loss(constant, everyone, gamma=0.0, alpha=None, eps=0.0).item()) < 1e-9


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_labels_add_up(seed):
    logits, target = case(seed)
    twice = [variational_loss(x, t) for x, t in ((logits, target), (logits.repeat(1, 2), target.repeat(1, 2)))]
    assert twice[1].item() == pytest.approx(2 * twice[0].item(), rel=1e-12)


def test_temperature_and_factor_have_no_gradient():
    logits, target = case(3)
    assert not adaptive_temperature(logits).requires_grad
    assert not rebalance_factor(logits.sigmoid(), 0.5).requires_grad
    loss, gradient = loss_and_gradient(logits, target, gamma=0.7, alpha=0.8)
    # the same with both as plain numbers
    x = logits.detach().clone().requires_grad_()
    tau = (0.8 * x.detach().std(0, correction=0)).clamp(max=1)
    q = (x / tau).sigmoid()
    weight = q.detach().mean(0) ** 0.7
    positive = target == 1
    byhand = (weight * q.mean(0).log()).sum() - ((q.log() * positive).sum(0) / positive.sum(0).clamp(min=1)).sum()
    assert loss.item() == pytest.approx(byhand.item(), abs=1e-8)
    torch.testing.assert_close(gradient, torch.autograd.grad(byhand, x)[0], rtol=0, atol=1e-8)


def test_a_label_without_positives_still_learns_from_the_unlabelled():
    logits, target = case(5)
    target[:, 1] = 0
    gradient = loss_and_gradient(logits, target)[1]
    assert (gradient[:, 1] > 0).all()  # every probability is pushed down


@pytest.mark.parametrize("logits", [torch.zeros(1, 3), torch.full((6, 3), 2.0), torch.tensor([[1e4], [-1e4]])])
def test_flat_and_extreme_logits_give_finite_gradients(logits):
    logits = logits.clone().requires_grad_()
    target = torch.ones_like(logits).long()
    loss, gradient = loss_and_gradient(logits, target)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_half_precision_is_computed_in_float32():
    logits, target = case(6)
    low = variational_loss(logits.detach().bfloat16(), target)
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(variational_loss(logits, target).item(), rel=0.02)


def test_halves_leave_the_middle_out():
    assert [h.tolist() for h in halves(torch.arange(6))] == [[0, 1, 2], [3, 4, 5]]
    assert [h.tolist() for h in halves(torch.arange(7))] == [[0, 1, 2], [4, 5, 6]]
    assert [len(h) for h in halves(torch.arange(1))] == [0, 0]


def test_consistency_at_the_ends_uses_one_half_only():
    random = torch.Generator().manual_seed(0)
    x, target = torch.randn(6, 3, generator=random), torch.randint(0, 2, (6, 2), generator=random)
    network = torch.nn.Linear(3, 2)
    for weight, (rows, others) in {1.0: (slice(0, 3), slice(3, 6)), 0.0: (slice(3, 6), slice(0, 3))}.items():
        changed = x.clone()
        changed[others] += 5.0
        found = []
        for inputs in (x, changed):
            (first, second), (labels, rest) = halves(inputs), halves(soft_labels(network(inputs), target))
            mixed = weight * first + (1 - weight) * second
            found.append(mixup_consistency(network(mixed), weight * labels + (1 - weight) * rest))
        assert torch.equal(*found)
        # unmixed, the prediction agrees with itself; what is left are the known positives
        alone = target[rows] == 1
        gap = torch.nn.functional.logsigmoid(network(x[rows])) ** 2 * alone
        assert found[0].item() == pytest.approx(gap.mean(0).sum().item(), abs=1e-5)


def test_the_gradient_flows_into_the_soft_labels():
    logits = torch.zeros(2, 1, requires_grad=True)
    labels = soft_labels(logits, torch.tensor([[1], [0]]))
    gradient = torch.autograd.grad(mixup_consistency(torch.ones(2, 1), labels), logits)[0]
    assert gradient[0] == 0  # a known positive is 1, whatever is predicted
    assert gradient[1] != 0


def system(**options):
    torch.manual_seed(0)
    return PositiveUnlabelledMultiLabel(torch.nn.Linear(3, 2), num_classes=2, num_samples=6, **options)


def test_the_step_is_the_sum_of_both_terms():
    made = system(mix_alpha=0.3)
    x, y = torch.randn(6, 3), torch.tensor([[1, 0], [0, 1], [-1, -1], [1, 1], [0, 0], [-1, 1]])
    state = made.random.state_dict()
    total = made.training_step(Batch(torch.arange(6), x, y))
    plain = variational_loss(made.model(x), torch.where(y == 1, 1, 0))
    from errata.parts import draw_beta

    made.random.load_state_dict(state)
    weight = draw_beta(0.3, made.random.generator)
    order = torch.randperm(3, generator=made.random.generator)
    labels = soft_labels(made.model(x), y)
    mixed = weight * x[:3][order] + (1 - weight) * x[3:]
    term = mixup_consistency(made.model(mixed), weight * labels[:3][order] + (1 - weight) * labels[3:])
    assert total.item() == pytest.approx((plain + term).item(), rel=1e-6)
    assert system(mix_alpha=0.0).training_step(Batch(torch.arange(6), x, y)).item() == pytest.approx(plain.item())


def test_what_is_known_not_to_apply_is_not_believed():
    x = torch.randn(4, 3)
    losses = []
    for unlabelled in (0, -1):
        y = torch.tensor([[1, 0], [0, 1], [0, 0], [1, 0]])
        losses.append(system().training_step(Batch(torch.arange(4), x, torch.where(y == 0, unlabelled, y))))
    assert torch.equal(*losses)


def test_tokens_are_not_mixed_and_that_is_told():
    torch.manual_seed(0)
    bag = torch.nn.EmbeddingBag(9, 2)
    made = PositiveUnlabelledMultiLabel(bag, num_classes=2, num_samples=4)
    batch = Batch(torch.arange(4), torch.randint(0, 9, (4, 5)), torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0]]))
    with pytest.warns(UserWarning, match="without mixup"):
        loss = made.training_step(batch)
    assert loss.isfinite()


@pytest.mark.parametrize(
    "odd",
    [{"gamma": -1.0}, {"alpha": 0.0}, {"alpha": math.inf}, {"mix_alpha": -0.1}, {"ema": 1.0}, {"gamma": math.nan}],
)
def test_parameters_out_of_range(odd):
    with pytest.raises(ParameterError, match=next(iter(odd))):
        system(**odd)


def test_labels_of_another_width_are_refused():
    batch = Batch(torch.arange(2), torch.zeros(2, 3), torch.zeros(2, 5, dtype=torch.long))
    with pytest.raises(DataError, match="Expected 2 labels"):
        system().on_after_batch_transfer(batch, 0)
    with pytest.raises(DataError, match="2 dimensions"):
        system().on_after_batch_transfer(batch._replace(y=torch.zeros(2, dtype=torch.long)), 0)


# -- running class statistics -----------------------------------------------------------------------------------------


def test_running_statistics_of_one_batch_are_the_batchs():
    logits, target = case(5, rows=16)
    seen = ClassStatistics(4, decay=0.9).double()
    plain = loss_and_gradient(logits, target)
    for _ in range(3):  # the same batch again changes nothing
        running = loss_and_gradient(logits, target, statistics=seen)
        torch.testing.assert_close(running, plain, rtol=1e-9, atol=1e-9)


def test_small_batches_come_to_the_statistics_of_all():
    random = torch.Generator().manual_seed(0)
    rows = 0.5 * torch.randn(4000, 3, generator=random) + torch.tensor([0.0, 1.0, -1.0])
    seen = ClassStatistics(3, decay=0.99)
    alone, running, factors = [], [], []
    for batch in rows.split(2):
        alone.append(adaptive_temperature(batch))
        running.append(seen.temperature(batch, 1.0))
        factors.append(seen.rebalance(batch.sigmoid(), 0.5))
    late = torch.stack(running[500:])
    torch.testing.assert_close(late.mean(0), adaptive_temperature(rows), rtol=0.02, atol=0)
    assert late.std(0).max() < 0.2 * torch.stack(alone).std(0).min()
    torch.testing.assert_close(
        torch.stack(factors[500:]).mean(0), rebalance_factor(rows.sigmoid(), 0.5), rtol=0.02, atol=0
    )


def test_running_statistics_are_saved_with_the_system():
    def system():
        return PositiveUnlabelledMultiLabel(torch.nn.Linear(2, 3), 3, 8, class_decay=0.9)

    one, other = system(), system()
    batch = Batch(torch.arange(4), torch.randn(4, 2), torch.randint(0, 2, (4, 3)))
    one.training_step(batch)
    other.load_state_dict(one.state_dict())
    for name, value in one.statistics.named_buffers():
        assert torch.equal(value, dict(other.statistics.named_buffers())[name])
        assert value.abs().sum() > 0
    assert one.class_decay == 0.9
    with pytest.raises(ParameterError, match="class_decay must be"):
        PositiveUnlabelledMultiLabel(torch.nn.Linear(2, 3), 3, 8, class_decay=1.0)


LAW = dict(check_system(PositiveUnlabelledMultiLabel, modalities=("tabular",), class_decay=0.9))


@pytest.mark.parametrize("name", ["checkpoint_and_resume", "two_ranks_equal_one"])
def test_law_with_running_statistics(name):
    LAW[name]()
