"""Parquet files cut into shards: runs of row groups that fit into memory, wherever the files lie."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.errors import DataError, UnknownNameError
from errata.labels import MISSING

if TYPE_CHECKING:
    from errata.data import Data

__all__ = ["Columns", "Shard", "columns_of", "cut", "find_files", "read_rows"]

SHARD_ROWS = 1_000_000
"""Rows per shard at most, unless one row group has more."""

MOST_SHOWN = 1_000_000
"""Rows up to which what they hold is read at once, for a review or a queue."""


@dataclass(frozen=True)
class Columns:
    """Which columns hold what.

    Parameters
    ----------
    label : the label's
    values : the probabilities' or the features': one list column, or a number column each
    classes : the class names in the order of the probabilities' columns
    """

    label: str
    values: tuple[str, ...]
    classes: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Shard:
    """Some row groups of one file.

    Parameters
    ----------
    number : place among the shards
    path : the file, a path or an address that pyarrow's file systems know (s3://, gs://)
    groups : numbers of the row groups
    start : number of its first row among all rows
    rows : how many it has
    """

    number: int
    path: str
    groups: tuple[int, ...]
    start: int
    rows: int

    def read(self, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
        """(n,) label codes, -1 where missing, and (n, D) float values."""
        table = self._table([columns.label, *columns.values])
        return _codes(table.column(columns.label), columns.classes, self), _matrix(table, columns.values, self)

    def labels(self, column: str) -> np.ndarray:
        """The distinct labels, as they are."""
        found = self._table([column]).column(column).unique().drop_null().to_pylist()
        return np.asarray(found, dtype=object)

    def _table(self, names: Sequence[str]) -> Any:
        with _open(self.path) as file:
            return file.read_row_groups(list(self.groups), columns=list(names), use_threads=False)


def find_files(source: str) -> list[str]:
    """The Parquet files that a path, folder, pattern or address names, sorted.

    Raises
    ------
    DataError
        where there are none
    """
    if "://" in source:
        found = _remote(source)
    elif os.path.isdir(source):
        found = glob.glob(os.path.join(source, "**", "*.parquet"), recursive=True)
    else:
        found = glob.glob(os.path.expanduser(source), recursive=True)
    if not found:
        raise DataError(
            f"{source} names no Parquet file. Give a file, a folder, or a pattern such as 'data/*.parquet'."
        )
    return sorted(found)


def cut(files: Sequence[str], *, most_rows: int = SHARD_ROWS) -> list[Shard]:
    """Cut files into shards of at most ``most_rows`` rows, in order; a row group is never divided."""
    shards: list[Shard] = []
    start = 0
    for path in files:
        with _open(path) as file:
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        groups: list[int] = []
        for number, size in enumerate(sizes):
            held = sum(sizes[i] for i in groups)
            if groups and held + size > most_rows:
                shards.append(Shard(len(shards), path, tuple(groups), start, held))
                start, groups = start + held, []
            groups.append(number)
        held = sum(sizes[i] for i in groups)
        if held:
            shards.append(Shard(len(shards), path, tuple(groups), start, held))
            start += held
    if not shards:
        raise DataError(f"{files[0]} and the others hold no rows.")
    return shards


def columns_of(path: str, label: str | None, values: str | Sequence[str] | None) -> Columns:
    """Find the label's column and those of the probabilities or features, as the first file has them.

    Parameters
    ----------
    path : a file
    label : its name; by default "label"
    values : a list column, names of number columns, or a pattern such as "p_*"; by default "pred_probs"
    """
    with _open(path) as file:
        names = file.schema_arrow.names
    wanted = [values or "pred_probs"] if values is None or isinstance(values, str) else list(values)
    chosen: list[str] = []
    for name in wanted:
        matching = [n for n in names if n == name] or [n for n in names if fnmatch.fnmatchcase(n, name)]
        if not matching:
            raise UnknownNameError("column", name, names, f"It is looked for in {path}.")
        chosen += matching
    name = label or "label"
    if name not in names:
        raise UnknownNameError("column", name, names, f"It is looked for in {path}.")
    return Columns(name, tuple(n for n in chosen if n != name))


def read_rows(about: Mapping[str, Any]) -> Data:
    """What the rows of an audit in shards hold besides their probabilities.

    Parameters
    ----------
    about : the ledger's ``meta``

    Raises
    ------
    DataError
        where the files are gone, are other ones, or hold too many rows to be read at once
    """
    import pyarrow as pa

    from errata.data import read

    rows, told = int(about["rows_in_all"]), about["shards"]
    if rows > MOST_SHOWN:
        raise DataError(
            f"{rows:,} rows in shards are too many to be read at once ({MOST_SHOWN:,} at most). Row numbers count the "
            "rows of all files, in the order of their names."
        )
    own, absolute = str(about["source"]), about.get("source_path")
    try:
        files = find_files(str(absolute or own))
    except DataError:
        files = find_files(own)
    parts = []
    for path in files:
        with _open(path) as file:
            names = [name for name in file.schema_arrow.names if name not in told["left_out"]]
            parts.append(file.read(columns=names))
    table = pa.concat_tables(parts, promote_options="permissive")
    if table.num_rows != rows:
        raise DataError(f"{own} has changed since the ledger was made: it has {table.num_rows:,} rows, not {rows:,}.")
    return read(table.to_pandas(), about["label"])


def _open(path: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if "://" in path:
            system, inner = pa.fs.FileSystem.from_uri(path)
            return pq.ParquetFile(system.open_input_file(inner))
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} can't be read as a Parquet file: {error}.") from error


def _remote(address: str) -> list[str]:
    from pyarrow import fs

    scheme = address.split("://", 1)[0]
    folder, _, pattern = address.rpartition("/")
    whole = address if not any(sign in pattern for sign in "*?[") else folder
    try:
        system, inner = fs.FileSystem.from_uri(whole)
        about = system.get_file_info(inner)
        if about.type == fs.FileType.File:
            return [address]
        inside = system.get_file_info(fs.FileSelector(inner, recursive=True))
    except (OSError, ValueError) as error:
        raise DataError(f"{address} can't be listed: {error}. Check the address and the credentials.") from error
    pattern = pattern if whole is folder else "*.parquet"
    return [f"{scheme}://{i.path}" for i in inside if i.is_file and fnmatch.fnmatchcase(i.base_name, pattern)]


def _codes(column: Any, classes: Sequence[Any], shard: Shard) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    values = column.cast(pa.string()) if column.type != pa.string() else column
    names = pa.array([str(name) for name in classes])
    found = pc.index_in(values, value_set=names).combine_chunks()
    codes = found.fill_null(MISSING).to_numpy(zero_copy_only=False).astype(np.int64)
    strange = np.flatnonzero((codes == MISSING) & ~column.is_null().to_numpy())
    if strange.size:
        row = int(strange[0])
        raise DataError(
            f"{shard.path}: row {shard.start + row} of all has the label {column[row].as_py()!r}, which is none of the "
            f"{len(classes)} classes. Name all of them with classes=."
        )
    return codes


def _matrix(table: Any, names: Sequence[str], shard: Shard) -> np.ndarray:
    import pyarrow as pa

    if len(names) > 1 or (
        not pa.types.is_list(kind := table.schema.field(names[0]).type)
        and not (pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind))
    ):
        return np.column_stack([_numbers(table.column(name), shard) for name in names])
    column = table.column(names[0]).combine_chunks()
    flat = _numbers(column.flatten(), shard)
    if len(column) == 0 or column.null_count or len(flat) % len(column):
        raise DataError(f"{shard.path}: the lists of column '{names[0]}' are missing in places, or differ in length.")
    return flat.reshape(len(column), -1)


def _numbers(column: Any, shard: Shard) -> np.ndarray:
    array = column.to_numpy(zero_copy_only=False) if hasattr(column, "type") else np.asarray(column)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{shard.path}: expected numbers as probabilities or features, found {array.dtype}.")
    return array if array.dtype.kind == "f" else array.astype(np.float32)
