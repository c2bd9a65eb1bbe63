"""Out of a ledger's folder and back into it, by the name of the format."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errata.errors import DataError, LedgerError, ParameterError, UnknownNameError
from errata.exchange import argilla, argilla_forms, cvat, cvat_shapes, label_studio, label_studio_forms, tables
from errata.exchange.items import Answer, Item, Known
from errata.exchange.outgoing import View, recorded
from errata.forms import CLASSES, Form, form_of, task_of
from errata.items import CLASSES as SINGLE
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.storage import atomic

__all__ = ["FORMATS", "bring_in", "read_answers", "write_items"]

WORDS = {
    CLASSES: "classes",
    "tokens": "labels of tokens",
    "boxes": "boxes",
    "segmentation": "masks",
    "multilabel": "several labels per item",
    "regression": "numbers",
}
"""The kinds of labels, for people."""


@dataclass(frozen=True)
class Format:
    """A format: how it is written, which endings its files have, and which kinds of labels it can hold."""

    dump: Callable[..., bytes]
    endings: tuple[str, ...]
    pictures_only: bool = False
    holds: tuple[str, ...] = tuple(WORDS)


FORMATS = {
    "label-studio": Format(label_studio.dump, (".json",)),
    "argilla": Format(argilla.dump, (".json",), holds=argilla_forms.HOLDS),
    "cvat": Format(cvat.dump, (".xml", ".zip"), pictures_only=True, holds=cvat_shapes.HOLDS),
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
    images: Any = None,
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
    data : the data, where the ledger does not tell where they are; of boxes and masks, these themselves
    images : the pictures of boxes or masks, where the ledger does not tell where they are
    url : the address below which the tool finds pictures, with their names after it
    decisions : whether to write what the record of the review holds; by default in "csv" only

    Returns
    -------
    paths, rows : the files that were written, and how many rows are in them

    Raises
    ------
    DataError
        where the format is for pictures and the rows are none, or the labels are not where they were
    LedgerError
        where the format can't hold such labels; those that can are named
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
    ledger = Ledger.load(folder)
    _check_holds(to, ledger)
    labels = form_of(ledger, folder, data)
    view = View(ledger, folder, labels, data, images)
    if form.pictures_only and view.kind != "image":
        raise DataError(f"{to} is for pictures; the rows of {folder} are none, or their data can't be read.")
    with_decisions = to == "csv" if decisions is None else decisions
    count = int(ledger.issue.sum()) if budget is None else min(budget, len(ledger))
    items = list(view.items(ledger.order[:count].tolist(), recorded(folder) if with_decisions else {}))
    dump = cvat.dump_zip if out.suffix.lower() == ".zip" else form.dump
    classes = [str(name) for name in ledger.classes] if labels is None else labels.names
    content = dump(items, classes, url)
    with atomic(out) as temporary:
        temporary.write_bytes(content)
    paths = [out]
    for path, text in _beside(to, out, items, classes, labels):
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths, len(items)


def _beside(to: str, out: Path, items: list[Item], classes: list[str], form: Form | None) -> list[tuple[Path, str]]:
    """What a tool needs to know beside the rows: which questions are asked."""
    if not items:
        return []
    if to == "label-studio":
        kind = items[0].kind
        if form is None:
            return [(out.with_name(f"{out.stem}.config.xml"), label_studio.config(classes, kind))]
        return [(out.with_name(f"{out.stem}.config.xml"), label_studio_forms.config(form.task, classes, kind))]
    if to == "argilla":
        told = argilla_forms.settings(items, classes, form)
        return [(out.with_name(f"{out.stem}.settings.json"), json.dumps(told, ensure_ascii=False, indent=1))]
    return []


def read_answers(
    folder: str | Path, path: str | Path, source: str, *, reviewer: str = "", data: Any = None, images: Any = None
) -> list[Answer]:
    """The decisions in a file that came from another tool, checked against the ledger.

    Parameters
    ----------
    folder : the ledger's folder
    path : the file
    source : where it comes from: a name of ``FORMATS``
    reviewer : who decided, where the file does not tell
    data : the data, where the ledger does not tell where they are; CVAT's files name pictures, not rows, and boxes,
        masks and tokens are compared with those that are given
    images : the pictures of boxes or masks, where the ledger does not tell where they are

    Raises
    ------
    DataError
        where something in the file is not as expected: file, line or record, what was expected, what was found
    """
    _format(source)
    folder, path = Path(folder), Path(path)
    ledger = Ledger.load(folder)
    _check_holds(source, ledger)
    form = form_of(ledger, folder, data)
    names = [str(name) for name in ledger.classes]
    given = [None if code == MISSING else names[code] for code in ledger.given.tolist()]
    known = Known(ledger.index.tolist(), given, names, form)
    if source == "label-studio":
        return label_studio.read(path, known, reviewer)
    if source == "argilla":
        return argilla.read(path, known, reviewer, people=_people(folder, reviewer))
    if source == "cvat":
        view = View(ledger, folder, form, data, images)
        return cvat.read(path, known, reviewer, view.picture_rows() if view.kind == "image" else {})
    return tables.read(path, known, reviewer)


def bring_in(
    folder: str | Path, path: str | Path, source: str, *, reviewer: str = "", data: Any = None, images: Any = None
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

    answers = read_answers(folder, path, source, reviewer=reviewer, data=data, images=images)
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


def _check_holds(name: str, ledger: Ledger) -> None:
    """Refuse labels that a tool can't hold, and name those that can."""
    task = task_of(ledger)
    if task == CLASSES and list(ledger.classes) == list(SINGLE):
        raise LedgerError(
            "The rows hold no class each, and the ledger does not say what else (meta['task']), so it can't be told "
            "how their labels are written. See `ledger.parts`."
        )
    if task in FORMATS[name].holds:
        return
    others = [other for other, form in FORMATS.items() if task in form.holds]
    raise LedgerError(f"{name} can't hold {WORDS[task]}. These can: {', '.join(others)}.")


def _people(folder: Path, reviewer: str) -> list[str]:
    from errata.review.decisions import FILE, Decisions

    if not (folder / FILE).is_file():
        return [reviewer]
    with Decisions(folder) as record:
        return [*record.reviewers(), reviewer]
