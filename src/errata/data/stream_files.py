"""Files of tables as streams of rows: one row at a time, dictionaries from the columns' names to values."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from errata.data.delimited import sniff
from errata.data.delimited_rows import csv_reader, not_text, open_bytes
from errata.data.told import BROKEN_FILE, reason
from errata.errors import DataError

__all__ = ["StreamTable", "delimited_rows", "frame_rows", "json_rows", "parquet_rows"]

BATCH = 1024  # rows of a Parquet file that are taken at a time
_MISSING = {"", "?", "nan", "na", "null", "none"}


@dataclass(frozen=True, eq=False)
class StreamTable:
    """Numbered rows that are read again whenever they are asked for.

    Parameters
    ----------
    source : what it is, for messages
    rows : begins at the first row; each with its number, by which the source's own tools find it
    names : of the columns; None where they are met with on the way
    length : how many rows there are, where that is known
    """

    source: str
    rows: Callable[[], Iterator[tuple[int, dict[str, Any]]]]
    names: Sequence[str] | None = None
    length: int | None = None


def frame_rows(frame: Any) -> StreamTable:
    """The rows of a DataFrame."""
    names = [str(column) for column in frame.columns]

    def rows() -> Iterator[tuple[int, dict[str, Any]]]:
        for number, values in enumerate(frame.itertuples(index=False, name=None)):
            yield number, dict(zip(names, values, strict=True))

    return StreamTable("the table", rows, names, len(frame))


def delimited_rows(path: Path, separator: str | None, encoding: str | None, header: bool) -> StreamTable:
    """The rows of a .csv or .tsv, numbered by line."""
    layout = sniff(path, separator=separator, encoding=encoding, header=header)
    names = layout.names

    def rows() -> Iterator[tuple[int, dict[str, Any]]]:
        reader: Any = None
        try:
            with open_bytes(path) as stream:
                text = (line.decode(layout.encoding) for line in stream)
                if layout.encoding.startswith("utf-16"):
                    raise DataError(f"{path} is UTF-16, which can't be read line by line. Save it as UTF-8.")
                reader = csv_reader(_without_mark(text), layout.separator, layout.quoted)
                for values in islice(reader, 1 if header else 0, None):
                    if len(values) != len(names):
                        if not values:
                            continue
                        raise DataError(
                            f"{path}, line {reader.line_num}: expected {len(names)} fields, as in the header; found "
                            f"{len(values)}."
                        )
                    yield reader.line_num, {name: _value(text) for name, text in zip(names, values, strict=True)}
        except UnicodeDecodeError as error:
            raise not_text(path, layout.encoding) from error
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}. Is a quotation mark left open?") from error
        except BROKEN_FILE as error:
            raise DataError(f"{path} is damaged: {reason(error)}. Fetch or pack it again.") from error

    return StreamTable(str(path), rows, names)


def _without_mark(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line.removeprefix("\ufeff")
        break
    yield from lines


def _value(text: str) -> Any:
    """A number, None where nothing is there, or the text itself.

    Examples
    --------
    >>> _value("1.5"), _value("?"), _value("red")
    (1.5, None, 'red')
    """
    try:
        number = float(text)
    except ValueError:
        return None if text.strip().lower() in _MISSING else text
    return number if math.isfinite(number) else None


def json_rows(path: Path) -> StreamTable:
    """The objects of a .jsonl, numbered by line."""
    return StreamTable(str(path), lambda: _json_rows(path))


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        with open_bytes(path) as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise DataError(f"{path}, line {number}: this is no JSON ({error}). Expected an object.") from error
                if not isinstance(row, dict):
                    raise DataError(f"{path}, line {number}: expected an object per line; found {str(row)[:40]}.")
                yield number, row
    except BROKEN_FILE as error:
        raise DataError(f"{path} is damaged after line {number}: {reason(error)}. Fetch or pack it again.") from error


def parquet_rows(path: Path) -> StreamTable:
    """The rows of a Parquet file, a batch at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged or not a Parquet file: {error}.") from error

    def rows() -> Iterator[tuple[int, dict[str, Any]]]:
        number = 0
        for batch in pq.ParquetFile(path).iter_batches(batch_size=BATCH):
            for row in batch.to_pylist():
                yield number, row
                number += 1

    return StreamTable(str(path), rows, list(file.schema_arrow.names), file.metadata.num_rows)
