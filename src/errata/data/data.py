"""Data as errata works on them: what they are, their labels, and a look at any row."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.data.content import texts
from errata.data.images import Images
from errata.data.kinds import CATEGORY, IGNORED, IMAGE, NUMBER, TEXT
from errata.errors import DataError, UnknownNameError
from errata.labels import ClassLabels

__all__ = ["Column", "Data", "Preview"]

SHOWN = 12  # names in a list that people read
MOST_VALUES = 200  # of an array's row that are looked at; of longer ones those that aren't zero


@dataclass(frozen=True)
class Column:
    """A column of the data and what is made of it.

    Parameters
    ----------
    name : as in the source
    kind : "number", "category", "text", "image" or "ignored"
    role : "feature", "label" or "ignored"
    missing : rows without a value
    distinct : different values; None where they were not counted
    note : why it is ignored, or what is odd about it
    """

    name: str
    kind: str
    role: str
    missing: int = 0
    distinct: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Preview:
    """A row to look at. Nothing in it is escaped.

    Parameters
    ----------
    kind : "text", "image" or "row"
    text : the text, for kind "text"
    png : a small picture, for kind "image"; None where it can't be read any more
    row : the values by column name, where the source is a table
    """

    kind: str
    text: str | None = None
    png: bytes | None = None
    row: dict[str, Any] | None = None


class Data:
    """A data set as read: a table, texts or images, with labels if there are any.

    Made by ``errata.read``. Rows are counted from 0; a header line is not a row.

    Attributes
    ----------
    kind : "tabular", "text" or "image"
    columns : list of Column
    labels : ClassLabels, or None where there are none
    label_name : the label's column
    rows : (n,) int64, each row's number in the source; unreadable rows left out make gaps
    source, format : where they came from
    reading : the options of ``errata.read`` that differed from the usual, in plain JSON types
    table : the whole source as a pyarrow.Table, where it is one; ``rows`` says which of its rows count
    images : the whole source's images, for kind "image"
    array : the whole source as (N, D), where it is an array of features

    Examples
    --------
    >>> import errata
    >>> data = errata.read(["good", "bad", "fine"], label=["+", "-", "+"])
    >>> data
    <Data: 3 rows of text, 2 classes>
    >>> data.subset([2, 0]).texts(), data.labels.classes
    (['fine', 'good'], ['+', '-'])
    """

    def __init__(
        self,
        *,
        kind: str,
        columns: Sequence[Column],
        rows: np.ndarray,
        source: str,
        format: str,
        labels: ClassLabels | None = None,
        label_name: str | None = None,
        table: Any = None,
        images: Images | None = None,
        array: Any = None,
        notes: Sequence[str] = (),
        relabel: Callable[[str], Data] | None = None,
    ) -> None:
        self.kind = kind
        self.columns = list(columns)
        self.labels = labels
        self.label_name = label_name
        self.rows = np.asarray(rows, dtype=np.int64)
        self.source = source
        self.format = format
        self.table = table
        self.images = images
        self.array = array
        self.notes = list(notes)
        self.reading: dict[str, Any] = {}
        self._relabel = relabel

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        labels = "no labels" if self.labels is None else f"{len(self.labels.classes)} classes"
        what = {"tabular": "a table", "text": "text", "image": "images"}[self.kind]
        return f"<Data: {len(self):,} rows of {what}, {labels}>"

    # -- what is in it ------------------------------------------------------------------------------------------------

    @property
    def named(self) -> bool:
        """Whether the columns have names of their own, by which further data must have them too."""
        return self.table is not None and self._relabel is not None

    @property
    def features(self) -> list[Column]:
        """The columns that a model sees."""
        return [c for c in self.columns if c.role == "feature"]

    def require_labels(self, min_classes: int = 2) -> ClassLabels:
        """The labels, where they are needed.

        Raises
        ------
        DataError
            where there are none, or fewer than ``min_classes`` classes occur
        """
        if self.labels is None:
            raise DataError(f"{self.source} has no labels; name their column with label=, or pass them as an array.")
        present = int((self.labels.counts > 0).sum())
        if present < min_classes:
            only = [repr(c) for c, n in zip(self.labels.classes, self.labels.counts) if n][:1]
            raise DataError(
                f"Expected at least {min_classes} classes; the labels '{self.label_name}' of {self.source} hold only "
                f"{present}: {', '.join(only)}. There is nothing to tell apart; choose another column with label=."
            )
        return self.labels

    def texts(self) -> list[str]:
        """The texts, for kind "text"; several columns are joined by line breaks."""
        names = [c.name for c in self.features if c.kind == TEXT]
        if self.table is None or not names:
            raise DataError(f"{self.source} holds no text; its kind is '{self.kind}'.")
        return texts(self.table, names, self.rows)

    def column(self, name: str) -> Any:
        """A column's values as read, a pyarrow.ChunkedArray over all rows of the source.

        Raises
        ------
        UnknownNameError
            where there is no such column; the nearest is told
        """
        known = [] if self.table is None else self.table.column_names
        if name not in known:
            raise UnknownNameError("column", name, known, f"It is looked for in {self.source}.")
        return self.table[name]

    def preview(self, position: int) -> Preview:
        """A look at one row, by its position in this data (not in the source)."""
        row = int(self.rows[position])
        values = None
        if self.table is not None:
            shown = [c.name for c in self.columns if c.kind != IMAGE and c.name in self.table.column_names]
            values = {name: _brief(self.table[name][row].as_py()) for name in shown}
        if self.kind == "image" and self.images is not None:
            try:
                png = self.images.thumbnail(row)
            except (DataError, OSError):
                png = None
            return Preview("image", png=png, row=values)
        if self.kind == "text":
            names = [c.name for c in self.features if c.kind == TEXT]
            return Preview("text", text=texts(self.table.slice(row, 1), names)[0], row=values)
        if self.array is not None:
            own = np.asarray(self.array[row])
            places = np.flatnonzero(own) if len(own) > MOST_VALUES else np.arange(len(own))
            values = {self.columns[i].name: v for i, v in zip(places.tolist(), own[places].tolist())}
        return Preview("row", row=values)

    # -- parts of it --------------------------------------------------------------------------------------------------

    def subset(self, positions: Any) -> Data:
        """Some of the rows, in the order given; nothing is copied but the labels."""
        positions = np.asarray(positions)
        if positions.dtype == bool:
            positions = np.flatnonzero(positions)
        positions = positions.astype(np.int64)
        labels = None if self.labels is None else ClassLabels(self.labels.codes[positions], self.labels.classes)
        part = self._copy(labels)
        part.rows = self.rows[positions]
        return part

    def select_label(self, name: str) -> Data:
        """The same rows with another column as the label.

        Raises
        ------
        UnknownNameError
            where there is no such column; the nearest is told
        """
        if self._relabel is None:
            raise UnknownNameError("column", name, [c.name for c in self.columns if self.table is not None])
        whole = self._relabel(name)
        if len(whole) == len(self) and bool((whole.rows == self.rows).all()):
            return whole
        return whole.subset(np.searchsorted(whole.rows, self.rows))

    def with_labels(self, labels: Any, *, classes: Sequence[Any] | None = None, name: str = "label") -> Data:
        """The same rows with labels from elsewhere, one for each.

        Raises
        ------
        DataError
            where their number is not that of the rows
        """
        encoded = labels if isinstance(labels, ClassLabels) else ClassLabels.encode(labels, classes=classes, name=name)
        if len(encoded) != len(self):
            raise DataError(
                f"Expected a label for each of the {len(self):,} rows of {self.source}; got {len(encoded):,}."
            )
        new = self._copy(encoded)
        new.label_name = name
        return new

    def _copy(self, labels: ClassLabels | None) -> Data:
        new = Data(
            kind=self.kind,
            columns=self.columns,
            rows=self.rows,
            source=self.source,
            format=self.format,
            labels=labels,
            label_name=self.label_name,
            table=self.table,
            images=self.images,
            array=self.array,
            notes=self.notes,
            relabel=self._relabel,
        )
        new.reading = self.reading
        return new

    @property
    def origin(self) -> dict[str, Any]:
        """What a ledger notes to find and read the data again: source, source_path (absolute), label, reading."""
        there = os.path.exists(os.path.expanduser(self.source))
        found = {
            "source": self.source,
            "source_path": os.path.abspath(os.path.expanduser(self.source)) if there else None,
            "label": self.label_name,
            "reading": self.reading or None,
        }
        return {name: value for name, value in found.items() if value is not None}

    # -- in words -----------------------------------------------------------------------------------------------------

    def describe(self) -> list[str]:
        """How the data were read, in plain sentences, for people to check."""
        what = {"tabular": "a table", "text": "texts", "image": "images"}[self.kind]
        lines = [f"{self.source}: {len(self):,} rows, read as {what} ({self.format})."]
        lines += self.notes
        lines += _describe_labels(self.labels, self.label_name)
        lines += self._describe_features()
        lines += [f"'{c.name}': {c.note}." for c in self.features if c.note]
        reasons: dict[str, list[str]] = {}
        for column in self.columns:
            if column.role == IGNORED and column.note:
                reasons.setdefault(column.note, []).append(f"'{column.name}'")
        return lines + [f"Not used: {_list(names)}; {reason}." for reason, names in reasons.items()]

    def _describe_features(self) -> list[str]:
        lines = []
        words = {NUMBER: "Numbers", CATEGORY: "Categories", TEXT: "Text", IMAGE: "Images"}
        for kind, word in words.items():
            names = [c.name for c in self.features if c.kind == kind]
            if names:
                lines.append(f"{word}: {_list(names)}.")
        for kinds, how in ((NUMBER,), "filled with the median, and marked"), ((CATEGORY, TEXT), "left empty"):
            gaps = [f"'{c.name}' ({c.missing:,})" for c in self.features if c.missing and c.kind in kinds]
            if gaps:
                lines.append(f"Values are missing in {_list(gaps)}; they are {how}.")
        if self.images is not None and self.images.shape is not None:
            channels, height, width = self.images.shape
            colour = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
            how = f": {self.images.sizes}" if self.images.sizes else ""
            lines.append(f"Images are {width} x {height}, {colour}{how}.")
        return lines


def _describe_labels(labels: ClassLabels | None, name: str | None) -> list[str]:
    if labels is None:
        return ["There are no labels."]
    counts = labels.counts
    lines = [f"Label: '{name}', {len(labels.classes)} classes with {counts.min():,} to {counts.max():,} rows each."]
    if len(labels.classes) <= SHOWN:
        each = ", ".join(f"{c} ({n:,})" for c, n in zip(labels.classes, counts))
        lines[0] = f"Label: '{name}', {len(labels.classes)} classes: {each}."
    if labels.missing:
        lines.append(f"{labels.missing:,} rows have no label.")
    rare = labels.rare()
    unseen = [str(c) for c, n in rare.items() if n == 0]
    few = [f"{c} ({n})" for c, n in rare.items() if n > 0]
    if few:
        lines.append(f"Rare classes, too small to be checked well: {_list(few)}.")
    alike: dict[str, list[str]] = {}
    for name_of_class in labels.classes:
        alike.setdefault(" ".join(str(name_of_class).casefold().split()), []).append(repr(name_of_class))
    twins = [" and ".join(names) for names in alike.values() if len(names) > 1]
    if twins:
        lines.append(f"Classes that differ in capitals or spaces only, perhaps by mistake: {_list(twins)}.")
    if unseen:
        lines.append(f"Classes without a single row: {_list(unseen)}.")
    return lines


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(str(n) for n in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def _brief(value: Any) -> Any:
    """A value as JSON and people can take it: bytes become their length."""
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value):,} bytes"
    if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
        return value.get("path") or f"{len(value['bytes']):,} bytes"
    if value is None or isinstance(value, (str, int, float, bool, list, dict)):
        return value
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
