"""A Hugging Face dataset saved to disk: Arrow files with ``dataset_info.json``, read without their package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from errata.data.content import Content
from errata.data.tables import check_names, checked, class_names_of, class_names_of_features
from errata.data.told import reason
from errata.errors import DataError

__all__ = ["is_saved_dataset", "read_saved_dataset"]


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder is a dataset, or a dictionary of datasets, saved by ``datasets``."""
    named = ("state.json", "dataset_info.json", "dataset_dict.json")
    return any((folder / name).is_file() for name in named) or any(folder.glob("*.arrow"))


def read_saved_dataset(folder: Path) -> Content:
    """Read the dataset in a folder.

    Raises
    ------
    DataError
        where it holds several splits (one must be named as SOURCE/train), or a file is missing or damaged
    """
    import pyarrow as pa

    splits = _splits(folder)
    if splits:
        raise DataError(
            f"{folder} holds {len(splits)} splits: {', '.join(splits)}. Name the one to read: {folder / splits[0]}"
        )
    tables = [_read_arrow(file) for file in _files(folder)]
    try:
        table = pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise DataError(
            f"The Arrow files in {folder} don't fit together: {reason(error)}. Save the dataset again."
        ) from error
    info = _json(folder / "dataset_info.json")
    features = info.get("features")
    names = {**class_names_of(table.schema.metadata), **class_names_of_features(features)}
    selected = _listed(folder, "_indices_data_files")
    if selected:  # a selection or an order of the rows, kept beside them
        indices = pa.concat_tables([_read_arrow(file) for file in selected])
        table = _taken(table, indices, folder)
    return Content(checked(table, str(folder)), str(folder), "Hugging Face dataset", folder, names)


def _taken(table: Any, indices: Any, folder: Path) -> Any:
    import pyarrow as pa

    try:
        return table.take(indices["indices"].cast(pa.int64()))
    except (KeyError, pa.ArrowException) as error:
        raise DataError(
            f"The selection of rows saved in {folder} is damaged: {reason(error)}. Save the dataset again."
        ) from error


def _splits(folder: Path) -> list[str]:
    listed = _json(folder / "dataset_dict.json").get("splits")
    if isinstance(listed, list):
        return [str(name) for name in listed]
    if list(folder.glob("*.arrow")):
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and (p / "state.json").is_file())


def _listed(folder: Path, key: str) -> list[Path]:
    listed = _json(folder / "state.json").get(key) or []
    return [folder / str(entry.get("filename", "")) for entry in listed if isinstance(entry, dict)]


def _files(folder: Path) -> list[Path]:
    files = _listed(folder, "_data_files")
    if files:
        outside = [f for f in files if not f.resolve().is_relative_to(folder.resolve())]
        if outside:
            raise DataError(
                f"{folder / 'state.json'} names a file outside of its folder, {outside[0]}; it is not read."
            )
    else:
        files = sorted(p for p in folder.glob("*.arrow") if not p.name.startswith(("cache-", "indices")))
    missing = [f.name for f in files if not f.is_file()]
    if missing or not files:
        what = f"lacks {', '.join(missing[:3])}" if missing else "has no Arrow files"
        raise DataError(f"The dataset in {folder} {what}. Save it again with dataset.save_to_disk(...).")
    return files


def _read_arrow(file: Path) -> Any:
    """An Arrow file of either format: as a stream (what ``datasets`` writes) or with a footer."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(file)) as source:
            if source.size() == 0:
                raise DataError(f"{file} is empty. Save the dataset again.")
            footed = source.read(6) == b"ARROW1"
            source.seek(0)
            table = (pa.ipc.open_file(source) if footed else pa.ipc.open_stream(source)).read_all()
            table.validate(full=True)  # offsets that point astray would end the process
            check_names(table.column_names, str(file))
            return table
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is damaged, or no Arrow file: {reason(error)}. Save the dataset again.") from error


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is damaged: {reason(error)}. Save the dataset again.") from error
    return content if isinstance(content, dict) else {}
