"""Data with several labels per item: from tables, ARFF files, images with a table, or arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.data.arff import is_arff, label_names_of, read_arff
from errata.data.arff_lines import open_arff
from errata.data.data import SHOWN, Column, Data
from errata.data.kinds import NUMBER, undictionaried
from errata.data.multilabel import MISSING, as_matrix, from_lists, split_text
from errata.errors import DataError, ParameterError

__all__ = ["MultiLabelData", "labels_of_values", "read_multilabel"]


@dataclass(frozen=True, eq=False)
class MultiLabelData:
    """Items and their labels.

    Parameters
    ----------
    data : the items: features, texts or images
    matrix : (N, L) int8: 1 where a label applies, 0 where not, -1 where it isn't known; None where there are no labels
    names : of the L labels
    label : how the labels were found in the source: columns, or MULAN's list
    standardize : whether the features want to be standardised; not where most of them are zero in a sparse file
    """

    data: Data
    matrix: np.ndarray | None
    names: list[str]
    label: Any = None
    standardize: bool = True

    def __len__(self) -> int:
        return len(self.data)

    @property
    def source(self) -> str:
        """Where the data came from."""
        return self.data.source

    def require_labels(self) -> np.ndarray:
        """(N, L) labels, where they are needed.

        Raises
        ------
        DataError
            where there are none, or no item is known to have one
        """
        if self.matrix is None:
            raise DataError(
                f"{self.source} has no labels: name them with label=, as several columns of 0 and 1 (a,b,c on the "
                "command line), one column of lists, or MULAN's .xml for an ARFF file."
            )
        if not (self.matrix == 1).any():
            raise DataError(
                f"No item of {self.source} is known to have any of the {len(self.names)} labels ({_some(self.names)}); "
                "there is nothing to learn. 1 means that a label applies."
            )
        return self.matrix

    def describe(self) -> list[str]:
        """How the data were read, in plain sentences."""
        lines = [line for line in self.data.describe() if line != "There are no labels."]
        if self.matrix is None:
            return [*lines, "There are no labels."]
        positive, unknown = self.matrix == 1, self.matrix == MISSING
        each = [f"{name} ({count:,})" for name, count in zip(self.names, positive.sum(0))]
        told = (
            f"Labels: {len(self.names)}, of which an item has {positive.sum(1).mean():.2g} on average: {_some(each)}."
        )
        lines.insert(1, told)
        if unknown.any():
            lines.insert(2, f"{unknown.mean():.1%} of the (item, label) pairs are not known.")
        never = [name for name, count in zip(self.names, positive.sum(0)) if count == 0]
        return lines + ([f"No item is known to have: {_some(never)}."] if never else [])


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def read_multilabel(
    source: Any,
    y: Any = None,
    *,
    label: Any = None,
    classes: Sequence[Any] | None = None,
    label_separator: str | None = None,
    **reading: Any,
) -> MultiLabelData:
    """Read items and their labels.

    Parameters
    ----------
    source : anything that ``errata.read`` takes, or an ARFF file
    y : (N, L) of 0 and 1, NaN or -1 where not known (a DataFrame's columns name the labels); or N lists of names
    label : the columns of 0 and 1 (also as text, "a,b,c"), or the one column of lists or of texts such as "a|b"; for an
        ARFF file see ``errata.data.arff.label_names_of``; False for none
    classes : names of the labels, where they can't be told from the source, or to give lists an order
    label_separator : between the labels in a text; by default the first of ``| ; ,`` that occurs
    reading : see ``errata.read``

    Raises
    ------
    DataError, UnknownNameError
        where items or labels can't be read, or there is another number of them

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"size": [1.0, 2.0, 4.0], "tags": ["a|b", "", "b"]})
    >>> found = read_multilabel(table, label="tags")
    >>> found.names, found.matrix.tolist(), [c.name for c in found.data.features]
    (['a', 'b'], [[1, 1], [0, 0], [0, 1]], ['size'])
    """
    if isinstance(source, MultiLabelData):
        return source if y is None else _with(source, *labels_of_values(y, classes, label_separator))
    if y is not None and label not in (None, False):
        raise ParameterError("Labels are given twice, as an array and as label=; give them once.")
    if is_arff(source):
        found = _of_arff(source, label if y is None else False, reading)
    else:
        found = _of_table(source, label if y is None else False, classes, label_separator, reading)
    return found if y is None else _with(found, *labels_of_values(y, classes, label_separator))


def _with(found: MultiLabelData, matrix: np.ndarray, names: list[str]) -> MultiLabelData:
    if len(found) != len(matrix):
        raise DataError(f"Expected labels for each of the {len(found):,} rows of {found.source}; got {len(matrix):,}.")
    return MultiLabelData(found.data, matrix, names, None, found.standardize)


def _of_table(
    source: Any, label: Any, classes: Any, separator: str | None, reading: Mapping[str, Any]
) -> MultiLabelData:
    from errata.data.reading import read

    if label is None or label is False:
        return MultiLabelData(read(source, False, **reading), None, [])
    columns = [label] if isinstance(label, str) else [str(name) for name in label]
    if isinstance(label, str) and "," in label:
        known = read(source, False, **reading).table
        if known is None or label not in known.column_names:
            columns = [name.strip() for name in label.split(",") if name.strip()]
    kinds = {**dict(reading.get("kinds") or {}), **dict.fromkeys(columns, "ignored")}
    data = read(source, False, **{**reading, "kinds": kinds})
    values = [undictionaried(data.column(name)).take(data.rows).to_pylist() for name in columns]
    data.label_name = ", ".join(columns)
    if len(columns) == 1 and not _is_binary(values[0]):
        matrix, names = from_lists(split_text(values[0], separator), classes)
        return MultiLabelData(data, matrix, names, columns[0])
    array = np.empty((len(data), len(columns)), dtype=object)
    for place, column in enumerate(values):
        array[:, place] = column
    return MultiLabelData(data, as_matrix(array, f"the columns {_some(columns)}"), columns, columns)


def _is_binary(values: Sequence[Any]) -> bool:
    return all(v is None or (isinstance(v, (bool, int, float)) and (v in (0, 1, -1) or v != v)) for v in values)


def _of_arff(source: Any, label: Any, reading: Mapping[str, Any]) -> MultiLabelData:
    names: Any = False if label is False else label_names_of(source, _split(source, label))
    if any(attribute.kind in ("string", "date") for attribute in open_arff(source)[0].attributes):
        return _of_table(source, names, None, None, reading)
    odd = [name for name in ("features", "text", "image_column") if reading.get(name) is not None]
    if odd:
        raise ParameterError(f"{odd[0]} is no option for this ARFF file: all its attributes are numbers or categories.")
    found = read_arff(source, names)
    sparse = hasattr(found.X, "toarray")
    x = found.X.toarray() if sparse else found.X
    gaps = np.isnan(x)
    notes = []
    if gaps.any():
        with np.errstate(invalid="ignore"):
            middle = np.nan_to_num(np.nanmedian(x, axis=0))
        x = np.where(gaps, middle, x).astype(np.float32)
        notes = [f"{gaps.mean():.1%} of the values are missing; they are filled with the median of their attribute."]
    data = Data(
        kind="tabular",
        columns=[Column(name, NUMBER, "feature") for name in found.feature_names],
        rows=np.arange(len(x)),
        source=found.source,
        format="ARFF",
        array=x,
        notes=notes,
    )
    if label is False:
        return MultiLabelData(data, None, [], None, not sparse)
    data.label_name = ", ".join(found.label_names)
    return MultiLabelData(data, found.Y, found.label_names, found.label_names, not sparse)


def _split(source: Any, label: Any) -> Any:
    """Names in one text, "a,b"; a name that has a comma itself stays whole."""
    if not isinstance(label, str) or "," not in label or label.lower().endswith(".xml"):
        return label
    known = {attribute.name for attribute in open_arff(source)[0].attributes}
    return label if label in known else [name.strip() for name in label.split(",") if name.strip()]


def labels_of_values(values: Any, classes: Any = None, separator: str | None = None) -> tuple[np.ndarray, list[str]]:
    """(N, L) int8 and the names, from a table of 0 and 1 or from lists of names; see ``read_multilabel``."""
    if hasattr(values, "columns") and hasattr(values, "to_numpy"):
        classes = list(values.columns) if classes is None else classes
        values = values.to_numpy()
    if getattr(values, "ndim", 2) == 1 and np.asarray(values).dtype.kind in "biuf":
        raise DataError(
            f"Expected labels of shape (N, L), a column of 0 and 1 for each label, or N lists of names; got "
            f"{tuple(values.shape)} numbers. For one class per item train another kind of system, such as elr."
        )
    if not (hasattr(values, "ndim") and values.ndim == 2) and not _is_table(values):
        return from_lists(split_text(list(values), separator), classes)
    matrix = as_matrix(values)
    names = [str(name) for name in (range(matrix.shape[1]) if classes is None else classes)]
    if len(names) != matrix.shape[1]:
        raise DataError(f"There are {matrix.shape[1]} columns of labels and {len(names)} classes; name each column.")
    return matrix, names


def _is_table(values: Any) -> bool:
    """Whether these are lists of 0 and 1 of one length, not lists of names."""
    rows = list(values)
    if not rows or not all(isinstance(row, (list, tuple, np.ndarray)) and len(row) == len(rows[0]) for row in rows):
        return False
    return len(rows[0]) > 0 and all(v is None or v in (0, 1, -1) or v != v for row in rows for v in row)
