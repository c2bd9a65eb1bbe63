"""Optimised gradient clipping: the clipped loss, and the module's queue, schedule and state."""

from __future__ import annotations

import copy
import math
import sys
import warnings
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import make_batch

from errata.errors import DataError, ParameterError
from errata.losses import OptimizedGradientClipping
from errata.losses import functional as F

BASES = [("ce", {}), ("fl", {"gamma": 0.5}), ("gce", {"q": 0.7})]
quick = settings(max_examples=20, deadline=None)


def two_kinds(seed: int, size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Confident logits, with a third of the labels wrong."""
    rng = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 3, (size,), generator=rng)
    shown = torch.where(torch.rand(size, generator=rng) < 0.33, (target + 1) % 3, target)
    return 4 * torch.eye(3)[shown] + torch.randn(size, 3, generator=rng), target


class TestClippedLoss:
    @pytest.mark.parametrize(("base", "more"), BASES)
    def test_at_the_lowest_threshold_it_is_the_base_loss(self, base: str, more: dict[str, float]) -> None:
        logits, target = make_batch(0, scale=2.0)
        plain = {
            "ce": F.cross_entropy(logits, target),
            "fl": F.focal_loss(logits, target, detach_factor=False, gamma=0.5),
            "gce": F.generalized_cross_entropy(logits, target, q=0.7),
        }[base]
        torch.testing.assert_close(F.optimized_gradient_clipping(logits, target, 1e-7, base_loss=base, **more), plain)

    @quick
    @given(st.integers(0, 9999), st.floats(1.5, 50.0))
    def test_for_cross_entropy_it_is_the_huberised_loss(self, seed: int, tau: float) -> None:
        batch = make_batch(seed, scale=4.0)
        for offset in ("paper", "continuous"):
            torch.testing.assert_close(
                F.optimized_gradient_clipping(*batch, 1 / tau, offset=offset),
                F.partially_huberized(*batch, tau=tau, min_prob=1e-7, max_prob=1 - 1e-7),
            )

    def test_at_the_highest_threshold_it_is_mean_absolute_error(self) -> None:
        batch = make_batch(1)
        clipped = F.optimized_gradient_clipping(*batch, 1 - 1e-7)
        torch.testing.assert_close(clipped, F.mean_absolute_error(*batch), atol=1e-6, rtol=0)

    @pytest.mark.parametrize("threshold", [1e-7, 0.2, 0.8])
    def test_gce_with_q_one_is_mean_absolute_error_at_every_threshold(self, threshold: float) -> None:
        batch = make_batch(2)
        clipped = F.optimized_gradient_clipping(*batch, threshold, base_loss="gce", q=1.0, offset="continuous")
        torch.testing.assert_close(clipped, F.mean_absolute_error(*batch), atol=1e-12, rtol=1e-9)

    @pytest.mark.parametrize(("base", "more"), BASES)
    def test_the_offsets_have_one_gradient_and_the_continuous_one_no_jump(self, base: str, more: dict) -> None:
        t = 0.3
        logits, target = make_batch(3, size=30)
        logits.requires_grad_()
        grads = []
        for offset in ("paper", "continuous"):
            loss = F.optimized_gradient_clipping(logits, target, t, base_loss=base, offset=offset, **more)
            grads.append(torch.autograd.grad(loss, logits)[0])
        torch.testing.assert_close(*grads, rtol=0, atol=0)
        around = torch.tensor([[math.log(p / (1 - p)), 0.0] for p in (t - 1e-9, t + 1e-9)], dtype=torch.float64)
        values = F.optimized_gradient_clipping(
            around, torch.zeros(2, dtype=torch.long), t, base_loss=base, offset="continuous", reduction="none", **more
        )
        assert abs(values[0] - values[1]) < 1e-7

    @quick
    @given(st.integers(0, 9999), st.floats(0.01, 0.9), st.sampled_from(BASES))
    def test_no_sample_pulls_harder_than_tau(self, seed: int, t: float, base: tuple[str, dict[str, float]]) -> None:
        logits, target = make_batch(seed, scale=5.0)
        logits.requires_grad_()
        loss = F.optimized_gradient_clipping(logits, target, t, base_loss=base[0], reduction="sum", **base[1])
        pull = -torch.autograd.grad(loss, logits)[0].gather(1, target[:, None])[:, 0]
        p = logits.softmax(1).gather(1, target[:, None])[:, 0]
        tau = float(F.loss_slope(t, base[0], **base[1]))
        assert (pull <= tau * (p * (1 - p)) + 1e-9).all()
        clipped = (p <= t) & (p > 1e-7)
        torch.testing.assert_close(pull[clipped], (tau * p * (1 - p))[clipped])

    @pytest.mark.parametrize(
        "wrong", [{"threshold": 0.0}, {"threshold": 1.0}, {"base_loss": "mae"}, {"offset": "none"}]
    )
    def test_settings_out_of_range_are_named(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            F.optimized_gradient_clipping(*make_batch(4), **wrong)


class TestQueue:
    def test_it_is_a_ring_that_keeps_the_latest(self) -> None:
        loss = OptimizedGradientClipping(queue_size=5)
        seen: list[float] = []
        for chunk in ([1.0, 2.0], [3.0, 4.0, 5.0], [6.0], [7.0, 8.0, 9.0, 10.0], [11.0] * 5):
            loss.push(torch.tensor(chunk))
            seen += chunk
            assert loss.history().tolist() == seen[-5:]

    def test_of_more_values_than_fit_an_even_spread_is_taken(self) -> None:
        loss = OptimizedGradientClipping(queue_size=4)
        loss.push(torch.tensor([99.0]))
        loss.push(torch.arange(12.0))
        assert sorted(loss.history().tolist()) == [0.0, 3.0, 6.0, 9.0]

    def test_every_pixel_that_counts_is_a_sample(self) -> None:
        logits, target = make_batch(0, size=2, shape=(3, 2))
        target[1, 2, 0] = -100
        loss = OptimizedGradientClipping(queue_size=50).double()
        loss(logits, target, lr=0.1)
        expected = F.cross_entropy(logits, target, reduction="none")[target >= 0]
        torch.testing.assert_close(loss.history(), expected)

    def test_values_of_all_ranks_may_take_the_place_of_ones_own(self) -> None:
        whole = two_kinds(0, 32)
        one = OptimizedGradientClipping(queue_size=32, time_frame=1)
        ranks = [copy.deepcopy(one) for _ in range(2)]
        halves = [(whole[0][i::2], whole[1][i::2]) for i in range(2)]
        gathered = torch.stack([one.cross_entropies(*half) for half in halves], 1).flatten()
        expected = one(*whole, lr=0.1)
        values = [rank(*half, lr=0.1, h=gathered) for rank, half in zip(ranks, halves)]
        torch.testing.assert_close(sum(values) / 2, expected)
        assert ranks[0].threshold == ranks[1].threshold == one.threshold


class TestSchedule:
    def test_the_threshold_moves_when_its_time_has_come_and_the_queue_is_full(self) -> None:
        loss = OptimizedGradientClipping(queue_size=40, time_frame=2)
        thresholds = []
        for step in range(6):
            loss(*two_kinds(step), lr=0.1)
            thresholds.append(float(loss.threshold))
        start = pytest.approx(1e-7)
        assert thresholds[:3] == [start] * 3  # 48 values after the third call, but it is not time
        assert thresholds[3] > 1e-3
        assert thresholds[4] == thresholds[3] != thresholds[5]

    def test_the_new_threshold_is_used_for_the_batch_that_brought_it(self) -> None:
        loss = OptimizedGradientClipping(queue_size=16, time_frame=1)
        batch = two_kinds(1)
        value = loss(*batch, lr=0.1)
        torch.testing.assert_close(value, F.optimized_gradient_clipping(*batch, float(loss.threshold)))
        assert loss.tau == pytest.approx(1 / float(loss.threshold))

    def test_evaluation_changes_nothing_and_needs_no_learning_rate(self) -> None:
        loss = OptimizedGradientClipping(queue_size=16, time_frame=1).eval()
        before = copy.deepcopy(loss.state_dict())
        loss(*two_kinds(2))
        assert all(torch.equal(before[k], v) for k, v in loss.state_dict().items())

    def test_training_without_a_learning_rate_is_refused(self) -> None:
        with pytest.raises(ParameterError, match=r"lr=\.\.\."):
            OptimizedGradientClipping()(*two_kinds(3))

    def test_diverged_logits_are_told(self) -> None:
        loss = OptimizedGradientClipping(queue_size=16, time_frame=1)
        with pytest.raises(DataError, match="NaN or infinite"):
            loss(torch.full((16, 3), math.nan), torch.zeros(16, dtype=torch.long), lr=0.1)

    def test_a_vanishing_slope_is_warned_of_once_and_can_be_limited(self) -> None:
        settings_ = {"base_loss": "fl", "epsilon": 0.0, "queue_size": 16, "time_frame": 1}
        loss = OptimizedGradientClipping(**settings_)
        with pytest.warns(UserWarning, match="Set max_threshold"):
            loss(*two_kinds(0), lr=0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loss(*two_kinds(1), lr=0.1)
        assert loss.tau < 0.01
        limited = OptimizedGradientClipping(**settings_, max_threshold=0.9)
        limited(*two_kinds(0), lr=0.1)
        assert float(limited.threshold) == pytest.approx(0.9)
        assert limited.tau > 0.5


class TestState:
    def test_a_run_resumed_from_its_state_goes_on_as_if_never_stopped(self) -> None:
        straight = OptimizedGradientClipping(queue_size=40, time_frame=3)
        for step in range(5):
            straight(*two_kinds(step), lr=0.1)
        resumed = OptimizedGradientClipping(queue_size=40, time_frame=3)
        resumed.load_state_dict(straight.state_dict())
        for step in range(5, 10):
            a, b = straight(*two_kinds(step), lr=0.1), resumed(*two_kinds(step), lr=0.1)
            assert a == b
        assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in straight.state_dict().items())

    def test_reset_forgets(self) -> None:
        loss = OptimizedGradientClipping(queue_size=16, time_frame=1)
        fresh = copy.deepcopy(loss.state_dict())
        loss(*two_kinds(0), lr=0.1)
        loss.reset()
        assert all(torch.equal(fresh[k], v) for k, v in loss.state_dict().items())
        assert len(loss.history()) == 0

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_state_is_never_kept_in_half_precision(self, dtype: torch.dtype) -> None:
        loss = OptimizedGradientClipping(queue_size=16, time_frame=1).to(dtype)
        assert loss.queue.dtype == loss.threshold.dtype == torch.float32
        assert float(loss.threshold) == pytest.approx(1e-7)
        logits, target = two_kinds(0)
        assert loss(logits.to(dtype), target, lr=0.1).dtype == torch.float32
        assert loss.double().queue.dtype == torch.float64

    @pytest.mark.parametrize(
        "wrong", [{"time_frame": 0}, {"queue_size": 1}, {"epsilon": -1.0}, {"max_threshold": 1.0}, {"base_loss": "mae"}]
    )
    def test_parameters_are_checked_at_construction(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            OptimizedGradientClipping(**wrong)  # type: ignore[arg-type]
