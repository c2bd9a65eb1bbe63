"""A federation in Flower's messages: a ServerApp and a ClientApp, for its simulation on Ray's workers (here) and for a
deployment of Flower's with SuperLink and SuperNodes (``app``).

The server's mean is Flower's own ``FedAvg``: FedLabel's rule is a mean of the clients' models weighted by r_k, and r_k
travels as the number of examples. What a client does, how clients are drawn and what is noted is the same code as in
the small simulator, so both end alike but for the order of a sum.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from errata.engine.checkpoints import load_tensors, save_tensors
from errata.engine.federated._flower import flower, quiet
from errata.engine.federated.client import Client
from errata.engine.federated.federation import Federation, finite
from errata.engine.federated.spec import Spec
from errata.errors import ErrataError
from errata.parts.federated import Share, State

__all__ = ["answering", "client_app", "server_app", "simulate_with_flower", "strategy"]

EXAMPLES = "num-examples"
SPEC = "spec"
STARTING = 600.0  # seconds for the nodes to be there and to answer
OBJECT_STORE = 128 << 20  # bytes: weights travel through it, data do not


def simulate_with_flower(federation: Federation, people: Mapping[str, Client], home: Path | None) -> None:
    """Run the rounds that are left on Flower's simulation; the clients' memories are in their folders afterwards.

    Parameters
    ----------
    federation : the server's side
    people : the clients by name, each with a folder
    home : the folder below which they lie
    """
    flower("ray")
    simulation = flower("flwr.simulation")
    if federation.round >= federation.rounds:
        return
    with tempfile.TemporaryDirectory(prefix="errata-shares-") as scratch, quiet():
        places = []
        for i, (name, client) in enumerate(people.items()):
            file = Path(scratch) / f"{i}.pt"
            save_tensors({"x": client.share.x.cpu(), "y": client.share.y.cpu()}, file)
            places.append((name, str(file), str(client.folder)))
        errors: list[BaseException] = []
        workers = max(1, min(len(people), os.cpu_count() or 1))
        resources = {"init_args": {"num_cpus": workers, "object_store_memory": OBJECT_STORE}}
        simulation.run_simulation(
            server_app=server_app(federation, list(people), errors),
            client_app=client_app(federation.spec.to_json(), places),
            num_supernodes=len(people),
            backend_config={**resources, "client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
        )
    if errors:
        raise errors[0]
    if federation.round < federation.rounds:
        raise ErrataError("Flower's simulation ended before its last round. Run it again with --verbose to see why.")


# -- the server -------------------------------------------------------------------------------------------------------


def server_app(federation: Federation, names: list[str], errors: list[BaseException] | None = None) -> Any:
    """A Flower ServerApp that goes through the rounds that are left.

    Parameters
    ----------
    names : of the clients, by their partition
    errors : takes what goes wrong, where the caller can't catch it
    """
    app = flower("flwr.serverapp").ServerApp()

    @app.main()
    def main(grid: Any, context: Any) -> None:
        try:
            records = flower("flwr.app")
            plan = strategy(federation, names)
            left = federation.rounds - federation.round
            plan.start(grid, records.ArrayRecord(numbered(federation.arrays())), num_rounds=left)
        except BaseException as error:
            if errors is None:
                raise
            errors.append(error)

    return app


def numbered(arrays: list[np.ndarray]) -> dict[str, Any]:
    array = flower("flwr.app").Array
    return {f"{i:05d}": array(np.ascontiguousarray(a)) for i, a in enumerate(arrays)}


def _denumbered(record: Any) -> list[np.ndarray]:
    return [record[key].numpy() for key in sorted(record)]


def _weight_of(record: Any) -> int:
    return sum(len(array.data) for array in record.values())


Gather = Callable[[Any, int, Mapping[int, str]], dict[int, str]]
"""From the grid, the round and who was there before: the nodes of this round, with their clients' names."""


