"""Decisions as a table in CSV, to fill in with any spreadsheet: row, action, label, reviewer, time, note.

Labels that are no classes stand there as a decision has them: a JSON list for tokens, boxes and the areas of a mask,
names joined by commas, or a number.

The same file is what ``errata apply --decisions`` takes. Going out it also holds given and proposed label, trust and
what there is to see of a row; coming back, lines without an action decide nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from errata.errors import DataError
from errata.exchange.items import Answer, Item, Known, fault
from errata.exchange.jsons import read_text
from errata.storage import atomic

__all__ = ["dump", "read", "write_answers"]

COLUMNS = ("row", "given", "proposed", "trust", "text", "action", "label", "reviewer", "time", "note")
ACTIONS = ("keep", "relabel", "drop", "skip")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
LONGEST = 2_000  # characters of what there is to see


def dump(some: Iterable[Item], classes: Sequence[str], url: str | None = None) -> bytes:
    """The rows as a table, with a line for each decision that was made, or one to be filled in."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item in some:
        trust = "" if item.trust is None else f"{item.trust:.4f}"
        longest = LONGEST if item.whole is None else None  # what is cut could not be read again
        seen = [item.row, _shown(item.given, longest), _shown(item.proposed, longest), trust]
        seen.append(_shown(_look(item)))
        for answer in item.answers or (None,):
            said = ["", "", "", "", ""]
            if answer is not None:
                said = [answer.action, answer.label or "", answer.reviewer, answer.when, answer.note]
            writer.writerow([*seen, *said])
    return buffer.getvalue().encode()


def write_answers(answers: Iterable[Answer], out: Path) -> Path:
    """Write decisions alone: row, action, label, reviewer, time, note."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("row", *COLUMNS[-5:]))
    writer.writerows((one.row, one.action, one.label or "", one.reviewer, one.when, one.note) for one in answers)
    with atomic(out) as temporary:
        temporary.write_bytes(buffer.getvalue().encode())
    return out


def _look(item: Item) -> str:
    if item.text is not None:
        return item.text
    if item.picture is not None:
        return item.picture.name
    return ", ".join(f"{name}: {value}" for name, value in item.values.items())


def _shown(text: str | None, longest: int | None = LONGEST) -> str:
    """A text that no spreadsheet takes for a formula."""
    text = (text or "")[:longest]
    return f"'{text}" if text.startswith(FORMULA) else text


def read(path: Path, known: Known, reviewer: str = "") -> list[Answer]:
    """The decisions in a table.

    Raises
    ------
    DataError
        where columns are missing, or a line names an unknown row, action or class
    """
    lines = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    answers = []
    try:
        header = [name.strip().lower() for name in next(lines, [])]
        missing = [name for name in ("row", "action") if name not in header]
        if missing:
            raise fault(f"{path}, line 1", "the columns row, action, label", header)
        for line in lines:
            answers += _line(dict(zip(header, line)), f"{path}, line {lines.line_num}", known, reviewer, bool(line))
    except csv.Error as error:
        raise DataError(f"{path}, line {lines.line_num}: expected a CSV table; {error}.") from error
    return answers


def _line(said: dict[str, str], where: str, known: Known, reviewer: str, filled: bool) -> list[Answer]:
    action = said.get("action", "").strip().lower()
    if not filled or not action:
        return []
    if action not in ACTIONS:
        raise fault(where, f"an action ({', '.join(ACTIONS)})", said["action"])
    when = (said.get("time") or said.get("when") or "").strip()
    more = {"reviewer": said.get("reviewer", "").strip() or reviewer, "when": when, "note": said.get("note", "")}
    if action != "relabel":
        return [Answer(known.row(said["row"], where), action, **more)]
    label = said.get("label", "")
    return [known.answer(where, said["row"], label if label in known.classes else label.strip(), **more)]
