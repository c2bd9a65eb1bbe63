"""errata as a Flower app: for federations that run on Flower's own SuperLink and SuperNodes.

``write_app`` makes a folder that ``flwr run`` takes. Its ServerApp and ClientApp are errata's: the server's settings
are the app's configuration; a client's data are named by its SuperNode's ``--node-config``, never by the server. Flower
sends the app's code to the SuperNodes and starts it anew for each message, so a client trusts whoever may start runs,
and a round takes some seconds at least; ``serving`` and ``joining`` do neither, on the older of Flower's transports.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from errata.data.clients import by_classes, one_place
from errata.engine.federated import flower as over
from errata.engine.federated._flower import flower
from errata.engine.federated.client import Client
from errata.engine.federated.federation import CHECKPOINT, Federation
from errata.engine.federated.progress import Rounds
from errata.engine.federated.serving import finished, prepared
from errata.engine.federated.spec import Spec
from errata.engine.fit import resolve_device
from errata.errors import ErrataError, ParameterError
from errata.storage import atomic, make_folder

__all__ = ["client_app", "server_app", "write_app"]

MODULE = "errata_federation"
ASKING = 120.0  # seconds for a new node to start a process and say who it is
FOREVER = 30 * 24 * 3600.0

_PROJECT = """# Made by `errata federate serve --app`; run it with: flwr run {folder} SUPERLINK
[project]
name = "errata-federation"
version = "1.0.0"
description = "A federation of errata"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "errata"

[tool.flwr.app.components]
serverapp = "{module}:server"
clientapp = "{module}:client"

# how the server trains; what a client has is told by its own --node-config: source, label, out, name
[tool.flwr.app.config]
{config}
"""

_CODE = '''"""The two sides of the federation: both are errata's."""

from errata.engine.federated.app import client_app, server_app

