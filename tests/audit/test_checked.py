"""Rows that a person checked at random, against the truth they were drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from errata.audit.checked import Checked, clopper_pearson, random_order, vouch_checked
from errata.audit.queueing import enqueue
from errata.errors import DataError
from errata.ledger import Ledger


def ruled(n=2000, seed=0):
    """Half of the labels wrong, and a trust that knows little of it: errors by a rule."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < 0.5
    trust = np.clip(0.97 - 0.05 * wrong * rng.random(n) - 0.05 * rng.random(n), 0, 1)
    given = rng.integers(0, 3, n)
    return Ledger(given, given, trust, classes=["a", "b", "c"]), wrong


def test_the_interval_covers_the_truth_as_often_as_it_says():
    ledger, wrong = ruled()
    inside, heads = [], []
    for seed in range(60):
        rows = random_order(ledger, seed)[:100]
        found = vouch_checked(ledger, rows, wrong[rows], seed=seed)
        inside.append(found.errors_low <= wrong.sum() <= found.errors_high)
        real = np.cumsum(wrong[ledger.order])[found.n - 1] / found.n
        heads.append((found.low <= real) & (real <= found.high))
        assert ((found.low <= found.precision) & (found.precision <= found.high)).all()
    assert np.mean(inside) >= 0.85
    assert np.concatenate(heads).mean() >= 0.88


def test_what_is_checked_at_the_head_of_the_list_is_known_exactly_and_biases_nothing():
    rng = np.random.default_rng(1)
    wrong = rng.random(3000) < 0.1
    trust = np.where(wrong, 0.3, 0.6) + 0.3 * rng.random(3000)
    given = rng.integers(0, 2, 3000)
    ledger = Ledger(given, given, trust, classes=["a", "b"])
    head = ledger.order[:200]
    found_errors = []
    for seed in range(40):
        rows = np.unique(np.concatenate([head, random_order(ledger, seed)[:150]]))
        found = vouch_checked(ledger, rows, wrong[rows], seed=seed)
        at = found.at(200)
        assert at["low"] == at["high"] == pytest.approx(wrong[head].mean())
        found_errors.append(found.errors)
    assert np.mean(found_errors) == pytest.approx(wrong.sum(), rel=0.08)


def test_rows_chosen_for_being_suspicious_are_no_sample():
    ledger, wrong = ruled()
    head = ledger.order[:500]
    with pytest.raises(DataError, match="checked at random"):
        vouch_checked(ledger, head, wrong[head])


def test_the_sample_ends_at_the_first_row_that_is_neither_decided_nor_skipped():
    ledger, wrong = ruled()
    order = random_order(ledger, 3)
    rows = np.delete(order[:80], [10, 50])
    whole = Checked.of(ledger, rows, wrong[rows], skipped=order[[10, 50]], seed=3)
    cut = Checked.of(ledger, rows, wrong[rows], skipped=order[[10]], seed=3)
    assert len(whole.sample) == 78
    assert len(cut.sample) == 49


def test_the_random_order_is_that_of_the_queue():
    ledger, _ = ruled(50)
    queued = enqueue(ledger, 50, rule="random", seed=7)
    assert np.argsort(queued.columns["place"]).tolist() == random_order(ledger, 7).tolist()


def test_rows_without_a_label_are_not_drawn():
    given = np.where(np.arange(100) % 4 == 0, -1, 1)
    ledger = Ledger(given, np.ones(100, int), np.where(given < 0, np.nan, 0.5), classes=["a", "b"])
    assert (given[random_order(ledger)] >= 0).all()
    found = vouch_checked(ledger, random_order(ledger), np.zeros(75, bool))
    assert found.n[-1] == 75
    assert found.errors == 0
    assert found.high.max() == 0


@pytest.mark.parametrize(("found", "seen"), [(0, 10), (10, 10), (3, 30), (0, 0)])
def test_the_interval_is_the_exact_one(found, seen):
    from scipy.stats import binomtest

    low, high = clopper_pearson(found, seen)
    if seen == 0:
        assert (low, high) == (0, 1)
        return
    exact = binomtest(found, seen).proportion_ci(0.9, method="exact")
    assert (low, high) == (pytest.approx(exact.low), pytest.approx(exact.high))
