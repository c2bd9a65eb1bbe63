"""``apply`` for labels that are no classes: which files hold them, and how they are corrected."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.correct.columns import as_classes, columns_of_sets, correct_columns, labelled, speller
from errata.correct.decisions import Decided
from errata.correct.formats import ending_of, open_source
from errata.correct.itemwise import GONE, ItemPlan, ItemSource, carry_out, plan_items
from errata.correct.outcome import Outcome
from errata.correct.places import provenance_of
from errata.correct.plan import make_plan
from errata.correct.provenance import Provenance
from errata.errors import DataError
from errata.forms import Form, form_of, place_of_labels, task_of
from errata.forms.boxes import BoxesForm
from errata.forms.masks import MasksForm
from errata.forms.sets import SetsForm
from errata.forms.tokens import TokensForm
from errata.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["correct_file", "corrected_frame", "find_labels", "open_items"]

ITEMWISE = ("tokens", "boxes", "segmentation")


def find_labels(ledger: Ledger, folder: Path | None, source: Any) -> Path:
    """Where the labels lie that are to be corrected.

    Raises
    ------
    DataError
        where they are not there
    """
    if source is not None:
        named = Path(source).expanduser()
        if not named.exists():
            raise DataError(f"There is no file or folder {source}.")
        return named
    place = place_of_labels(ledger, folder)
    if place is None:
        told = ledger.meta.get("source")
        raise DataError(
            f"Which data does the ledger belong to? For it was made from {told!r}, which is not there. Name them with "
            "--source PATH (source=)."
        )
    return place


def open_items(task: str, path: Path, reading: Mapping[str, Any]) -> ItemSource:
    """The file or folder that holds tokens, boxes or masks.

    Raises
    ------
    DataError
        where it is of no format that is corrected
    """
    from errata.correct.boxfiles import CocoFile, YoloFolder
    from errata.correct.maskfiles import MaskArray, MaskFolder
    from errata.correct.sentences import ConllFile, SentenceLines

    if task == "tokens":
        lines = ending_of(path) in (".jsonl", ".ndjson", ".json")
        return SentenceLines(path, reading) if lines else ConllFile(path, reading)
    if task == "boxes":
        return YoloFolder(path, reading) if path.is_dir() else CocoFile(path, reading)
    return MaskFolder(path, reading) if path.is_dir() else MaskArray(path, reading)


def correct_file(
    ledger: Ledger,
    decided: Decided,
    place: Path,
    out: Path | None,
    *,
    label: str | None,
    reading: Mapping[str, Any],
    drop: bool,
    new_classes: bool,
    dry_run: bool,
) -> Outcome:
    """Write the corrected copy of a file or folder; see ``apply_to_file``."""
    task = task_of(ledger)
    if task in ITEMWISE:
        source, form, plan, earlier = _planned(ledger, decided, place, drop=drop, new_classes=new_classes)
        return carry_out(plan, source, form, out, earlier=earlier, dry_run=dry_run, notes=decided.notes)
    from errata.correct.apply import write_plan

    known = form_of(ledger)
    if known is None:
        raise DataError("The ledger's rows have a class each.")
    if isinstance(known, SetsForm) and ending_of(place) == ".arff":
        return _correct_arff(ledger, known, decided, place, out, drop, dry_run)
    if isinstance(known, SetsForm) and columns_of_sets(known, label, _columns(place, reading)):
        how: dict[str, Any] = {"drop": drop, "new_classes": new_classes, "dry_run": dry_run}
        return correct_columns(known, decided, place, out, reading, **how)
    plain, wanted = as_classes(known, decided, new_classes=new_classes)
    plan_ = make_plan(plain, wanted, drop=drop, new_classes=True)
    opened = open_source(place, label, {**reading, "classes": labelled(known)}, plan_.classes)
    opened.speller = speller(known, opened)
    return write_plan(plan_, opened, out, dry_run=dry_run, notes=decided.notes)


def _correct_arff(
    ledger: Ledger, known: SetsForm, decided: Decided, place: Path, out: Path | None, drop: bool, dry_run: bool
) -> Outcome:
    from errata.correct.arff import ArffFile, ArffSets

    source = ArffFile(place, known.names)
    form, earlier = ArffSets(ledger, source.labels), Provenance.read(provenance_of(place))
    plan = plan_items(form, decided, source, drop=drop, earlier=earlier)
    return carry_out(plan, source, form, out, earlier=earlier, dry_run=dry_run, notes=decided.notes)


def _columns(place: Path, reading: Mapping[str, Any]) -> list[str]:
    from errata.data import read

    table = read(place, False, **reading).table
    return [] if table is None else list(table.column_names)


def _planned(
    ledger: Ledger, decided: Decided, place: Path, *, drop: bool, new_classes: bool
) -> tuple[ItemSource, Form, ItemPlan, Provenance | None]:
    reading = dict(ledger.meta.get("reading") or {})
    if ledger.meta.get("named"):
        reading["classes"] = ledger.meta["named"]
    source = open_items(task_of(ledger), place, reading)
    form = form_of(ledger, labels=source.labels)
    if form is None:
        raise DataError("The ledger's rows have a class each.")
    earlier = Provenance.read(provenance_of(place))
    plan = plan_items(form, decided, source, drop=drop, new_classes=new_classes, earlier=earlier)
    return source, form, plan, earlier


# -- in memory --------------------------------------------------------------------------------------------------------


def corrected_frame(
    ledger: Ledger, decided: Decided, labels: Any, *, drop: bool, new_classes: bool
) -> tuple[pd.DataFrame, Provenance, dict[str, int]]:
    """The corrected labels as a table, one row per item that is left.

    Parameters
    ----------
    labels : tokens, boxes or masks: their file or folder, or what reads them; None for kinds that the ledger holds
    """
    import pandas as pd

    form = form_of(ledger, labels=labels)
    if form is None:
        raise DataError("The ledger's rows have a class each.")
    if task_of(ledger) in ITEMWISE:
        place = labels if isinstance(labels, Path) else None
        source: Any = open_items(task_of(ledger), place, _reading(ledger)) if place is not None else _Held(form)
        form = form_of(ledger, labels=source.labels) or form
        plan = plan_items(form, decided, source, drop=drop, new_classes=new_classes)
        edits, provenance, counts = plan.edits, plan.provenance, plan.counts
    else:
        plain, wanted = as_classes(form, decided, new_classes=new_classes)
        simple = make_plan(plain, wanted, drop=drop, new_classes=True)
        provenance, counts = simple.provenance, simple.counts
        edits = dict.fromkeys(np.flatnonzero(simple.dropped).tolist(), GONE)
        for position, action, text in zip(decided.positions.tolist(), decided.actions, decided.labels):
            if action == "relabel":
                edits[position] = form.read(position, str(text))
    rows: list[int] = []
    found: dict[str, list[Any]] = {}
    for position in range(len(ledger)):
        at = form.place(position) if task_of(ledger) in ITEMWISE else position
        if edits.get(at) is GONE:
            continue
        rows.append(ledger.index[position])
        for name, value in _shown(form, position, edits.get(at)).items():
            found.setdefault(name, []).append(value)
    return pd.DataFrame(found, index=pd.Index(rows)), provenance, counts


def _reading(ledger: Ledger) -> dict[str, Any]:
    reading = dict(ledger.meta.get("reading") or {})
    return {**reading, "classes": ledger.meta["named"]} if ledger.meta.get("named") else reading


class _Held:
    """Labels that are in memory."""

    def __init__(self, form: Any) -> None:
        self.path = Path("the data")
        self.labels = next(getattr(form, n) for n in ("sentences", "boxes", "masks") if hasattr(form, n))

    def __len__(self) -> int:
        return len(self.labels)


def _shown(form: Form, position: int, new: Any) -> dict[str, Any]:
    """What a row of the table holds."""
    label = form.given(position) if new is None else new
    if isinstance(form, TokensForm):
        return {"tokens": form.tokens(position), "labels": label}
    if isinstance(form, BoxesForm):
        corners = [tuple(box.corners) for box in label]
        return {"image": form.image(position), "boxes": corners, "labels": [box.label for box in label]}
    if isinstance(form, MasksForm):
        return {"image": form.file(position), "mask": label}
    return {"label": label}
