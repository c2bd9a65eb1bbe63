from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.mixture import GaussianMixture

from errata.errors import DataError, ParameterError
from errata.parts import LossMixture

KINDS = ("gaussian", "beta")


def two_groups(n: int = 600, share: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    wrong = random.random(n) < share
    return np.where(wrong, random.normal(3.0, 0.5, n), random.gamma(2.0, 0.2, n)), wrong


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_it_tells_the_groups_apart(kind: str, share: float) -> None:
    losses, wrong = two_groups(share=share)
    mixture = LossMixture(kind).fit(losses)
    clean = mixture.clean_probability(losses)
    assert ((clean < 0.5) == wrong).mean() > 0.95
    assert mixture.weights_.sum() == pytest.approx(1.0)
    assert mixture.means_[0] < mixture.means_[1]
    if kind == "gaussian":
        assert mixture.weights_[1] == pytest.approx(wrong.mean(), abs=0.05)
        assert mixture.means_[0] < 1 < 2 < mixture.means_[1]


def test_the_gaussian_one_is_scikit_learns_posterior_on_normalised_losses() -> None:
    losses, _ = two_groups()
    z = ((losses - losses.min()) / (losses.max() - losses.min()))[:, None]
    theirs = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0).fit(z)
    expected = theirs.predict_proba(z)[:, theirs.means_[:, 0].argmin()]
    np.testing.assert_allclose(LossMixture().fit(losses).clean_probability(losses), expected, rtol=1e-12)


def test_the_beta_one_recovers_the_components_it_was_drawn_from() -> None:
    random = np.random.default_rng(1)
    clean, noisy = random.beta(2, 12, 6000), random.beta(12, 3, 4000)
    mixture = LossMixture("beta", max_iter=50).fit(np.r_[clean, noisy])
    # percentiles are cut off, so means move inwards a little
    assert mixture.means_[0] == pytest.approx(clean.mean(), abs=0.02)
    assert mixture.means_[1] == pytest.approx(noisy.mean(), abs=0.02)
    assert mixture.weights_[1] == pytest.approx(0.4, abs=0.02)


@given(arrays(np.float64, st.integers(2, 60), elements=st.floats(0, 50)), st.sampled_from(KINDS))
def test_any_finite_losses_give_probabilities(losses: np.ndarray, kind: str) -> None:
    clean = LossMixture(kind).fit(losses).clean_probability(losses)
    assert clean.shape == losses.shape
    assert np.isfinite(clean).all()
    assert ((clean >= 0) & (clean <= 1)).all()


@given(st.integers(0, 500))
def test_the_beta_ones_probability_never_rises_with_the_loss(seed: int) -> None:
    losses, _ = two_groups(n=80, seed=seed)
    mixture = LossMixture("beta").fit(losses)
    assert (np.diff(mixture.clean_probability(np.linspace(-1, 6, 300))) <= 1e-12).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 2.5, 1e8])
def test_equal_losses_make_no_groups_and_all_count_as_clean(kind: str, value: float) -> None:
    mixture = LossMixture(kind).fit(np.full(10, value))
    assert mixture.constant_
    assert mixture.clean_probability([value, value + 1]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_stands_out_of_equal_losses(kind: str) -> None:
    clean = LossMixture(kind).fit(np.r_[np.zeros(99), 5.0]).clean_probability([0.0, 5.0])
    assert clean[0] > 0.9
    assert clean[1] < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_in_tensors_out(kind: str) -> None:
    losses = torch.tensor(two_groups()[0], dtype=torch.float32)
    mixture = LossMixture(kind).fit(losses)
    half = mixture.clean_probability(losses.bfloat16())
    assert mixture.clean_probability(losses).dtype == torch.float32
    assert half.dtype == torch.float32
    assert mixture.clean_probability(losses.double()).dtype == torch.float64


def test_the_same_seed_gives_the_same_and_numpys_generator_is_left_alone() -> None:
    losses, _ = two_groups()
    before = np.random.get_state()[1].copy()
    first, second = (LossMixture(seed=4).fit(losses).clean_probability(losses) for _ in range(2))
    assert (first == second).all()
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_named(bad: float) -> None:
    with pytest.raises(DataError, match="row 2 holds"):
        LossMixture().fit([0.1, 0.2, bad, 0.3])
    with pytest.raises(DataError, match="row 0 holds"):
        LossMixture().fit([0.1, 0.9]).clean_probability([bad])


def test_wrong_use() -> None:
    with pytest.raises(ParameterError, match="'gaussian' or 'beta'"):
        LossMixture("gauss")
    with pytest.raises(ParameterError, match="max_iter"):
        LossMixture(max_iter=0)
    with pytest.raises(ParameterError, match="not fitted"):
        LossMixture().clean_probability([1.0])
    with pytest.raises(DataError, match="one-dimensional"):
        LossMixture().fit([[1.0, 2.0]])
    with pytest.raises(DataError, match="two losses"):
        LossMixture().fit([1.0])
    assert LossMixture().fit([0.0, 1.0]).clean_probability([]).shape == (0,)
