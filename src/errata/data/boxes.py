"""Boxes around objects in images: COCO's JSON, YOLO's text files, or lists of arrays."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from errata.data.told import reason
from errata.errors import DataError, ErrataError, UnknownNameError

__all__ = ["Boxes", "open_boxes"]


@dataclass(frozen=True, eq=False)
class Boxes:
    """The boxes of all images, one after the other.

    Parameters
    ----------
    names : of the N images
    corners : (B, 4) float64: x0, y0, x1, y1, with x0 < x1 and y0 < y1; in pixels, or in shares of the image
    labels : (B,) int64 into ``classes``
    scores : (B,) float64 in [0, 1], how sure the detector is; None for given boxes
    offsets : (N + 1,) int64; image i has the boxes offsets[i] to offsets[i + 1]
    classes : names
    source : what was read
    ids : COCO's numbers of images and of categories, to find those of predictions by
    sizes : (width, height) of each image, where the source tells; (0, 0) where it does not
    shares : whether corners are shares of the image, not pixels
    """

    names: list[str]
    corners: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None
    offsets: np.ndarray
    classes: list[str]
    source: str
    ids: tuple[dict[Any, int], dict[Any, int]] = field(default_factory=lambda: ({}, {}))
    sizes: list[tuple[int, int]] = field(default_factory=list)
    shares: bool = False

    def size(self, image: int) -> tuple[int, int]:
        """Width and height of an image; (0, 0) where they are not known."""
        return self.sizes[image] if self.sizes else (0, 0)

    def __len__(self) -> int:
        return len(self.names)

    def of(self, image: int) -> slice:
        """Where the boxes of an image are."""
        return slice(int(self.offsets[image]), int(self.offsets[image + 1]))


def open_boxes(source: Any, *, like: Boxes | None = None, classes: Sequence[Any] | None = None) -> Boxes:
    """Read boxes, given ones or predicted ones.

    Parameters
    ----------
    source : a list with a dict for each image, of ``boxes`` (n, 4) as x0, y0, x1, y1, ``labels`` (n,) and, for
        predictions, ``scores`` (n,), as torchvision has them; a COCO ``.json`` (a data set, or, for predictions, a list
        of results); or a folder of YOLO's ``.txt`` files (class, centre, width and height in shares of the image, and
        the score of a prediction)
    like : the given boxes, where these are predictions: they are brought into their order of images and classes
    classes : names of the classes that are numbers

    Raises
    ------
    DataError
        where it can't be read, a box has no area, or a prediction no score; with the image

    Examples
    --------
    >>> boxes = open_boxes([{"boxes": [[0, 0, 4, 2]], "labels": ["car"]}, {"boxes": [], "labels": []}])
    >>> len(boxes), boxes.classes, boxes.offsets
    (2, ['car'], array([0, 1, 1]))
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source).expanduser()
        if path.is_dir():
            return _read_yolo(path, like, classes)
        return _read_coco(path, like)
    return _of_dicts(source, like, classes)


def _build(
    names: list[str], rows: list[list[tuple[Any, ...]]], source: str, like: Boxes | None, classes: Any, ids: Any = None
) -> Boxes:
    """From a list per image of (corners, class's name, score)."""
    flat = [box for image in rows for box in image]
    corners = np.array([box[0] for box in flat], dtype=np.float64).reshape(-1, 4)
    _check_corners(corners, rows, names, source)
    known = like.classes if like is not None else None if classes is None else [str(c) for c in classes]
    if known is None:
        known = sorted(
            {str(box[1]) for box in flat},
            key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name),
        )
    place = {name: i for i, name in enumerate(known)}
    odd = next((str(box[1]) for box in flat if str(box[1]) not in place), None)
    if odd is not None:
        raise UnknownNameError("class", odd, known, f"It stands in {source}.")
    labels = np.array([place[str(box[1])] for box in flat], dtype=np.int64)
    scores = None
    if like is not None:
        if any(box[2] is None for box in flat):
            raise DataError(f"{source}: every predicted box needs a score, how sure the detector is of it.")
        scores = np.array([box[2] for box in flat], dtype=np.float64)
        if len(scores) and not ((scores >= 0) & (scores <= 1)).all():
            raise DataError(f"{source}: scores must lie in [0, 1]; they go from {scores.min():g} to {scores.max():g}.")
    offsets = np.append(0, np.cumsum([len(image) for image in rows])).astype(np.int64)
    return Boxes(names, corners, labels, scores, offsets, known, source, ids or ({}, {}))


