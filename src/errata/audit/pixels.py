"""Cross-validated probabilities of pixels, for masks that come without any: a small U-Net for each fold of images.

What a fold's network says of its images goes to the disk at the network's size, in half precision, and is read back
image by image; the memory holds the images and masks at that size, and no probabilities.
"""

from __future__ import annotations

import copy
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from errata import systems
from errata.audit.crossval import NAMED, SMALLEST, temper
from errata.audit.folds import MOST_FOLDS, Kept, digest_of, group_codes
from errata.audit.networks import Told
from errata.audit.progress import Progress, Show
from errata.data.masks import Stack
from errata.data.segmentation import IGNORE, SegmentationData, read_segmentation
from errata.engine.evaluation import iterate_probabilities
from errata.engine.fit import check_settings, fit, resolve_device
from errata.engine.precision import resolve_precision
from errata.engine.segmentation import encode, prepare
from errata.engine.segmentation_run import AT_ONCE, at_size
from errata.engine.randomness import mixed_seed
from errata.errors import DataError, ParameterError, UnknownNameError

__all__ = ["OutOfFold", "PixelFolds", "cross_validated", "frame_folds"]

STEPS = 300
"""Steps of a fold's training, about: enough to know the classes, too few to learn masks by heart."""
BATCH = 8
FEWEST_EPOCHS = 3
SETTINGS = {"optimizer": "adam", "lr": 3e-3, "scheduler": "cosine"}
PIXELS = 20_000  # that the temperature is fitted on


# -- folds ------------------------------------------------------------------------------------------------------------


