"""iHOMER as a classifier of River's kind: River's own checks; what it promises of clusters, order, state, memory."""

from __future__ import annotations

import pickle
import random
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

river = pytest.importorskip("river")

from river import base, checks, datasets, multioutput, naive_bayes  # noqa: E402

import errata  # noqa: E402
from errata.errors import ParameterError, UnknownNameError  # noqa: E402
from errata.systems.streams.ihomer import IHomer  # noqa: E402

FEATURES, LABELS = 12, 6


def stream(events=600, seed=0, groups=((0, 1, 2), (3, 4, 5)), flips=0.02):
    """Labels that come in groups: a group is there, or not, by one feature; within it one label leaves at random."""
    rng = np.random.default_rng(seed)
    for _ in range(events):
        x = {f"f{i}": float(v) for i, v in enumerate(rng.random(FEATURES))}
        y = {f"l{i}": False for i in range(LABELS)}
        for number, group in enumerate(groups):
            if x[f"f{number}"] > 0.5:
                y.update({f"l{i}": True for i in group})
        for name in y:
            y[name] ^= bool(rng.random() < flips)
        yield x, y


class Music:
    """In place of River's data set of this name, which has to be downloaded: 72 numbers, 6 labels."""

    def __init__(self, events=593):
        self.events = events

    def take(self, n):
        return Music(min(n, self.events))

    def __iter__(self):
        rng = np.random.default_rng(7)
        for _ in range(self.events):
            v = rng.normal(size=72)
            yield {f"a{i}": float(a) for i, a in enumerate(v)}, {f"m{k}": bool(v[k] + v[k + 1] > 0.4) for k in range(6)}


MODELS = {
    "defaults": {},
    "often": {"n_min": 10, "warmup": 10, "grace_period": 10, "delta": 0.9, "drift_window_threshold": 5, "tau": 0.9},
    "forgetting": {"n_min": 20, "warmup": 0, "cluster_window": 40, "cluster_decay": 0.98, "partition": "learned"},
    "released": {"distance": "pearson", "n_min": 20},
}


@pytest.fixture
def music(monkeypatch):
    monkeypatch.setattr(datasets, "Music", Music)
    random.seed(0)


@pytest.mark.parametrize("which", MODELS)
def test_rivers_own_checks(music, which):
    model = IHomer(**MODELS[which])
    assert isinstance(model, base.MultiLabelClassifier)
    count = 0
    for check in checks.yield_checks(model):
        check(model.clone())
        count += 1
    assert count > 20


def test_the_groups_are_found_and_each_has_a_model():
    model = IHomer(n_min=50)
    for x, y in stream():
        model.learn_one(x, y)
    assert model.clusters == [["l0", "l1", "l2"], ["l3", "l4", "l5"]]
    assert sorted(model.labels) == [f"l{i}" for i in range(LABELS)]


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"replay": 0, "inherit": False}, {"partition": "each"}])
def test_it_learns(options):
    model, right = IHomer(n_min=50, **options), []
    for x, y in stream(900, groups=((0, 1), (2, 3), (4, 5)), flips=0.0):
        right.append(model.predict_one(x) == y)
        model.learn_one(x, y)
    assert np.mean(right[:50]) < 0.35
    assert np.mean(right[-200:]) > 0.4  # an eighth by chance; nine of the twelve features say nothing to the neighbours


def test_predicting_changes_nothing_and_the_same_seed_gives_the_same():
    asked, silent, other = IHomer(n_min=40), IHomer(n_min=40), IHomer(n_min=40, seed=1)
    for x, y in stream(400):
        asked.predict_one(x)
        asked.predict_proba_one(x)
        for model in (asked, silent, other):
            model.learn_one(x, y)
    differs = 0
    for x, _ in stream(50, seed=9):
        assert asked.predict_proba_one(x) == silent.predict_proba_one(x)
        differs += asked.predict_proba_one(x) != other.predict_proba_one(x)
    assert asked.clusters == silent.clusters
    for mine, theirs in zip(asked._locals, silent._locals, strict=True):
        for one, two in zip(mine.tree.leaves(), theirs.tree.leaves(), strict=True):
            np.testing.assert_array_equal(one.regressions.w, two.regressions.w)


def test_a_pickled_model_goes_on_as_the_model_itself():
    events = list(stream(300))
    model = IHomer(n_min=40, grace_period=50, delta=0.5)
    for x, y in events[:200]:
        model.learn_one(x, y)
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own
    for x, y in events[200:]:
        assert copy.predict_proba_one(x) == model.predict_proba_one(x)
        copy.learn_one(x, y)
        model.learn_one(x, y)


def test_probabilities_and_predictions_agree():
    model = IHomer(n_min=40)
    for x, y in stream(300):
        said, told = model.predict_one(x), model.predict_proba_one(x)
        assert list(said) == list(told)
        for label, p in told.items():
            assert p[True] + p[False] == pytest.approx(1)
            assert 0 <= p[True] <= 1
            assert said[label] == (p[True] > 0.5)
        model.learn_one(x, y)


