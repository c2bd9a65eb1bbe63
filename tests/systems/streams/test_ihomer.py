"""iHOMER as a classifier of River's kind: River's own checks, and what it promises of clusters, order, state and memory."""

from __future__ import annotations

import pickle
import random

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
