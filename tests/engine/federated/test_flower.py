"""Federations over Flower: its messages and its mean give what the small simulator gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from errata.engine.checkpoints import save_tensors
from errata.engine.federated.client import Client
from errata.engine.federated.federation import Federation
from errata.engine.federated.simulator import simulate
from errata.engine.federated.training import _clients, server_share, spec_for, train

flwr = pytest.importorskip("flwr", reason="needs the extra 'federated'")

from errata.engine.federated import _flower  # noqa: E402
from errata.engine.federated import flower as over_flower  # noqa: E402
from errata.engine.federated.app import client_app, server_app, write_app  # noqa: E402
from errata.engine.federated.run import load  # noqa: E402
from errata.errors import ErrataError  # noqa: E402
from errata.ledger import Ledger  # noqa: E402


def blobs(rows=240, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    return rng.normal(size=(rows, 4)) + 3.0 * np.eye(4)[y], y


def made(system="fedlabel", clients=4, **settings):
    given = _clients(*blobs(), None, clients, None, 1.0, 0.4, None, 0.2, 0, {})
    spec = spec_for(given, given.test, system, settings, {"name": "mlp", "hidden": [8]}, 3)
    people = {name: Client.from_data(name, spec, data) for name, data in zip(given.names, given.data)}
    return spec, server_share(given.test, spec), people


class Grid:
    """Flower's messages handed over in this process: what the simulation does with Ray's workers between."""

    def __init__(self, app, clients, breaks=(), configs=None):
        from flwr.supercore.task_identity import TaskIdentity

        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, 1
        self.app = app
        self.clients = clients
        self.breaks = set(breaks)
        self.configs = configs
        self.asked = 0

    def get_node_ids(self):
        self.asked += 1
        there = min(self.clients, self.asked - 1)  # nodes come one by one, and the server is up before the first
        return [100 + i for i in range(there)]

    def send_and_receive(self, messages, timeout=None):
        from flwr.app import Context, Error, Message, RecordDict

        replies = []
        for message in messages:
            node = message.metadata.dst_node_id
            number = message.content["config"].get("round", 0) if "config" in message.content else 0
            config = {"partition-id": node - 100} if self.configs is None else self.configs[node - 100]
            context = Context(run_id=1, node_id=node, node_config=config, state=RecordDict(), run_config={})
            if (node - 100, number) in self.breaks:
                reply = Message(Error(code=1, reason="it died"), reply_to=message)
                node = 1  # the SuperLink answers for a node that is gone
            else:
                reply = self.app(message, context)
            reply.metadata.__dict__["_src_node_id"] = node
            replies.append(reply)
        return replies[::-1]  # in another order than they were asked


def over_messages(spec, test, people, folder, breaks=(), **more):
    from flwr.app import ArrayRecord

    places = []
    for i, (name, client) in enumerate(people.items()):
        save_tensors({"x": client.share.x, "y": client.share.y}, folder / f"{i}.pt")
        places.append((name, str(folder / f"{i}.pt"), str(folder / f"memory-{i}")))
    federation = Federation(spec, test=test, **more)
    app = over_flower.client_app(spec.to_json(), places)
    with _flower.quiet():
        plan = over_flower.strategy(federation, list(people))
        plan.start(
            Grid(app, len(people), breaks), ArrayRecord(over_flower.numbered(federation.arrays())), federation.rounds
        )
    return federation


@pytest.mark.parametrize(("system", "settings"), [("fedlabel", {}), ("fedavg", {}), ("fedlabel", {"server_lr": 0.5})])
def test_flowers_mean_ends_where_the_small_simulator_does(system, settings, tmp_path):
    spec, test, people = made(system, tau=4, **settings)
    ours = Federation(spec, rounds=3, fraction=0.5, test=test)
    simulate(ours, list(people.values()))
    theirs = over_messages(spec, test, people, tmp_path, rounds=3, fraction=0.5)
    for name, value in ours.state.items():
        assert torch.allclose(value, theirs.state[name], atol=1e-6)
    for left, right in zip(ours.history, theirs.history):
        for figure in ("clients", "samples", "pass_rate", "local_share", "test_accuracy"):
            assert left[figure] == right[figure]
    assert set(theirs.reports) == set(people)


def test_what_flower_sends_is_little_more_than_the_weights(tmp_path):
    spec, test, people = made()
    theirs = over_messages(spec, test, people, tmp_path, rounds=1)
    weights = sum(v.numel() * 4 for v in theirs.state.values())
    headers = 128 * len(theirs.state)  # NumPy's, of each array
    for way in ("bytes_up", "bytes_down"):
        assert weights <= theirs.history[0][way] <= weights + headers + 8


def test_a_client_that_dies_in_a_round_is_left_out_of_it(tmp_path):
    spec, test, people = made()
    theirs = over_messages(spec, test, people, tmp_path, breaks={(1, 2), (2, 2)}, rounds=3)
    assert [r["failed"] for r in theirs.history] == [0, 2, 0]
    assert [r["clients"] for r in theirs.history] == [4, 2, 4]
    assert all(bool(v.isfinite().all()) for v in theirs.state.values())


def test_where_every_client_dies_it_is_told_why(tmp_path):
    spec, test, people = made(clients=2)
    with pytest.raises(ErrataError, match="it died"):
        over_messages(spec, test, people, tmp_path, breaks={(0, 1), (1, 1)}, rounds=1)


def test_nobody_is_told_that_flower_is_used(monkeypatch):
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    _flower.flower()
    import os

    from flwr.supercore import telemetry

    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"
    assert telemetry.FLWR_TELEMETRY_ENABLED == "0"


def test_the_whole_simulation_on_rays_workers(tmp_path):
    pytest.importorskip("ray", reason="Flower's simulation needs Ray")
    x, y = blobs(rows=80)
    options = {"clients": 2, "rounds": 1, "labelled": 0.4, "progress": False, "tau": 3, "tau_prime": 3, "device": "cpu"}
    ours = train(x, y, **options)
    theirs = train(x, y, engine="flower", out=tmp_path / "run", **options)
    assert [r["test_accuracy"] for r in ours.history] == [r["test_accuracy"] for r in theirs.history]
    assert np.allclose(ours.ledger.trust, theirs.ledger.trust, atol=1e-5, equal_nan=True)
    assert (tmp_path / "run" / "clients" / "client-1" / "ledger.parquet").exists()


# -- errata as an app of Flower's -------------------------------------------------------------------------------------


@pytest.fixture
def deployment(tmp_path):
    """The server's and three clients' files, and what is told to the two sides of Flower's deployment."""
    x, y = blobs(rows=240)
    for i, name in enumerate(("bench", "a", "b", "c")):
        rows = [f"{','.join(f'{v:.4f}' for v in x[j])},{'xyz'[y[j]]}" for j in range(60 * i, 60 * i + 60)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["f0,f1,f2,f3,kind", *rows]) + "\n")
    nodes = [
        {
            "source": str(tmp_path / f"{name}.csv"),
            "label": "kind",
            "out": str(tmp_path / f"client-{name}"),
            "name": name,
        }
        for name in "abc"
    ]
    return tmp_path, nodes


