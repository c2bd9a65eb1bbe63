"""Small tables as plain columns, whatever they come as."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from errata.errors import DataError

__all__ = ["Columns", "columns_of", "is_nothing"]

Columns = dict[str, list[Any]]
"""A list of values per column, all of one length."""

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")
_TUPLE = ("row", "action", "label")


def columns_of(source: Any) -> Columns:
    """A table's columns as lists.

    Parameters
    ----------
    source : a DataFrame (without a column "row", its index becomes that column), a mapping of columns, a list of dicts
        or of tuples (row, action, label), or a path to .csv, .tsv (also .gz), .jsonl or .parquet

    Raises
    ------
    DataError
        where it is none of these

    Examples
    --------
    >>> columns_of([{"row": 1, "action": "drop"}, (2, "relabel", "cat")])
    {'row': [1, 2], 'action': ['drop', 'relabel'], 'label': [None, 'cat']}
    """
    if isinstance(source, (str, os.PathLike)):
        return _of_file(Path(source))
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        columns = {str(name): source[name].tolist() for name in source.columns}
        return columns if "row" in columns else {"row": source.index.tolist(), **columns}
    if isinstance(source, Mapping):
        columns = {str(name): list(values) for name, values in source.items()}
        if len({len(values) for values in columns.values()}) > 1:
            raise DataError("The columns of the decisions have different lengths; expected one entry per decision.")
        return columns
    if isinstance(source, (list, tuple)):
        return _of_rows(source)
    raise DataError(
        f"Expected decisions as a DataFrame, a list of dicts, a file ({', '.join(ENDINGS)}) or a review's record; got "
        f"{type(source).__name__}."
    )


def _of_rows(rows: Any) -> Columns:
    dicts = [row if isinstance(row, Mapping) else _of_tuple(row) for row in rows]
    names = list(dict.fromkeys(name for row in dicts for name in row))
    columns = {str(name): [row.get(name) for row in dicts] for name in names}
    return columns or {name: [] for name in _TUPLE}


def _of_tuple(row: Any) -> dict[str, Any]:
    if not isinstance(row, (tuple, list)) or not 2 <= len(row) <= len(_TUPLE):
        raise DataError(f"Expected decisions as dicts or as (row, action, label); got {row!r}.")
    return dict(zip(_TUPLE, row))


def _of_file(path: Path) -> Columns:
    from errata.data.delimited import read_delimited
    from errata.data.tables import read_jsonl, read_parquet

    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    if ending not in ENDINGS:
        raise DataError(f"{path}: decisions are read from {', '.join(ENDINGS)}, or a review's decisions.sqlite.")
    if ending in (".csv", ".tsv"):
        content = read_delimited(path, choose=_with_words)
    else:
        content = read_jsonl(path) if ending == ".jsonl" else read_parquet(path)
    return {name: content.table[name].to_pylist() for name in content.table.column_names}


def _with_words(names: list[str]) -> tuple[str | None, list[str]]:
    """The column whose words are kept as they are: "007" and "1.0" may be classes."""
    return next((name for name in names if name.strip().lower() in ("label", "new_label")), None), names


def is_nothing(value: Any) -> bool:
    """Whether a value is None, NaN or the like.

    Examples
    --------
    >>> is_nothing(float("nan")), is_nothing(""), is_nothing(0)
    (True, False, False)
    """
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA can't be compared, an array can't be judged
        return type(value).__name__ == "NAType"