def frame_folds(
    names: Sequence[str],
    labelled: NDArray[np.bool_],
    folds: Any,
    seed: int = 0,
    groups: Any = None,
    contiguous: bool = True,
) -> NDArray[np.int32]:
    """(N,) the fold of each image.

    Parameters
    ----------
    names : of the N images, in their order
    labelled : (N,) bool, whether any pixel has a class
    folds : from 2 to the number of labelled images, and of groups
    seed : of folds that are drawn at random
    groups : (N,) of any type, images of one group (a drive, a patient) are in one fold; or a regular expression: images
        in whose names it matches the same text (its first group's, where it has one)
    contiguous : without groups, a fold is a stretch of consecutive images, for frames of a film look like their
        neighbours; False draws them at random

    Raises
    ------
    ParameterError
        where folds is no such number, or groups is no regular expression
    DataError
        where there are too few images or groups

    Examples
    --------
    >>> frame_folds(list("abcdef"), np.ones(6, dtype=bool), 3)
    array([0, 0, 1, 1, 2, 2], dtype=int32)
    >>> fold = frame_folds(["a_1", "b_1", "a_2", "b_2"], np.ones(4, dtype=bool), 2, groups=r"^(\\w)_")
    >>> bool(fold[0] == fold[2] != fold[1] == fold[3])
    True
    """
    if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)) or not 2 <= folds <= MOST_FOLDS:
        raise ParameterError(f"folds must be a whole number from 2 to {MOST_FOLDS}; got {folds!r}.")
    count = int(labelled.sum())
    if count < max(folds, 3):
        few = f"There are {count} images with labelled pixels, too few for {folds} folds. "
        raise DataError(
            f"{few}Give folds=N with N from 2 to {count}, or probabilities of your own (pred_probs=)."
            if count > 2
            else f"{few}Two to learn from and one to judge are the least; or give probabilities (pred_probs=)."
        )
    if groups is None:
        order = np.cumsum(labelled) - 1  # an image without a class goes with the one before it
        if not contiguous:
            order = np.random.default_rng([seed, 0xF01D]).permutation(len(labelled))
            count = len(labelled)
        return (np.clip(order, 0, count - 1) * int(folds) // count).astype(np.int32)
    from sklearn.model_selection import GroupKFold

    codes = group_codes(_groups_in(names, groups) if isinstance(groups, str) else groups, len(names))
    number = len(np.unique(codes[labelled]))
    if number < folds:
        raise DataError(
            f"There are {number} groups with labelled images, too few for {folds} folds: a group is not divided. "
            + (f"Give folds=N with N from 2 to {number}." if number >= 2 else "At least two groups are needed.")
        )
    fold = np.zeros(len(names), dtype=np.int32)
    for part, (_, test) in enumerate(GroupKFold(int(folds)).split(np.zeros(len(names)), groups=codes)):
        fold[test] = part
    return fold


def _groups_in(names: Sequence[str], pattern: str) -> list[str | None]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ParameterError(f"groups={pattern!r} is no regular expression ({error}).") from error
    found = [compiled.search(name) for name in names]
    if not any(found):
        raise DataError(
            f"groups={pattern!r} matches in none of the {len(names):,} masks' names, such as {names[0]!r}: what it "
            "matches there (the drive, the patient) is the group."
        )
    return [None if one is None else one.group(1 if compiled.groups else 0) for one in found]


# -- the network ------------------------------------------------------------------------------------------------------


class PixelFolds:
    """Trains a network for masks on the images of all folds but one, and predicts those of that one.

    Parameters
    ----------
    data : images with masks
    model : "auto" or "unet", or a network of your own (images to logits (B, K, H, W)), copied for each fold
    epochs, batch_size : by default batches of 8 images, and 300 steps
    settings : hyper-parameters of plain training: ``lr``, ``optimizer``, ``weight_decay`` ...
    seed, device, precision : as in ``errata.train``
    """

    def __init__(
        self,
        data: SegmentationData,
        model: str | nn.Module = "auto",
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str = "auto",
        precision: str | int | None = None,
    ) -> None:
        check_settings(1 if epochs is None else epochs, device, 1, precision, False, None)
        self.data, self.model, self.seed, self.device = data, model, seed, device
        self.kind = systems.load("seg-ce")
        self.precision = precision
        self.batch_size, self.settings = batch_size or BATCH, {**SETTINGS, **(settings or {})}
        self.encoder, self.inputs = encode(data)
        self.asked = epochs
        name = model if isinstance(model, str) else type(model).__name__
        self.description = "a small U-Net" if name in ("auto", "unet") else f"a network ({name})"

    def fingerprint(self) -> str:
        """Changes with the images, the network and the settings of its training."""
        weights: list[Any] = []
        if isinstance(self.model, nn.Module):
            weights = [repr(self.model)]
            weights += [np.atleast_1d(value.detach().cpu().numpy()) for value in self.model.state_dict().values()]
        inputs = self.inputs.numpy() if isinstance(self.inputs, Tensor) else self.inputs
        told = [sorted(self.settings.items()), self.batch_size, self.asked, self.seed, self.precision]
        return digest_of(inputs, repr(told), *weights)

    def train(self, train: NDArray[np.int64], fold: int, folder: str, advance: Callable[[float], None]) -> Any:
        """The system after training on the images ``train``; what it remembers of pixels lies in ``folder``."""
        steps = -(-len(train) // self.batch_size)
        epochs = self.asked or max(FEWEST_EPOCHS, round(STEPS / steps))
        model = copy.deepcopy(self.model) if isinstance(self.model, nn.Module) else self.model
        seed = mixed_seed(self.seed, fold)
        task = prepare(
            self.data,
            self.kind,
            model,
            self.settings,
            epochs,
            self.batch_size,
            0.0,
            True,
            seed,
            among=train,
            encoded=(self.encoder, self.inputs),
        )
        task.system.keep_in(folder, self.data.size)
        batches = Told(task.batches, lambda: advance(1.0 / (epochs * len(task.batches))))
        fit(
            task.system,
            batches,
            epochs=epochs,
            seed=seed,
            device=self.device,
            precision=self.precision,
            progress=False,
        )
        return task.system

    def predict(self, system: Any, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The first place and (B, K, H, W) probabilities of some images, each seen both ways round."""
        device = resolve_device(self.device)
        precision = resolve_precision(self.precision, device, system.model)
        seen = _BothWays(self.inputs, rows)
        for start, some in iterate_probabilities(system, seen, AT_ONCE, device, precision):
            yield start // 2, (some[::2] + some[1::2, ..., ::-1]) / 2


class _BothWays:
    """Inputs, each followed by its mirror image."""

    def __init__(self, inputs: Any, rows: NDArray[np.int64]) -> None:
        self.inputs, self.rows = inputs, rows
        self._last: tuple[int, Tensor] | None = None  # so that a picture is decoded once

    def __len__(self) -> int:
        return 2 * len(self.rows)

    def __getitem__(self, number: int) -> Tensor:
        row = int(self.rows[number // 2])
        if self._last is None or self._last[0] != row:
            self._last = row, torch.as_tensor(np.array(self.inputs[row]))
        return self._last[1].flip(-1) if number % 2 else self._last[1]


# -- cross-validation -------------------------------------------------------------------------------------------------


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
    folds, groups, contiguous : see ``frame_folds``
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
    fold = frame_folds(names, present[rows].any(1), folds, seed, groups, contiguous)
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

    heat = _temperature(small, given[rows], ~seen[fold], seed)

    def read(n: int) -> NDArray[np.float32]:
        return at_size(_tempered(small(n), heat), data.full_size(int(rows[n])))

    by = " by groups" if groups is not None else (" of consecutive images" if contiguous else "")
    what = f"{folds}-fold cross-validation{by} of {how.description}"
    about = {"probabilities": what, "model": how.description, "folds": folds, "seed": seed}
    size = f"The network saw the images at {data.size[1]} x {data.size[0]} pixels."
    about |= {"temperature": round(heat, 4), "notes": [*data.notes, size, *_notes(data.classes, present[rows], seen)]}
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


def _temperature(
    small: Callable[[int], NDArray[np.float32]], given: NDArray[np.uint8], unknown: NDArray[np.bool_], seed: int
) -> float:
    """The temperature that fits the masks best, from as many pixels of every image."""
    rng = np.random.default_rng([seed, 0x7E])
    each = max(1, PIXELS // len(given))
    probs, codes = [], []
    for n, mask in enumerate(given):
        flat = mask.ravel()
        judged = np.flatnonzero((flat != IGNORE) & ~np.append(unknown[n], np.ones(256, dtype=bool))[flat])
        some = rng.choice(judged, min(each, len(judged)), replace=False)
        probs.append(small(n).reshape(unknown.shape[1], -1)[:, some].T)
        codes.append(flat[some].astype(np.int64))
    return temper(np.concatenate(probs), np.concatenate(codes))


def _tempered(probs: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    logs = np.log(np.clip(probs, SMALLEST, 1.0)) / np.float32(temperature)
    found = np.exp(logs - logs.max(axis=0))
    return np.asarray(found / found.sum(axis=0), dtype=np.float32)


def _notes(classes: list[str], present: NDArray[np.bool_], seen: NDArray[np.bool_]) -> list[str]:
    lost = [name for name, there, known in zip(classes, present.any(0), seen.all(0)) if there and not known]
    if not lost:
        return []
    some = ", ".join(lost[:NAMED]) + (f" and {len(lost) - NAMED:,} more" if len(lost) > NAMED else "")
    return [
        f"Classes that occur in the images of one fold only can’t be judged there, their pixels are left as they are: "
        f"{some}. If the images stand in no order that matters, contiguous=False mixes them."
    ]
