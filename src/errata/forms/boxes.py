"""Boxes around the objects of an image: a JSON list of objects with a label and a box."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from errata.data.boxes import Boxes
from errata.errors import DataError
from errata.forms.form import REMOVE, TAKE, Form, Part, flagged_parts, listed
from errata.ledger import Ledger

__all__ = ["Box", "BoxesForm", "overlap", "pairs", "read_box", "unmoved"]

NEAR = 1e-8
"""How far corners may be apart, as a share of the largest (or of 1), and still be the same: files hold x and width, or
the centre and width, with ten digits."""
LARGEST = 1e9  # of any coordinate
BEYOND = 0.001
"""How far a box may reach beyond its picture, as a share of the side: other tools round."""

_GIVEN, _SEEN = ("x0", "y0", "x1", "y1"), ("px0", "py0", "px1", "py1")


class Box(NamedTuple):
    """A box and its class; x0 < x1 and y0 < y1, in the unit of the data (pixels, or shares of the image)."""

    label: str
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1."""
        return self.x0, self.y0, self.x1, self.y1


class BoxesForm(Form):
    """Boxes of images; a label is a list of ``Box``.

    Parameters
    ----------
    ledger : of ``errata.audit(task="boxes")``
    boxes : as they stand in the data

    Examples
    --------
    >>> import errata
    >>> from errata.data.boxes import open_boxes
    >>> given = [{"boxes": [[0, 0, 10, 10]], "labels": ["cat"]}]
    >>> seen = [{"boxes": [[0, 0, 10, 10]], "labels": ["dog"], "scores": [0.9]}]
    >>> ledger = errata.audit(given, predictions=seen, task="boxes", classes=["cat", "dog"])
    >>> form = BoxesForm(ledger, open_boxes(given, classes=["cat", "dog"]))
    >>> form.text(0, form.proposed(0))
    '[{"label": "dog", "box": [0.0, 0.0, 10.0, 10.0]}]'
    """

    task = "boxes"

    measure: Callable[[int], tuple[int, int]] | None = None
    """Width and height of an item's picture, to be asked where the data do not tell them."""

    def __init__(self, ledger: Ledger, boxes: Boxes) -> None:
        super().__init__(ledger)
        self.boxes = boxes

    def _number(self, position: int) -> int:
        row = self.row(position)
        if row >= len(self.boxes):
            raise DataError(f"expected {row + 1:,} images or more in {self.boxes.source}")
        return row

    def image(self, position: int) -> str:
        """The image's name in the data."""
        return self.boxes.names[self._number(position)]

    def of(self, labels: Boxes, number: int) -> list[Box]:
        some = labels.of(number)
        names = [labels.classes[code] for code in labels.labels[some].tolist()]
        return [Box(name, *corners) for name, corners in zip(names, labels.corners[some].tolist())]

    def given(self, position: int) -> list[Box]:
        return self.of(self.boxes, self._number(position))

    def doubts(self, position: int) -> list[Part]:
        given = self.given(position)
        found = []
        for kind, word, box, seen in self._of_row(position, given):
            own = next((one for one in given if _close(one.corners, box, 0.0)), None)
            new = Box(own.label, *seen) if own is not None and kind == "badly located" else Box(word, *box)
            if kind == "twice":
                found.append(Part(kind, _told(own), ""))
                continue
            found.append(Part(kind, _told(own), _told(new)))
        return found

    def taken(self, position: int, choices: Sequence[str]) -> list[Box]:
        """Swapped classes exchanged, badly located boxes moved, overlooked ones added, doubles left out; the rest as
        given."""
        given = self.given(position)
        new: list[Box | None] = list(given)
        added = []
        for (kind, word, box, seen), choice in zip(self._of_row(position, given), choices):
            choice = REMOVE if kind == "twice" and choice == TAKE else choice
            name = word if choice == TAKE else choice
            if choice and choice != REMOVE and name not in self.names:
                raise DataError(f"expected one of the classes {', '.join(self.names[:5])}; found {name!r}")
            same = [i for i, one in enumerate(given) if _close(one.corners, box, 0.0) and new[i] is not None]
            place = same[-1] if same and kind == "twice" else same[0] if same else None
            if not choice or (kind == "overlooked" and choice == REMOVE):
                continue
            if kind == "overlooked":
                added.append(Box(name, *box))
            elif place is not None and choice == REMOVE:
                new[place] = None
            elif place is not None and kind == "badly located" and choice == TAKE:
                new[place] = Box(given[place].label, *seen)
            elif place is not None:
                new[place] = given[place]._replace(label=name)
        return [*(box for box in new if box is not None), *added]

    def _of_row(self, position: int, given: Sequence[Box]) -> list[tuple[str, str, Any, Any]]:
        """Kind, proposed class, box and predicted box of the flagged parts that are still open."""
        found = []
        for kind, word, *corners in self._flagged.get(self.ledger.index[position], []):
            box, seen = tuple(corners[:4]), tuple(corners[4:])
            there = any(one.label == word and _close(one.corners, box, 1e-6) for one in given)
            unmoved = kind == "badly located" and math.isnan(seen[0])
            if not unmoved and not (kind == "overlooked" and there):  # it was added before
                found.append((str(kind), str(word), box, seen))
        return found

    @cached_property
    def _flagged(self) -> dict[Any, list[tuple[Any, ...]]]:
        return flagged_parts(self.ledger, ["kind", "proposed", *_GIVEN, *_SEEN])

    def text(self, position: int, label: Sequence[Box]) -> str:
        return json.dumps(self.shapes(position, label), ensure_ascii=False)

    def read(self, position: int, text: str) -> list[Box]:
        return self.of_shapes(position, listed(text, "boxes"))

    def shapes(self, position: int, label: Sequence[Box]) -> list[dict[str, Any]]:
        """The boxes: ``label``, and ``box``, its x0, y0, x1, y1 in the unit of the data."""
        return [{"label": box.label, "box": list(box.corners)} for box in label]

    def of_shapes(self, position: int, shapes: Sequence[Any]) -> list[Box]:
        label = [read_box(one) for one in shapes]
        self.check(position, label)
        return label

    def size(self, position: int) -> tuple[float, float]:
        """How far the picture reaches, in the unit of the data: 1, 1 for shares; 0, 0 where nobody knows."""
        if self.boxes.shares:
            return 1, 1
        width, height = self.boxes.size(self._number(position))
        return (width, height) if width and height else (0, 0) if self.measure is None else self.measure(position)

    def check(self, position: int, label: Sequence[Box]) -> None:
        """Boxes lie within their picture, but for those that the data or the detector have so."""
        width, height = self.size(position)
        if not width or not height:
            return
        beyond = [box for box in label if not _within(box, width, height)]
        if not beyond:
            return
        there = {box.corners for box in (*self.given(position), *self.proposed(position))}
        odd = next((box for box in beyond if box.corners not in there), None)
        if odd is not None:
            raise DataError(f"expected boxes within the picture, {width:g} x {height:g}; found {_told(odd)}")

    def same(self, one: Sequence[Box], other: Sequence[Box]) -> bool:
        if len(one) != len(other):
            return False
        left = sorted(other)
        if sorted(one) == left:
            return True
        for box in one:
            twin = next((place for place, there in enumerate(left) if unmoved(box, there)), None)
            if twin is None:
                return False
            del left[twin]
        return True

    def parts(self, position: int, old: Sequence[Box], new: Sequence[Box]) -> list[Part]:
        found = []
        for before, after in pairs(old, new):
            was = None if before is None else old[before]
            now = None if after is None else new[after]
            if was is None or now is None or not unmoved(was, now):
                place = "a new box" if before is None else f"box {before}"
                found.append(Part(f"{self.image(position)}, {place}", _told(was), _told(now)))
        return found

    def fits(self, position: int, label: Sequence[Box]) -> bool:
        known = self.ledger.columns.get("boxes")
        if known is not None and int(known[position]) != len(label):
            return False
        remembered = self._known.get(self.ledger.index[position], [])
        there = sorted(label)
        return all(box in there for box in remembered)

    @cached_property
    def _known(self) -> dict[Any, list[Box]]:
        """What the ledger remembers of the given boxes."""
        table = self.ledger.parts
        if table is None:
            return {}
        some = table[table["kind"] != "overlooked"]
        found: dict[Any, list[Box]] = {}
        for row, word, *corners in zip(some["row"].tolist(), *(some[n].tolist() for n in ("given", *_GIVEN))):
            found.setdefault(row, []).append(Box(str(word), *corners))
        return found

    def unknown(self, label: Sequence[Box]) -> str | None:
        return next((box.label for box in label if box.label not in self.names), None)

    def shown(self, position: int, label: Sequence[Box]) -> str:
        return "; ".join(_told(box) for box in label) or "no box"

    def settled(self, position: int, label: Sequence[Box], near: float) -> list[Box]:
        """Boxes that came back, with those as they were, given or proposed, that moved by no more than rounding does.

        Parameters
        ----------
        near : how far a corner may have moved, in the unit of the data
        """
        sent, taken = [*self.given(position), *self.proposed(position)], set()
        found: list[Box] = []
        for box in label:
            at = next((i for i, one in enumerate(sent) if i not in taken and _close(one.corners, box[1:], near)), None)
            if at is not None:
                taken.add(at)
                box = sent[at]._replace(label=box.label)
            found.append(box)
        return found


