"""Correcting .csv and .tsv files: only the label's field of a changed row becomes other bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.correct.plan import DROP
from errata.correct.records import Bounds, bounds, fields
from errata.correct.source import Difference, Order, Source, labels_in, spellings
from errata.correct.streams import PIECE, Encoding, pieces, writing
from errata.data.content import choose_label
from errata.data.delimited import read_delimited, sniff
from errata.data.delimited_rows import read_rows
from errata.errors import DataError
from errata.labels import ClassLabels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Delimited", "in_words"]

BOM = b"\xef\xbb\xbf"


class Delimited(Source):
    """A .csv or .tsv file, plain or gzipped.

    Parameters
    ----------
    path : the file
    label : the label's column; by default the only one named like one
    reading : options of ``errata.read``: separator, encoding, header, classes
    known : the ledger's classes
    """

    endings = (".csv", ".tsv", ".tab", ".txt")

    def __init__(self, path: Path, label: str | None, reading: Mapping[str, Any], known: list[Any]) -> None:
        options = {name: reading[name] for name in ("separator", "encoding", "header") if name in reading}
        self.layout = sniff(path, **options)
        self.classes = reading.get("classes")
        name = choose_label(self.layout.names, label, str(path)) or ""
        self.place = self.layout.names.index(name)
        self.encoding = Encoding(self.layout.encoding, path)
        self.separator = self.layout.separator.encode()
        column = read_rows(path, self.layout, [name], name)[name]
        labels = labels_in(column, name, self.classes, None, known)
        super().__init__(path, name, labels, spellings(column, labels))

    def spell(self, name: Any) -> str:
        return str(name)

    def frame(self) -> pd.DataFrame:
        layout = self.layout
        content = read_delimited(self.path, separator=layout.separator, encoding=layout.encoding, header=layout.header)
        return content.table.to_pandas()

    def read_back(self, out: Path, classes: list[Any]) -> ClassLabels:
        names = self._names_after(out)
        column = read_rows(out, replace(self.layout, names=names), [self.label], self.label)[self.label]
        told = self.classes if self.classes is None or callable(self.classes) else classes
        return labels_in(column, self.label, told, None, classes)

    def _names_after(self, out: Path) -> list[str]:
        """The columns of a copy: those of this file, and further ones."""
        layout = self.layout
        first = sniff(out, separator=layout.separator, encoding=layout.encoding, header=layout.header).names
        return [*layout.names, *first[len(layout.names) :]]

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, order: Order, out: Path | None) -> None:
        job = _Job(self, order)
        with writing(out, self.encoding) as write:
            job.write = write
            job.run()


class _Job:
    """One pass over the file, piece by piece."""

    def __init__(self, source: Delimited, order: Order) -> None:
        self.source, self.order, self.layout = source, order, source.layout
        self.separator = source.separator
        self.replaces = order.check_names(self.layout.names, source.name)
        if order.soft is not None and not self.layout.header:
            raise DataError(f"{source.name} has no header line, so columns of probabilities would have no names.")
        self.places = [self.layout.names.index(name) for name in order.soft_names] if self.replaces else []
        self.codes = dict(zip(order.edits.rows.tolist(), order.edits.codes.tolist()))
        self.write: Callable[[bytes], Any] = len
        self.row = 0  # the first row of the piece
        self.lines = 0  # line ends before the piece
        self.carry = b""

    def run(self) -> None:
        header, first, line_end = self.layout.header, True, b"\n"
        reader = pieces(self.source.path, self.source.encoding, lambda: max(PIECE, len(self.carry)))
        final = False
        while not final:
            piece = next(reader, b"")
            final = not piece
            text = self.carry + piece
            if first and text:
                first, line_end = False, b"\n" if b"\n" in text else b"\r"
                if text.startswith(BOM) and self.source.encoding.inner == "utf-8":
                    self.write(BOM)
                    text = text[len(BOM) :]
            found = bounds(text, self.separator, quoted=self.layout.quoted, final=final)
            end = len(text) if final else int(found.ends[-1]) if len(found.ends) else 0
            begin = 0
            if header and len(found.starts):
                header, begin = False, int(found.ends[0])
                self._header(text, found)
                found = Bounds(*(places[1:] for places in found))
            self._piece(text, begin, end, found, line_end)
            self.carry = text[end:]
            self.lines += text.count(line_end, 0, end)
        self._check_rows()

    def _header(self, text: bytes, found: Bounds) -> None:
        start, stop, end = (int(places[0]) for places in found)
        more = b"" if self.replaces else self._joined([self._word(name, b"") for name in self.order.soft_names])
        self.write(text[:start] + text[start:stop] + more + text[stop:end])

    def _piece(self, text: bytes, at: int, end: int, found: Bounds, line_end: bytes) -> None:
        rows = len(found.starts)
        low, high = np.searchsorted(self.order.edits.rows, [self.row, self.row + rows])
        changed = range(rows) if self.order.soft else (self.order.edits.rows[low:high] - self.row).tolist()
        soft = self._soft(rows)
        parts = []
        for i in changed:
            start, stop, after = int(found.starts[i]), int(found.stops[i]), int(found.ends[i])
            record = text[start:stop]
            new = self._label(record, self.row + i)
            if new is not record and self.order.differences is not None:
                line = self.lines + text.count(line_end, 0, start) + 1
                self._differ(self.row + i, line, record, new, text[stop:after])
            parts.append(text[at:start])
            at = after
            if new is not None:
                parts += (self._with(new, soft[i]) if soft else new, text[stop:after])
        self.write(b"".join(parts))
        self.write(text[at:end])
        self.row += rows

    def _label(self, record: bytes, row: int) -> bytes | None:
        """The record with its new label; the very same where it has none; None where it is dropped."""
        code = self.codes.get(row)
        if code is None:
            return record
        if code == DROP:
            return None
        spans = fields(record, self.separator, quoted=self.layout.quoted)
        if len(spans) != len(self.layout.names):
            raise self._misread(row)
        start, end = spans[self.source.place]
        word = self._word(self.source.raw(self.order.classes[code]), record[start:end])
        return record[:start] + word + record[end:]

    def _word(self, word: str, before: bytes) -> bytes:
        """A word as a field, quoted where it must be, or where the field was before."""
        must = any(mark in word for mark in (self.layout.separator, '"', "\n", "\r"))
        if not self.layout.quoted:
            if any(mark in word for mark in (self.layout.separator, "\n", "\r")):
                raise DataError(
                    f"The label {word!r} can't be written to {self.source.name}, whose fields are not quoted: it "
                    "holds a separator or a line's end."
                )
            return self.source.encoding.encode(word)
        if must or before.startswith(b'"'):
            word = '"' + word.replace('"', '""') + '"'
        return self.source.encoding.encode(word)

    # -- probabilities ------------------------------------------------------------------------------------------------

    def _soft(self, rows: int) -> list[list[bytes]]:
        if self.order.soft is None or rows == 0:
            return []
        values = self.order.probabilities(np.arange(self.row, self.row + rows))
        return [[in_words(value) for value in line] for line in values.tolist()]

    def _with(self, record: bytes, values: list[bytes]) -> bytes:
        if not self.replaces:
            return record + self._joined(values)
        spans = fields(record, self.separator, quoted=self.layout.quoted)
        parts = [record[start:end] for start, end in spans]
        for place, value in zip(self.places, values):
            parts[place] = value
        return self.separator.join(parts)

    def _joined(self, values: list[bytes]) -> bytes:
        return b"".join(self.separator + value for value in values)

    # -- what is told -------------------------------------------------------------------------------------------------

    def _differ(self, row: int, line: int, record: bytes, new: bytes | None, end: bytes) -> None:
        decode, rest = self.source.encoding.decode, end.removesuffix(b"\n")
        told = Difference(row, line, decode(record + rest), None if new is None else decode(new + rest), bool(end))
        if self.order.differences is not None:
            self.order.differences.append(told)

    def _check_rows(self) -> None:
        if self.row != len(self.source.labels):
            raise self._misread(min(self.row, len(self.source.labels)))

    def _misread(self, row: int) -> DataError:
        return DataError(
            f"{self.source.name} can't be corrected byte by byte: around row {row} its lines don't count as they "
            f"were read ({len(self.source.labels):,} rows, {self.row:,} records). The usual cause is an empty line "
            "before the header; remove it, or write the file anew as plain CSV."
        )


def in_words(value: float) -> bytes:
    """A probability in a text file; nothing where it is not known.

    Examples
    --------
    >>> in_words(0.25), in_words(float("nan"))
    (b'0.25', b'')
    """
    return b"" if value != value else f"{value:.6g}".encode()
