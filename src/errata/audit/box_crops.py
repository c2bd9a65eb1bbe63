"""Boxes without a detector: what each box shows is classified by networks that have not seen its picture.

That finds boxes of the wrong class, not those that are missing or badly located. Boxes that were given twice, and boxes
of a shape that can't be meant, need no network at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from errata import systems
from errata.audit.confident import confident
from errata.audit.crossval import cross_validate
from errata.audit.folds import group_codes, matched_groups
from errata.audit.networks import NetworkFolds
from errata.audit.progress import Show
from errata.data.boxes import Boxes
from errata.errors import DataError, UnknownNameError
from errata.labels import ClassLabels
from errata.scores import boxes as scores

if TYPE_CHECKING:
    from PIL.Image import Image

    from errata.data import Data

__all__ = ["SIDE", "Found", "crops_of", "look_into"]

SIDE = 32
"""Pixels of a crop's sides."""
AROUND = 0.25  # of a box's longer side, that is seen around it
MOST_EPOCHS = 8
"""Passes over the crops, at most: what a box shows is simpler than a photo, and wrong classes are learned by heart."""
MOST_BYTES = 16 << 30  # of crops in memory
BLIND = (
    "Boxes that are missing or badly located can’t be found without a detector’s predictions (predictions=): "
    "nothing is said of them here."
)


@dataclass(frozen=True, eq=False)
class Found:
    """What is found of each of B boxes.

    Parameters
    ----------
    kind : (B,) int into ``errata.scores.boxes.KINDS``
    trust : (B,) float in [0, 1]
    proposed : (B,) int, the class that is proposed
    issue : (B,) bool
    about : for the ledger's ``meta``; ``notes`` among it
    """

    kind: NDArray[np.int64]
    trust: NDArray[np.float64]
    proposed: NDArray[np.int64]
    issue: NDArray[np.bool_]
    about: dict[str, Any] = field(default_factory=dict)


def crops_of(pictures: Data, boxes: Boxes, side: int = SIDE) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """What every box shows, with a little around it, and the sizes of the pictures.

    Parameters
    ----------
    pictures : of the boxes' images, in their order; read one after the other, at their own sizes
    boxes : in pixels, or in shares of the picture
    side : pixels of a crop's sides

    Returns
    -------
    crops (B, 4, side, side): a square around each box, in colour, black outside the picture; the fourth channel is
    nought outside the box, and inside it tells how large the box is beside its picture (255 times the root of its
    share). And (N, 2) width and height of the pictures.

    Examples
    --------
    >>> from errata.data import read
    >>> from errata.data.boxes import open_boxes
    >>> boxes = open_boxes([{"boxes": [[2, 2, 6, 6]], "labels": ["a"]}])
    >>> crops, sizes = crops_of(read(np.full((1, 3, 8, 8), 9, dtype=np.uint8), False), boxes, side=6)
    >>> crops.shape, crops[0, :, 3, 3].tolist(), sizes.tolist()
    ((1, 4, 6, 6), [9, 9, 9, 127], [[8, 8]])
    """
    if len(boxes.corners) * 4 * side**2 > MOST_BYTES:
        raise DataError(
            f"{len(boxes.corners):,} crops of {side} x {side} pixels do not fit the memory; audit a part of the "
            "images, or give smaller crops: image_size=."
        )
    crops = np.zeros((len(boxes.corners), 4, side, side), dtype=np.uint8)
    sizes = np.zeros((len(boxes), 2), dtype=np.int64)
    for image, picture in enumerate(_pictures(pictures)):
        sizes[image] = picture.size
        some = boxes.of(image)
        scale = np.tile(picture.size, 2) if boxes.shares else 1.0
        for number, corners in enumerate(boxes.corners[some] * scale, start=some.start):
            _crop(picture, corners, crops[number])
    return crops, sizes


def _pictures(data: Data) -> Iterator[Image]:
    """The pictures in colour at their own sizes."""
    from PIL import Image, ImageOps

    from errata.data.images import as_picture, flat, open_image

    images = data.images
    if images is None:
        raise DataError(f"{data.source} holds no images.")
    for row in data.rows.tolist():
        if images.given and images.array is not None:
            yield as_picture(images.array[row]).convert("RGB")
            continue
        source = images.source(row)
        if source is None:
            raise DataError(f"{images.name(row)} of {data.source} has no picture.")
        try:
            with open_image(source) as opened:
                yield flat(ImageOps.exif_transpose(opened), 3)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{images.name(row)} can't be read as a picture ({error}).") from error


