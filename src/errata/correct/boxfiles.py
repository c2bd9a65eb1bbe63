"""Correcting boxes: COCO's JSON, where only the annotations of changed boxes become other text, and YOLO's folders,
where only the lines of changed boxes do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from errata.correct.itemwise import GONE, ItemSource
from errata.correct.jsonlines import DECODER, skip, spans
from errata.correct.source import Difference
from errata.data.boxes import open_boxes
from errata.errors import DataError
from errata.forms.boxes import Box, pairs, unmoved

__all__ = ["CocoFile", "YoloFolder"]


class CocoFile(ItemSource):
    """A COCO data set in a JSON file.

    Parameters
    ----------
    path : the file
    reading : the option ``classes`` of ``errata.data.boxes.open_boxes``
    """

    label = "boxes"

    def again(self, out: Path) -> Any:
        return open_boxes(out)

    def write(self, edits: Mapping[int, Any], out: Path | None, differences: list[Difference] | None) -> None:
        text = self.path.read_text(encoding="utf-8")
        places = spans(text)
        images = _elements(text, places["images"][0])
        annotations = _elements(text, places["annotations"][0])
        numbers = {json.dumps(image["id"]): place for place, (_, _, image) in enumerate(images)}
        categories = {c["name"]: c["id"] for c in json.loads(text[slice(*places["categories"])])}
        own: dict[int, list[int]] = {}
        for number, (_, _, one) in enumerate(annotations):
            own.setdefault(numbers[json.dumps(one["image_id"])], []).append(number)
        replaced: dict[int, str | None] = {}
        added: list[str] = []
        free = _Free(annotations)
        for place, label in edits.items():
            mine = own.get(place, [])
            if label is GONE:
                replaced |= dict.fromkeys(mine)
                continue
            mine = [n for n in mine if not annotations[n][2].get("iscrowd")]
            self._image(text, annotations, mine, label, categories, images[place][2]["id"], replaced, added, free)
        gone: dict[int, str | None] = {place: None for place, label in edits.items() if label is GONE}
        changes = [
            (places["images"], _array(text, places["images"], images, gone, [])),
            (places["annotations"], _array(text, places["annotations"], annotations, replaced, added)),
        ]
        for (start, stop), new in sorted(changes, reverse=True):
            text = text[:start] + new + text[stop:]
        if out is not None:
            out.write_bytes(text.encode("utf-8"))

    def _image(
        self,
        text: str,
        annotations: Sequence[tuple[int, int, dict[str, Any]]],
        mine: Sequence[int],
        label: Sequence[Box],
        categories: Mapping[str, Any],
        image: Any,
        replaced: dict[int, str | None],
        added: list[str],
        free: _Free,
    ) -> None:
        names = {json.dumps(identity): name for name, identity in categories.items()}
        old = []
        for number in mine:
            one = annotations[number][2]
            x, y, width, height = (float(v) for v in one["bbox"])
            old.append(Box(names[json.dumps(one["category_id"])], x, y, x + width, y + height))
        for before, after in pairs(old, label):
            if after is not None and label[after].label not in categories:
                raise DataError(f"{self.path} has no category '{label[after].label}'; add it there first.")
            if before is None and after is not None:
                added.append(json.dumps(_annotation(label[after], free.next(), image, categories)))
            elif before is not None and after is None:
                replaced[mine[before]] = None
            elif before is not None and after is not None and not unmoved(old[before], label[after]):
                start, stop, one = annotations[mine[before]]
                replaced[mine[before]] = _edited(text[start:stop], one, old[before], label[after], categories)


class _Free:
    """Numbers that no annotation has."""

    def __init__(self, annotations: Sequence[tuple[int, int, dict[str, Any]]]) -> None:
        self.last = max((one["id"] for _, _, one in annotations if isinstance(one.get("id"), int)), default=0)

    def next(self) -> int:
        self.last += 1
        return self.last


def _elements(text: str, at: int) -> list[tuple[int, int, Any]]:
    """(start, stop, value) of the elements of the array that begins at a place."""
    found = []
    at = skip(text, at + 1)
    while text[at] != "]":
        value, end = DECODER.raw_decode(text, at)
        found.append((at, end, value))
        at = skip(text, end)
        if text[at] == ",":
            at = skip(text, at + 1)
    return found


def _array(
    text: str,
    place: tuple[int, int],
    elements: Sequence[tuple[int, int, Any]],
    replaced: Mapping[int, str | None],
    added: Sequence[str],
) -> str:
    """An array with some elements replaced, left out (None) or added behind the others; the rest as it was."""
    start, stop = place
    if not replaced and not added:
        return text[start:stop]
    between = text[elements[0][1] : elements[1][0]] if len(elements) > 1 else ", "
    parts: list[str] = []
    last = -1
    for number, (first, end, _) in enumerate(elements):
        new = replaced.get(number, text[first:end])
        if new is None:
            continue
        if parts:
            parts.append(text[elements[number - 1][1] : first] if last == number - 1 else between)
        parts.append(new)
        last = number
    for new in added:
        parts += [between, new] if parts else [new]
    head = text[start : elements[0][0]] if elements else "["
    tail = text[elements[-1][1] : stop] if elements else "]"
    return head + "".join(parts) + tail


def _round(value: float) -> float | int:
    short = float(f"{value:.10g}")
    return int(short) if short.is_integer() else short


def _bbox(box: Box) -> list[float | int]:
    return [_round(v) for v in (box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0)]


def _annotation(box: Box, number: int, image: Any, categories: Mapping[str, Any]) -> dict[str, Any]:
    corners = _bbox(box)
    return {
        "id": number,
        "image_id": image,
        "category_id": categories[box.label],
        "bbox": corners,
        "area": _round(float(corners[2]) * float(corners[3])),
        "iscrowd": 0,
        "segmentation": [],
    }


def _edited(text: str, one: Mapping[str, Any], old: Box, new: Box, categories: Mapping[str, Any]) -> str:
    """An annotation's text with another category or box; its outline is emptied where the box is another one."""
    values: dict[str, Any] = {}
    if old.label != new.label:
        values["category_id"] = categories[new.label]
    if old.corners != new.corners:
        values["bbox"] = corners = _bbox(new)
        values |= {"area": _round(float(corners[2]) * float(corners[3]))} if "area" in one else {}
        values |= {"segmentation": []} if one.get("segmentation") else {}
    for (start, stop), value in sorted(((spans(text)[name], value) for name, value in values.items()), reverse=True):
        text = text[:start] + json.dumps(value) + text[stop:]
    return text


