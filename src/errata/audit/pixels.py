"""Cross-validated probabilities of pixels, for masks that come without any.

What a fold's network says of its images goes to the disk at the network's size, in half precision, and is read back
image by image; the memory holds the images and masks at that size, and no probabilities.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errata import systems
from errata.audit.crossval import NAMED, SMALLEST, temper
from errata.audit.folds import Kept, frame_folds
from errata.audit.pixel_networks import PixelFolds
from errata.audit.progress import Progress, Show
from errata.data.masks import Stack
from errata.data.segmentation import IGNORE, read_segmentation
from errata.engine.segmentation_run import at_size
from errata.errors import DataError, UnknownNameError

__all__ = ["OutOfFold", "cross_validated"]

PIXELS = 20_000  # that the temperature is fitted on
WEAK = 0.3  # of the way from the commonest class everywhere to full agreement: networks below are told to be weak


@dataclass
class OutOfFold:
    """Masks, and the probabilities of their pixels by a network that has not seen their image.

    Attributes
    ----------
    masks : those that have an image, in their order; as they are
    probs : (K, H, W) for each, at the mask's size
    places : (N,) int64, the masks' numbers among all that were given
    classes : the K names
    unknown : (N, K) bool, classes that the image's network has not seen: their pixels can't be judged
    about : for the ledger's ``meta``; ``notes`` among it
    """

    masks: Stack
    probs: Stack
    places: NDArray[np.int64]
    classes: list[str]
    unknown: NDArray[np.bool_]
    about: dict[str, Any] = field(default_factory=dict)


def cross_validated(
    images: Any,
    masks: Stack,
    *,
    out: Any,
    classes: Sequence[Any] | None = None,
    ignored: Sequence[int] = (),
    model: Any = "auto",
    folds: int = 5,
    groups: Any = None,
    contiguous: bool = True,
    seed: int = 0,
    device: str = "auto",
    precision: str | int | None = None,
    training: Mapping[str, Any] | None = None,
    reading: Mapping[str, Any] | None = None,
    progress: Show = False,
) -> OutOfFold:
    """Train a network for each fold of the images, and predict the pixels of those that it has not seen.

    Parameters
    ----------
    images : whatever ``errata.read`` takes for images
    masks : of the images
    out : a folder; the folds that are done lie in its sub-folder ``folds``, and the same call goes on from there
    classes : the names
    ignored : numbers of pixels that have no class, besides 255 and negative ones
    model, seed, device, precision : see ``PixelFolds``
    folds, groups, contiguous : see ``errata.audit.folds.frame_folds``
    training : ``epochs``, ``batch_size``, and hyper-parameters of plain training
    reading : further options of ``errata.data.segmentation.read_segmentation``
    progress : see ``errata.audit``
    """
    training = dict(training or {})
    passes = {name: training.pop(name) for name in ("epochs", "batch_size") if name in training}
    known = [name for name in systems.load("seg-ce").hyperparameters() if name not in ("views", "ignore_index")]
    for name in training:
        if name not in known:
            raise UnknownNameError("option of errata.audit with segmentation", name, ["epochs", "batch_size", *known])
    without = Stack(masks.names, lambda number: _without(masks[number], ignored), masks.source)
    data = read_segmentation(images, without, classes=classes, **(reading or {}))
    places = data.mask_places()
    rows = np.flatnonzero(places >= 0)[np.argsort(places[places >= 0], kind="stable")]
    given = data.require_masks()
    present = _present(given, len(data.classes))
    names = [masks.names[place] for place in places[rows]]
    fold = frame_folds(names, np.asarray(present[rows].any(1)), folds, seed, groups, contiguous)
    how = PixelFolds(data, model, **passes, settings=training, seed=seed, device=device, precision=precision)
    kept = Kept(out, how, given.reshape(len(given), -1), rows, fold, repr(data.classes))
    with Progress(progress, f"cross-validation in {folds} folds", total=folds) as bar:
        stored = [_fold(how, kept, number, rows[fold != number], rows[fold == number], bar) for number in range(folds)]
    seen = np.stack([present[rows[fold != number]].any(0) for number in range(folds)])
    within = np.zeros(len(rows), dtype=np.int64)
    for number in range(folds):
        within[fold == number] = np.arange((fold == number).sum())

    def small(n: int) -> NDArray[np.float32]:
        return stored[fold[n]][within[n]].astype(np.float32)

    heat, agree, skill = _calibrated(small, given[rows], ~seen[fold], seed)

    def read(n: int) -> NDArray[np.float32]:
        return at_size(_tempered(small(n), heat), data.full_size(int(rows[n])))

    by = " by groups" if groups is not None else (" of consecutive images" if contiguous else "")
    what = f"{folds}-fold cross-validation{by} of {how.description}"
    about: dict[str, Any] = {"probabilities": what, "model": how.description, "folds": folds, "seed": seed}
    about |= {"probability_temperature": round(heat, 4), "agreement": round(agree, 4)}
    size = f"{data.size[1]} x {data.size[0]}"
    about["notes"] = [*data.notes, _believed(agree, skill, size), *_notes(data.classes, present[rows], seen)]
    return OutOfFold(
        Stack(names, lambda n: masks[int(places[rows[n]])], masks.source),
        Stack(names, read, how.description),
        places[rows],
        list(data.classes),
        ~seen[fold],
        about,
    )


def _without(mask: NDArray[np.integer], ignored: Sequence[int]) -> NDArray[np.integer]:
    return np.where((mask < 0) | np.isin(mask, np.asarray(ignored, dtype=np.int64)), IGNORE, mask)


def _present(given: NDArray[np.uint8], k: int) -> NDArray[np.bool_]:
    """(N, K) which classes are in each image, at the network's size."""
    return np.stack([np.bincount(mask.ravel(), minlength=256)[:k] > 0 for mask in given])


