"""The corrected table in memory: a DataFrame that knows where its labels came from and can be saved."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from errata.correct.formats import check_ending, ending_of, open_source
from errata.correct.outcome import Outcome
from errata.correct.places import check_out, placed, provenance_of
from errata.correct.plan import Edits, Plan
from errata.correct.provenance import Provenance
from errata.correct.soft import probabilities, soft_names
from errata.correct.source import labels_in, spellings
from errata.data.content import choose_label
from errata.data.tables import read_frame
from errata.errors import DataError, ParameterError
from errata.labels import MISSING, ClassLabels
from errata.storage import source_path

if TYPE_CHECKING:
    from errata.correct.apply import Origin

__all__ = ["Corrected", "corrected"]

SAVED = (".csv", ".tsv", ".parquet", ".jsonl")


class Corrected(pd.DataFrame):
    """A corrected table: a DataFrame in every way, and

    Attributes
    ----------
    provenance : DataFrame of row, old, new, who, when, why; a row per change
    counts : how many rows were relabelled, filled, dropped, left_in, kept
    notes : what a person should know

    What is computed from it is a plain DataFrame.
    """

    _metadata = ["provenance", "counts", "notes", "_save"]

    provenance: pd.DataFrame
    counts: dict[str, int]
    notes: list[str]

    @property
    def _constructor(self) -> Any:
        return pd.DataFrame

    def __reduce__(self) -> Any:
        """Pickled and copied as the plain table, with the rest beside it."""
        kept = {name: getattr(self, name) for name in ("provenance", "counts", "notes")}
        return _again, (pd.DataFrame(self), kept)

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write the corrected data, and ``PATH.provenance.csv`` beside them.

        Parameters
        ----------
        path : where the data came from a file or folder, another of the same format, in which the rows that did not
            change stay as they are; else .csv, .tsv, .parquet or .jsonl
        force : replace what stands there

        Raises
        ------
        ErrataError
            where it is the source, is taken or can't be written
        """
        place = Path(path).expanduser()
        save = getattr(self, "_save", None)
        if save is not None:
            save(place, force)
        else:
            _save_frame(pd.DataFrame(self), self.provenance, place, force)
        return place


def _again(frame: pd.DataFrame, kept: Mapping[str, Any]) -> Corrected:
    return _wrapped(frame, **kept, _save=None)


def _wrapped(frame: pd.DataFrame, **kept: Any) -> Corrected:
    result = Corrected(frame)
    for name, value in kept.items():
        object.__setattr__(result, name, value)
    return result


def corrected(
    plan: Plan,
    origin: Origin,
    source: Any,
    label: str | None,
    reading: Mapping[str, Any],
    *,
    soft: bool,
    notes: list[str],
) -> Corrected:
    """The table of ``errata.apply``."""
    path = _path(source, origin)
    data = source if source is not None else origin.ledger.data
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        frame, edits = _of_frame(plan, data, label)
    elif data is not None and not isinstance(data, (str, os.PathLike)):
        frame, edits = _of_data(plan, data, label)
    elif path is not None:
        frame, edits = _of_path(plan, path, label, reading)
    else:
        frame, edits = _of_labels(plan, label)
    save = None if path is None else partial(_save_as_source, plan, path, label, reading, soft)
    kept = edits.kept
    frame = frame[kept]
    if soft:
        frame = _with_probabilities(frame, plan, edits, np.flatnonzero(kept), own=isinstance(source, Corrected))
    if plan.left_in:
        notes = [*notes, f"{plan.left_in:,} rows that were decided to be dropped are left in."]
    return _wrapped(frame, provenance=plan.provenance.table(), counts=plan.counts, notes=notes, _save=save)


