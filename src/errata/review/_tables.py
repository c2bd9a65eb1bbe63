"""Decisions as tables: pandas, CSV, Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errata.errors import ParameterError
from errata.storage import atomic

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENDINGS", "as_bytes", "frame", "write"]

COLUMNS = ("row", "action", "label", "reviewer", "when", "note")
ENDINGS = (".csv", ".parquet")


def frame(items: Iterable[Any], *, history: bool = False) -> pd.DataFrame:
    """A line per item; numbers stay numbers in ``row`` where all are."""
    import pandas as pd

    names = ("id", *COLUMNS, "undone") if history else COLUMNS
    lines = list(items)
    columns: dict[str, Any] = {name: [getattr(item, name) for item in lines] for name in names}
    rows = columns["row"]
    whole = all(isinstance(row, int) for row in rows)
    columns["row"] = pd.array(rows if whole else [str(row) for row in rows], dtype="int64" if whole else "object")
    return pd.DataFrame(columns, columns=list(names))


def as_bytes(items: Iterable[Any], ending: str, *, history: bool = False) -> bytes:
    """The table as the content of a file: UTF-8 CSV with a header, or Parquet.

    Raises
    ------
    ParameterError
        where the ending is neither
    """
    if ending not in ENDINGS:
        raise ParameterError(f"Decisions are written as {' or '.join(ENDINGS)}; got '{ending or 'no ending'}'.")
    table = frame(items, history=history)
    buffer = io.BytesIO()
    if ending == ".csv":
        table.to_csv(buffer, index=False)
    else:
        table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def write(items: Iterable[Any], path: Path, *, history: bool = False) -> Path:
    """Write the table to a file, whole or not at all."""
    content = as_bytes(items, path.suffix.lower(), history=history)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return path
