"""From a system trained on masks to its run: the ledger over every image, the figures, the charts, the notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from errata.charts import Chart
from errata.data.segmentation import IGNORE
from errata.engine.callbacks import weights_of
from errata.engine.evaluation import iterate_probabilities
from errata.engine.fit import Fitted, resolve_device
from errata.engine.segmentation_run import AT_ONCE, Confusion, SegmentationRun, pixel_scores
from errata.ledger import Ledger
from errata.parts.pixel_ledger import Piece, ledger_of_pixels

if TYPE_CHECKING:
    from errata.engine.segmentation import SegmentationTask

__all__ = ["finish"]


def finish(task: SegmentationTask, fitted: Fitted, about: dict[str, Any], select: str, device: str) -> SegmentationRun:
    """The run of a finished training; images held out, or without a mask, get their rows from the finished network."""
    system, data = task.system, task.data
    given = data.require_masks()
    own_pieces = dict(zip(task.trained.tolist(), system.pieces(given[task.trained])))
    weights: dict[str, dict[str, Any]] = {}
    if fitted.best_weights:
        weights = {
            "last": {name: value.clone() for name, value in weights_of(system).items()},
            "best": fitted.best_weights,
        }
        system.load_state_dict(weights[select], strict=False)
    table, held_table = Confusion(len(data.classes)), Confusion(len(data.classes))
    pieces: list[Piece] = []
    for start, some in iterate_probabilities(system, task.inputs, AT_ONCE, device=resolve_device(device)):
        for row, probabilities in enumerate(some, start=start):
            best = probabilities.argmax(0)
            (table if row in own_pieces else held_table).add(best, given[row])
            pieces.append(own_pieces[row] if row in own_pieces else _piece(given[row], probabilities, best))
    ledger = _ledger(task, pieces, about)
    places = {int(row): place for place, row in enumerate(task.trained)}
    masks = getattr(system, "masks", None)

    def corrected(position: int) -> NDArray[np.uint8] | None:
        return masks.current([places[position]])[0].numpy() if masks is not None and position in places else None

    def proposed(position: int) -> NDArray[np.integer]:
        piece = pieces[position]
        return given[position] if piece.proposed is None else np.where(piece.mask >= 0, piece.proposed, IGNORE)

    data.proposed = proposed
    ledger.data = data
    run = SegmentationRun(
        system.eval(),
        task.encoder,
        list(data.classes),
        ledger,
        _metrics(task, fitted, ledger, table, held_table, select),
        fitted.history,
        {**about, "finished": True},
        device,
        weights,
        data=data,
        corrected=corrected if masks is not None else None,
    )
    return run


def _piece(mask: NDArray[np.uint8], probabilities: NDArray[np.float32], best: NDArray[np.integer]) -> Piece:
    classes = np.where(mask == IGNORE, -1, mask.astype(np.int64))
    if not (classes >= 0).any():
        return Piece(classes, None, None)
    own = np.take_along_axis(probabilities, np.maximum(classes, 0)[None], 0)[0]
    return Piece(classes, own, best)


def _ledger(task: SegmentationTask, pieces: list[Piece], about: Mapping[str, Any]) -> Ledger:
    data = task.data
    kept = ("source", "label", "system", "hyperparameters", "epochs", "batch_size", "validation", "seed", "command")
    columns: dict[str, Any] = {
        "image": np.array(data.names, dtype=object),
        "mask": np.array([data.mask_name(i) for i in range(len(data))], dtype=object),
    }
    if len(task.held):
        columns["held_out"] = np.isin(np.arange(len(data)), task.held)
    meta = {
        "method": task.system.card.slug,
        "ignore": [data.ignore],
        **data.origin,
        **{name: about[name] for name in kept if name in about},
        "notes": _notes(task),
    }
    charts = _charts(task)
    return ledger_of_pixels(pieces, data.classes, meta=meta, columns=columns, index=data.rows, charts=charts)


def _switched_on(task: SegmentationTask) -> dict[str, int]:
    """The classes that are being corrected, with the epoch (from 1) after which that began."""
    since = task.system.monitor.on_since.tolist()
    return {name: int(epoch) + 1 for name, epoch in zip(task.data.classes, since) if epoch >= 0}


def _notes(task: SegmentationTask) -> list[str]:
    masks = getattr(task.system, "masks", None)
    if masks is None:
        return []
    on = _switched_on(task)
    if not on:
        return ["No class was switched on, so no mask was changed: early learning had not ended by the last epoch."]
    told = ", ".join(f"{name} (epoch {epoch})" for name, epoch in on.items())
    changed = _changed(task)
    return [
        f"Masks were corrected from when a class's training curve had bent: {told}.",
        f"{changed['pixels']:,} pixels ({changed['share']:.1%}) in {changed['images']:,} images differ from the given "
        "masks; they are in the folder masks/.",
    ]


def _changed(task: SegmentationTask) -> dict[str, Any]:
    masks: Any = getattr(task.system, "masks", None)
    pixels = images = 0
    for row in range(len(task.trained)) if masks is not None else ():
        differ = int((masks.current([row]) != masks.given([row])).sum())
        pixels += differ
        images += differ > 0
    total = len(task.trained) * task.data.size[0] * task.data.size[1]
    return {"pixels": pixels, "images": images, "share": pixels / max(1, total)}


def _charts(task: SegmentationTask) -> list[Chart]:
    """The training curve of every class; and when each was switched on."""
    monitor, names = task.system.monitor, task.data.classes
    times, curves = task.system.curve_times().tolist(), monitor.curves
    seen = [c for c in range(len(names)) if len(curves) and curves[:, c].max() > 0]
    says = "How far the network, while training, agrees with the masks that it is given: steep while it learns what "
    says += "they have in common, nearly flat once it goes on to memorise their errors."
    on = _switched_on(task)
    if on:
        says += (
            " Corrections began with " + ", ".join(f"{name} after epoch {epoch}" for name, epoch in on.items()) + "."
        )
    series: dict[str, Any] = {names[c]: (times, curves[:, c].tolist()) for c in seen}
    charts = [Chart("Training curves by class", says, series, x="epoch", y="IoU with the masks")]
    if on:
        told = "After which epoch a class's masks began to be corrected; classes that are missing never were."
        bars = {"switched on": (list(on), [float(epoch) for epoch in on.values()])}
        charts.append(Chart("Correction began", told, bars, x="class", y="epoch", style="bars"))
    return charts


def _metrics(
    task: SegmentationTask, fitted: Fitted, ledger: Ledger, table: Confusion, held: Confusion, select: str
) -> dict[str, Any]:
    last = fitted.history[-1] if fitted.history else {}
    scores = pixel_scores(table.counts, task.data.classes)
    metrics: dict[str, Any] = {
        "system": task.system.card.slug,
        "epochs": len(fitted.history),
        "seconds": sum(record["seconds"] for record in fitted.history),
        "images": len(task.data),
        "trained_on": len(task.trained),
        "train_loss": last.get("train_loss"),
        **{f"train_{name}": value for name, value in scores.items()},
        "issues": int(ledger.issue.sum()),
        "regions": int(ledger.parts["issue"].sum()) if ledger.parts is not None else 0,
        "pixel_noise_rate": ledger.meta["pixel_noise_rate"],
    }
    masks = getattr(task.system, "masks", None)
    if masks is not None:
        changed = _changed(task)
        metrics |= {"corrected_images": changed["images"], "corrected_pixels": changed["share"]}
        metrics |= {"corrections": masks.generation, "switched_on": _switched_on(task)}
    if len(task.held):
        metrics |= {
            "held_out": len(task.held),
            "validation_miou": pixel_scores(held.counts, task.data.classes)["miou"],
            "best_epoch": fitted.best_epoch,
            "selected": select,
        }
    return metrics
