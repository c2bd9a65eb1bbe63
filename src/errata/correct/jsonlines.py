"""Correcting .jsonl files: only the label's value in a changed line becomes other bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.correct.plan import DROP
from errata.correct.source import Difference, Order, Source, labels_in
from errata.correct.streams import writing
from errata.data.content import choose_label
from errata.data.delimited_rows import open_bytes
from errata.data.tables import read_jsonl
from errata.errors import DataError
from errata.labels import ClassLabels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DECODER", "JsonLines", "skip", "spans"]

DECODER = json.JSONDecoder()
_BLANK = " \t\r\n"
BOM = b"\xef\xbb\xbf"


class JsonLines(Source):
    """A file with a JSON object per line, plain or gzipped; parameters as of ``Delimited``."""

    endings = (".jsonl", ".ndjson")

    def __init__(self, path: Path, label: str | None, reading: Mapping[str, Any], known: list[Any]) -> None:
        self.classes = reading.get("classes")
        name = label if label is not None else choose_label(_names(path), None, str(path)) or ""
        codes, values, texts = _scan(path, name)
        self.styles = {type(value) for value in values}
        labels = labels_in(_column(codes, values), name, self.classes, None, known)
        super().__init__(path, name, labels, _spelled(codes, texts, labels))

    def spell(self, name: Any) -> str:
        if self.styles == {str}:
            return json.dumps(str(name), ensure_ascii=False)
        if self.styles == {float} and isinstance(name, int):
            return json.dumps(float(name))
        return json.dumps(name, ensure_ascii=False)

    def frame(self) -> pd.DataFrame:
        return read_jsonl(self.path).table.to_pandas()

    def read_back(self, out: Path, classes: list[Any]) -> None:
        """Not needed: every line that changes is read again while it is written, all others are copied."""

    def write(self, order: Order, out: Path | None) -> None:
        changes = dict(zip(order.edits.rows.tolist(), order.edits.codes.tolist()))
        rows = 0
        with writing(out) as write:
            for row, number, line in _lines(self.path):
                rows += row >= 0
                if row < 0:
                    write(line)
                    continue
                code = changes.get(row)
                new = line if code is None else None if code == DROP else self._relabelled(line, order.classes[code])
                if code is not None and order.differences is not None:
                    after = None if new is None else _shown(new)
                    order.differences.append(Difference(row, number, _shown(line), after, line.endswith(b"\n")))
                if new is not None:
                    write(new if order.soft is None else self._softened(new, row, order))
        if rows != len(self.labels):
            raise DataError(f"{self.name} was changed while it was read: {len(self.labels):,} rows, then {rows:,}.")

    def _relabelled(self, line: bytes, name: Any) -> bytes:
        raw = self.raw(name)
        new = _with_value(line.decode("utf-8"), self.label, raw).encode("utf-8")
        expected = {**_object(line, 1, self.path), self.label: json.loads(raw)}
        if json.dumps(_object(new, 1, self.path)) != json.dumps(expected):
            raise DataError(
                f"{self.name}: the line {_shown(line)[:80]!r} can't be changed in place. Write the file anew."
            )
        return new

    def _softened(self, line: bytes, row: int, order: Order) -> bytes:
        text = line.decode("utf-8")
        replaces = order.check_names(list(spans(text)), self.name)
        values = order.probabilities(np.array([row]))[0].tolist()
        for name, value in zip(order.soft_names, values):
            if value == value:
                text = _with_value(text, name, f"{value:.6g}")
            elif replaces:
                text = _with_value(text, name, "null")
        return text.encode("utf-8")


def spans(text: str) -> dict[str, tuple[int, int]]:
    """Where the value of each name of a JSON object begins and ends.

    Examples
    --------
    >>> spans('{"a": [1, {"b": 2}], "c": "d"}')
    {'a': (6, 19), 'c': (26, 29)}
    """
    found = {}
    at = skip(text, text.index("{") + 1)
    while text[at] != "}":
        name, at = DECODER.raw_decode(text, at)
        at = skip(text, skip(text, at) + 1)
        _, end = DECODER.raw_decode(text, at)
        found[name] = (at, end)
        at = skip(text, end)
        if text[at] == ",":
            at = skip(text, at + 1)
    return found


def skip(text: str, at: int) -> int:
    """The next place that is no blank."""
    while text[at] in _BLANK:
        at += 1
    return at


def _with_value(text: str, name: str, value: str) -> str:
    """The line with a value replaced, or put behind the others."""
    places = spans(text)
    if name in places:
        start, end = places[name]
        return text[:start] + value + text[end:]
    last = max((end for _, end in places.values()), default=text.index("{") + 1)
    comma = ", " if places else ""
    return f"{text[:last]}{comma}{json.dumps(name, ensure_ascii=False)}: {value}{text[last:]}"


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "replace").removesuffix("\n")


# -- reading ----------------------------------------------------------------------------------------------------------


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(row, line's number from 1, bytes); row -1 for lines that are empty."""
    row = -1
    try:
        with open_bytes(path) as file:
            for number, line in enumerate(file, start=1):
                if line.isspace() or line.strip() == BOM:
                    yield -1, number, line
                    continue
                row += 1
                yield row, number, line
    except (OSError, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}. Fetch or pack it again.") from error


