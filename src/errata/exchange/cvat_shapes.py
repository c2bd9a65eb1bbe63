"""CVAT's shapes and tags for labels that are no class: boxes, masks, several tags; and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from errata.errors import DataError
from errata.exchange.items import Item
from errata.forms.boxes import Box, BoxesForm
from errata.forms.form import CLASSES, Form
from errata.forms.masks import MasksForm
from errata.scores.runs import area_of, cut, runs_of

__all__ = ["HOLDS", "KINDS", "Shape", "label_of", "shapes"]

HOLDS = (CLASSES, "boxes", "segmentation", "multilabel")
"""The kinds of labels that CVAT can hold, of pictures."""

KINDS = {"boxes": "rectangle", "segmentation": "mask"}
"""The type of CVAT's labels; else they are tags."""

NEAR = 0.011  # pixels: corners are written with two digits
ROUNDING = 0.0005  # of a side


class Shape(NamedTuple):
    """An element of an image: "tag", "box", "mask" or "polygon", with what stands in its attributes."""

    tag: str
    label: str
    told: Mapping[str, str]


# -- out --------------------------------------------------------------------------------------------------------------


def shapes(item: Item, label: Any) -> list[Shape]:
    """A label as elements of its image."""
    whole, picture = item.whole, item.picture
    if whole is None or picture is None:
        return []
    form = whole.form
    if isinstance(form, BoxesForm):
        across, down = (picture.width, picture.height) if form.boxes.shares else (1, 1)
        return [_box(box, across, down) for box in label]
    if isinstance(form, MasksForm):
        return [_mask(name, area) for name, area in form.areas(label)]
    return [Shape("tag", name, {}) for name in label]


def _box(box: Box, across: int, down: int) -> Shape:
    corners = (box.x0 * across, box.y0 * down, box.x1 * across, box.y1 * down)
    told = {name: f"{value:.2f}" for name, value in zip(("xtl", "ytl", "xbr", "ybr"), corners)}
    return Shape("box", box.label, {"occluded": "0", **told, "z_order": "0"})


def _mask(name: str, area: NDArray[np.bool_]) -> Shape:
    x0, y0, x1, y1 = cut(area)
    told = {
        "occluded": "0",
        "rle": ", ".join(map(str, runs_of(area[y0:y1, x0:x1]))),
        "left": str(x0),
        "top": str(y0),
        "width": str(x1 - x0),
        "height": str(y1 - y0),
        "z_order": "0",
    }
    return Shape("mask", name, told)


# -- back -------------------------------------------------------------------------------------------------------------


def label_of(form: Form, position: int, found: Sequence[Shape], size: tuple[int, int]) -> Any:
    """The label that an image's elements tell; ``size`` is its width and height.

    Raises
    ------
    DataError
        where they are of another kind, or do not fit the image
    """
    if isinstance(form, BoxesForm):
        across, down = size if form.boxes.shares else (1, 1)
        boxes = [_read_box(shape, across, down) for shape in found if shape.tag != "tag"]
        near = max(NEAR, ROUNDING * max(size)) / min(across, down)
        return form.settled(position, boxes, near)
    if isinstance(form, MasksForm):
        ordered = sorted((s for s in found if s.tag != "tag"), key=lambda shape: int(_number(shape, "z_order", "0")))
        areas = [(shape.label, _read_area(shape, size)) for shape in ordered]
        return form.of_areas(position, areas, form.proposed(position))
    odd = next((shape for shape in found if shape.tag != "tag"), None)
    if odd is not None:
        raise DataError(f"expected tags; found a {odd.tag}")
    return form.read(position, json.dumps([shape.label for shape in found]))


def _number(shape: Shape, name: str, usual: str | None = None) -> float:
    value = shape.told.get(name, usual)
    try:
        return float(value or "")
    except ValueError as error:
        raise DataError(f"expected a number in '{name}' of <{shape.tag}>; found {value!r}") from error


def _read_box(shape: Shape, across: int, down: int) -> Box:
    if shape.tag != "box":
        raise DataError(f"expected boxes; found a {shape.tag}")
    if _number(shape, "rotation", "0"):
        raise DataError(f"expected boxes that are not turned; found one turned by {shape.told['rotation']} degrees")
    x0, y0, x1, y1 = (_number(shape, name) for name in ("xtl", "ytl", "xbr", "ybr"))
    if not (x0 < x1 and y0 < y1):
        raise DataError(f"expected a box with xtl < xbr and ytl < ybr; found {x0:g},{y0:g},{x1:g},{y1:g}")
    return Box(shape.label, x0 / across, y0 / down, x1 / across, y1 / down)


def _read_area(shape: Shape, size: tuple[int, int]) -> NDArray[np.bool_]:
    width, height = size
    if shape.tag == "polygon":
        return _filled(shape, width, height)
    if shape.tag != "mask":
        raise DataError(f"expected masks or polygons; found a {shape.tag}")
    left, top, across, down = (int(_number(shape, name)) for name in ("left", "top", "width", "height"))
    if left < 0 or top < 0 or left + across > width or top + down > height:
        raise DataError(f"expected masks within {width} x {height} pixels; found one at {left},{top}")
    try:
        runs = [int(number) for number in shape.told.get("rle", "").split(",")]
    except ValueError as error:
        raise DataError(f"expected run lengths in 'rle'; found {shape.told.get('rle', '')[:40]!r}") from error
    area = np.zeros((height, width), dtype=bool)
    area[top : top + down, left : left + across] = area_of(runs, down, across)
    return area


def _filled(shape: Shape, width: int, height: int) -> NDArray[np.bool_]:
    from PIL import Image, ImageDraw

    try:
        points = [tuple(float(v) for v in pair.split(",")) for pair in shape.told["points"].split(";")]
        sheet = Image.new("1", (width, height))
        ImageDraw.Draw(sheet).polygon(points, fill=1)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"expected 'points' of a polygon; found {shape.told.get('points', '')[:40]!r}") from error
    return np.asarray(sheet, dtype=bool)
