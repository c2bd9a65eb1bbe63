"""DDFA: the identities of its equations, its estimator, and the small experiment of its dossier."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression

from errata.data.domains import dirichlet_domains, domain_sample_counts, split_into_domains
from errata.errors import DataError, ErrataError, ParameterError
from errata.parts.matching import hungarian_relabel
from errata.parts.priors import shift_prior
from errata.systems.label_shift.lls import (
    LatentLabelShift,
    NotIdentifiableWarning,
    adjust_posterior,
    bin_table,
    factorise,
)

quick = settings(max_examples=20, deadline=None)


def exact(seed: int, classes: int = 3, domains: int = 5, n: int = 40) -> tuple[np.ndarray, ...]:
    """True p(y | d), p(y | x) where domains are mixed evenly, the p(d | x) that follows, and domains."""
    rng = np.random.default_rng(seed)
    w = dirichlet_domains(domains, classes, 2.0, 20.0, seed=seed).T
    p = (w / w.sum(1, keepdims=True)).T
    q = rng.dirichlet(np.full(classes, 0.5), size=n)
    return w, q, q @ p.T, rng.integers(0, domains, n)


class TestAdjusting:
    @quick
    @given(st.integers(0, 999))
    def test_from_exact_posteriors_comes_the_exact_label_posterior(self, seed: int) -> None:
        w, q, g, d = exact(seed)
        for clip in (True, False):
            found = adjust_posterior(g, w, d, clip=clip)
            np.testing.assert_allclose(found.p_y_given_x, q, atol=1e-8)
            np.testing.assert_allclose(found.own_domain.sum(1), 1)

    @quick
    @given(st.integers(0, 999))
    def test_label_posteriors_sum_to_one_for_any_discriminator(self, seed: int) -> None:
        w, _, g, d = exact(seed)
        noisy = np.random.default_rng(seed).dirichlet(np.ones(g.shape[1]), size=len(g))
        np.testing.assert_allclose(adjust_posterior(noisy, w, d, clip=False).p_y_given_x.sum(1), 1, atol=1e-8)
        clipped = adjust_posterior(noisy, w, d)
        assert (clipped.own_domain >= 0).all()
        np.testing.assert_allclose(clipped.own_domain.sum(1), 1)

    def test_another_order_of_classes_is_another_order_of_columns(self) -> None:
        w, _, g, d = exact(3)
        order = np.array([2, 0, 1])
        np.testing.assert_allclose(
            adjust_posterior(g, w[order], d).own_domain, adjust_posterior(g, w, d).own_domain[:, order]
        )

    def test_a_domain_of_one_class_settles_it(self) -> None:
        found = adjust_posterior([[0.2, 0.5, 0.3]], np.eye(3), [1])
        np.testing.assert_allclose(found.own_domain, [[0, 1, 0]])

    def test_what_is_clipped_away_falls_back_to_the_domain(self) -> None:
        w = np.array([[0.9, 0.1], [0.1, 0.9]])
        found = adjust_posterior([[1.0, 0.0]], w, [1])  # more extreme than any class: the first one, surely
        np.testing.assert_allclose(found.p_y_given_x, [[1, 0]])
        np.testing.assert_allclose(shift_prior([[0.0, 0.0]], [0.3, 0.7]), [[0.3, 0.7]])


class TestFactorising:
    @pytest.mark.parametrize("solver", ["anchor", "nmf"])
    def test_columns_are_distributions(self, solver: str) -> None:
        rng = np.random.default_rng(0)
        table = bin_table(rng.integers(0, 7, 500), rng.integers(0, 4, 500), 8, 4)  # the last bin is empty
        found = factorise(table, 3, solver=solver)
        np.testing.assert_allclose(found.p_y_given_d.sum(0), 1)
        np.testing.assert_allclose(found.p_bin_given_y.sum(0), 1)
        assert min(found.p_y_given_d.min(), found.p_bin_given_y.min()) >= 0

    @quick
    @given(st.integers(0, 500))
    def test_anchors_find_the_exact_factors(self, seed: int) -> None:
        w = dirichlet_domains(6, 3, 2.0, 20.0, seed=seed).T
        rng = np.random.default_rng(seed)
        c = np.vstack([0.5 * np.eye(3), 0.5 * rng.dirichlet(np.ones(4), size=3).T])  # three bins have one class each
        found = factorise(c @ w, 3, solver="anchor", weights=np.ones(7))
        assert found.residual < 1e-6
        worst = min(np.abs(found.p_y_given_d[list(o)] - w).max() for o in permutations())
        assert worst < 1e-6

    def test_more_classes_than_domains_or_bins_are_refused(self) -> None:
        with pytest.raises(ParameterError, match="as many domains and bins"):
            factorise(np.ones((5, 2)) / 5, 3)
        with pytest.raises(ParameterError, match="solver"):
            factorise(np.ones((5, 5)) / 5, 3, solver="svd")


def permutations() -> list[tuple[int, ...]]:
    from itertools import permutations as every

    return list(every(range(3)))


class TestDomains:
    def test_counts_keep_the_proportions_and_the_supply(self) -> None:
        q = dirichlet_domains(5, 3, 1.0, 10.0, seed=1)
        y = np.random.default_rng(0).integers(0, 3, 900)
        rows, domains = split_into_domains(y, q, seed=0)
        assert len(np.unique(rows)) == len(rows)
        counts, _ = domain_sample_counts(q, int(np.bincount(y).min()))
        found = np.bincount(domains * 3 + y[rows], minlength=15).reshape(5, 3)
        np.testing.assert_array_equal(found, counts)

    def test_what_cannot_be_drawn_is_told(self) -> None:
        with pytest.raises(ParameterError, match="condition number"):
            dirichlet_domains(2, 2, 1e4, 1.001, seed=0)
        with pytest.raises(ParameterError, match="as many domains"):
            dirichlet_domains(2, 3, seed=0)
        with pytest.raises(DataError, match="proportions"):
            domain_sample_counts([[0.5, -0.5]], 10)


def test_matching_is_the_best_there_is() -> None:
    order, relabelled, accuracy = hungarian_relabel([2, 2, 0, 1, 1], [0, 0, 1, 2, 2], 3)
    assert (order.tolist(), relabelled.tolist(), accuracy) == ([1, 2, 0], [0, 0, 1, 2, 2], 1.0)
    for wrong in (([0], [0, 1]), ([], []), ([0], [3])):
        with pytest.raises(DataError):
            hungarian_relabel(*wrong, 3)


def blobs(seed: int, classes: int = 3, domains: int = 5, n: int = 2400) -> tuple[np.ndarray, ...]:
    """Each class is two clouds, and its second one lies beside the first one of the next class."""
    rng = np.random.default_rng(seed)
    q = dirichlet_domains(domains, classes, 0.5, 4.0, seed=seed)
    d = rng.integers(0, domains, n)
    y = np.array([rng.choice(classes, p=q[one]) for one in d])
    centres = rng.normal(size=(classes, 5)) * 4
    second = rng.random(n) < 0.5
    place = np.where(second, (y + 1) % classes, y)
    x = centres[place] + np.where(second, 1.5, 0.0)[:, None] + 0.5 * rng.normal(size=(n, 5))
    return x, y, d


class TestTheEstimator:
    @pytest.mark.parametrize("solver", ["anchor", "nmf"])
    def test_what_shifts_together_is_found_where_likeness_misleads(self, solver: str) -> None:
        x, y, d = blobs(0)
        system = LatentLabelShift(3, solver=solver).fit(x, d)
        found = hungarian_relabel(system.predict(x, d), y, 3)[2]
        alike = hungarian_relabel(KMeans(3, n_init=5, random_state=0).fit_predict(x), y, 3)[2]
        assert found > alike + 0.2

    def test_the_same_seed_finds_the_same_and_copies_predict_the_same(self) -> None:
        x, _, d = blobs(1, n=600)
        first = LatentLabelShift(3, random_state=4).fit(x, d)
        second = clone(first).fit(x, d)
        np.testing.assert_array_equal(first.predict_proba(x, d), second.predict_proba(x, d))
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).predict(x), first.predict(x))  # noqa: S301

    def test_domains_have_any_names_and_any_size(self) -> None:
        x, y, d = blobs(2)
        kept = (d != 0) | (np.arange(len(d)) % 4 == 0)  # the first domain is small
        names = np.array([f"site {i}" for i in d])
        system = LatentLabelShift(3).fit(x[kept], names[kept])
        assert system.domains_.tolist() == [f"site {i}" for i in range(5)]
        assert hungarian_relabel(system.predict(x, names), y, 3)[2] > 0.8
        proportions = np.array([[(y[d == j] == k).mean() for j in range(5)] for k in range(3)])
        order = hungarian_relabel(system.predict(x, names), y, 3)[0]
        assert np.abs(system.p_y_given_d_ - proportions[order]).mean() < 0.12
        with pytest.raises(DataError, match="was not among"):
            system.predict(x[:2], ["site 1", "site 9"])
        with pytest.raises(DataError, match="a domain for each"):
            system.predict(x[:2], ["site 1"])

    def test_any_classifier_tells_domains_and_posteriors_of_your_own_do(self) -> None:
        x, _, d = blobs(3, n=600)
        system = LatentLabelShift(3, discriminator=LogisticRegression(max_iter=500)).fit(x, d)
        g = system.discriminator_.predict_proba(x)
        own = LatentLabelShift(3).fit_posterior(g, d)
        np.testing.assert_allclose(own.adjust(g, d), system.predict_proba(x, d))
        with pytest.raises(DataError, match="adjust"):
            own.predict(x)
        for wrong in (g[:, 1:], np.where(g > 0.5, np.nan, g)):
            with pytest.raises(DataError):
                LatentLabelShift(3).fit_posterior(wrong, d)

    def test_domains_that_are_alike_are_warned_of(self) -> None:
        rng = np.random.default_rng(0)
        g = rng.dirichlet(np.full(4, 50.0), size=400)
        with pytest.warns(NotIdentifiableWarning, match="not identifiable"):
            LatentLabelShift(3).fit_posterior(g, rng.integers(0, 4, 400))
        with warnings.catch_warnings():
            warnings.simplefilter("error", NotIdentifiableWarning)
            x, _, d = blobs(4)
            LatentLabelShift(3).fit(x, d)

    @pytest.mark.parametrize(
        "options", [{"num_classes": 1}, {"num_classes": 9}, {"num_classes": 2.5}, {"num_bins": 1}, {"solver": "svd"}]
    )
    def test_what_makes_no_sense_is_refused(self, options: dict) -> None:
        x, _, d = blobs(5, n=200)
        with pytest.raises(ErrataError):
            LatentLabelShift(**options).fit(x, d)

    def test_bad_features_are_refused_as_scikit_learn_does(self) -> None:
        x, _, d = blobs(6, n=200)
        system = LatentLabelShift(3).fit(x, d)
        for wrong in (x[:, 1:], np.full_like(x, np.nan), x[0]):
            with pytest.raises(ValueError, match=r"features|NaN|1D"):
                system.predict(wrong)
        with pytest.raises(ValueError, match="inconsistent numbers"):
            LatentLabelShift(3).fit(x, d[1:])


def test_it_passes_scikit_learns_own_checks() -> None:
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(LatentLabelShift(2), on_fail=None)
    failed = [f"{r['check_name']}: {r['exception']}" for r in results if r["status"] == "failed"]
    assert not failed
    assert len(results) > 20
