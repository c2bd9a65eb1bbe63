"""Several labels per item: from columns of 0 and 1, or a column of lists, to a matrix."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from errata.errors import DataError, UnknownNameError
from errata.items import NONE, set_names

__all__ = ["MISSING", "NONE", "as_matrix", "from_lists", "set_names", "split_text", "truth"]

MISSING = -1
SEPARATORS = ("|", ";", ",")
_TRUE = {"1", "1.0", "true", "yes", "t", "y"}
_FALSE = {"0", "0.0", "false", "no", "f", "n"}
_EMPTY = {"", "nan", "none", "null", "na", "-1", "-1.0"}


def as_matrix(values: Any, name: str = "labels") -> np.ndarray:
    """(N, L) int8 of 0, 1 and -1 (missing) from columns of 0/1, booleans, or words such as yes and no.

    Raises
    ------
    DataError
        where a value is none of these, with its row and column

    Examples
    --------
    >>> as_matrix([[1, 0], [None, True]])
    array([[ 1,  0],
           [-1,  1]], dtype=int8)
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    array = values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
    if array.ndim != 2 or 0 in array.shape:
        raise DataError(f"Expected {name} of shape (N, L), a column of 0 and 1 for each label; got {array.shape}.")
    if array.dtype.kind in "biu":
        numbers = array.astype(np.float64)
    elif array.dtype.kind == "f":
        numbers = np.where(np.isnan(array), MISSING, array).astype(np.float64)
    else:
        numbers = np.array([[truth(value) for value in row] for row in array], dtype=np.float64)
    odd = ~np.isin(numbers, (0, 1, MISSING))
    if odd.any():
        row, column = np.argwhere(odd)[0].tolist()
        raise DataError(
            f"Expected 0 or 1 (or nothing, where it isn't known) in {name}; row {row}, column {column} holds "
            f"{array[row, column]}."
        )
    return numbers.astype(np.int8)


def truth(value: Any) -> float:
    """1 or 0 of a number or a word such as yes and no; -1 where it says nothing, NaN where it is none of these."""
    if value is None:
        return MISSING
    word = str(value).strip().lower()
    return 1 if word in _TRUE else 0 if word in _FALSE else MISSING if word in _EMPTY else np.nan


def from_lists(values: Iterable[Any], classes: Sequence[Any] | None = None) -> tuple[np.ndarray, list[str]]:
    """(N, L) int8, and the L names in sorted order, from the labels of each item; None is a row of -1.

    Raises
    ------
    UnknownNameError
        where ``classes`` are given and a label is not among them

    Examples
    --------
    >>> from_lists([["b", "a"], [], None])
    (array([[ 1,  1],
           [ 0,  0],
           [-1, -1]], dtype=int8), ['a', 'b'])
    """
    rows = [None if row is None else [str(label) for label in row] for row in values]
    names = sorted({label for row in rows for label in row or ()}) if classes is None else [str(c) for c in classes]
    place = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(rows), len(names)), dtype=np.int8)
    for number, row in enumerate(rows):
        if row is None:
            matrix[number] = MISSING
            continue
        for label in row:
            if label not in place:
                raise UnknownNameError("class", label, names, f"It stands in row {number}.")
            matrix[number, place[label]] = 1
    if not names:
        raise DataError("There is no label at all: every list is empty.")
    return matrix, names


def split_text(values: Sequence[Any], separator: str | None = None) -> list[list[str] | None]:
    """Lists of labels from lists, or from texts such as ``"a|b"`` or ``'["a", "b"]'``; None stays None.

    Parameters
    ----------
    values : N lists or texts
    separator : between the labels of a text; by default the first of ``| ; ,`` that occurs in any

    Examples
    --------
    >>> split_text(["a; b", "", None]), split_text(['["a", "b"]'])
    ([['a', 'b'], [], None], [['a', 'b']])
    """
    texts = [value for value in values if isinstance(value, str)]
    if separator is None:
        separator = next((s for s in SEPARATORS if any(s in t for t in texts if not t.lstrip().startswith("["))), "|")
    return [_labels(value, separator, row) for row, value in enumerate(values)]


def _labels(value: Any, separator: str, row: int) -> list[str] | None:
    if value is None or (isinstance(value, float) and value != value):
        return None
    if not isinstance(value, str):
        if isinstance(value, Iterable):
            return [str(label) for label in value]
        return [str(value)]
    if value.lstrip().startswith("["):
        try:
            return [str(label) for label in json.loads(value)]
        except ValueError as error:
            raise DataError(
                f'Expected a list of labels in row {row}, such as ["a", "b"]; found {value[:60]!r} ({error}).'
            ) from error
    return [label.strip() for label in value.split(separator) if label.strip()]
