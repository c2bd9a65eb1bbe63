"""``errata.read``: whatever holds data, to ``Data``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from errata.data.arff_table import read_arff_table
from errata.data.arrays import read_array, read_npy, read_npz, read_texts
from errata.data.content import Content, choose_label
from errata.data.data import Data
from errata.data.delimited import read_delimited
from errata.data.folders import read_folder
from errata.data.huggingface import is_saved_dataset, read_saved_dataset
from errata.data.images import MEMORY
from errata.data.roles import Options, assemble
from errata.data.tables import checked, class_names_of, class_names_of_features, read_frame, read_jsonl, read_parquet
from errata.data.told import reason
from errata.errors import DataError, ParameterError, nearest
from errata.labels import ClassLabels

__all__ = ["read"]

TEXT_ENDINGS = (".csv", ".tsv", ".tab", ".txt")
_USUAL_CSV = {"separator": None, "encoding": None, "header": True}
ENDINGS = (".csv", ".tsv", ".parquet", ".jsonl", ".arff", ".npz", ".npy")


def read(
    source: Any,
    label: Any = None,
    *,
    features: str | Sequence[str] | None = None,
    text: str | Sequence[str] | None = None,
    image_column: str | None = None,
    kinds: Mapping[str, str] | None = None,
    classes: Sequence[Any] | None = None,
    unreadable: str = "error",
    image_size: int | Sequence[int] | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    memory: int = MEMORY,
    labels_only: bool = False,
) -> Data:
    """Read data: find out what the columns are, encode the labels, decode the images.

    Parameters
    ----------
    source : a path to .csv, .tsv, .jsonl, .arff (also .gz), .parquet, .npz or .npy; a folder of images by class; a
        folder of a Hugging Face dataset saved to disk; a pandas.DataFrame; a list of texts; an array or tensor of
        features (N, D) or images (N, C, H, W), (N, H, W), (N, H, W, C); a map-style torch dataset of (x, y)
    label : the label's column; or the labels themselves, (N,); False for none. By default the only column named label,
        labels, target, class or y. A folder's labels are the names of its sub-folders.
    features : the columns to learn from; by default all that can be used. For .npz the array of inputs.
    text : the column (or columns, joined) of texts to learn from
    image_column : the column of images, as bytes or as paths below the table's folder
    kinds : column -> "number", "category", "text", "image" or "ignored", where the guess is wrong
    classes : the class names in the order of their codes; by default the sorted labels
    unreadable : what to do about images that can't be decoded: "error", or "skip" them (``Data.rows`` tells which
        are left)
    image_size : side in pixels to resize images to, or (height, width); by default chosen from the images, and told
    separator, encoding, header : of .csv and .tsv; the separator is found out, the encoding is UTF-8, and the first
        line is the header unless ``header=False`` (then columns are "column 1", "column 2", ...)
    memory : bytes of decoded images to keep, 2 GiB by default; more are decoded batch by batch
    labels_only : also take a table without a column to learn from, because predictions come from elsewhere

    Returns
    -------
    Data

    Raises
    ------
    DataError
        where the data can't be used; the message says where and what to do
    UnknownNameError
        where a column that is named does not exist; the nearest is told

    Examples
    --------
    >>> import pandas as pd
    >>> data = read(pd.DataFrame({"age": [31, 44, 29], "city": ["Rome", "Oslo", "Rome"], "label": ["a", "b", "a"]}))
    >>> [(c.name, c.kind, c.role) for c in data.columns]
    [('age', 'number', 'feature'), ('city', 'category', 'feature'), ('label', 'category', 'label')]
    >>> data.describe()[2]
    "Label: 'label', 2 classes: a (2), b (1)."
    """
    options = Options(
        features=_names(features),
        text=_names(text) or (),
        image_column=image_column,
        kinds=dict(kinds) if kinds else None,
        classes=None if classes is None else list(classes),
        unreadable=unreadable,
        image_size=_size(image_size),
        memory=memory,
        labels_only=labels_only,
    )
    _check(options)
    column, values = _label(label)
    if isinstance(source, Data):
        data = source.select_label(column) if isinstance(column, str) else source
    elif isinstance(source, (str, os.PathLike)):
        csv = {"separator": separator, "encoding": encoding, "header": header}
        data = _read_path(Path(source).expanduser(), False if values is not None else column, options, csv)
        data.reading = _unusual(options, csv)
    else:
        data = _read_object(source, False if values is not None else column, options)
    if values is None:
        return data
    if data.images is not None and len(values) == len(data.images) > len(data):  # some images could not be read
        values = ClassLabels.encode(values, classes=classes)
        values = ClassLabels(values.codes[data.rows], values.classes)
    return data.with_labels(values, classes=classes)


def _unusual(options: Options, csv: dict[str, Any]) -> dict[str, Any]:
    """The options that differ from the usual and have a bearing on how the rows are read, in JSON's types."""
    usual = Options()
    names = ("features", "text", "image_column", "kinds", "unreadable", "image_size")
    told = {name: getattr(options, name) for name in names if getattr(options, name) != getattr(usual, name)}
    told |= {name: csv[name] for name, default in _USUAL_CSV.items() if csv[name] != default}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


