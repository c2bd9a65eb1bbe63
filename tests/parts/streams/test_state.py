"""A model as JSON and arrays: what comes back is the same, and nothing but data is read."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np
import pytest

pytest.importorskip("river")

from river import linear_model, multioutput, stats

from errata.errors import LoadError
from errata.parts.streams import state
from errata.systems.streams.ihomer import IHomer


class Node:
    def __init__(self, **own):
        vars(self).update(own)


def there_and_back(thing, tmp_path):
    state.write(tmp_path / "a.npz", *state.pack(thing, {"node": Node}))
    return state.unpack(*state.read(tmp_path / "a.npz"), {"node": Node})


def test_values_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(3)
    rng.random(5)
    thing = {
        "plain": [None, True, 3, 2.5, "ü", float("nan"), 10**30],
        ("a", 1): {(1, 2), (3,)},
        "queue": deque([(1,), (2,)], maxlen=3),
        "counter": Counter({3: 2}),
        "arrays": [np.arange(6, dtype=np.float32).reshape(2, 3), np.asfortranarray(np.eye(3)), np.zeros((0, 4))],
        "number": np.float32(0.1),
        "bytes": b"\x00\xff",
        "rng": rng,
    }
    again = there_and_back(thing, tmp_path)
    assert repr(again["plain"]) == repr(thing["plain"])
    for name in (("a", 1), "queue", "counter", "number", "bytes"):
        assert again[name] == thing[name]
        assert type(again[name]) is type(thing[name])
    assert again["queue"].maxlen == 3
    for one, other in zip(again["arrays"], thing["arrays"], strict=True):
        assert one.dtype == other.dtype
        assert one.flags.f_contiguous == other.flags.f_contiguous
        np.testing.assert_array_equal(one, other)
    assert again["rng"].random() == rng.random()


def test_what_is_shared_stays_shared_however_deep(tmp_path):
    bottom = node = Node(value=1)
    for depth in range(5000):
        node = Node(child=node, bottom=bottom, depth=depth)
    node.itself = node
    again = there_and_back(node, tmp_path)
    assert again.itself is again
    found = again
    while hasattr(found, "child"):
        found = found.child
    assert found is again.bottom


@pytest.mark.parametrize("thing", [print, Node, object(), np.array([object()]), {"a": stats.Var()}])
def test_only_data_are_written(thing):
    with pytest.raises(TypeError):
        state.pack(thing, {"node": Node})


@pytest.mark.parametrize(
    "told",
    [
        {"root": ["object", 0], "objects": [["os.system", {}]]},
        {"root": ["object", 5], "objects": []},
        {"root": ["eval", "1"], "objects": []},
        {"root": ["array", "<f8", 0, [10**9], "C"], "objects": []},
        {"root": ["bytes", 0, 99], "objects": []},
        {"root": ["generator", {"bit_generator": "MT"}], "objects": []},
        {"root": 3},
        [],
    ],
)
def test_what_does_not_fit_is_refused(told):
    with pytest.raises(LoadError, match="does not fit together"):
        state.unpack(told, {"<f8": np.zeros(3), "|u1": np.zeros(3, np.uint8)}, {"node": Node})


def test_pickles_in_a_file_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", told=np.array([Node()], dtype=object))
    with pytest.raises(LoadError, match="damaged"):
        state.read(tmp_path / "a.npz")
    with pytest.raises(LoadError, match="damaged"):
        state.read(tmp_path / "none.npz")


# -- iHOMER -----------------------------------------------------------------------------------------------------------


def events(n, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        x = {f"f{i}": float(v) for i, v in enumerate(rng.random(4))} | {
            "colour": "red" if rng.random() < 0.5 else "blue"
        }
        y = {"a": x["f0"] > 0.5, "b": x["f0"] > 0.4, "c": x["colour"] == "red", "d": x["f1"] > 0.7, "e": x["f1"] > 0.8}
        yield x, y


SETTINGS = {"n_min": 50, "grace_period": 40, "drift_window_threshold": 50, "max_depth": 3}


def grown():
    model = IHomer(**SETTINGS)
    for x, y in events(700):
        model.predict_one(x)
        model.learn_one(x, y)
    return model


def test_ihomer_goes_on_as_if_it_had_not_been_stored(tmp_path):
    model = grown()
    state.write(tmp_path / "m.npz", *model.state())
    again = IHomer(**SETTINGS)
    assert again.restore(*state.read(tmp_path / "m.npz"))
    assert again.clusters == model.clusters
    assert len(model.clusters) > 1
    assert again.features == ["colour", "f0", "f1", "f2", "f3"]
    for x, y in events(300, seed=1):
        assert again.predict_proba_one(x) == model.predict_proba_one(x)
        again.learn_one(x, y)
        model.learn_one(x, y)
    assert again.clusters == model.clusters


def test_ihomer_with_anothers_model_is_not_stored():
    model = IHomer(model=multioutput.ClassifierChain(linear_model.LogisticRegression()))
    for x, y in events(5):
        model.learn_one({name: value for name, value in x.items() if name != "colour"}, y)
    assert model.state() is None


def test_states_of_others_are_refused():
    told, arrays = grown().state()
    other = IHomer(**SETTINGS)
    assert not other.restore({**told, "river": "0.1"}, arrays)
    assert other.labels == []
    assert other.restore({**told, "river": "0.1"}, arrays, exactly=False)
    with pytest.raises(LoadError, match="not one of iHOMER"):
        other.restore({**told, "root": ["dict"]}, arrays)


def test_damaged_drift_detectors_hinder_learning_only():
    model = grown()
    told, arrays = model.state()
    again = IHomer(**SETTINGS)
    again.restore(told, {**arrays, "|u1": np.full_like(arrays["|u1"], 255)})
    x, y = next(events(1, seed=5))
    assert again.predict_proba_one(x) == model.predict_proba_one(x)
    with pytest.raises(LoadError, match="drift detectors"):
        again.learn_one(x, y)