def corrected_items(
    origin: Origin, decisions: Any, source: Any, chosen: dict[str, Any], *, drop: bool, new_classes: bool
) -> Corrected:
    """The table of ``errata.apply`` for labels that are no classes: a row per item that is left, and its label."""
    from errata.correct.decisions import decide
    from errata.correct.other_labels import corrected_frame, find_labels
    from errata.forms import place_of_labels

    ledger, folder = origin.ledger, origin.folder
    on_disk = source if isinstance(source, (str, os.PathLike)) else None
    place: Any = source
    if source is None:
        place = place_of_labels(ledger, folder)
    elif on_disk is not None:
        place = find_labels(ledger, folder, on_disk)
    decided = decide(decisions, ledger, folder=folder, labels=place, **chosen)
    frame, provenance, counts = corrected_frame(ledger, decided, place, drop=drop, new_classes=new_classes)
    save = partial(_save_items, origin, decided, place, drop, new_classes) if isinstance(place, Path) else None
    return _wrapped(frame, provenance=provenance.table(), counts=counts, notes=decided.notes, _save=save)


def _save_items(
    origin: Origin, decided: Any, place: Path, drop: bool, new_classes: bool, out: Path, force: bool
) -> Outcome:
    from errata.correct.other_labels import correct_file

    check_ending(out, place)
    check_out(out, place, force=force)
    how: dict[str, Any] = {"label": origin.label, "reading": origin.reading, "dry_run": False}
    return correct_file(origin.ledger, decided, place, out, drop=drop, new_classes=new_classes, **how)


def _path(source: Any, origin: Origin) -> Path | None:
    """The file or folder that the data came from; None where there is none."""
    if isinstance(source, (str, os.PathLike)):
        return origin.find(source)
    data = source if source is not None else origin.ledger.data
    if data is not None:
        return source_path({"source": getattr(data, "source", None)})
    return source_path({"source": origin.source, "source_path": origin.source_path}, origin.folder)


# -- tables of every kind ---------------------------------------------------------------------------------------------


def _of_frame(plan: Plan, frame: Any, label: str | None) -> tuple[pd.DataFrame, Edits]:
    """A user's DataFrame: his columns, his index, his label's type."""
    names = [str(column) for column in frame.columns]
    name = choose_label(names, label, "the data frame") or ""
    column = frame.columns[names.index(name)]
    arrow = read_frame(frame[[column]]).table[name]
    labels = labels_in(arrow, name, None, None, plan.classes)
    edits = plan.fit(labels, "the data frame", earlier=_earlier(frame))
    spelled = {str(labels.classes[code]): raw for code, raw in spellings(arrow, labels).items()}
    rows, codes = edits.relabelled()
    values = [spelled.get(str(plan.classes[code]), plan.classes[code]) for code in codes]
    changed = pd.DataFrame(frame).copy()
    changed[column] = _replaced(changed[column], rows, values)
    return changed, edits


def _earlier(frame: Any) -> Provenance | None:
    """What was corrected in this table before."""
    table = getattr(frame, "provenance", None) if isinstance(frame, Corrected) else None
    if table is None:
        return None
    from errata.correct.provenance import COLUMNS, Change

    return Provenance([Change(*line) for line in table[list(COLUMNS)].itertuples(index=False)])


def _replaced(series: pd.Series, rows: np.ndarray, values: list[Any]) -> pd.Series:
    """A column with other values, of its own type where that can hold them."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        new = [value for value in dict.fromkeys(values) if value not in series.cat.categories]
        series = series.cat.add_categories(new) if new else series
    series = series.copy()
    if len(rows):
        typed = _typed(values, series.dtype)
        if typed is None:
            series = series.astype(object)
        series.iloc[rows] = values if typed is None else typed
    return series


def _typed(values: list[Any], dtype: Any) -> Any | None:
    """Values as an array of a type; None where it can't hold them."""
    try:
        typed = pd.array(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError):
        return None
    return typed if all(one == other for one, other in zip(typed, values)) else None


def _of_path(plan: Plan, path: Path, label: str | None, reading: Mapping[str, Any]) -> tuple[pd.DataFrame, Edits]:
    source = open_source(path, label, reading, plan.classes)
    earlier = Provenance.read(provenance_of(path))
    gaps = reading.get("unreadable") == "skip"
    edits = plan.fit(source.labels, source.name, earlier=earlier, ordered=source.ordered, gaps=gaps)
    frame = source.frame()
    frame[source.label] = _names(plan, plan.codes(source.labels), edits)
    return frame, edits


