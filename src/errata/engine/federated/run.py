"""A finished federation: the global model, its course, the clients' ledgers where they are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import nn

from errata import systems
from errata.cards import Card
from errata.engine.callbacks import weights_of
from errata.engine.checkpoints import load_tensors, save_tensors
from errata.engine.evaluation import scores
from errata.engine.federated.federation import Federation
from errata.engine.federated.overview import overview
from errata.engine.federated.spec import Spec
from errata.engine.run import FORMAT, Run, read_about, versions
from errata.errors import LedgerError, LoadError
from errata.ledger import Ledger
from errata.parts import System
from errata.parts.federated import load_state
from errata.storage import make_folder, write_json

__all__ = ["CLIENTS", "FederatedRun", "GlobalModel", "about_of", "load", "made"]

CLIENTS = "clients"
"""Below a simulation's folder: a folder per client. A real client's is its own."""


class GlobalModel(System):
    """The global model, for prediction; it is trained by the federation."""

    card: ClassVar[Card] = systems.card("fedavg")


@dataclass
class FederatedRun(Run):
    """What a simulation returns, and what a server keeps.

    Attributes
    ----------
    ledger : in a simulation, the clients' samples together, with the column ``client``; in a real federation each
        client has its own, and this is ``overview``
    overview : a ledger with a row per client, from sums alone; the charts of the rounds
    ledgers : by client, where they are at hand: in a simulation
    history : a record per round
    metrics : figures of the federation
    """

    overview: Ledger = field(default_factory=lambda: overview({}, [], {}))
    ledgers: dict[str, Ledger] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return (
            f"<FederatedRun: {self.about.get('system')} on {self.about.get('source', 'data')}, "
            f"{len(self.history)} rounds, {len(self.overview)} clients>"
        )

    def evaluate(self, source: Any, label: Any = None, **reading: Any) -> dict[str, float]:
        """As ``Run.evaluate``; the clients of a simulation are measured together."""
        from errata.data.clients import Clients

        if not isinstance(source, Clients):
            return super().evaluate(source, label, **reading)
        codes, found = [], []
        for data in source.data:
            own = self._codes(data.require_labels(min_classes=1))
            codes.append(own[own >= 0])
            found.append(self._probabilities(data)[own >= 0])
        self.metrics["evaluation"] = scores(np.concatenate(codes), np.concatenate(found))
        return self.metrics["evaluation"]

    def save(self, folder: str | Path, *, report: bool = True) -> Path:
        """Write the global model, the rounds' figures and the overview; the clients' ledgers below ``clients/``."""
        place = make_folder(Path(folder))
        save_tensors(weights_of(self.system), place / "model.pt")
        self.save_metrics(place)
        self.overview.save(place, report=report)
        kept = dict(zip(self.ledgers, self.about.get("client_folders", {}).values()))
        for name, ledger in self.ledgers.items():
            ledger.save(place / CLIENTS / kept[name], report=report)
        write_json(place / "run.json", {**self.about, "finished": True})
        return place


def about_of(spec: Spec, names: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """What ``run.json`` says.

    Parameters
    ----------
    names : of the clients, with those of their folders in a simulation
    more : source, label, rounds, engine, ...
    """
    return {
        "format": FORMAT,
        "task": "federated",
        "system": spec.system,
        "hyperparameters": spec.settings,
        "model": spec.model,
        "encoder": spec.encoder,
        "classes": spec.classes,
        "seed": spec.seed,
        "client_folders": dict(names),
        **more,
        "versions": versions(),
        "finished": False,
    }


def made(
    federation: Federation, about: Mapping[str, Any], ledgers: Mapping[str, Ledger], device: str = "auto"
) -> FederatedRun:
    """The run of a federation that has come to its end."""
    spec = federation.spec
    encoder = spec.build_encoder()
    load_state(federation.model, federation.state)
    system = _wrapped(spec, federation.model, encoder)
    meta = {name: about[name] for name in ("source", "label", "rounds", "command") if about.get(name) is not None}
    meta |= {"method": spec.system, "system": spec.system, "seed": spec.seed, "hyperparameters": spec.settings}
    whole = overview(federation.reports, federation.history, meta)
    run = FederatedRun(
        system,
        encoder,
        list(spec.classes),
        _together(ledgers) if ledgers else whole,
        _metrics(federation, whole, ledgers),
        federation.history,
        {**about, "finished": True},
        device,
        overview=whole,
        ledgers=dict(ledgers),
    )
    run.ledger.charts = whole.charts
    return run


def _wrapped(spec: Spec, network: nn.Module, encoder: Any) -> GlobalModel:
    system = GlobalModel(network, len(spec.classes), 1, views=encoder.views(augment=False))
    return system.eval()


def _metrics(federation: Federation, whole: Ledger, ledgers: Mapping[str, Ledger]) -> dict[str, Any]:
    last = federation.history[-1] if federation.history else {}
    figures = {name: value for name, value in last.items() if name.startswith("test_") and value is not None}
    rows = whole.columns.get("rows", np.zeros(0, dtype=np.int64))
    labelled = whole.columns.get("labelled", np.zeros(0, dtype=np.int64))
    return {
        "system": federation.spec.system,
        "rounds": federation.round,
        "clients": len(whole),
        "rows": int(rows.sum()),
        "labelled": int(labelled.sum()),
        **figures,
        "pass_rate": last.get("pass_rate"),
        "local_share": last.get("local_share"),
        "label_agreement": last.get("label_agreement"),
        "failed": sum(int(record["failed"]) for record in federation.history),
        "bytes_per_client_and_round": last.get("bytes_up", 0) + last.get("bytes_down", 0),
        "seconds": sum(record["seconds"] for record in federation.history),
        **({"issues": sum(int(one.issue.sum()) for one in ledgers.values())} if ledgers else {}),
    }


def _together(ledgers: Mapping[str, Ledger]) -> Ledger:
    """The clients' ledgers as one: a row per (client, sample)."""
    each = list(ledgers.values())
    first = each[0]
    names = list(dict.fromkeys(name for one in each for name in one.columns))
    columns: dict[str, Any] = {}
    for name in names:
        model = next(one.columns[name] for one in each if name in one.columns)
        blank = np.zeros((), dtype=model.dtype)
        columns[name] = np.concatenate([one.columns.get(name, np.full(len(one), blank)) for one in each])
    left_out = ("client", "source_path") if len({one.meta.get("source") for one in each}) > 1 else ("client",)
    return Ledger(
        np.concatenate([one.given for one in each]),
        np.concatenate([one.proposed for one in each]),
        np.concatenate([one.trust for one in each]),
        classes=first.classes,
        issue=np.concatenate([one.issue for one in each]),
        columns=columns,
        index=np.concatenate([one.index for one in each]),
        meta={name: value for name, value in first.meta.items() if name not in left_out},
    )


