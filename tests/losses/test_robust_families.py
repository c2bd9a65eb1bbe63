"""Symmetry, limits and special cases of the bounded, symmetric, normalised, negative and asymmetric losses."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import make_batch, over_classes

from errata.errors import ParameterError
from errata.losses import GeneralizedCrossEntropy, TaylorCrossEntropy
from errata.losses import functional as F

seeds = st.integers(0, 10_000)
sizes = st.integers(2, 8)
scales = st.sampled_from([0.1, 1.0, 5.0, 20.0])
quick = settings(max_examples=20, deadline=None)


def close(a: torch.Tensor, b: torch.Tensor, rtol: float = 1e-9, atol: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


class TestSymmetry:
    """A symmetric loss, summed over the classes, does not depend on the prediction."""

    @quick
    @given(seeds, sizes, scales)
    def test_sums_over_the_classes(self, seed: int, classes: int, scale: float) -> None:
        logits, _ = make_batch(seed, classes=classes, scale=scale)
        ones = torch.ones(6, dtype=torch.float64)
        for gamma in (0.0, 0.5, 2.0):
            close(over_classes(F.normalized_focal, logits, gamma=gamma).sum(1), ones)
            close(over_classes(F.normalized_negative, logits, base="fl", gamma=gamma).sum(1), (classes - 1) * ones)
        close(over_classes(F.normalized_cross_entropy, logits).sum(1), ones)
        close(over_classes(F.normalized_negative, logits).sum(1), (classes - 1) * ones)
        close(over_classes(F.mean_absolute_error, logits).sum(1), (classes - 1) * ones)
        reverse = -math.log(1e-3) * (classes - 1) * ones
        close(over_classes(F.reverse_cross_entropy, logits, label_floor=1e-3).sum(1), reverse)

    @quick
    @given(seeds, sizes)
    def test_cross_entropy_is_not_symmetric(self, seed: int, classes: int) -> None:
        logits, _ = make_batch(seed, classes=classes)
        assert over_classes(F.cross_entropy, logits).sum(1).std() > 1e-3


class TestLimits:
    @quick
    @given(seeds, sizes, scales)
    def test_between_cross_entropy_and_mean_absolute_error(self, seed: int, classes: int, scale: float) -> None:
        batch = make_batch(seed, classes=classes, scale=scale)
        mae, ce = F.mean_absolute_error(*batch), F.cross_entropy(*batch)
        close(F.generalized_cross_entropy(*batch, q=1.0), mae)
        close(F.generalized_cross_entropy(*batch, q=1e-9), ce, rtol=1e-6)
        close(F.taylor_cross_entropy(*batch, t=1), mae)
        close(F.partially_huberized(*batch, tau=1.0), mae)
        close(F.asymmetric_generalized_cross_entropy(*batch, a=0.0, q=1.0), mae)
        close(F.asymmetric_unhinged(*batch, a=3.0, q=1.0), mae)
        close(F.asymmetric_unhinged(*batch, a=1.0, q=1.0), mae)

    @quick
    @given(seeds, st.floats(0.05, 1.0))
    def test_agce_without_a_shift_is_gce(self, seed: int, q: float) -> None:
        batch = make_batch(seed, scale=8.0)
        gce = F.generalized_cross_entropy(*batch, q=q)
        close(F.asymmetric_generalized_cross_entropy(*batch, a=0.0, q=q), gce)

    @quick
    @given(seeds, st.floats(1.0, 6.0), st.floats(0.1, 3.0))
    def test_asymmetric_losses_are_their_formulas(self, seed: int, a: float, q: float) -> None:
        logits, target = make_batch(seed, scale=3.0)
        p = logits.softmax(1).gather(1, target[:, None])[:, 0]
        close(
            F.asymmetric_generalized_cross_entropy(logits, target, a=a, q=q), (((a + 1) ** q - (a + p) ** q) / q).mean()
        )
        close(F.asymmetric_unhinged(logits, target, a=a, q=q), (((a - p) ** q - (a - 1) ** q) / q).mean())
        close(F.asymmetric_exponential(logits, target, a=a), (-p / a).exp().mean())

    def test_a_long_taylor_series_is_cross_entropy(self) -> None:
        batch = make_batch(0, scale=1.0)
        close(F.taylor_cross_entropy(*batch, t=2000), F.cross_entropy(*batch))

    def test_huberised_with_a_steep_line_is_cross_entropy(self) -> None:
        batch = make_batch(0, scale=2.0)
        close(F.partially_huberized(*batch, tau=1e6), F.cross_entropy(*batch))

    def test_jensen_shannon_at_its_ends(self) -> None:
        batch = make_batch(0, scale=1.0)
        close(F.jensen_shannon(*batch, pi=1e-6, floor=1e-30), F.cross_entropy(*batch), rtol=1e-4)
        close(F.jensen_shannon(*batch, pi=1 - 1e-12, floor=1e-30), F.mean_absolute_error(*batch), rtol=0.05)

    @pytest.mark.parametrize("pi", [0.1, 0.5, 0.9])
    def test_jensen_shannon_is_zero_between_equals(self, pi: float) -> None:
        logits, _ = make_batch(1)
        close(F.jensen_shannon(logits, logits.softmax(1), pi=pi), torch.zeros((), dtype=torch.float64))

    def test_no_focus_is_the_plain_loss(self) -> None:
        batch = make_batch(2, scale=4.0)
        close(F.normalized_focal(*batch, gamma=0.0), F.normalized_cross_entropy(*batch))
        close(F.normalized_negative(*batch, base="fl", gamma=0.0), F.normalized_negative(*batch))

    def test_a_uniform_prediction(self) -> None:
        logits, target = torch.zeros(3, 5, dtype=torch.float64), torch.tensor([0, 2, 4])
        value = torch.tensor(1 / 5, dtype=torch.float64)
        close(F.normalized_cross_entropy(logits, target), value)
        close(F.normalized_focal(logits, target), value)
        close(F.normalized_negative(logits, target), 1 - value)
        close(F.normalized_negative(logits, target, base="fl"), 1 - value)
        close(F.mean_absolute_error(logits, target), 1 - value)


class TestReverseAndSymmetric:
    @quick
    @given(seeds, scales)
    def test_reverse_cross_entropy_is_a_multiple_of_mean_absolute_error(self, seed: int, scale: float) -> None:
        batch = make_batch(seed, scale=scale)
        multiple = -math.log(1e-4) * F.mean_absolute_error(*batch)
        close(F.reverse_cross_entropy(*batch), multiple)
        close(F.reverse_cross_entropy(*batch, min_prob=1e-7), multiple, rtol=1e-5, atol=1e-5)

    def test_symmetric_cross_entropy_is_the_sum(self) -> None:
        batch = make_batch(3)
        total = 0.3 * F.cross_entropy(*batch) + 2 * F.reverse_cross_entropy(*batch, min_prob=1e-5)
        close(F.symmetric_cross_entropy(*batch, alpha=0.3, beta=2.0, min_prob=1e-5), total)

    def test_soft_targets_are_the_distance_of_distributions(self) -> None:
        logits, _ = make_batch(4)
        target = make_batch(5)[0].softmax(1)
        p = logits.softmax(1)
        close(F.mean_absolute_error(logits, target), 0.5 * (p - target).abs().sum(1).mean())
        close(F.reverse_cross_entropy(logits, target, label_floor=1e-9), -(p * target.log()).sum(1).mean())


class TestFocalFactorsAreConstants:
    """The gradient of the normalised focal losses is that of the value with the factors held fixed."""

    def test_normalized_focal(self) -> None:
        logits, target = make_batch(6)
        logits.requires_grad_()
        factor = (1 - logits.softmax(1)).detach() ** 0.7
        each = -factor * logits.log_softmax(1)
        expected = (each.gather(1, target[:, None])[:, 0] / each.sum(1)).mean()
        value = F.normalized_focal(logits, target, gamma=0.7)
        close(value, expected)
        close(torch.autograd.grad(value, logits)[0], torch.autograd.grad(expected, logits)[0])

    def test_normalized_negative_focal(self) -> None:
        logits, target = make_batch(7)
        logits.requires_grad_()
        log_p = logits.log_softmax(1).clamp_min(math.log(1e-3))
        each = (1 - 1e-3) ** 0.7 * -math.log(1e-3) + (1 - log_p.exp()).detach() ** 0.7 * log_p
        expected = (1 - each.gather(1, target[:, None])[:, 0] / each.sum(1)).mean()
        value = F.normalized_negative(logits, target, base="fl", gamma=0.7, min_prob=1e-3)
        close(value, expected)
        close(torch.autograd.grad(value, logits)[0], torch.autograd.grad(expected, logits)[0])


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: GeneralizedCrossEntropy(q=0.0), "q"),
        (lambda: GeneralizedCrossEntropy(q=1.5), "q"),
        (lambda: TaylorCrossEntropy(t=0), "t,"),
        (lambda: TaylorCrossEntropy(t=1.5), "t,"),
        (lambda: F.partially_huberized(*make_batch(0), tau=0.5), "tau"),
        (lambda: F.jensen_shannon(*make_batch(0), pi=1.0), "pi"),
        (lambda: F.asymmetric_unhinged(*make_batch(0), a=0.5), "a must"),
        (lambda: F.asymmetric_generalized_cross_entropy(*make_batch(0), a=-0.1), "a must"),
        (lambda: F.asymmetric_exponential(*make_batch(0), a=0.0), "a must"),
        (lambda: F.logit_clip(*make_batch(0), tau=0.0), "tau"),
        (lambda: F.logit_clip(*make_batch(0), delta=-1.0), "delta"),
        (lambda: F.reverse_cross_entropy(*make_batch(0), label_floor=1.0), "label_floor"),
        (lambda: F.symmetric_cross_entropy(*make_batch(0), beta=-1.0), "beta"),
        (lambda: F.normalized_negative(*make_batch(0), base="mae"), "base"),
    ],
)
def test_parameters_out_of_range_are_named(build, name: str) -> None:
    with pytest.raises(ParameterError, match=name):
        build()
