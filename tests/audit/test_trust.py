import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.audit.trust import shifted_odds


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(10, 990), min_size=3, max_size=50, unique=True).map(lambda s: [v / 1000 for v in s]),
    st.floats(0.05, 0.95),
)
def test_order_is_kept_and_the_mean_is_met(scores, rate):
    trust = shifted_odds(np.array(scores), rate)
    assert (np.argsort(trust, kind="stable") == np.argsort(scores, kind="stable")).all()
    least = 0.5 / len(scores)  # half a row is always left on either side
    assert 1 - trust.mean() == pytest.approx(np.clip(rate, least, 1 - least), abs=2e-3)


def test_all_odds_change_by_one_factor():
    score = np.array([0.1, 0.5, 0.8])
    trust = shifted_odds(score, 0.1).astype(float)
    factor = (trust / (1 - trust)) / (score / (1 - score))
    assert factor == pytest.approx(factor[0] * np.ones(3), rel=1e-4)


def test_missing_scores_stay_missing_and_count_for_nothing():
    trust = shifted_odds(np.array([0.2, np.nan, 0.9]), 0.3)
    assert np.isnan(trust).tolist() == [False, True, False]
    assert trust[[0, 2]] == pytest.approx(shifted_odds(np.array([0.2, 0.9]), 0.3))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_extreme_rates_leave_an_order(rate):
    trust = shifted_odds(np.linspace(0.1, 0.9, 9), rate)
    assert (np.diff(trust) > 0).all()


def test_certain_scores_give_probabilities():
    trust = shifted_odds(np.array([0.0, 1.0, 0.5]), 0.4)
    assert ((trust >= 0) & (trust <= 1)).all()
    assert trust[0] < trust[2] < trust[1]


def test_nothing_known_gives_nothing():
    assert np.isnan(shifted_odds(np.array([np.nan, np.nan]), 0.1)).all()
    assert len(shifted_odds(np.empty(0), 0.1)) == 0


def test_a_model_that_knows_nothing_leaves_trust_at_the_share_of_right_labels():
    assert shifted_odds(np.full(1000, 0.1), 0.05) == pytest.approx(np.full(1000, 0.95), abs=2e-3)
