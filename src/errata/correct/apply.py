"""``apply``: decisions carried out, as a table in memory or as a file in the source's own format."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.correct.decisions import decide
from errata.correct.folders import Folder
from errata.correct.formats import check_ending, open_source
from errata.correct.other_labels import correct_file, find_labels
from errata.correct.outcome import Outcome
from errata.correct.places import check_out, placed, provenance_of
from errata.correct.plan import DROP, Plan, make_plan
from errata.correct.provenance import Provenance
from errata.correct.soft import probabilities, soft_names
from errata.correct.source import Difference, Order, Source
from errata.errors import DataError, ErrataError, ParameterError
from errata.forms import CLASSES, task_of
from errata.ledger import Ledger
from errata.storage import source_path

if TYPE_CHECKING:
    from errata.correct.corrected import Corrected

__all__ = ["Origin", "apply", "apply_to_file", "write_plan"]


@dataclass(frozen=True)
class Origin:
    """A ledger, and what is known of the data that it was made from.

    Parameters
    ----------
    ledger : the ledger
    folder : where it lies, if it does
    source : what its description names as the source
    source_path : where that was when the ledger was made, absolute
    label : the label's column, if it is told
    reading : the options of ``errata.read`` that the data were read with
    """

    ledger: Ledger
    folder: Path | None = None
    source: str | None = None
    source_path: str | None = None
    label: str | None = None
    reading: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, ledger: Any) -> Origin:
        """From a ledger, a run, or the folder of either."""
        folder: Path | None = None
        about: Mapping[str, Any] = getattr(ledger, "about", None) or {}
        if isinstance(ledger, (str, os.PathLike)):
            place = Path(ledger).expanduser()
            folder = place if place.is_dir() else place.parent
            ledger, about = Ledger.load(place), _run_description(folder)
        ledger = getattr(ledger, "ledger", ledger)
        if not isinstance(ledger, Ledger):
            raise ParameterError(f"Expected a ledger, a run, or the folder of one; got {type(ledger).__name__}.")
        told = {
            **{k: v for k, v in about.items() if v is not None},
            **{k: v for k, v in ledger.meta.items() if v is not None},
        }
        label = told.get("label")
        reading = told.get("reading")
        return cls(
            ledger,
            folder,
            str(told["source"]) if "source" in told else None,
            str(told["source_path"]) if "source_path" in told else None,
            label if isinstance(label, str) else None,
            dict(reading) if isinstance(reading, Mapping) else {},
        )

    def find(self, source: str | os.PathLike[str] | None) -> Path:
        """The data set's place on disk.

        Raises
        ------
        DataError
            where it is not there, or the ledger was made from something else than a file or folder
        """
        if source is not None:
            named = Path(source).expanduser()
            if not named.exists():
                raise DataError(f"There is no file or folder {source}.")
            return named
        if "shards" in self.ledger.meta:
            raise DataError(
                f"The ledger was made of {self.source}, by an audit in shards, which are not corrected here. `errata "
                "review DIR --export decisions.csv` writes what was decided; its row numbers count rows over all "
                "files, in the order of their names. Where one file holds all rows: --source FILE (source=)."
            )
        place = source_path({"source": self.source, "source_path": self.source_path}, self.folder)
        if place is None:
            told = (
                f"it was made from {self.source!r}, which is not there" if self.source else "it does not say from what"
            )
            raise DataError(
                f"Which data does the ledger belong to? For {told}. Name them with --source PATH (source=)."
            )
        return place


def _run_description(folder: Path) -> Mapping[str, Any]:
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def apply(
    ledger: Any,
    decisions: Any = None,
    *,
    source: Any = None,
    label: str | None = None,
    drop: bool = True,
    soft: bool = False,
    new_classes: bool = False,
    max_trust: float | None = None,
    max_rows: int | None = None,
    who: str = "",
    **reading: Any,
) -> Corrected:
    """Correct a data set: the table with the decided labels, and its provenance.

    Parameters
    ----------
    ledger : a ``Ledger``, a ``Run``, or the folder of one
    decisions : a table (DataFrame, list of dicts or tuples, .csv, .tsv, .jsonl or .parquet file) of row, action (keep,
        relabel or drop) and label, and if you like reviewer, when, note; a review's ``decisions.sqlite`` or its folder;
        "proposed" to accept the ledger's own proposals for its issues. By default, for a ledger's folder, the review's
        record in it. Rows that are skipped or not mentioned stay as they are. Where rows have no class each, the label
        is the whole new one as text, see ``errata.forms``
    source : the data that the ledger was made from: a DataFrame, ``Data``, a file or a folder; by default the ledger's.
        Of tokens, boxes and masks also these in memory, see ``errata.forms.form_of``
    label : the label's column; by default as the ledger or the data tell
    drop : whether rows decided to be dropped are left out; else they stay, with the label they have
    soft : add a column of probability per class, ``p_<class>``: 1 for a label that was decided on, else as the ledger
        trusts
    new_classes : whether rows may get a class that the ledger has not
    max_trust, max_rows : with "proposed": only given labels that are trusted at most so far, and so many at most
    who : for the provenance, where the decisions don't tell who decided
    **reading : options of ``errata.read`` that the data were read with; by default as the ledger tells

    Returns
    -------
    Corrected
        a ``pandas.DataFrame`` whose index is the row in the source (of a DataFrame, its own index), with ``provenance``
        (row, old, new, who, when, why), ``counts`` and ``save(path)``. Labels are class names; a DataFrame's column
        keeps its type. Where rows have no class each, its columns are the labels alone: ``tokens`` and ``labels``;
        ``image``, ``boxes`` and ``labels``; ``image`` and ``mask``; or ``label``.

    Raises
    ------
    DataError
        where decisions are unclear or contradict each other
    LedgerError
        where the data or the decisions are not those of the ledger
    UnknownNameError
        for an action or a class that does not exist; the nearest is told

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"text": ["woof", "meow", "purr"], "label": ["dog", "dog", "cat"]})
    >>> ledger = Ledger([1, 1, 0], [1, 0, 0], [0.9, 0.1, 0.8], classes=["cat", "dog"], meta={"label": "label"})
    >>> clean = apply(ledger, [(1, "relabel", "cat"), (2, "drop")], source=frame)
    >>> clean
       text label
    0  woof   dog
    1  meow   cat
    >>> clean.provenance[["row", "old", "new", "why"]]
       row  old  new      why
    0    1  dog  cat  relabel
    1    2  cat          drop
    """
    from errata.correct.corrected import corrected, corrected_items

    origin = Origin.of(ledger)
    if task_of(origin.ledger) != CLASSES:
        if label is not None or soft:
            raise ParameterError("label= and soft= are for rows with a class each; leave them out.")
        chosen = {"who": who, "max_trust": max_trust, "max_rows": max_rows}
        return corrected_items(origin, decisions, source, chosen, drop=drop, new_classes=new_classes)
    decided = decide(decisions, origin.ledger, folder=origin.folder, who=who, max_trust=max_trust, max_rows=max_rows)
    plan = make_plan(origin.ledger, decided, drop=drop, new_classes=new_classes)
    return corrected(
        plan, origin, source, label or origin.label, {**origin.reading, **reading}, soft=soft, notes=decided.notes
    )


def apply_to_file(
    ledger: Any,
    decisions: Any = None,
    out: str | os.PathLike[str] | None = None,
    *,
    source: str | os.PathLike[str] | None = None,
    label: str | None = None,
    drop: bool = True,
    soft: bool = False,
    new_classes: bool = False,
    max_trust: float | None = None,
    max_rows: int | None = None,
    who: str = "",
    link: bool = False,
    dry_run: bool = False,
    force: bool = False,
    **reading: Any,
) -> Outcome:
    """Write the corrected data set in the source's own format, and its provenance beside it.

    Rows that don't change stay as they are, byte for byte in text formats. The copy is read back and compared before it
    is moved into place; the provenance lies beside it as ``OUT.provenance.csv``.

    Parameters
    ----------
    ledger, decisions, label, drop, soft, new_classes, max_trust, max_rows, who, **reading : as of ``apply``
    out : the file or folder to write; not needed to try it out
    source : the file or folder that the ledger was made from; by default as the ledger tells
    link : of a folder of images, link the files instead of copying them; changing one then changes the other
    dry_run : find out what would change, and write nothing
    force : replace what stands at ``out``; a folder only where it was made by this function

    Returns
    -------
    Outcome

    Raises
    ------
    as ``apply``; and ErrataError where ``out`` is the source, is taken or can't be written
    """
    origin = Origin.of(ledger)
    other = task_of(origin.ledger) != CLASSES
    place = find_labels(origin.ledger, origin.folder, source) if other else origin.find(source)
    if out is None and not dry_run:
        raise ParameterError(
            "Where shall the corrected data go? Give out= (--out), or try it out: dry_run (--dry-run)."
        )
    target = None if out is None else Path(out).expanduser()
    if target is not None:
        check_ending(target, place)
        check_out(target, place, force=force or dry_run)
    chosen: dict[str, Any] = {"who": who, "max_trust": max_trust, "max_rows": max_rows}
    decided = decide(decisions, origin.ledger, folder=origin.folder, labels=place if other else None, **chosen)
    options = {**origin.reading, **reading}
    how: dict[str, Any] = {"drop": drop, "new_classes": new_classes}
    if other:
        if soft:
            raise ParameterError("--soft (soft=) is for rows with a class each; these labels have no probabilities.")
        how |= {"label": label or origin.label, "reading": options, "dry_run": dry_run}
        return correct_file(origin.ledger, decided, place, target, **how)
    plan = make_plan(origin.ledger, decided, **how)
    opened = open_source(place, label or origin.label, options, plan.classes)
    if isinstance(opened, Folder):
        opened.link = link
    gaps = options.get("unreadable") == "skip"
    return write_plan(plan, opened, target, soft=soft, dry_run=dry_run, gaps=gaps, notes=decided.notes)


def write_plan(
    plan: Plan,
    source: Source,
    out: Path | None,
    *,
    soft: bool = False,
    dry_run: bool = False,
    gaps: bool = False,
    notes: list[str] | None = None,
) -> Outcome:
    """Carry a plan out on a source; see ``apply_to_file``."""
    earlier = Provenance.read(provenance_of(source.path))
    edits = plan.fit(source.labels, source.name, earlier=earlier, ordered=source.ordered, gaps=gaps)
    differences: list[Difference] = []
    order = Order(
        edits,
        plan.classes,
        partial(probabilities, plan) if soft else None,
        soft_names(plan) if soft else [],
        again=earlier is not None,
        differences=differences if dry_run else None,
    )
    if dry_run or out is None:
        source.write(order, None)
        provenance = plan.provenance
    else:
        with placed(out) as places:
            if not edits and not soft and source.can_copy(out):
                source.copy(places.data)
            else:
                source.write(order, places.data)
            _check(plan, source, order, places.data)
            provenance = _provenance(plan, source, earlier if not edits else None)
            provenance.write(places.provenance)
    dropped = int((edits.codes == DROP).sum())
    return Outcome(
        source.path,
        out,
        source.label,
        len(source.labels),
        len(source.labels) - dropped,
        plan.counts,
        len(edits.rows),
        provenance,
        differences,
        [*(notes or []), *_told(plan, done=not edits)],
        not dry_run and out is not None,
    )


def _told(plan: Plan, *, done: bool) -> list[str]:
    notes = []
    if plan.left_in:
        notes.append(f"{plan.left_in:,} rows that were decided to be dropped are left in, with the labels they had.")
    if done:
        notes.append("There is nothing to change." if not len(plan.provenance) else "All of it was done before.")
    return notes


def _provenance(plan: Plan, source: Source, earlier: Provenance | None) -> Provenance:
    """The plan's provenance; of a folder also with the files; the earlier one where all was done before."""
    if earlier is not None and earlier.same_changes(plan.provenance):
        return earlier
    if not isinstance(source, Folder):
        return plan.provenance
    lost = {change.row for change in plan.provenance.changes if not change.new}
    rows = [int(change.row) for change in plan.provenance.changes]
    return Provenance(plan.provenance.changes, source.further(rows, lost.__contains__))


def _check(plan: Plan, source: Source, order: Order, written: Path) -> None:
    """Read the copy's labels, and compare them with what they should be."""
    expected = plan.codes(source.labels).copy()
    some = order.edits.codes != DROP
    expected[order.edits.rows[some]] = order.edits.codes[some]
    expected = expected[order.edits.kept]
    labels = source.read_back(written, plan.classes)
    if labels is None:
        return
    found = plan.codes(labels)
    if not source.ordered:
        expected, found = np.sort(expected), np.sort(found)
    if not np.array_equal(expected, found):
        raise ErrataError(
            f"The corrected copy of {source.name} does not read back with the labels that were decided, so it was "
            "not kept, and nothing was changed. This is a fault in errata; please report it with the layout of the "
            "file."
        )
