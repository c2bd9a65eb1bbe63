"""Out of a ledger's folder and back into it, by the name of the format."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.rows import SINGLE
from errata.errors import DataError, LedgerError, ParameterError, UnknownNameError
from errata.exchange import argilla, cvat, label_studio, tables
from errata.exchange.items import Answer, Item, Known, Picture
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.storage import atomic

if TYPE_CHECKING:
    from errata.review.content import Content

__all__ = ["FORMATS", "bring_in", "read_answers", "write_items"]

SIDE = 1024  # pixels of a picture that has no file


@dataclass(frozen=True)
class Format:
    """A format: how it is written, and which endings its files have."""

    dump: Callable[..., bytes]
    endings: tuple[str, ...]
    pictures_only: bool = False


FORMATS = {
    "label-studio": Format(label_studio.dump, (".json",)),
    "argilla": Format(argilla.dump, (".json",)),
    "cvat": Format(cvat.dump, (".xml", ".zip"), pictures_only=True),
    "csv": Format(tables.dump, (".csv",)),
}
"""The formats by name."""


def write_items(
    folder: str | Path,
    out: str | Path,
    to: str,
    *,
    budget: int | None = None,
    data: Any = None,
    url: str | None = None,
    decisions: bool | None = None,
) -> tuple[list[Path], int]:
    """Write the rows that look wrong, in the order of suspicion, for another tool.

    Parameters
    ----------
    folder : a ledger's folder
    out : the file to write
    to : "label-studio", "argilla", "cvat" (.xml, or .zip with the pictures) or "csv"
    budget : the so many most suspicious rows; by default all that are flagged
    data : the data, where the ledger does not tell where they are
    url : the address below which the tool finds pictures, with their names after it
    decisions : whether to write what the record of the review holds; by default in "csv" only

    Returns
    -------
    paths, rows : the files that were written, and how many rows are in them

    Raises
    ------
    DataError
        where the format is for pictures and the rows are none
    LedgerError
        where the rows have no label of their own
    UnknownNameError
        for an unknown format

    Examples
    --------
    >>> import tempfile, pathlib
    >>> place = pathlib.Path(tempfile.mkdtemp())
    >>> ledger = Ledger([0, 1], [0, 0], [0.9, 0.2], classes=["cat", "dog"])
    >>> _ = ledger.save(place, report=False)
    >>> write_items(place, place / "out.csv", "csv")[1]
    1
    >>> print((place / "out.csv").read_text().splitlines()[1])
    1,dog,cat,0.2000,,,,,,
    """
    form, out, folder = _format(to), Path(out), Path(folder)
    if out.suffix.lower() not in form.endings:
        raise ParameterError(f"For {to} the file ends in {' or '.join(form.endings)}; got '{out.name}'.")
    ledger = _ledger(folder, to)
    content = _content(ledger, folder, data)
    if form.pictures_only and (content is None or content.kind != "image"):
        raise DataError(f"{to} is for pictures; the rows of {folder} are none, or their data can't be read.")
    with_decisions = to == "csv" if decisions is None else decisions
    items = list(_items(ledger, folder, content, budget, with_decisions))
    dump = cvat.dump_zip if out.suffix.lower() == ".zip" else form.dump
    classes = [str(name) for name in ledger.classes]
    with atomic(out) as temporary:
        temporary.write_bytes(dump(items, classes, url))
    paths = [out]
    if to == "label-studio" and items:
        kind = "text" if items[0].text is not None else "image" if items[0].picture is not None else "values"
        paths.append(out.with_name(f"{out.stem}.config.xml"))
        with atomic(paths[-1]) as temporary:
            temporary.write_text(label_studio.config(classes, kind), encoding="utf-8")
    return paths, len(items)


def read_answers(
    folder: str | Path, path: str | Path, source: str, *, reviewer: str = "", data: Any = None
) -> list[Answer]:
    """The decisions in a file that came from another tool, checked against the ledger.

    Parameters
    ----------
    folder : the ledger's folder
    path : the file
    source : where it comes from: a name of ``FORMATS``
    reviewer : who decided, where the file does not tell
    data : the data, where the ledger does not tell where they are; CVAT's files name pictures, not rows

    Raises
    ------
    DataError
        where something in the file is not as expected: file, line or record, what was expected, what was found
    """
    _format(source)
    folder, path = Path(folder), Path(path)
    ledger = _ledger(folder, source)
    names = [str(name) for name in ledger.classes]
    given = [None if code == MISSING else names[code] for code in ledger.given.tolist()]
    known = Known(ledger.index.tolist(), given, names)
    if source == "label-studio":
        return label_studio.read(path, known, reviewer)
    if source == "argilla":
        return argilla.read(path, known, reviewer, people=_people(folder, reviewer))
    if source == "cvat":
        content = _content(ledger, folder, data)
        rows = {} if content is None or content.kind != "image" else _picture_rows(ledger, content)
        return cvat.read(path, known, reviewer, rows)
    return tables.read(path, known, reviewer)


def bring_in(
    folder: str | Path, path: str | Path, source: str, *, reviewer: str = "", data: Any = None
) -> dict[str, int]:
    """Put the decisions of a file into the review's record of a folder; the same file twice counts once.

    Parameters
    ----------
    as of ``read_answers``

    Returns
    -------
    dict : how many of each action are new, and "known", how many were there already
    """
    from errata.review.decisions import Decisions
    from errata.review.places import check_owner

    answers = read_answers(folder, path, source, reviewer=reviewer, data=data)
    counts: Counter[str] = Counter(dict.fromkeys(("keep", "relabel", "drop", "skip", "known"), 0))
    with Decisions(folder) as record, record.writing():
        check_owner(record, Ledger.load(Path(folder)))
        last = record.changed_since((0, 0))[1][0]
        for answer in sorted(answers, key=lambda one: one.when):
            made = record.add(
                answer.row,
                answer.action,
                answer.label,
                reviewer=answer.reviewer,
                note=answer.note,
                key=_key(source, answer),
                when=answer.when or None,
            )
            counts[answer.action if made.id > last else "known"] += 1
            last = max(last, made.id)
    return dict(counts)


def _key(source: str, answer: Answer) -> str:
    told = repr((source, answer.row, answer.action, answer.label, answer.reviewer, answer.when))
    return f"{source}:{hashlib.blake2b(told.encode(), digest_size=12).hexdigest()}"


# -- what is in the ledger --------------------------------------------------------------------------------------------


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    return FORMATS[name]


def _ledger(folder: Path, to: str) -> Ledger:
    ledger = Ledger.load(folder)
    if list(ledger.classes) == SINGLE:
        raise LedgerError(
            f"The rows of {folder} hold several labels each (tokens, regions, boxes) or a number; {to} takes rows with "
            "one class. See `ledger.parts`."
        )
    return ledger


def _content(ledger: Ledger, folder: Path, data: Any) -> Content | None:
    """The rows' content; None where it can't be had."""
    from errata.review.content import Content

    content = Content(ledger, folder, data, marks=False)
    content.read()
    return content if content.state == "ready" else None


def _items(
    ledger: Ledger, folder: Path, content: Content | None, budget: int | None, with_decisions: bool
) -> Iterator[Item]:
    count = int(ledger.issue.sum()) if budget is None else min(budget, len(ledger))
    answers = _recorded(folder) if with_decisions else {}
    names = [str(name) for name in ledger.classes]
    for position in ledger.order[:count].tolist():
        row = _row(ledger, position)
        given, proposed = int(ledger.given[position]), int(ledger.proposed[position])
        trust = float(ledger.trust[position])
        look = None if content is None else content.look(position)
        yield Item(
            row,
            None if given == MISSING else names[given],
            None if proposed == MISSING else names[proposed],
            None if math.isnan(trust) else round(trust, 6),
            None if look is None else look.text,
            None if content is None or look is None or not look.picture else _picture(ledger, content, position),
            {} if look is None else dict(look.values or {}),
            answers.get(row, ()),
        )


def _row(ledger: Ledger, position: int) -> int | str:
    value = ledger.index[position]
    return value.item() if isinstance(value, np.generic) else value


def _picture(ledger: Ledger, content: Content, position: int) -> Picture | None:
    name, path = content.file(position)
    if path is not None:
        width, height = content.size(position)
        return Picture(name, path, None, width, height)
    png = content.picture(position, SIDE)
    if png is None:
        return None
    width, height = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
    return Picture(f"row-{_row(ledger, position)}.png", None, png, width, height)


def _picture_rows(ledger: Ledger, content: Content) -> dict[str, Any]:
    """The row of each picture's name."""
    rows = {}
    for position in range(len(ledger)):
        name, path = content.file(position)
        row = _row(ledger, position)
        rows[f"row-{row}.png" if path is None else name] = row
    return rows


def _recorded(folder: Path) -> dict[int | str, tuple[Answer, ...]]:
    """What stands in the record of the review, by row."""
    from errata.review.decisions import FILE, Decisions

    if not (folder / FILE).is_file():
        return {}
    with Decisions(folder) as record:
        standing = record.standing()
    found: dict[int | str, tuple[Answer, ...]] = {}
    for d in standing:
        found[d.row] = (*found.get(d.row, ()), Answer(d.row, d.action, d.label, d.reviewer, d.when, d.note))
    return found


def _people(folder: Path, reviewer: str) -> list[str]:
    from errata.review.decisions import FILE, Decisions

    if not (folder / FILE).is_file():
        return [reviewer]
    with Decisions(folder) as record:
        return [*record.reviewers(), reviewer]
