import numpy as np
import pytest

from errata.errors import DataError, MissingExtraError, UnknownNameError
from errata.scores import annotators
from errata.scores.annotators import Votes


@pytest.fixture
def crowd():
    """200 items, five careful people, five who guess, and one who always answers 0; with the truth."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    item, person = (grid.ravel() for grid in np.meshgrid(np.arange(200), np.arange(11), indexing="ij"))
    right = rng.random(len(item)) < np.where(person < 5, 0.9, 0.4)
    label = np.where(right, truth[item], rng.integers(0, 3, len(item)))
    label[person == 10] = 0
    return Votes(item, person, label, 200, 11, 3), truth


@pytest.mark.parametrize("aggregate", ["dawid-skene", "glad", "mace"])
def test_models_of_people_beat_the_majority(crowd, aggregate):
    pytest.importorskip("crowdkit")
    votes, truth = crowd
    majority = (annotators.majority_label(annotators.vote_counts(votes)) == truth).mean()
    found = annotators.consensus(votes, aggregate)
    assert found.shape == (200, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert (found.argmax(axis=1) == truth).mean() >= majority
    quality = annotators.annotator_quality(votes, found)
    assert quality[:5].min() > quality[5:].max()


@pytest.mark.parametrize("aggregate", ["majority", "dawid-skene", "glad", "mace"])
def test_the_names_of_codes_do_not_matter(crowd, aggregate):
    """Neither the order of items, people or labels, nor that of the votes."""
    pytest.importorskip("crowdkit")
    votes, _ = crowd
    rng = np.random.default_rng(1)
    keep = rng.permutation(len(votes.item))
    other = Votes(199 - votes.item[keep], votes.annotator[keep][::1], 2 - votes.label[keep], 200, 11, 3)
    first = annotators.consensus(votes, aggregate)
    second = annotators.consensus(other, aggregate)[::-1, ::-1]
    assert (first.argmax(axis=1) == second.argmax(axis=1)).mean() > 0.97


def test_an_item_without_a_vote_and_an_unseen_class_are_told_by_the_prior():
    pytest.importorskip("crowdkit")
    votes = Votes(np.array([0, 0, 2, 2]), np.array([0, 1, 0, 1]), np.array([1, 1, 2, 2]), 3, 2, 4)
    for aggregate in annotators.AGGREGATES:
        found = annotators.consensus(votes, aggregate)
        np.testing.assert_allclose(found.sum(axis=1), 1.0)
        assert found[1].tolist() == [0, 0.5, 0.5, 0]
        assert found.argmax(axis=1)[[0, 2]].tolist() == [1, 2]


def test_agreement_against_pairs_counted_one_by_one():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (20, 5))
    counts = np.stack([np.bincount(row, minlength=3) for row in labels])
    pairs = [(row[i] == row[j]) for row in labels for i in range(5) for j in range(i)]
    assert annotators.agreement(counts).mean() == pytest.approx(np.mean(pairs))
    assert np.isnan(annotators.krippendorff_alpha(np.array([[1, 0], [0, 1]])))
    assert np.isnan(annotators.krippendorff_alpha(np.array([[2, 0], [3, 0]])))


def test_another_opinion_is_worth_most_where_it_can_decide():
    probabilities = np.array([[0.5, 0.5], [0.8, 0.2], [1.0, 0.0]])
    good, bad = np.array([[0.9, 0.1], [0.1, 0.9]]), np.full((2, 2), 0.5)
    value = annotators.value_of_another(probabilities, good, block=2)
    assert value[0] > value[1] > value[2] == 0
    assert annotators.value_of_another(probabilities, bad).max() < 1e-12
    assert annotators.value_of_another(probabilities, np.eye(2))[0] == pytest.approx(1)


def test_what_cannot_be_is_refused(monkeypatch):
    one = np.array([0])
    with pytest.raises(DataError, match=r"label must lie in \[0, 1\]; vote 0 has 2"):
        Votes(one, one, np.array([2]), 1, 1, 2)
    with pytest.raises(DataError, match="one entry per vote"):
        Votes(one, np.array([0, 0]), one, 1, 1, 1)
    votes = Votes(np.array([0, 0]), np.array([0, 1]), np.array([0, 1]), 1, 2, 2)
    with pytest.raises(UnknownNameError, match="Did you mean 'dawid-skene'"):
        annotators.consensus(votes, "dawid_skene")
    monkeypatch.setitem(__import__("sys").modules, "crowdkit.aggregation.classification", None)
    with pytest.raises(MissingExtraError, match=r"errata\[crowd\]"):
        annotators.consensus(votes, "mace")


def misled(shared: float, seed: int = 0, items: int = 300, people: int = 11) -> tuple[Votes, np.ndarray]:
    """Votes of which a share of the items misleads everybody alike; else mistakes are independent."""
    rng = np.random.default_rng(seed)
    true = rng.integers(2, size=items)
    seen = np.where(rng.random(items) < shared, 1 - true, true)
    item, person = np.repeat(np.arange(items), people), np.tile(np.arange(people), items)
    label = np.where(rng.random(len(item)) < 0.7, seen[item], 1 - seen[item])
    # misleading items also divide people, as hard items do
    divided = (seen != true)[item] & (rng.random(len(item)) < 0.5)
    label = np.where(divided, rng.integers(2, size=len(item)), label)
    return Votes(item, person, label, items, people, 2), true


def test_people_misled_together_make_the_consensus_less_sure_and_no_other():
    pytest.importorskip("crowdkit")
    votes, true = misled(0.25)
    plain, cooled = (annotators.consensus(votes, temper=t) for t in (False, True))
    assert (plain.argmax(1) == cooled.argmax(1)).all()
    right = (plain.argmax(1) == true).mean()
    assert plain.max(1).mean() > right + 0.1
    assert abs(cooled.max(1).mean() - right) < abs(plain.max(1).mean() - right)
    votes, _ = misled(0.0)
    assert annotators.vote_temperature(votes, annotators.consensus(votes, temper=False)) < 1.3


def test_tempering_keeps_rows_probabilities():
    p = np.random.default_rng(0).dirichlet([0.3] * 4, size=50)
    for temperature in (1.0, 3.0, 50.0):
        found = annotators.tempered(p, temperature)
        np.testing.assert_allclose(found.sum(1), 1.0)
        assert (found.argmax(1) == p.argmax(1)).all()
    assert annotators.vote_temperature(Votes(*(np.empty(0, dtype=np.int64),) * 3, 2, 1, 2), p[:2, :2]) == 1.0