def _check(options: Options) -> None:
    if options.unreadable not in ("error", "skip"):
        raise ParameterError(f"unreadable must be 'error' or 'skip'; got {options.unreadable!r}.")
    if options.classes is not None and len(set(map(str, options.classes))) < len(options.classes):
        raise ParameterError(f"classes must be different from each other; got {options.classes}.")


def _size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = (size, size) if np.isscalar(size) else tuple(size)
    whole = len(sides) == 2 and all(isinstance(s, (int, np.integer)) and not isinstance(s, bool) for s in sides)
    if not whole or not all(1 <= side <= 4096 for side in sides):
        raise ParameterError(f"image_size must be a number of pixels in [1, 4096], or (height, width); got {size!r}.")
    return int(sides[0]), int(sides[1])


def _names(value: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(str(name) for name in value)


def _label(label: Any) -> tuple[str | Literal[False] | None, Any]:
    """A label is a column's name, or False, or the labels themselves."""
    if label is None or label is False or isinstance(label, str):
        return label, None
    if isinstance(label, (int, np.integer)) and label is not True:
        return str(label), None
    if label is True or not hasattr(label, "__len__"):
        raise ParameterError(f"label must be a column's name, the labels themselves, or False for none; got {label!r}.")
    return None, label


# -- paths ------------------------------------------------------------------------------------------------------------


def _read_path(path: Path, label: Any, options: Options, csv: dict[str, Any]) -> Data:
    if not path.exists():
        raise DataError(_not_there(path))
    if path.is_dir():
        if is_saved_dataset(path):
            return assemble(read_saved_dataset(path), label, options)
        return read_folder(path, label, options)
    if not os.access(path, os.R_OK):
        raise DataError(f"{path} can't be read: permission denied.")
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    if ending in TEXT_ENDINGS:
        choose = partial(_wanted, label=label, options=options, source=str(path))
        return assemble(read_delimited(path, **csv, choose=choose), label, options)
    if ending in (".jsonl", ".ndjson"):
        return assemble(read_jsonl(path), label, options)
    if ending == ".arff":
        return assemble(read_arff_table(path), label, options)
    if path.suffix.lower() == ".gz":
        raise DataError(f"{path}: of gzipped files only .csv, .tsv, .jsonl and .arff are read. Unpack it first.")
    if ending in (".parquet", ".pq"):
        return assemble(read_parquet(path), label, options)
    if ending == ".npz":
        return read_npz(path, label, options)
    if ending == ".npy":
        return read_npy(path, options)
    raise DataError(
        f"{path} is of a kind that is not known by its name ('{ending or 'no ending'}'); expected "
        f"{', '.join(ENDINGS)}, a folder "
        "of images by class, or a Hugging Face dataset saved to disk."
    )


def _not_there(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"There is no file or folder {path}: not even {folder} exists."
    try:
        close = nearest(path.name, [p.name for p in folder.iterdir()])
    except OSError:
        close = None
    return f"There is no file or folder {path}." + (f" Did you mean {folder / close}?" if close else "")


def _wanted(names: list[str], *, label: Any, options: Options, source: str) -> tuple[str | None, list[str]]:
    """The label's column, and all columns that have a use, before any row is read."""
    odd = any(len(name) > 60 or name.count(" ") > 5 or name.replace(".", "", 1).isdecimal() for name in names)
    hint = "If the first line is a row already, and no header, read it with header=False." if odd else ""
    chosen = choose_label(names, label, source, hint)
    if options.features is None and not options.text and options.image_column is None:
        return chosen, names
    used = {chosen, options.image_column, *(options.features or ()), *options.text, *(options.kinds or {})}
    kept = [name for name in names if name in used]
    return chosen, kept if used <= {None, *names} else names  # a name that is not there is told later, with all names


# -- objects ----------------------------------------------------------------------------------------------------------


def _read_object(source: Any, label: Any, options: Options) -> Data:
    kind = type(source).__module__.split(".")[0]
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        return assemble(read_frame(source), label, options)
    if kind == "pyarrow" and hasattr(source, "column_names"):
        names = class_names_of(source.schema.metadata)
        table = checked(source, "the Arrow table")
        return assemble(Content(table, "the Arrow table", "Arrow table", Path.cwd(), names), label, options)
    if hasattr(source, "with_format") and hasattr(source, "column_names"):
        return assemble(_hugging_face(source), label, options)
    if isinstance(source, Mapping):
        return assemble(_mapping(source), label, options)
    if hasattr(source, "iloc"):  # a pandas Series
        source = source.to_numpy()
    if isinstance(source, np.ndarray) or hasattr(source, "detach") or hasattr(source, "nnz"):
        return _without_column(read_array(source, options), label)
    if isinstance(source, (list, tuple)) and len(source) and all(isinstance(v, str) or v is None for v in source):
        return _without_column(read_texts(source, options, "the list"), label)
    from errata.data.datasets import is_dataset, read_dataset  # with torch, which tables don't need

    if is_dataset(source):
        return _without_column(read_dataset(source, label, options), label)
    if isinstance(source, (list, tuple)):
        return _without_column(read_array(source, options, "the list", "list"), label)
    raise DataError(
        f"Expected a path, a DataFrame, an array, a list of texts or a map-style dataset; got {type(source).__name__}. "
        "Of something that can only be iterated over, make a list first."
    )


def _without_column(data: Data, label: Any) -> Data:
    if isinstance(label, str):
        raise DataError(f"{data.source} has no columns, so none can be named '{label}'; pass the labels: read(X, y).")
    return data


def _hugging_face(source: Any) -> Content:
    if isinstance(source.column_names, Mapping):
        raise DataError(
            f"Expected one dataset; got several splits: {', '.join(source.column_names)}. Pass one of them."
        )
    table = checked(source.with_format("arrow")[:], "the dataset")
    described = {n: {"names": getattr(f, "names", None), "_type": type(f).__name__} for n, f in source.features.items()}
    return Content(table, "the dataset", "Hugging Face dataset", Path.cwd(), class_names_of_features(described))


def _mapping(source: Mapping[Any, Any]) -> Content:
    import pandas as pd

    if source and all(hasattr(part, "with_format") for part in source.values()):
        raise DataError(f"Expected one dataset; got several splits: {', '.join(map(str, source))}. Pass one of them.")
    try:
        return read_frame(pd.DataFrame(dict(source)), "the table")
    except ValueError as error:
        raise DataError(f"Expected columns of one length; {reason(error)}.") from error
