"""Decisions as they come, a table, a file, a review's record, to one checked decision per row of a ledger."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from errata.correct.proposed import proposed
from errata.correct.tables import Columns, columns_of, is_nothing
from errata.errors import DataError, LedgerError, ParameterError, UnknownNameError
from errata.forms import form_of
from errata.ledger import Ledger

__all__ = ["ACTIONS", "Decided", "decide", "skipped_rows"]

ACTIONS = ("keep", "relabel", "drop")
"""What can be decided on a row; "skip", or nothing, means that nothing is."""

RECORD = "decisions.sqlite"
_NAMES = {
    "row": ("row",),
    "action": ("action", "decision"),
    "label": ("label", "new_label"),
    "who": ("reviewer", "who", "annotator"),
    "when": ("when", "time", "timestamp"),
    "why": ("note", "why", "reason", "comment"),
}
SHOWN = 3  # conflicts in a message
UNCHECKED = "Nobody has checked these: they are the ledger's proposals."


@dataclass(frozen=True)
class Decided:
    """One decision per row that was decided on, in the order of the ledger.

    Parameters
    ----------
    positions : (M,) int64, rising positions in the ledger
    actions : M of "keep", "relabel", "drop"
    labels : M new labels as they came, for "relabel"; else None
    who, when, why : M strings each, "" where nothing was said
    notes : what a person should know of how they were read
    """

    positions: np.ndarray
    actions: list[str]
    labels: list[Any]
    who: list[str]
    when: list[str]
    why: list[str]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.positions)


def decide(
    decisions: Any,
    ledger: Ledger,
    *,
    folder: Path | None = None,
    who: str = "",
    max_trust: float | None = None,
    max_rows: int | None = None,
    labels: Any = None,
) -> Decided:
    """Read and check decisions.

    Parameters
    ----------
    decisions : a DataFrame (its index holds the rows, where it has no column "row"), a list of dicts or of tuples
        (row, action, label), a mapping of columns, a .csv, .tsv, .jsonl or .parquet file, a review's
        ``decisions.sqlite`` or its folder; "proposed" for the ledger's own proposals; None for the record in ``folder``
    ledger : whose rows are meant
    folder : the ledger's folder, if it lies in one
    who : goes into the provenance where the decisions do not say who decided
    max_trust, max_rows : with "proposed", only rows whose given label is trusted at most so far, and so many at most
    labels : with "proposed", where tokens, boxes or masks are; by default where the ledger says

    Returns
    -------
    Decided

    Raises
    ------
    DataError
        where columns are missing, a row has two different decisions, or a relabelled row has no label
    LedgerError
        where a row is not in the ledger
    UnknownNameError
        for an action that does not exist

    Examples
    --------
    >>> ledger = Ledger([0, 1], [0, 0], [0.9, 0.2], classes=["cat", "dog"])
    >>> decided = decide([(1, "relabel", "cat")], ledger)
    >>> decided.positions, decided.actions, decided.labels
    (array([1]), ['relabel'], ['cat'])
    """
    if isinstance(decisions, str) and decisions == "proposed":
        form = form_of(ledger, folder, labels)
        columns, notes = proposed(ledger, max_trust, max_rows, form), [UNCHECKED]
        when = _changed_at(folder / "ledger.parquet") if folder else _now()
    elif max_trust is not None or max_rows is not None:
        raise ParameterError("max_trust and max_rows choose among the ledger's proposals: use decisions='proposed'.")
    else:
        columns, notes, when = _read(decisions, folder)
    return _checked(_named(columns), ledger, who, when, notes)


def skipped_rows(decisions: Any, ledger: Ledger, *, folder: Path | None = None) -> np.ndarray:
    """(M,) int64, positions of the rows that people looked at and could not decide; parameters as of ``decide``."""
    if decisions is None and folder is not None:
        decisions = folder / RECORD
    path = Path(decisions).expanduser() if isinstance(decisions, (str, os.PathLike)) else None
    path = path / RECORD if path is not None and path.is_dir() else path
    if path is not None and path.suffix == ".sqlite":
        from errata.review.decisions import Decisions

        with Decisions(path) as record:
            rows = [d.row for d in record.standing() if d.action == "skip"]
    else:
        columns = _named(columns_of(decisions if path is None else path))
        rows = [row for row, action in zip(columns["row"], columns["action"]) if _word(action).lower() == "skip"]
    return _positions(rows, ledger) if rows else np.zeros(0, dtype=np.int64)


def _read(decisions: Any, folder: Path | None) -> tuple[Columns, list[str], str]:
    """The columns, what is to be said of them, and when they were made at the latest."""
    if decisions is None:
        if folder is None:
            raise ParameterError(
                "Which decisions? Give a table of (row, action, label), a file, or decisions='proposed' to accept the "
                "ledger's own proposals."
            )
        decisions = folder / RECORD
        if not decisions.is_file():
            raise DataError(
                f"There are no decisions in {folder}: no {RECORD}. Make them with `errata review {folder}`, name a "
                "table of (row, action, label) with --decisions FILE, or accept the ledger's proposals with "
                "--decisions proposed."
            )
    if isinstance(decisions, (str, os.PathLike)):
        path = Path(decisions).expanduser()
        path = path / RECORD if path.is_dir() else path
        if not path.is_file():
            raise DataError(f"There is no file {path}; expected a table of decisions (row, action, label).")
        columns, notes = _of_record(path) if path.suffix == ".sqlite" else (columns_of(path), [])
        return columns, notes, _changed_at(path)
    return columns_of(decisions), [], _now()


def _changed_at(path: Path) -> str:
    """When a file was written last: the same decisions have the same time, whenever they are applied."""
    if not path.is_file():
        return _now()
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).isoformat(timespec="seconds")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _of_record(path: Path) -> tuple[Columns, list[str]]:
    """What a review's reviewers agree on."""
    from errata.review.decisions import Decisions

    with Decisions(path) as record:
        agreed, opinions = record.table(), record.table("opinions")
    open_rows = set(opinions["row"][opinions["action"] != "skip"]) - set(agreed["row"])
    notes = [f"{len(open_rows):,} rows are left as they are: their reviewers do not agree, or are too few."]
    return columns_of(agreed), notes if open_rows else []


