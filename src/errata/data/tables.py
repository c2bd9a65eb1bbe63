"""Tables from .parquet, .jsonl, data frames and Hugging Face's arrow files, as Arrow tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from errata.data.content import Content
from errata.data.delimited_rows import open_bytes
from errata.data.told import BROKEN_FILE, reason
from errata.errors import DataError

__all__ = ["check_names", "read_frame", "read_jsonl", "read_parquet"]

ROWS = 20_000  # lines of JSON that become Arrow at a time


def check_names(names: Sequence[Any], source: str) -> None:
    """Refuse a table that has two columns of one name.

    Examples
    --------
    >>> check_names(["a", "b"], "a table")
    """
    twice = [name for name, count in Counter(map(str, names)).items() if count > 1]
    if twice:
        raise DataError(
            f"{source} has more than one column named '{twice[0]}'; every column needs a name of its own. Rename one."
        )


def checked(table: Any, source: str) -> Any:
    """The table, with unusual Arrow types made usual ones; refused where it has no rows."""
    check_names(table.column_names, source)
    if table.num_columns == 0:
        raise DataError(f"{source} is empty; expected a table with columns and rows.")
    if table.num_rows == 0:
        raise DataError(
            f"{source} has columns ({', '.join(table.column_names[:8])}) and no rows; expected at least one."
        )
    for place, field in enumerate(table.schema):
        usual = _usual(field.type)
        if usual is not None:
            column = table.column(place)
            storage = (
                [chunk.storage for chunk in column.chunks] if hasattr(field.type, "storage_type") else column.chunks
            )
            table = table.set_column(place, field.name, _chunked(storage, usual))
    return table


def _usual(kind: Any) -> Any | None:
    """The type to read instead of a rare one."""
    import pyarrow as pa

    if hasattr(kind, "storage_type"):  # extension types, such as UUIDs
        return kind.storage_type
    rare = {"string_view": pa.large_string, "binary_view": pa.large_binary, "halffloat": pa.float32}
    return rare[str(kind)]() if str(kind) in rare else None


def _chunked(chunks: Any, kind: Any) -> Any:
    import pyarrow as pa

    return pa.chunked_array([chunk.cast(kind) for chunk in chunks], kind)


def read_parquet(path: Path) -> Content:
    """Read a Parquet file, with the class names its metadata tell.

    Raises
    ------
    DataError
        where it is damaged, empty, or has two columns of one name
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; expected a Parquet file.")
    try:
        schema = pq.read_schema(path)
        check_names(schema.names, str(path))
        with pq.ParquetFile(path, memory_map=True) as file:
            table = file.read(use_pandas_metadata=False)
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged, or no Parquet file: {reason(error)}. Write or fetch it again.") from error
    index = [c for c in table.column_names if c.startswith("__index_level_")]  # what pandas adds
    table = table.drop_columns(index) if index else table
    return Content(checked(table, str(path)), str(path), "Parquet", path.parent, class_names_of(schema.metadata))


