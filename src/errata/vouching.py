"""How far a list of suspicious rows can be trusted: its estimated precision, with an interval, by length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

import numpy as np

from errata.errors import LedgerError

__all__ = ["Vouched"]


@dataclass(frozen=True, eq=False)
class Vouched:
    """Estimates for the first ``n`` rows of a ledger's list, for some lengths n.

    Parameters
    ----------
    n : (M,) int64, rising lengths of the head of the list, in the ledger's order
    precision : (M,) estimated share of wrong labels among the first n
    low, high : (M,) an interval for that share, meant to cover it in 9 cases of 10
    recall : (M,) estimated share of all wrong labels that are among the first n
    left : (M,) estimated number of wrong labels left once the first n are put right
    errors : estimated number of wrong labels in all rows
    errors_low, errors_high : an interval for it, meant to cover it in 9 cases of 10; NaN where there is none
    checked : how many rows chosen at random a person has checked, where the figures come from those; 0 where they are
        estimated from the labels alone
    notes : when not to believe the figures, in sentences for people

    Examples
    --------
    >>> v = Vouched([1, 2, 4], [1.0, 0.9, 0.6], [0.8, 0.7, 0.4], [1, 1, 0.7], [0.4, 0.7, 1], [1.4, 0.7, 0.0], 2.4)
    >>> v.rows_for(0.7), v.rows_for(0.99)
    (2, 0)
    """

    n: np.ndarray
    precision: np.ndarray
    low: np.ndarray
    high: np.ndarray
    recall: np.ndarray
    left: np.ndarray
    errors: float
    errors_low: float = math.nan
    errors_high: float = math.nan
    checked: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", np.asarray(self.n, dtype=np.int64))
        for name in ("precision", "low", "high", "recall", "left"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.shape != self.n.shape:
                raise LedgerError(f"'{name}' must have an entry for each of the {len(self.n)} lengths.")
            object.__setattr__(self, name, values)

    def rows_for(self, min_precision: float) -> int:
        """The longest head that can be vouched for: the interval's lower end is ``min_precision`` or more."""
        enough = np.flatnonzero(self.low >= min_precision)
        return int(self.n[enough[-1]]) if len(enough) else 0

    def at(self, n: int) -> dict[str, float]:
        """The estimates for the first n rows, interpolated between the lengths: precision, low, high, recall, left."""
        names = ("precision", "low", "high", "recall", "left")
        return {name: float(np.interp(n, self.n, getattr(self, name))) for name in names}

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        told: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        told = {k: v.round(6).tolist() if isinstance(v, np.ndarray) else v for k, v in told.items()}
        for name in ("errors", "errors_low", "errors_high"):
            told[name] = None if math.isnan(told[name]) else float(told[name])
        return told | {"checked": int(self.checked), "notes": list(self.notes)}

    @classmethod
    def from_plain(cls, told: Mapping[str, Any]) -> Vouched:
        """From what ``plain`` returned, now or before the later fields were there."""
        known = {f.name: told[f.name] for f in fields(cls) if f.default is MISSING or told.get(f.name) is not None}
        return cls(**known | {"notes": tuple(known.get("notes", ()))})
