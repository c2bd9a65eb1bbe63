"""Images out of a table's column: bytes, or paths below the table's folder and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from errata.data.content import Content
from errata.data.images import Images
from errata.data.kinds import is_string, undictionaried
from errata.errors import DataError, ParameterError

__all__ = ["images_of", "readable"]


def images_of(content: Content, name: str, size: tuple[int, int] | None, memory: int) -> Images:
    """The images of a column, decoded.

    Raises
    ------
    DataError
        where the column can't hold images, or a path leads out of the table's folder
    """
    import pyarrow as pa

    values = content.table[name]
    if is_string(values.type):
        items: Any = _paths(undictionaried(values).to_pylist(), name, content)
    elif pa.types.is_struct(values.type):
        items = _blobs_or_paths(values, name, content)
    elif pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        items = values
    else:
        raise DataError(
            f"Column '{name}' of {content.source} can't be images: it holds {values.type}, not bytes or paths."
        )
    images = Images(items)
    images.prepare(size, memory)
    return images


def _paths(values: list[str | None], name: str, content: Content) -> list[Path | None]:
    if content.folder is None:
        raise DataError(
            f"Column '{name}' holds paths, but {content.source} has no folder to look in; pass bytes instead."
        )
    root = content.folder.resolve()
    found: list[Path | None] = []
    for row, value in enumerate(values):
        if not value:
            found.append(None)
            continue
        if "\0" in value:
            raise DataError(f"Column '{name}', row {row}: {value!r} is no path.")
        path = content.folder / value
        if not path.resolve().is_relative_to(root):
            raise DataError(
                f"Column '{name}', row {row}: the image {value!r} lies outside of {content.folder}. Images are only "
                f"read "
                "from the table's own folder and those below; move them there."
            )
        found.append(path)
    return found


def _blobs_or_paths(values: Any, name: str, content: Content) -> Any:
    """Hugging Face's images: a struct of bytes and path; one of the two is set."""
    import pyarrow.compute as pc

    blobs = pc.struct_field(values, "bytes")
    if blobs.null_count == 0:
        return blobs
    if blobs.null_count < len(blobs):
        paths = pc.if_else(pc.is_null(blobs), pc.struct_field(values, "path"), None).to_pylist()
        return [b.as_py() if b.is_valid else p for b, p in zip(blobs, _paths(paths, name, content))]
    return _paths(pc.struct_field(values, "path").to_pylist(), name, content)


def readable(images: Images, unreadable: str, source: str, notes: list[str]) -> np.ndarray:
    """(n,) the rows whose images could be read; adds a note on those left out.

    Parameters
    ----------
    unreadable : "error" or "skip"

    Raises
    ------
    DataError
        where images can't be read and ``unreadable`` is "error", or where none can
    """
    if unreadable not in ("error", "skip"):
        raise ParameterError(f"unreadable must be 'error' or 'skip'; got {unreadable!r}.")
    bad = sorted(images.problems)
    if bad:
        shown = "; ".join(f"{images.name(row)}: {images.problems[row]}" for row in bad[:5])
        more = f"; and {len(bad) - 5:,} more" if len(bad) > 5 else ""
        told = f"{len(bad):,} of {len(images):,} images of {source} can't be read: {shown}{more}."
        if unreadable == "error" or len(bad) == len(images):
            raise DataError(
                told + " Mend or remove them, or leave them out with unreadable='skip' (--unreadable skip)."
                if len(bad) < len(images)
                else told
            )
        notes.append(told + " They are left out.")
    return np.setdiff1d(np.arange(len(images)), bad, assume_unique=True)