def _close(one: Sequence[float], other: Sequence[float], near: float) -> bool:
    return all(abs(a - b) <= near for a, b in zip(one, other))


def read_box(one: Any) -> Box:
    """A box from an object with ``label`` and ``box``.

    Raises
    ------
    DataError
        where it is none
    """
    told = repr(one)[:60]
    if not isinstance(one, dict) or not isinstance(one.get("label"), str) or not one["label"]:
        raise DataError(f"expected an object with 'label' and 'box'; found {told}")
    corners = one.get("box")
    if not isinstance(corners, list) or len(corners) != 4 or not all(_number(v) for v in corners):
        raise DataError(f"expected x0, y0, x1, y1 in 'box'; found {told}")
    x0, y0, x1, y1 = (float(v) for v in corners)
    if not (x0 < x1 and y0 < y1):
        raise DataError(f"expected a box with x0 < x1 and y0 < y1; found {corners}")
    return Box(one["label"], x0, y0, x1, y1)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST  # False for NaN


def _told(box: Box | None) -> str:
    return "" if box is None else f"{box.label} {box.x0:.6g},{box.y0:.6g},{box.x1:.6g},{box.y1:.6g}"


def unmoved(one: Box, other: Box) -> bool:
    """Whether two boxes are the same but for what writing them rounds off.

    Examples
    --------
    >>> unmoved(Box("a", 10.1, 0, 10.1 + 20.2, 1), Box("a", 10.1, 0, 30.3, 1))
    True
    """
    near = NEAR * max(1.0, *map(abs, one.corners))
    return one.label == other.label and _close(one.corners, other.corners, near)


