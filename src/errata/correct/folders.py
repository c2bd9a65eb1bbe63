"""Correcting a folder of images by class: a new tree in which relabelled images lie in their new class's folder."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.correct.delimited import in_words
from errata.correct.plan import DROP
from errata.correct.source import Order, Source
from errata.data.folders import JUNK, LABEL, natural
from errata.data.images import EXTENSIONS
from errata.errors import DataError, UnknownNameError
from errata.labels import ClassLabels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SOFT", "Folder"]

SOFT = "soft-labels.csv"


class Folder(Source):
    """A folder of images by class; parameters as of ``Delimited``."""

    ordered = False

    def __init__(self, path: Path, label: str | None, reading: Mapping[str, Any], known: list[Any]) -> None:
        if label not in (None, LABEL):
            raise UnknownNameError(
                "label", label, [LABEL], f"{path} is a folder of images: their folders are the labels."
            )
        self.files, labels = _images(path)
        self.link = False
        self.moved: dict[int, str] = {}
        super().__init__(path, LABEL, labels, dict(enumerate(labels.classes)))

    def spell(self, name: Any) -> str:
        word = str(name)
        if not word or word.startswith(".") or any(mark in word for mark in "/\\\0") or word.lower() in JUNK:
            raise DataError(f"The class {word!r} can't be the name of a folder. Choose another name for it.")
        return word

    def frame(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame({"file": self.files})

    def read_back(self, out: Path, classes: list[Any]) -> ClassLabels:
        return _images(out)[1]

    def copy(self, out: Path) -> None:
        for relative in _tree(self.path):
            self._place(relative, out / relative)

    def write(self, order: Order, out: Path | None) -> None:
        """Files that are no images, or lie in no class's folder, are carried over too."""
        goes = self._destinations(order)
        softened = order.soft is not None and (self.path / SOFT).exists()
        if softened and not order.again:
            raise DataError(f"{self.name} has a file {SOFT} already, where the probabilities should go; rename it.")
        if out is None:
            return
        if softened and not order.edits:  # all was done before, and the rows are in another order now
            self.copy(out)
            return
        out.mkdir()
        for relative in _tree(self.path):
            target = goes.get(relative, relative)
            if target is not None and not (order.soft is not None and relative == SOFT):
                self._place(relative, out / target)
        if order.soft is not None:
            self._soften(out / SOFT, order, goes)

    def _destinations(self, order: Order) -> dict[str, str | None]:
        """Where the images of changed rows go, by the files they are; None for those dropped."""
        goes: dict[str, str | None] = {}
        taken = {name.casefold() for name in _tree(self.path)}
        for row, code in zip(order.edits.rows.tolist(), order.edits.codes.tolist()):
            file = self.files[row]
            if code == DROP:
                goes[file] = None
                continue
            old, _, rest = file.partition(os.sep)
            goes[file] = _free(f"{self.raw(order.classes[code])}{os.sep}{rest}", old, taken)
            self.moved[row] = goes[file] or ""
        return goes

    def _place(self, relative: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        source = self.path / relative
        if source.is_dir():
            target.mkdir(exist_ok=True)
        elif not (self.link and _linked(source, target)):
            shutil.copy2(source, target)

    def _soften(self, path: Path, order: Order, goes: Mapping[str, str | None]) -> None:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["file", *order.soft_names])
            for row, name in enumerate(self.files):
                where = goes.get(name, name)
                if where is not None:
                    values = order.probabilities(np.array([row]))[0].tolist()
                    writer.writerow([where, *(in_words(value).decode() for value in values)])

    def further(self, rows: list[int], dropped: Callable[[int], bool]) -> dict[str, list[str]]:
        """For the provenance: each changed row's file, and where it lies now."""
        return {
            "file": [self.files[row] for row in rows],
            "new_file": ["" if dropped(row) else self.moved.get(row, self.files[row]) for row in rows],
        }


def _linked(source: Path, target: Path) -> bool:
    """Make a hard link, where the disk can: the two are then one file under two names."""
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or one without links
        return False
    return True


def _free(wanted: str, old: str, taken: set[str]) -> str:
    """A name that no other file has: where ``dog/1.jpg`` is taken, ``dog/1.from-cat.jpg``."""
    stem, ending = os.path.splitext(wanted)
    name, count = wanted, 1
    while name.casefold() in taken:
        name = f"{stem}.from-{old}{'' if count == 1 else f'-{count}'}{ending}"
        count += 1
    taken.add(name.casefold())
    return name


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def _images(folder: Path) -> tuple[list[str], ClassLabels]:
    """The images below a folder, in the order in which ``errata.read`` counts them, and their labels."""
    classes = sorted((p.name for p in folder.iterdir() if p.is_dir() and not _hidden(p.name)), key=natural)
    files: list[str] = []
    codes: list[int] = []
    present: list[str] = []
    for name in classes:
        found = sorted(_images_of(folder / name), key=natural)
        if found:
            codes += [len(present)] * len(found)
            present.append(name)
            files += [os.path.relpath(file, folder) for file in found]
    if not files:
        raise DataError(f"{folder} holds no images in sub-folders of classes, as in {folder / 'cat' / '1.jpg'}.")
    return files, ClassLabels(np.array(codes, dtype=np.int64), present)


def _images_of(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _hidden(name)]
        for name in names:
            if not _hidden(name) and Path(name).suffix.lower() in EXTENSIONS:
                yield os.path.join(place, name)


def _tree(folder: Path) -> Iterator[str]:
    """Every file below a folder, and every empty folder, relative to it; links to folders of classes are followed."""
    tops = [folder, *sorted(p for p in folder.iterdir() if p.is_dir() and p.is_symlink())]
    for top in tops:
        for place, folders, names in os.walk(top):
            folders.sort()
            here = os.path.relpath(place, folder)
            for name in sorted(names):
                yield name if here == "." else os.path.join(here, name)
            if not folders and not names and here != ".":
                yield here