def test_labels_and_features_may_appear_at_any_time():
    model = IHomer(n_min=20, warmup=20)
    for t, (x, y) in enumerate(stream(200)):
        x["colour"] = "red" if y["l0"] else "blue"
        if t < 100:
            x.pop("f3")
            y = {name: there for name, there in y.items() if name < "l4"}
        if t % 7 == 0:
            x["f2"] = None
        model.predict_one(x)
        model.learn_one(x, y)
        assert sorted(chain.from_iterable(model.clusters)) == sorted(model.labels)
    assert len(model.labels) == LABELS


def test_a_model_is_kept_where_its_labels_stay():
    model = IHomer(n_min=50)
    kept = []
    for x, y in stream(800):
        model.learn_one(x, y)
        kept.append({tuple(local.labels): id(local) for local in model._locals})
    for before, after in pairwise(kept):
        for labels in before.keys() & after.keys():
            assert before[labels] == after[labels]
    assert len(kept[0]) == 1
    assert len(kept[-1]) == 2


def test_a_new_cluster_begins_with_the_last_events():
    fresh, warm = IHomer(n_min=100, replay=0), IHomer(n_min=100, replay=80)
    for x, y in stream(100):
        fresh.learn_one(x, y)
        warm.learn_one(x, y)
    assert [local.tree.root.weight for local in fresh._locals] < [local.tree.root.weight for local in warm._locals]
    assert all(len(local.tree.root.neighbours.stamps) == 81 for local in warm._locals)


@given(st.integers(0, 50), st.integers(1, 4))
@settings(max_examples=10, deadline=None)
def test_fixed_clusters_are_used_as_they_are_given(seed, size):
    names = [f"l{i}" for i in np.random.default_rng(seed).permutation(LABELS)]
    given_ = (tuple(names[:size]),)
    model = IHomer(partition=given_)
    for x, y in stream(130, seed):
        model.learn_one(x, y)
    assert {frozenset(c) for c in model.clusters} == {frozenset(names[:size]), frozenset(names[size:])}
    each, one = IHomer(partition="each"), IHomer(partition="one")
    for x, y in stream(3, seed):
        each.learn_one(x, y)
        one.learn_one(x, y)
    assert (len(each.clusters), len(one.clusters)) == (LABELS, 1)


def test_rivers_models_serve_as_the_models_of_clusters():
    local = multioutput.MultiClassEncoder(naive_bayes.GaussianNB())
    model, right = IHomer(n_min=50, model=local), []
    for x, y in stream(500, flips=0.0):
        right.append(model.predict_one(x) == y)
        model.learn_one(x, y)
    assert len(model.clusters) == 2
    assert np.mean(right[-150:]) > 0.8
    assert model.clone().model is not model.model


def test_memory_stays_bounded_whatever_the_length():
    model = IHomer(n_min=50, memory=100, replay=50, window_size=50, grace_period=50, max_size=0.5, delta=0.5)
    sizes = []
    for x, y in stream(1500, flips=0.2):
        model.learn_one(x, y)
        sizes.append(sum(leaf.nbytes for local in model._locals for leaf in local.tree.leaves()))
    assert len(model._past.raw) <= 100
    assert max(sizes) < 1.2 * 0.5 * 2**20
    assert len(pickle.dumps(model)) < 2_000_000


def test_drift_within_a_tree_swaps_in_an_alternate():
    """What two labels depend on turns around; the tree's error rises, and a tree grown since then takes over."""
    model = IHomer(
        partition="one", grace_period=50, delta=0.1, tau=0.5, n_models=1, memory=200, drift_window_threshold=50
    )
    rng = np.random.default_rng(0)
    for t in range(4000):
        x = {f"f{i}": float(v) for i, v in enumerate(rng.random(3))}
        first = (x["f0"] > 0.5) ^ (t > 2000)
        model.learn_one(x, {"a": first, "b": not first})
    tree = model._locals[0].tree
    assert tree.swapped >= 1
    right = 0
    for _ in range(100):
        x = {f"f{i}": float(v) for i, v in enumerate(rng.random(3))}
        right += model.predict_one(x)["a"] == (not x["f0"] > 0.5)
    assert right > 90


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n_min": 0}, "n_min must be 1 or more; got 0"),
        ({"memory": 0}, "memory must be"),
        ({"replay": -1}, "replay must be 0 or more"),
        ({"delta": 0}, "delta and switch_significance"),
        ({"confidence_level": 1}, "confidence_level must be"),
    ],
)
def test_senseless_options_are_refused(options, says):
    with pytest.raises(ParameterError, match=says):
        IHomer(**options)


@pytest.mark.parametrize("option", ["distance", "partition", "alternate"])
def test_unknown_choices_are_told_with_what_there_is(option):
    with pytest.raises(UnknownNameError, match="Known"):
        IHomer(**{option: "nosuch"})


def test_it_is_found_by_its_slug():
    assert errata.system("ihomer") is IHomer
