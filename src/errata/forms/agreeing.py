"""Whether two people who drew the same thing mean the same: no two draw a box, or an area, alike to the pixel.

Told from the texts of their decisions alone, so that a record of decisions can be counted without the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errata.errors import DataError
from errata.forms.boxes import overlap, pairs, read_box
from errata.forms.form import listed
from errata.scores.runs import area_of

__all__ = ["SHARE", "Alike", "alike_for"]

SHARE = 0.75
"""Of what either has drawn, so much must be what both have."""

LARGEST = 2**27  # pixels around two areas; what is larger is compared as text

Alike = Callable[[str, str], bool]


def alike_for(task: str) -> Alike | None:
    """How texts of decisions are compared; None where they must be equal.

    Boxes are alike where each has one of the same class in the other that it shares three quarters of their common
    area with; areas of a mask where three quarters of all pixels that change in either become the same class in both.

    Examples
    --------
    >>> alike = alike_for("boxes")
    >>> alike('[{"label": "a", "box": [0, 0, 20, 20]}]', '[{"label": "a", "box": [0, 0, 20, 19]}]')
    True
    >>> alike('[{"label": "a", "box": [0, 0, 20, 20]}]', '[{"label": "b", "box": [0, 0, 20, 20]}]')
    False
    """
    compare = {"boxes": _boxes, "segmentation": _areas}.get(task)
    if compare is None:
        return None

    def alike(one: str, other: str) -> bool:
        if one == other:
            return True
        try:
            return compare(listed(one, "shapes"), listed(other, "shapes"))
        except DataError:
            return False

    return alike


def _boxes(one: Sequence[Any], other: Sequence[Any]) -> bool:
    if len(one) != len(other):
        return False
    first, second = [read_box(box) for box in one], [read_box(box) for box in other]
    for before, after in pairs(first, second):
        if before is None or after is None or first[before].label != second[after].label:
            return False
        if overlap(first[before].corners, second[after].corners) < SHARE:
            return False
    return True


def _areas(one: Sequence[Any], other: Sequence[Any]) -> bool:
    boxes = [_place(area) for area in (*one, *other)]
    if not boxes:
        return True
    x0, y0 = min(b[0] for b in boxes), min(b[1] for b in boxes)
    x1, y1 = max(b[2] for b in boxes), max(b[3] for b in boxes)
    if (x1 - x0) * (y1 - y0) > LARGEST:
        return False
    numbers: dict[str | None, int] = {}
    first, second = (_sheet(areas, numbers, (x0, y0, x1, y1)) for areas in (one, other))
    either = int(((first > 0) | (second > 0)).sum())
    return int(((first == second) & (first > 0)).sum()) >= SHARE * either


def _place(area: Any) -> tuple[int, int, int, int]:
    box = area.get("box") if isinstance(area, dict) else None
    if isinstance(box, list) and len(box) == 4 and all(type(v) is int for v in box):
        x0, y0, x1, y1 = box
        if 0 <= x0 < x1 and 0 <= y0 < y1:
            return x0, y0, x1, y1
    raise DataError("expected an area with a box")


def _sheet(
    areas: Sequence[Any], numbers: dict[str | None, int], around: tuple[int, int, int, int]
) -> NDArray[np.int64]:
    """(H, W) numbers of what the pixels become, 0 where they stay."""
    sheet = np.zeros((around[3] - around[1], around[2] - around[0]), dtype=np.int64)
    for area in areas:
        x0, y0, x1, y1 = _place(area)
        try:
            runs = [int(n) for n in str(area.get("runs", "")).split()]
        except ValueError as error:
            raise DataError("expected the lengths of runs") from error
        part = sheet[y0 - around[1] : y1 - around[1], x0 - around[0] : x1 - around[0]]
        part[area_of(runs, y1 - y0, x1 - x0)] = numbers.setdefault(str(area.get("label")), len(numbers) + 1)
    return sheet
