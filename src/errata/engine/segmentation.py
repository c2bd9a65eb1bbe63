"""Training on images with masks: from two folders to a run with a ledger of images and regions, and corrected masks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from errata.data.segmentation import SegmentationData, read_segmentation
from errata.data.segmentation_views import SegmentationViews
from errata.engine.checkpoints import plain
from errata.engine.conduct import Conduct, announce, split_named, system_class
from errata.engine.randomness import isolated_randomness, mixed_seed
from errata.engine.recipes import Recipe
from errata.engine.run import FORMAT, versions
from errata.engine.segmentation_outcome import finish
from errata.engine.segmentation_run import SegmentationRun, load
from errata.engine.task import Renumbered, Task
from errata.errors import DataError, UnknownNameError
from errata.parts import PixelSystem

if TYPE_CHECKING:
    from errata.data import ImageEncoder

__all__ = ["encode", "load", "prepare", "read", "train"]

READING = ("classes", "ignore", "image_size", "unreadable")
EXPECTED = "Expected a system for masks ('adele', 'seg-ce', a PixelSystem)"
FEWEST_STEPS = 900
LEAST_EPOCHS = 30
SMALLEST_BATCH, LARGEST_BATCH = 4, 16
KEPT = "pixels"  # beside the checkpoint: what it refers to


def read(source: Any, label: Any = None, **reading: Any) -> SegmentationData:
    """Images and masks; see ``errata.data.segmentation.read_segmentation``.

    Raises
    ------
    UnknownNameError
        for an option that images with masks do not have
    """
    for name in reading:
        if name not in READING:
            raise UnknownNameError("option of reading images with masks", name, READING)
    return read_segmentation(source, label, **reading)


@dataclass
class SegmentationTask(Task):
    """A training, ready to start, on images with masks."""

    data: SegmentationData
    system: PixelSystem


def train(
    source: Any,
    y: Any = None,
    *,
    label: Any = None,
    system: str | type[PixelSystem] = "adele",
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
) -> SegmentationRun:
    """Train on images with masks in spite of wrong masks; see ``errata.train`` for what is not said here.

    Parameters
    ----------
    source : a folder of images, or an array (N, C, H, W) or (N, H, W, C); or what ``read`` returned
    y, label : the masks: a folder of files named as the images, or an array (N, H, W)
    system : "adele", "seg-ce", or a ``PixelSystem`` class of your own
    model : "auto" or "unet" (a small U-Net), or a network of your own: images (B, C, H, W) of any size to logits
        (B, K, H, W)
    epochs, batch_size : by default a batch of 4 to 16 images, and 30 epochs or as many as make 900 steps
    select : "best" predicts with the epoch of the best pixel accuracy on the held-out (noisy) masks
    augment : mirror images and change their brightness while training
    **rest : options of ``read``, and hyper-parameters of the system

    Returns
    -------
    SegmentationRun
        Its ``ledger`` has a row per image and regions in ``parts``; ``corrected_masks`` and ``export_masks`` give the
        masks as they are after correction. With ``out`` they are in ``out/masks``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> masks = np.zeros((8, 16, 16), dtype=np.uint8)
    >>> masks[:, 4:12, 4:12] = 1
    >>> images = (60 + 120 * masks + rng.integers(0, 40, masks.shape)).astype(np.uint8)[:, None]
    >>> run = train(images, masks, system="seg-ce", epochs=3, device="cpu", progress=False)
    >>> len(run.ledger), run.predict(images)[0].shape
    (8, (16, 16))
    """
    how = Conduct(validation, select, seed, device, devices, precision, out, resume, progress, deterministic)
    how.check(epochs)
    kind = system_class(system, PixelSystem, EXPECTED)
    reading, settings = split_named(rest, kind, READING)
    folder = how.claim()
    data = read(source, y if y is not None else label, **reading)
    task = prepare(data, kind, model, settings, epochs, batch_size, validation, augment, seed)
    about = _describe(task, {"validation": validation, "select": select, "augment": augment, "seed": seed})
    announce(folder, about)
    if folder is not None:
        _keep_in(task, folder / "checkpoints")
    fitted = how.fit(task, folder)
    task.system.settle(task.batches)  # where the last epoch was done in an earlier call
    run = finish(task, fitted, about, select, device)
    if folder is not None:
        run.save(folder)
    return run


def prepare(
    data: SegmentationData,
    kind: type[PixelSystem],
    model: str | nn.Module,
    settings: Mapping[str, Any],
    epochs: int | None,
    batch_size: int | None,
    validation: float,
    augment: bool,
    seed: int,
    *,
    among: NDArray[np.int64] | None = None,
    encoded: tuple[ImageEncoder, Any] | None = None,
) -> SegmentationTask:
    """Choose the images to train on, build network, system and batches.

    Parameters
    ----------
    among : train on images of these positions only; by default on all with a mask
    encoded : the encoder and all images encoded, where that was done before
    """
    from errata.data import loader

    given = data.require_masks()
    labelled = np.flatnonzero((given != 255).reshape(len(given), -1).any(1))
    labelled = labelled if among is None else np.intersect1d(labelled, among)
    held = np.sort(np.random.default_rng([seed, 0x5E]).permutation(labelled)[: round(validation * len(labelled))])
    trained = np.setdiff1d(labelled, held, assume_unique=True)
    if len(trained) < 2:
        raise DataError(f"{data.source} has {len(trained)} images with masks to train on; two are the least.")
    batch = min(LARGEST_BATCH, max(SMALLEST_BATCH, len(trained) // 20)) if batch_size is None else batch_size
    steps = -(-len(trained) // batch)
    chosen = max(LEAST_EPOCHS, -(-FEWEST_STEPS // steps)) if epochs is None else epochs
    usual: dict[str, Any] = {"optimizer": "adam", "lr": 2e-3, "weight_decay": 0.0}
    if "eval_interval" in kind.hyperparameters():
        usual["eval_interval"] = max(1, min(100, steps // 10))  # about ten values an epoch, as on PASCAL VOC
    encoder, inputs = encode(data) if encoded is None else encoded
    with isolated_randomness(mixed_seed(seed, 0)):
        network, spec = _network(model, len(data.classes), encoder.input_shape, mixed_seed(seed, 1))
        views = SegmentationViews(encoder.mean, encoder.std, augment=augment)
        settings_used = {**usual, **settings}
        system = kind(network, len(data.classes), len(trained), views=views, **settings_used)
    more: dict[str, Any] = {"batch_size": batch, "seed": seed, "workers": 0 if _in_memory(inputs) else 2}
    masks = torch.from_numpy(given)
    identity = {
        "classes": data.classes,
        "data": _fingerprint(inputs, given, trained),
        "model": spec,
        "batch_size": batch,
        "seed": seed,
    }
    return SegmentationTask(
        data=data,
        encoder=encoder,
        inputs=inputs,
        trained=trained,
        held=held,
        system=system,
        batches=Renumbered(loader(inputs, masks, index=trained, **more), trained, len(data)),
        held_batches=loader(inputs, masks, index=held, shuffle=False, **more) if len(held) else None,
        recipe=Recipe(chosen, batch, settings_used),
        model_spec=spec,
        identity=identity,
    )


def encode(data: SegmentationData) -> tuple[ImageEncoder, Any]:
    """The encoder of the images, and all of them as the network's inputs."""
    from errata.data import ImageEncoder

    encoder = ImageEncoder().fit(data.pictures)
    return encoder, encoder.encode(data.pictures)


