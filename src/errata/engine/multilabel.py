"""The room of systems that learn several labels per item: from data to a model and a ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from errata.data import encoder_for, loader, tokenizer_of
from errata.data import read as read_items
from errata.data.encoders import ArrayEncoder
from errata.data.multilabel_reading import MultiLabelData, read_multilabel
from errata.engine.callbacks import weights_of
from errata.engine.checkpoints import plain
from errata.engine.conduct import Conduct, announce, split_named, system_class
from errata.engine.evaluation import predict_proba
from errata.engine.fit import Fitted, resolve_device
from errata.engine.multilabel_run import MultiLabelRun
from errata.engine.randomness import isolated_randomness, mixed_seed
from errata.engine.recipes import Recipe, recipe_for
from errata.engine.run import FORMAT, versions
from errata.engine.task import Renumbered, Task, build_network, workers_for
from errata.engine.training import keyword_options
from errata.errors import DataError
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.parts import MultiLabelSystem

__all__ = ["load", "matched_thresholds", "predicted", "read", "train"]

LEARNING_RATE = 1e-3
"""For networks that start from scratch; the systems' own is for fine-tuning."""

SMALLEST_BATCH = 32
"""Temperature, re-balance factor and mixup of PU-MLC are of a batch."""

EXPECTED = "Several labels per item need a subclass of errata.parts.MultiLabelSystem, or its slug"

READING = [name for door in (read_items, read_multilabel) for name in keyword_options(door) if name != "label"]

load = MultiLabelRun.load


def read(source: Any, label: Any = None, **reading: Any) -> MultiLabelData:
    """Read items and their labels; see ``errata.data.multilabel_reading.read_multilabel``."""
    return read_multilabel(source, label=label, **reading)


def train(
    source: Any,
    y: Any = None,
    *,
    label: Any = None,
    system: str | type[MultiLabelSystem] = "pu-mlc",
    model: str | nn.Module = "auto",
    epochs: int | None = None,
    batch_size: int | None = None,
    validation: float = 0.0,
    select: str = "last",
    seed: int = 0,
    device: str = "auto",
    devices: int = 1,
    precision: str | int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    augment: bool = True,
    deterministic: bool = True,
    **rest: Any,
) -> MultiLabelRun:
    """Train on items of which each may have several labels, some of them unknown; ``errata.train`` leads here.

    Parameters
    ----------
    source : a table, an ARFF file, images, texts, an array; see ``errata.data.multilabel_reading.read_multilabel``
    y : (N, L) labels of 1, 0 and -1 (or NaN) where not known; or N lists of names
    label : how the labels are found in ``source``: columns of 0 and 1, one column of lists, MULAN's ``.xml``
    system : "pu-mlc", "bce", or a ``MultiLabelSystem`` class of your own
    model, epochs, batch_size, select, seed, device, devices, precision, out, resume, progress, augment, deterministic :
        see ``errata.train``
    validation : the share of items held out, in [0, 0.9]; ``metrics`` then has the mean average precision on them
    **rest : options of ``errata.read``, ``classes``, ``label_separator``, and hyper-parameters of the system

    Returns
    -------
    MultiLabelRun
        with ``ledger``: a row per item, and the (item, label) pairs as its ``parts``

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 3)).astype("float32")
    >>> y = (x > 0).astype(int)
    >>> y[rng.random(y.shape) < 0.5] = 0  # half of what applies was not noted
    >>> run = train(x, y, system="pu-mlc", seed=0, device="cpu", progress=False)
    >>> run.evaluate(x, (x > 0).astype(int))["map"] > 0.9
    True
    """
    how = Conduct(validation, select, seed, device, devices, precision, out, resume, progress, deterministic)
    how.check(epochs)
    kind = system_class(system, MultiLabelSystem, EXPECTED)
    reading, settings = split_named(rest, kind, READING)
    folder = how.claim()
    items = read_multilabel(source, y, label=label, **reading)
    chosen: dict[str, Any] = {"model": model, "settings": settings, "epochs": epochs, "batch_size": batch_size}
    task = _prepare(items, kind, validation=validation, augment=augment, seed=seed, **chosen)
    about = _describe(task, validation=validation, select=select, augment=augment, seed=seed, reading=reading)
    announce(folder, about)
    fitted = how.fit(task, folder)
    run = _finish(task, fitted, about, select, device)
    if folder is not None:
        run.save(folder)
    return run


# -- ready to start ---------------------------------------------------------------------------------------------------


@dataclass
class _Task(Task):
    """A training, ready to start; ``data`` are items, ``matrix`` their labels."""

    data: MultiLabelData
    system: MultiLabelSystem
    matrix: np.ndarray


