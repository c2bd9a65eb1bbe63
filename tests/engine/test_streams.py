"""A stream from end to end: predicted before it is learned, written down, stopped and gone on with, loaded again."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest

river = pytest.importorskip("river")

from river import linear_model, metrics, multioutput  # noqa: E402

import errata  # noqa: E402
from errata.engine import streams  # noqa: E402
from errata.engine.stream_rows import Rows  # noqa: E402
from errata.errors import DataError, ErrataError, LoadError, ParameterError, UnknownNameError  # noqa: E402
from errata.parts.streams.prequential import Prequential  # noqa: E402
from errata.systems.streams.ihomer import IHomer  # noqa: E402


def events(n=300, seed=0, wrong=()):
    rng = np.random.default_rng(seed)
    for t in range(n):
        x = {f"f{i}": round(float(v), 6) for i, v in enumerate(rng.random(3))}
        y = {"low": x["f0"] < 0.5, "high": x["f0"] >= 0.5, "big": x["f1"] > 0.7}
        if t in wrong:
            y = {name: not there for name, there in y.items()}
        yield x, y


@pytest.fixture
def table(tmp_path):
    rows = [{**x, **{name: int(there) for name, there in y.items()}} for x, y in events()]
    path = tmp_path / "events.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


class Stopped(Exception):
    """In place of a power cut."""


def stopping(flow, at, error):
    for t, event in enumerate(flow):
        if t == at:
            raise error
        yield event


class Spy(IHomer):
    """Remembers in which order it was asked and taught."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def predict_one(self, x, **kwargs):
        self.calls.append(("predict", x["f0"]))
        return super().predict_one(x, **kwargs)

    def learn_one(self, x, y):
        self.calls.append(("learn", x["f0"]))
        super().learn_one(x, y)


def test_every_event_is_predicted_before_it_is_learned():
    model = Spy()
    streams.run(events(50), model, progress=False)
    wanted = [(what, x["f0"]) for x, _ in events(50) for what in ("predict", "learn")]
    assert model.calls == wanted


def test_figures_are_rivers():
    model = multioutput.ClassifierChain(linear_model.LogisticRegression())
    exact, micro = metrics.multioutput.ExactMatch(), metrics.multioutput.MicroAverage(metrics.F1())
    macro, other = metrics.multioutput.MacroAverage(metrics.F1()), model.clone()
    for x, y in events():
        said = {name: other.predict_one(x).get(name, False) for name in y}
        for metric in (exact, micro, macro):
            metric.update(y, said)
        other.learn_one(x, y)
    done = streams.run(events(), model, progress=False)
    assert done.metrics["subset_accuracy"] == pytest.approx(exact.get())
    assert done.metrics["micro_f1"] == pytest.approx(micro.get())
    assert done.metrics["macro_f1"] == pytest.approx(macro.get())


def test_lately_is_over_the_last_events():
    seen, last = Prequential(window=20), Prequential()
    rng = np.random.default_rng(0)
    for t in range(100):
        y = {f"l{i}": bool(rng.random() < 0.4) for i in range(4)}
        said = {f"l{i}": bool(rng.random() < 0.4) for i in range(4)}
        seen.update(y, said)
        if t >= 80:
            last.update(y, said)
    assert seen.lately() == {name: last.figures()[name] for name in ("subset_accuracy", "micro_f1")}
    again = Prequential.restored(json.loads(json.dumps(seen.state())))
    assert (again.figures(), again.lately()) == (seen.figures(), seen.lately())


def test_the_ledger_finds_labels_turned_around():
    wrong = set(range(150, 300, 15))
    done = streams.run(events(wrong=wrong), errata.system("ihomer")(), progress=False)
    ledger = done.ledger
    assert len(ledger) == 300
    assert ledger.kind.task == "streams"
    found = set(ledger.issues(budget=12).index)
    assert len(found & wrong) >= 8
    assert not ledger.issue[:100].any()
    assert (ledger.trust[:100] == 0.5).all()
    worst = ledger.table.loc[sorted(found & wrong)]
    assert (worst["given"] != worst["proposed"]).all()
    parts = ledger.parts
    assert set(parts.columns) >= {"row", "label", "given", "proposed", "trust", "issue", "rank"}
    assert (parts["given"] + parts["proposed"] == 1).all()
    assert set(parts["row"]) == set(np.flatnonzero(ledger.issue))
    assert (parts["trust"] < 0.2).all()
    assert [chart.title.split()[0] for chart in ledger.charts] == ["Label", "Clusters"]


