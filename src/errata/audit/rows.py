"""The most suspicious rows as the report shows them: picture, text or values, both labels, and the nearest rows."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.alike import Alike, nearest
from errata.audit.parts_shown import boxes_png, places, single
from errata.errors import ErrataError
from errata.labels import MISSING
from errata.ledger import UNSEEN

if TYPE_CHECKING:
    from errata.ledger import Ledger

__all__ = ["SINGLE", "WORST", "near_count", "short", "worst_rows"]

SINGLE = ["as labelled", "to correct"]
"""The classes of a ledger whose rows have no single class: they hold tokens, regions, boxes or a number."""

WORST = 100
"""Rows that are shown one by one."""

NEAR, NEAR_PICTURES = 5, 6  # pictures stand in lines of three
OF_A_ROW = 4  # finer labels that are shown with their row
THUMBNAIL_BYTES = 2_200_000  # of all pictures together, before they grow by a third as text
NEAR_BYTES = 800_000  # of the pictures of the nearest rows
NEAR_SIDE = 44
LONGEST_TEXT = 2000
SHORT_TEXT = 280
NEAR_TEXT = 140
LONGEST_VALUE = 200
MOST_COLUMNS = 40
NEAR_COLUMNS = 4


class _Pictures:
    """PNG as text, until so many bytes are spent."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, png: bytes | None) -> str | None:
        if png is None:
            return None
        self.left -= len(png)
        return base64.b64encode(png).decode("ascii") if self.left >= 0 else None


def worst_rows(ledger: Ledger) -> list[dict[str, Any]]:
    """What the template needs of the first ``WORST`` issues."""
    positions = ledger.order[: min(WORST, int(ledger.issue.sum()))]
    single = list(ledger.classes) == SINGLE and "given" not in ledger.columns
    several = single or not ledger.kind.classed  # no label to be compared by
    near: list[list[Alike]] = [[] for _ in positions] if several else nearest(ledger, positions, near_count(ledger))
    finer = _finer(ledger, positions)
    pictures, small = _Pictures(THUMBNAIL_BYTES), _Pictures(NEAR_BYTES)
    rows = []
    for place, (position, alike) in enumerate(zip(positions.tolist(), near), start=1):
        given, proposed = _label(ledger, "given", position), _label(ledger, "proposed", position)
        row: dict[str, Any] = {
            "place": place,
            "row": ledger.called(position),
            "given": given,
            "proposed": proposed,
            "trust": float(np.nan_to_num(ledger.trust[position])),
            **_look(ledger, position),
            **_near(ledger, alike, given, proposed, small),
            **finer.get(ledger.index[position], {"parts": [], "more_parts": 0}),
        }
        row["picture"] = pictures.take(boxes_png(ledger, position) or row["picture"])
        rows.append(row)
    return rows


def near_count(ledger: Ledger) -> int:
    """How many near rows are shown with each."""
    return NEAR_PICTURES if ledger.data is not None and ledger.data.kind == "image" else NEAR


def _finer(ledger: Ledger, positions: np.ndarray) -> dict[Any, dict[str, Any]]:
    """The suspicious parts of rows that have no label of their own, by row, the worst first."""
    if ledger.parts is None or list(ledger.classes) != SINGLE or "given" in ledger.columns:
        return {}
    table = ledger.parts
    some = table[table["issue"].to_numpy(dtype=bool) & np.isin(table["row"].to_numpy(), ledger.index[positions])]
    found = {}
    for row, lines in some.sort_values("rank", kind="stable").groupby("row", sort=False):
        worst = lines.head(OF_A_ROW)
        where = places(worst).drop(columns=["label", "class"], errors="ignore").to_dict("records")
        found[row] = {
            "parts": [
                {
                    "where": _where(place),
                    "given": short(_scalar(line["given"])) or "nothing",
                    "proposed": short(_scalar(line["proposed"])) or "nothing",
                }
                for line, place in zip(worst.to_dict("records"), where)
            ],
            "more_parts": max(0, len(lines) - OF_A_ROW),
        }
    return found


