"""The errors left: from the ledger's word to what people found."""

from __future__ import annotations

import numpy as np
import pytest

from errata.ledger import Ledger
from errata.review.estimate import ErrorsLeftEstimator, doubts
from errata.vouching import Vouched

NONE = np.zeros(0, dtype=np.int64)


def test_before_anything_is_decided_it_is_the_ledgers_word():
    trust = np.array([0.1, 0.4, 0.95, np.nan])
    found = ErrorsLeftEstimator(trust).estimate(NONE, NONE.astype(bool))
    assert found.left == pytest.approx(0.9 + 0.6 + 0.05)
    assert found.undecided == 3  # a row without a label can't be wrong
    assert found.found == found.decided == 0


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.0])
def test_a_ledger_that_is_wrong_by_a_factor_is_put_right(factor):
    rng = np.random.default_rng(0)
    trust = 1 - rng.uniform(0, 0.45, 40_000)
    wrong = rng.random(40_000) < factor * (1 - trust)
    decided = np.argsort(trust)[:4_000]  # the worst first, as in a review
    found = ErrorsLeftEstimator(trust).estimate(decided, wrong[decided])
    truly = wrong.sum() - wrong[decided].sum()
    assert found.left == pytest.approx(truly, rel=0.1)
    assert found.stated == pytest.approx((1 - trust).sum() - (1 - trust[decided]).sum())
    assert found.found == wrong[decided].sum()


def test_few_decisions_do_not_upset_it():
    trust = np.full(1000, 0.9)
    estimator = ErrorsLeftEstimator(trust)
    assert estimator.estimate(np.array([0]), np.array([True])).left == pytest.approx(100, rel=0.25)
    assert estimator.estimate(np.array([0]), np.array([False])).left == pytest.approx(100, rel=0.05)


def test_it_is_never_more_than_the_rows_that_are_left():
    trust = np.full(20, 0.2)
    found = ErrorsLeftEstimator(trust).estimate(np.arange(19), np.ones(19, dtype=bool))
    assert found.left <= 1
    assert ErrorsLeftEstimator(trust).estimate(np.arange(20), np.ones(20, dtype=bool)).left == 0


def test_where_the_list_is_vouched_for_that_is_what_is_expected():
    rng = np.random.default_rng(0)
    n = 1000
    given = rng.integers(0, 2, n)
    given[:30] = -1
    trust = np.where(given < 0, np.nan, rng.random(n))
    ledger = Ledger(given, np.where(rng.random(n) < 0.2, 1 - np.abs(given), given), trust, classes=["a", "b"])
    plain = doubts(ledger)
    assert np.nansum(plain) == pytest.approx(np.nansum(1 - ledger.trust), rel=1e-6)
    lengths = np.arange(10, 400, 10)
    recall = 0.9 * (lengths / 390) ** 0.7
    ledger.vouched = Vouched(
        lengths, recall * 120 / lengths, recall * 0, recall / recall, recall, 120 * (1 - recall), 120.0
    )
    found = doubts(ledger)
    assert np.isnan(found[:30]).all()
    assert np.nansum(found) == pytest.approx(120)
    assert found[ledger.order[:100]].sum() == pytest.approx(120 * recall[9])
    assert ErrorsLeftEstimator(1 - found).estimate(np.arange(0), np.zeros(0, bool)).left == pytest.approx(120)
