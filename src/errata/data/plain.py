"""Tables without a meaning yet: all columns of a file or frame, for readers that know themselves what they look for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from errata.data.content import Content
from errata.data.delimited import read_delimited
from errata.data.kinds import undictionaried
from errata.data.tables import read_frame, read_jsonl, read_parquet
from errata.errors import DataError, ParameterError, UnknownNameError

__all__ = ["column_values", "read_plain"]

_READERS = {".parquet": read_parquet, ".pq": read_parquet, ".jsonl": read_jsonl, ".ndjson": read_jsonl}


def read_plain(source: Any) -> Content:
    """A table as it is: .csv, .tsv, .jsonl (also .gz), .parquet, a DataFrame, or a mapping of columns.

    Raises
    ------
    DataError
        where there is no such file, or it can't be read as a table

    Examples
    --------
    >>> read_plain({"item": [1, 2], "label": ["a", "b"]}).table.column_names
    ['item', 'label']
    """
    import pandas as pd

    if isinstance(source, (str, os.PathLike)):
        return _read_path(Path(source).expanduser())
    if hasattr(source, "to_pandas"):  # pyarrow, polars
        source = source.to_pandas()
    if not hasattr(source, "iloc"):
        try:
            source = pd.DataFrame(source)
        except (ValueError, TypeError) as error:
            raise ParameterError(f"Expected a table, or the path of one; got {type(source).__name__}.") from error
    return read_frame(source, "the table")


def _read_path(path: Path) -> Content:
    if not path.is_file():
        raise DataError(f"There is no file {path}; expected a table: .csv, .tsv, .jsonl (also .gz) or .parquet.")
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    if ending in (".csv", ".tsv", ".tab", ".txt"):
        return read_delimited(path)
    reader = _READERS.get(ending)
    if reader is None:
        raise DataError(f"{path}: expected a table named .csv, .tsv, .jsonl (also .gz) or .parquet.")
    return reader(path)


def column_values(content: Content, name: str, what: str = "column") -> np.ndarray:
    """(N,) a column's values; objects with None where missing, unless they are numbers that are all there.

    Raises
    ------
    UnknownNameError
        where there is no such column; the nearest is told

    Examples
    --------
    >>> column_values(read_plain({"item": ["x", None]}), "item")
    array(['x', None], dtype=object)
    """
    if name not in content.table.column_names:
        raise UnknownNameError(what, name, content.table.column_names, f"It is looked for in {content.source}.")
    column = undictionaried(content.table[name])
    if column.null_count == 0 and str(column.type) in ("int64", "int32", "int16", "int8", "double", "float", "bool"):
        return column.to_numpy()
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return values
