import numpy as np
import pytest
import torch

from errata.errors import DataError, ParameterError
from errata.scores.dynamics import SCORES, Trajectory, mixture_trust, trajectory_of


def recorded(epochs=6, n=40, k=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(k, 0.5), size=(epochs, n)), rng.integers(0, k, n)


def test_scores_are_what_their_papers_define():
    tables, given = recorded()
    seen = trajectory_of(iter(tables), given, early=2)
    at = np.arange(40)
    own = tables[:, at, given]
    logs = np.log(tables)
    rest = logs.copy()
    rest[:, at, given] = -np.inf
    margin = logs[:, at, given] - rest.max(2)
    right = margin > 0
    forgotten = (right[:-1] & ~right[1:]).sum(0)
    onehot = np.eye(5)[given]
    mean = np.cumsum(tables, axis=0) / np.arange(1, 7)[:, None, None]
    assert seen.score("aum") == pytest.approx(margin.mean(0), rel=1e-4, abs=1e-4)
    room = 1 - own.mean(1, keepdims=True)
    weighed = (room * margin).sum(0) / room.sum()
    assert seen.score("learning_margin") == pytest.approx(weighed, rel=1e-4, abs=1e-4)
    assert seen.score("belief") == pytest.approx(own.mean(0), abs=1e-5)
    assert seen.score("mean_loss") == pytest.approx(-np.log(own).mean(0), rel=1e-4)
    assert seen.score("el2n") == pytest.approx(np.linalg.norm(tables - onehot, axis=2)[:2].mean(0), abs=1e-4)
    assert (seen.score("forgetting") == np.where(right.any(0), forgotten, 6)).all()
    assert seen.score("agreement") == pytest.approx((mean.argmax(2) == given).mean(0))


def test_batches_in_any_order_give_the_same_sums():
    tables, given = recorded()
    whole = trajectory_of(tables, given)
    seen = Trajectory(40)
    rng = np.random.default_rng(0)
    for table in tables:
        for rows in np.array_split(rng.permutation(40), 7):
            logits = torch.from_numpy(np.log(table[rows])) + 3.0  # a constant on all logits changes nothing
            seen.observe(torch.from_numpy(rows), logits, torch.from_numpy(given[rows]))
    for name in ("aum", "belief", "mean_loss", "el2n", "forgetting"):
        assert seen.score(name) == pytest.approx(whole.score(name), rel=1e-4, abs=1e-4)


def test_a_sample_never_seen_has_no_score():
    seen = Trajectory(3)
    seen.observe(torch.tensor([1]), torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    for name in SCORES:
        assert np.isnan(seen.score(name)).tolist() == [True, False, True]
        assert np.isnan(seen.suspicion(name)[0])


def test_a_mixture_keeps_the_order_and_finds_the_share():
    rng = np.random.default_rng(0)
    wrong = rng.random(2000) < 0.25
    suspicion = np.where(wrong, rng.normal(4, 1, 2000), rng.normal(0, 1, 2000))
    suspicion[7] = np.nan
    trust, share = mixture_trust(suspicion)
    assert share == pytest.approx(0.25, abs=0.03)
    known = ~np.isnan(suspicion)
    assert np.isnan(trust[7])
    assert (np.diff(trust[known][np.argsort(suspicion[known])]) < 0).all()
    assert ((trust < 0.5) == wrong)[known].mean() > 0.95


def test_equal_suspicion_is_no_suspicion():
    trust, share = mixture_trust(np.zeros(10))
    assert share == 0
    assert trust.min() > 0.99


def test_what_does_not_fit_is_told():
    with pytest.raises(DataError, match="epoch 2 have shape"):
        trajectory_of([np.ones((2, 2)) / 2, np.ones((3, 2)) / 2], [0, 1])
    with pytest.raises(DataError, match="no epoch"):
        trajectory_of([], [0, 1])
    with pytest.raises(ParameterError, match="1 or more"):
        Trajectory(0)
    with pytest.raises(ParameterError, match="score must be"):
        Trajectory(1).score("auc")


def test_what_is_known_by_heart_does_not_drown_what_was_learned_first():
    rng = np.random.default_rng(0)
    wrong = np.arange(300) < 60
    early = np.where(wrong, 0.3, 0.7) + 0.05 * rng.normal(size=300)
    late = 1 - 10.0 ** -rng.uniform(2, 6, size=300)  # all labels are fitted, some more than others
    tables = [np.stack([p, 1 - p], axis=1) for p in (early, late, late, late)]
    seen = trajectory_of(tables, np.zeros(300, dtype=int))
    found = {name: wrong[np.argsort(seen.score(name))[:60]].mean() for name in ("aum", "learning_margin")}
    assert found["learning_margin"] > 0.95 > 0.6 > found["aum"]
