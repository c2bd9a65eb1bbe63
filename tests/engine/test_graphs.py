"""The room of graphs: training, the ledger, saving and loading, resuming, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import errata
from errata import noise
from errata.data.graphs import read
from errata.engine import graphs as room
from errata.errors import DataError, ErrataError, LoadError, ParameterError, UnknownNameError

pytest.importorskip("torch_geometric", reason="needs PyTorch Geometric: pip install 'errata[graphs]'")

SMALL = {"width": 8, "hidden": 8, "heads": 2, "device": "cpu", "progress": False}


def blocks(n: int = 90, seed: int = 0):
    """(x, edges, y): communities of three classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    chance = np.where(y[:, None] == y[None, :], 0.2, 0.02)
    edges = np.argwhere(np.triu(rng.random((n, n)) < chance, 1)).T
    return rng.normal(size=(n, 5)) + 1.5 * np.eye(3, 5)[y], edges, y


@pytest.fixture(scope="module")
def problem():
    x, edges, y = blocks()
    given = y.astype(float)
    given[60:] = np.nan
    given[:60] = noise.symmetric(y[:60], 0.2, 3, seed=1)
    return x, edges, y, given


@pytest.fixture(scope="module")
def run(problem):
    x, edges, _, given = problem
    return errata.train(x, given, edges=edges, system="erase", epochs=30, lr=0.01, validation=0.1, seed=3, **SMALL)


def test_every_node_has_a_row_that_speaks_of_nodes(run, problem):
    ledger = run.ledger
    assert len(ledger) == 90
    assert ledger.kind.rows == "nodes"
    assert (ledger.given[60:] == -1).all()
    assert np.isnan(ledger.trust[60:]).all()
    assert (ledger.proposed >= 0).all()
    assert set(ledger.columns) == {"neighbours", "held_out"}
    assert ledger.columns["held_out"].sum() == 6


def test_wrong_labels_are_trusted_less(run, problem):
    _, _, y, given = problem
    wrong = given[:60] != y[:60]
    assert run.ledger.trust[:60][wrong].mean() < run.ledger.trust[:60][~wrong].mean() - 0.2


def test_the_ledger_has_the_course_of_agreement(run):
    (chart,) = run.ledger.charts
    assert set(chart.series) == {"training labels", "held-out labels"}
    assert len(chart.series["training labels"][0]) == 30
    assert all(0 <= value <= 1 for value in chart.series["training labels"][1])


def test_it_predicts_every_node_and_is_measured_on_right_labels(run, problem):
    x, edges, y, _ = problem
    graph = read(x, y, edges=edges)
    assert run.predict(graph).shape == (90,)
    np.testing.assert_allclose(run.predict_proba(graph).sum(1), 1, rtol=1e-5)
    assert run.evaluate(graph)["accuracy"] > 0.8


def test_another_graph_with_the_same_features_is_predicted(run):
    x, edges, y = blocks(60, seed=9)
    assert (run.predict(x, edges=edges) == y).mean() > 0.7


def test_the_test_nodes_are_measured_and_never_trained_on(problem):
    from types import SimpleNamespace

    x, edges, y, _ = problem
    train, test = np.arange(90) < 45, np.arange(90) >= 60
    found = []
    for labels in (y, np.where(test, (y + 1) % 3, y)):  # test labels don't reach the training
        graph = SimpleNamespace(x=x, edge_index=edges, y=labels, train_mask=train, test_mask=test)
        plain = {"epochs": 30, "lr": 0.03, "hidden": 8, "heads": 2, "device": "cpu", "progress": False}
        found.append(errata.train(graph, system="gnn-ce", **plain))
    first, second = found
    assert first.metrics["test_nodes"] == 30
    assert first.metrics["test_accuracy"] > second.metrics["test_accuracy"]
    assert first.metrics["train_loss"] == second.metrics["train_loss"]
    assert (first.ledger.proposed == second.ledger.proposed).all()


def test_saved_and_loaded_it_predicts_the_same(run, problem, tmp_path):
    x, edges, _, _ = problem
    run.save(tmp_path / "run")
    again = errata.Run.load(tmp_path / "run", device="cpu")
    np.testing.assert_array_equal(again.predict_proba(x, edges=edges), run.predict_proba(x, edges=edges))
    assert again.metrics["trained_on"] == 54
    assert again.ledger.charts
    page = (tmp_path / "run" / "report.html").read_text()
    assert "data:image/png;base64" in page
    assert "Agreement with the given labels" in page


def test_the_best_epoch_by_held_out_labels_can_be_selected(run):
    assert run.metrics["selected"] == "last"
    assert set(run.weights) == {"last", "best"}
    assert run.select("best").metrics["selected"] == "best"
    run.select("last")


def test_the_same_seed_gives_the_same_ledger(problem):
    x, edges, _, given = problem
    first, second = (
        errata.train(x, given, edges=edges, system="erase", epochs=4, seed=5, **SMALL).ledger for _ in range(2)
    )
    np.testing.assert_array_equal(first.trust, second.trust)


