"""Energies, and the losses that keep data and outliers apart."""

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

from errata.errors import DataError, ParameterError
from errata.losses import EnergyBarrier, EnergyBounded, OutlierExposure
from errata.losses import functional as F

PAIRINGS = ["paired", "of_means", "all_pairs"]
quick = settings(max_examples=20, deadline=None)


class TestEnergy:
    def test_of_zeros_and_towards_zero_temperature(self) -> None:
        logits, _ = make_batch(0)
        torch.testing.assert_close(F.free_energy(torch.zeros(2, 5), 3.0), torch.full((2,), -3 * math.log(5)))
        torch.testing.assert_close(F.free_energy(logits, 1e-4), -logits.amax(1), atol=1e-3, rtol=0)
        torch.testing.assert_close(F.free_energy(logits + 2), F.free_energy(logits) - 2)

    def test_the_temperature_is_positive(self) -> None:
        with pytest.raises(ParameterError, match="temperature"):
            F.free_energy(torch.zeros(1, 2), 0.0)

    def test_dense_logits_have_an_energy_per_position(self) -> None:
        assert F.free_energy(torch.zeros(2, 3, 4, 5)).shape == (2, 4, 5)


class TestModulesAndFunctionsAgree:
    @pytest.mark.parametrize("with_labels", [True, False])
    def test_all(self, with_labels: bool) -> None:
        inside, labels = make_batch(1)
        outside = make_batch(2)[0]
        y = labels if with_labels else None
        margins = {"weight": 0.3, "m_in": -3.0, "m_out": -1.0, "temperature": 2.0}
        barrier = {"alpha": 0.5, "beta": 2.0, "temperature": 2.0, "reduction": "all_pairs"}
        for module, function, params in (
            (EnergyBounded, F.energy_bounded, margins),
            (OutlierExposure, F.outlier_exposure, {"weight": 0.3}),
            (EnergyBarrier, F.energy_barrier, barrier),
        ):
            expected = function(inside, outside, y, **params)
            assert module(**params)(inside, outside, y) == expected
            if with_labels:
                torch.testing.assert_close(
                    expected - F.cross_entropy(inside, labels), function(inside, outside, **params)
                )


class TestEnergyBounded:
    @quick
    @given(st.integers(0, 9999))
    def test_it_is_its_formula(self, seed: int) -> None:
        inside, outside = make_batch(seed)[0], make_batch(seed + 1, size=9)[0]
        e_in, e_out = -inside.logsumexp(1), -outside.logsumexp(1)
        expected = (e_in + 3).clamp_min(0).square().mean() + (-2 - e_out).clamp_min(0).square().mean()
        torch.testing.assert_close(F.energy_bounded_regularizer(inside, outside, m_in=-3.0, m_out=-2.0), expected)

    def test_on_the_right_sides_of_the_margins_there_is_no_gradient(self) -> None:
        inside = torch.tensor([[9.0, 0.0], [0.0, 8.0]], requires_grad=True)
        outside = torch.zeros(3, 2, requires_grad=True)
        value = F.energy_bounded(inside, outside, m_in=-7.0, m_out=-2.0)
        assert value == 0
        assert all((g == 0).all() for g in torch.autograd.grad(value, (inside, outside)))

    def test_margins_must_be_in_order(self) -> None:
        with pytest.raises(ParameterError, match="m_in"):
            EnergyBounded(m_in=-1.0, m_out=-2.0)


class TestOutlierExposure:
    @quick
    @given(st.integers(0, 9999), st.integers(2, 9))
    def test_it_is_least_at_the_uniform_prediction(self, seed: int, classes: int) -> None:
        outside, _ = make_batch(seed, classes=classes)
        uniform = torch.full((6, classes), 1 / classes, dtype=torch.float64)
        value = F.outlier_exposure(outside, outside, weight=1.0)
        torch.testing.assert_close(value, F.cross_entropy(outside, uniform))
        assert value >= math.log(classes) - 1e-9
        at_uniform = F.outlier_exposure(outside, torch.zeros(1, classes), weight=1.0)
        assert float(at_uniform) == pytest.approx(math.log(classes))


class TestEnergyBarrier:
    def test_equal_energies(self) -> None:
        inside = torch.zeros(5, 3, dtype=torch.float64, requires_grad=True)
        outside = torch.zeros(5, 3, dtype=torch.float64, requires_grad=True)
        for reduction in PAIRINGS:
            loss = F.energy_barrier(inside, outside, alpha=0.3, beta=4.0, reduction=reduction)
            assert float(loss.detach()) == pytest.approx(0.3 * math.log(2))
            g_in, g_out = torch.autograd.grad(loss, (inside, outside))
            per_logit = 0.3 / (2 * 4 * 5) / 3  # d/dE = alpha / (2 beta B), dE/df = -softmax
            torch.testing.assert_close(g_in, torch.full_like(g_in, -per_logit))
            torch.testing.assert_close(g_out, torch.full_like(g_out, per_logit))

    @quick
    @given(st.integers(0, 9999), st.sampled_from(PAIRINGS), st.floats(-20, 20))
    def test_a_common_shift_changes_nothing(self, seed: int, reduction: str, shift: float) -> None:
        inside, outside = make_batch(seed)[0], make_batch(seed + 1)[0]
        value = F.energy_barrier(inside, outside, reduction=reduction)
        torch.testing.assert_close(F.energy_barrier(inside + shift, outside + shift, reduction=reduction), value)
        assert value > 0

    @quick
    @given(st.integers(0, 9999))
    def test_means_of_pairs(self, seed: int) -> None:
        inside, outside = make_batch(seed)[0], make_batch(seed + 1)[0]
        gap = (F.free_energy(outside)[:, None] - F.free_energy(inside)[None, :]) / 3
        barrier = 0.7 * torch.nn.functional.softplus(-gap)
        settings_ = {"alpha": 0.7, "beta": 3.0}
        torch.testing.assert_close(
            F.energy_barrier(inside, outside, reduction="all_pairs", **settings_), barrier.mean()
        )
        torch.testing.assert_close(F.energy_barrier(inside, outside, **settings_), barrier.diagonal().mean())

    def test_pairs_need_partners(self) -> None:
        inside, outside = make_batch(0)[0], make_batch(1, size=4)[0]
        with pytest.raises(DataError, match="all_pairs"):
            F.energy_barrier(inside, outside)
        assert F.energy_barrier(inside, outside, reduction="all_pairs") > 0
        assert F.energy_barrier(inside, outside, reduction="of_means") > 0

    @pytest.mark.parametrize("wrong", [{"beta": 0.0}, {"alpha": -1.0}, {"reduction": "mean"}, {"temperature": -1.0}])
    def test_parameters_out_of_range_are_named(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            EnergyBarrier(**wrong)  # type: ignore[arg-type]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
    def test_extreme_logits_stay_finite(self, dtype: torch.dtype) -> None:
        rows = torch.tensor([[1e4, -1e4], [-1e4, -1e4], [0.0, 1e4]], dtype=dtype)
        inside, outside = rows.clone().requires_grad_(), rows.flip(0).clone().requires_grad_()
        labels = torch.tensor([1, 0, 1])
        for reduction in PAIRINGS:
            loss = F.energy_barrier(inside, outside, labels, beta=0.1, reduction=reduction)
            loss = loss + F.energy_bounded(inside, outside) + F.outlier_exposure(inside, outside)
            assert loss.dtype == torch.float32
            assert loss.isfinite()
            assert all(g.isfinite().all() for g in torch.autograd.grad(loss, (inside, outside)))
