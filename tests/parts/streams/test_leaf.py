"""What a leaf is made of, against River's own splitter, neighbours and regression."""

from __future__ import annotations

import numpy as np
import pytest

from errata.parts.streams.events import Past
from errata.parts.streams.leaf import Gaussians, Neighbours, Regressions, best_splits
from errata.parts.streams.merit import EMPTY, TOTAL, label_entropy, split_merit

river = pytest.importorskip("river")

from river import base, linear_model, neighbors, optim, tree  # noqa: E402


def past_of(x: np.ndarray) -> list:
    """The rows as events of a past that holds them all."""
    past = Past(len(x), scale=False)
    events = []
    for row in x.astype(np.float32):
        past.learn_scale(row)
        event = past.event(row)
        past.keep(event, ())
        events.append(event)
    return events


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_the_best_split_is_that_of_rivers_gaussian_splitters(missing):
    rng = np.random.default_rng(1)
    n, features, labels = 300, 5, 3
    x = rng.normal(size=(n, features)).astype(np.float32)
    y = x[:, :labels] + 0.3 * rng.normal(size=(n, labels)) > np.array([0.0, 0.5, 1.0])
    x[rng.random(x.shape) < missing] = np.nan
    ours, counts = Gaussians(), np.zeros(2 + labels)
    theirs = [tree.splitter.GaussianSplitter(n_splits=10) for _ in range(features)]
    for event, row in zip(past_of(x), y, strict=True):
        weight = float(1 + rng.poisson(1))
        names = [TOTAL, *(2 + np.flatnonzero(row)).tolist()] if row.any() else [TOTAL, EMPTY]
        ours.update(names, event, weight)
        counts[names] += weight
        for splitter, value in zip(theirs, event.x.tolist(), strict=True):
            for name in names if value == value else []:
                splitter.update(value, name, weight)

    class Merit:
        """Our merit on River's dictionaries."""

        def merit_of_split(self, pre, post):
            dense = np.zeros((2, 2 + labels))
            for side, found in enumerate(post):
                for name, count in found.items():
                    dense[side, name] = count
            return float(split_merit(counts, dense, 0.01))

    told = sorted(
        (s.best_evaluated_split_suggestion(Merit(), None, i, True) for i, s in enumerate(theirs)), reverse=True
    )
    best, second = best_splits(ours, counts, 10, 0.01)
    assert best.feature == told[0].feature
    assert best.threshold == pytest.approx(told[0].split_info, rel=1e-6)
    assert best.merit == pytest.approx(told[0].merit, rel=1e-5)
    assert second == pytest.approx(told[1].merit, rel=1e-5)


def test_the_best_split_does_not_depend_on_how_many_features_are_looked_at_together(monkeypatch):
    rng = np.random.default_rng(3)
    ours, counts = Gaussians(), np.zeros(3)
    for event in past_of(rng.normal(size=(200, 9))):
        rows = [TOTAL, 2 if event.x[4] + 0.5 * event.x[7] > 0 else EMPTY]
        ours.update(rows, event, 1.0)
        counts[rows] += 1
    whole, second = best_splits(ours, counts, 10, 0.01)
    monkeypatch.setattr("errata.parts.streams.leaf.CHUNK", 1)
    piece, again = best_splits(ours, counts, 10, 0.01)
    assert (whole.feature, whole.threshold, whole.merit, second) == (piece.feature, piece.threshold, piece.merit, again)
    assert whole.feature == 4


def test_a_split_of_nothing_is_none():
    assert best_splits(Gaussians(), np.zeros(3), 10, 0.01) == (None, -np.inf)


def test_neighbours_vote_as_rivers_do():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    sets = [tuple(np.flatnonzero(rng.random(3) < 0.4).tolist()) for _ in x]
    events = past_of(x)
    ours = Neighbours(4, 30)
    theirs = neighbors.KNNClassifier(n_neighbors=4, engine=neighbors.LazySearch(window_size=30))
    for event, labels in zip(events, sets, strict=True):
        ours.learn(event, labels)
        theirs.learn_one({i: float(v) for i, v in enumerate(event.x)}, labels)
    past = events[0].past
    for query in rng.normal(size=(20, 4)).astype(np.float32):
        votes = ours.votes(past.event(query))
        wanted = dict.fromkeys(range(3), 0.0)
        for labels, share in theirs.predict_proba_one({i: float(v) for i, v in enumerate(query)}).items():
            for label in labels:
                wanted[label] += share
        assert [votes.get(k, 0.0) for k in range(3)] == pytest.approx([wanted[k] for k in range(3)], abs=1e-4)


def test_what_the_past_has_forgotten_does_not_vote():
    past = Past(8, scale=False)
    neighbours = Neighbours(2, 100)
    for value in range(20):
        row = np.array([float(value)], dtype=np.float32)
        past.learn_scale(row)
        event = past.event(row)
        neighbours.learn(event, (value,))
        past.keep(event, (value,))
    assert set(neighbours.votes(past.event(np.zeros(1, dtype=np.float32)))) == {12, 13}
    assert len(neighbours.stamps) == 8


@pytest.mark.parametrize("zeros", [0.0, 0.8])
def test_a_regression_that_learns_each_event_once_is_rivers(zeros):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(80, 6)) * (rng.random((80, 6)) >= zeros)
    y = x[:, 0] - x[:, 1] > 0
    ours = Regressions(bags=3, rate=0.3)
    theirs = linear_model.LogisticRegression(optim.SGD(0.3))
    for event, label in zip(past_of(x), y.tolist(), strict=True):
        row = {i: float(v) for i, v in enumerate(event.x)}
        assert ours.proba(event, 1)[0] == pytest.approx(theirs.predict_proba_one(row)[True], abs=1e-4)
        ours.learn(event, 1, [0] if label else [], np.ones(3, dtype=np.float32))
        theirs.learn_one(row, label)
    assert isinstance(theirs, base.Classifier)


def test_entropies():
    assert label_entropy(np.array([10.0, 0.0, 10.0, 0.0])) == 0
    rng = np.random.default_rng(0)
    for _ in range(50):
        left, right = rng.integers(0, 20, size=(2, 5)).astype(float)
        left[TOTAL], right[TOTAL] = left[1:].max() + 5, right[1:].max() + 5
        assert split_merit(left + right, np.stack([left, right])) >= -1e-12  # the entropy is concave
