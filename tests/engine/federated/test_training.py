"""Federations in this process: rounds, ledgers that stay with their clients, folders, and going on after a stop."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

import errata
from errata.data.clients import read_clients
from errata.engine.federated.client import Client, folder_names
from errata.engine.federated.federation import Federation
from errata.engine.federated.simulator import simulate
from errata.engine.federated.training import _clients, server_share, spec_for, train
from errata.errors import DataError, ErrataError, LoadError, ParameterError, UnknownNameError

FEW = {"tau": 5, "tau_prime": 5, "model": {"name": "mlp", "hidden": [16]}, "progress": False, "device": "cpu"}


def blobs(rows=240, classes=3, wrong=0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    x = rng.normal(size=(rows, 4)) + 3.0 * np.eye(4)[y]
    given = y.copy()
    if wrong:
        odd = rng.choice(rows, wrong, replace=False)
        given[odd] = (given[odd] + 1) % classes
    return x, given, y


def same(left, right):
    return all(torch.equal(left[k], right[k]) for k in left)


def state(run):
    return {k: v for k, v in run.system.state_dict().items() if k.startswith("model.")}


@pytest.mark.parametrize("system", ["fedlabel", "fedavg"])
def test_it_learns_and_every_client_has_a_ledger_of_its_own(system, tmp_path):
    x, given, _ = blobs()
    own = FEW if system == "fedlabel" else {k: v for k, v in FEW.items() if k != "tau_prime"}
    options = {"clients": 4, "rounds": 8, "labelled": 0.3, "alpha": 1.0, "eta": 0.1, **own}
    run = train(x, given, system=system, out=tmp_path / "run", **options)
    assert run.metrics["test_accuracy"] > 0.8
    assert len(run.history) == 8
    folders = sorted(p.name for p in (tmp_path / "run" / "clients").iterdir())
    assert folders == [f"client-{i}" for i in range(1, 5)]
    rows = []
    for folder in folders:
        ledger = errata.Ledger.load(tmp_path / "run" / "clients" / folder)
        assert ledger.kind.task == "federated"
        assert set(ledger.columns["client"]) == {folder}
        assert np.isnan(ledger.trust[ledger.given < 0]).all()
        assert (ledger.proposed >= 0).all()
        rows += ledger.index.tolist()
    assert len(rows) == len(set(rows)) == len(run.ledger) == 204
    assert ("pseudo_label" in run.ledger.columns) == (system == "fedlabel")


def test_the_servers_folder_says_nothing_about_a_single_row(tmp_path):
    x, given, _ = blobs()
    train(x, given, clients=3, rounds=2, labelled=0.5, out=tmp_path / "run", **FEW)
    whole = errata.Ledger.load(tmp_path / "run")
    assert len(whole) == 3
    assert whole.kind.rows == "clients"
    assert [chart.title for chart in whole.charts][:3] == [
        "Accuracy, round by round",
        "Pseudo-labels, round by round",
        "Who labels: the client's own model or the global one",
    ]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "round by round" in page
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)
    assert set(checkpoint) == {"round", "state", "about"}
    reports = json.loads(checkpoint["about"])["reports"]
    assert all(isinstance(v, float) for one in reports.values() for v in one.values())


def test_wrong_labels_are_doubted():
    x, given, true = blobs(rows=400, wrong=40)
    run = train(x, given, clients=3, rounds=15, alpha=None, test_share=0.0, eta=0.1, **FEW)
    wrong = {int(row) for row in np.flatnonzero(given != true)}
    found = [int(row) in wrong for row in run.ledger.index[run.ledger.order[:40]]]
    assert np.mean(found) > 0.7


def test_the_same_seed_gives_the_same_and_another_another():
    x, given, _ = blobs()
    runs = [train(x, given, clients=3, rounds=2, fraction=0.7, labelled=0.5, seed=s, **FEW) for s in (1, 1, 2)]
    assert same(state(runs[0]), state(runs[1]))
    assert np.array_equal(runs[0].ledger.trust, runs[1].ledger.trust, equal_nan=True)
    assert not same(state(runs[0]), state(runs[2]))


def test_the_callers_randomness_is_left_alone():
    x, given, _ = blobs()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train(x, given, clients=2, rounds=1, **FEW)
    assert torch.equal(torch.rand(1), expected)


def test_stopped_in_any_round_it_ends_as_if_never_stopped(tmp_path, monkeypatch):
    x, given, _ = blobs()
    options = {"clients": 3, "fraction": 0.7, "rounds": 4, "labelled": 0.5, "alpha": 1.0, **FEW}
    whole = train(x, given, out=tmp_path / "whole", **options)
    calls = []
    fit = Client.fit

    def stops(self, received, number):
        update = fit(self, received, number)
        calls.append(number)
        if len(calls) == 5:  # the first of two clients of round 3 is done, and has noted it
            raise KeyboardInterrupt
        return update

    monkeypatch.setattr(Client, "fit", stops)
    with pytest.raises(KeyboardInterrupt):
        train(x, given, out=tmp_path / "run", **options)
    monkeypatch.undo()
    with pytest.raises(LoadError, match="not finished"):
        errata.Run.load(tmp_path / "run")
    resumed = train(x, given, out=tmp_path / "run", resume=True, **options)
    assert same(state(whole), state(resumed))
    assert np.array_equal(whole.ledger.trust, resumed.ledger.trust, equal_nan=True)
    assert [r["round"] for r in resumed.history] == [1, 2, 3, 4]


def test_another_federation_is_not_resumed(tmp_path):
    x, given, _ = blobs()
    train(x, given, clients=3, rounds=1, out=tmp_path / "run", **FEW)
    with pytest.raises(LoadError, match="settings differ"):
        train(x, given, clients=3, rounds=2, out=tmp_path / "run", resume=True, beta=0.9, **FEW)
    with pytest.raises(ErrataError, match="already holds results"):
        train(x, given, clients=3, rounds=1, out=tmp_path / "run", **FEW)
    longer = train(x, given, clients=3, rounds=2, out=tmp_path / "run", resume=True, **FEW)
    assert len(longer.history) == 2


def test_a_run_loads_and_predicts(tmp_path):
    frame = pd.DataFrame(blobs()[0], columns=list("abcd"))
    frame["kind"] = np.array(["x", "y", "z"])[blobs()[1]]
    frame["site"] = np.where(np.arange(240) % 2, "Köln", "a/b")
    run = train(frame, label="kind", client_column="site", rounds=4, out=tmp_path / "run", eta=0.1, **FEW)
    assert run.about["client_folders"] == {"Köln": "Köln", "a/b": "a_b"}
    again = errata.Run.load(tmp_path / "run")
    assert np.array_equal(again.predict(frame), run.predict(frame))
    assert set(again.ledgers) == {"Köln", "a/b"}
    assert len(again.ledger) == len(run.ledger)
    assert again.evaluate(frame)["accuracy"] > 0.9
    assert len(again.history) == 4


def test_it_is_reached_through_errata_train_and_through_read():
    x, given, _ = blobs()
    run = errata.train(x, given, system="fedlabel", clients=3, rounds=2, **FEW)
    assert run.metrics["clients"] == 3
    data = errata.read(x, given)
    assert len(errata.train(data, system="fedavg", clients=3, rounds=1, tau=2, progress=False).history) == 1


def test_a_client_that_diverges_is_left_out(monkeypatch):
    x, given, _ = blobs()
    fit = Client.fit

    def diverges(self, received, number):
        update = fit(self, received, number)
        if self.name == "client-2":
            update.state = {k: v * float("nan") for k, v in update.state.items()}
        return update

    monkeypatch.setattr(Client, "fit", diverges)
    run = train(x, given, clients=3, rounds=2, **FEW)
    assert [r["failed"] for r in run.history] == [1, 1]
    assert all(bool(v.isfinite().all()) for v in state(run).values())


def test_images_texts_and_running_statistics():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, size=(60, 1, 12, 12), dtype=np.uint8)
    small = {"tau": 2, "tau_prime": 2, "progress": False, "device": "cpu", "clients": 3, "alpha": None, "labelled": 0.5}
    run = train(images, np.arange(60) % 2, model={"name": "small_cnn", "width": 4}, rounds=2, beta=0.1, **small)
    assert run.history[-1]["pass_rate"] == 1.0
    assert all(bool(v.isfinite().all()) for v in state(run).values())
    assert all(bool((v > 0).all()) for k, v in state(run).items() if k.endswith("running_var"))
    texts = [f"{'good' if i % 2 else 'bad'} film number {i}" for i in range(60)]
    assert len(train(texts, np.arange(60) % 2, rounds=1, **small).history) == 1


def test_bytes_are_two_models_per_client_and_round():
    x, given, _ = blobs()
    runs = [train(x, given, system=s, clients=3, rounds=1, progress=False, tau=1) for s in ("fedlabel", "fedavg")]
    for run in runs:
        weights = sum(v.numel() * 4 for v in state(run).values())
        assert run.history[0]["bytes_down"] == weights
        assert run.history[0]["bytes_up"] == weights + 8


class TestDrawingClients:
    def federation(self, **more):
        given = _clients(*blobs()[:2], None, 3, None, 0.5, None, None, 0.1, 0, {})
        return Federation(spec_for(given, given.test, "fedavg", {}, "auto", 0), rounds=3, **more)

    def test_a_share_of_those_there_from_seed_and_round_alone(self):
        federation = self.federation(fraction=0.3)
        names = [f"c{i}" for i in range(20)]
        first = federation.choose(1, names)
        assert len(first) == 6
        assert first == federation.choose(1, names[::-1])
        assert first != federation.choose(2, names)
        assert federation.choose(1, ["only"]) == ["only"]
        assert federation.choose(1, []) == []

    @pytest.mark.parametrize("wrong", [{"fraction": 0}, {"fraction": 1.1}])
    def test_a_share_out_of_range(self, wrong):
        with pytest.raises(ParameterError, match="fraction"):
            self.federation(**wrong)


def test_a_clients_memory_of_other_data_is_refused(tmp_path):
    x, given, _ = blobs()
    found = read_clients(x, given, clients=2, alpha=None)
    spec = spec_for(found, None, "fedavg", {}, "auto", 0)
    people = [Client.from_data("a", spec, found.data[0], folder=tmp_path)]
    simulate(Federation(spec, rounds=1, test=server_share(None, spec)), people)
    with pytest.raises(LoadError, match="other data"):
        Client.from_data("a", spec, found.data[0].subset(np.arange(20)), folder=tmp_path).recall()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"engine": "flwer"}, UnknownNameError, "Did you mean 'flower'"),
        ({"system": "elr"}, ParameterError, "no federated system"),
        ({"lambda_0": 1}, UnknownNameError, "Did you mean 'lambda0'"),
        ({"epochs": 3}, UnknownNameError, "number of rounds"),
        ({"rounds": 0}, ParameterError, "rounds"),
        ({"resume": True}, ParameterError, "out="),
        ({"model": torch.nn.Linear(4, 3)}, ParameterError, "by name"),
        ({"beta": 0.4, "eta": -1}, ParameterError, "eta"),
    ],
)
def test_wrong_arguments_are_told(options, error, says):
    x, given, _ = blobs()
    with pytest.raises(error, match=says):
        train(x, given, **{"clients": 2, "rounds": 1, **options})


def test_one_class_no_label_and_nan_are_told():
    x, given, _ = blobs()
    with pytest.raises(DataError, match="at least 2 classes"):
        train(x, np.zeros(240, dtype=int), clients=2, rounds=1, **FEW)
    x[3, 1] = np.nan
    with pytest.raises(DataError, match=r"NaN|missing|row 3"):
        train(x, given, clients=2, rounds=1, **FEW)


def test_folders_are_safe_and_different():
    names = folder_names(["a", "A", "../x", "", "ü" * 200, "a"])
    assert len({name.casefold() for name in names}) == 6
    assert all("/" not in name and not name.startswith(".") and len(name) < 90 for name in names)
