"""The rule that chooses where optimised gradient clipping clips."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import truncnorm

from errata.errors import DataError, ParameterError
from errata.losses.functional import (
    TwoGaussians,
    clipping_threshold,
    fit_two_gaussians,
    gradient_ratio,
    loss_slope,
    threshold_from_queue,
)

BASES = [("ce", {}), ("fl", {"gamma": 0.5}), ("fl", {"gamma": 2.0}), ("gce", {"q": 0.7})]
PMIN, PMAX = 1e-7, 1 - 1e-7
mixtures = st.builds(
    TwoGaussians, st.floats(0.0, 2.0), st.floats(0.001, 2.0), st.floats(2.5, 12.0), st.floats(0.01, 6.0)
)
quick = settings(max_examples=25, deadline=None)
plain = pytest.mark.parametrize(("base", "more"), BASES)


def ratio_by_the_book(t: float, mixture: TwoGaussians, base: str, **more: float) -> float:
    """Section by section what the rule says: truncated densities on 1000 losses, every gradient clipped on its own."""
    h = np.linspace(-math.log(PMAX), -math.log(PMIN), 1000)
    pulls = np.minimum(loss_slope(np.exp(-h), base, **more), loss_slope(t, base, **more))
    means = []
    for mean, variance in ((mixture.mean_noisy, mixture.var_noisy), (mixture.mean_clean, mixture.var_clean)):
        sd = math.sqrt(variance)
        density = truncnorm.pdf(h, (h[0] - mean) / sd, (h[-1] - mean) / sd, mean, sd)
        means.append((density * pulls).sum() / density.sum())
    return means[0] / means[1]


def bisection_by_the_book(mixture: TwoGaussians, target: float, base: str, max_iter: int, **more: float) -> float:
    low, high = PMIN, PMAX
    if ratio_by_the_book(high, mixture, base, **more) > target:
        return high
    if ratio_by_the_book(low, mixture, base, **more) < target:
        return low
    for _ in range(max_iter):
        middle = (low + high) / 2
        gap = target - ratio_by_the_book(middle, mixture, base, **more)
        if abs(gap) < 1e-7:
            return middle
        if gap > 0:
            high = middle
        else:
            low = middle
    return high


class TestSlope:
    @plain
    def test_it_is_the_derivative(self, base: str, more: dict[str, float]) -> None:
        p = torch.tensor([0.01, 0.3, 0.9], dtype=torch.float64, requires_grad=True)
        losses = {"ce": -p.log(), "fl": -((1 - p) ** more.get("gamma", 0)) * p.log(), "gce": (1 - p**0.7) / 0.7}
        slope = -torch.autograd.grad(losses[base].sum(), p)[0]
        np.testing.assert_allclose(loss_slope(p.detach().numpy(), base, **more), slope, rtol=1e-12)

    def test_an_unknown_base_is_refused(self) -> None:
        with pytest.raises(ParameterError, match="'ce', 'fl', 'gce'"):
            loss_slope(0.5, "mae")


class TestRatio:
    @plain
    @quick
    @given(mixture=mixtures, t=st.floats(1e-6, 0.999))
    def test_it_is_the_ratio_by_the_book(
        self, base: str, more: dict[str, float], mixture: TwoGaussians, t: float
    ) -> None:
        got = gradient_ratio(t, mixture, base, **more)
        np.testing.assert_allclose(got, ratio_by_the_book(t, mixture, base, **more), rtol=1e-9)

    @plain
    @quick
    @given(mixture=mixtures)
    def test_it_falls_and_stays_above_one(self, base: str, more: dict[str, float], mixture: TwoGaussians) -> None:
        wide = mixture._replace(var_noisy=mixture.var_clean)  # of one width, so that the right one is right throughout
        ratio = gradient_ratio(np.linspace(PMIN, PMAX, 200), wide, base, **more)
        assert (np.diff(ratio) <= 1e-9 * ratio[:-1]).all()
        assert (ratio >= 1 - 1e-9).all()

    def test_any_shape_of_thresholds(self) -> None:
        mixture = TwoGaussians(0.3, 0.1, 3.0, 0.9)
        grid = np.array([[0.1, 0.2], [0.3, 0.4]])
        assert gradient_ratio(grid, mixture).shape == (2, 2)
        assert gradient_ratio(grid, mixture)[1, 0] == gradient_ratio(0.3, mixture)


class TestThreshold:
    @plain
    @quick
    @given(mixture=mixtures, lr=st.sampled_from([0.3, 0.1, 0.01, 0.001]), max_iter=st.sampled_from([1, 6, 10, 25]))
    def test_it_is_the_bisection_by_the_book(self, base, more, mixture: TwoGaussians, lr: float, max_iter: int) -> None:
        got = clipping_threshold(mixture, lr, base_loss=base, max_iter=max_iter, **more)
        expected = bisection_by_the_book(mixture, 1 + 20 * lr, base, max_iter, **more)
        assert got == pytest.approx(expected, rel=1e-12)

    def test_no_tolerance_clips_everything_when_the_wrong_ones_stand_apart(self) -> None:
        for base, more in BASES:
            for mean in np.linspace(0.1, 0.9, 30):  # not even a rounding error lets one pass
                mixture = TwoGaussians(float(mean), 0.05, 5.0, 0.5)
                assert clipping_threshold(mixture, 0.1, epsilon=0.0, base_loss=base, max_iter=30, **more) == PMAX

    def test_much_tolerance_clips_nothing(self) -> None:
        assert clipping_threshold(TwoGaussians(0.3, 0.05, 1.0, 0.5), 0.1, epsilon=1e9) == PMIN

    def test_a_lower_learning_rate_clips_more(self) -> None:
        mixture = TwoGaussians(0.3, 0.08, 3.0, 0.9)
        thresholds = [clipping_threshold(mixture, lr) for lr in (0.1, 0.01, 0.001)]
        assert thresholds == sorted(thresholds)
        assert thresholds[0] < thresholds[2]

    @pytest.mark.parametrize(("lr", "epsilon"), [(-0.1, 20.0), (0.1, -1.0), (math.nan, 20.0)])
    def test_negative_settings_are_refused(self, lr: float, epsilon: float) -> None:
        with pytest.raises(ParameterError):
            clipping_threshold(TwoGaussians(0.3, 0.1, 3.0, 0.9), lr, epsilon=epsilon)


class TestFit:
    def test_it_finds_two_gaussians_and_leaves_the_global_generator_alone(self) -> None:
        rng = np.random.default_rng(0)
        losses = np.concatenate([rng.normal(0.5, 0.1, 700), rng.normal(4.0, 0.6, 300)])
        before = np.random.get_state()[1].copy()
        first, second = fit_two_gaussians(losses), fit_two_gaussians(losses)
        assert (np.random.get_state()[1] == before).all()
        assert first == second
        np.testing.assert_allclose(first[:3:2], [0.5, 4.0], atol=0.1)
        np.testing.assert_allclose(first[1::2], [0.01, 0.36], atol=0.08)

    def test_it_is_scikit_learns(self) -> None:
        from sklearn.mixture import GaussianMixture

        rng = np.random.default_rng(1)
        losses = np.concatenate([rng.exponential(0.3, 300), rng.normal(5.0, 1.0, 100)])
        reference = GaussianMixture(2, max_iter=10, reg_covar=1e-3, random_state=3).fit(losses[:, None])
        fitted = fit_two_gaussians(losses)
        np.testing.assert_allclose([fitted.mean_clean, fitted.mean_noisy], np.sort(reference.means_.ravel()), rtol=1e-5)

    def test_equal_losses_are_no_reason_to_stop(self, recwarn: pytest.WarningsRecorder) -> None:
        fitted = fit_two_gaussians(np.full(50, 0.7))
        assert np.isfinite(fitted).all()
        assert not recwarn.list

    @pytest.mark.parametrize("losses", [[1.0], [], [1.0, math.nan], [1.0, math.inf, 2.0]])
    def test_what_cannot_be_fitted_is_refused(self, losses: list[float]) -> None:
        with pytest.raises(DataError, match="finite losses"):
            fit_two_gaussians(losses)


def test_threshold_from_queue_is_fit_then_search() -> None:
    rng = np.random.default_rng(2)
    losses = np.abs(np.concatenate([rng.normal(0.3, 0.2, 600), rng.normal(3.0, 1.0, 400)]))
    threshold, mixture = threshold_from_queue(losses, 0.05, base_loss="gce", q=0.5)
    assert mixture == fit_two_gaussians(losses)
    assert threshold == clipping_threshold(mixture, 0.05, base_loss="gce", q=0.5)
