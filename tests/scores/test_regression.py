import numpy as np
import pytest

from errata.errors import DataError
from errata.scores.regression import density_score, local_scale, residual_trust


def test_the_scale_follows_the_scatter():
    rng = np.random.default_rng(0)
    predictions = rng.uniform(0, 1, 4000)
    residual = rng.normal(size=4000) * (0.1 + predictions)
    scale = local_scale(predictions, residual)
    assert scale[np.argsort(predictions)[200]] == pytest.approx(0.15, rel=0.25)
    assert scale[np.argsort(predictions)[-200]] == pytest.approx(1.05, rel=0.25)
    assert (local_scale(predictions[:5], np.zeros(5)) > 0).all()


@pytest.mark.parametrize("tails", ["normal", "student"])
def test_clean_numbers_are_left_alone_and_wrong_ones_found(tails):
    rng = np.random.default_rng(0)
    predictions = rng.uniform(0, 100, 3000)
    scatter = rng.normal(size=3000) if tails == "normal" else rng.standard_t(4, 3000)
    y = predictions + scatter
    clean = residual_trust(y, predictions)
    assert clean.rate < 0.005
    assert (clean.trust < 0.5).sum() < 8
    wrong = rng.random(3000) < 0.1
    y[wrong] = rng.uniform(0, 100, wrong.sum())
    found = residual_trust(y, predictions)
    assert found.rate == pytest.approx(wrong.mean(), abs=0.02)
    assert wrong[found.trust < 0.5].mean() > 0.95
    assert (found.trust < 0.5)[wrong].mean() > 0.8
    assert 1 - found.trust.mean() == pytest.approx(found.rate, abs=1e-3)


def test_neither_unit_nor_offset_matters_and_missing_numbers_stay_missing():
    rng = np.random.default_rng(0)
    predictions = rng.normal(size=200)
    y = predictions + 0.1 * rng.normal(size=200)
    y[3], y[4] = 9, np.nan
    one, two = residual_trust(y, predictions), residual_trust(1e6 * y + 5, 1e6 * predictions + 5)
    np.testing.assert_allclose(one.trust, two.trust, atol=1e-6)
    assert np.isnan(one.trust[4])
    assert np.nanargmin(one.trust) == 3


def test_density_sees_a_number_that_is_unlike_its_neighbours():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 2)).astype(np.float32)
    ratio = rng.normal(size=300)
    ratio[5], ratio[6] = 12, np.nan
    score = density_score(features, ratio)
    assert np.nanargmin(score) == 5
    assert np.isnan(score[6])
    assert np.nanmax(score) <= 1


def test_what_is_refused():
    with pytest.raises(DataError, match=r"\(3,\) and \(2,\)"):
        residual_trust(np.zeros(3), np.zeros(2))
    with pytest.raises(DataError, match="predictions: row 1 is nan"):
        residual_trust(np.arange(2.0), np.array([0, np.nan]))
    with pytest.raises(DataError, match="labels: row 0 is inf"):
        residual_trust(np.array([np.inf, 1]), np.zeros(2))
    with pytest.raises(DataError, match=r"got 2, all of them 4\."):
        residual_trust(np.array([4.0, 4.0]), np.zeros(2))