def written(folder, **more):
    """The app as written, and its configuration as Flower reads it."""
    import tomllib

    options = {"rounds": 3, "clients": 2, "wait_for": 0.0, "device": "cpu", "tau": 3, "tau_prime": 3, **more}
    place = write_app(
        folder / f"app{len(list(folder.iterdir()))}", folder / "bench.csv", "kind", out=folder / "server", **options
    )
    return place, tomllib.loads((place / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]


def flown(config, nodes, breaks=()):
    from flwr.app import Context, RecordDict

    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=config)
    grid = Grid(client_app(), len(nodes), breaks, nodes)
    grid.asked = len(nodes)  # all are there at once
    with _flower.quiet():
        server_app()(grid=grid, context=context)


def test_an_app_of_flowers_trains_as_the_other_carriers_do(deployment):
    folder, nodes = deployment
    place, config = written(folder)
    assert {file.name for file in place.iterdir()} == {"pyproject.toml", "errata_federation.py"}
    compile((place / "errata_federation.py").read_text(), "app", "exec")
    flown(config, nodes, breaks={(1, 2)})
    run = load(folder / "server")
    assert [record["failed"] for record in run.history] == [0, 1, 0]
    assert run.history[-1]["test_accuracy"] > 0.9
    assert set(run.about["client_folders"]) == {"a", "b", "c"}
    for name in "abc":
        ledger = Ledger.load(folder / f"client-{name}")
        assert len(ledger) == 60
        assert ledger.meta["rounds"] == 4  # the last look counts
    with pytest.raises(ErrataError, match="nothing is overwritten"):
        write_app(place, folder / "bench.csv", "kind", out=folder / "server")


def test_an_apps_server_that_was_stopped_goes_on(deployment):
    folder, nodes = deployment
    flown(written(folder, rounds=4)[1], nodes)
    whole = load(folder / "server").history
    (folder / "server").rename(folder / "whole")
    for name in "abc":
        (folder / f"client-{name}").rename(folder / f"before-{name}")
    config = written(folder, rounds=4)[1]
    with pytest.raises(ErrataError, match="Every client of round 3 failed"):
        flown(config, nodes, breaks={(i, 3) for i in range(3)})
    flown(config, nodes)
    figures = ("round", "clients", "samples", "test_accuracy")
    again = load(folder / "server").history
    assert [[r[f] for f in figures] for r in again] == [[r[f] for f in figures] for r in whole]


def test_what_an_app_lacks_is_told(deployment):
    folder, nodes = deployment
    config = written(folder, clients=3)[1]
    with pytest.raises(ErrataError, match="needs 3 clients, and 2 were there"):
        flown(config, nodes[:2])
    with pytest.raises(ErrataError, match="a client named 'a' is here already"):
        flown(config, [nodes[0], nodes[1], {**nodes[2], "name": "a"}])
    from flwr.app import ConfigRecord, Context, Message, RecordDict

    message = Message(RecordDict({"config": ConfigRecord({"spec": ""})}), dst_node_id=1, message_type="query")
    with pytest.raises(ErrataError, match="out is missing"):
        client_app()(message, Context(1, 1, {"source": "x.csv"}, RecordDict(), {}))


@pytest.mark.parametrize(
    ("message", "shown"), [("Cannot monitor channel state: Channel closed!", False), ("something else", True)]
)
def test_a_thread_of_grpc_that_met_a_closed_channel_prints_no_traceback(capsys, message, shown):
    import threading

    def fails():
        raise ValueError(message)

    before = threading.excepthook
    threading.excepthook = threading.__excepthook__  # pytest has its own
    try:
        with _flower.quiet():
            thread = threading.Thread(target=fails)
            thread.start()
            thread.join()
        assert threading.excepthook is threading.__excepthook__
    finally:
        threading.excepthook = before
    assert ("Traceback" in capsys.readouterr().err) is shown