def class_names_of(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """Class names from a schema's metadata: "classes" for any column, or Hugging Face's features by column.

    Examples
    --------
    >>> class_names_of({b"classes": b"cat,dog"})
    {'': ['cat', 'dog']}
    """
    found: dict[str, list[str]] = {}
    metadata = metadata or {}
    if b"classes" in metadata:
        text = metadata[b"classes"].decode("utf-8", "replace")
        names = json.loads(text) if text.lstrip().startswith("[") else text.split(",")
        found[""] = [str(name).strip() for name in names]
    if b"huggingface" in metadata:
        try:
            info = json.loads(metadata[b"huggingface"])["info"]
            found |= class_names_of_features(info.get("features"))
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # another program's notes: the columns are still there
    return found


def class_names_of_features(features: Any) -> dict[str, list[str]]:
    """Class names by column from the features of ``dataset_info.json``.

    Examples
    --------
    >>> class_names_of_features({"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}, "text": {"_type": "Value"}})
    {'label': ['neg', 'pos']}
    """
    if not isinstance(features, Mapping):
        return {}
    return {
        name: [str(n) for n in feature["names"]]
        for name, feature in features.items()
        if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel" and feature.get("names")
    }


def read_frame(frame: Any, source: str = "the data frame") -> Content:
    """A pandas data frame as an Arrow table; its index is left out.

    Columns that mix types, which Arrow refuses, are read as words.
    """
    import pyarrow as pa

    check_names(frame.columns, source)
    arrays = {}
    for name in frame.columns:
        series = frame[name]
        if hasattr(series, "sparse"):
            series = series.sparse.to_dense()
        try:
            array = pa.array(series, from_pandas=True)
        except (pa.ArrowException, OverflowError, TypeError):
            words = [None if _nothing(v) else str(v) for v in series]
            array = pa.array(words, pa.large_string())
        arrays[str(name)] = array
    table = pa.table({name: pa.chunked_array([a]) if isinstance(a, pa.Array) else a for name, a in arrays.items()})
    return Content(checked(table, source), source, "data frame", Path.cwd())


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


# -- JSON lines -------------------------------------------------------------------------------------------------------


def read_jsonl(path: Path) -> Content:
    """Read a file of JSON objects, one in a line; nested values become text.

    Raises
    ------
    DataError
        where a line is no JSON object, with its number; where the file is empty or not UTF-8
    """
    import pyarrow as pa

    blocks: list[dict[str, Any]] = []
    lengths: list[int] = []
    names: dict[str, None] = {}  # in the order of their first appearance
    nested: set[str] = set()
    for rows in _blocks(path):
        found = dict.fromkeys(name for row in rows for name in row)
        names |= found
        blocks.append({name: _arrow([row.get(name) for row in rows], name, nested) for name in found})
        lengths.append(len(rows))
    if not blocks:
        raise DataError(f"{path} is empty; expected a JSON object in every line.")
    columns = {}
    for name in names:
        chunks = [block[name] if name in block else pa.nulls(n) for block, n in zip(blocks, lengths)]
        columns[name] = _joined(chunks)
        for block in blocks:
            block.pop(name, None)
    notes = [f"Nested values in {', '.join(sorted(nested))} were read as their JSON text."] if nested else []
    return Content(checked(pa.table(columns), str(path)), str(path), "JSON lines", path.parent, notes=notes)


def _blocks(path: Path) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    number = 0
    try:
        with open_bytes(path) as file:
            for number, line in enumerate(file, start=1):
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if line.strip():
                    rows.append(_object(line, number, path))
                if len(rows) == ROWS:
                    yield rows
                    rows = []
    except BROKEN_FILE as error:
        raise DataError(f"{path} is damaged after line {number}: {reason(error)}. Fetch or pack it again.") from error
    if rows:
        yield rows


def _object(line: bytes, number: int, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text: line {number} has the byte 0x{line[error.start]:02X} at place "
            f"{error.start + 1}. "
            "Convert it to UTF-8."
        ) from error
    except RecursionError as error:
        raise DataError(f"{path}, line {number}: it is nested too deeply to be read.") from error
    except ValueError as error:
        raise DataError(
            f'{path}, line {number}: expected a JSON object such as {{"text": "...", "label": "..."}}, found '
            f"{line[:60].decode('utf-8', 'replace').strip()!r} ({reason(error)})."
        ) from error
    if not isinstance(value, dict):
        raise DataError(
            f"{path}, line {number}: expected a JSON object, with names and values, found a {type(value).__name__}. "
            "Each line must be one row."
        )
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the name '{twice}' occurs twice")
    return found


def _arrow(values: list[Any], name: str, nested: set[str]) -> Any:
    """Values of one block as bool, int64, float64 or string; whatever is mixed or nested, as text."""
    import pyarrow as pa

    kinds = {type(v) for v in values if v is not None}
    if kinds <= {bool} and kinds:
        return pa.array(values, pa.bool_())
    if kinds <= {int, float}:
        try:
            return pa.array(values, pa.float64() if float in kinds else pa.int64())
        except (OverflowError, pa.ArrowException):
            pass  # whole numbers beyond 64 bits are names, not numbers
    if kinds & {dict, list}:
        nested.add(name)
    return pa.array([None if v is None else _word(v) for v in values], pa.large_string())


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _joined(chunks: list[Any]) -> Any:
    """Chunks of one column brought to one type."""
    import pyarrow as pa

    kinds = {chunk.type for chunk in chunks if chunk.null_count < len(chunk)}
    if not kinds:
        return pa.chunked_array([chunk.cast(pa.int64()) for chunk in chunks], pa.int64())
    if len(kinds) == 1:
        kind = kinds.pop()
    else:
        kind = pa.float64() if kinds <= {pa.int64(), pa.float64()} else pa.large_string()
    return pa.chunked_array([_cast(chunk, kind) for chunk in chunks], kind)


def _cast(chunk: Any, kind: Any) -> Any:
    import pyarrow as pa

    if chunk.null_count == len(chunk):
        return pa.nulls(len(chunk), kind)
    return chunk.cast(kind)
