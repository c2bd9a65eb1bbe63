"""Tables as numbers: standardised numbers with marks where they are missing, and a column for each category."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from errata.data.content import categories, numbers
from errata.data.data import Data
from errata.data.encoders import Encoder
from errata.data.kinds import CATEGORY, NUMBER
from errata.errors import DataError, ParameterError, UnknownNameError

__all__ = ["TabularEncoder"]


class TabularEncoder(Encoder):
    """Numbers with mean 0 and deviation 1, missing ones filled with the median and marked; categories one-hot.

    A category not seen in training, or rarer than the ``max_categories`` most frequent ones, counts as "other".

    Parameters
    ----------
    max_categories : columns for one category column, beside "other"; 1 or more

    Examples
    --------
    >>> import pandas as pd
    >>> from errata.data import read
    >>> data = read(pd.DataFrame({"n": [1.0, None, 3.0], "c": ["x", "y", "x"]}), label=False)
    >>> encoder = TabularEncoder().fit(data)
    >>> encoder.names
    ['n', 'n is missing', 'c = x', 'c = y', 'c is other']
    >>> encoder.encode(data)[1]
    tensor([0., 1., 0., 1., 0.])
    """

    kind = "tabular"
    name = "tabular"

    def __init__(self, *, max_categories: int = 100) -> None:
        if int(max_categories) != max_categories or max_categories < 1:
            raise ParameterError(f"max_categories must be a whole number, 1 or more; got {max_categories!r}.")
        self.max_categories = int(max_categories)
        self.columns: list[dict[str, Any]] = []

    def fit(self, data: Data) -> TabularEncoder:
        self._check(data)
        if len(data) == 0:
            raise DataError(f"{data.source} has no rows to learn an encoding from.")
        self.columns = []
        for column in data.features:
            if column.kind == NUMBER:
                self.columns.append(
                    _fit_numbers(column.name, numbers(data.column(column.name), column.name, data.rows))
                )
            elif column.kind == CATEGORY:
                codes, words = categories(data.column(column.name))
                self.columns.append(_fit_categories(column.name, codes[data.rows], words, self.max_categories))
        self.input_shape = (len(self.names),)
        return self

    @property
    def names(self) -> list[str]:
        """What each encoded column says."""
        found = []
        for column in self.columns:
            name = column["name"]
            if column["kind"] == NUMBER:
                found += [name] + ([f"{name} is missing"] if column["marked"] else [])
            else:
                found += [f"{name} = {word}" for word in column["words"]] + [f"{name} is other"]
        return found

    def encode(self, data: Data) -> torch.Tensor:
        self._check(data)
        if data.table is None:
            raise DataError(
                f"Expected a table with named columns, as in training; {data.source} is an array without names."
            )
        known = data.table.column_names
        for column in self.columns:
            if column["name"] not in known:
                raise UnknownNameError(
                    "column", column["name"], known, f"The model was trained on it; {data.source} must have it."
                )
        out = np.zeros((len(data), self.input_shape[0]), dtype=np.float32)
        start = 0
        for column in self.columns:
            values = data.column(column["name"])
            if column["kind"] == NUMBER:
                start = _put_numbers(out, start, column, numbers(values, column["name"], data.rows))
            else:
                start = _put_categories(out, start, column, *categories(values), data.rows)
        return torch.from_numpy(out)

    def reading(self) -> dict[str, Any]:
        return {
            "features": [column["name"] for column in self.columns],
            "kinds": {column["name"]: column["kind"] for column in self.columns},
        }

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, "max_categories": self.max_categories, "columns": self.columns}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> TabularEncoder:
        encoder = cls(max_categories=spec["max_categories"])
        encoder.columns = [dict(column) for column in spec["columns"]]
        encoder.input_shape = (len(encoder.names),)
        return encoder


def _fit_numbers(name: str, values: np.ndarray) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    median = float(np.median(known)) if len(known) else 0.0
    filled = np.where(np.isnan(values), median, values)
    mean = float(filled.mean())
    deviation = float(filled.std())
    deviation = deviation if deviation > 1e-12 * max(abs(mean), 1e-300) else 1.0
    marked = len(known) < len(values)
    return {"name": name, "kind": NUMBER, "median": median, "mean": mean, "std": deviation, "marked": marked}


def _fit_categories(name: str, codes: np.ndarray, words: list[str], most: int) -> dict[str, Any]:
    counts = np.bincount(codes[codes >= 0], minlength=len(words))
    order = np.argsort(-counts, kind="stable")
    kept = [words[i] for i in order[:most] if counts[i]]
    return {"name": name, "kind": CATEGORY, "words": kept}


def _put_numbers(out: np.ndarray, start: int, column: dict[str, Any], values: np.ndarray) -> int:
    missing = np.isnan(values)
    filled = np.where(missing, column["median"], values)
    out[:, start] = (filled - column["mean"]) / column["std"]
    if not column["marked"]:
        return start + 1
    out[:, start + 1] = missing
    return start + 2


def _put_categories(
    out: np.ndarray, start: int, column: dict[str, Any], codes: np.ndarray, words: list[str], rows: np.ndarray
) -> int:
    width = len(column["words"]) + 1
    place = {word: i for i, word in enumerate(column["words"])}
    lookup = np.array([place.get(word, width - 1) for word in words] + [-1], dtype=np.int64)
    chosen = lookup[codes[rows]]
    present = np.flatnonzero(chosen >= 0)
    out[present, start + chosen[present]] = 1.0
    return start + width
