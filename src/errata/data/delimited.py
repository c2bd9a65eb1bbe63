"""Tables as text: .csv and .tsv, in blocks, so that memory holds about one copy of the data and never the file besides.

This file finds out how the text is a table; ``delimited_rows`` reads its rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from errata.data.content import Content
from errata.data.delimited_rows import Layout, csv_reader, not_text, open_bytes, read_rows
from errata.data.told import BROKEN_FILE, reason
from errata.errors import DataError, ParameterError

__all__ = ["read_delimited", "sniff"]

SAMPLE = 1 << 18  # bytes that are looked at to find the layout
SEPARATORS = (",", ";", "\t", "|")
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_delimited(
    path: Path,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    choose: Callable[[list[str]], tuple[str | None, list[str]]] | None = None,
) -> Content:
    """Read a .csv or .tsv file, plain or gzipped, into an Arrow table.

    Parameters
    ----------
    path : the file
    separator : the character between fields; found out by default
    encoding : of the text; UTF-8 by default
    header : whether the first line holds the columns' names; else they are "column 1", "column 2", ...
    choose : from the columns' names to the label's (whose words are kept as they are) and those to read

    Raises
    ------
    DataError
        where the file is empty, has no rows, two columns of one name, a line with too few or too many fields, or bytes
        that are not text in the encoding; with the line
    """
    layout = sniff(path, separator=separator, encoding=encoding, header=header)
    label, wanted = choose(layout.names) if choose else (None, layout.names)
    table = read_rows(path, layout, wanted, label)
    if table.num_rows == 0:
        raise DataError(
            f"{path} has a header line ({', '.join(layout.names[:8])}) and no rows below it; expected at least one."
        )
    notes = [f"Fields are separated by {NAMES.get(layout.separator, repr(layout.separator))}."]
    if layout.encoding != "utf-8":
        notes.append(f"The text was read as {layout.encoding}.")
    if not layout.quoted and layout.separator == "\t":
        notes.append("Quotation marks were taken as part of the text.")
    return Content(table, str(path), "CSV" if layout.separator != "\t" else "TSV", path.parent, notes=notes)


# -- the layout -------------------------------------------------------------------------------------------------------


def sniff(path: Path, *, separator: str | None = None, encoding: str | None = None, header: bool = True) -> Layout:
    """Find out a file's separator, quoting and column names from its beginning."""
    if separator is not None and len(separator) != 1:
        raise ParameterError(f"separator must be one character, such as ',' or '\\t'; got {separator!r}.")
    head, whole = _head(path)
    if not head.strip():
        raise DataError(f"{path} is empty; expected a table with a header line and rows.")
    encoding = _encoding(head, encoding)
    text = _decoded(path, head, whole, encoding)
    tabs = path.name.lower().removesuffix(".gz").endswith((".tsv", ".tab"))
    separator = separator or ("\t" if tabs and "\t" in text else _separator(text, whole))
    quoted = _quoted(text, separator, whole)
    first = next(iter(_records(text, separator, quoted)), [])
    names = first if header else [f"column {i + 1}" for i in range(len(first))]
    return Layout(_checked_names(names, path), separator, quoted, header, encoding)


def _head(path: Path) -> tuple[bytes, bool]:
    """The first bytes, up to a line's end, and whether they are the whole file."""
    try:
        with open_bytes(path) as file:
            head = file.read(SAMPLE)
            whole = not file.read(1)
    except BROKEN_FILE as error:
        raise DataError(f"{path} can't be read: {reason(error)}.") from error
    return head, whole


def _encoding(head: bytes, encoding: str | None) -> str:
    if encoding is not None:
        try:
            return "".encode(encoding).decode("ascii", "ignore") or encoding
        except LookupError:
            raise ParameterError(
                f"encoding={encoding!r} is not known; usual ones are 'utf-8', 'latin-1', 'cp1252'."
            ) from None
    return next((name for bom, name in BOMS.items() if head.startswith(bom)), "utf-8")


def _decoded(path: Path, head: bytes, whole: bool, encoding: str) -> str:
    try:
        text = head.decode(encoding)
    except UnicodeDecodeError as error:
        if whole or error.start < len(head) - 8:
            raise not_text(path, encoding) from error
        text = head[: error.start].decode(encoding)
    text = text.removeprefix("\ufeff")
    cut = max(text.rfind("\n"), text.rfind("\r"))
    return text if whole or cut < 0 else text[: cut + 1]


def _records(text: str, separator: str, quoted: bool, most: int = 500) -> list[list[str]]:
    reader = csv_reader(io.StringIO(text, newline=""), separator, quoted)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) == most:
                break
    except csv.Error:  # a field beyond csv's limit, or a stray carriage return: Arrow will say more
        pass
    return rows


def _separator(text: str, whole: bool) -> str:
    best, best_score = ",", 0.0
    for candidate in SEPARATORS:
        rows = _records(text, candidate, True)
        rows = rows if whole or len(rows) < 2 else rows[:-1]
        if not rows or len(rows[0]) < 2:
            continue
        same = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        if same > best_score + 1e-9:
            best, best_score = candidate, same
    return best


def _quoted(text: str, separator: str, whole: bool) -> bool:
    """Whether double quotes enclose fields. In tab-separated files they are often plain characters."""
    if separator != "\t" or '"' not in text:
        return True
    as_quotes, as_characters = (_ragged_share(text, separator, quoted, whole) for quoted in (True, False))
    if as_quotes != as_characters:
        return as_quotes < as_characters
    return _strictly_quoted(text, separator, whole)


def _ragged_share(text: str, separator: str, quoted: bool, whole: bool) -> float:
    rows = _records(text, separator, quoted, most=100_000)
    rows = rows if whole or len(rows) < 2 else rows[:-1]
    return sum(len(row) != len(rows[0]) for row in rows) / max(1, len(rows))


def _strictly_quoted(text: str, separator: str, whole: bool) -> bool:
    """Whether every quotation mark that opens a field has its partner at the field's end."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for _ in reader:
            pass
    except csv.Error as error:
        return not whole and "unexpected end" in str(error)
    return True


def _checked_names(names: list[str], path: Path) -> list[str]:
    names = [name.strip() or f"unnamed {i + 1}" for i, name in enumerate(names)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        places = ", ".join(str(i + 1) for i, name in enumerate(names) if name == twice[0])
        raise DataError(
            f"{path} has more than one column named '{twice[0]}' (columns {places}); every column needs a name of "
            f"its own. "
            "Rename one in the header line."
        )
    return names
