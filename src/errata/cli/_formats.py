"""Tables written in the format that a file's ending says; and copies of a table with one column's values changed."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from errata.errors import DataError, ParameterError
from errata.storage import atomic

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["COPIES", "copy_with_changes", "ending_of", "write_table"]


def ending_of(path: Path) -> str:
    """The format that a name tells, without ``.gz``.

    Examples
    --------
    >>> ending_of(Path("a.CSV.gz"))
    '.csv'
    """
    return Path(path.name.lower().removesuffix(".gz")).suffix


def write_table(table: pa.Table, out: Path) -> None:
    """Write a table as .csv, .tsv, .parquet or .jsonl, whole or not at all."""
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    kind = ending_of(out)
    with atomic(out) as temporary:
        if kind == ".parquet":
            pq.write_table(table, temporary)
        elif kind == ".jsonl":
            with open(temporary, "w", encoding="utf-8") as file:
                for batch in table.to_batches(max_chunksize=65_536):
                    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist())
        else:
            separator = "\t" if kind == ".tsv" else ","
            pacsv.write_csv(table, temporary, pacsv.WriteOptions(delimiter=separator, quoting_style="needed"))


def copy_with_changes(
    source: Path, out: Path, column: str, take: np.ndarray, originals: str, encoding: str | None = None
) -> None:
    """Copy a table; in row i ``column`` gets the value it has in row ``take[i]``, all else stays as it is.

    Taking values from other rows keeps their type and spelling, whatever the format.

    Parameters
    ----------
    source, out : .csv, .tsv, .parquet, .jsonl or .npz, both of the same format; the text formats also with .gz
    column : the column (of an .npz: the array) to change
    take : (N,) row numbers
    originals : the name of a further column that gets the unchanged values
    encoding : of .csv and .tsv; UTF-8 by default

    Raises
    ------
    DataError
        where the rows aren't N, or there is a column ``originals`` already
    """
    if ending_of(source) != ending_of(out):
        raise ParameterError(
            f"The copy has the format of its source: {source.name} can't become {out.name}. Let --out end in "
            f"{ending_of(source)}."
        )
    with atomic(out) as temporary:
        change = _Change(column, take, originals, zipped=out.name.lower().endswith(".gz"), encoding=encoding)
        COPIES[ending_of(source)](source, temporary, change)


class _Change:
    """What is changed, and the checks that all formats share."""

    def __init__(self, column: str, take: np.ndarray, originals: str, *, zipped: bool, encoding: str | None) -> None:
        self.column = column
        self.take = take
        self.originals = originals
        self.zipped = zipped
        self.encoding = encoding

    def check_names(self, names: Any, source: Path) -> None:
        if self.originals in names:
            raise DataError(
                f"{source} has a column '{self.originals}' already; give the one for the original labels another name, "
                "with --true-column."
            )

    def check_rows(self, rows: int, source: Path) -> None:
        if rows != len(self.take):
            raise DataError(f"{source} changed while it was read: it had {len(self.take):,} rows, now it has {rows:,}.")

    def values(self, column: Iterator[Any]) -> dict[int, Any]:
        """The values that changed rows take, by the row they stand in; only as much is read as needed."""
        import numpy as np

        wanted = set(self.take[self.take != np.arange(len(self.take))].tolist())
        found: dict[int, Any] = {}
        last = max(wanted, default=-1)
        for row, value in enumerate(column):
            if row > last:
                break
            if row in wanted:
                found[row] = value
        return found

    def of_row(self, row: int, own: Any, values: dict[int, Any]) -> Any:
        if row >= len(self.take):
            return own  # too many rows: told when they are counted
        other = int(self.take[row])
        return own if other == row else values[other]


def _copy_parquet(source: Path, out: Path, change: _Change) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(source)
    change.check_names(table.column_names, source)
    change.check_rows(table.num_rows, source)
    place = table.column_names.index(change.column)
    field, own = table.schema.field(place), table.column(place)
    table = table.set_column(place, field, own.take(pa.array(change.take)))
    table = table.add_column(place + 1, field.with_name(change.originals), own)
    pq.write_table(table, out, compression="zstd")


def _copy_npz(source: Path, out: Path, change: _Change) -> None:
    import numpy as np

    with np.load(source, allow_pickle=False) as arrays:
        change.check_names(arrays.files, source)
        content = {name: arrays[name] for name in arrays.files}
    own = content[change.column]
    change.check_rows(len(own), source)
    content[change.column], content[change.originals] = own[change.take], own
    with open(out, "wb") as file:
        np.savez_compressed(file, **content)


def _copy_jsonl(source: Path, out: Path, change: _Change) -> None:
    def records() -> Iterator[dict[str, Any]]:
        with _reading(source, "utf-8-sig") as file:
            for line in file:
                if line.strip():
                    yield json.loads(line)

    values = change.values(record.get(change.column) for record in records())
    row = -1
    with _writing(out, "utf-8", change.zipped) as file:
        for row, record in enumerate(records()):
            change.check_names(record, source)
            own = record.get(change.column)
            new = {**record, change.column: change.of_row(row, own, values), change.originals: own}
            file.write(json.dumps(new, ensure_ascii=False) + "\n")
    change.check_rows(row + 1, source)


def _copy_delimited(source: Path, out: Path, change: _Change) -> None:
    from errata.data.delimited import sniff

    layout = sniff(source, encoding=change.encoding)
    change.check_names(layout.names, source)
    place = layout.names.index(change.column)
    manner: dict[str, Any] = {"delimiter": layout.separator, "lineterminator": "\n"}
    if not layout.quoted:
        manner |= {"quoting": csv.QUOTE_NONE, "quotechar": None}

    def records() -> Iterator[list[str]]:
        with _reading(source, "utf-8-sig" if layout.encoding == "utf-8" else layout.encoding) as file:
            rows = (row for row in csv.reader(file, **manner) if row)
            next(rows)
            yield from rows

    csv.field_size_limit(1 << 30)  # a text may be longer than Python's cautious 128 KiB
    values = change.values(record[place] for record in records())
    row = -1
    with _writing(out, layout.encoding, change.zipped) as file:
        writer = csv.writer(file, **manner)
        writer.writerow([*layout.names, change.originals])
        for row, record in enumerate(records()):
            own = record[place]
            writer.writerow([*record[:place], change.of_row(row, own, values), *record[place + 1 :], own])
    change.check_rows(row + 1, source)


COPIES: dict[str, Callable[[Path, Path, _Change], None]] = {
    ".csv": _copy_delimited,
    ".tsv": _copy_delimited,
    ".parquet": _copy_parquet,
    ".jsonl": _copy_jsonl,
    ".npz": _copy_npz,
}
"""How a table of each format is copied."""


@contextmanager
def _reading(path: Path, encoding: str) -> Iterator[IO[str]]:
    with open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        binary: Any = gzip.GzipFile(fileobj=raw) if zipped else raw
        yield io.TextIOWrapper(binary, encoding=encoding, newline="")


@contextmanager
def _writing(path: Path, encoding: str, zipped: bool) -> Iterator[IO[str]]:
    if zipped:
        with gzip.open(path, "wt", encoding=encoding, newline="") as file:
            yield file
    else:
        with open(path, "w", encoding=encoding, newline="") as file:
            yield file
