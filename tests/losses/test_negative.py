"""Active negative losses and their two regularisers."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import make_batch

from errata.errors import ParameterError
from errata.losses import ActiveNegative, NormalizedNegative
from errata.losses import functional as F

seeds = st.integers(0, 10_000)
sizes = st.integers(2, 8)
scales = st.sampled_from([0.1, 1.0, 5.0, 20.0])
quick = settings(max_examples=20, deadline=None)


def close(a: torch.Tensor, b: torch.Tensor, rtol: float = 1e-9, atol: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


class TestActiveNegative:
    def test_the_totals(self) -> None:
        logits, target = make_batch(11)
        weights = [torch.tensor([1.0, -2.0], dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)]
        nce, nnce = F.normalized_cross_entropy(logits, target), F.normalized_negative(logits, target)
        close(F.active_negative(logits, target, alpha=2.0, beta=3.0), 2 * nce + 3 * nnce)
        total = ActiveNegative("nce", 2.0, 3.0, delta=0.1)(logits, target, weights)
        close(total, 2 * nce + 3 * nnce + 0.3)
        nfl, nnfl = F.normalized_focal(logits, target), F.normalized_negative(logits, target, base="fl")
        close(F.active_negative(logits, target, active="nfl", alpha=2.0, beta=3.0), 2 * nfl + 3 * nnfl)

    def test_entropy_regularisation_counts_only_labelled_positions(self) -> None:
        logits, target = make_batch(12)
        keep = torch.tensor([True, False, True, True, False, True])
        loss = ActiveNegative(lamb=2.0)
        close(loss(logits, torch.where(keep, target, -100)), loss(logits[keep], target[keep]))
        assert loss(logits, torch.full((6,), -100)) == pytest.approx(0.0, abs=1e-12)

    def test_l1_without_parameters_is_refused(self) -> None:
        with pytest.raises(ParameterError, match=r"model.parameters\(\)"):
            ActiveNegative(delta=0.1)(*make_batch(13))

    @pytest.mark.parametrize("more", [{"delta": 0.1}, {"lamb": 0.1}])
    def test_regularisers_belong_to_a_mean(self, more: dict[str, float]) -> None:
        with pytest.raises(ParameterError, match="reduction='none'"):
            ActiveNegative(reduction="none", **more)

    @pytest.mark.parametrize("wrong", [{"active": "ce"}, {"alpha": -1.0}, {"min_prob": 0.0}, {"gamma": math.nan}])
    def test_parameters_are_checked_at_construction(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            ActiveNegative(**wrong)  # type: ignore[arg-type]

    def test_a_floor_above_uniform_is_refused(self) -> None:
        with pytest.raises(ParameterError, match="below 1 / K"):
            NormalizedNegative(min_prob=0.3)(*make_batch(14))


class TestRegularisers:
    def test_l1_norm_and_its_gradient(self) -> None:
        a = torch.tensor([1.0, -2.0, 0.0], requires_grad=True)
        b = torch.tensor([[3.0]], dtype=torch.float64, requires_grad=True)
        c = torch.tensor([0.5, -0.25], dtype=torch.bfloat16, requires_grad=True)
        value = F.l1_norm(iter([a, b, c]))
        assert float(value.detach()) == pytest.approx(6.75)
        grads = torch.autograd.grad(value, [a, b, c])
        assert [g.flatten().tolist() for g in grads] == [[1.0, -1.0, 0.0], [1.0], [1.0, -1.0]]

    def test_l1_norm_of_a_model_is_the_plain_sum(self) -> None:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 2))
        torch.testing.assert_close(F.l1_norm(model.parameters()), sum(p.abs().sum() for p in model.parameters()))

    def test_l1_norm_of_a_used_up_generator_is_refused(self) -> None:
        parameters = iter([torch.ones(2)])
        F.l1_norm(parameters)
        with pytest.raises(ParameterError, match="got none"):
            F.l1_norm(parameters)

    @quick
    @given(seeds, sizes, scales)
    def test_entropy_regulariser_is_within_its_bounds(self, seed: int, classes: int, scale: float) -> None:
        logits, _ = make_batch(seed, classes=classes, scale=scale, shape=(2,))
        value = F.batch_entropy_regularizer(logits)
        assert -1e-12 <= value <= math.log(classes) + 1e-12
        flat = logits.transpose(1, 2).reshape(-1, classes)
        close(value, F.batch_entropy_regularizer(flat))

    def test_entropy_regulariser_at_its_ends(self) -> None:
        spread, one_sided = 30 * torch.eye(4, dtype=torch.float64), torch.zeros(5, 4, dtype=torch.float64)
        one_sided[:, 2] = 40
        assert float(F.batch_entropy_regularizer(spread)) == pytest.approx(0, abs=1e-12)
        assert float(F.batch_entropy_regularizer(one_sided)) == pytest.approx(math.log(4), abs=1e-4)

    def test_two_ranks_that_average_their_marginals_have_the_whole_batch(self) -> None:
        logits, _ = make_batch(15, size=8)
        halves = torch.stack([F.batch_marginal(logits[:4]), F.batch_marginal(logits[4:])]).mean(0)
        close(F.batch_entropy_regularizer(None, marginal=halves), F.batch_entropy_regularizer(logits))
        with pytest.raises(ParameterError, match="neither"):
            F.batch_entropy_regularizer(None)
