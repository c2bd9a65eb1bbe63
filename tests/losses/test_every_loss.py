"""What every loss of logits and labels must do."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import CASES, IDS, Case, make_batch

from errata.errors import DataError, ParameterError

every_loss = pytest.mark.parametrize("case", CASES, ids=IDS)
seeds = st.integers(0, 10_000)


def grad(value: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(value, x)[0]


@every_loss
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_module_and_function_agree(case: Case, reduction: str) -> None:
    logits, target = make_batch(1)
    target[2] = -100
    torch.testing.assert_close(
        case.build(reduction=reduction)(logits, target), case.call(logits, target, reduction=reduction), rtol=0, atol=0
    )


@every_loss
@settings(max_examples=12, deadline=None)
@given(seed=seeds, classes=st.integers(2, 7), scale=st.sampled_from([0.1, 1.0, 10.0, 100.0]))
def test_values_lie_within_the_bounds(case: Case, seed: int, classes: int, scale: float) -> None:
    values = case.call(*make_batch(seed, classes=classes, scale=scale), reduction="none")
    assert values.shape == (6,)
    assert (values >= case.low - 1e-9).all()
    assert (values <= case.high + 1e-9).all()


@every_loss
def test_reductions_are_of_the_same_values(case: Case) -> None:
    logits, target = make_batch(2)
    values = case.call(logits, target, reduction="none")
    torch.testing.assert_close(case.call(logits, target, reduction="sum"), values.sum())
    torch.testing.assert_close(case.call(logits, target, reduction="mean"), values.mean())


@every_loss
@settings(max_examples=5, deadline=None)
@given(seed=seeds, ignore_index=st.sampled_from([-100, 255, -1]))
def test_to_ignore_a_position_is_to_drop_it(case: Case, seed: int, ignore_index: int) -> None:
    logits, target = make_batch(seed, size=8)
    logits.requires_grad_()
    keep = torch.rand(8, generator=torch.Generator().manual_seed(seed)) < 0.6
    keep[0] = True
    masked = torch.where(keep, target, ignore_index)
    for reduction in ("mean", "sum"):
        with_mask = case.call(logits, masked, reduction=reduction, ignore_index=ignore_index)
        dropped = case.call(logits[keep], target[keep], reduction=reduction)
        torch.testing.assert_close(with_mask, dropped)
        torch.testing.assert_close(grad(with_mask, logits), grad(dropped, logits))
    values = case.call(logits, masked, reduction="none", ignore_index=ignore_index)
    assert (values[~keep] == 0).all()


@every_loss
def test_all_ignored_is_zero_with_a_zero_gradient(case: Case) -> None:
    logits, _ = make_batch(3)
    logits.requires_grad_()
    loss = case.build()(logits, torch.full((6,), -100))
    assert loss == 0
    assert (grad(loss, logits) == 0).all()


@every_loss
def test_an_empty_batch_is_zero(case: Case) -> None:
    assert case.call(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)) == 0


@every_loss
def test_dense_equals_flattened(case: Case) -> None:
    logits, target = make_batch(4, size=2, shape=(3, 2))
    target[0, 1, 1] = -100
    values = case.call(logits, target, reduction="none")
    flat = case.call(logits.permute(0, 2, 3, 1).reshape(-1, 4), target.reshape(-1), reduction="none")
    assert values.shape == (2, 3, 2)
    torch.testing.assert_close(values.reshape(-1), flat)
    torch.testing.assert_close(case.call(logits, target), flat.sum() / 11)


@every_loss
def test_gradient_is_that_of_the_value(case: Case) -> None:
    if not case.exact_gradient:
        pytest.skip("a factor counts as a constant; its own test holds it to that")
    logits, target = make_batch(5, size=4, scale=1.5)
    assert torch.autograd.gradcheck(lambda z: case.call(z, target, reduction="none"), logits.requires_grad_())


def extreme_logits(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    big = 1e4
    rows = [
        [big, -big, -big],
        [-big, big, big],
        [big, big, big],
        [0.0, 0.0, big],
        [-big, -big, -big],
        [0.0, 0.0, 0.0],
        [5.0, 0.0, -big],
    ]
    logits = torch.tensor(rows, dtype=dtype).repeat(3, 1)
    return logits, torch.arange(3).repeat_interleave(len(rows))


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_extreme_logits_stay_finite(case: Case, dtype: torch.dtype) -> None:
    logits, target = extreme_logits(dtype)
    logits.requires_grad_()
    values = case.call(logits, target, reduction="none")
    assert values.dtype == torch.float32
    assert values.isfinite().all()
    gradient = grad(values.sum(), logits)
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()
    wide = case.call(logits.detach().double(), target, reduction="none")
    torch.testing.assert_close(values.double(), wide, rtol=1e-4, atol=1e-4)


@every_loss
def test_soft_targets_where_defined_and_refused_elsewhere(case: Case) -> None:
    logits, target = make_batch(6)
    onehot = torch.nn.functional.one_hot(target, 4).double()
    if case.soft:
        torch.testing.assert_close(case.build()(logits, onehot), case.build()(logits, target))
        mixed = (0.7 * onehot + 0.3 / 4).requires_grad_(False)
        assert case.build(reduction="none")(logits, mixed).shape == (6,)
        logits.requires_grad_()
        assert grad(case.call(logits, mixed), logits).isfinite().all()
    elif case.name != "mae-clamped":
        with pytest.raises(ParameterError, match="integer classes only"):
            case.build()(logits, onehot)


@every_loss
@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.int16], ids=str)
def test_any_integer_type_will_do(case: Case, dtype: torch.dtype) -> None:
    logits, target = make_batch(7)
    torch.testing.assert_close(case.call(logits, target.to(dtype)), case.call(logits, target))


@every_loss
def test_a_class_out_of_range_is_named(case: Case) -> None:
    logits, target = make_batch(8)
    target[3] = 4
    with pytest.raises(DataError, match=r"\[0, 4\).*got 4 at position \(3,\)"):
        case.call(logits, target)


@every_loss
@settings(max_examples=5, deadline=None)
@given(seed=seeds, shift=st.floats(-50, 50))
def test_only_differences_of_logits_matter(case: Case, seed: int, shift: float) -> None:
    if case.name.startswith("logitclip"):
        pytest.skip("clips the length of the logits, which a shift changes")
    logits, target = make_batch(seed)
    torch.testing.assert_close(case.call(logits + shift, target), case.call(logits, target), rtol=1e-6, atol=1e-9)


@every_loss
def test_a_module_can_be_pickled_and_shown(case: Case) -> None:
    logits, target = make_batch(9)
    loss = case.build(reduction="sum")
    again = pickle.loads(pickle.dumps(loss))  # noqa: S301 our own bytes
    assert again(logits, target) == loss(logits, target)
    assert "reduction='sum'" in repr(loss)


@every_loss
def test_the_loss_falls_when_the_label_becomes_more_probable(case: Case) -> None:
    if case.name == "logitclip-gce":
        pytest.skip("its clipped logits are shorter than the bound, so the loss jumps there")
    target = torch.zeros(9, dtype=torch.long)
    logits = torch.zeros(9, 3, dtype=torch.float64)
    logits[:, 0] = torch.linspace(-3, 3, 9)
    steps = case.call(logits, target, reduction="none").diff()
    if case.name == "ogc-gce":  # the authors' offset lifts the clipped part by 1 - tau * t
        steps = steps[steps.abs() < 0.5]
    assert (steps <= 1e-12).all()
    assert (steps < -1e-6).any()


@every_loss
def test_per_sample_gradients_by_vmap(case: Case) -> None:
    logits, target = make_batch(11)
    target[1] = -100

    def one(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return case.call(z[None], y[None], reduction="sum")

    each = torch.func.vmap(torch.func.grad(one))(logits, target)
    logits.requires_grad_()
    torch.testing.assert_close(each, grad(case.call(logits, target, reduction="sum"), logits))


def test_autocast_does_not_lower_the_precision() -> None:
    logits, target = make_batch(10)
    small = logits.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for case in CASES:
            torch.testing.assert_close(
                case.call(small, target), case.call(small.double(), target).float(), rtol=1e-4, atol=1e-5
            )
