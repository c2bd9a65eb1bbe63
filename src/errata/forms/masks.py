"""The classes of an image's pixels. A decision tells the areas that get another class: a JSON list of objects with the
label, the box around the area, and the lengths of its runs within that box."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errata.data.masks import Stack, digest
from errata.errors import DataError
from errata.forms.form import TAKE, Form, Part, flagged_parts, listed
from errata.ledger import Ledger
from errata.scores.runs import area_of, cut, runs_of

__all__ = ["DIGEST", "MasksForm"]

DIGEST, RUNS = "digest", "runs"
"""The column that tells a mask's content, and that of the parts with an area's runs."""

MOST = 100
"""Areas of each class that a decision may name; it needs one, but a table that somebody made may have more."""

Mask = NDArray[np.integer]


class MasksForm(Form):
    """Masks of images; a label is (H, W) whole numbers, places in ``names``; others mean no class.

    Parameters
    ----------
    ledger : of ``errata.audit(task="segmentation")`` or of a network trained on masks
    masks : as they stand in the data
    """

    task = "segmentation"

    def __init__(self, ledger: Ledger, masks: Stack) -> None:
        super().__init__(ledger)
        self.masks = masks
        self._code = {name: code for code, name in enumerate(self.names)}
        ignored = ledger.meta.get("ignore")
        voids = [ignored] if isinstance(ignored, int) else list(ignored or [])
        self.void: int | None = int(voids[0]) if voids else None
        self._place = {name: i for i, name in enumerate(masks.names)}

    def file(self, position: int) -> str:
        """The name of an item's mask."""
        return self.masks.names[self.place(position)]

    def place(self, position: int) -> int:
        own = self.ledger.columns.get("mask", self.ledger.columns.get("image"))
        name = "" if own is None else Path(str(own[position])).name
        number = self._place.get(name, self.row(position) if "mask" not in self.ledger.columns else -1)
        if not 0 <= number < len(self.masks):
            raise DataError(f"expected a mask named {name or self.row(position)} in {self.masks.source}")
        return number

    def of(self, labels: Stack, number: int) -> Mask:
        return labels[number]

    def given(self, position: int) -> Mask:
        return self.masks[self.place(position)]

    def doubts(self, position: int) -> list[Part]:
        return [
            Part(f"{int(pixels):,} pixels in {x0},{y0} to {x1},{y1}", str(given), str(word))
            for given, word, x0, y0, x1, y1, runs, pixels in self._flagged.get(self.ledger.index[position], [])
            if runs
        ]

    def taken(self, position: int, choices: Sequence[str]) -> Mask:
        new = self.given(position).copy()
        size = tuple(self.ledger.meta.get("mask_size") or new.shape)  # a network may have seen it smaller
        some = [part for part in self._flagged.get(self.ledger.index[position], []) if part[6]]
        for (_, word, x0, y0, x1, y1, runs, _), choice in zip(some, choices):
            if not choice:
                continue
            code = self.code(str(word) if choice == TAKE else choice)
            area = np.zeros(size, dtype=bool)
            box = area[int(y0) : int(y1), int(x0) : int(x1)]
            box[:] = area_of([int(n) for n in str(runs).split()], *box.shape)
            new[area if size == new.shape else _resized(area, new.shape)] = code
        return new

    @cached_property
    def _flagged(self) -> dict[Any, list[tuple[Any, ...]]]:
        if self.ledger.parts is None or RUNS not in self.ledger.parts.columns:
            return {}
        return flagged_parts(self.ledger, ["given", "proposed", "x0", "y0", "x1", "y1", RUNS, "pixels"])

    def text(self, position: int, label: Mask) -> str:
        """The areas that differ from the given mask."""
        return json.dumps(self.shapes(position, label), ensure_ascii=False)

    def read(self, position: int, text: str) -> Mask:
        return self.of_shapes(position, listed(text, "areas"))

    def shapes(self, position: int, label: Mask) -> list[dict[str, Any]]:
        """The areas that differ from the given mask: ``label``, the ``box`` around them, ``runs`` within it."""
        given, areas = self.given(position), []
        for code in np.unique(label[label != given]).tolist():
            area = (label == code) & (given != code)
            x0, y0, x1, y1 = cut(area)
            runs = " ".join(map(str, runs_of(area[y0:y1, x0:x1])))
            name = self.names[code] if 0 <= code < len(self.names) else None
            areas.append({"label": name, "box": [x0, y0, x1, y1], "runs": runs})
        return areas

    def of_shapes(self, position: int, shapes: Sequence[Any]) -> Mask:
        if len(shapes) > MOST * (len(self.names) + 1):
            raise DataError(f"expected at most {MOST * (len(self.names) + 1):,} areas; found {len(shapes):,}")
        new = self.given(position).copy()
        for one in shapes:
            self._paint(new, one)
        return new

    def _paint(self, mask: Mask, one: Any) -> None:
        told = repr(one)[:60]
        if not isinstance(one, dict) or "label" not in one:
            raise DataError(f"expected an area: an object with 'label', 'box' and 'runs'; found {told}")
        code = self.code(one["label"])
        box = one.get("box")
        if not isinstance(box, list) or len(box) != 4 or not all(type(v) is int for v in box):
            raise DataError(f"expected x0, y0, x1, y1 as whole numbers in 'box'; found {told}")
        x0, y0, x1, y1 = box
        if not (0 <= x0 < x1 <= mask.shape[1] and 0 <= y0 < y1 <= mask.shape[0]):
            raise DataError(f"expected an area within {mask.shape[1]} x {mask.shape[0]} pixels; found {box}")
        try:
            runs = [int(n) for n in str(one.get("runs", "")).split()]
        except ValueError as error:
            raise DataError(f"expected the lengths of runs in 'runs'; found {told}") from error
        mask[y0:y1, x0:x1][area_of(runs, y1 - y0, x1 - x0)] = code

    def code(self, name: str | None) -> int:
        """The number of a class; of None that of pixels without one.

        Raises
        ------
        DataError
            where there is none
        """
        if name is None:
            if self.void is None:
                raise DataError("expected a class for every pixel: the audit knows no number for pixels without one")
            return self.void
        if not isinstance(name, str) or name not in self._code:
            raise DataError(f"expected one of the classes {', '.join(self.names[:5])}; found {name!r}")
        return self._code[name]

    def same(self, one: Mask, other: Mask) -> bool:
        return bool(np.array_equal(one, other))

    def parts(self, position: int, old: Mask, new: Mask) -> list[Part]:
        """A line for each pair of classes."""
        found = []
        changed = old != new
        for a, b in np.unique(np.column_stack([old[changed], new[changed]]), axis=0).tolist():
            area = (old == a) & (new == b)
            x0, y0, x1, y1 = cut(area)
            where = f"{self.file(position)}, {int(area.sum()):,} pixels in {x0},{y0} to {x1},{y1}"
            found.append(Part(where, self._told(a), self._told(b)))
        return found

    def _told(self, code: int) -> str:
        return self.names[code] if 0 <= code < len(self.names) else f"no class ({code})"

    def fits(self, position: int, label: Mask) -> bool:
        known = self.ledger.columns.get(DIGEST)
        return known is None or str(known[position]) == digest(label)

    def shown(self, position: int, label: Mask) -> str:
        given = self.given(position)
        changed = int((label != given).sum())
        return f"{changed:,} pixels changed" if changed else f"{given.shape[1]} x {given.shape[0]} pixels"

    # -- as one area for each class -----------------------------------------------------------------------------------

    def areas(self, label: Mask) -> list[tuple[str, NDArray[np.bool_]]]:
        """The area (H, W) of every class that occurs."""
        present = [c for c in np.unique(label).tolist() if 0 <= c < len(self.names)]
        return [(self.names[c], label == c) for c in present]

    def of_areas(self, position: int, areas: Sequence[tuple[str, NDArray[np.bool_]]], sent: Mask) -> Mask:
        """The mask that areas from another tool tell.

        A pixel in several areas gets the class that it was not sent with, of several such that of the later area. A
        pixel in none is one without a class; one that was sent so keeps its number.

        Parameters
        ----------
        areas : class and (H, W) bool
        sent : (H, W) the mask as it went out

        Raises
        ------
        DataError
            where an area has another size, or pixels are left without a class where the audit knows no number for them
        """
        new = np.full(sent.shape, -1, dtype=sent.dtype)
        merged: dict[int, NDArray[np.bool_]] = {}
        for name, area in areas:
            if area.shape != sent.shape:
                raise DataError(
                    f"expected areas of {sent.shape[1]} x {sent.shape[0]} pixels; found {area.shape[1]} x "
                    f"{area.shape[0]}"
                )
            code = self.code(name)
            merged[code] = merged.pop(code, np.zeros(sent.shape, dtype=bool)) | area
        for code, area in merged.items():
            new[area & (sent == code)] = code
        for code, area in merged.items():
            new[area & (sent != code)] = code
        bare = new < 0
        if bare.any():
            classless = (sent < 0) | (sent >= len(self.names))
            new[bare & classless] = sent[bare & classless]
            if (bare & ~classless).any():
                new[bare & ~classless] = self.code(None)
        return new


def _resized(area: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    from errata.data.segmentation import resize_mask  # which reads pictures: the page is not to wait for that

    return resize_mask(area, size)