def _named(columns: Columns) -> Columns:
    """The columns under our names; what is not there but may be missing is filled up."""
    found: Columns = {}
    for name, spellings in _NAMES.items():
        known = [column for column in columns if column.strip().lower() in spellings]
        if len(known) > 1:
            raise DataError(f"The decisions have several columns for '{name}': {', '.join(known)}. Leave one.")
        if known:
            found[name] = columns[known[0]]
    for name in ("row", "action"):
        if name not in found:
            listed = ", ".join(columns) or "none"
            raise DataError(
                f"The decisions have no column '{name}'; expected row, action (keep, relabel or drop) and label. "
                f"Their columns are: {listed}."
            )
    rows = len(found["row"])
    return {name: found.get(name, [None] * rows) for name in _NAMES}


class _Line(NamedTuple):
    """A decision as it came, its row found."""

    position: int
    action: str
    label: Any
    who: str
    when: str
    why: str

    @property
    def what(self) -> str:
        """The decision in words, as far as it must be the same for all who decide on the row."""
        return f"{self.action} {_word(self.label)}".strip()


def _checked(columns: Columns, ledger: Ledger, who: str, when: str, notes: list[str]) -> Decided:
    """One decision per row, in the ledger's order."""
    actions = [_action(action, row) for action, row in zip(columns["action"], columns["row"])]
    wanted = [i for i, action in enumerate(actions) if action]
    positions = _positions([columns["row"][i] for i in wanted], ledger)
    kept: list[_Line] = []
    conflicts: dict[int, list[_Line]] = {}
    for place in np.argsort(positions, kind="stable").tolist():
        i = wanted[place]
        label = _label(actions[i], columns["label"][i], columns["row"][i])
        said = {name: _word(columns[name][i]) for name in ("who", "when", "why")}
        line = _Line(int(positions[place]), actions[i], label, said["who"] or who, said["when"] or when, said["why"])
        if not kept or kept[-1].position != line.position:
            kept.append(line)
        elif kept[-1].what == line.what:
            both = ", ".join(dict.fromkeys(name for name in (kept[-1].who, line.who) if name))
            kept[-1] = kept[-1]._replace(who=both)
        else:
            conflicts.setdefault(line.position, [kept[-1]]).append(line)
    if conflicts:
        raise DataError(_conflicts(conflicts, ledger))
    return Decided(
        np.array([line.position for line in kept], dtype=np.int64),
        [line.action for line in kept],
        [line.label for line in kept],
        [line.who for line in kept],
        [line.when for line in kept],
        [line.why for line in kept],
        notes,
    )