class YoloFolder(ItemSource):
    """A folder with a text file for each image; parameters as of ``CocoFile``."""

    label = "boxes"

    def again(self, out: Path) -> Any:
        return open_boxes(out, classes=self.reading.get("classes"))

    def write(self, edits: Mapping[int, Any], out: Path | None, differences: list[Difference] | None) -> None:
        names = self.labels.names
        written = {}
        for place, label in edits.items():
            written[names[place]] = None if label is GONE else self._lines(place, label)
        if out is None:
            return
        shutil.copytree(self.path, out)
        for name, content in written.items():
            if content is None:
                (out / name).unlink()
            else:
                (out / name).write_bytes(content)

    def _lines(self, place: int, label: Sequence[Box]) -> bytes:
        raw = (self.path / self.labels.names[place]).read_bytes()
        ending = b"\r\n" if b"\r\n" in raw else b"\n"
        lines = raw.splitlines(keepends=True)
        own = [number for number, line in enumerate(lines) if line.strip()]
        some = self.labels.of(place)
        names = [self.labels.classes[code] for code in self.labels.labels[some].tolist()]
        old = [Box(name, *corners) for name, corners in zip(names, self.labels.corners[some].tolist())]
        for before, after in pairs(old, label):
            if before is None and after is not None:
                if lines and not lines[-1].endswith(b"\n"):
                    lines[-1] += ending
                lines.append(self._line(label[after]) + ending)
            elif before is not None and after is None:
                lines[own[before]] = b""
            elif before is not None and after is not None and not unmoved(old[before], label[after]):
                there = lines[own[before]]
                lines[own[before]] = self._line(label[after]) + there[len(there.rstrip(b"\r\n")) :]
        return b"".join(lines)

    def _line(self, box: Box) -> bytes:
        number = self.labels.classes.index(box.label) if box.label in self.labels.classes else -1
        if all(name.isdigit() for name in self.labels.classes):
            number = int(box.label) if box.label.isdigit() else -1
        if number < 0:
            raise DataError(f"{self.path} has no class '{box.label}'; add it to classes.txt first.")
        centre = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2, box.x1 - box.x0, box.y1 - box.y0)
        return " ".join([str(number), *(f"{value:.10g}" for value in centre)]).encode()
