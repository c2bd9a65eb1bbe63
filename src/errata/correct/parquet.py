"""Correcting .parquet files: the same schema, metadata, row groups and encodings, as far as Arrow can keep them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errata.correct.columnar import Columnar, edited, metadata_after, new_columns
from errata.correct.source import Order
from errata.data.content import choose_label
from errata.data.tables import class_names_of, read_parquet
from errata.errors import DataError
from errata.labels import ClassLabels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Parquet"]


class Parquet(Columnar):
    """A .parquet file; parameters as of ``Delimited``."""

    endings = (".parquet", ".pq")

    def __init__(self, path: Path, label: str | None, reading: Mapping[str, Any], known: list[Any]) -> None:
        file = _open(path)
        schema = file.schema_arrow
        name = choose_label(schema.names, label, str(path)) or ""
        column = file.read(columns=[name], use_pandas_metadata=False)[name]
        super().__init__(path, name, column, _names(schema, name), reading.get("classes"), known)

    def frame(self) -> pd.DataFrame:
        return read_parquet(self.path).table.to_pandas(ignore_metadata=True)

    def read_back(self, out: Path, classes: list[Any]) -> ClassLabels:
        file = _open(out)
        column = file.read(columns=[self.label], use_pandas_metadata=False)[self.label]
        return self.labels_of_copy(column, _names(file.schema_arrow, self.label), classes)

    def write(self, order: Order, out: Path | None) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = _open(self.path)
        values = self.values(order)
        schema = file.schema_arrow
        further = new_columns(schema, order, self.name)
        for name in further:
            schema = schema.append(pa.field(name, pa.float32()))
        schema = schema.with_metadata(metadata_after(schema.metadata, self.label, self.new_names(), further))
        if out is None:
            return
        start = 0
        with pq.ParquetWriter(out, schema, **_manner(file, further)) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, use_pandas_metadata=False)
                new = edited(table, start, order, self.label, values).cast(schema)
                start += table.num_rows
                if new.num_rows:
                    writer.write_table(new, row_group_size=new.num_rows)


def _open(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged, or no Parquet file: {error}. Write or fetch it again.") from error


def _names(schema: Any, label: str) -> list[str] | None:
    names = class_names_of(schema.metadata)
    return names.get(label, names.get(""))


def _manner(file: Any, further: list[str]) -> dict[str, Any]:
    """How the file was written, as options for writing another like it."""
    about = file.metadata
    columns = [about.row_group(0).column(i) for i in range(about.num_columns)] if about.num_row_groups else []
    by_path = {column.path_in_schema: column for column in columns}
    dictionaries = [p for p, c in by_path.items() if {"PLAIN_DICTIONARY", "RLE_DICTIONARY"} & set(c.encodings)]
    statistics = [p for p, c in by_path.items() if c.is_stats_set]
    old = any(column.physical_type == "INT96" for column in columns)
    return {
        "compression": {p: _codec(c.compression) for p, c in by_path.items()} | dict.fromkeys(further, "snappy"),
        "use_dictionary": dictionaries or False,
        "write_statistics": statistics or False,
        "write_page_index": any(column.has_column_index for column in columns),
        "version": about.format_version if about.format_version in ("1.0", "2.4", "2.6") else "2.6",
        "use_deprecated_int96_timestamps": old,
        "use_compliant_nested_type": not any(".list.item" in path for path in by_path),
        "store_schema": b"ARROW:schema" in (about.metadata or {}),
    }


def _codec(name: str) -> str:
    return "none" if name == "UNCOMPRESSED" else name.lower()