def _object(line: bytes, number: int, path: Path) -> dict[str, Any]:
    try:
        text = line.decode("utf-8").removeprefix("\ufeff") if number == 1 else line.decode("utf-8")
        if text[0] == "{":
            value, end = DECODER.raw_decode(text)  # without the search for blanks that json.loads makes
            if end == len(text) - 1 or not text[end:].strip():
                return value
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number}: expected a JSON object ({error}). Mend the line.") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}, line {number}: expected a JSON object, found a {type(value).__name__}.")
    return value


def _names(path: Path) -> list[str]:
    """The names that occur, in the order of their first appearance."""
    names: dict[str, None] = {}
    for row, number, line in _lines(path):
        if row >= 0:
            names |= dict.fromkeys(_object(line, number, path))
    return list(names)


def _scan(path: Path, name: str) -> tuple[np.ndarray, list[Any], list[str]]:
    """(N,) the number of each row's value, -1 for none; the distinct values; how each is written where it is first."""
    seen: dict[tuple[type, Any], int] = {}
    values: list[Any] = []
    texts: list[str] = []
    codes: list[int] = []
    there = False
    for row, number, line in _lines(path):
        if row < 0:
            continue
        record = _object(line, number, path)
        value = record.get(name)
        if value is None:
            there = there or name in record
            codes.append(-1)
            continue
        key = (type(value), value if isinstance(value, (str, int, float)) else json.dumps(value))
        code = seen.get(key)
        if code is None:
            code = seen[key] = len(values)
            values.append(value)
            text = line.decode("utf-8")
            start, end = spans(text)[name]
            texts.append(text[start:end])
        codes.append(code)
    if not values and not there:
        choose_label(_names(path), name, str(path))  # says what there is
    return np.array(codes, dtype=np.int64), values, texts


def _column(codes: np.ndarray, values: list[Any]) -> Any:
    """The values of all rows as a column, of the type that ``errata.read`` gives it."""
    import pyarrow as pa

    kinds = {type(value) for value in values}
    if kinds <= {bool} and kinds:
        distinct = pa.array(values, pa.bool_())
    elif kinds <= {int, float}:
        try:
            distinct = pa.array(values, pa.float64() if float in kinds else pa.int64())
        except (OverflowError, pa.ArrowException):  # whole numbers beyond 64 bits are names, not numbers
            distinct = pa.array([json.dumps(value) for value in values])
    else:
        words = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
        distinct = pa.array(words, pa.string())
    places = pa.array(codes, mask=codes < 0)
    return pa.chunked_array([distinct.take(places)])


def _spelled(codes: np.ndarray, texts: list[str], labels: ClassLabels) -> dict[int, str]:
    """Class codes to the JSON text that most of the class's rows have."""
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    classes = np.full(len(texts), -1, dtype=np.int64)
    classes[codes[codes >= 0]] = labels.codes[codes >= 0]
    order = np.argsort(-counts, kind="stable")[::-1]  # the most frequent last, of these the one that comes first
    return {int(classes[place]): texts[place] for place in order if classes[place] >= 0}
