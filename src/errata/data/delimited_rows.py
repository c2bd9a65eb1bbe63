"""The rows of a .csv or .tsv file, block by block.

Every block is parsed as words and made small at once: columns of numbers become numbers, repeated words become codes.
Only a column that seemed numeric and then was not is read a second time, alone.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errata.data.content import MISSING_WORDS
from errata.data.told import BROKEN_FILE, reason
from errata.errors import DataError

__all__ = ["Layout", "not_text", "open_bytes", "read_rows"]

BLOCK = 8 << 20  # bytes parsed at a time; doubled where a single row is longer
LARGEST_BLOCK = 1 << 30
SHOWN = 80  # characters of a bad line that are shown


@dataclass(frozen=True)
class Layout:
    """How a text file is a table.

    Parameters
    ----------
    names : the columns' names
    separator : one character
    quoted : whether double quotes enclose fields
    header : whether the first line holds the names
    encoding : of the text
    """

    names: list[str]
    separator: str
    quoted: bool
    header: bool
    encoding: str


def read_rows(path: Path, layout: Layout, wanted: list[str], label: str | None) -> Any:
    """The columns ``wanted`` as a pyarrow.Table: numbers, codes of repeated words, or words.

    Raises
    ------
    DataError
        where a line has too few or too many fields, a quotation mark is never closed, or bytes are not text
    """
    import pyarrow as pa

    comma = layout.separator in ";\t"
    parts = {name: _Growing(words=name == label, comma=comma) for name in wanted}
    todo, block = list(wanted), BLOCK
    while todo:
        try:
            for batch in _batches(path, layout, todo, block):
                for name, values in zip(todo, batch.columns):
                    parts[name].add(values)
            todo = [name for name in todo if parts[name].start_over]
        except _LongRowError:
            block = min(8 * block, LARGEST_BLOCK)
        for name in todo:
            parts[name] = _Growing(words=parts[name].words or parts[name].start_over, comma=comma)
    arrays = {}
    for name in list(parts):
        arrays[name] = parts.pop(name).finish()  # one at a time: two copies of one column, not of all
    return pa.table(arrays)


class _Growing:
    """A column that grows block by block, as numbers while it can, else as words, coded while they repeat."""

    def __init__(self, words: bool, comma: bool) -> None:
        self.words = words
        self.comma = comma
        self.whole = True
        self.coded = True
        self.chunks: list[Any] = []
        self.start_over = False

    def add(self, values: Any) -> None:
        import pyarrow as pa

        if self.start_over:
            return
        if not self.words:
            parsed = _as_numbers(values, self.comma, self.whole)
            if parsed is not None:
                self.whole = self.whole and pa.types.is_integer(parsed.type)
                self.chunks.append(parsed)
                return
            if self.chunks:  # the words behind the numbers so far are gone
                self.start_over, self.chunks = True, []
                return
            self.words = True
        self._add_words(values)

    def _add_words(self, values: Any) -> None:
        import pyarrow as pa

        if self.coded:
            codes = values.dictionary_encode()
            if 2 * len(codes.dictionary) <= max(len(codes), 2000):
                self.chunks.append(codes)
                return
            self.coded = False
            self.chunks = [chunk.cast(pa.large_string()) for chunk in self.chunks]
        self.chunks.append(values.cast(pa.large_string()))

    def finish(self) -> Any:
        import pyarrow as pa

        if not self.chunks:
            return pa.chunked_array([], pa.string())
        if self.words:
            joined = pa.chunked_array(self.chunks)
            return joined.unify_dictionaries() if self.coded else joined
        kind = pa.int64() if self.whole else pa.float64()
        for i, chunk in enumerate(self.chunks):
            self.chunks[i] = chunk.cast(kind, safe=False)
        return pa.chunked_array(self.chunks, kind)


def _as_numbers(values: Any, comma: bool, whole: bool) -> Any | None:
    """Words as int64 or float64 where all of them are numbers or stand for nothing; else None.

    With ``comma``, where commas don't separate fields, they may stand for the decimal point. Without ``whole``,
    int64 is not tried: the column had a fraction before.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found = _cast(values, whole)
    if found is None:
        trimmed = pc.utf8_trim_whitespace(values)
        nothing = pc.is_in(trimmed, value_set=pa.array(MISSING_WORDS, trimmed.type))
        if pc.all(nothing).as_py():
            return pa.nulls(len(values), pa.int64())
        values = pc.if_else(nothing, None, trimmed)
        found = _cast(values, whole)
        if found is None and comma and pc.all(pc.match_substring_regex(values, r"^[+-]?\d*,?\d+$")).as_py():
            found = _cast(pc.replace_substring(values, ",", "."), whole)
    if found is not None and pc.any(pc.match_substring_regex(values, r"^[+-]?0[0-9xX]")).as_py():
        return None  # "007" and "0x1F" are names
    return found


def _cast(values: Any, whole: bool) -> Any | None:
    import pyarrow as pa

    for kind in (pa.int64(), pa.float64()) if whole else (pa.float64(),):
        try:
            values.drop_null().slice(0, 64).cast(kind)  # a cast that fails is slow: find out on a few
            return values.cast(kind)
        except pa.ArrowInvalid:
            continue
    return None


