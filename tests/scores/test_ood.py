"""Out-of-distribution scores and detection metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.errors import DataError, ParameterError
from errata.scores import ood

quick = settings(max_examples=20, deadline=None)


def some_logits(seed: int = 0, classes: int = 4) -> torch.Tensor:
    return 3 * torch.randn(6, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class TestScoresOfLogits:
    @quick
    @given(st.integers(0, 9999), st.floats(-9, 9))
    def test_shifts(self, seed: int, shift: float) -> None:
        z = some_logits(seed)
        for invariant in (ood.max_probability_score, ood.uniform_score):
            torch.testing.assert_close(invariant(z + shift), invariant(z))
        for moving in (ood.energy_score, ood.max_logit_score):
            torch.testing.assert_close(moving(z + shift), moving(z) - shift)

    def test_a_surer_prediction_scores_lower(self) -> None:
        z = torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]])
        for score in (ood.max_probability_score, ood.max_logit_score, ood.energy_score):
            assert (score(z).diff() < 0).all()

    def test_uniform_score_is_at_most_minus_log_k(self) -> None:
        assert (ood.uniform_score(some_logits()) <= -math.log(4)).all()

    def test_half_precision_is_scored_in_float32(self) -> None:
        z = torch.tensor([[1e4, -1e4]], dtype=torch.bfloat16)
        for score in (ood.max_probability_score, ood.max_logit_score, ood.energy_score, ood.uniform_score):
            assert score(z).dtype == torch.float32
            assert score(z).isfinite().all()


class TestOdin:
    def test_without_a_step_and_at_unit_temperature_it_is_the_probability_score(self) -> None:
        x = some_logits(1)
        torch.testing.assert_close(
            ood.odin_score(torch.tanh, x, temperature=1, epsilon=0), ood.max_probability_score(x.tanh())
        )

    def test_the_step_makes_the_model_surer_and_is_as_large_as_said(self) -> None:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)).double()
        x = torch.randn(5, 3, 2, 2, dtype=torch.float64)
        std = torch.tensor([0.5, 1.0, 2.0])
        moved = ood.odin_perturb(model, x, temperature=2.0, epsilon=0.01, channel_std=std)
        torch.testing.assert_close((moved - x).abs().amax((0, 2, 3)), 0.01 / std.double())
        surer = ood.odin_score(model, x, temperature=2.0, epsilon=0.01) < ood.odin_score(
            model, x, temperature=2.0, epsilon=0
        )
        assert surer.all()

    def test_the_model_gets_no_gradient_and_a_surrounding_no_grad_no_matter(self) -> None:
        model = torch.nn.Linear(3, 2)
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            score = ood.odin_score(model, x, epsilon=0.1)
        torch.testing.assert_close(score, ood.odin_score(model, x, epsilon=0.1))
        assert model.weight.grad is None
        assert not x.requires_grad

    def test_the_sign_of_zero_is_plus(self) -> None:
        x = torch.zeros(1, 2)
        moved = ood.odin_perturb(lambda v: v * 0 + torch.tensor([[1.0, 0.0]]), x, epsilon=0.5)
        assert moved.tolist() == [[-0.5, -0.5]]

    def test_one_std_per_channel(self) -> None:
        with pytest.raises(DataError, match=r"\(2,\); got \(3,\)"):
            ood.odin_perturb(lambda v: v, torch.zeros(1, 2), channel_std=[1.0, 1.0, 1.0])


class TestMahalanobis:
    def test_the_fit_is_numpys(self) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(60, 3)), np.arange(60) % 4
        means = np.stack([x[y == k].mean(0) for k in range(4)])
        fitted = ood.fit_class_gaussians(torch.tensor(x), torch.tensor(y))
        np.testing.assert_allclose(fitted.means, means)
        np.testing.assert_allclose(fitted.precision, np.linalg.inv(np.cov((x - means[y]).T, bias=True)))

    def test_with_unit_precision_it_is_half_the_squared_distance_to_the_nearest(self) -> None:
        x, means = some_logits(2), some_logits(3)[:3]
        expected = 0.5 * torch.cdist(x, means).square().amin(1)
        got = ood.mahalanobis_score(x, ood.ClassGaussians(means, torch.eye(4, dtype=torch.float64)))
        torch.testing.assert_close(got, expected)

    def test_fewer_samples_than_features(self) -> None:
        fitted = ood.fit_class_gaussians(
            torch.randn(4, 10, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 1, 1])
        )
        assert fitted.precision.isfinite().all()

    def test_the_step_brings_inputs_nearer(self) -> None:
        x = some_logits(4)
        gaussians = ood.ClassGaussians(torch.zeros(1, 4, dtype=torch.float64), torch.eye(4, dtype=torch.float64))
        moved = ood.mahalanobis_perturb(lambda v: v, x, gaussians, epsilon=1e-3)
        assert (ood.mahalanobis_score(moved, gaussians) < ood.mahalanobis_score(x, gaussians)).all()

    @pytest.mark.parametrize(("labels", "classes"), [([0, 2, 2], None), ([0, 1, 1], 3)])
    def test_a_class_without_samples_is_named(self, labels: list[int], classes: int | None) -> None:
        with pytest.raises(DataError, match=r"none in \[[12]\]"):
            ood.fit_class_gaussians(torch.zeros(3, 2), torch.tensor(labels), classes)


class TestMetrics:
    def test_perfect_and_reversed(self) -> None:
        assert ood.detection_metrics([0, 1, 2], [3, 4]) == (1.0, 1.0, 0.0)
        auroc, _, fpr = ood.detection_metrics([3, 4, 5], [0, 1])
        assert (auroc, fpr) == (0.0, 1.0)

    @quick
    @given(st.integers(0, 9999))
    def test_auroc_is_the_share_of_pairs_in_order(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        inside, outside = rng.integers(0, 6, 13), rng.integers(2, 9, 8)  # with ties
        pairs = np.subtract.outer(outside, inside)
        share = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
        metrics = ood.detection_metrics(inside, outside)
        assert metrics.auroc == pytest.approx(share)
        assert ood.detection_metrics(inside, outside, positive="in").auroc == pytest.approx(share)

    def test_the_recall_nearest_to_the_one_asked_for(self) -> None:
        inside, outside = [0.5, 2.5, 3.5], [1.0, 2.0, 3.0, 4.0]
        # thresholds from the top: 4 (recall 1/4, no false one), 3.5, 3 (2/4, one), 2.5, 2 (3/4, two), 1 (4/4, two)
        # of equal recalls the lowest threshold counts, and of equally near ones the higher recall
        for recall, fpr in ((1.0, 2 / 3), (0.75, 2 / 3), (0.5, 2 / 3), (0.3, 1 / 3), (0.375, 2 / 3), (0.1, 0.0)):
            assert ood.detection_metrics(inside, outside, recall=recall).fpr == pytest.approx(fpr), recall

    def test_full_recall_costs_no_more_than_it_must(self) -> None:
        assert ood.detection_metrics([0.0, 1.0, 9.0], [5.0, 6.0], recall=1.0).fpr == pytest.approx(1 / 3)

    @pytest.mark.parametrize(("inside", "outside"), [([], [1.0]), ([1.0], []), ([math.nan], [1.0])])
    def test_empty_and_nan_are_refused(self, inside: list[float], outside: list[float]) -> None:
        with pytest.raises(DataError, match="both sides"):
            ood.detection_metrics(inside, outside)

    def test_the_positive_side_is_one_of_two(self) -> None:
        with pytest.raises(ParameterError, match="'in' or 'out'"):
            ood.detection_metrics([0.0], [1.0], positive="ood")


class TestNearestNeighbours:
    def test_it_is_the_distance_that_scikit_learn_finds(self) -> None:
        from sklearn.neighbors import NearestNeighbors

        random = torch.Generator().manual_seed(0)
        bank, queries = torch.randn(60, 5, generator=random), torch.randn(7, 5, generator=random)
        for normalize in (True, False):
            made = torch.nn.functional.normalize if normalize else torch.Tensor.double
            fitted = NearestNeighbors(n_neighbors=4).fit(made(bank.double()))
            expected = fitted.kneighbors(made(queries.double()))[0][:, -1]
            found = ood.knn_score(queries, bank, k=4, normalize=normalize, block=3)
            np.testing.assert_allclose(found, expected, rtol=1e-9)

    def test_what_is_in_the_bank_finds_itself_first(self) -> None:
        bank = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
        assert ood.knn_score(bank, bank, k=1).max() < 1e-7
        assert ood.knn_score(bank, bank, k=2).min() > 1e-3

    @pytest.mark.parametrize("k", [0, 10, 1.5, True])
    def test_more_neighbours_than_there_are_are_refused(self, k: object) -> None:
        with pytest.raises(ParameterError, match=r"\[1, 9\]"):
            ood.knn_score(torch.zeros(1, 4), torch.ones(9, 4), k=k)  # type: ignore[arg-type]


class TestInDistributionProbability:
    @quick
    @given(st.integers(0, 9999), st.integers(1, 60), st.integers(1, 60))
    def test_probabilities_fall_with_the_score(self, seed: int, n: int, m: int) -> None:
        rng = np.random.default_rng(seed)
        scores = rng.normal(1, 2, size=n).round(1)
        belief, foreign = ood.in_distribution_probability(scores, rng.normal(size=m))
        assert ((belief >= 0) & (belief <= 1)).all()
        assert 0 <= foreign <= 1
        order = np.argsort(scores)
        assert (np.diff(belief[order]) <= 1e-12).all()
        assert (np.diff(belief[order])[np.diff(scores[order]) > 0] < 0).all()

    def test_a_mixture_is_told_apart_and_its_share_found(self) -> None:
        rng = np.random.default_rng(0)
        scores = np.r_[rng.normal(size=1400), rng.normal(5, 1, size=600)]
        belief, foreign = ood.in_distribution_probability(scores, rng.normal(size=500))
        assert abs(foreign - 0.3) < 0.05
        assert belief[:1400].mean() > 0.9
        assert belief[1400:].mean() < 0.1
        assert abs((1 - belief).mean() - foreign) < 0.05  # a probability adds up

    def test_of_the_data_alone_little_is_doubted(self) -> None:
        rng = np.random.default_rng(1)
        belief, foreign = ood.in_distribution_probability(rng.normal(size=2000), rng.normal(size=500))
        assert foreign < 0.08
        assert belief.mean() > 0.9

    def test_nothing_gives_nothing_and_nan_is_refused(self) -> None:
        belief, foreign = ood.in_distribution_probability([], [1.0])
        assert (len(belief), foreign) == (0, 0.0)
        for scores, known in (([1.0], []), ([math.nan], [1.0]), ([1.0], [math.nan])):
            with pytest.raises(DataError, match="NaN"):
                ood.in_distribution_probability(scores, known)
