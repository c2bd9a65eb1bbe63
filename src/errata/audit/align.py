"""Which column of the probabilities belongs to which label: settled before anything is computed, or asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from errata.errors import DataError
from errata.labels import MISSING, ClassLabels

__all__ = ["align", "open_probabilities"]

SHOWN = 8  # class names in a message


def align(
    labels: Any, pred_probs: Any, classes: Sequence[Any] | None = None, name: str = "labels"
) -> tuple[ClassLabels, np.ndarray]:
    """Bring labels and probabilities together: column k of the result is class k of the labels.

    Columns are taken to be, in this order: ``classes``, if given; the columns' names, where ``pred_probs`` is a
    DataFrame named after the labels; 0 to K-1, where the labels are integers in that range (a class may be unseen);
    the K sorted distinct labels. -1 among integers in that range means "missing".

    Parameters
    ----------
    labels : (N,) of any type (see ``ClassLabels.encode``), or ``ClassLabels``
    pred_probs : (N, K) array, tensor, DataFrame, or a path to a ``.npy`` file, which is memory-mapped
    classes : the K class names in the order of the columns
    name : what to call the labels in messages

    Returns
    -------
    labels with K classes, and the probabilities as an array (N, K), not copied where that can be avoided

    Raises
    ------
    DataError
        where their numbers of rows differ, or it can't be told which column is which class

    Examples
    --------
    >>> labels, probs = align(["no", "yes", "no"], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> labels.classes, labels.codes
    (['no', 'yes'], array([0, 1, 0]))
    >>> align([1, 3, -1], np.full((3, 4), 0.25))[0].classes
    [0, 1, 2, 3]
    """
    if classes is None:
        classes = _named_columns(pred_probs, labels)
    table = open_probabilities(pred_probs)
    columns = table.shape[1]
    if classes is not None and len(classes) != columns:
        raise DataError(
            f"pred_probs has {columns} columns and classes names {len(classes)} ({_some(classes)}); "
            "give the name of every column, in the order of the columns."
        )
    if classes is not None:
        found = _by_names(labels, classes, name)
    else:
        found = _by_values(
            labels if isinstance(labels, ClassLabels) else ClassLabels.encode(labels, name=name), columns
        )
    if len(found) != len(table):
        raise DataError(
            f"'{name}' has {len(found):,} rows and pred_probs has {len(table):,}; they must be "
            "the same rows in the same order."
        )
    return found, table


def open_probabilities(pred_probs: Any) -> np.ndarray:
    """The probabilities as an array (N, K); a ``.npy`` file is memory-mapped, not read.

    Raises
    ------
    DataError
        where it is no such file, or has another number of dimensions
    """
    if isinstance(pred_probs, (str, os.PathLike)):
        pred_probs = _mapped(Path(pred_probs).expanduser())
    elif hasattr(pred_probs, "detach"):  # a torch tensor
        pred_probs = pred_probs.detach().cpu()
        pred_probs = (pred_probs.float() if "bfloat16" in str(pred_probs.dtype) else pred_probs).numpy()
    elif hasattr(pred_probs, "to_numpy"):
        pred_probs = pred_probs.to_numpy()
    try:
        table = pred_probs if isinstance(pred_probs, np.ndarray) else np.asarray(pred_probs, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            "pred_probs must be a table of numbers (N, K), a row per sample, a column per class; it can't be read: "
            f"{error}."
        ) from error
    if table.ndim != 2:
        hint = " For two classes, stack them: np.column_stack([1 - p, p])." if table.ndim == 1 else ""
        raise DataError(
            f"pred_probs must have shape (N, K), a row per sample, a column per class; got {table.shape}.{hint}"
        )
    if table.shape[1] < 2:
        raise DataError(
            f"pred_probs must have a column per class, two or more; got {table.shape[1]}. "
            "For two classes, stack them: np.column_stack([1 - p, p])."
        )
    if len(table) == 0:
        raise DataError("pred_probs is empty: it has no rows.")
    if table.dtype.kind not in "fiub":
        raise DataError(f"pred_probs must hold numbers; got the type {table.dtype}.")
    return table


def _mapped(path: Path) -> np.ndarray:
    if not path.exists():
        raise DataError(f"There is no file {path}; pred_probs is a .npy file or an array (N, K).")
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(
            f"{path} is not a .npy file of numbers ({error}). Save the probabilities with numpy.save."
        ) from error
    if not isinstance(table, np.ndarray):
        raise DataError(f"{path} holds several arrays ({_some(table.files)}). Save the probabilities with numpy.save.")
    return table


# -- which column is which class --------------------------------------------------------------------------------------


def _named_columns(pred_probs: Any, labels: Any) -> list[Any] | None:
    """The names of a DataFrame's columns, where every label is among them."""
    if not (hasattr(pred_probs, "columns") and hasattr(pred_probs, "to_numpy")):
        return None
    names = list(pred_probs.columns)
    found = labels if isinstance(labels, ClassLabels) else ClassLabels.encode(labels)
    words = {str(name) for name in names}
    return names if all(str(c) in words for c in found.classes) else None


def _by_names(labels: Any, classes: Sequence[Any], name: str) -> ClassLabels:
    if isinstance(labels, ClassLabels):
        labels = labels.names()
    return ClassLabels.encode(labels, classes=classes, name=name)


def _by_values(labels: ClassLabels, columns: int) -> ClassLabels:
    found = labels.classes
    if all(isinstance(c, bool) for c in found) and columns == 2:
        return _moved(labels, [int(c) for c in found], [False, True])
    whole = all(isinstance(c, int) and not isinstance(c, bool) for c in found)
    if whole and found[0] >= 0 and found[-1] < columns:
        return _moved(labels, found, list(range(columns)))
    if len(found) == columns:
        _refuse_two_orders(found)
        return labels
    if whole and found[0] == -1 and found[-1] < columns and len(found) > 1:
        return _moved(labels, found, list(range(columns)))
    raise DataError(_mismatch(found, columns, whole))


def _moved(labels: ClassLabels, places: list[int], classes: list[Any]) -> ClassLabels:
    if places == list(range(len(classes))):
        return labels
    lookup = np.array([*places, MISSING], dtype=np.int64)
    return ClassLabels(lookup[labels.codes], classes)


def _refuse_two_orders(found: list[Any]) -> None:
    """Words that are numbers have two orders, "10" before "2" and after it; errata doesn't guess."""
    try:
        by_number = sorted(found, key=float)
    except (TypeError, ValueError):
        return
    if by_number != found:
        raise DataError(
            f"The labels are numbers written as text ({_some(found)}), so it can't be told whether the columns of "
            "pred_probs are in the order of numbers or of words. Name the columns with classes=[...]."
        )


def _mismatch(found: list[Any], columns: int, whole: bool) -> str:
    more = "More classes than columns" if len(found) > columns else "More columns than classes"
    text = f"{more}: the labels hold {len(found)} ({_some(found)}), pred_probs has {columns} columns. "
    if whole and found[-1] >= columns:
        text += (
            f"Integer labels must lie in [0, {columns - 1}], the numbers of the columns; the largest is {found[-1]}. "
        )
    return text + "Name the columns, in their order, with classes=[...]; every class needs one."


def _some(names: Sequence[Any]) -> str:
    shown = ", ".join(repr(n) for n in list(names)[:SHOWN])
    return shown + (", ..." if len(names) > SHOWN else "")
