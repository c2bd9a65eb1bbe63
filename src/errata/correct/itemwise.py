"""Decisions on labels that are no classes, tokens, boxes and masks, carried out on the files that hold them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errata.correct.decisions import Decided
from errata.correct.outcome import Outcome
from errata.correct.places import placed
from errata.correct.provenance import PART, Change, Provenance
from errata.correct.source import Difference
from errata.errors import DataError, ErrataError, LedgerError, UnknownNameError
from errata.forms import Form

__all__ = ["GONE", "ItemPlan", "ItemSource", "carry_out", "plan_items"]

GONE = object()
"""Stands for the label of an item that is dropped."""


class ItemSource(ABC):
    """A data set of items with labels that are no classes, as it lies on disk.

    Parameters
    ----------
    path : the file or folder
    reading : options of what reads it

    Attributes
    ----------
    labels : what a ``Form`` reads the labels from
    """

    label = "labels"

    def __init__(self, path: Path, reading: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.reading = dict(reading or {})
        self.labels = self.again(path)

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def write(self, edits: Mapping[int, Any], out: Path | None, differences: list[Difference] | None) -> None:
        """Write a copy in which some items have another label, or are ``GONE``; None as ``out`` only tries."""

    @abstractmethod
    def again(self, out: Path) -> Any:
        """The labels of the source, or of a copy."""

    def copy(self, out: Path) -> None:
        """Write a copy without any change."""
        import shutil

        if self.path.is_dir():
            shutil.copytree(self.path, out)
        else:
            shutil.copyfile(self.path, out)


@dataclass
class ItemPlan:
    """What decisions come to.

    Parameters
    ----------
    edits : place in the source to its new label, or ``GONE``; what was carried out before is not among them
    provenance : a line per part that changes, of all decisions
    counts : as of ``Outcome``
    """

    edits: dict[int, Any]
    provenance: Provenance
    counts: dict[str, int]
    targets: dict[int, Any] = field(default_factory=dict)


def plan_items(
    form: Form,
    decided: Decided,
    source: ItemSource,
    *,
    drop: bool = True,
    new_classes: bool = False,
    earlier: Provenance | None = None,
) -> ItemPlan:
    """Work out what is still to be changed in a source.

    Parameters
    ----------
    form : of the ledger's labels, which reads from the source
    decided : one decision per row
    drop, new_classes : as of ``errata.apply``
    earlier : the provenance beside the source, where it was corrected before

    Raises
    ------
    LedgerError
        where the source is not what the ledger was made from
    UnknownNameError
        for a label that the ledger has not
    DataError
        where a label does not fit its item
    """
    ledger = form.ledger
    wanted = {int(ledger.index[p]) for p, a in zip(decided.positions, decided.actions) if a == "drop" and drop}
    gone = _gone(form, source, wanted, earlier)
    counts = {"relabelled": 0, "filled": 0, "dropped": 0, "left_in": 0, "kept": 0}
    plan, lines = ItemPlan({}, Provenance([]), counts), _Lines(earlier)
    for i, position in enumerate(decided.positions.tolist()):
        row, action = int(ledger.index[position]), decided.actions[i]
        said = (decided.who[i], decided.when[i], f"{action}: {decided.why[i]}" if decided.why[i] else action)
        if action == "keep":
            counts["kept"] += 1
        elif action == "drop" and not drop:
            counts["left_in"] += 1
        elif action == "drop":
            counts["dropped"] += 1
            if row in gone:
                lines.repeat(row)
                continue
            plan.edits[form.place(position)] = GONE
            lines.add(row, [("", form.shown(position, form.given(position)), "")], said)
        else:
            _relabel(plan, lines, form, position, decided.labels[i], said, new_classes)
    if counts["dropped"] >= len(ledger) > 0:
        raise DataError("Every row would be dropped; nothing would be left. Look at the decisions again.")
    _check_rest(form, plan, source, earlier, gone)
    plan.provenance = lines.provenance
    return plan


class _Lines:
    """The lines of a provenance; those of an earlier one where a change was made before."""

    def __init__(self, earlier: Provenance | None) -> None:
        self.lines: list[tuple[Change, str]] = []
        self.before: dict[str, list[tuple[Change, str]]] = {}
        if earlier is not None:
            parts = earlier.further.get(PART) or [""] * len(earlier)
            for change, part in zip(earlier.changes, parts):
                self.before.setdefault(str(change.row), []).append((change, part))

    def add(self, row: int, parts: list[tuple[str, str, str]], said: tuple[str, str, str]) -> None:
        self.lines += [(Change(row, old, new, *said), where) for where, old, new in parts]

    def repeat(self, row: int) -> None:
        self.lines += self.before.get(str(row), [])

    @property
    def provenance(self) -> Provenance:
        return Provenance([change for change, _ in self.lines], {PART: [part for _, part in self.lines]})


def _relabel(
    plan: ItemPlan, lines: _Lines, form: Form, position: int, text: Any, said: tuple[str, str, str], grow: bool
) -> None:
    row = int(form.ledger.index[position])
    try:
        now, new = form.given(position), form.read(position, str(text))
    except DataError as error:
        raise DataError(f"The decision on row {row}: {error}.") from error
    name = None if grow else form.unknown(new)
    if name is not None:
        hint = f"Row {row} is to get it. To add one, allow it with --new-classes (new_classes=True)."
        raise UnknownNameError("label", name, form.names, hint)
    place = form.place(position)
    plan.targets[place] = new
    if form.same(now, new):
        plan.counts["relabelled" if str(row) in lines.before else "kept"] += 1
        lines.repeat(row)
        return
    if not form.fits(position, now):
        raise LedgerError(_changed(form, row))
    plan.counts["relabelled"] += 1
    plan.edits[place] = new
    lines.add(row, [tuple(part) for part in form.parts(position, now, new)], said)  # type: ignore[misc]


def _gone(form: Form, source: ItemSource, wanted: set[int], earlier: Provenance | None) -> set[int]:
    """The rows that an earlier correction dropped; the form finds the others at their new places."""
    ledger, count = form.ledger, len(source)
    before = set()
    if earlier is not None:
        before = {int(c.row) for c in earlier.changes if c.why.startswith("drop") and str(c.row).isdigit()}
    last = int(ledger.index.max(initial=-1))
    if before and before <= wanted and count + len(before) > last:
        kept = [row for row in range(count + len(before)) if row not in before]
        form.moved = {row: place for place, row in enumerate(kept)}
        return before
    if last >= count or (count != len(ledger) and last + 1 == len(ledger)):
        raise LedgerError(
            f"{source.path} does not fit the ledger: it has {count:,} items, the ledger {len(ledger):,} rows. Was it "
            "changed since the audit, or is it another? Audit it as it is now, or name the right one with --source "
            "(source=)."
        )
    return set()


def _check_rest(form: Form, plan: ItemPlan, source: ItemSource, earlier: Provenance | None, gone: set[int]) -> None:
    """What nobody decided on must be as the ledger knows it, else the rows may be others."""
    ledger = form.ledger
    known = gone | ({int(c.row) for c in earlier.changes if str(c.row).isdigit()} if earlier is not None else set())
    for position, row in enumerate(ledger.index.tolist()):
        if row in known:
            continue
        place = form.place(position)
        if place not in plan.targets and not form.fits(position, form.given(position)):
            raise LedgerError(_changed(form, row))


def _changed(form: Form, row: int) -> str:
    return (
        f"The data do not fit the ledger: the label of row {row} is another than when the ledger was made. Were they "
        "changed since the audit? Audit them as they are now, or name the right ones with --source (source=)."
    )


def carry_out(
    plan: ItemPlan,
    source: ItemSource,
    form: Form,
    out: Path | None,
    *,
    earlier: Provenance | None,
    dry_run: bool,
    notes: list[str],
) -> Outcome:
    """Write the corrected copy and its provenance, or try it; see ``apply_to_file``."""
    differences: list[Difference] = []
    provenance = plan.provenance
    if dry_run or out is None:
        source.write(plan.edits, None, differences)
    else:
        with placed(out) as places:
            if plan.edits:
                source.write(plan.edits, places.data, None)
            else:
                source.copy(places.data)
            _check(plan, source, form, places.data)
            if earlier is not None and not plan.edits:
                provenance = earlier
            provenance.write(places.provenance)
    dropped = sum(label is GONE for label in plan.edits.values())
    told = list(notes)
    if plan.counts["left_in"]:
        told.append(f"{plan.counts['left_in']:,} rows that were decided to be dropped are left in.")
    if not plan.edits:
        told.append("All of it was done before." if len(provenance) else "There is nothing to change.")
    return Outcome(
        source.path,
        out,
        source.label,
        len(source),
        len(source) - dropped,
        plan.counts,
        len(plan.edits),
        provenance,
        differences,
        told,
        not dry_run and out is not None,
    )


def _check(plan: ItemPlan, source: ItemSource, form: Form, written: Path) -> None:
    """Read the copy, and compare its labels with what they should be."""
    again = source.again(written)
    kept = [place for place in range(len(source)) if plan.edits.get(place) is not GONE]
    sound = len(again) == len(kept)
    for new_place, place in enumerate(kept):
        expected = plan.edits[place] if place in plan.edits else form.of(source.labels, place)
        if not sound or not form.same(form.of(again, new_place), expected):
            raise ErrataError(
                f"The corrected copy of {source.path} does not read back with the labels that were decided, so it was "
                "not kept, and nothing was changed. This is a fault in errata; please report it with the layout of the "
                "file."
            )