def _fold(
    how: PixelFolds, kept: Kept, number: int, train: NDArray[np.int64], test: NDArray[np.int64], bar: Progress
) -> NDArray[np.float16]:
    """(n, K, H, W) the probabilities of a fold's images, on the disk."""
    shape = (len(test), len(how.data.classes), *how.data.size)
    found = kept.mapped(number, shape)
    begun = bar.done
    if found is None:
        with tempfile.TemporaryDirectory(dir=kept.folder) as folder:
            system = how.train(train, number, folder, lambda share: bar.advance(0.95 * share))
        with kept.filling(number, shape) as array:
            for start, some in how.predict(system, test):
                if not np.isfinite(some).all():
                    raise DataError(
                        f"{how.description} gave probabilities that are not numbers, in fold {number + 1}; give a "
                        "smaller lr=, or another model=."
                    )
                array[start : start + len(some)] = some
        found = kept.mapped(number, shape)
        if found is None:
            raise DataError(f"The probabilities of fold {number + 1} can't be read back from {kept.folder}.")
    bar.advance(max(0.0, begun + 1 - bar.done))
    return found


def _calibrated(
    small: Callable[[int], NDArray[np.float32]], given: NDArray[np.uint8], unknown: NDArray[np.bool_], seed: int
) -> tuple[float, float, float]:
    """The temperature that fits the masks best, and the share of pixels whose class is the most probable one.

    And how far that is from naming the commonest class everywhere (0) to all pixels (1). From as many of every image.
    """
    rng = np.random.default_rng([seed, 0x7E])
    each = max(1, PIXELS // len(given))
    probs, codes = [], []
    for n, mask in enumerate(given):
        flat = mask.ravel()
        judged = np.flatnonzero((flat != IGNORE) & ~np.append(unknown[n], np.ones(256, dtype=bool))[flat])
        some = rng.choice(judged, min(each, len(judged)), replace=False)
        probs.append(small(n).reshape(unknown.shape[1], -1)[:, some].T)
        codes.append(flat[some].astype(np.int64))
    table, known = np.concatenate(probs), np.concatenate(codes)
    agree = float((table.argmax(axis=1) == known).mean()) if len(known) else 0.0
    common = float(np.bincount(known).max() / len(known)) if len(known) else 0.0
    return temper(table, known), agree, (agree - common) / max(1e-9, 1 - common)


def _believed(agree: float, skill: float, size: str) -> str:
    """How good the judges are, in words."""
    told = f"The networks saw the images at {size} pixels, and agree with {agree:.0%} of the pixels of other images."
    if skill >= WEAK:
        return told
    return f"{told} That is little to go by: more epochs=, larger images (image_size=) or more of them help."


def _tempered(probs: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    logs = np.log(np.clip(probs, SMALLEST, 1.0)) / np.float32(temperature)
    found = np.exp(logs - logs.max(axis=0))
    return np.asarray(found / found.sum(axis=0), dtype=np.float32)


def _notes(classes: list[str], present: NDArray[np.bool_], seen: NDArray[np.bool_]) -> list[str]:
    lost = [classes[c] for c in np.flatnonzero(present.any(0) & ~seen.all(0))]
    if not lost:
        return []
    some = ", ".join(lost[:NAMED]) + (f" and {len(lost) - NAMED:,} more" if len(lost) > NAMED else "")
    return [
        f"Classes that occur in the images of one fold only can’t be judged there, their pixels are left as they are: "
        f"{some}. If the images stand in no order that matters, contiguous=False mixes them."
    ]
