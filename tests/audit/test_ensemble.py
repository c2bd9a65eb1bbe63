import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

import errata
from errata.audit.confident import confident
from errata.audit.crossval import cross_validate
from errata.audit.ensemble import Opinion, as_opinion, audit, by_neighbours, combine, weighed
from errata.audit.neighbours import neighbours
from errata.audit.predictors import auto
from errata.data import read
from errata.labels import ClassLabels
from errata.noise import instance_dependent


def precision(wrong, ledger):
    return average_precision_score(wrong, -ledger.trust)


def test_together_they_find_more_than_confident_learning_alone():
    x, y = load_breast_cancer(return_X_y=True)
    gains = []
    for seed in range(2):
        given = instance_dependent(x, y, 0.3, 2, seed=seed)
        data = read(x, given)
        alone = confident(data.labels, cross_validate(data.labels, auto(data, 0)).pred_probs)
        gains.append(precision(given != y, audit(data, jobs=1)) - precision(given != y, alone))
    assert np.mean(gains) > 0.015


def test_the_ledger_is_whole_and_says_who_said_what():
    x, y = load_digits(return_X_y=True)
    given = instance_dependent(x, y, 0.2, 10, seed=0)[:800]
    x, wrong = x[:800], given != y[:800]
    labels = np.where(np.arange(800) < 15, None, given.astype(object))
    ledger = audit(read(x, labels.tolist()), model=LogisticRegression(C=0.01, max_iter=200), folds=3, jobs=1)
    assert ledger.meta["methods"] == ["confident", "confident_again", "neighbours"]
    assert precision(wrong[15:], combine_tail(ledger, 15)) > 0.9
    assert wrong[ledger.issue].mean() > 0.85
    assert not ledger.issue[:15].any()
    assert np.isnan(ledger.trust[:15]).all()
    assert (ledger.proposed[:15] >= 0).all()
    assert ((ledger.proposed != ledger.given) == ledger.issue)[15:].all()
    assert ledger.columns["methods"].max() == 3
    assert ledger.noise.rate == pytest.approx(wrong.mean(), abs=0.05)


def combine_tail(ledger, start):
    class Tail:
        trust = ledger.trust[start:]

    return Tail


def test_pictures_are_looked_at_in_three_ways():
    x, y = load_digits(return_X_y=True)
    given = instance_dependent(x, y, 0.15, 10, seed=0)[:400]
    pictures = (load_digits().images * 15).astype(np.uint8)[:400]
    ledger = audit(read(pictures, given), epochs=6, folds=2, device="cpu")
    assert ledger.meta["methods"] == ["confident", "neighbours", "dynamics"]
    assert precision(given != y[:400], ledger) > 0.6
    assert np.ptp(ledger.columns["neighbours_place"]) > 0.9


def test_trust_has_the_spread_of_the_calibrated_method():
    rng = np.random.default_rng(0)
    labels = ClassLabels(rng.integers(0, 3, 300), ["a", "b", "c"])
    table = rng.dirichlet([1, 1, 1], 300).astype(np.float32)
    one = confident(labels, table)
    two = neighbours(labels, rng.normal(size=(300, 4)))
    merged = combine(labels, [Opinion("confident", one), Opinion("neighbours", two)])
    assert np.sort(merged.trust) == pytest.approx(np.sort(one.trust), abs=0.02)
    assert merged.issue.sum() == one.issue.sum()
    only = combine(labels, [Opinion("confident", one), Opinion("neighbours", two, weight=0.0)])
    assert (np.argsort(only.trust, kind="stable")[:50] == np.argsort(one.trust, kind="stable")[:50]).mean() > 0.9


def test_neighbours_that_know_nothing_weigh_next_to_nothing():
    x, y = load_digits(return_X_y=True)
    given = instance_dependent(x, y, 0.2, 10, seed=0)
    wrong, labels = given != y, ClassLabels(given, list(range(10)))
    one = as_opinion("confident", confident(labels, cross_validate(labels, auto(read(x, given), 0), jobs=1).pred_probs))
    rubbish = by_neighbours(neighbours(labels, np.random.default_rng(0).normal(size=(len(y), 20))))
    opinions = weighed([one, rubbish])
    assert opinions[1].weight < 0.05
    assert opinions[0].weight + opinions[1].weight == pytest.approx(1)
    assert precision(wrong, combine(labels, opinions)) > precision(wrong, one.ledger) - 0.02
    assert precision(wrong, combine(labels, opinions)) > precision(wrong, combine(labels, [one, rubbish])) + 0.1
    assert weighed([one, by_neighbours(neighbours(labels, x))])[1].weight > 0.3


def test_a_further_training_counts_as_much_as_the_first_pass_and_the_neighbours_together():
    rng = np.random.default_rng(0)
    labels = ClassLabels(rng.integers(0, 4, 400), list("abcd"))
    one, two = (confident(labels, rng.dirichlet(np.ones(4), 400)) for _ in range(2))
    near = neighbours(labels, rng.normal(size=(400, 3)))
    opinions = weighed([as_opinion("confident", one), as_opinion("confident_again", two), by_neighbours(near)])
    assert [o.name for o in opinions] == ["confident", "confident_again", "neighbours"]
    assert opinions[0].weight + opinions[2].weight == pytest.approx(opinions[1].weight)


def test_probabilities_with_embeddings_are_vouched_for():
    x, y = load_digits(return_X_y=True)
    given = instance_dependent(x, y, 0.2, 10, seed=0)
    labels = ClassLabels(given, list(range(10)))
    probs = cross_validate(labels, auto(read(x, given), 0), jobs=1).pred_probs
    ledger = errata.audit(labels=given, pred_probs=probs, embeddings=x)
    assert ledger.meta["method"] == "ensemble"
    found = ledger.vouched.at(int(ledger.issue.sum()))
    assert found["low"] < (given != y)[ledger.issue].mean() < found["high"] + 0.02