def _keep_in(task: SegmentationTask, folder: Path) -> None:
    """What is known of every pixel lies in files; the checkpoint says how far they count."""
    task.system.keep_in(folder / KEPT, task.data.size)
    masks = getattr(task.system, "masks", None)
    if masks is not None:
        masks.fill(task.data.require_masks()[row] for row in task.trained)
        if not (folder / "last.ckpt").exists():
            masks.restore(0)  # it was killed before the first checkpoint


def _network(
    model: str | nn.Module, classes: int, shape: tuple[int, ...], seed: int
) -> tuple[nn.Module, dict[str, Any] | str]:
    if isinstance(model, nn.Module):
        return model, type(model).__qualname__
    if model not in ("auto", "unet"):
        raise UnknownNameError("model for masks", model, ("auto", "unet"), "Or give a torch.nn.Module of your own.")
    from errata.models import UNet

    settings: dict[str, Any] = {"num_classes": classes, "in_channels": int(shape[0])}
    torch.default_generator.manual_seed(seed)  # within isolated_randomness
    return UNet(**settings), {"name": "unet", "kwargs": settings}


def _in_memory(inputs: Any) -> bool:
    return isinstance(inputs, (np.ndarray, Tensor))


def _fingerprint(inputs: Any, given: NDArray[np.uint8], trained: NDArray[np.int64]) -> str:
    """A short text that differs between data: from all masks, the images trained on, and a sample of the images."""
    digest = hashlib.blake2b(digest_size=12)
    digest.update(given.tobytes())
    digest.update(trained.tobytes())
    for row in np.unique(
        np.linspace(0, len(inputs) - 1, num=16 if _in_memory(inputs) else 1).astype(np.int64)
    ).tolist():
        digest.update(np.ascontiguousarray(np.asarray(inputs[row])).tobytes())
    return f"{len(given)} images, {digest.hexdigest()}"


def _describe(task: SegmentationTask, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What ``run.json`` says."""
    system, data = task.system, task.data
    names = [name for name in system.hyperparameters() if name != "views" and hasattr(system, name)]
    about = {
        "format": FORMAT,
        "task": "segmentation",
        "system": system.card.slug,
        "hyperparameters": {name: plain(getattr(system, name)) for name in names},
        "model": task.model_spec,
        "encoder": task.encoder.spec(),
        "classes": data.classes,
        **data.origin,
        "kind": "images with masks",
        "ignore": data.ignore,
        "epochs": task.recipe.epochs,
        "batch_size": task.recipe.batch_size,
        **{name: plain(value) for name, value in arguments.items()},
        "reading": plain(data.reading),
        "versions": versions(),
    }
    shown = {name: about.get(name) for name in ("label", "system", "epochs", "batch_size", "validation", "seed")}
    shown |= about["hyperparameters"]
    told = ", ".join([repr(about["source"]), *(f"{name}={value!r}" for name, value in shown.items())])
    return {**about, "command": f"errata.train({told})"}
