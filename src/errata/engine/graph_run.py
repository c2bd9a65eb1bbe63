"""A finished training on a graph: as any run, but what it predicts is every node of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from errata import systems
from errata.data.graph_encoder import NodeEncoder
from errata.data.graphs import GraphData, read
from errata.engine.checkpoints import load_tensors
from errata.engine.evaluation import scores
from errata.engine.fit import resolve_device
from errata.engine.run import Run, load_state, read_about, read_json
from errata.errors import DataError, LoadError
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.models import graphs as networks
from errata.parts import Graph, NodeSystem
from errata.parts.neighbour_sampling import NodeBatches

__all__ = ["GraphRun", "Parts", "node_probabilities"]


def node_probabilities(system: NodeSystem, graph: Graph, device: str, parts: Parts | None = None) -> np.ndarray:
    """(N, K) float32 class probabilities of every node; the system stays in the mode and on the device it was in.

    Parameters
    ----------
    parts : go through the graph in parts, each with all that lies within reach of its nodes; the same but for rounding
    """
    place, home, mode = torch.device(resolve_device(device)), system.device, system.training
    system.to(place).eval()
    try:
        with torch.no_grad():
            if parts is not None:
                return _in_parts(system, graph, place, parts)
            moved = Graph(graph.x.to(place), graph.edge_index.to(place))
            found: Tensor = system.predict_step(moved)
            return found.float().cpu().numpy()
    finally:
        system.to(home).train(mode)


@dataclass(frozen=True)
class Parts:
    """How a graph is gone through in parts.

    Parameters
    ----------
    batch_nodes : nodes of a step
    fanout : for each layer of the network how many neighbours of a node are looked at in training
    """

    batch_nodes: int
    fanout: tuple[int, ...] = (10, 10)

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Parts | None:
        """What a run was trained with; None for the whole graph at a time."""
        return cls(about["batch_nodes"], tuple(about["fanout"])) if about.get("batch_nodes") else None


def _in_parts(system: NodeSystem, graph: Graph, place: torch.device, parts: Parts) -> np.ndarray:
    # a step more than the network has layers: a convolution looks at how many neighbours its neighbours have
    everything: Any = (None,) * (len(parts.fanout) + 1)
    labels = torch.full((len(graph.x),), MISSING)
    flow = NodeBatches(
        graph.x, graph.edge_index, labels, batch_nodes=parts.batch_nodes, fanout=everything, shuffle=False
    )
    found = []
    for batch in flow:
        moved = Graph(batch.x.x.to(place), batch.x.edge_index.to(place))
        found.append(system.predict_step(moved)[: len(batch.y)].float().cpu().numpy())
    return np.concatenate(found)


class GraphRun(Run):
    """A finished training on a graph; see ``errata.Run``.

    ``predict`` and ``predict_proba`` take a graph: the same one, one that has grown, or another with the same features.
    They give a class for every node.
    """

    def __repr__(self) -> str:
        return (
            f"<GraphRun: {self.system.card.slug} on {self.about.get('source', 'a graph')}, "
            f"{self.metrics.get('epochs')} epochs, {len(self.ledger):,} nodes, {int(self.ledger.issue.sum()):,} issues>"
        )

    def predict_proba(self, source: Any, **reading: Any) -> np.ndarray:
        """(N, K) float32 class probabilities of every node of a graph."""
        return self._probabilities(self._read(source, False, reading))

    def evaluate(self, source: Any, label: Any = None, **reading: Any) -> dict[str, float]:
        """Measure the predictions against a graph's labels, which should be right: of its test nodes, or of all.

        Raises
        ------
        DataError
            where there are no labels
        UnknownNameError
            where a label is none of the classes trained on
        """
        if label is None and not isinstance(source, GraphData):
            label = self.about.get("label")
        data = self._read(source, label, reading)
        if data.labels is None:
            raise DataError(f"{data.source} has no labels to measure on; name them with label=.")
        codes = self._codes(data.labels)
        chosen = data.known_in("test") if len(data.known_in("test")) else np.flatnonzero(codes >= 0)
        found = scores(codes[chosen], self._probabilities(data)[chosen])
        self.metrics["evaluation"] = found
        return found

    def _read(self, source: Any, label: Any, reading: Mapping[str, Any]) -> GraphData:
        if isinstance(source, GraphData):
            return source if label is None or label is False else read(source, label)
        return read(source, label, **{**self.about.get("reading", {}), **self.encoder.reading(), **reading})

    def _probabilities(self, data: GraphData) -> np.ndarray:
        graph = Graph(self.encoder.encode(data), torch.from_numpy(data.edges))
        return node_probabilities(self.system, graph, self.device, Parts.of(self.about))

    @classmethod
    def load(cls, folder: str | Path, model: nn.Module | None = None, device: str = "auto") -> GraphRun:
        """Load a run saved by ``save``; see ``errata.Run.load``."""
        place = Path(folder)
        about = read_about(place)
        if not about.get("finished"):
            raise LoadError(
                f"The run in {place} has not finished. Finish it with the same `errata train` command with "
                f"--out {place} --resume, or train(..., resume=True)."
            )
        if model is None and isinstance(about.get("model"), str):
            raise LoadError(
                f"The run in {place} was trained on a network of your own ({about['model']}), which errata can't "
                "build. Give one of the same build: Run.load(folder, model=YourNetwork(...))."
            )
        network = networks.from_spec(about.get("model")) if model is None else model
        kind = systems.load(about["system"])
        known = kind.hyperparameters()
        settings = {k: v for k, v in about.get("hyperparameters", {}).items() if k in known}
        system = kind(network, num_classes=len(about["classes"]), num_samples=1, **settings)
        load_state(system, load_tensors(place / "model.pt"), place)
        figures = read_json(place / "metrics.json")
        history = figures.pop("history", [])
        encoder = NodeEncoder.from_spec(about["encoder"])
        ledger = Ledger.load(place)
        return cls(system.eval(), encoder, list(about["classes"]), ledger, figures, history, about, device)
