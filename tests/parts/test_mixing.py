from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from errata.errors import ParameterError
from errata.parts import Mix, mixup


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 10_000), st.floats(0.05, 8), st.booleans())
def test_mixup_is_one_convex_combination_of_inputs_and_labels(seed: int, alpha: float, fold: bool) -> None:
    x, y = torch.rand(6, 3, generator=generator(seed)), torch.eye(6)
    mixed_x, mixed_y, mix = mixup(x, y, alpha, fold=fold, generator=generator(seed))
    torch.testing.assert_close(mixed_x, mixed_y @ x)
    torch.testing.assert_close(mixed_y.sum(1), torch.ones(6))
    assert (0.5 if fold else 0.0) <= mix.weight <= 1
    assert sorted(mix.partner.tolist()) == list(range(6))


def test_weights_have_the_moments_of_a_beta() -> None:
    random, alpha = generator(), 0.4
    weights = torch.tensor([Mix.draw(torch.zeros(2), alpha, fold=False, generator=random).weight for _ in range(3000)])
    assert float(weights.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(weights.var()) == pytest.approx(0.25 / (2 * alpha + 1), rel=0.05)


def test_alpha_zero_leaves_the_batch_as_it_is() -> None:
    x = torch.rand(4, 2)
    mixed, _, mix = mixup(x, x, 0.0)
    assert mix.weight == 1.0
    assert torch.equal(mixed, x)


def test_a_tiny_alpha_does_not_divide_by_zero() -> None:
    mix = Mix.draw(torch.zeros(3), 1e-6, generator=generator())
    assert 0.5 <= mix.weight <= 1


def test_gradient_reaches_both_partners() -> None:
    x = torch.ones(2, 1, requires_grad=True)
    Mix(0.75, torch.tensor([1, 0]))(x)[0].sum().backward()
    assert x.grad.tolist() == [[0.75], [0.25]]


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    mixup(torch.zeros(3, 1), torch.zeros(3, 1), generator=generator())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("alpha", [-1.0, float("nan")])
def test_alpha_is_checked(alpha: float) -> None:
    with pytest.raises(ParameterError, match="alpha"):
        Mix.draw(torch.zeros(2), alpha)


def test_weight_is_checked() -> None:
    with pytest.raises(ParameterError, match="weight"):
        Mix(1.5, torch.tensor([0]))
