"""Correcting .npz files: the array of labels becomes another, all others stay as they are packed."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from errata.correct.source import Order, Source
from errata.data.content import choose_label
from errata.errors import DataError
from errata.labels import MISSING, ClassLabels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Archive"]


class Archive(Source):
    """An .npz file; parameters as of ``Delimited``. Nothing in it is ever unpickled."""

    endings = (".npz",)

    def __init__(self, path: Path, label: str | None, reading: Mapping[str, Any], known: list[Any]) -> None:
        self.classes = reading.get("classes")
        with _opened(path) as arrays:
            name = choose_label(arrays.files, label, str(path)) or ""
            self.array = _loaded(arrays, name, path)
        labels = self._labels(self.array, known)
        if len(labels) != len(self.array):
            raise DataError(f"The array '{name}' of {path} holds {self.array.shape}; expected a label per row.")
        flat = self.array.reshape(len(self.array), -1)[:, 0]
        first = {int(code): flat[row] for code, row in zip(*np.unique(labels.codes, return_index=True))}
        first.pop(MISSING, None)
        super().__init__(path, name, labels, first)

    def _labels(self, array: np.ndarray, known: list[Any]) -> ClassLabels:
        if callable(self.classes):
            import pyarrow as pa

            return self.classes(pa.chunked_array([pa.array(array)]))
        labels = ClassLabels.encode(array, classes=self.classes)
        words = {str(name) for name in known}
        if self.classes is None and not any(str(name) in words for name in labels.classes):
            numbers = [name for name in labels.classes if isinstance(name, int)]
            if len(numbers) == len(labels.classes) and max(numbers) < len(known) and min(numbers) >= 0:
                lookup = np.array([*numbers, MISSING], dtype=np.int64)
                return ClassLabels(lookup[labels.codes], list(known))
        return labels

    def spell(self, name: Any) -> Any:
        numbered = self.labels.classes and isinstance(self.labels.classes[0], str) and self.array.dtype.kind in "iu"
        if numbered and str(name) in map(str, self.labels.classes):
            return [str(one) for one in self.labels.classes].index(str(name))
        return name

    def frame(self) -> pd.DataFrame:
        """The arrays that have one value per row; others don't make columns."""
        import pandas as pd

        with _opened(self.path) as arrays:
            found = {name: arrays[name] for name in arrays.files if not _is_objects(arrays, name)}
        rows = len(self.array)
        return pd.DataFrame({name: a for name, a in found.items() if a.shape == (rows,)}, index=range(rows))

    def read_back(self, out: Path, classes: list[Any]) -> ClassLabels:
        with _opened(out) as arrays:
            return self._labels(_loaded(arrays, self.label, out), classes)

    def write(self, order: Order, out: Path | None) -> None:
        array = self._relabelled(order)
        with zipfile.ZipFile(self.path) as old:
            replaces = order.check_names([_stem(name) for name in old.namelist()], self.name)
            if out is None:
                return
            with zipfile.ZipFile(out, "w", allowZip64=True) as new:
                for info in old.infolist():
                    if _stem(info.filename) == self.label:
                        _store(new, info, array[order.edits.kept])
                    elif not (replaces and _stem(info.filename) in order.soft_names):
                        self._carry(old, new, info, order)
                self._soften(new, old.infolist()[0], order)

    def _carry(self, old: zipfile.ZipFile, new: zipfile.ZipFile, info: zipfile.ZipInfo, order: Order) -> None:
        """Copy an array; where rows are dropped, without those, if it has a row for each label."""
        if not order.edits.kept.all():
            with old.open(info) as file:
                shape, kind = _header(file)
            if shape[:1] == (order.edits.total,):
                if kind.hasobject:
                    raise DataError(
                        f"The array '{_stem(info.filename)}' of {self.name} holds Python objects, which are not "
                        "unpickled, so rows can't be dropped from it. Leave it out of the file, or keep the rows "
                        "with --no-drop."
                    )
                with old.open(info) as file:
                    _store(new, info, np.lib.format.read_array(file, allow_pickle=False)[order.edits.kept])
                return
        with old.open(info) as source, new.open(_like(info), "w", force_zip64=True) as target:
            shutil.copyfileobj(source, target, 1 << 20)

    def _soften(self, new: zipfile.ZipFile, like: zipfile.ZipInfo, order: Order) -> None:
        """An array per class, as the tables have a column per class."""
        if order.soft is None:
            return
        values = order.probabilities(np.flatnonzero(order.edits.kept))
        for name, column in zip(order.soft_names, values.T):
            info = _like(like)
            info.filename = f"{name}.npy"
            _store(new, info, np.ascontiguousarray(column))

    def _relabelled(self, order: Order) -> np.ndarray:
        rows, codes = order.edits.relabelled()
        values = [self.raw(order.classes[code]) for code in codes]
        array = self.array.copy()
        if array.dtype.kind in "US":
            words = [str(value) for value in values]
            longest = max(map(len, words), default=0)
            if longest > np.array([], dtype=array.dtype).itemsize // (4 if array.dtype.kind == "U" else 1):
                array = array.astype(f"{array.dtype.kind}{longest}")  # a longer word would be cut off
            values = words if array.dtype.kind == "U" else [word.encode() for word in words]
        for row, value in zip(rows.tolist(), values):
            array[row] = self._fitting(value, array.dtype)
        return array

    def _fitting(self, value: Any, kind: np.dtype[Any]) -> Any:
        try:
            found = np.array(value).astype(kind)
            if kind.kind in "US" or str(found.item()) == str(value) or float(found) == float(value):
                return found
        except (TypeError, ValueError, OverflowError):
            pass
        raise DataError(f"The array '{self.label}' of {self.name} is {kind}, which can't hold the class {value!r}.")


def _opened(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged, or no NumPy file: {error}. Save the arrays again.") from error


def _loaded(arrays: Any, name: str, path: Path) -> np.ndarray:
    try:
        return arrays[name]
    except ValueError as error:
        raise DataError(
            f"The labels '{name}' of {path} are Python objects, which are not unpickled. Save plain arrays."
        ) from error


def _is_objects(arrays: Any, name: str) -> bool:
    with arrays.zip.open(f"{name}.npy") as file:
        return bool(_header(file)[1].hasobject)


def _stem(name: str) -> str:
    return name.removesuffix(".npy")


def _like(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """A member packed as another one."""
    new = zipfile.ZipInfo(info.filename, info.date_time)
    new.compress_type, new.external_attr = info.compress_type, info.external_attr
    return new


def _store(new: zipfile.ZipFile, info: zipfile.ZipInfo, array: np.ndarray) -> None:
    with new.open(_like(info), "w", force_zip64=True) as file:
        np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(file)
    return shape, kind