def _prepare(
    items: MultiLabelData,
    kind: type[MultiLabelSystem],
    *,
    model: str | nn.Module,
    settings: dict[str, Any],
    epochs: int | None,
    batch_size: int | None,
    validation: float,
    augment: bool,
    seed: int,
) -> _Task:
    matrix, data = items.require_labels(), items.data
    held = _hold_out(len(matrix), validation, seed)
    trained = np.setdiff1d(np.arange(len(matrix)), held, assume_unique=True)
    if len(trained) < 2 or not (matrix[trained] == 1).any():
        raise DataError(f"{items.source} has too few items with a label to train on and to hold out {validation:.0%}.")
    recipe = _recipe(data.kind, len(trained), model, kind, settings, epochs, batch_size)
    encoder = _encoder(items, model).fit(data)
    inputs = encoder.encode(data)
    with isolated_randomness(mixed_seed(seed, 0)):
        network, spec = build_network(model, data.kind, matrix.shape[1], encoder, mixed_seed(seed, 1))
        _tell_labels(network, matrix[trained])
        views = encoder.views(augment=augment)
        system = kind(network, matrix.shape[1], len(trained), views=views, **recipe.settings)
    given = torch.from_numpy(matrix.astype(np.int64))
    more: dict[str, Any] = {"batch_size": recipe.batch_size, "seed": seed, "workers": workers_for(inputs)}
    identity = {
        "classes": items.names,
        "data": _fingerprint(inputs, matrix, trained),
        "model": spec,
        "batch_size": recipe.batch_size,
        "seed": seed,
    }
    return _Task(
        data=items,
        matrix=matrix,
        encoder=encoder,
        inputs=inputs,
        trained=trained,
        held=held,
        system=system,
        batches=Renumbered(loader(inputs, given, index=trained, **more), trained, len(matrix)),
        held_batches=loader(inputs, given, index=held, shuffle=False, **more) if len(held) else None,
        recipe=recipe,
        model_spec=spec,
        identity=identity,
    )


def _recipe(
    kind: str,
    rows: int,
    model: Any,
    system: type[MultiLabelSystem],
    settings: dict[str, Any],
    epochs: int | None,
    batch_size: int | None,
) -> Recipe:
    chosen = recipe_for(kind, rows, system.hyperparameters())
    fresh = isinstance(model, str) and ":" not in model  # timm: and hf: are fine-tuned at the paper's rate
    return Recipe(
        chosen.epochs if epochs is None else epochs,
        max(SMALLEST_BATCH, chosen.batch_size) if batch_size is None else batch_size,
        {**chosen.settings, **({"lr": LEARNING_RATE} if fresh else {}), **settings},
    )


def _encoder(items: MultiLabelData, model: Any) -> Any:
    if items.data.kind == "tabular" and items.data.array is not None:
        return ArrayEncoder(standardize=items.standardize)
    return encoder_for(items.data, **tokenizer_of(model, items.data))


def _tell_labels(network: nn.Module, matrix: np.ndarray) -> None:
    """A network over the graph of labels counts it from the known positives."""
    told: Any = getattr(network, "set_labels", None)
    if callable(told):
        told(torch.from_numpy(matrix == 1))


def _hold_out(rows: int, share: float, seed: int) -> np.ndarray:
    chosen = np.random.default_rng([seed, 0x5E]).permutation(rows)[: round(rows * share)]
    return np.sort(chosen)


def _fingerprint(inputs: Any, matrix: np.ndarray, trained: np.ndarray) -> str:
    from errata.engine.task import fingerprint

    labels = hashlib.blake2b(np.ascontiguousarray(matrix).tobytes(), digest_size=8).hexdigest()
    return f"{fingerprint(inputs, matrix[:, 0].astype(np.int64), trained)}, {labels}"


# -- what is left behind ----------------------------------------------------------------------------------------------


def _describe(task: _Task, *, reading: Mapping[str, Any], **arguments: Any) -> dict[str, Any]:
    """What ``run.json`` says: all that is needed to build the run again, in plain JSON types."""
    system, items = task.system, task.data
    names = [name for name in system.hyperparameters() if name != "views" and hasattr(system, name)]
    columns = [column.name for column in items.data.columns] if items.data.format == "ARFF" else None
    about = {
        "format": FORMAT,
        "task": "multilabel",
        "system": system.card.slug,
        "hyperparameters": {name: plain(getattr(system, name)) for name in names},
        "model": task.model_spec,
        "encoder": task.encoder.spec(),
        "classes": items.names,
        "features": columns if items.data.array is not None else None,
        **items.data.origin,
        "kind": items.data.kind,
        "label": items.label,
        "epochs": task.recipe.epochs,
        "batch_size": task.recipe.batch_size,
        **{name: plain(value) for name, value in arguments.items()},
        "reading": {**items.data.reading, **plain({k: v for k, v in reading.items() if k != "kinds"})},
        "versions": versions(),
    }
    about["reading"].pop("kinds", None)  # of the label columns; the encoder tells those of the features
    named = {name: about[name] for name in ("label", "system", "epochs", "batch_size", "validation", "select", "seed")}
    told = {**named, **about["reading"], **about["hyperparameters"]}
    command = f"errata.train({', '.join([repr(about.get('source')), *(f'{k}={v!r}' for k, v in told.items())])})"
    return {**about, "command": command}


