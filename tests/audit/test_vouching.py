"""What is stated of a list's precision, against the planted truth."""

from __future__ import annotations

import numpy as np
import pytest

import errata
from errata.audit.vouching import confident_share, fair, plant, vouch
from errata.ledger import Ledger


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


def planted(kind, x, y, seed):
    if kind == "symmetric":
        return errata.noise.symmetric(y, 0.2, 10, seed=seed)
    if kind == "pair":
        return errata.noise.asymmetric(y, 0.2, "pair", num_classes=10, seed=seed)
    return errata.noise.instance_dependent(x, y, 0.2, 10, seed=seed)


@pytest.mark.parametrize("kind", ["symmetric", "pair", "instance"])
def test_the_stated_precision_is_not_above_the_real_one(digits, kind):
    x, y = digits
    given = planted(kind, x, y, seed=3)
    ledger = errata.audit(x, given, progress=False)
    wrong, found = given != y, ledger.vouched
    real = np.cumsum(wrong[ledger.order])[found.n - 1] / found.n
    assert (found.precision - real).max() < 0.05
    assert (found.low <= real + 1e-9).all()
    assert abs(found.errors / len(y) - wrong.mean()) < 0.03
    vouched_for = ledger.issues(min_precision=0.8).index
    assert len(vouched_for) >= (50 if kind == "symmetric" else 0)  # of about 360 wrong labels
    assert wrong[vouched_for].mean() >= 0.8 if len(vouched_for) else True


def test_a_weak_models_own_mistakes_are_not_counted_as_wrong_labels():
    rng = np.random.default_rng(0)
    n, k = 20_000, 5
    true = rng.integers(k, size=n)
    strength = rng.exponential(1.5, size=n)  # how much the model knows of a row
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), true] += strength
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    noisy = 0.8 * probs + 0.2 * (1 - probs) / (k - 1)
    given = errata.noise.symmetric(true, 0.2, k, seed=0)
    share, transition = confident_share(given, noisy)
    disagree = (noisy.argmax(1) != given).mean()
    assert disagree > 0.4
    assert share == pytest.approx(0.2, abs=0.06)
    assert transition.sum(1) == pytest.approx(np.ones(k))


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_planted_labels_tell_the_share_of_errors_at_random_even_for_a_weak_model(rate):
    rng = np.random.default_rng(1)
    n, k = 12_000, 6
    true = rng.integers(k, size=n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), true] += 1.5
    probs = np.exp(2 * logits) / np.exp(2 * logits).sum(1, keepdims=True)
    given = errata.noise.symmetric(true, rate, k, seed=0)
    assert (probs.argmax(1) != true).mean() > 0.3
    assert plant(given, probs, np.full((k, k), 1 / k)).share == pytest.approx(rate, abs=0.06)


def test_too_few_labels_are_not_vouched_for():
    probs = np.tile([0.6, 0.4], (60, 1))
    codes = np.r_[np.zeros(30, int), np.full(30, -1)]
    assert vouch(codes, probs, np.arange(60), joint_rate=0.1) is None


def test_rows_without_a_label_are_left_out(digits):
    x, y = digits
    given = planted("symmetric", x, y, seed=0).astype(float)
    given[:100] = np.nan
    found = errata.audit(x, given, progress=False).vouched
    assert found.n[-1] == len(y) - 100


def test_what_is_vouched_for_is_saved(digits, tmp_path):
    x, y = digits
    ledger = errata.audit(x, planted("pair", x, y, seed=0), progress=False)
    ledger.save(tmp_path, report=False)
    again = Ledger.load(tmp_path)
    assert again.vouched.low == pytest.approx(ledger.vouched.low, abs=1e-6)
    assert list(again.issues(min_precision=0.3).index) == list(ledger.issues(min_precision=0.3).index)


def test_a_rare_class_that_is_never_predicted_is_not_vouched_to_be_wrong():
    rng = np.random.default_rng(0)
    true = np.r_[rng.integers(3, size=2900), np.full(100, 3)]
    given = errata.noise.symmetric(true, 0.1, 4, seed=1)
    logits = rng.normal(size=(3000, 4))
    logits[np.arange(3000), true] += 4
    logits[:, 3] -= 12  # the model does not know the class
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    own = probs[np.arange(3000), given]
    order = np.argsort(own, kind="stable")
    found = vouch(given, probs, order, joint_rate=0.12)
    real = (given != true)[order[:100]].mean()
    assert found.at(100)["low"] <= real + 0.05
    raised = fair(own[order], given[order])
    assert (raised >= own[order].astype(np.float32)).all()
    assert np.mean(raised[given[order] == 3]) > 10 * own[given == 3].mean()


def test_the_ensemble_vouches_for_its_own_order(digits):
    x, y = digits
    given = planted("symmetric", x, y, seed=5)
    ledger = errata.audit(x[:900], given[:900], method="ensemble", progress=False)
    found, wrong = ledger.vouched, given[:900] != y[:900]
    real = np.cumsum(wrong[ledger.order])[found.n - 1] / found.n
    assert (found.low <= real + 0.05).all()
    assert found.at(100)["low"] > 0.4


def test_where_errors_follow_the_item_the_interval_reaches_up_to_all_that_the_model_contradicts(digits):
    x, y = digits
    given = planted("instance", x, y, seed=3)
    ledger = errata.audit(x, given, progress=False)
    wrong, found = given != y, ledger.vouched
    real = np.cumsum(wrong[ledger.order])[found.n - 1] / found.n
    assert (found.high >= real - 1e-9).all()
    against = int((ledger.columns["normalized_margin"] < 0.5).sum())
    assert found.high[found.n <= against // 2].min() == 1.0
    assert found.errors_high >= against
