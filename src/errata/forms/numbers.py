"""A number as an item's label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from errata.errors import DataError
from errata.forms.form import Form, Part
from errata.ledger import Ledger

__all__ = ["NumbersForm", "number_text"]


def number_text(value: float) -> str:
    """A number as text that reads back as the same: without a point where it is whole.

    Examples
    --------
    >>> number_text(3.0), number_text(0.1)
    ('3', '0.1')
    """
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


class NumbersForm(Form):
    """Numbers; a label is a float, NaN where there is none.

    Parameters
    ----------
    ledger : of ``errata.audit(task="regression")``

    Examples
    --------
    >>> import errata
    >>> y = np.array([1.0, 2.1, 2.9, 4.2, 5.0, 50.0, 7.1, 8.0, 8.9, 10.1])
    >>> form = NumbersForm(errata.audit(labels=y, predictions=np.arange(1.0, 11.0), task="regression"))
    >>> form.given(5), form.text(5, form.proposed(5))
    (50.0, '6')
    """

    task = "regression"

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._given = np.asarray(ledger.columns["given"], dtype=np.float64)
        self._proposed = np.asarray(ledger.columns["proposed"], dtype=np.float64)

    def given(self, position: int) -> float:
        return float(self._given[position])

    def proposed(self, position: int) -> float:
        """To six digits: a prediction is not known better."""
        value = float(self._proposed[position])
        return value if value == self.given(position) or math.isnan(value) else float(f"{value:.6g}")

    def doubts(self, position: int) -> list[Part]:
        return []

    def taken(self, position: int, choices: Sequence[str]) -> float:
        return self.given(position)

    def text(self, position: int, label: float) -> str:
        return "" if math.isnan(label) else number_text(label)

    def read(self, position: int, text: Any) -> float:
        try:
            value = float(text)
        except (TypeError, ValueError) as error:
            raise DataError(f"expected a number; found {str(text)[:60]!r}") from error
        if not math.isfinite(value):
            raise DataError(f"expected a number; found {str(text)[:60]!r}")
        return value

    def same(self, one: float, other: float) -> bool:
        """Equal, or as the review's page shows them: to six digits."""
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return one == other or (f"{one:.6g}" == f"{other:.6g}" and float(f"{one:.6g}") in (one, other))

    def parts(self, position: int, old: float, new: float) -> list[Part]:
        return [Part("", self.text(position, old), self.text(position, new))]