def _crop(picture: Image, corners: NDArray[np.float64], out: NDArray[np.uint8]) -> None:
    from PIL import Image

    side = out.shape[-1]
    low, high = corners[:2], corners[2:]
    middle, half = (low + high) / 2, max(1.0, float((high - low).max()) * (1 + AROUND) / 2)
    x0, y0, x1, y1 = np.append(np.floor(middle - half), np.ceil(middle + half)).astype(np.int64).tolist()
    # what lies far outside is not there to be looked at, and would fill the memory
    x0, y0 = max(x0, -picture.width), max(y0, -picture.height)
    x1, y1 = min(max(x1, x0 + 1), 2 * picture.width), min(max(y1, y0 + 1), 2 * picture.height)
    seen = picture.crop((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))).resize((side, side), Image.Resampling.BILINEAR)
    out[:3] = np.asarray(seen).transpose(2, 0, 1)
    share = float(np.prod(np.clip(high, 0, picture.size) - np.clip(low, 0, picture.size)))
    size = 255 * np.sqrt(max(0.0, share) / (picture.width * picture.height))
    places = (corners - [x0, y0, x0, y0]) * side / np.tile([max(1, x1 - x0), max(1, y1 - y0)], 2)
    left, top = np.clip(np.floor(places[:2]), 0, side - 1).astype(int)
    right, bottom = np.clip(np.ceil(places[2:]), 1, side).astype(int)
    out[3, top:bottom, left:right] = max(1, int(size))


def look_into(
    boxes: Boxes,
    pictures: Data,
    *,
    model: Any = "auto",
    folds: int = 5,
    groups: Any = None,
    seed: int = 0,
    device: str = "auto",
    training: Mapping[str, Any] | None = None,
    side: int = SIDE,
    double: float = 0.8,
    out: Any = None,
    progress: Show = False,
) -> Found:
    """Judge the classes of boxes by cross-validation, and their shapes by each other.

    Parameters
    ----------
    boxes, pictures : given boxes, and the pictures of their images in the same order
    model, folds, seed, device, out, progress : see ``errata.audit``
    groups : of the N images, an array or a regular expression on their names; by default every image is one
    training : ``epochs`` (at most 8, by default), ``batch_size``, ``precision`` and hyper-parameters of plain training
    side : pixels of a crop's sides
    double : overlap from which two boxes are of one object
    """
    crops, sizes = crops_of(pictures, boxes, side)
    image = np.repeat(np.arange(len(boxes)), np.diff(boxes.offsets))
    belongs = image if groups is None else group_codes(matched_groups(boxes.names, groups), len(boxes))[image]
    how = {"folds": folds, "seed": seed, "progress": progress, "groups": belongs, "out": out}
    found = _classes(boxes, crops, model, device, dict(training or {}), how)
    corners = boxes.corners * np.tile(sizes, 2)[image].astype(np.float64) if boxes.shares else boxes.corners
    never = scores.impossible(corners, sizes[image])
    odd = never | scores.odd_shapes(corners, boxes.labels)
    trust = np.where(odd, np.minimum(found.trust, scores.ODD_TRUST), found.trust)
    shared = [scores.doubles(corners[some], trust[some], double) for some in map(boxes.of, range(len(boxes)))]
    covers = np.concatenate(shared)
    twice = covers > 0
    odd_one = never | (odd & ~found.issue)  # a wrong class explains an unusual size, but no box without a width
    kind = np.where(twice, scores.TWICE, np.where(odd_one, scores.ODD, found.kind))
    return Found(
        kind,
        np.where(twice, np.minimum(trust, 1.0 - covers), trust),
        np.where(twice | odd_one, boxes.labels, found.proposed),
        found.issue | odd | twice,
        found.about,
    )


def _classes(
    boxes: Boxes,
    crops: NDArray[np.uint8],
    model: Any,
    device: str,
    training: dict[str, Any],
    how: Mapping[str, Any],
) -> Found:
    """What the crops say of the boxes' classes."""
    from errata.data import read

    labels = ClassLabels(boxes.labels, boxes.classes)
    if (labels.counts > 0).sum() < 2:
        notes = [BLIND, "All boxes have one class, so that none can have the wrong one."]
        fine = np.full(len(labels), scores.FINE)
        right = np.ones(len(labels))
        return Found(fine, right, boxes.labels, right < 1, {"probabilities": "none", "notes": notes})
    data = read(crops, np.asarray(boxes.classes, dtype=object)[boxes.labels], classes=boxes.classes)
    own = {name: training.pop(name) for name in ("epochs", "batch_size", "precision") if name in training}
    _check_settings(training)
    network = NetworkFolds(data, model, settings=training, seed=how["seed"], device=device, **own)
    if "epochs" not in own:
        network.set_epochs(min(network.epochs, MOST_EPOCHS))
    found = cross_validate(labels, network, **how)
    judged = confident(labels, found.pred_probs)
    issue = np.asarray(judged.issue, dtype=bool)
    about = {
        "probabilities": f"{found.description} on what the boxes show",
        "model": network.description,
        "folds": how["folds"],
        "seed": how["seed"],
        "probability_temperature": round(found.temperature, 4),
        "notes": [BLIND, *found.notes],
    }
    kind = np.where(issue, scores.SWAPPED, scores.FINE)
    proposed = np.where(issue, judged.proposed, boxes.labels)
    return Found(kind, np.asarray(judged.trust, dtype=np.float64), proposed, issue, about)


def _check_settings(training: Mapping[str, Any]) -> None:
    known = [name for name in systems.load("ce").hyperparameters() if name != "views"]
    for name in training:
        if name not in known:
            more = ["epochs", "batch_size", "precision"]
            raise UnknownNameError("option of errata.audit with boxes", name, [*more, *known])
