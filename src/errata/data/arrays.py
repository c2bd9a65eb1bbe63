"""Arrays: features (N, D), images (N, C, H, W), texts; in memory, memory-mapped, or in an .npz or .npy file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from errata.data.content import LABEL_NAMES
from errata.data.data import Column, Data
from errata.data.images import Images
from errata.data.kinds import CATEGORY, IGNORED, IMAGE, NUMBER, TEXT
from errata.data.roles import Options
from errata.data.told import reason
from errata.errors import DataError, UnknownNameError
from errata.labels import ClassLabels

__all__ = ["read_array", "read_npy", "read_npz", "read_texts"]

INPUT_NAMES = ("x", "data", "images", "image", "features", "inputs", "x_train", "texts", "text")
CHUNK = 1 << 22  # values that are checked at a time


def read_array(values: Any, options: Options, source: str = "the array", format: str = "array") -> Data:
    """Features (N, D), images (N, H, W), (N, C, H, W) or (N, H, W, C), or N texts as data without labels.

    Raises
    ------
    DataError
        where the shape or the type is none of these, or a value is NaN or infinite; with its row and column
    """
    array = _as_array(values, source)
    if array.ndim == 0 or len(array) == 0:
        raise DataError(f"{source} is empty; expected at least one row.")
    if array.ndim == 1 and array.dtype.kind in "UOT" and any(isinstance(v, str) for v in array[:1000]):
        return read_texts(array.tolist(), options, source, format)
    if array.dtype.kind == "O":
        array = _numbers_of_objects(array, source)
    if array.dtype.kind not in "biuf" or array.ndim not in (2, 3, 4):
        hint = " For one feature, pass X.reshape(-1, 1)." if array.ndim == 1 else ""
        raise DataError(
            f"Expected features (N, D), images (N, C, H, W), (N, H, W) or (N, H, W, C), or a list of texts; {source} "
            f"is "
            f"{array.dtype} of shape {tuple(array.shape)}.{hint}"
        )
    if 0 in array.shape:
        raise DataError(f"{source} has shape {tuple(array.shape)}: there is nothing in it to learn from.")
    check_finite(array, source)
    return _features(array, source, format) if array.ndim == 2 else _images(array, source, format)


def _as_array(values: Any, source: str) -> np.ndarray:
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        raise DataError(f"{source} is a sparse matrix; expected a dense array. Pass X.toarray() if it fits the memory.")
    if hasattr(values, "detach"):  # a torch tensor
        tensor = values.detach().cpu()
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, (list, tuple)) and any(isinstance(v, str) for v in values[:10]):
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(
            f"{source} has rows of different lengths; expected the same number of values in each."
        ) from error


def _numbers_of_objects(array: np.ndarray, source: str) -> np.ndarray:
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{source} holds values that are no numbers ({reason(error)}). Pass a pandas.DataFrame, whose columns "
            f"may be of "
            f"any kind."
        ) from error


def check_finite(array: np.ndarray, source: str) -> None:
    """Refuse NaN and infinite values, with their place; a memory-mapped array is gone through in parts.

    Examples
    --------
    >>> check_finite(np.zeros((2, 3)), "X")
    """
    if array.dtype.kind != "f":
        return
    step = max(1, CHUNK // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), step):
        part = array[start : start + step]
        with np.errstate(over="ignore", invalid="ignore"):
            total = part.sum(dtype=np.float64)
        if np.isfinite(total):  # one pass without a mask; only where the sum is not finite, each value is looked at
            continue
        odd = ~np.isfinite(part)
        if odd.any():
            place = tuple(int(i) for i in np.argwhere(odd)[0])
            row, rest = start + place[0], ", ".join(str(i) for i in place[1:])
            what = "column" if array.ndim == 2 else "place"
            raise DataError(
                f"{source} holds {part[place]} in row {row}, {what} {rest}; expected finite numbers. Fill or remove "
                f"such "
                "values; in tables (CSV, Parquet, DataFrame) missing numbers are filled for you."
            )


def _features(array: np.ndarray, source: str, format: str) -> Data:
    columns = [Column(str(i), NUMBER, "feature") for i in range(array.shape[1])]
    return Data(kind="tabular", columns=columns, rows=np.arange(len(array)), source=source, format=format, array=array)


def _images(array: np.ndarray, source: str, format: str) -> Data:
    array, how = _channels_first(array)
    if array.dtype.kind in "iu" and array.dtype != np.uint8:
        small = array.min() >= 0 and array.max() <= 255
        array = array.astype(np.uint8 if small else np.float32)
    elif array.dtype != np.uint8 and array.dtype != np.float32:
        array = array.astype(np.float32)
    return Data(
        kind="image",
        columns=[Column("image", IMAGE, "feature")],
        rows=np.arange(len(array)),
        source=source,
        format=format,
        images=Images(array),
        notes=[how] if how else [],
    )


def _channels_first(array: np.ndarray) -> tuple[np.ndarray, str]:
    if array.ndim == 3:
        return array[:, None], f"Its shape {tuple(array.shape)} was read as grey images (N, height, width)."
    first, last = array.shape[1] in (1, 3, 4), array.shape[3] in (1, 3, 4)
    if last and not first:
        told = f"Its shape {tuple(array.shape)} was read as (N, height, width, channels)."
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2)), told
    return array, ""


def read_texts(values: Sequence[str | None], options: Options, source: str, format: str = "list of texts") -> Data:
    """N texts as data without labels."""
    import pyarrow as pa

    if len(values) == 0:
        raise DataError(f"{source} is empty; expected at least one text.")
    odd = next((i for i, v in enumerate(values) if v is not None and not isinstance(v, str)), None)
    if odd is not None:
        raise DataError(f"{source} mixes texts with other values: row {odd} holds {values[odd]!r}. Pass texts only.")
    table = pa.table({"text": pa.chunked_array([pa.array([_encodable(v) for v in values], pa.large_string())])})
    missing = sum(not v for v in values)
    return Data(
        kind="text",
        columns=[Column("text", TEXT, "feature", missing)],
        rows=np.arange(len(values)),
        source=source,
        format=format,
        table=table,
    )


def _encodable(value: str | None) -> str | None:
    """Lone surrogates, which are no characters, become question marks."""
    return None if value is None else value.encode("utf-8", "replace").decode("utf-8")


# -- files ------------------------------------------------------------------------------------------------------------


def read_npy(path: Path, options: Options) -> Data:
    """Read a .npy file, memory-mapped, as data without labels."""
    array = _load(path, lambda file: np.load(path, mmap_mode="r", allow_pickle=False))
    return read_array(array, options, str(path), "NumPy file")


def read_npz(path: Path, label: Any, options: Options) -> Data:
    """Read an .npz file: inputs named X (or data, images, ...), labels named y (or label, ...), or as told.

    Raises
    ------
    DataError
        where it is damaged, holds Python objects (which would have to be unpickled), or does not tell what is what
    UnknownNameError
        where a named array is not in it
    """
    arrays = _load(path, _arrays_in)
    if not arrays:
        raise DataError(f"{path} holds no arrays; expected X and y.")
    return _of_arrays(path, arrays, options, None, label)


def _arrays_in(file: Any) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _load(path: Path, load: Callable[[Any], Any]) -> Any:
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers written by Python 2
            return load(file)
    except Exception as error:  # a damaged file raises what it likes: from zipfile, zlib, tokenize, the parser ...
        raise _not_numpy(path, error) from error


def _of_arrays(path: Path, arrays: dict[str, np.ndarray], options: Options, whole: Data | None, label: Any) -> Data:
    chosen = _label_array(path, arrays, label)
    inputs = _input_array(path, arrays, chosen, options)
    data = read_array(arrays[inputs], options, str(path), "NumPy archive") if whole is None else whole
    rest = [name for name in arrays if name not in (inputs, chosen)]
    columns = [Column(name, IGNORED, IGNORED, note=f"only '{inputs}' is used as input") for name in rest]
    notes = [f"The inputs are the array '{inputs}', {arrays[inputs].dtype} {arrays[inputs].shape}."]
    labels = None
    if chosen is not None:
        labels = ClassLabels.encode(arrays[chosen], classes=options.classes, name=chosen)
        if len(labels) != len(data):
            raise DataError(
                f"{path}: '{inputs}' has {len(data):,} rows and the labels '{chosen}' {len(labels):,}; expected as "
                f"many."
            )
        columns.append(Column(chosen, CATEGORY, "label", labels.missing))
        if label is None:
            notes.append(f"The labels were guessed to be the array '{chosen}', by its name.")
    return Data(
        kind=data.kind,
        columns=[*data.features, *columns],
        rows=data.rows,
        source=data.source,
        format=data.format,
        labels=labels,
        label_name=chosen,
        table=data.table,
        images=data.images,
        array=data.array,
        notes=[*notes, *data.notes],
        relabel=partial(_of_arrays, path, arrays, options, data),
    )


def _label_array(path: Path, arrays: dict[str, np.ndarray], label: Any) -> str | None:
    if label is False:
        return None
    if label is not None:
        if label not in arrays:
            raise UnknownNameError("array", label, arrays, f"It was to be the labels of {path}.")
        return str(label)
    likely = [name for name in arrays if name.lower() in LABEL_NAMES]
    if len(likely) == 1:
        return likely[0]
    shown = ", ".join(f"{name} {tuple(a.shape)}" for name, a in arrays.items())
    raise DataError(
        f"Which array of {path} holds the labels? None was named, and {'several' if likely else 'none'} is called "
        f"like one. "
        f"It holds: {shown}. Name one with label=... (--label), or read without labels: label=False."
    )


def _input_array(path: Path, arrays: dict[str, np.ndarray], label: str | None, options: Options) -> str:
    if options.features:
        name = options.features[0]
        if name not in arrays:
            raise UnknownNameError("array", name, arrays, f"It was to be the inputs of {path}.")
        if len(options.features) > 1:
            raise DataError(f"{path}: features= names {len(options.features)} arrays; expected one, (N, D) or images.")
        return name
    others = [name for name in arrays if name != label]
    likely = sorted((n for n in others if n.lower() in INPUT_NAMES), key=lambda n: INPUT_NAMES.index(n.lower()))
    if likely:
        return likely[0]
    wide = [name for name in others if arrays[name].ndim >= 2] or others
    if len(wide) == 1:
        return wide[0]
    shown = ", ".join(f"{name} {tuple(a.shape)}" for name, a in arrays.items())
    raise DataError(
        f"Which array of {path} holds the inputs? None is called X, data, images or features. It holds: {shown}. "
        "Name one with features=."
    )


def _not_numpy(path: Path, error: Exception) -> DataError:
    if "pickle" in str(error).lower() or "Python objects" in str(error):
        return DataError(
            f"{path} holds Python objects, or is no NumPy file. Objects are not read, since unpickling can run any "
            f"program; "
            "save plain arrays of numbers or strings."
        )
    return DataError(f"{path} is damaged, or no NumPy file: {reason(error)}. Save the arrays again.")
