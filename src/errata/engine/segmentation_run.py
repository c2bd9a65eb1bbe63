"""A finished training on images with masks: its ledger, its figures, corrected masks, a network that predicts masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from errata import systems
from errata.data.segmentation import IGNORE, SegmentationData, read_segmentation, resize_mask
from errata.data.segmentation_views import SegmentationViews
from errata.engine.checkpoints import load_tensors
from errata.engine.evaluation import iterate_probabilities
from errata.engine.fit import resolve_device
from errata.engine.run import Run, load_state, read_about, read_json
from errata.errors import DataError, ErrataError, LoadError
from errata.ledger import Ledger
from errata.scores.pixels import iou_of
from errata.storage import atomic, make_folder

__all__ = ["AT_ONCE", "MASKS", "Confusion", "SegmentationRun", "at_size", "load", "pixel_scores"]

MASKS = "masks"  # of a run's folder: the corrected masks
AT_ONCE = 32  # images that are predicted together


@dataclass(repr=False)
class SegmentationRun(Run):
    """What ``errata.train`` returns for images with masks; attributes as of ``Run``.

    ``data`` are the images and masks trained on, where they are at hand; ``changes`` gives the corrected mask of an
    image at the network's size.
    """

    data: SegmentationData | None = None
    corrected: Any = None

    # -- prediction ---------------------------------------------------------------------------------------------------

    def predict(self, source: Any, **reading: Any) -> list[NDArray[np.uint8]]:  # type: ignore[override]
        """The mask of each image of ``source``, at the image's own size: N arrays (H, W) of class numbers.

        Parameters
        ----------
        source : whatever ``errata.train`` takes for images; masks aren't needed
        reading : further options of reading

        Raises
        ------
        DataError
            where these are no images, or have another number of channels
        """
        return [mask for _, mask in self.iterate_masks(self._images(source, reading))]

    def predict_proba(self, source: Any, **reading: Any) -> NDArray[np.float32]:
        """(N, K, H, W) float32 probabilities of each pixel's classes, at the network's size."""
        data = self._images(source, reading)
        return np.concatenate([some for _, some in self._probabilities_of(data)])

    def predict_into(self, folder: str | Path, source: Any, **reading: Any) -> list[Path]:
        """Write the predicted masks into a folder, a PNG for each image with the image's name; returns the files."""
        data = self._images(source, reading)
        return _write_masks(Path(folder), data.names, (mask for _, mask in self.iterate_masks(data)))

    def iterate_masks(self, data: SegmentationData) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """As ``predict``, one by one, with the image's position."""
        for start, some in self._probabilities_of(data):
            for place, probabilities in enumerate(some, start=start):
                # the class is decided at the image's own size
                yield place, at_size(probabilities, data.full_size(place)).argmax(0).astype(np.uint8)

    def evaluate(self, source: Any, label: Any = None, **reading: Any) -> dict[str, float]:
        """Measure predictions against masks, which should be right, of images that were not trained on.

        Parameters
        ----------
        source : images, or what ``read`` returned with masks
        label : their masks

        Returns
        -------
        dict with miou (the mean over the classes that occur or are predicted), pixel_accuracy, iou_<class> of each
        class, and images; also kept in ``metrics["evaluation"]``
        """
        data = source
        if not isinstance(source, SegmentationData):
            options = {**self._reading(), "classes": self.classes, **reading}
            data = read_segmentation(source, label, **options)
        if data.masks is None:
            raise DataError("There are no masks to measure against; name them: label='masks/'.")
        data = self._fitting(data)
        if len(data.classes) > len(self.classes):
            raise DataError(f"The masks have {len(data.classes)} classes, the run was trained on {len(self.classes)}.")
        table = Confusion(len(self.classes))
        for place, mask in self.iterate_masks(data):
            table.add(mask, data.mask(place))
        found = {**pixel_scores(table.counts, self.classes), "images": len(data)}
        self.metrics["evaluation"] = found
        return found

    def _reading(self) -> dict[str, Any]:
        kept = {
            name: value for name, value in self.about.get("reading", {}).items() if name in ("ignore", "unreadable")
        }
        return {**kept, "image_size": self.encoder.reading()["image_size"]}

    def _images(self, source: Any, reading: Mapping[str, Any]) -> SegmentationData:
        if isinstance(source, SegmentationData):
            return self._fitting(source)
        return self._fitting(read_segmentation(source, None, **{**self._reading(), **reading}))

    def _fitting(self, data: SegmentationData) -> SegmentationData:
        """The images at the size, and with the channels, that the network was trained on."""
        wanted = tuple(self.encoder.input_shape)
        shape = data.images.shape
        if tuple(shape) != wanted and data.images.given and shape[0] != wanted[0]:
            raise DataError(f"Expected images with {wanted[0]} channels, as in training; {data.source} has {shape[0]}.")
        return data

    def _probabilities_of(self, data: SegmentationData) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The first position and (B, K, H, W) probabilities, a few images at a time."""
        inputs = data.images.array[data.rows] if data.images.given else self.encoder.encode(data.pictures)
        yield from iterate_probabilities(self.system, inputs, AT_ONCE, device=resolve_device(self.device))

    # -- masks --------------------------------------------------------------------------------------------------------

    def corrected_masks(self) -> Iterator[NDArray[np.uint8]]:
        """The masks of the images trained on, one by one at their own sizes: as given, but where a pixel was corrected.

        Systems that correct nothing give them as they were.

        Raises
        ------
        ErrataError
            where the run was loaded: then they are in its folder
        """
        if self.data is None:
            raise ErrataError(
                "A run that was loaded does not hold the data; its corrected masks are the files in its folder masks/."
            )
        small = self.data.require_masks()
        for position, given in enumerate(self.data.every_mask()):
            new = None if self.corrected is None else self.corrected(position)
            if new is None or (new == small[position]).all():
                yield given
                continue
            changed = resize_mask(new != small[position], given.shape)
            yield np.where(changed, resize_mask(new, given.shape), given)

    def export_masks(self, folder: str | Path) -> list[Path]:
        """Write the corrected masks into a folder, a PNG for each image with the image's name; returns the files.

        Pixels that are of no class are 255. The pictures hold the numbers of the classes, so they look black.
        """
        if self.data is None:
            raise ErrataError("A run that was loaded does not hold the data; copy the files in its folder masks/.")
        return _write_masks(Path(folder), self.data.names, self.corrected_masks())

    def save(self, folder: str | Path, *, report: bool = True) -> Path:
        """As ``Run.save``, and the corrected masks in ``folder/masks``, where anything corrects them."""
        place = make_folder(Path(folder))
        if self.data is not None and self.corrected is not None:
            files = self.export_masks(place / MASKS)
            self.ledger.columns["corrected"] = np.array([str(f.resolve()) for f in files], dtype=object)
        return super().save(place, report=report)


def _write_masks(folder: Path, names: list[str], masks: Iterator[NDArray[np.uint8]]) -> list[Path]:
    from PIL import Image

    make_folder(folder)
    files = []
    for name, mask in zip(names, masks):
        relative = Path(name)
        file = folder / relative.parent / f"{relative.stem if relative.suffix else relative.name}.png"
        make_folder(file.parent)
        with atomic(file) as temporary:
            Image.fromarray(mask.astype(np.uint8)).save(temporary, format="PNG")
        files.append(file)
    return files


def at_size(probabilities: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(K, H, W) the probabilities of an image's pixels at another size, interpolated.

    Examples
    --------
    >>> at_size(np.ones((2, 4, 4), dtype=np.float32) / 2, (6, 8)).shape
    (2, 6, 8)
    """
    if probabilities.shape[1:] == size:
        return probabilities
    wide = torch.from_numpy(probabilities)[None]
    return nn.functional.interpolate(wide, size=size, mode="bilinear", align_corners=False)[0].numpy()


