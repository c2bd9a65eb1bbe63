"""What a label can be: for now a class per row, with what is missing or rare counted and named.

Labels come as strings, integers, booleans or floats that are whole numbers, in lists, arrays, pandas or torch. Inside
errata they are codes, integers in ``[0, K)``, with -1 for "missing"; the class names go along in ``classes``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.errors import DataError, UnknownNameError

__all__ = ["MISSING", "ClassLabels"]

MISSING = -1
"""The code of a row without a label."""

RARE = 5
"""A class with fewer labels than this is told to the user: it can't be cross-validated well."""

_MISSING_WORDS = ("", " ", "nan", "NaN")
# not "none", "null" or "NA": those are classes in many a real data set


@dataclass(frozen=True)
class ClassLabels:
    """One class per row.

    Parameters
    ----------
    codes : (N,) int64 in [-1, K); -1 where the label is missing
    classes : the K class names, as they came (str, int, bool), sorted

    Examples
    --------
    >>> labels = ClassLabels.encode(["dog", "cat", None, "dog"])
    >>> labels.codes, labels.classes
    (array([ 1,  0, -1,  1]), ['cat', 'dog'])
    >>> labels.missing
    1
    """

    codes: np.ndarray
    classes: list[Any]

    @classmethod
    def encode(cls, values: Any, classes: Sequence[Any] | None = None, name: str = "label") -> ClassLabels:
        """Turn labels of any type into codes.

        Parameters
        ----------
        values : (N,) list, array, pandas Series or tensor of strings, integers, booleans, or whole floats
        classes : the class names in the order of the codes; by default the sorted distinct values
        name : what to call the labels in messages (the column's name)

        Raises
        ------
        DataError
            where labels are not one-dimensional, all missing, or numbers that are not whole
        UnknownNameError
            where ``classes`` is given and a label is not among them
        """
        array = _as_array(values)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise DataError(
                f"Expected one label per row, a one-dimensional array; '{name}' has shape {tuple(array.shape)}. "
                "For one-hot labels pass labels.argmax(axis=1)."
            )
        codes, found = _factorize(array, name)
        if classes is not None:
            codes, found = _recode(codes, found, list(classes), name)
        if len(found) == 0 or not (codes != MISSING).any():
            raise DataError(f"'{name}' holds no label at all: {len(codes)} rows, every one missing.")
        return cls(codes, found)

    @property
    def missing(self) -> int:
        """How many rows have no label."""
        return int((self.codes == MISSING).sum())

    @property
    def counts(self) -> np.ndarray:
        """(K,) labels per class."""
        return np.bincount(self.codes[self.codes != MISSING], minlength=len(self.classes))

    def rare(self, fewer_than: int = RARE) -> dict[Any, int]:
        """The classes with fewer labels than that (unseen ones too), with their counts."""
        return {c: int(n) for c, n in zip(self.classes, self.counts) if n < fewer_than}

    def names(self, codes: np.ndarray | None = None) -> np.ndarray:
        """(N,) object array of class names; None where the label is missing."""
        codes = self.codes if codes is None else codes
        lookup = np.empty(len(self.classes) + 1, dtype=object)
        lookup[: len(self.classes)] = self.classes
        return lookup[codes]  # -1 picks the last entry, None

    def __len__(self) -> int:
        return len(self.codes)


def _as_array(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):  # a torch tensor, without importing torch
        values = values.detach().cpu().numpy()
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "to_numpy"):  # pandas, pyarrow
        return np.asarray(values.to_numpy(dtype=object) if hasattr(values, "dtype") else values.to_numpy())
    values = list(values)
    array = np.empty(len(values), dtype=object)
    try:
        array[:] = values
    except ValueError:
        return np.asarray(values)
    return array


def _factorize(array: np.ndarray, name: str) -> tuple[np.ndarray, list[Any]]:
    if array.dtype.kind in "iub":
        found, codes = np.unique(array, return_inverse=True)
        return codes.astype(np.int64), found.tolist()
    if array.dtype.kind == "f":
        return _factorize_floats(array.astype(np.float64), name)
    import pandas as pd

    series = pd.Series(array, dtype=object)
    if pd.api.types.infer_dtype(series, skipna=True) in ("floating", "mixed-integer-float"):
        return _factorize_floats(series.to_numpy(dtype=np.float64, na_value=np.nan), name)
    try:
        empty = series.isna() | series.isin(_MISSING_WORDS)
        codes, distinct = pd.factorize(series.mask(empty, None), use_na_sentinel=True)
    except TypeError as error:  # lists, dicts, arrays
        odd = next(v for v in array if isinstance(v, (list, dict, set, np.ndarray)))
        raise DataError(
            f"Expected one label per row; '{name}' holds {type(odd).__name__}s, such as {odd!r}."
        ) from error
    uniques = [u.item() if isinstance(u, np.generic) else u for u in distinct]
    order = sorted(range(len(uniques)), key=lambda i: _sort_key(uniques[i]))
    place = np.full(len(uniques) + 1, MISSING, dtype=np.int64)
    place[order] = np.arange(len(uniques))
    return place[codes], [uniques[i] for i in order]


def _factorize_floats(array: np.ndarray, name: str) -> tuple[np.ndarray, list[Any]]:
    known = ~np.isnan(array)
    broken = known & (array != np.floor(array))
    if broken.any():
        row = int(np.flatnonzero(broken)[0])
        raise DataError(
            f"'{name}' holds numbers that are not whole, such as {float(array[row])!r} in row {row}; errata expects "
            "classes. "
            "Choose another label column, or cut the numbers into classes first."
        )
    codes = np.full(len(array), MISSING, dtype=np.int64)
    found, codes[known] = np.unique(array[known].astype(np.int64), return_inverse=True)
    return codes, found.tolist()


def _sort_key(value: Any) -> tuple[int, Any]:
    number = isinstance(value, (bool, int, float, np.number))
    return (0, value) if number else (1, str(value))


def _recode(codes: np.ndarray, found: list[Any], classes: list[Any], name: str) -> tuple[np.ndarray, list[Any]]:
    place = {c: i for i, c in enumerate(classes)}
    by_text = {str(c): i for i, c in enumerate(classes)}
    lookup = np.full(len(found) + 1, MISSING, dtype=np.int64)
    for i, value in enumerate(found):
        where = place.get(value, by_text.get(str(value)))
        if where is None:
            row = int(np.flatnonzero(codes == i)[0])
            raise UnknownNameError("class", value, classes, f"It stands in '{name}', row {row}.")
        lookup[i] = where
    return lookup[codes], classes
