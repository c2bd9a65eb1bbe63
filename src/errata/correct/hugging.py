"""Correcting a Hugging Face dataset saved to disk: its Arrow data written again, its description carried over."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errata.correct.columnar import Columnar, edited, features_after, metadata_after, new_columns
from errata.correct.source import Order
from errata.data.content import choose_label
from errata.data.huggingface import read_saved_dataset
from errata.labels import ClassLabels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HuggingFace"]

DATA = "data-00000-of-00001.arrow"


class HuggingFace(Columnar):
    """A folder that ``datasets`` has saved; parameters as of ``Delimited``."""

    def __init__(self, path: Path, label: str | None, reading: Mapping[str, Any], known: list[Any]) -> None:
        content = read_saved_dataset(path)  # memory-mapped
        name = choose_label(content.table.column_names, label, str(path)) or ""
        self.table = content.table
        super().__init__(path, name, content.table[name], content.names_of_codes(name), reading.get("classes"), known)

    def frame(self) -> pd.DataFrame:
        return self.table.to_pandas(ignore_metadata=True)

    def read_back(self, out: Path, classes: list[Any]) -> ClassLabels:
        content = read_saved_dataset(out)
        return self.labels_of_copy(content.table[self.label], content.names_of_codes(self.label), classes)

    def write(self, order: Order, out: Path | None) -> None:
        import pyarrow as pa

        values = self.values(order)
        schema = self.table.schema
        further = new_columns(schema, order, self.name)
        for name in further:
            schema = schema.append(pa.field(name, pa.float32()))
        schema = schema.with_metadata(metadata_after(schema.metadata, self.label, self.new_names(), further))
        if out is None:
            return
        out.mkdir()
        start = rows = 0
        with pa.OSFile(str(out / DATA), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            for batch in self.table.to_batches():
                new = edited(pa.Table.from_batches([batch]), start, order, self.label, values).cast(schema)
                start += batch.num_rows
                rows += new.num_rows
                writer.write_table(new)
        self._describe(out, rows, further, order)

    def _describe(self, out: Path, rows: int, further: list[str], order: Order) -> None:
        for file in sorted(self.path.iterdir()):
            if file.is_file() and file.suffix != ".arrow":
                shutil.copyfile(file, out / file.name)
        info = _json(out / "dataset_info.json")
        if info is not None:
            features_after(info.get("features"), self.label, self.new_names(), further)
            for split in (info.get("splits") or {}).values():
                if isinstance(split, dict) and split.get("num_examples") == self.table.num_rows:
                    split["num_examples"] = rows
            _write(out / "dataset_info.json", info)
        state = _json(out / "state.json")
        if state is not None:
            state["_data_files"] = [{"filename": DATA}]
            state.pop("_indices_data_files", None)  # the selection has been carried out
            state["_fingerprint"] = _fingerprint(state.get("_fingerprint"), order)
            _write(out / "state.json", state)


def _fingerprint(old: Any, order: Order) -> str:
    """Another content needs another name in the caches of ``datasets``; the same edits give the same one."""
    names = "\n".join(map(str, order.classes)).encode()
    parts = (str(old).encode(), order.edits.rows.tobytes(), order.edits.codes.tobytes(), names, repr(order.soft_names))
    told = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.blake2b(told, digest_size=8).hexdigest()


def _json(file: Path) -> dict[str, Any] | None:
    content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    return content if isinstance(content, dict) else None


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
