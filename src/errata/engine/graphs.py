"""The room of graphs: from a graph as it is to a system trained on its nodes, and a ledger over them.

What ``errata.train`` and ``errata audit`` hand over for systems of the kind "graphs" (``errata.kinds``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from errata import systems
from errata.charts import Chart
from errata.data.graph_encoder import NodeEncoder
from errata.data.graphs import GraphData, read
from errata.engine.callbacks import weights_of
from errata.engine.checkpoints import plain
from errata.engine.conduct import Conduct, announce, split_named, system_class
from errata.engine.evaluation import scores
from errata.engine.fit import Fitted
from errata.engine.graph_run import GraphRun, Parts, node_probabilities
from errata.engine.randomness import isolated_randomness, mixed_seed
from errata.engine.run import FORMAT, versions
from errata.engine.task import fingerprint, hold_out
from errata.engine.training import keyword_options
from errata.errors import ParameterError, UnknownNameError
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.models import graphs as networks
from errata.parts import Batch, Graph, NodeSystem, graph_batch
from errata.parts.neighbour_sampling import NodeBatches

__all__ = ["GraphRun", "load", "read", "train"]

EPOCHS = {"erase": 100}
FEWEST_EPOCHS = 5  # where an epoch has several steps
MOST_EPOCHS = 200
"""Epochs, each of one step, where the user does not say."""

NETWORK = ("hidden", "heads", "dropout", "width")
"""Options of the network that is built for the user."""


def train(
    source: Any,
    y: Any = None,
    *,
    label: Any = None,
    system: str | type[NodeSystem] = "erase",
    model: str | nn.Module = "auto",
    epochs: int | None = None,
    validation: float = 0.0,
    select: str = "last",
    seed: int = 0,
    device: str = "auto",
    devices: int = 1,
    precision: str | int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    deterministic: bool = True,
    batch_nodes: int | None = None,
    fanout: Sequence[int] = (10, 10),
    **rest: Any,
) -> GraphRun:
    """Train a system on a graph whose nodes' labels may be wrong; see ``errata.train`` for what is not said here.

    Parameters
    ----------
    source : a graph: whatever ``errata.data.graphs.read`` takes, or what it returned
    y : (N,) labels where ``source`` is an array; missing ones are nodes without a label
    label : the column or array of the labels
    model : "auto" or "gat" (graph attention), "gcn" (graph convolution), or a network of your own from a
        ``errata.parts.Graph`` to what the system takes
    epochs : each one step over the whole graph, or all steps of ``batch_nodes``
    validation : the share of the training nodes held out; their labels are as noisy as the others
    batch_nodes, fanout : for graphs too large for one pass, with systems that can ("gnn-ce"): steps of so many nodes,
        each with at most so many neighbours of every node, for each layer of the network; every node has its turn in an
        epoch. Predictions look at all neighbours.
    devices : 1; a step takes the whole graph, so there is nothing to divide
    **rest : options of ``errata.data.graphs.read``; of the network: hidden, heads, dropout, width; and
        hyper-parameters of the system

    Returns
    -------
    GraphRun
        its ``metrics`` have ``test_accuracy`` where the graph has test nodes with labels; it is of the last epoch, or
        of the one selected on held-out labels

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> edges = rng.integers(0, 30, size=(2, 200)) * 2 + rng.integers(0, 2, size=200)  # within a class only
    >>> run = train(rng.normal(size=(60, 4)) + y[:, None], y, edges=edges, epochs=3, width=8, hidden=8,
    ...             device="cpu", progress=False)
    >>> len(run.ledger), run.ledger.kind.rows
    (60, 'nodes')
    """
    how = Conduct(validation, select, seed, device, 1, precision, out, resume, progress, deterministic)
    how.check(epochs)
    if devices != 1:
        raise ParameterError(f"A step takes the whole graph, so there is nothing to divide; got devices={devices!r}.")
    known = ", ".join(card.slug for card in systems.list_systems(task="graphs"))
    kind = system_class(system, NodeSystem, f"Expected a system for graphs ({known}), or a NodeSystem of your own")
    reading, network, settings = split_named(rest, kind, keyword_options(read), NETWORK)
    data = read(source, y if y is not None else label, **reading)
    classes = data.require_labels().classes
    folder = how.claim()
    held = hold_out(data.given, validation, seed)
    given = data.given.copy()
    given[held] = MISSING
    encoder = NodeEncoder().fit(data)
    graph = Graph(encoder.encode(data), torch.from_numpy(data.edges))
    with isolated_randomness(mixed_seed(seed, 0)):  # systems may draw weights of their own
        built, spec = _network(model, kind, graph.x.shape[1], len(classes), network, settings, mixed_seed(seed, 1))
        made = kind(built, len(classes), len(data), **settings)
    parts = _parts(batch_nodes, fanout, kind)
    steps = epochs if epochs is not None else EPOCHS.get(kind.card.slug, MOST_EPOCHS)
    if epochs is None and parts is not None:
        steps = max(FEWEST_EPOCHS, -(-steps // -(-len(data) // parts.batch_nodes)))
    told = {"validation": validation, "select": select, "seed": seed} | ({} if parts is None else asdict(parts))
    about = _describe(made, data, encoder, spec, epochs=steps, **told)
    announce(folder, about)
    trained = np.flatnonzero(given != MISSING)
    facts = f"{fingerprint(graph.x, given, trained)}, {_edges_print(data)}"
    watched = np.full(len(data), MISSING)
    watched[held] = data.given[held]
    fitted = how.fit_system(
        made,
        _batches(graph, given, parts, seed),
        folder,
        epochs=steps,
        validation=_batches(graph, watched, parts, seed, held) if len(held) else None,
        identity={"classes": classes, "data": facts, "model": spec, "seed": seed}
        | ({} if parts is None else {"parts": [parts.batch_nodes, *parts.fanout]}),
    )
    run = _finish(made, data, encoder, graph, held, fitted, about, select, device)
    if folder is not None:
        run.save(folder)
    return run


def _parts(batch_nodes: int | None, fanout: Sequence[int], kind: type[NodeSystem]) -> Parts | None:
    if batch_nodes is None:
        return None
    if not kind.in_parts:
        raise ParameterError(f"'{kind.card.slug}' takes the whole graph at each step; batch_nodes= is for 'gnn-ce'.")
    return Parts(int(batch_nodes), tuple(fanout))


def _batches(graph: Graph, labels: np.ndarray, parts: Parts | None, seed: int, nodes: np.ndarray | None = None) -> Any:
    if parts is None:
        return _Whole(graph, labels)
    y = torch.from_numpy(labels)
    more: dict[str, Any] = {"seed": seed, "nodes": nodes, "shuffle": nodes is None}
    return NodeBatches(graph.x, graph.edge_index, y, batch_nodes=parts.batch_nodes, fanout=parts.fanout, **more)


class _Whole:
    """The whole graph as the one batch of an epoch."""

    def __init__(self, graph: Graph, labels: np.ndarray) -> None:
        self.batch = graph_batch(graph.x, graph.edge_index, torch.from_numpy(labels))

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Batch]:
        yield self.batch


def _edges_print(data: GraphData) -> str:
    first, second = data.edges.astype(np.int64)
    mixed = (first * 1_000_003 + second * 7_919).sum()  # of whole numbers, so in any order the same
    return f"{data.edges.shape[1]} edges, {int(mixed) & 0xFFFFFFFF:08x}"


# -- arguments --------------------------------------------------------------------------------------------------------


def _network(
    model: str | nn.Module,
    kind: type[NodeSystem],
    in_features: int,
    num_classes: int,
    options: dict[str, Any],
    settings: dict[str, Any],
    seed: int,
) -> tuple[nn.Module, Any]:
    if isinstance(model, nn.Module):
        if options:
            raise ParameterError(f"{', '.join(options)}: options of a network that errata builds; this is your own.")
        return model, type(model).__qualname__
    conv = "gat" if model == "auto" else model
    if conv not in networks.CONVOLUTIONS:
        raise UnknownNameError("network over a graph", model, ("auto", *networks.CONVOLUTIONS))
    options = dict(options)
    width = options.pop("width", None)
    if kind.network == "classifier":
        if width is not None:
            raise ParameterError(f"'{kind.card.slug}' ends in its classes; width= is for systems with an encoder.")
        outputs = num_classes
    else:
        outputs = width or settings.get("embedding_dim") or networks.WIDTH
    made = networks.build(kind.network, in_features, outputs, conv=conv, seed=seed, **options)
    return made, made.spec


# -- the finished run -------------------------------------------------------------------------------------------------


def _describe(
    system: NodeSystem, data: GraphData, encoder: NodeEncoder, spec: Any, *, epochs: int, **arguments: Any
) -> dict[str, Any]:
    names = [name for name in system.hyperparameters() if name != "views" and hasattr(system, name)]
    settings = {name: plain(getattr(system, name)) for name in names}
    labels = data.require_labels()
    about = {
        "format": FORMAT,
        "task": system.card.task,
        "system": system.card.slug,
        "hyperparameters": settings,
        "model": spec,
        "encoder": encoder.spec(),
        "classes": labels.classes,
        **data.origin,
        "kind": data.kind,
        "label": data.label_name,
        "nodes": len(data),
        "edges": data.edges.shape[1] // 2,
        "epochs": epochs,
        **arguments,
        "reading": data.reading,
        "versions": versions(),
    }
    told = {
        "label": data.label_name,
        "system": system.card.slug,
        "epochs": epochs,
        **arguments,
        **data.reading,
        **settings,
    }
    about["command"] = f"errata.train({', '.join([repr(data.source), *(f'{k}={v!r}' for k, v in told.items())])})"
    return about


def _finish(
    system: NodeSystem,
    data: GraphData,
    encoder: NodeEncoder,
    graph: Graph,
    held: np.ndarray,
    fitted: Fitted,
    about: dict[str, Any],
    select: str,
    device: str,
) -> GraphRun:
    given, labels = data.given, data.require_labels()
    ledger = _ledger(system, data, held, fitted, about)
    weights: dict[str, dict[str, Any]] = {}
    if fitted.best_weights:
        weights = {"last": {k: v.clone() for k, v in weights_of(system).items()}, "best": fitted.best_weights}
        system.load_state_dict(weights[select], strict=False)  # all but the per-node memories
    predicted = node_probabilities(system, graph, device, Parts.of(about))
    data.proposed = np.where(given != MISSING, ledger.proposed, predicted.argmax(1))
    last = fitted.history[-1] if fitted.history else {}
    train = np.setdiff1d(np.flatnonzero(given != MISSING), held)
    metrics: dict[str, Any] = {
        "system": system.card.slug,
        "epochs": len(fitted.history),
        "seconds": sum(record["seconds"] for record in fitted.history),
        "nodes": len(data),
        "edges": data.edges.shape[1] // 2,
        "labelled": int((given != MISSING).sum()),
        "trained_on": len(train),
        "train_loss": last.get("train_loss"),
        "train_agreement": float((predicted.argmax(1) == given)[train].mean()),
        "issues": int(ledger.issue.sum()),
        "noise_rate": ledger.noise.rate,
    }
    if len(held):
        metrics |= {
            "held_out": len(held),
            "validation_accuracy": last.get("val_accuracy"),
            "validation_accuracy_best": max(record["val_accuracy"] for record in fitted.history),
            "best_epoch": fitted.best_epoch,
            "selected": select,
        }
    test = data.known_in("test")
    if len(test):
        found = scores(labels.codes[test], predicted[test])
        metrics |= {"test_accuracy": found["accuracy"], "test_macro_f1": found["macro_f1"], "test_nodes": len(test)}
    system.eval()
    about = {**about, "finished": True}
    classes = list(labels.classes)
    return GraphRun(system, encoder, classes, ledger, metrics, fitted.history, about, device, weights)


def _ledger(system: NodeSystem, data: GraphData, held: np.ndarray, fitted: Fitted, about: dict[str, Any]) -> Ledger:
    columns: dict[str, Any] = {"neighbours": data.degrees()}
    if data.ids is not None:
        columns["node"] = np.array([str(name) for name in data.ids.tolist()], dtype=object)
    if len(held):
        columns["held_out"] = np.isin(data.rows, held)
    kept = ("system", "hyperparameters", "epochs", "validation", "seed", "command")
    ledger = system.ledger(
        data.given,
        data.require_labels().classes,
        index=data.rows,
        columns=columns,
        meta={**data.origin, **{name: about[name] for name in kept}},
        charts=_charts(fitted),
    )
    ledger.data = data
    return ledger


def _charts(fitted: Fitted) -> list[Chart]:
    epochs = [record["epoch"] for record in fitted.history]
    series = {
        "training labels": (epochs, [record.get("agreement") for record in fitted.history]),
        "held-out labels": (epochs, [record.get("val_accuracy") for record in fitted.history]),
    }
    known = {name: points for name, points in series.items() if any(value is not None for value in points[1])}
    if not known:
        return []
    says = (
        "The share of the given labels that the system would give too, epoch by epoch. Where it rises to 1, all labels "
        "are learned, the wrong ones too; a system that corrects labels stays below."
    )
    return [Chart("Agreement with the given labels", says, known, x="epoch", y="share of the labels")]


load = GraphRun.load
"""Load a finished run on a graph."""