server = server_app()
client = client_app()
'''


def write_app(
    folder: str | Path,
    source: str | Path,
    label: str | None = None,
    *,
    out: str | Path,
    system: str = "fedlabel",
    rounds: int = 20,
    clients: int = 2,
    fraction: float = 1.0,
    classes: list[str] | None = None,
    model: str = "auto",
    wait_for: float = 600.0,
    round_timeout: float | None = None,
    seed: int = 0,
    device: str = "auto",
    **rest: Any,
) -> Path:
    """Write a Flower app: a folder for ``flwr run``.

    Parameters
    ----------
    folder : new, or empty
    source, label, system, ... : as for ``serve``; paths are those of the machine that runs the ServerApp
    out : the server's folder there; a run that is started again goes on from the last whole round in it
    rest : options of reading, and hyper-parameters

    Returns
    -------
    Path of the folder

    Raises
    ------
    ErrataError
        where the folder holds something
    """
    if clients < 1 or rounds < 1:
        raise ParameterError(f"clients and rounds must be 1 or more; got {clients} and {rounds}.")
    place = Path(folder)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ErrataError(f"{place} is there already; nothing is overwritten. Choose another folder for the app.")
    config = {
        "source": str(Path(source).expanduser().resolve()),
        "label": label or "",
        "out": str(Path(out).expanduser().resolve()),
        "system": system,
        "rounds": rounds,
        "clients": clients,
        "fraction": float(fraction),
        "classes": json.dumps(classes),
        "model": model,
        "wait-for": float(wait_for),
        "round-timeout": float(round_timeout or 0.0),
        "seed": seed,
        "device": device,
        "rest": json.dumps(rest),
    }
    make_folder(place)
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in config.items())  # JSON's are TOML's here
    files = {"pyproject.toml": _PROJECT.format(folder=place, module=MODULE, config=lines), f"{MODULE}.py": _CODE}
    for name, text in files.items():
        with atomic(place / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return place


# -- the server -------------------------------------------------------------------------------------------------------


def server_app() -> Any:
    """A Flower ServerApp that goes through the rounds that are left, by its run's configuration."""
    app = flower("flwr.serverapp").ServerApp()

    @app.main()
    def main(grid: Any, context: Any) -> None:
        config = dict(context.run_config)
        out = Path(config["out"])
        federation, about, folder = prepared(
            config["source"],
            config["label"] or None,
            **{name: config[name] for name in ("system", "rounds", "fraction", "model", "seed", "device")},
            classes=json.loads(config["classes"]),
            out=out,
            resume=_begun(out),
            rest=json.loads(config["rest"]),
        )
        left = federation.rounds - federation.round
        with Rounds(federation, show=True, every=0.0):
            if left > 0:
                gather = _Gathering(federation, int(config["clients"]), float(config["wait-for"]))
                records = flower("flwr.app")
                over.strategy(federation, gather).start(
                    grid,
                    records.ArrayRecord(over.numbered(federation.arrays())),
                    num_rounds=left,
                    timeout=float(config["round-timeout"]) or FOREVER,
                )
        finished(federation, about, folder, config["device"])

    return app


def _begun(out: Path) -> bool:
    """Whether a run has begun in this folder: it has a checkpoint, or not even one round."""
    return (out / CHECKPOINT).exists() or ((out / "run.json").exists() and not (out / "model.pt").exists())


class _Gathering:
    """Who takes part in a round: nodes that are there and have said who they are; see ``flower.strategy``."""

    def __init__(self, federation: Federation, clients: int, wait_for: float) -> None:
        self.federation, self.clients, self.wait_for = federation, clients, wait_for
        self.refused: dict[int, str] = {}

    def __call__(self, grid: Any, number: int, before: Mapping[int, str]) -> dict[int, str]:
        until = time.monotonic() + self.wait_for
        known = dict(before)
        while True:
            there = set(grid.get_node_ids())
            known = {node: name for node, name in known.items() if node in there}
            self._ask(grid, sorted(there - known.keys() - self.refused.keys()), known)
            if len(known) >= self.clients:
                return known
            if time.monotonic() >= until:
                why = "".join(f" One was refused: {reason}." for reason in list(self.refused.values())[-1:])
                raise ErrataError(
                    f"Round {number} needs {self.clients} clients, and {len(known)} were there after "
                    f"{self.wait_for:.0f} s.{why} Start more SuperNodes and run the app again; it goes on from there."
                )
            time.sleep(0.5)

    def _ask(self, grid: Any, nodes: list[int], known: dict[int, str]) -> None:
        if not nodes:
            return
        records = flower("flwr.app")
        content = {"config": records.ConfigRecord({over.SPEC: self.federation.spec.to_json()})}
        kind = records.MessageType.QUERY
        asked = [records.Message(records.RecordDict(content), dst_node_id=node, message_type=kind) for node in nodes]
        for reply in grid.send_and_receive(asked, timeout=ASKING):
            node = reply.metadata.src_node_id
            if reply.has_error():
                if node in nodes:  # else the SuperLink answers for one that is not there any more
                    self.refused[node] = str(reply.error.reason)[:300]
                continue
            name = str(reply.content["who"]["name"])
            if name in known.values():
                self.refused[node] = f"a client named '{name}' is here already; give it another name"
            else:
                known[node] = name


# -- a client ---------------------------------------------------------------------------------------------------------


def client_app() -> Any:
    """A Flower ClientApp on the data that its SuperNode's configuration names.

    Its ``--node-config`` has source and out, and may have label, name, device, and reading: options of ``errata.read``
    as JSON.
    """
    return over.answering(_opened, lambda message, context: {"name": _opened(message, context).name}, ledgers=True)


def _opened(message: Any, context: Any) -> Client:
    node = dict(context.node_config)
    for name in ("source", "out"):
        if not node.get(name):
            raise ErrataError(
                f'This SuperNode does not say where its data are: start it with --node-config \'source="visits.csv" '
                f'label="diagnosis" out="mine"\'; {name} is missing.'
            )
    spec = Spec.from_json(str(message.content["config"][over.SPEC]))
    folder = make_folder(Path(str(node["out"])))
    data = one_place(node["source"], node.get("label"), json.loads(str(node.get("reading", "{}"))))
    known = str(node.get("name") or f"{folder.resolve().name}@{platform.node() or 'client'}")
    device = torch.device(resolve_device(str(node.get("device", "auto"))))
    return Client.from_data(known, spec, by_classes(data, spec.classes), folder=folder, device=device).recall()