def _finish(task: _Task, fitted: Fitted, about: dict[str, Any], select: str, device: str) -> MultiLabelRun:
    """The run of a finished training; items held out get their trust from the finished model, new to them."""
    system, matrix = task.system, task.matrix
    believed = np.empty(matrix.shape, dtype=np.float32)
    believed[task.trained] = system.proposals().cpu().numpy()
    weights: dict[str, dict[str, Any]] = {}
    if fitted.best_weights:
        own = {name: value.clone() for name, value in weights_of(system).items()}
        weights = {"last": own, "best": fitted.best_weights}
        system.load_state_dict(weights[select], strict=False)  # all but the per-sample memories
    predicted = predict_proba(system, task.inputs, device=resolve_device(device))
    believed[task.held] = predicted[task.held]
    thresholds = np.full(matrix.shape[1], 0.5)
    if system.believes_negatives:
        thresholds = matched_thresholds(matrix[task.trained], predicted[task.trained])
    about = {**about, "thresholds": thresholds.round(6).tolist(), "finished": True}
    ledger = _ledger(task, believed, about)
    last = fitted.history[-1] if fitted.history else {}
    metrics: dict[str, Any] = {
        "system": system.card.slug,
        "epochs": len(fitted.history),
        "seconds": sum(record["seconds"] for record in fitted.history),
        "rows": len(matrix),
        "labels": matrix.shape[1],
        "known": float((matrix != MISSING).mean()),
        "trained_on": len(task.trained),
        "train_loss": last.get("train_loss"),
        "issues": int(ledger.issue.sum()),
        "wrong_labels": int(ledger.columns["wrong_labels"].sum()),
    }
    if len(task.held):
        metrics |= {
            "held_out": len(task.held),
            "validation_map": last.get("val_map"),
            "validation_map_best": max(record["val_map"] for record in fitted.history),
            "best_epoch": fitted.best_epoch,
            "selected": select,
        }
    system.eval()
    history = fitted.history
    return MultiLabelRun(system, task.encoder, task.data.names, ledger, metrics, history, about, device, weights)


def _ledger(task: _Task, believed: np.ndarray, about: dict[str, Any]) -> Ledger:
    kept = ("source", "system", "hyperparameters", "epochs", "batch_size", "validation", "seed", "command")
    columns = {}
    if len(task.held):
        columns["held_out"] = np.isin(np.arange(len(task.matrix)), task.held, assume_unique=True)
    ledger = task.system.ledger(
        task.matrix,
        task.data.names,
        probabilities=believed,
        index=task.data.data.rows,
        columns=columns,
        meta={**task.data.data.origin, **{name: about[name] for name in kept if name in about}},
    )
    ledger.data = task.data.data
    return ledger


def matched_thresholds(given: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The probability from which as many items are predicted to have a label as are given it.

    Parameters
    ----------
    given : (N, L) 1, 0, or -1 where not known
    probabilities : (N, L) predicted for the same items

    Returns
    -------
    (L,) in (0, 1); 0.5 where only positives are known, or none

    Examples
    --------
    >>> y, p = np.array([[1], [0], [0], [0]]), np.array([[0.4], [0.2], [0.1], [0.05]])
    >>> matched_thresholds(y, p).round(2)
    array([0.3])
    """
    found = np.full(given.shape[1], 0.5)
    for place in range(given.shape[1]):
        known = given[:, place] != MISSING
        count = int((given[known, place] == 1).sum())
        if 0 < count < int(known.sum()):
            falling = -np.sort(-probabilities[known, place].astype(np.float64))
            found[place] = (falling[count - 1] + falling[count]) / 2
    return found.clip(1e-6, 1 - 1e-6)


def predicted(run: MultiLabelRun, items: MultiLabelData, probabilities: np.ndarray, *, every: bool) -> tuple[Any, Any]:
    """What ``errata predict`` writes and tells: a row per item, and how many items are predicted to have each label.

    Returns
    -------
    pyarrow.Table with row, labels (joined by "|"), and with ``every`` the probability of each label as p_NAME;
    and a dict from label to number
    """
    import pyarrow as pa

    applies = probabilities >= run.thresholds
    names = [str(name) for name in run.classes]
    told = ["|".join(names[i] for i in np.flatnonzero(row)) for row in applies]
    columns = {"row": pa.array(items.data.rows), "labels": pa.array(told, pa.string())}
    if every:
        columns |= {f"p_{name}": pa.array(probabilities[:, i]) for i, name in enumerate(names)}
    counts = applies.sum(axis=0)
    order = np.argsort(-counts, kind="stable")
    return pa.table(columns), {names[i]: int(counts[i]) for i in order.tolist() if counts[i]}