def _within(box: Box, width: float, height: float) -> bool:
    x, y = BEYOND * width, BEYOND * height
    return -x <= box.x0 and box.x1 <= width + x and -y <= box.y0 and box.y1 <= height + y


def pairs(old: Sequence[Box], new: Sequence[Box]) -> list[tuple[int | None, int | None]]:
    """Which box became which: the same ones, then those that share the class or their place, nearest first.

    Returns
    -------
    list of (place in old, place in new), None for a box that is new or gone; in the order of ``old``, new ones last

    Examples
    --------
    >>> pairs([Box("a", 0, 0, 2, 2)], [Box("b", 5, 5, 6, 6), Box("b", 0, 0, 2, 2)])
    [(0, 1), (None, 0)]
    """
    candidates = []
    for i, a in enumerate(old):
        for j, b in enumerate(new):
            share = overlap(a.corners, b.corners)
            if a == b or share > 0:
                candidates.append((a != b, -share, a.label != b.label, i, j))
    chosen: dict[int, int] = {}
    taken: set[int] = set()
    for *_, i, j in sorted(candidates):
        if i not in chosen and j not in taken:
            chosen[i] = j
            taken.add(j)
    found: list[tuple[int | None, int | None]] = [(i, chosen.get(i)) for i in range(len(old))]
    return [*found, *((None, j) for j in range(len(new)) if j not in taken)]


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both)
