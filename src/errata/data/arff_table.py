"""An ARFF file as a table, for everything that takes tables: texts and categories stay what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from errata.data.arff_lines import Attribute, Row, number_of, open_arff, place_of
from errata.data.content import Content
from errata.errors import DataError

__all__ = ["read_arff_table"]


def read_arff_table(path: Path) -> Content:
    """Read an ARFF file's attributes as columns: numbers, categories (whole numbers where they are 0 and 1), texts.

    Raises
    ------
    DataError
        where the file can't be read or a value is not what its attribute declares; with the number of the line
    """
    import pyarrow as pa

    header, rows = open_arff(path)
    columns = [_Column(attribute, str(path)) for attribute in header.attributes]
    count = 0
    for count, row in enumerate(rows, start=1):
        _take(columns, row, count - 1)
    if not count:
        raise DataError(f"{path} has no row after @data; expected at least one.")
    table = pa.table({column.attribute.name: column.values(count) for column in columns})
    return Content(table, str(path), "ARFF", path.parent)


def _take(columns: list[_Column], row: Row, place: int) -> None:
    line, values = row
    pairs = values.items() if isinstance(values, dict) else enumerate(values)
    for i, text in pairs:
        columns[i].put(text, place, line)


class _Column:
    """One attribute's values; rows that do not write it are sparse ones, and hold 0, or the first of its values."""

    def __init__(self, attribute: Attribute, source: str) -> None:
        self.attribute, self.source = attribute, source
        self.codes = {value: i for i, value in enumerate(attribute.values)}
        self.rows: list[int] = []
        self.told: list[Any] = []

    def put(self, text: str | None, place: int, line: int) -> None:
        kind = self.attribute.kind
        value: Any = text
        if kind == "numeric":
            value = np.nan if text is None else number_of(text, self.attribute, line, self.source)
        elif kind == "nominal":
            value = -1 if text is None else place_of(text, self.attribute, self.codes, line, self.source)
        self.rows.append(place)
        self.told.append(value)

    def values(self, count: int) -> Any:
        """As an Arrow array over all rows."""
        import pyarrow as pa

        kind = self.attribute.kind
        if kind in ("string", "date"):
            texts = np.full(count, "", dtype=object)
            texts[self.rows] = self.told
            return pa.array(texts, pa.string())
        whole: Any = np.zeros(count, dtype=np.float64 if kind == "numeric" else np.int32)
        whole[self.rows] = self.told
        if kind == "numeric":
            return pa.array(whole, mask=np.isnan(whole))
        missing = whole < 0
        if set(self.attribute.values) <= {"0", "1"}:
            numbers = np.array([int(value) for value in self.attribute.values], dtype=np.int8)
            return pa.array(numbers[np.maximum(whole, 0)], mask=missing)
        codes = pa.array(np.maximum(whole, 0), mask=missing)
        return pa.DictionaryArray.from_arrays(codes, pa.array(self.attribute.values, pa.string()))