def test_many_sets_become_columns_of_text():
    rng = np.random.default_rng(0)
    flow = [({"a": float(t)}, {f"l{i}": bool(v) for i, v in enumerate(rng.random(9) < 0.5)}) for t in range(250)]
    ledger = streams.run(flow, IHomer(), progress=False).ledger
    assert list(ledger.classes) == ["as labelled", "to correct"]
    names = ", ".join(name for name, there in flow[0][1].items() if there)
    assert ledger.table["given"].iloc[0] in (names, "as labelled")


def test_unknown_labels_are_no_ones_fault():
    flow = [(x, y if t % 3 else {}) for t, (x, y) in enumerate(events(200))]
    done = streams.run(flow, IHomer(), progress=False)
    bare = np.arange(200) % 3 == 0
    assert (done.ledger.given[bare] == -1).all()
    assert np.isnan(done.ledger.trust[bare]).all()
    assert done.metrics["events"] == 200


def test_train_saves_loads_and_predicts(tmp_path, table):
    done = errata.train(table, label=3, system="ihomer", out=tmp_path / "run", progress=False, n_min=50)
    assert done.about["hyperparameters"] == {"n_min": 50, "seed": 0}
    again = errata.Run.load(tmp_path / "run")
    assert again.metrics["subset_accuracy"] == done.metrics["subset_accuracy"]
    pd.testing.assert_frame_equal(again.ledger.table, done.ledger.table)
    assert again.model is None
    assert again.predict(table) == done.predict(table)
    new = [x for x, _ in events(20, seed=5)]
    assert again.predict(new) == done.predict(new)
    assert not (tmp_path / "run" / "snapshot.npz").exists()
    assert "Clusters of labels over time" in (tmp_path / "run" / "report.html").read_text()
    p = again.predict_proba(new)
    assert p.shape == (20, 3)
    assert [{n for n, v in zip(again.classes, row) if v > 0.5} for row in p] == [
        set(names) for names in done.predict(new)
    ]
    (tmp_path / "run" / "model.npz").unlink()  # as of a model that can't be stored
    assert errata.Run.load(tmp_path / "run").predict(new) == done.predict(new)
    table.write_text(table.read_text().replace("0.", "1.", 400))
    with pytest.raises(LoadError, match="not the one that was read before"):
        errata.Run.load(tmp_path / "run").predict(new)
    table.unlink()
    with pytest.raises(LoadError, match="not there any more"):
        errata.Run.load(tmp_path / "run").predict(new)


def test_a_run_needs_its_stream_no_longer(tmp_path, table):
    done = streams.train(table, label=3, out=tmp_path / "run", progress=False, n_min=50)
    told = pd.read_csv(table)
    table.unlink()
    again = errata.Run.load(tmp_path / "run")
    bare = told[["f2", "f0", "f1"]]  # in another order, and without labels
    assert again.predict(bare) == again.predict(told) == done.predict(told)
    again.save(tmp_path / "copy")
    assert errata.Run.load(tmp_path / "copy").predict(bare) == done.predict(told)
    assert again.missing(again.events(bare[["f0"]])) == ["f1", "f2"]
    with pytest.raises(DataError, match="none of the 3 features"):
        again.missing(again.events([{"g0": 1.0}]))
    for x, y in events(60, seed=8):  # it goes on learning as the one that was not stored
        done.model.learn_one(x, y)
        again.model.learn_one(x, y)
        assert done.model.predict_proba_one(x) == again.model.predict_proba_one(x)


def test_a_snapshot_holds_the_model(tmp_path):
    """What was learned before it is not learned again."""
    with pytest.raises(Stopped):
        streams.run(stopping(events(), 205, Stopped()), IHomer(), out=tmp_path, progress=False, snapshot_every=0)
    model = Spy()
    done = streams.run(events(), model, out=tmp_path, progress=False, resume=True)
    assert len(model.calls) == 2 * (300 - 192)  # the last snapshot was after 192
    whole = streams.run(events(), IHomer(), progress=False)
    pd.testing.assert_frame_equal(done.ledger.table, whole.ledger.table)


