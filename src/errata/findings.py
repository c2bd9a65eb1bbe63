"""What else is wrong with a data set beside single labels: duplicates, outliers, leakage, imbalance and the like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["KEPT", "Finding"]

KEPT = 1_000
"""Rows of a finding that are written to disk; ``count`` tells how many there are."""


@dataclass(frozen=True, eq=False)
class Finding:
    """One thing that was found, how often, how bad it is, and in which rows.

    Parameters
    ----------
    name : the kind: "near_duplicates", "outliers", "leakage" ...
    count : how many rows (classes, columns) it concerns
    says : one or two sentences for people
    severity : in [0, 1]; 0 is a remark, 1 makes results worthless
    rows : (n,) int64, the ledger's index values, the worst first
    details : further facts, of JSON's types

    Examples
    --------
    >>> found = Finding("rare_classes", 1, "1 class has fewer than 5 labels: 'owl' (2).", 0.3)
    >>> Finding.from_plain(found.plain()).says
    "1 class has fewer than 5 labels: 'owl' (2)."
    """

    name: str
    count: int
    says: str
    severity: float = 0.0
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    details: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON holds it, with the worst ``KEPT`` rows."""
        rows = np.asarray(self.rows)[:KEPT].tolist()
        return {
            "name": self.name,
            "count": int(self.count),
            "says": self.says,
            "severity": round(float(self.severity), 4),
            "rows": rows,
            "details": dict(self.details),
        }

    @classmethod
    def from_plain(cls, told: Mapping[str, Any]) -> Finding:
        """From what ``plain`` returned."""
        rows = np.asarray(told.get("rows", []))
        return cls(
            str(told["name"]),
            int(told["count"]),
            str(told["says"]),
            float(told.get("severity", 0.0)),
            rows if rows.size else np.empty(0, dtype=np.int64),
            dict(told.get("details", {})),
        )