def strategy(federation: Federation, people: list[str] | Gather) -> Any:
    """A Flower strategy, ``flwr.serverapp.strategy.FedAvg``, that draws, notes and measures as the federation does.

    Parameters
    ----------
    people : the clients' names, of which all must be there; or how to gather those of a round
    """
    base = flower("flwr.serverapp.strategy").FedAvg
    records = flower("flwr.app")

    class Rounds(base):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            super().__init__(min_train_nodes=1, min_evaluate_nodes=1, min_available_nodes=1)
            self.offset = federation.round
            self.nodes: dict[int, str] = {}
            self.chosen: list[str] = []
            self.down = 0

        def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
            number = self.offset + server_round
            if callable(people):
                self.nodes = people(grid, number, self.nodes)
            elif not self.nodes:
                self.nodes = _who(grid, people)
            federation.begin()
            self.chosen = federation.choose(number, list(self.nodes.values()))
            self.down = _weight_of(arrays)
            content = records.RecordDict({"arrays": arrays, "config": self._told(number)})
            chosen = [node for node, name in self.nodes.items() if name in self.chosen]
            return self._construct_messages(content, chosen, records.MessageType.TRAIN)

        def _told(self, number: int) -> Any:
            return records.ConfigRecord({"round": number, SPEC: federation.spec.to_json()})

        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            good, told, up = [], {}, 0
            came = list(replies)
            reasons = [
                reply.error.reason for reply in came if reply.has_error()
            ]  # some are the SuperLink's, for a node
            whole = [reply for reply in came if not reply.has_error()]
            for reply in sorted(whole, key=lambda r: self.nodes[r.metadata.src_node_id]):
                content = reply.content
                state = federation.from_arrays(_denumbered(content["arrays"]))
                if not finite(state):
                    continue
                figures = dict(content["metrics"])
                samples = float(figures.pop(EXAMPLES))
                told[self.nodes[reply.metadata.src_node_id]] = {"samples": samples, **figures}
                up += _weight_of(content["arrays"]) + 8
                if samples > 0:
                    good.append(reply)
            if reasons and not told:
                raise ErrataError(f"Every client of round {self.offset + server_round} failed: {reasons[0]}")
            arrays, metrics = super().aggregate_train(server_round, good)
            new = None if arrays is None else _step(federation, federation.from_arrays(_denumbered(arrays)))
            federation.finish(
                self.offset + server_round,
                new,
                told,
                failed=len(self.chosen) - len(told),
                bytes_up=up / max(1, len(told)),
                bytes_down=self.down,
            )
            return (None if new is None else records.ArrayRecord(numbered(federation.arrays()))), metrics

        def configure_evaluate(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
            if federation.round < federation.rounds:  # only the final model is looked at by every client
                return []
            content = records.RecordDict({"arrays": arrays, "config": self._told(federation.rounds + 1)})
            return self._construct_messages(content, list(self.nodes), records.MessageType.EVALUATE)

        def aggregate_evaluate(self, server_round: int, replies: Any) -> Any:
            for reply in replies:
                if not reply.has_error():
                    figures = {k: v for k, v in reply.content["metrics"].items() if k != EXAMPLES}
                    federation.reports.setdefault(self.nodes[reply.metadata.src_node_id], {}).update(figures)
            federation.save()

    return Rounds()


def _step(federation: Federation, mean: State) -> State:
    """The server's step towards the mean; all of it with server_lr = 1."""
    rate = federation.system.server_lr
    if rate == 1.0:
        return mean
    return {name: w + rate * (mean[name] - w) for name, w in federation.state.items()}


def _who(grid: Any, names: list[str]) -> dict[int, str]:
    """Which node holds which client, asked once all of them are there: the server may be up before its nodes are."""
    records = flower("flwr.app")
    until = time.monotonic() + STARTING
    while len(list(grid.get_node_ids())) < len(names):
        if time.monotonic() > until:
            raise ErrataError(f"Flower's simulation has not started its {len(names)} nodes in {STARTING:.0f} s.")
        time.sleep(0.05)
    ask = [
        records.Message(content=records.RecordDict(), message_type=records.MessageType.QUERY, dst_node_id=node)
        for node in grid.get_node_ids()
    ]
    found = {}
    for reply in grid.send_and_receive(ask, timeout=STARTING):
        if reply.has_error():
            raise ErrataError(f"A simulated client could not start: {reply.error.reason}")
        found[reply.metadata.src_node_id] = str(reply.content["who"]["name"])
    return found


# -- the clients ------------------------------------------------------------------------------------------------------


def client_app(spec: str, places: list[tuple[str, str, str]]) -> Any:
    """A Flower ClientApp for simulated clients.

    Parameters
    ----------
    spec : the federation's, as JSON
    places : by partition: the client's name, the file of its share, its folder
    """
    torch.set_num_threads(1)

    def own(context: Any) -> tuple[str, str, str]:
        return places[int(context.node_config["partition-id"])]

    return answering(lambda _, context: _opened(spec, own(context)), lambda _, context: {"name": own(context)[0]})


def answering(
    opened: Callable[[Any, Any], Client], who: Callable[[Any, Any], dict[str, Any]], *, ledgers: bool = False
) -> Any:
    """A Flower ClientApp.

    Parameters
    ----------
    opened : from a message and its context: the client that it is for
    who : from the same: what the client answers when it is asked who it is; "name" at least
    ledgers : write the client's ledger after every round, and its report at the end
    """
    records = flower("flwr.app")
    app = flower("flwr.clientapp").ClientApp()

    def answer(message: Any, arrays: list[np.ndarray] | None, figures: dict[str, float]) -> Any:
        content = {"metrics": records.MetricRecord(figures)}
        if arrays is not None:
            content["arrays"] = records.ArrayRecord(numbered(arrays))
        return records.Message(content=records.RecordDict(content), reply_to=message)

    @app.query()
    def ask(message: Any, context: Any) -> Any:
        told = records.ConfigRecord(who(message, context))
        return records.Message(content=records.RecordDict({"who": told}), reply_to=message)

    @app.train()
    def fit(message: Any, context: Any) -> Any:
        client = opened(message, context)
        update = client.fit(_state(client, message), int(message.content["config"]["round"]))
        if ledgers:
            client.save_ledger(report=False)  # whatever happens next, what is known is written
        arrays = [update.state[name].numpy() for name in update.state]
        return answer(message, arrays, {EXAMPLES: update.samples, **update.metrics})

    @app.evaluate()
    def look(message: Any, context: Any) -> Any:
        client = opened(message, context)
        figures = client.look(_state(client, message), int(message.content["config"]["round"]))
        if ledgers:
            client.save_ledger()
        return answer(message, None, {EXAMPLES: int(figures["rows"]), **figures})

    return app


def _opened(spec: str, place: tuple[str, str, str]) -> Client:
    name, file, folder = place
    about = Spec(**json.loads(spec))
    kept = load_tensors(Path(file))
    return Client(name, about, Share(kept["x"], kept["y"], about.views()), folder=Path(folder))


def _state(client: Client, message: Any) -> State:
    from errata.parts.federated import floating_state

    names = list(floating_state(client.model))
    arrays = _denumbered(message.content["arrays"])
    return {name: torch.from_numpy(np.array(a)) for name, a in zip(names, arrays)}