def _of_data(plan: Plan, data: Any, label: str | None) -> tuple[pd.DataFrame, Edits]:
    """``Data`` in memory: its table, or its array's columns, or no more than the labels."""
    if not (hasattr(data, "rows") and hasattr(data, "labels")):
        raise ParameterError(f"source must be a DataFrame, Data, a file or a folder; got {type(data).__name__}.")
    if label is not None and data.table is not None and label != data.label_name and label in data.table.column_names:
        data = data.select_label(label)
    found = data.require_labels(min_classes=1)
    if data.table is not None:
        frame = data.table.to_pandas()
    elif data.array is not None:
        frame = pd.DataFrame(np.asarray(data.array), columns=[c.name for c in data.features])
    else:
        frame = pd.DataFrame(index=np.arange(int(data.rows.max()) + 1))
    codes = np.full(len(frame), MISSING, dtype=np.int64)
    codes[data.rows] = found.codes
    labels = ClassLabels(codes, found.classes)
    edits = plan.fit(labels, data.source, gaps=True)
    name = str(data.label_name or label or "label")
    frame[name] = _names(plan, plan.codes(labels), edits)
    return frame, edits


def _of_labels(plan: Plan, label: str | None) -> tuple[pd.DataFrame, Edits]:
    """Nothing is known but the ledger: a table of the labels alone."""
    name = label or "label"
    left = np.flatnonzero(plan.dropped)
    edits = Edits(len(plan.ledger), left, np.full(len(left), -2, dtype=np.int64), np.arange(len(plan.ledger)))
    names = ClassLabels(plan.target, plan.classes).names()
    return pd.DataFrame({name: _tidy(names)}, index=pd.Index(plan.ledger.index)), edits


def _names(plan: Plan, codes: np.ndarray, edits: Edits) -> Any:
    """The labels of a source after the edits, as class names."""
    rows, new = edits.relabelled()
    codes = codes.copy()
    codes[rows] = new
    return _tidy(ClassLabels(codes, plan.classes).names())


def _tidy(names: np.ndarray) -> Any:
    """Class names as a column: of integers or booleans where all are."""
    return pd.Series(names, dtype=object).infer_objects().to_numpy()


def _with_probabilities(frame: pd.DataFrame, plan: Plan, edits: Edits, rows: np.ndarray, *, own: bool) -> pd.DataFrame:
    """With a column per class; ``own`` where the table was corrected before, so that such columns may be replaced."""
    if edits.positions is None:
        raise DataError("These data were corrected before, and their order has changed; correct the original again.")
    names = soft_names(plan)
    clash = [name for name in names if name in frame.columns]
    if own and len(clash) == len(names):
        frame, clash = frame.drop(columns=names), []
    if clash:
        raise DataError(f"There is a column '{clash[0]}' already, where the probabilities should go; rename it.")
    values = probabilities(plan, edits.positions[rows])
    return pd.concat([frame, pd.DataFrame(values, columns=names, index=frame.index)], axis=1)


# -- saving -----------------------------------------------------------------------------------------------------------


def _save_as_source(
    plan: Plan, path: Path, label: str | None, reading: Mapping[str, Any], soft: bool, out: Path, force: bool
) -> Outcome:
    from errata.correct.apply import write_plan

    check_ending(out, path)
    check_out(out, path, force=force)
    source = open_source(path, label, reading, plan.classes)
    return write_plan(plan, source, out, soft=soft, gaps=reading.get("unreadable") == "skip")


def _save_frame(frame: pd.DataFrame, provenance: pd.DataFrame, out: Path, force: bool) -> None:
    from errata.correct.provenance import COLUMNS, Change

    if ending_of(out) not in SAVED:
        raise ParameterError(f"{out}: a table is saved as {', '.join(SAVED)}; choose one of these endings.")
    check_out(out, out.parent / f".{out.name}", force=force)
    with placed(out) as places:
        if ending_of(out) == ".parquet":
            frame.to_parquet(places.data)
        elif ending_of(out) == ".jsonl":
            frame.to_json(places.data, orient="records", lines=True, force_ascii=False)
        else:
            frame.to_csv(places.data, index=False, sep="\t" if ending_of(out) == ".tsv" else ",")
        changes = [Change(*line) for line in provenance[list(COLUMNS)].itertuples(index=False)]
        Provenance(changes).write(places.provenance)
