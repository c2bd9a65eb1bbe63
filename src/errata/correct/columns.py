"""Numbers, and several labels per item, in the columns of tables: corrected as if they were classes.

A number, or a set of labels, is taken for a class by its value, whatever its spelling, so that the formats of tables
need not know what they hold. Labels in columns of their own are corrected column by column.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from errata.correct.decisions import Decided
from errata.correct.formats import open_source
from errata.correct.outcome import Outcome
from errata.correct.places import placed, provenance_of
from errata.correct.plan import DROP, Edits, Plan, make_plan
from errata.correct.provenance import PART, Change, Provenance
from errata.correct.source import Order
from errata.data.multilabel import SEPARATORS, split_text, truth
from errata.errors import DataError, UnknownNameError
from errata.forms import Form
from errata.forms.numbers import NumbersForm
from errata.forms.sets import SetsForm
from errata.labels import MISSING, ClassLabels
from errata.ledger import Ledger

__all__ = ["as_classes", "columns_of_sets", "correct_columns"]


def as_classes(form: Form, decided: Decided, *, new_classes: bool) -> tuple[Ledger, Decided]:
    """A ledger whose classes are the numbers or the sets of labels that are given or decided on, and the decisions on
    it.

    Raises
    ------
    DataError
        where a decision's label is no number, or no set of labels
    UnknownNameError
        where it has a label that the ledger has not
    """
    labels: list[Any] = []
    for position, action, text in zip(decided.positions.tolist(), decided.actions, decided.labels):
        labels.append(_word(form, read(form, position, text, new_classes)) if action == "relabel" else None)
    given = [_word(form, form.given(position)) for position in range(len(form.ledger))]
    classes = list(dict.fromkeys(word for word in (*given, *labels) if word is not None))
    place = {str(word): code for code, word in enumerate(classes)}
    codes = np.array([MISSING if word is None else place[str(word)] for word in given], dtype=np.int64)
    ledger = form.ledger
    plain = Ledger(codes, codes, ledger.trust, classes=classes, index=ledger.index, meta=ledger.meta)
    return plain, replace(decided, labels=labels)


def read(form: Form, position: int, text: Any, new_classes: bool) -> Any:
    """A decision's label, checked."""
    row = form.ledger.index[position]
    try:
        label = form.read(position, text if isinstance(text, str) else str(text))
    except DataError as error:
        raise DataError(f"The decision on row {row}: {error}.") from error
    name = None if new_classes else form.unknown(label)
    if name is not None:
        hint = f"Row {row} is to get it. To add one, allow it with --new-classes (new_classes=True)."
        raise UnknownNameError("label", name, form.names, hint)
    return label


def _word(form: Form, label: Any) -> Any:
    if isinstance(form, NumbersForm):
        return None if label != label else _number(label)
    return form.text(0, label)


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else float(value)


# -- one column -------------------------------------------------------------------------------------------------------


def labelled(form: Form) -> Callable[[Any], ClassLabels]:
    """What makes classes of a column that holds numbers, or sets of labels."""
    return _numbers if isinstance(form, NumbersForm) else lambda values: _sets(form, values)


def _numbers(values: Any) -> ClassLabels:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        try:
            values = pc.cast(values, pa.float64())
        except pa.ArrowException as error:
            raise DataError(f"expected numbers in the label's column; {error}") from error
    array = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    known = ~np.isnan(array)
    distinct, codes = np.unique(array[known], return_inverse=True)
    whole = np.full(len(array), MISSING, dtype=np.int64)
    whole[known] = codes
    return ClassLabels(whole, [_number(value) for value in distinct.tolist()])


def _sets(form: Form, values: Any) -> ClassLabels:
    words = [None if one is None else form.text(0, one) for one in split_text(values.to_pylist())]
    classes = list(dict.fromkeys(word for word in words if word is not None))
    place = {word: code for code, word in enumerate(classes)}
    return ClassLabels(np.array([MISSING if w is None else place[w] for w in words], dtype=np.int64), classes)


def speller(form: Form, source: Any) -> Callable[[Any], Any] | None:
    """How a set of labels is written that no row has: in the way of the others."""
    if not isinstance(form, SetsForm):
        return None
    known = [str(raw) for raw in source._spelled.values()]
    lists = any(raw.lstrip().startswith("[") for raw in known)
    mark = next((m for m in SEPARATORS if any(m in raw for raw in known)), "|")
    spaced = any(f"{mark} " in raw for raw in known)
    quoted = any(raw.startswith('"') for raw in known)  # a text of JSON

    def spell(word: Any) -> str:
        names = form.read(0, str(word))
        if lists:
            return json.dumps(names, ensure_ascii=False)
        text = f"{mark} ".join(names) if spaced else mark.join(names)
        return json.dumps(text, ensure_ascii=False) if quoted else text

    return spell


# -- columns of 0 and 1 -----------------------------------------------------------------------------------------------


def columns_of_sets(form: Form, label: str | Sequence[str] | None, names: Sequence[str]) -> list[str]:
    """The columns of 0 and 1 that a table has for its labels; none where one column holds them all.

    Parameters
    ----------
    label : as the ledger or the user tells
    names : of the table's columns
    """
    if not isinstance(form, SetsForm) or (isinstance(label, str) and label in names and label not in form.names):
        return []
    return list(form.names) if set(form.names) <= set(names) else []