def test_an_audit_is_a_training_run(problem):
    x, edges, _, given = problem
    ledger = errata.audit(
        x, given, method="gnn-ce", edges=edges, epochs=3, hidden=8, heads=2, device="cpu", progress=False
    )
    assert ledger.meta["method"] == "gnn-ce"
    assert len(ledger) == 90


def test_rows_without_edges_are_linked_by_likeness(problem):
    x, _, _, given = problem
    run = errata.train(x, given, system="erase", model="gcn", knn=4, epochs=3, **SMALL)
    assert run.metrics["edges"] >= 180
    assert run.about["model"]["kwargs"]["conv"] == "gcn"
    assert run.about["reading"] == {"knn": 4}


class TestResuming:
    def test_stopped_and_resumed_it_ends_the_same(self, problem, tmp_path):
        x, edges, _, given = problem
        options = {"edges": edges, "system": "erase", "seed": 2, "validation": 0.1, **SMALL}
        whole = errata.train(x, given, epochs=6, **options)
        errata.train(x, given, epochs=3, out=tmp_path / "run", **options)
        resumed = errata.train(x, given, epochs=6, out=tmp_path / "run", resume=True, **options)
        np.testing.assert_array_equal(resumed.ledger.trust, whole.ledger.trust)
        np.testing.assert_array_equal(resumed.predict_proba(x, edges=edges), whole.predict_proba(x, edges=edges))
        assert [r["epoch"] for r in resumed.history] == [1, 2, 3, 4, 5, 6]

    def test_killed_and_resumed_it_ends_the_same(self, tmp_path):
        x, edges, y = blocks()
        np.savez(tmp_path / "g.npz", x=x, edge_index=edges, y=y)
        code = (
            "import errata, sys; errata.train('g.npz', system='erase', epochs=int(sys.argv[1]), seed=1, width=8, "
            "hidden=8, heads=2, device='cpu', progress=False, out='run')"
        )
        source = os.path.dirname(os.path.dirname(errata.__file__))
        process = subprocess.Popen(
            [sys.executable, "-c", code, "100000"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": source}
        )
        checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
        until = time.monotonic() + 120
        while not checkpoint.exists() and time.monotonic() < until and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises(LoadError, match="has not finished"):
            errata.Run.load(tmp_path / "run")
        done = torch.load(checkpoint, weights_only=True)["errata_run"]["epochs_done"]
        options = {"system": "erase", "seed": 1, **SMALL, "epochs": done + 2}
        resumed = errata.train(tmp_path / "g.npz", out=tmp_path / "run", resume=True, **options)
        whole = errata.train(tmp_path / "g.npz", **options)
        np.testing.assert_array_equal(resumed.ledger.trust, whole.ledger.trust)

    @pytest.mark.parametrize(
        ("change", "told"),
        [({"edges": [[0, 1], [1, 2]]}, "the data was"), ({"alpha": 0.5}, "alpha was 0.6, now it is 0.5")],
    )
    def test_another_graph_or_setting_is_refused(self, problem, tmp_path, change, told):
        x, edges, _, given = problem
        options = {"edges": edges, "system": "erase", "epochs": 2, **SMALL}
        errata.train(x, given, out=tmp_path / "run", **options)
        with pytest.raises(LoadError, match=told):
            errata.train(x, given, out=tmp_path / "run", resume=True, **{**options, "epochs": 3, **change})

    def test_a_taken_folder_is_not_written(self, problem, tmp_path):
        x, edges, _, given = problem
        (tmp_path / "metrics.json").write_text("{}")
        with pytest.raises(ErrataError, match=r"already holds results \(metrics.json\)"):
            errata.train(x, given, edges=edges, system="erase", out=tmp_path, **SMALL)


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"devices": 2}, ParameterError, "nothing to divide; got devices=2"),
        ({"model": "gatt"}, UnknownNameError, "Did you mean 'gat'"),
        ({"alhpa": 0.5}, UnknownNameError, "Did you mean 'alpha'"),
        ({"batch_size": 7}, UnknownNameError, "named 'batch_size'"),
        ({"select": "best"}, ParameterError, "needs held-out labels"),
        ({"validation": 1.0}, ParameterError, "validation must be a share"),
        ({"seed": -1}, ParameterError, "seed must be a whole number"),
        ({"system": "gnn-ce"}, ParameterError, "width= is for systems with an encoder"),
        ({"heads": 3}, ParameterError, "multiple of heads"),
    ],
)
def test_nonsense_is_refused_before_anything_is_trained(problem, options, error, told):
    x, edges, _, given = problem
    with pytest.raises(error, match=told):
        errata.train(x, given, **{"edges": edges, "system": "erase", **SMALL, **options})