def _conflicts(conflicts: dict[int, list[_Line]], ledger: Ledger) -> str:
    shown = []
    for position, lines in list(conflicts.items())[:SHOWN]:
        said = [f"{line.what} ({line.who})" if line.who else line.what for line in lines]
        shown.append(f"row {ledger.index[position]}: {' and '.join(dict.fromkeys(said))}")
    more = f" ({len(conflicts):,} rows in all)" if len(conflicts) > SHOWN else ""
    return f"The decisions contradict each other: {'; '.join(shown)}{more}. Decide on one for each row."


def _action(value: Any, row: Any) -> str:
    """The action's name; "" where nothing is decided."""
    word = _word(value).lower()
    if word in ("", "skip"):
        return ""
    if word not in ACTIONS:
        raise UnknownNameError("action", value, ACTIONS, f"It is decided on row {row}.")
    return word


def _label(action: str, label: Any, row: Any) -> Any:
    if action != "relabel":
        return None  # a label beside keep or drop repeats the given one in many a table
    if is_nothing(label) or _word(label) == "":
        raise DataError(
            f"The decision on row {row} is to relabel it, but gives no label. Give one, or keep or drop the row."
        )
    return label


def _word(value: Any) -> str:
    if is_nothing(value):
        return ""
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value).strip()


# -- rows to positions ------------------------------------------------------------------------------------------------


def _positions(rows: Iterable[Any], ledger: Ledger) -> np.ndarray:
    """(M,) where the rows stand in the ledger."""
    if ledger.index.dtype.kind not in "iu":
        return _positions_of_names(list(rows), ledger)
    numbers = np.array([_number(row) for row in rows], dtype=np.int64)
    order = np.argsort(ledger.index, kind="stable")
    places = np.searchsorted(ledger.index, numbers, sorter=order)
    found = order[np.minimum(places, len(order) - 1)]
    missing = ledger.index[found] != numbers
    if missing.any():
        raise LedgerError(_not_there(numbers[missing].tolist(), ledger))
    return found.astype(np.int64)


def _positions_of_names(rows: list[Any], ledger: Ledger) -> np.ndarray:
    places = {str(name): place for place, name in enumerate(ledger.index.tolist())}
    missing = [row for row in rows if str(row) not in places]
    if missing:
        raise LedgerError(_not_there(missing, ledger))
    return np.array([places[str(row)] for row in rows], dtype=np.int64)


def _number(row: Any) -> int:
    try:
        number = float(row) if isinstance(row, float) else int(row)
        if not isinstance(row, (bool, np.bool_)) and number == int(number):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise DataError(f"The decisions name a row {row!r}; expected the row's number in the data, as the ledger has it.")


def _not_there(missing: Sequence[Any], ledger: Ledger) -> str:
    shown = ", ".join(str(row) for row in missing[:SHOWN])
    whole = ledger.index.dtype.kind in "iu"
    known = f"rows {ledger.index.min()} to {ledger.index.max()}" if whole else f"rows such as {str(ledger.index[0])!r}"
    more = f" ({len(missing):,} in all)" if len(missing) > SHOWN else ""
    return (
        f"The decisions name rows that the ledger has not: {shown}{more}. It has {len(ledger):,} rows, {known}. "
        "Were they made for another ledger?"
    )
