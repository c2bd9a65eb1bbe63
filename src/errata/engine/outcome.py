"""From a trained system to its run: the ledger over every row of the data, the figures, the description."""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.audit.vouching import sample_places
from errata.engine.callbacks import weights_of
from errata.engine.checkpoints import plain
from errata.engine.evaluation import iterate_probabilities
from errata.engine.fit import Fitted, resolve_device
from errata.engine.held_out import held_out_share
from errata.engine.run import FORMAT, Run, versions
from errata.engine.task import Task
from errata.ledger import Ledger

__all__ = ["describe", "finish"]


def describe(task: Task, **arguments: Any) -> dict[str, Any]:
    """What ``run.json`` says: all that is needed to build the run again, in plain JSON types.

    Parameters
    ----------
    task : the training
    arguments : those of ``errata.train`` that are not in ``task``: validation, select, augment, seed, reading
    """
    system, data = task.system, task.data
    names = [name for name in system.hyperparameters() if name != "views" and hasattr(system, name)]
    about = {
        "format": FORMAT,
        "system": system.card.slug,
        "hyperparameters": {name: plain(getattr(system, name)) for name in names},
        "model": task.model_spec,
        "encoder": task.encoder.spec(),
        "classes": data.labels.classes,
        **data.origin,
        "kind": data.kind,
        "label": data.label_name,
        "epochs": task.recipe.epochs,
        "batch_size": task.recipe.batch_size,
        **{name: plain(value) for name, value in arguments.items()},
        "reading": {**data.reading, **plain(arguments.get("reading", {}))},
        "versions": versions(),
    }
    return {**about, "command": _command(about)}


def _command(about: dict[str, Any]) -> str:
    named = {name: about[name] for name in ("label", "system", "epochs", "batch_size", "validation", "select", "seed")}
    named |= {"model": about["model"]["name"]} if isinstance(about["model"], dict) else {}
    named |= {name: about[name] for name in ("precision", "epoch_rows") if name in about}
    named |= about.get("reading", {})
    named |= about["hyperparameters"]
    return f"errata.train({', '.join([repr(about['source']), *(f'{k}={v!r}' for k, v in named.items())])})"


def finish(task: Task, fitted: Fitted, about: dict[str, Any], select: str, device: str) -> Run:
    """The run of a finished training.

    The ledger's rows that were trained on come from the system; the others (held out, or without a label) from the
    predictions of the finished model, which has not seen them.
    """
    system, codes = task.system, task.data.labels.codes
    inner = system.ledger(codes[task.trained], task.data.labels.classes)
    weights: dict[str, dict[str, Any]] = {}
    if fitted.best_weights:
        own = {name: value.clone() for name, value in weights_of(system).items()}
        weights = {"last": own, "best": fitted.best_weights}
        system.load_state_dict(weights[select], strict=False)  # all but the per-sample memories
    watched = task.held[sample_places(len(task.held), len(inner.classes))]
    predicted, own_probability, unseen = _predictions(task, device, about.get("precision"), watched)
    ledger = _over_all_rows(task, inner, predicted, own_probability, about)
    told = held_out_share(codes[watched], unseen, list(ledger.classes))
    if told is not None:
        ledger.meta["held_out"] = told.plain()
    last = fitted.history[-1] if fitted.history else {}
    metrics: dict[str, Any] = {
        "system": system.card.slug,
        "epochs": len(fitted.history),
        "seconds": sum(record["seconds"] for record in fitted.history),
        "rows": len(codes),
        "labelled": int((codes >= 0).sum()),
        "trained_on": len(task.trained),
        "train_loss": last.get("train_loss"),
        "train_accuracy": float((predicted == codes)[task.trained].mean()),
        "issues": int(ledger.issue.sum()),
        "noise_rate": ledger.noise.rate,
    }
    if len(task.held):
        metrics |= {
            "held_out": len(task.held),
            "validation_accuracy": last.get("val_accuracy"),
            "validation_accuracy_best": max(record["val_accuracy"] for record in fitted.history),
            "best_epoch": fitted.best_epoch,
            "selected": select,
        }
    system.eval()
    return Run(
        system,
        task.encoder,
        list(ledger.classes),
        ledger,
        metrics,
        fitted.history,
        {**about, "finished": True},
        device,
        weights,
    )


def _predictions(
    task: Task, device: str, precision: str | None, watched: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the finished model says of the rows.

    Parameters
    ----------
    watched : (M,) rising numbers of the rows whose probabilities are all kept

    Returns
    -------
    (N,) the class predicted for each row; (N,) the probability of its given label, NaN where it has none; and of the
    watched rows all probabilities (M, K)
    """
    codes = task.data.labels.codes
    unseen: list[np.ndarray] = []
    predicted = np.empty(len(codes), dtype=np.int64)
    own = np.full(len(codes), np.nan, dtype=np.float32)
    place = resolve_device(device)
    for start, some in iterate_probabilities(task.system, task.inputs, device=place, precision=precision):
        rows = slice(start, start + len(some))
        predicted[rows] = some.argmax(1)
        given = codes[rows]
        own[rows] = np.where(given >= 0, some[np.arange(len(some)), given], np.nan)
        first, last = np.searchsorted(watched, (start, start + len(some)))
        unseen.append(some[watched[first:last] - start])
    return predicted, own, np.concatenate(unseen)


def _over_all_rows(task: Task, inner: Ledger, predicted: np.ndarray, own: np.ndarray, about: dict[str, Any]) -> Ledger:
    codes, rows = task.data.labels.codes, task.trained
    proposed, trust = predicted.copy(), np.clip(own, 0.0, 1.0)
    issue = (codes >= 0) & (proposed != codes)
    for whole, part in ((proposed, inner.proposed), (trust, inner.trust), (issue, inner.issue)):
        whole[rows] = part
    columns = {name: _spread(values, rows, len(codes)) for name, values in inner.columns.items()}
    if len(task.held):
        columns["held_out"] = np.isin(np.arange(len(codes)), task.held, assume_unique=True)
    kept = ("source", "system", "hyperparameters", "epochs", "batch_size", "validation", "seed", "command")
    ledger = Ledger(
        codes,
        proposed,
        trust,
        classes=inner.classes,
        issue=issue,
        noise=inner._noise,  # the system's own estimate, where it has one; else counted from all rows
        columns=columns,
        index=task.data.rows,
        meta={**inner.meta, **task.data.origin, **{name: about[name] for name in kept}},
    )
    ledger.data = task.data
    return ledger


def _spread(values: np.ndarray, rows: np.ndarray, total: int) -> np.ndarray:
    """A column over the rows trained on as one over all rows: NaN (or the type's zero) elsewhere."""
    empty = np.nan if values.dtype.kind == "f" else np.zeros((), dtype=values.dtype)
    whole = np.full((total, *values.shape[1:]), empty, dtype=values.dtype)
    whole[rows] = values
    return whole
