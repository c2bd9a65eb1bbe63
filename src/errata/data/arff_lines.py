"""ARFF line by line: the attributes a file declares, and its rows as texts, with the number of each line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errata.data.delimited_rows import open_bytes
from errata.data.told import BROKEN_FILE, reason
from errata.errors import DataError

__all__ = ["ENTRY", "TOKEN", "Attribute", "Header", "Row", "number_of", "open_arff", "place_of"]

NUMBERS = ("numeric", "real", "integer")
_ATTRIBUTE = re.compile(r"@attribute\s+('(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|[^\s{]+(?=\s*\{)|\S+)\s*(.+)$", re.I)
TOKEN = re.compile(r"\s*('(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|[^,'\"][^,]*?|)\s*(?:(,)|$)")
ENTRY = re.compile(r"\s*(\d+)\s+('(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|[^,'\"\s][^,]*?)\s*(?:,|$)")
_WEIGHT = re.compile(r",\s*\{[^{},]*\}\s*$")
_ESCAPED = re.compile(r"\\(.)")

Row = tuple[int, "list[str | None] | dict[int, str | None]"]
"""The number of a line, and its values: by place, or of a sparse row the written ones only; None where missing."""


@dataclass(frozen=True)
class Attribute:
    """A column as the header declares it.

    Parameters
    ----------
    name : without quotes
    kind : "numeric", "nominal", "string" or "date"
    values : of a nominal one, in the order declared
    line : where it stands in the file, from 1
    """

    name: str
    kind: str
    values: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Header:
    """What stands before ``@data``.

    Parameters
    ----------
    relation : the name of the data set; MEKA keeps its options in it
    attributes : the columns
    source : the file's path, for messages
    """

    relation: str
    attributes: tuple[Attribute, ...]
    source: str


def open_arff(path: str | Path) -> tuple[Header, Iterator[Row]]:
    """Read the header now, and the rows one by one while they are asked for; the file is never held as a whole.

    Raises
    ------
    DataError
        where there is no such file, it is damaged, or a line is not ARFF; with the number of the line
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"There is no file {file}; expected an ARFF file (.arff or .arff.gz).")
    lines = _lines(file)
    header = _header(lines, str(file))
    return header, _rows(lines, header)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is neither empty nor a comment."""
    number = 0
    try:
        with open_bytes(file) as stream:
            for number, raw in enumerate(stream, start=1):
                raw = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                try:
                    text = raw.decode("utf-8").strip()
                except UnicodeDecodeError:  # older files are in the encoding of their makers; Latin-1 loses nothing
                    text = raw.decode("latin-1").strip()
                if text and not text.startswith("%"):
                    yield number, text
    except BROKEN_FILE as error:
        raise DataError(f"{file} is damaged after line {number}: {reason(error)}. Fetch or pack it again.") from error


# -- the header -------------------------------------------------------------------------------------------------------


def _header(lines: Iterator[tuple[int, str]], source: str) -> Header:
    relation, number = "", 0
    attributes: list[Attribute] = []
    for number, text in lines:
        word = text.split(None, 1)[0].lower()
        if word == "@data":
            return _checked(Header(relation, tuple(attributes), source))
        if word == "@relation":
            relation = _unquoted(text[len(word) :].strip())
        elif word == "@attribute":
            attributes.append(_attribute(text, number, source))
        else:
            raise DataError(
                f"{source}, line {number}: expected @relation, @attribute or @data; found {text[:60]!r}. "
                "Is this an ARFF file?"
            )
    raise DataError(f"{source} has no line @data ({number} lines); expected the rows after it. Is this an ARFF file?")


def _attribute(text: str, number: int, source: str) -> Attribute:
    found = _ATTRIBUTE.match(text)
    if found is None:
        raise DataError(f"{source}, line {number}: expected '@attribute NAME KIND'; found {text[:60]!r}.")
    name, rest = _unquoted(found[1]), found[2].strip()
    if rest.startswith("{"):
        if not rest.endswith("}"):
            raise DataError(f"{source}, line {number}: the values of '{name}' begin with '{{' and never end with '}}'.")
        values = tuple(value or "" for value in _split(rest[1:-1], number, source))
        return Attribute(name, "nominal", values, number)
    kind = rest.split(None, 1)[0].lower()
    if kind in NUMBERS:
        return Attribute(name, "numeric", (), number)
    if kind in ("string", "date"):
        return Attribute(name, kind, (), number)
    raise DataError(
        f"{source}, line {number}: the attribute '{name}' is of the kind {rest[:40]!r}; expected numeric, real, "
        "integer, string, date, or the values of a nominal one in braces."
    )


def _checked(header: Header) -> Header:
    if not header.attributes:
        raise DataError(f"{header.source} declares no attribute before @data; expected one for each column.")
    seen: dict[str, int] = {}
    for attribute in header.attributes:
        if attribute.name in seen:
            raise DataError(
                f"{header.source}, line {attribute.line}: the attribute '{attribute.name}' was declared in line "
                f"{seen[attribute.name]} already. Give each column a name of its own."
            )
        seen[attribute.name] = attribute.line
    return header


# -- the rows ---------------------------------------------------------------------------------------------------------


def _rows(lines: Iterator[tuple[int, str]], header: Header) -> Iterator[Row]:
    width = len(header.attributes)
    for number, text in lines:
        if text.startswith("{"):
            yield number, _sparse(text, number, width, header.source)
            continue
        if text.endswith("}"):
            text = _WEIGHT.sub("", text)  # Weka's weight of a row
        if "'" in text or '"' in text:
            values = _split(text, number, header.source)
        else:
            plain = text.split(",") if "," in text or width == 1 else text.split()
            values = [None if (v := value.strip()) == "?" else v for value in plain]
        if len(values) != width:
            raise DataError(
                f"{header.source}, line {number}: expected {width} values, one for each attribute; found {len(values)}."
            )
        yield number, values


def _sparse(text: str, number: int, width: int, source: str) -> dict[int, str | None]:
    text = _WEIGHT.sub("", text) if text.count("{") > 1 else text
    if not text.endswith("}"):
        raise DataError(f"{source}, line {number}: a sparse row begins with '{{' and never ends with '}}'.")
    inner = text[1:-1].strip()
    found: dict[int, str | None] = {}
    if "'" not in inner and '"' not in inner:
        entries = [entry.split(None, 1) for entry in inner.split(",")] if inner else []
        if all(len(entry) == 2 and entry[0].isdecimal() for entry in entries):
            found = {int(place): None if (v := value.strip()) == "?" else v for place, value in entries}
            return _inside(found, len(entries), number, width, source)
    start, count = 0, 0
    while start < len(inner):
        entry = ENTRY.match(inner, start)
        if entry is None:
            raise DataError(
                f"{source}, line {number}: expected 'place value' between commas in a sparse row; found "
                f"{inner[start : start + 40]!r}."
            )
        found[int(entry[1])] = None if entry[2] == "?" else _unquoted(entry[2])
        start, count = entry.end(), count + 1
    return _inside(found, count, number, width, source)


def _inside(found: dict[int, str | None], count: int, number: int, width: int, source: str) -> dict[int, str | None]:
    if len(found) < count:
        raise DataError(f"{source}, line {number}: a place stands twice in a sparse row.")
    if found and max(found) >= width:
        raise DataError(
            f"{source}, line {number}: the place {max(found)} in a sparse row lies beyond the {width} attributes, "
            "which are counted from 0."
        )
    return found


def _split(text: str, number: int, source: str) -> list[str | None]:
    """The values between the commas, quotes respected."""
    values: list[str | None] = []
    start = 0
    while True:
        found = TOKEN.match(text, start)
        if found is None:
            raise DataError(f"{source}, line {number}: a quoted value never ends, near {text[start : start + 40]!r}.")
        values.append(None if found[1] == "?" else _unquoted(found[1]))
        start = found.end()
        if found[2] is None:
            return values


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return _ESCAPED.sub(lambda found: found[1], text[1:-1])
    return text


def number_of(text: str, attribute: Attribute, line: int, source: str) -> float:
    """A value of a numeric attribute.

    Raises
    ------
    DataError
        where it is none, or infinite
    """
    try:
        value = float(text)
    except ValueError:
        value = float("inf")
    if value in (float("inf"), float("-inf")):
        raise DataError(
            f"{source}, line {line}: expected a finite number for the attribute '{attribute.name}' (or ? where it is "
            f"missing); found {text[:40]!r}."
        )
    return value


def place_of(text: str, attribute: Attribute, places: dict[str, Any], line: int, source: str) -> Any:
    """What ``places`` has for a value of a nominal attribute.

    Raises
    ------
    DataError
        where the header does not declare it
    """
    if text not in places:
        known = ", ".join(attribute.values[:8]) + (", ..." if len(attribute.values) > 8 else "")
        raise DataError(
            f"{source}, line {line}: {text[:40]!r} is none of the values declared for '{attribute.name}' in line "
            f"{attribute.line}: {known}."
        )
    return places[text]