def _check_corners(corners: np.ndarray, rows: list[list[Any]], names: list[str], source: str) -> None:
    with np.errstate(invalid="ignore"):
        odd = ~(np.isfinite(corners).all(axis=1) & (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1]))
    if odd.any():
        image = names[int(np.repeat(np.arange(len(rows)), [len(r) for r in rows])[np.flatnonzero(odd)[0]])]
        raise DataError(
            f"{source}, image {image}: a box must have x0 < x1 and y0 < y1; found "
            f"{corners[np.flatnonzero(odd)[0]].tolist()} ({int(odd.sum()):,} such boxes in all)."
        )


# -- lists ------------------------------------------------------------------------------------------------------------


def _of_dicts(source: Any, like: Boxes | None, classes: Any) -> Boxes:
    what = "the list of boxes" if like is None else "the list of predictions"
    rows = []
    for number, image in enumerate(source):
        if not hasattr(image, "keys") or "boxes" not in image or "labels" not in image:
            raise DataError(
                f"{what}, image {number}: expected a dict of 'boxes' and 'labels'; got {type(image).__name__}."
            )
        corners = _numbers(image["boxes"], what, number)
        labels = _plain(image["labels"])
        scores = _plain(image["scores"]) if image.get("scores") is not None else [None] * len(corners)
        if not len(corners) == len(labels) == len(scores):
            raise DataError(
                f"{what}, image {number}: {len(corners)} boxes, {len(labels)} labels, {len(scores)} scores; each box "
                "needs one."
            )
        named = [_name(label, classes if like is None else like.classes) for label in labels]
        rows.append(list(zip(corners.tolist(), named, scores)))
    if not rows:
        raise DataError(f"{what} is empty; expected a dict for each image.")
    if like is not None and len(rows) != len(like):
        raise DataError(f"There are given boxes of {len(like):,} images and predictions of {len(rows):,}.")
    names = [str(i) for i in range(len(rows))] if like is None else like.names
    return _build(names, rows, what, like, classes)


def _name(label: Any, classes: Any) -> str:
    """A class's name; of a number, the name in its place, where names are known and it isn't one itself."""
    if classes is None or str(label) in map(str, classes) or not isinstance(label, int):
        return str(label)
    return str(classes[label]) if 0 <= label < len(classes) else str(label)


def _plain(values: Any) -> list[Any]:
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _numbers(values: Any, what: str, number: int) -> np.ndarray:
    try:
        corners = np.array(_plain(values), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what}, image {number}: boxes must be numbers (n, 4); {reason(error)}.") from error
    if corners.size and (corners.ndim != 2 or corners.shape[1] != 4):
        raise DataError(f"{what}, image {number}: boxes must have shape (n, 4); got {corners.shape}.")
    return corners.reshape(-1, 4)


# -- COCO -------------------------------------------------------------------------------------------------------------


def _read_coco(path: Path, like: Boxes | None) -> Boxes:
    if not path.is_file():
        raise DataError(f"There is no file or folder {path}; expected COCO's .json, or a folder of YOLO's .txt files.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read as COCO's JSON: {reason(error)}.") from error
    try:
        if isinstance(content, list):
            return _coco_results(content, path, like)
        images = [(image["id"], str(image.get("file_name", image["id"]))) for image in content["images"]]
        categories = {c["id"]: str(c["name"]) for c in content["categories"]}
        place = {identity: i for i, (identity, _) in enumerate(images)}
        rows: list[list[Any]] = [[] for _ in images]
        for one in content["annotations"]:
            if not one.get("iscrowd"):  # a heap of objects is no box
                rows[place[one["image_id"]]].append(
                    (_corners(one["bbox"]), categories[one["category_id"]], one.get("score"))
                )
    except ErrataError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: expected COCO's format, with images, annotations (image_id, category_id, bbox) and categories; "
            f"{type(error).__name__} at {reason(error)}."
        ) from error
    names = [name for _, name in images]
    if like is not None:
        rows, names = _reordered(rows, names, like, path), like.names
    classes = list(categories.values())
    ids = place, {identity: i for i, identity in enumerate(categories)}
    found = _build(names, rows, str(path), like, classes, ids)
    if like is not None:
        return found
    return replace(found, sizes=[_size(image) for image in content["images"]])


