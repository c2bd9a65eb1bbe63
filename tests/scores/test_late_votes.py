import numpy as np
import pytest

from errata.scores.annotators import Votes, consensus
from errata.scores.late_votes import brought_up_to_date, counted, posterior


def crowd(n=300, people=12, each=5, k=3, seed=0):
    """Simulated votes of people who are right to different degrees."""
    rng = np.random.default_rng(seed)
    true = rng.integers(k, size=n)
    skill = rng.uniform(0.4, 0.95, size=people)
    item = np.repeat(np.arange(n), each)
    annotator = np.concatenate([rng.choice(people, each, replace=False) for _ in range(n)])
    right = rng.random(n * each) < skill[annotator]
    label = np.where(right, true[item], rng.integers(k, size=n * each))
    return Votes(item, annotator, label, n, people, k), true


def test_counts_and_posterior_are_one_step_of_crowd_kits_model():
    pytest.importorskip("crowdkit")
    votes, _ = crowd()
    settled = consensus(votes, "dawid-skene", temper=False)
    again = posterior(votes, counted(votes, settled), settled.mean(axis=0))
    assert np.abs(again - settled).max() < 0.02  # it stops where its bound moves by less than 1e-5 a vote
    assert counted(votes, settled).sum() == pytest.approx(len(votes.item))


def test_without_late_votes_nothing_moves():
    votes, _ = crowd()
    before = np.random.default_rng(1).dirichlet(np.ones(3), size=300)
    assert (brought_up_to_date(votes, np.zeros(len(votes.item), dtype=bool), before) == before).all()


def test_only_items_with_late_votes_move_and_they_come_to_what_all_votes_say():
    pytest.importorskip("crowdkit")
    votes, true = crowd(n=600)
    late = (votes.item < 60) & (np.arange(len(votes.item)) % 5 >= 2)  # three of five votes of a tenth of the items
    early = Votes(votes.item[~late], votes.annotator[~late], votes.label[~late], 600, 12, 3)
    before = consensus(early, "dawid-skene", temper=False)
    after = brought_up_to_date(votes, late, before)
    assert (after[60:] == before[60:]).all()
    together = consensus(votes, "dawid-skene", temper=False)
    assert np.abs(after[:60] - together[:60]).mean() < 0.02
    assert (after[:60].argmax(1) == together[:60].argmax(1)).mean() > 0.96
    assert (after[:60].argmax(1) == true[:60]).mean() > (before[:60].argmax(1) == true[:60]).mean() + 0.05


def test_new_items_new_people_and_new_classes_start_from_their_votes():
    votes, true = crowd(n=200)
    wide = Votes(
        np.concatenate([votes.item, [200, 200, 200]]),
        np.concatenate([votes.annotator, [12, 13, 0]]),
        np.concatenate([votes.label, [3, 3, 3]]),
        201,
        14,
        4,
    )
    before = np.zeros((201, 4))
    before[np.arange(200), true] = 1.0
    after = brought_up_to_date(wide, np.arange(len(wide.item)) >= len(votes.item), before)
    assert after[200].argmax() == 3
    assert np.isfinite(after).all()
