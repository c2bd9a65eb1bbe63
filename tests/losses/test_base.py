"""Targets of two kinds, ignored positions, reductions, and the messages for what does not fit."""

from __future__ import annotations

import math

import pytest
import torch

from errata.errors import DataError, ParameterError
from errata.losses import CrossEntropy, LogProbs, Loss
from errata.losses.base import check_number, check_prob_bounds, clamp_log, one_minus_exp


class TestShapesAndTypes:
    @pytest.mark.parametrize("shape", [(3,), (3, 1)])
    def test_logits_need_two_classes(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(DataError, match="at least 2 classes"):
            LogProbs(torch.zeros(shape), torch.zeros(3, dtype=torch.long))

    def test_integer_logits_are_refused(self) -> None:
        with pytest.raises(DataError, match="floating point"):
            LogProbs(torch.zeros(3, 2, dtype=torch.long), torch.zeros(3, dtype=torch.long))

    @pytest.mark.parametrize("shape", [(2,), (3, 1), (3, 2)])
    def test_classes_must_have_one_entry_per_position(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(DataError, match=r"must have shape \(3,\)"):
            LogProbs(torch.zeros(3, 2), torch.zeros(shape, dtype=torch.long))

    def test_probabilities_must_have_the_shape_of_the_logits(self) -> None:
        with pytest.raises(DataError, match=r"\(3, 2\); got \(3,\)"):
            LogProbs(torch.zeros(3, 2), torch.zeros(3), soft_targets=True)

    @pytest.mark.parametrize("wrong", [-0.1, math.nan])
    def test_negative_and_nan_probabilities_are_refused(self, wrong: float) -> None:
        with pytest.raises(DataError, match="negative or NaN"):
            LogProbs(torch.zeros(1, 2), torch.tensor([[wrong, 1.0]]), soft_targets=True)

    def test_minus_one_is_a_class_unless_it_is_the_ignored_one(self) -> None:
        with pytest.raises(DataError, match="got -1"):
            LogProbs(torch.zeros(1, 2), torch.tensor([-1]))
        assert LogProbs(torch.zeros(1, 2), torch.tensor([-1]), ignore_index=-1).valid is not None

    def test_without_an_ignored_class_nothing_is_masked(self) -> None:
        assert LogProbs(torch.zeros(1, 2), torch.tensor([1]), ignore_index=None).valid is None
        with pytest.raises(DataError, match="got -100"):
            LogProbs(torch.zeros(1, 2), torch.tensor([-100]), ignore_index=None)

    def test_float64_stays_and_half_becomes_float32(self) -> None:
        target = torch.tensor([1])
        for given, expected in [(torch.float64, torch.float64), (torch.bfloat16, torch.float32)]:
            assert CrossEntropy()(torch.zeros(1, 2, dtype=given), target).dtype == expected


class TestReduction:
    def test_an_unknown_reduction_is_refused_at_construction(self) -> None:
        with pytest.raises(ParameterError, match="'mean', 'sum', 'none'; got 'average'"):
            CrossEntropy(reduction="average")

    def test_the_mean_is_over_what_counts(self) -> None:
        values = CrossEntropy(reduction="mean")(torch.zeros(4, 2), torch.tensor([0, -100, 1, -100]))
        assert float(values) == pytest.approx(math.log(2))


class TestChecks:
    @pytest.mark.parametrize("value", [math.nan, -1.0, 2.0, "0.5", None])
    def test_numbers_out_of_range_and_what_is_no_number(self, value: object) -> None:
        with pytest.raises(ParameterError, match=r"q must be a number in \(0, 1\]"):
            check_number("q", value, 0.0, 1.0, open_low=True)  # type: ignore[arg-type]

    def test_bounds_must_be_in_order(self) -> None:
        check_prob_bounds(0.0, 1.0)
        with pytest.raises(ParameterError, match="max_prob"):
            check_prob_bounds(0.5, 0.5)


class TestArithmetic:
    def test_clamping_in_log_space_is_clamping_probabilities(self) -> None:
        p = torch.tensor([1e-12, 1e-3, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
        clamped = clamp_log(p.log(), 1e-7, 0.9).exp()
        torch.testing.assert_close(clamped, p.clamp(1e-7, 0.9))
        torch.testing.assert_close(torch.autograd.grad(clamped.sum(), p)[0], torch.tensor([0.0, 1, 1, 0]).double())

    def test_one_minus_p_keeps_its_digits_near_one(self) -> None:
        assert float(one_minus_exp(torch.tensor(-1e-12))) == pytest.approx(1e-12, rel=1e-6)
        assert float(one_minus_exp(torch.tensor(0.0))) > 0


def test_a_subclass_must_write_its_formula() -> None:
    with pytest.raises(NotImplementedError, match="Loss must define terms"):
        Loss()(torch.zeros(1, 2), torch.tensor([0]))


def test_other_logits_beside_the_same_targets() -> None:
    batch = LogProbs(torch.zeros(2, 2), torch.tensor([1, -100]))
    other = batch.with_logits(torch.tensor([[0.0, math.log(3)], [0.0, 0.0]]))
    torch.testing.assert_close(other.label_log_p().exp(), torch.tensor([0.75, 0.5]))
    assert other.valid is batch.valid
