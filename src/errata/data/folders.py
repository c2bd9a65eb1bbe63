"""A folder of images by class: photos/<class>/<file>."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from errata.data.data import Column, Data
from errata.data.images import EXTENSIONS, Images
from errata.data.kinds import CATEGORY, IGNORED, IMAGE
from errata.data.picture_columns import readable
from errata.data.roles import Options
from errata.data.told import reason
from errata.errors import DataError, UnknownNameError
from errata.labels import ClassLabels

__all__ = ["natural", "read_folder"]

LABEL = "folder"
SPLITS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"})
JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


def natural(name: str) -> tuple[Any, ...]:
    """A key that sorts names as people do: numbers in them by their value.

    Examples
    --------
    >>> sorted(["b10", "b2", "a"], key=natural)
    ['a', 'b2', 'b10']
    """
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(p), "") if i % 2 else (1, 0, p.casefold()) for i, p in enumerate(parts)), name


def read_folder(folder: Path, label: Any, options: Options) -> Data:
    """Read the images below ``folder``; the sub-folder's name is the label.

    Raises
    ------
    DataError
        where there are no images, no sub-folders of classes, or sub-folders of train and test sets
    """
    if label not in (None, False, LABEL):
        told = f"{folder} is a folder of images: their folders are the labels."
        if isinstance(label, (str, os.PathLike)) and Path(label).is_dir():
            told += f" If {label} holds masks, name a system for them: adele, seg-ce."
        raise UnknownNameError("label", label, [LABEL], told)
    names = sorted((p.name for p in _entries(folder) if p.is_dir()), key=natural)
    classes = [name for name in names if not _hidden(name)]
    if classes and all(name.lower() in SPLITS for name in classes):
        raise DataError(
            f"{folder} holds {', '.join(classes)}, which look like parts of a data set, not like classes. "
            f"Read one of them: {folder / classes[0]}"
        )
    found = {name: _images_below(folder / name) for name in classes}
    loose = [p for p in _entries(folder) if p.is_file() and not _hidden(p.name) and p.suffix.lower() in EXTENSIONS]
    files = [file for name in classes for file in found[name][0]]
    notes = _notes(found, loose if files else [])
    if not files:
        if loose and label is False:
            return _data(folder, sorted(loose, key=lambda p: natural(p.name)), None, options, notes)
        raise DataError(_nothing(folder, classes, len(loose)))
    labels = None
    if label is not False:
        present = [name for name in classes if found[name][0]]
        words = np.repeat(np.array(present, dtype=object), [len(found[name][0]) for name in present])
        labels = ClassLabels.encode(words, classes=options.classes or present, name=LABEL)
    return _data(folder, files, labels, options, notes)


def _data(folder: Path, files: list[Path], labels: ClassLabels | None, options: Options, notes: list[str]) -> Data:
    import pyarrow as pa

    images = Images(files)
    images.prepare(options.image_size, options.memory)
    rows = readable(images, options.unreadable, str(folder), notes)
    if labels is not None and len(rows) < len(labels):
        labels = ClassLabels(labels.codes[rows], labels.classes)
    columns = [Column("image", IMAGE, "feature"), Column("file", IGNORED, IGNORED)]
    if labels is not None:
        columns.append(Column(LABEL, CATEGORY, "label"))
    return Data(
        kind="image",
        columns=columns,
        rows=rows,
        source=str(folder),
        format="folder of images",
        labels=labels,
        label_name=LABEL if labels is not None else None,
        table=pa.table({"file": pa.chunked_array([[os.fspath(f.relative_to(folder)) for f in files]], pa.string())}),
        images=images,
        notes=notes,
    )


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DataError(f"The folder {folder} can't be read: {reason(error)}.") from error


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def _images_below(folder: Path) -> tuple[list[Path], int]:
    """The images of a class in natural order, with those in deeper folders; and how many other files there are."""
    files, others = [], 0
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _hidden(name)]
        for name in names:
            if _hidden(name):
                continue
            if Path(name).suffix.lower() in EXTENSIONS:
                files.append(Path(place) / name)
            else:
                others += 1
    return sorted(files, key=lambda p: natural(os.fspath(p))), others


def _notes(found: dict[str, tuple[list[Path], int]], loose: list[Path]) -> list[str]:
    notes = []
    others = sum(other for _, other in found.values())
    if others:
        notes.append(f"{others:,} files are no images, by their names, and were left out.")
    empty = [name for name, (files, _) in found.items() if not files]
    if empty:
        notes.append(f"Folders without images were left out: {', '.join(empty[:8])}.")
    if loose:
        notes.append(f"{len(loose):,} images that lie in no class's folder were left out, such as {loose[0].name}.")
    return notes


def _nothing(folder: Path, classes: list[str], loose: int) -> str:
    if loose:
        return (
            f"{folder} holds {loose:,} images, but none in a folder of its class; expected "
            f"{folder.name}/<class>/<file>. "
            "Sort them into folders; label=False reads them without labels."
        )
    kinds = ", ".join(sorted(e.lstrip(".") for e in EXTENSIONS))
    what = f"its folders ({', '.join(classes[:5])}) hold no images" if classes else "it has no sub-folders"
    return f"Expected images in {folder}/<class>/<file>, but {what}. Known kinds: {kinds}."
