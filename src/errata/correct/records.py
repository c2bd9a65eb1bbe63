"""Where the records of a delimited text begin and end, byte for byte.

The rules are those of the reader in ``errata.data`` (Arrow's): a quotation mark counts only where a field begins, empty
lines are no records, and lines end with LF, CR or CRLF.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

import numpy as np

__all__ = ["Bounds", "bounds", "fields"]

LF, CR, QUOTE = 10, 13, 34


class Bounds(NamedTuple):
    """The records of a piece of text.

    Parameters
    ----------
    starts, stops : (n,) int64, where each begins, and where it ends before the line's end
    ends : (n,) int64, behind the line's end
    """

    starts: np.ndarray
    stops: np.ndarray
    ends: np.ndarray


def bounds(text: bytes, separator: bytes, *, quoted: bool, final: bool) -> Bounds:
    """Find the whole records of ``text``, which begins with one.

    Parameters
    ----------
    text : bytes in which separators, quotation marks and line ends are single bytes
    separator : one byte
    quoted : whether quotation marks enclose fields
    final : whether the text ends here; else the last record is taken to be incomplete where its line's end is missing

    Examples
    --------
    >>> found = bounds(b'a,"b\\nc"\\n\\nd,e', b",", quoted=True, final=True)
    >>> found.starts, found.ends
    (array([0, 9]), array([ 8, 12]))
    """
    data = np.frombuffer(text, dtype=np.uint8)
    quotes = np.flatnonzero(data == QUOTE) if quoted and b'"' in text else np.zeros(0, dtype=np.int64)
    if len(quotes) and not _plain(data, quotes, separator):
        return _one_by_one(text, separator, final)
    breaks = np.flatnonzero((data == LF) | (data == CR)) if b"\r" in text else np.flatnonzero(data == LF)
    if len(quotes):
        breaks = breaks[np.searchsorted(quotes, breaks) % 2 == 0]
    if not final and len(breaks) and breaks[-1] == len(data) - 1 and data[-1] == CR:
        breaks = breaks[:-1]  # its LF may come with the next piece
    starts, stops = np.concatenate([[0], breaks + 1]), np.concatenate([breaks, [len(data)]])
    if not final:
        starts, stops = starts[:-1], stops[:-1]
    some = starts < stops
    starts, stops = starts[some], stops[some]
    return Bounds(starts, stops, _ends(data, stops))


def _ends(data: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Behind the line's end: two bytes for CRLF, one for LF or CR, none at the end of the text."""
    padded = np.concatenate([data, np.zeros(2, dtype=np.uint8)])
    ends = np.minimum(stops + 1, len(data))
    return ends + ((padded[stops] == CR) & (padded[stops + 1] == LF))


def _plain(data: np.ndarray, quotes: np.ndarray, separator: bytes) -> bool:
    """Whether every quotation mark that opens stands at a field's beginning, or behind another: then parity tells."""
    before = np.where(quotes[::2] == 0, LF, data[quotes[::2] - 1])
    return bool(np.isin(before, [separator[0], LF, CR, QUOTE]).all())


# -- quotation marks in the midst of fields: one record at a time -----------------------------------------------------


@functools.cache
def _field(separator: bytes) -> str:
    """One field. A mark that is never closed encloses the rest of the text."""
    stop = rf"{re.escape(separator.decode('latin-1'))}\r\n"
    return rf'(?:"[^"]*(?:""[^"]*)*(?:"(?!")[^{stop}]*|\Z)|[^"{stop}][^{stop}]*)?'


@functools.cache
def _patterns(separator: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    field, between = _field(separator), re.escape(separator.decode("latin-1"))
    record = rf"{field}(?:{between}{field})*(\r\n|\r|\n|\Z)"
    return re.compile(field.encode("latin-1")), re.compile(record.encode("latin-1"))


def _one_by_one(text: bytes, separator: bytes, final: bool) -> Bounds:
    _, record = _patterns(separator)
    starts, stops, ends = [], [], []
    at = 0
    while at < len(text):
        if text[at] in (LF, CR):
            at += 1
            continue
        found = record.match(text, at)
        if found is None:  # can't be: every text is some record
            break
        incomplete = found.end() == len(text) and found[1] in (b"", b"\r")
        if incomplete and not final:
            break
        starts.append(at)
        stops.append(found.start(1))
        ends.append(found.end())
        at = found.end()
    return Bounds(*(np.array(places, dtype=np.int64) for places in (starts, stops, ends)))


# -- the fields of one record -----------------------------------------------------------------------------------------


def fields(record: bytes, separator: bytes, *, quoted: bool) -> list[tuple[int, int]]:
    """Where each field of a record (without its line's end) begins and ends, quotation marks included.

    Examples
    --------
    >>> fields(b'a,"b,c",', b",", quoted=True)
    [(0, 1), (2, 7), (8, 8)]
    """
    found = []
    at = 0
    if quoted and b'"' in record:
        pattern, _ = _patterns(separator)
        while True:
            match = pattern.match(record, at)
            end = match.end() if match else len(record)
            found.append((at, end))
            if end >= len(record):
                return found
            at = end + 1
    for part in record.split(separator):
        found.append((at, at + len(part)))
        at += len(part) + 1
    return found