def _size(image: dict[str, Any]) -> tuple[int, int]:
    sides = [image.get(name) for name in ("width", "height")]
    width, height = (int(side) if isinstance(side, (int, float)) else 0 for side in sides)
    return width, height


def _corners(box: Any) -> list[float]:
    x, y, width, height = (float(v) for v in box)
    return [x, y, x + width, y + height]


def _coco_results(content: list[Any], path: Path, like: Boxes | None) -> Boxes:
    if like is None:
        raise DataError(
            f"{path} is a list of COCO's results; as labels a COCO data set is needed, with images and classes."
        )
    images, categories = like.ids
    if not images:
        raise DataError(
            f"{path} is a list of COCO's results; then the labels must be a COCO .json too, for the numbers."
        )
    rows: list[list[Any]] = [[] for _ in like.names]
    for one in content:
        if one["image_id"] not in images or one["category_id"] not in categories:
            raise DataError(
                f"{path}: a result has image_id {one['image_id']} and category_id {one['category_id']}, which the "
                "labels do not know."
            )
        name = like.classes[categories[one["category_id"]]]
        rows[images[one["image_id"]]].append((_corners(one["bbox"]), name, one.get("score")))
    return _build(like.names, rows, str(path), like, None)


def _reordered(rows: list[list[Any]], names: list[str], like: Boxes, path: Path) -> list[list[Any]]:
    """The images in the order of the given ones; an image without a prediction has none."""
    place = {Path(name).stem: i for i, name in enumerate(names)}
    if not place.keys() & {Path(name).stem for name in like.names}:
        raise DataError(f"None of the images of {path} is among those with labels, such as {like.names[0]}.")
    return [rows[place[Path(name).stem]] if Path(name).stem in place else [] for name in like.names]


# -- YOLO -------------------------------------------------------------------------------------------------------------


def _read_yolo(path: Path, like: Boxes | None, classes: Any) -> Boxes:
    files = sorted(f for f in path.iterdir() if f.suffix == ".txt" and f.name != "classes.txt")
    if not files:
        raise DataError(f"{path} holds no .txt file; expected YOLO's files, one for each image.")
    listed = path / "classes.txt"
    if classes is None and like is None and listed.is_file():
        classes = listed.read_text(encoding="utf-8").split("\n")
        classes = [name.strip() for name in classes if name.strip()]
    known = classes if like is None else like.classes
    rows = [
        [_yolo_box(line, known, f"{file}, line {number}") for number, line in _lines(file) if line.strip()]
        for file in files
    ]
    names = [file.name for file in files]
    if like is not None:
        rows, names = _reordered(rows, names, like, path), like.names
    return replace(_build(names, rows, str(path), like, classes), shares=True)


def _lines(file: Path) -> list[tuple[int, str]]:
    try:
        return list(enumerate(file.read_text(encoding="utf-8").splitlines(), start=1))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} can't be read: {reason(error)}.") from error


def _yolo_box(line: str, classes: Any, where: str) -> tuple[list[float], str, float | None]:
    try:
        label, *numbers = line.split()
        x, y, width, height, *score = (float(v) for v in numbers)
        if len(score) > 1:
            raise ValueError("more than six values")
        name = _name(int(label), classes)
    except ValueError as error:
        raise DataError(
            f"{where}: expected class, centre x and y, width and height (and a score); found {line[:60]!r} "
            f"({reason(error)})."
        ) from error
    corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    return corners, name, score[0] if score else None