# -- blocks of words --------------------------------------------------------------------------------------------------


def open_bytes(path: Path) -> Any:
    """Open a file's bytes, unpacked where it is gzipped."""
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else open(path, "rb")


class _LongRowError(Exception):
    """A row is longer than a block."""


def _batches(path: Path, layout: Layout, wanted: list[str], block: int) -> Iterator[Any]:
    """Record batches of strings, one for every block of the file."""
    import pyarrow as pa

    last = None
    try:
        with open_bytes(path) as file, _reader(file, layout, wanted, block) as reader:
            for batch in reader:
                last = batch if batch.num_rows else last
                yield batch
    except pa.ArrowInvalid as error:
        if "straddling" in str(error) and block < LARGEST_BLOCK:
            raise _LongRowError from error
        raise _explained(path, layout, error) from error
    except UnicodeDecodeError as error:
        raise not_text(path, layout.encoding) from error
    except BROKEN_FILE as error:
        raise DataError(f"{path} is damaged: {reason(error)}. Fetch or pack it again.") from error
    if last is not None and layout.quoted and wanted[-1] == layout.names[-1]:
        _check_closed(path, layout, last)


def _reader(file: Any, layout: Layout, wanted: list[str], block: int) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    return arrow_csv.open_csv(
        file,
        read_options=arrow_csv.ReadOptions(
            column_names=layout.names,
            skip_rows_after_names=int(layout.header),
            block_size=block,
            encoding=layout.encoding,
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=layout.separator, quote_char='"' if layout.quoted else False, newlines_in_values=layout.quoted
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types={name: pa.string() for name in wanted}, include_columns=wanted, strings_can_be_null=False
        ),
    )


# -- what went wrong, and where ---------------------------------------------------------------------------------------


def _explained(path: Path, layout: Layout, error: Exception) -> DataError:
    """Arrow's complaint as a sentence with the line; the file is gone through once more to find it."""
    if "UTF8" in str(error):
        return not_text(path, layout.encoding)
    width = len(layout.names)
    try:
        with open_bytes(path) as file:
            text = io.TextIOWrapper(file, encoding=layout.encoding, newline="")
            rows = csv_reader(text, layout.separator, layout.quoted)
            begins = 1
            for row in rows:
                if row and len(row) != width:
                    return DataError(_ragged(path, layout, row, begins, rows.line_num))
                begins = rows.line_num + 1
    except (csv.Error, UnicodeDecodeError, *BROKEN_FILE):
        pass
    return DataError(f"{path} can't be read as a table: {reason(error)}. Mend the file, or write it anew as UTF-8 CSV.")


def csv_reader(text: Any, separator: str, quoted: bool) -> Any:
    """Python's own reader of fields: slow, but it tells its line."""
    if quoted:
        return csv.reader(text, delimiter=separator)
    return csv.reader(text, delimiter=separator, quoting=csv.QUOTE_NONE)


def _ragged(path: Path, layout: Layout, row: list[str], begins: int, ends: int) -> str:
    shown = layout.separator.join(row)
    shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
    where = f"line {begins}" if begins == ends else f"lines {begins} to {ends}"
    cause = (
        "an opening quotation mark that is not closed, or is no quotation at all"
        if ends - begins > 1
        else "a separator inside of a field that is not quoted, or a field that is missing"
    )
    return (
        f"{path}, {where}: expected {len(layout.names)} fields, as in the first line, found {len(row)}: {shown!r}. "
        f"The usual cause is {cause}. Correct the line, or name the separator with separator=."
    )


def _check_closed(path: Path, layout: Layout, last: Any) -> None:
    """A quotation mark that is never closed swallows the rest of the file into one field; Arrow doesn't mind."""
    value = last.column(last.num_columns - 1)[-1].as_py()
    if "\n" not in value and "\r" not in value:
        return
    tail = b""
    with open_bytes(path) as file:
        while chunk := file.read(1 << 20):
            tail = chunk
    if layout.encoding in ("utf-16", "utf-32") or tail.rstrip(b"\r\n ").endswith(b'"'):
        return
    lines = value.count("\n") + 1
    raise DataError(
        f"{path}: the last field of the last row, '{layout.names[-1]}', begins with a quotation mark that is never "
        f"closed, "
        f"so that it runs over {lines:,} lines to the end of the file: {value[:SHOWN]!r}. Close it, or double it if "
        f"it is "
        "part of the text."
    )


def not_text(path: Path, encoding: str) -> DataError:
    """An error that says where a file stops being text in an encoding."""
    where = "somewhere"
    if encoding not in ("utf-16", "utf-32"):
        with open_bytes(path) as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode(encoding)
                except UnicodeDecodeError as error:
                    byte = line[error.start]
                    near = line[max(0, error.start - 20) : error.start + 20].decode("latin-1").strip()
                    where = f"in line {number}, at byte {error.start + 1}: 0x{byte:02X}, near {near!r}"
                    break
    return DataError(
        f"{path} is not {encoding.upper()} text: it has a byte that doesn't belong {where}. If it is an older Western "
        "European file, read it with encoding='latin-1' (or 'cp1252'), or convert it: "
        f"iconv -f latin1 -t utf-8 {path.name} > converted.csv"
    )