def _where(place: Mapping[Any, Any]) -> str:
    told = {name: single(value) for name, value in place.items() if single(value) is not None}
    return ", ".join(short(value) if name == "kind" else f"{name} {short(value)}" for name, value in told.items())


def _label(ledger: Ledger, which: str, position: int) -> str:
    """A label for people: from the column of that name, where there is one, or else the class."""
    if which in ledger.columns:
        return short(_scalar(ledger.columns[which][position]))
    code = int(getattr(ledger, which)[position])
    return "none" if code == MISSING else str(ledger.classes[code])


def _near(ledger: Ledger, alike: list[Alike], given: str, proposed: str, pictures: _Pictures) -> dict[str, Any]:
    """The nearest rows, and how their labels speak."""
    found = []
    for one in alike:
        label = _label(ledger, "given", one.position)
        found.append(
            {
                "row": str(ledger.index[one.position]),
                "label": label,
                "same": one.same,
                "side": "given" if label == given else "proposed" if label == proposed else "other",
                **_glance(ledger, one.position, pictures),
            }
        )
    counted = Counter((one["label"], one["side"]) for one in found).most_common()
    return {"near": found, "votes": [{"label": label, "side": side, "n": n} for (label, side), n in counted]}


def _glance(ledger: Ledger, position: int, pictures: _Pictures) -> dict[str, Any]:
    """As much of a near row as shows why it is near."""
    glance: dict[str, Any] = {"picture": None, "text": ""}
    data = ledger.data
    try:
        if data.kind == "image":
            if pictures.left > 0:
                glance["picture"] = pictures.take(data.images.thumbnail(int(data.rows[position]), NEAR_SIDE))
            return glance
        preview = data.preview(position)
    except (ErrataError, OSError):
        return glance
    if preview.kind == "text":
        text = " ".join((preview.text or "").split())
        glance["text"] = text if len(text) <= NEAR_TEXT else text[: NEAR_TEXT - 1] + "…"
    else:
        shown = [(n, v) for n, v in (preview.row or {}).items() if n != data.label_name][:NEAR_COLUMNS]
        glance["text"] = ", ".join(f"{n} {short(v)}" for n, v in shown)
    return glance


def _look(ledger: Ledger, position: int) -> dict[str, Any]:
    """Picture, text and values of a row, cut to what a page can hold."""
    look: dict[str, Any] = {"picture": None, "small": False, "text": "", "more": "", "values": [], "name": ""}
    if ledger.data is None:
        look["values"] = _columns(ledger, position)
        return look
    try:
        preview = ledger.data.preview(position)
    except (ErrataError, OSError):  # the source has changed or gone since; the row's number still tells which it is
        return look
    values = dict(preview.row or {})
    if preview.kind == "image":
        look["picture"] = preview.png
        look["small"] = preview.png is not None and int.from_bytes(preview.png[16:20], "big") < 64
        look["name"] = str(values.pop("file", "")).rstrip("/").rsplit("/", 1)[-1]
    elif preview.kind == "text":
        text = preview.text or ""
        look["text"], look["more"] = text[:SHORT_TEXT], text[SHORT_TEXT:LONGEST_TEXT]
        values = {name: value for name, value in values.items() if value not in (None, text)}
    shown = {name: value for name, value in values.items() if name != ledger.data.label_name}
    look["values"] = [(str(n), short(v)) for n, v in list(shown.items())[:MOST_COLUMNS]]
    return look


def _columns(ledger: Ledger, position: int) -> list[tuple[str, str]]:
    """What the ledger itself knows of a row, where there is nothing else to look at."""
    single = {n: v for n, v in ledger.columns.items() if v.ndim == 1 and n not in ("given", "proposed", *UNSEEN)}
    return [(n.replace("_", " "), short(_scalar(v[position]))) for n, v in list(single.items())[:MOST_COLUMNS]]


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def short(value: Any) -> str:
    """A value for people, not longer than a cell can hold."""
    text = "missing" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