@pytest.mark.parametrize(
    ("y", "told"), [(np.zeros(90), "hold 1: 0"), (np.full(90, np.nan), "no label at all"), (np.zeros(5), "5 labels")]
)
def test_labels_that_can_not_be_learned_are_refused(problem, y, told):
    x, edges, _, _ = problem
    with pytest.raises(DataError, match=told):
        errata.train(x, y, edges=edges, system="erase", **SMALL)


def test_a_network_of_ones_own_needs_itself_to_be_loaded(problem, tmp_path):
    from errata.testing.graphs import NeighbourMean

    x, edges, _, given = problem
    x = np.concatenate([x, x[:, :1]], 1)
    plain = {"edges": edges, "epochs": 2, "device": "cpu", "progress": False}
    run = errata.train(x, given, system="erase", model=NeighbourMean(), out=tmp_path / "run", **plain)
    with pytest.raises(LoadError, match="a network of your own \\(NeighbourMean\\)"):
        errata.Run.load(tmp_path / "run")
    again = errata.Run.load(tmp_path / "run", model=NeighbourMean(), device="cpu")
    np.testing.assert_array_equal(again.predict_proba(x, edges=edges), run.predict_proba(x, edges=edges))


def test_what_is_no_system_for_graphs_is_told():
    with pytest.raises(ParameterError, match=r"a system for graphs \(gnn-ce, erase\)"):
        room.train(np.eye(3), [0, 1, 0], edges=[[0], [1]], system="ce")


def test_the_description_is_plain_json(run, tmp_path):
    about = json.loads((run.save(tmp_path / "again") / "run.json").read_text())
    assert about["task"] == "graphs"
    assert about["hyperparameters"]["alpha"] == 0.6
    assert (about["nodes"], about["finished"]) == (90, True)


def test_the_review_shows_what_a_node_is_linked_with(tmp_path):
    from errata.review.content import Content

    x, edges, y = blocks()
    np.savez(tmp_path / "g.npz", x=x, edge_index=edges, y=y, train_mask=np.arange(90) < 60)
    run = errata.train(tmp_path / "g.npz", system="erase", epochs=2, out=tmp_path / "run", **SMALL)
    content = Content(errata.Ledger.load(tmp_path / "run"), tmp_path / "run")
    content.read()
    assert content.state == "ready", content.said
    assert "without a label" in content.look(75).values["neighbours"] or "'" in content.look(75).values["neighbours"]
    assert run.metrics["labelled"] == 60


def clustered(nodes=400, seed=0):
    """Nodes of two kinds, linked within their kind mostly; a tenth of them labelled."""
    rng = np.random.default_rng(seed)
    y = np.arange(nodes) % 2
    pairs = rng.integers(0, nodes, size=(2, 8 * nodes))
    pairs = pairs[:, (y[pairs[0]] == y[pairs[1]]) | (rng.random(8 * nodes) < 0.1)]
    labels = np.where(rng.random(nodes) < 0.1, y.astype(float), np.nan)
    return rng.normal(size=(nodes, 4)) + y[:, None], y, labels, pairs


@pytest.mark.parametrize("conv", ["gat", "gcn"])
def test_a_graph_in_parts(tmp_path, conv):
    """Steps of a few nodes learn as the whole graph does, and predict what one pass would."""
    x, y, labels, edges = clustered()
    options = {"system": "gnn-ce", "edges": edges, "hidden": 8, "heads": 2, "dropout": 0.0, "device": "cpu"}
    run = errata.train(
        x, labels, model=conv, batch_nodes=64, fanout=[5, 5], epochs=12, out=tmp_path, progress=False, **options
    )
    assert (run.predict(x, edges=edges).astype(float) == y).mean() > 0.9
    assert len(run.ledger) == 400
    assert (run.ledger.proposed >= 0).all()  # nodes without a label too
    again = errata.Run.load(tmp_path)
    p = again.predict_proba(x, edges=edges)
    again.about.pop("batch_nodes")
    np.testing.assert_allclose(again.predict_proba(x, edges=edges), p, atol=1e-5)


def test_a_graph_in_parts_goes_on_where_it_was_stopped(tmp_path):
    x, _, labels, edges = clustered(120)
    options = {"system": "gnn-ce", "edges": edges, "hidden": 8, "heads": 2, "device": "cpu", "progress": False}
    parts = {"batch_nodes": 50, "fanout": (3, 3), "validation": 0.2}
    whole = errata.train(x, labels, epochs=4, **parts, **options)
    errata.train(x, labels, epochs=2, out=tmp_path, **parts, **options)
    resumed = errata.train(x, labels, epochs=4, out=tmp_path, resume=True, **parts, **options)
    assert (resumed.ledger.trust[~np.isnan(labels)] == whole.ledger.trust[~np.isnan(labels)]).all()
    with pytest.raises(errata.errors.ErrataError, match="takes the whole graph"):
        errata.train(x, labels, batch_nodes=50, **{**options, "system": "erase"})
