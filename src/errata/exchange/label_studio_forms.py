"""Label Studio's regions and choices for labels that are no classes: spans, boxes, brushes, choices, numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from errata.errors import DataError, LedgerError
from errata.exchange import brush
from errata.exchange.items import ACTION, DOUBTS, DROP, LABEL, Item, Picture
from errata.forms.boxes import Box, BoxesForm
from errata.forms.form import Form
from errata.forms.masks import MasksForm
from errata.forms.tokens import TokensForm

__all__ = ["KEEP", "config", "label_of", "results"]

KEEP = "keep"
ROUNDING = 0.0005  # of a side: by how much corners move when nobody moves them
TAGS = {"tokens": "Labels", "boxes": "RectangleLabels", "segmentation": "BrushLabels"}
SHOWS = {"text": "Text", "image": "Image", "values": "Table"}


def config(task: str, names: Sequence[str], kind: str) -> str:
    """The labelling interface (XML) for labels that are no classes."""
    tag = TAGS.get(task)
    if tag is not None:
        control = _listed(tag, "Label", names, kind)
    elif task == "multilabel":
        control = _listed("Choices", "Choice", names, kind, ' choice="multiple" showInline="true"')
    else:
        control = f'  <Number name="{LABEL}" toName="{kind}"/>\n'
    zoom = ' zoom="true" zoomControl="true"' if kind == "image" else ""
    return (
        "<View>\n"
        f'  <Header value="looks wrong: ${DOUBTS}"/>\n'
        f"{control if task in TAGS else ''}"
        f'  <{SHOWS[kind]} name="{kind}" value="${kind}"{zoom}/>\n'
        f"{'' if task in TAGS else control}"
        f'  <Choices name="{ACTION}" toName="{kind}" choice="single" showInline="true">\n'
        f'    <Choice value="{KEEP}" hint="the given label is right, whatever is shown"/>\n'
        f'    <Choice value="{DROP}" hint="leave the row out"/>\n  </Choices>\n'
        "</View>\n"
    )


def _listed(tag: str, entry: str, names: Sequence[str], kind: str, more: str = "") -> str:
    lines = "\n".join(f"    <{entry} value={quoteattr(name)}/>" for name in names)
    return f'  <{tag} name="{LABEL}" toName="{kind}"{more}>\n{lines}\n  </{tag}>\n'


# -- out --------------------------------------------------------------------------------------------------------------


def results(item: Item, label: Any) -> list[dict[str, Any]]:
    """A label as the results of a prediction or an annotation."""
    whole, kind = item.whole, item.kind
    if whole is None:
        raise LedgerError("A row with a class has no regions.")
    form = whole.form
    found: list[dict[str, Any]]
    if isinstance(form, TokensForm):
        text = item.text or ""
        spans = form.characters(whole.position, label)
        found = [
            {"type": "labels", "value": {"start": a, "end": b, "text": text[a:b], "labels": [name]}}
            for a, b, name in spans
        ]
    elif isinstance(form, BoxesForm):
        found = [_rectangle(box, item.picture, form) for box in label]
    elif isinstance(form, MasksForm):
        found = [_brush(name, area) for name, area in form.areas(label)]
    elif form.task == "multilabel":
        found = [{"type": "choices", "value": {"choices": list(label)}}] if label else []
    else:
        found = [{"type": "number", "value": {"number": label}}] if label == label else []
    for number, result in enumerate(found):
        result |= {"id": f"errata-{number}", "from_name": LABEL, "to_name": kind}
    return found


def _size(picture: Picture | None, form: BoxesForm) -> tuple[int, int]:
    if picture is None or not picture.width:
        raise DataError(
            f"The sizes of the images of {form.boxes.source} are not known, and Label Studio wants boxes in shares of "
            "them. Say where the images are with --images (images=)."
        )
    return picture.width, picture.height


def _rectangle(box: Box, picture: Picture | None, form: BoxesForm) -> dict[str, Any]:
    width, height = _size(picture, form)
    across, down = (1.0, 1.0) if form.boxes.shares else (float(width), float(height))
    x0, y0, x1, y1 = box.x0 / across, box.y0 / down, box.x1 / across, box.y1 / down
    value = {"x": 100 * x0, "y": 100 * y0, "width": 100 * (x1 - x0), "height": 100 * (y1 - y0), "rotation": 0}
    return {
        "type": "rectanglelabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {**value, "rectanglelabels": [box.label]},
    }


def _brush(name: str, area: Any) -> dict[str, Any]:
    height, width = area.shape
    return {
        "type": "brushlabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": brush.packed(area), "brushlabels": [name]},
    }


# -- back -------------------------------------------------------------------------------------------------------------


def label_of(form: Form, position: int, values: Sequence[dict[str, Any]]) -> Any:
    """The label that results tell; ``values`` are their values, with the sizes of images beside them.

    Raises
    ------
    DataError
        where they are not of the kind, or do not fit the row
    """
    if isinstance(form, TokensForm):
        text = form.sentence(position)
        return form.of_characters(position, [_span(value, text) for value in values])
    if isinstance(form, BoxesForm):
        return _boxes(form, position, values)
    if isinstance(form, MasksForm):
        areas = [_area(value) for value in values]
        return form.of_areas(position, areas, form.proposed(position))
    if form.task == "multilabel":
        chosen = [name for value in values for name in _list(value, "choices")]
        return form.read(position, json.dumps(chosen))
    if len(values) != 1 or "number" not in values[0]:
        raise DataError(f"expected one number; found {str(list(values))[:60]}")
    return form.read(position, values[0]["number"])


def _list(value: dict[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    if not isinstance(found, list):
        raise DataError(f"expected a list in '{name}'; found {str(found)[:60]!r}")
    return found


def _name(value: dict[str, Any], key: str) -> str:
    names = _list(value, key)
    if len(names) != 1 or not isinstance(names[0], str):
        raise DataError(f"expected one label of a region; found {names}")
    return names[0]


def _numbers(value: dict[str, Any], keys: Sequence[str]) -> list[float]:
    found = [value.get(key) for key in keys]
    if any(not isinstance(one, (int, float)) or isinstance(one, bool) for one in found):
        raise DataError(f"expected numbers in {', '.join(keys)}; found {found}")
    return [float(one) for one in found if one is not None]


def _span(value: dict[str, Any], text: str) -> tuple[int, int, str]:
    start, end = (int(number) for number in _numbers(value, ("start", "end")))
    said = value.get("text")
    if isinstance(said, str) and said and text[start:end] != said:
        units = text.encode("utf-16-le")  # in which browsers count
        if units[2 * start : 2 * end].decode("utf-16-le", "replace") == said:
            start = len(units[: 2 * start].decode("utf-16-le", "replace"))
            end = start + len(said)
        elif text[start:end].strip() != said.strip():
            raise DataError(f"expected the text {text[start:end][:40]!r} at {start} to {end}; found {said[:40]!r}")
    return start, end, _name(value, "labels")


def _boxes(form: BoxesForm, position: int, values: Sequence[dict[str, Any]]) -> list[Box]:
    found, near = [], 0.0
    for value in values:
        x, y, width, height = _numbers(value, ("x", "y", "width", "height"))
        if value.get("rotation"):
            raise DataError(f"expected boxes that are not turned; found one turned by {value['rotation']} degrees")
        across, down = 1.0, 1.0
        if not form.boxes.shares:
            across, down = _numbers(value, ("original_width", "original_height"))
        near = ROUNDING * max(across, down)
        corners = (x * across / 100, y * down / 100, (x + width) * across / 100, (y + height) * down / 100)
        if not (width > 0 and height > 0):
            raise DataError(f"expected boxes with an area; found {width} x {height} percent")
        found.append(Box(_name(value, "rectanglelabels"), *corners))
    return form.settled(position, found, near)


def _area(value: dict[str, Any]) -> tuple[str, Any]:
    if value.get("format") != "rle":
        raise DataError(f"expected a brush ('format': 'rle'); found {str(value.get('format'))!r}")
    width, height = (int(number) for number in _numbers(value, ("original_width", "original_height")))
    return _name(value, "brushlabels"), brush.unpacked(_list(value, "rle"), height, width)