def test_arrays_are_streams_too():
    x = np.random.default_rng(0).random((150, 2))
    done = errata.train(x, (x > 0.5).astype(int), system="ihomer", progress=False)
    assert done.about["classes"] == ["label 0", "label 1"]
    with pytest.raises(DataError, match="row 3, column 1 holds 7"):
        errata.train(x, np.where(np.arange(300).reshape(150, 2) == 7, 7, 0), system="ihomer", progress=False)


@pytest.mark.parametrize("model", ["ihomer", "chain"])
def test_a_stopped_stream_ends_as_if_it_had_not_been_stopped(tmp_path, model):
    def fresh():
        if model == "ihomer":
            return IHomer(n_min=50, grace_period=50)
        return multioutput.ClassifierChain(linear_model.LogisticRegression())

    whole = streams.run(events(), fresh(), out=tmp_path / "whole", progress=False)
    with pytest.raises(Stopped):  # killed between two snapshots
        streams.run(stopping(events(), 205, Stopped()), fresh(), out=tmp_path / "a", progress=False, snapshot_every=0)
    flow = stopping(events(), 250, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):  # stopped by its user, and again
        streams.run(flow, fresh(), out=tmp_path / "a", progress=False, resume=True)
    done = streams.run(events(), fresh(), out=tmp_path / "a", progress=False, resume=True)
    pd.testing.assert_frame_equal(done.ledger.table, whole.ledger.table)
    pd.testing.assert_frame_equal(done.ledger.parts, whole.ledger.parts)
    assert done.history == whole.history
    different = {"seconds", "events_per_second"}
    assert {k: v for k, v in done.metrics.items() if k not in different} == {
        k: v for k, v in whole.metrics.items() if k not in different
    }
    x = next(events(1, seed=3))[0]
    assert done.model.predict_one(x) == whole.model.predict_one(x)


def test_resuming_refuses_another_stream_and_other_settings(tmp_path, table):
    def begin(**more):
        return streams.train(table, label=3, out=tmp_path / "a", progress=False, **more)

    about = {"system": "ihomer", "hyperparameters": {"seed": 0}}
    flow = stopping(events(), 200, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        streams.run(flow, IHomer(), out=tmp_path / "a", progress=False, about=about)
    with pytest.raises(LoadError, match="hyperparameters was"):
        streams.run(events(), IHomer(), out=tmp_path / "a", progress=False, resume=True, about={"system": "ihomer"})
    flow = events(seed=1)
    with pytest.raises(LoadError, match="expected the same first 200 events"):
        streams.run(flow, IHomer(), out=tmp_path / "a", progress=False, resume=True, about=about)
    with pytest.raises(ErrataError, match="already holds results"):
        begin()
    with pytest.raises(LoadError, match="has not finished"):
        errata.Run.load(tmp_path / "a")
    (tmp_path / "a" / "snapshot.npz").write_bytes(b"damaged")
    with pytest.raises(LoadError, match="is damaged"):
        streams.run(events(), IHomer(), out=tmp_path / "a", progress=False, resume=True)
    done = streams.train(table, label=3, out=tmp_path / "b", progress=False, events=50)
    assert len(done.ledger) == 50
    with pytest.raises(ErrataError, match="is finished"):
        streams.train(table, label=3, out=tmp_path / "b", progress=False, resume=True)


def test_a_snapshot_holds_the_rows(tmp_path):
    rows = Rows(warmup=0)
    for x, y in itertools.islice(events(), 40):
        rows.add(y, {"low": x["f0"], "über": 0.5}, 1)
    rows.save(tmp_path / "s.npz", {"position": 40})
    again, more, model = Rows.load(tmp_path / "s.npz")
    assert (more, model) == ({"position": 40}, None)
    again.warmup = 0
    pd.testing.assert_frame_equal(again.ledger({}).table, rows.ledger({}).table)
    pd.testing.assert_frame_equal(again.ledger({}).parts, rows.ledger({}).parts)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: streams.run([], IHomer()), DataError, "no events"),
        (lambda: streams.run(events(3), IHomer(), window=0), ParameterError, "window and events of 1 or more"),
        (lambda: streams.run(events(3), IHomer(), resume=True), ParameterError, "needs the folder"),
        (lambda: errata.train([], system="ihomer", n_mim=5), UnknownNameError, "Did you mean 'n_min'"),
        (lambda: errata.train([], system="ihomer", epochs=5), UnknownNameError, "epochs"),
    ],
)
def test_senseless_calls_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_a_name_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(LoadError, match="no run"):
        streams.load(tmp_path)
