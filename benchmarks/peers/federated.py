"""Flower's own FedAvg beside ours, in one run: the same accuracy on the same seeds, the time per round, the bytes.

Three ways through the same federation: this project's small simulator; Flower's messages and its ``FedAvg`` strategy
handed over in this process (what Flower itself costs); and, with ``--ray``, Flower's whole simulation on Ray.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _record import write_result
from errata.data import read
from errata.engine.checkpoints import save_tensors
from errata.engine.federated import _flower, flower
from errata.engine.federated.client import Client
from errata.engine.federated.federation import Federation
from errata.engine.federated.simulator import simulate
from errata.engine.federated.training import server_share, spec_for, train

SETTING = {"clients": 10, "rounds": 8, "fraction": 0.5, "alpha": 0.3, "labelled": 0.2}
SEEDS = (100, 101, 102)


def digits(seed: int) -> tuple[Any, Any, Any, Any]:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    return x[order[:1300]], y[order[:1300]], x[order[1300:]], y[order[1300:]]


class Grid:
    """Flower's messages, handed to its ClientApp in this process."""

    def __init__(self, app: Any, clients: int) -> None:
        from flwr.supercore.task_identity import TaskIdentity

        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, 1
        self.app, self.clients = app, clients

    def get_node_ids(self) -> list[int]:
        return list(range(1, self.clients + 1))

    def send_and_receive(self, messages: Any, timeout: float | None = None) -> list[Any]:
        from flwr.app import Context, RecordDict

        replies = []
        for message in messages:
            node = message.metadata.dst_node_id
            config = {"partition-id": node - 1}
            context = Context(run_id=1, node_id=node, node_config=config, state=RecordDict(), run_config={})
            reply = self.app(message, context)
            reply.metadata.__dict__["_src_node_id"] = node
            replies.append(reply)
        return replies


def one(system: str, seed: int, ray: bool) -> dict[str, Any]:
    from errata.data.clients import read_clients

    x, y, test_x, test_y = digits(seed)
    options = {name: SETTING[name] for name in ("clients", "alpha", "labelled")}
    given = read_clients(x, y, seed=seed, **options)
    bench = read(test_x, test_y)
    spec = spec_for(given, bench, system, {}, "auto", seed)
    more = {"rounds": SETTING["rounds"], "fraction": SETTING["fraction"], "test": server_share(bench, spec)}
    people = {name: Client.from_data(name, spec, data) for name, data in zip(given.names, given.data)}
    ours = Federation(spec, **more)
    simulate(ours, list(people.values()))
    theirs = Federation(spec, **more)
    with tempfile.TemporaryDirectory() as folder, _flower.quiet():
        places = []
        for i, (name, client) in enumerate(people.items()):
            save_tensors({"x": client.share.x, "y": client.share.y}, Path(folder) / f"{i}.pt")
            places.append((name, f"{folder}/{i}.pt", f"{folder}/memory-{i}"))
        from flwr.app import ArrayRecord

        grid = Grid(flower.client_app(spec.to_json(), places), len(people))
        plan = flower.strategy(theirs, list(people))
        plan.start(grid, ArrayRecord(flower._numbered(theirs.arrays())), num_rounds=SETTING["rounds"])
    found = {
        "system": system,
        "seed": seed,
        "ours": ours.history[-1]["test_accuracy"],
        "flower": theirs.history[-1]["test_accuracy"],
        "largest_difference_of_weights": max(float((ours.state[k] - theirs.state[k]).abs().max()) for k in ours.state),
        "seconds_per_round_ours": _median(ours),
        "seconds_per_round_flower": _median(theirs),
        "weights_bytes": sum(v.numel() * 4 for v in ours.state.values()),
        "bytes_per_client_and_round_ours": ours.history[-1]["bytes_up"] + ours.history[-1]["bytes_down"],
        "bytes_per_client_and_round_flower": theirs.history[-1]["bytes_up"] + theirs.history[-1]["bytes_down"],
    }
    if ray:
        whole = train(
            given, test=bench, system=system, engine="flower", seed=seed, rounds=SETTING["rounds"],
            fraction=SETTING["fraction"], progress=False, device="cpu",
        )  # fmt: skip
        found["ray"] = whole.metrics["test_accuracy"]
        found["seconds_per_round_ray"] = float(np.median([r["seconds"] for r in whole.history[1:]]))
    return found


def _median(federation: Federation) -> float:
    return float(np.median([record["seconds"] for record in federation.history]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ray", action="store_true", help="also run Flower's whole simulation on Ray")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = [one(system, seed, options.ray and seed == SEEDS[0]) for seed in SEEDS for system in ("fedavg", "fedlabel")]
    rows = []
    for system in ("fedavg", "fedlabel"):
        own = [cell for cell in cells if cell["system"] == system]
        ratio = np.median([c["seconds_per_round_flower"] / c["seconds_per_round_ours"] for c in own])
        rows.append(
            [
                system,
                " / ".join(f"{100 * c['ours']:.1f}" for c in own),
                " / ".join(f"{100 * c['flower']:.1f}" for c in own),
                f"{ratio:.2f}",
                f"{own[0]['bytes_per_client_and_round_ours']:,}",
                f"{own[0]['bytes_per_client_and_round_flower']:,}",
            ]
        )
    table = {
        "title": "scikit-learn's digits over 10 uneven clients, a fifth of the labels, 5 a round, 8 rounds; mlp",
        "columns": [
            "system",
            "test accuracy, small simulator, per seed",
            "the same through Flower's FedAvg",
            "time per round, Flower's messages over the small simulator",
            "bytes per client and round",
            "the same through Flower",
        ],
        "rows": rows,
        "note": "Accuracy in percent, seeds 100 to 102. The ratio is the median over seeds of medians over rounds.",
    }
    write_result("federated", {"setting": SETTING, "tables": [table], "cells": cells})
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