def load(folder: str | Path, model: nn.Module | None = None, device: str = "auto") -> FederatedRun:
    """Load a federation saved by ``save``, by ``errata federate`` or by a server.

    Raises
    ------
    LoadError
        where there is none that is finished, or a file is damaged
    """
    place = Path(folder)
    about = read_about(place)
    if not about.get("finished"):
        raise LoadError(
            f"The federation in {place} has not finished. Run the same command with --out {place} --resume."
        )
    spec = Spec(
        about["system"], about["hyperparameters"], about["model"], about["encoder"], about["classes"], about["seed"]
    )
    network = spec.build_model() if model is None else model
    encoder = spec.build_encoder()
    system = _wrapped(spec, network, encoder)
    state = load_tensors(place / "model.pt")
    try:
        system.load_state_dict(state, strict=False)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise LoadError(f"The weights in {place / 'model.pt'} do not fit the network: {error}") from error
    figures = _figures(place)
    whole = Ledger.load(place)
    ledgers = {}
    for name, own in about.get("client_folders", {}).items():
        if own and (place / CLIENTS / own / "ledger.parquet").exists():
            ledgers[name] = Ledger.load(place / CLIENTS / own)
    return FederatedRun(
        system,
        encoder,
        list(about["classes"]),
        _together(ledgers) if ledgers else whole,
        figures,
        figures.pop("history", []),
        about,
        device,
        overview=whole,
        ledgers=ledgers,
    )


def _figures(place: Path) -> dict[str, Any]:
    import json

    try:
        found = json.loads((place / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LoadError(f"{place / 'metrics.json'} can't be read: {error}.") from error
    if not isinstance(found, dict):
        raise LedgerError(f"{place / 'metrics.json'} is damaged.")
    return found