class Confusion:
    """Pixels by given and predicted class, summed image by image."""

    def __init__(self, classes: int) -> None:
        from torchmetrics.classification import MulticlassConfusionMatrix

        self.metric = MulticlassConfusionMatrix(classes, ignore_index=IGNORE, validate_args=False)

    def add(self, predicted: NDArray[np.integer], given: NDArray[np.integer]) -> None:
        """Count one image, or several."""
        self.metric.update(*(torch.from_numpy(a.astype(np.int64)) for a in (predicted, given)))

    @property
    def counts(self) -> NDArray[np.int64]:
        return self.metric.compute().numpy()


def pixel_scores(counts: NDArray[np.integer], classes: list[str]) -> dict[str, float]:
    """``miou``, ``pixel_accuracy`` and ``iou_<class>`` from a confusion matrix (K, K).

    Examples
    --------
    >>> pixel_scores(np.array([[8, 2], [0, 10]]), ["road", "car"])["pixel_accuracy"]
    0.9
    """
    iou = iou_of(counts)
    known = iou[~np.isnan(iou)]
    return {
        "miou": float(known.mean()) if len(known) else 0.0,
        "pixel_accuracy": float(np.trace(counts) / max(1, counts.sum())),
        **{f"iou_{name}": float(value) for name, value in zip(classes, iou) if not np.isnan(value)},
    }


def load(folder: str | Path, model: nn.Module | None = None, device: str = "auto") -> SegmentationRun:
    """Load a run saved by ``SegmentationRun.save``; see ``Run.load``."""
    from errata.data import ImageEncoder
    from errata.models import UNet

    place = Path(folder)
    about = read_about(place)
    if not about.get("finished"):
        raise LoadError(f"The run in {place} has not finished. Finish it with --out {place} --resume.")
    spec = about.get("model")
    if model is None and not (isinstance(spec, Mapping) and spec.get("name") == "unet"):
        raise LoadError(
            f"The run in {place} was trained on a network of your own ({spec}), which errata can't build. "
            "Give one of the same build: Run.load(folder, model=YourNetwork(...))."
        )
    network = UNet(**dict(spec["kwargs"])) if model is None and isinstance(spec, Mapping) else model
    encoder = ImageEncoder.from_spec(about["encoder"])
    kind = systems.load(about["system"])
    settings = {k: v for k, v in about.get("hyperparameters", {}).items() if k in kind.hyperparameters()}
    views = SegmentationViews(encoder.mean, encoder.std, augment=bool(about.get("augment", True)))
    system = kind(network, num_classes=len(about["classes"]), num_samples=1, views=views, **settings)
    load_state(system, load_tensors(place / "model.pt"), place)
    figures = read_json(place / "metrics.json")
    history = figures.pop("history", [])
    classes = list(about["classes"])
    return SegmentationRun(system.eval(), encoder, classes, Ledger.load(place), figures, history, about, device)