def correct_columns(
    form: SetsForm,
    decided: Decided,
    path: Path,
    out: Path | None,
    reading: Mapping[str, Any],
    *,
    drop: bool,
    new_classes: bool,
    dry_run: bool,
) -> Outcome:
    """Correct a table that has a column of 0 and 1 for each label; see ``apply_to_file``."""
    targets = [
        read(form, position, text, False) if action == "relabel" else None
        for position, action, text in zip(decided.positions.tolist(), decided.actions, decided.labels)
    ]
    earlier = Provenance.read(provenance_of(path))
    plans = [(name, _plan(form, name, decided, targets, drop)) for name in form.names]
    wanted = [(name, plan) for name, plan in plans if any(c.new for c in plan.provenance.changes)] or plans[:1]
    options = {**reading, "classes": _truths}
    for name, plan in plans:  # also those that stay must be as they were
        labels = open_source(path, name, options, plan.classes).labels
        plan.fit(labels, str(path), earlier=_of_column(earlier, name, plan))
    outcome: list[Any] = []
    with tempfile.TemporaryDirectory() as scratch:
        current, edited = path, False
        for number, (name, plan) in enumerate(wanted):
            last = number == len(wanted) - 1
            source = open_source(current, name, options, plan.classes)
            edits = plan.fit(source.labels, str(path), earlier=_of_column(earlier, name, plan))
            edited |= bool(edits)
            if not last:  # rows go at the end, so that all columns find the same ones
                stay = edits.codes != DROP
                edits = Edits(edits.total, edits.rows[stay], edits.codes[stay], edits.positions)
            target = None if dry_run and last else Path(scratch) / f"{number}-{path.name}"
            source.write(Order(edits, plan.classes), target)
            outcome = [source, edits]
            current = target or current
        provenance = _joined(wanted, form, decided, drop)
        rows = len(outcome[0].labels)
        dropped = int((outcome[1].codes == DROP).sum())
        if out is not None and not dry_run:
            with placed(out) as places:
                places.data.write_bytes((current if edited else path).read_bytes())
                (earlier if earlier is not None and not edited else provenance).write(places.provenance)
    counts = _counts(decided, drop, provenance)
    changed = len({change.row for change in provenance.changes}) if edited else 0
    notes = [] if edited else ["All of it was done before." if len(provenance) else "There is nothing to change."]
    written = out is not None and not dry_run
    told = [*decided.notes, *notes]
    return Outcome(
        path, out, ", ".join(form.names), rows, rows - dropped, counts, changed, provenance, [], told, written
    )


def _truths(values: Any) -> ClassLabels:
    codes = np.array([truth(value) for value in values.to_pylist()], dtype=np.float64)
    if np.isnan(codes).any():
        raise DataError("expected 0 or 1 in the columns of labels")
    return ClassLabels(codes.astype(np.int64), [0, 1])


def _plan(form: SetsForm, name: str, decided: Decided, targets: Sequence[Any], drop: bool) -> Plan:
    """The plan of one label's column."""
    ledger = form.ledger
    rows = range(len(ledger))
    codes = np.array([-1 if name not in form.known(p) else int(name in form.given(p)) for p in rows], dtype=np.int64)
    actions, labels = [], []
    for position, action, target in zip(decided.positions.tolist(), decided.actions, targets):
        unknown = codes[position] == MISSING and (target is None or name not in target)
        relabels = action == "relabel" and not unknown
        actions.append("relabel" if relabels else "keep" if action == "relabel" else action)
        labels.append(int(name in target) if relabels and target is not None else None)
    plain = Ledger(codes, codes, ledger.trust, classes=[0, 1], index=ledger.index, meta=ledger.meta)
    return make_plan(plain, replace(decided, actions=actions, labels=labels), drop=drop)


def _of_column(earlier: Provenance | None, name: str, plan: Plan) -> Provenance | None:
    """The part of an earlier provenance that is about a column, in the order of the column's own plan."""
    if earlier is None or PART not in earlier.further:
        return None
    some = [c for c, part in zip(earlier.changes, earlier.further[PART]) if part == name or c.why.startswith("drop")]
    words = {str(c.row): c.old for c in plan.provenance.changes}
    return Provenance([c._replace(old=words.get(str(c.row), c.old)) for c in some])


def _joined(plans: Sequence[tuple[str, Plan]], form: SetsForm, decided: Decided, drop: bool) -> Provenance:
    """The changes of all columns, row by row; a dropped row once."""
    rows: dict[Any, list[tuple[Change, str]]] = {}
    for name, plan in plans:
        for change in plan.provenance.changes:
            if change.new:
                rows.setdefault(change.row, []).append((change, name))
    for position, action, who, when, why in zip(
        decided.positions.tolist(), decided.actions, decided.who, decided.when, decided.why
    ):
        if action == "drop" and drop:
            row = form.ledger.index[position].item()
            told = f"drop: {why}" if why else "drop"
            rows[row] = [(Change(row, form.text(position, form.given(position)), "", who, when, told), "")]
    listed = [line for row in sorted(rows) for line in rows[row]]
    return Provenance([change for change, _ in listed], {PART: [part for _, part in listed]})


def _counts(decided: Decided, drop: bool, provenance: Provenance) -> dict[str, int]:
    changed = {change.row for change in provenance.changes if change.new}
    dropped = sum(action == "drop" for action in decided.actions)
    settled = sum(action != "drop" for action in decided.actions)
    return {
        "relabelled": len(changed),
        "filled": 0,
        "dropped": dropped if drop else 0,
        "left_in": 0 if drop else dropped,
        "kept": settled - len(changed),
    }
