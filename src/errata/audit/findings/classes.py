"""Classes with few rows, none, or far fewer than the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.audit.findings.evidence import report, some
from errata.audit.items import CLASSES
from errata.findings import Finding
from errata.labels import RARE
from errata.ledger import Ledger

__all__ = ["find"]

SMALL = 0.1
"""Classes are out of balance with less than this share of the rows that they would have if all were equal."""


def find(ledger: Ledger) -> list[Finding]:
    """Rare and empty classes, and imbalance; nothing for items that have no classes."""
    if tuple(ledger.classes) == CLASSES:
        return []
    counts = np.bincount(ledger.given[ledger.given >= 0], minlength=len(ledger.classes))
    total, k = max(1, int(counts.sum())), len(counts)
    found = []
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        names = some(_name(ledger, c) for c in empty)
        one = "class has" if len(empty) == 1 else "classes have"
        says = f"{len(empty):,} {one} no row at all: {names}. Nothing can be learned of them."
        found.append(report("empty_classes", len(empty), says, 0.3, ledger, classes=_names(ledger, empty)))
    rare = np.flatnonzero((counts > 0) & (counts < RARE))
    rare = rare[np.argsort(counts[rare], kind="stable")]
    if len(rare):
        names = some(f"{_name(ledger, c)} ({counts[c]})" for c in rare)
        one = "class has" if len(rare) == 1 else "classes have"
        says = f"{len(rare):,} {one} fewer than {RARE} rows, too few to be checked or tested well: {names}."
        found.append(report("rare_classes", len(rare), says, 0.3, ledger, _rows(ledger, rare), **_told(ledger, rare)))
    small = np.flatnonzero((counts > 0) & (counts < SMALL * total / k) & (counts >= RARE))
    small = small[np.argsort(counts[small], kind="stable")]
    if len(small):
        names = some(f"{_name(ledger, c)} ({counts[c]:,})" for c in small)
        says = (
            f"The classes are out of balance: {names} of {total:,} rows; {total / k:,.0f} each if all were equal. "
            "Accuracy says little of them; measure each class by itself."
        )
        severity = 0.3 + 0.2 * (1 - counts[small[0]] * k / total)
        found.append(
            report("class_imbalance", len(small), says, severity, ledger, _rows(ledger, small), **_told(ledger, small))
        )
    return found


def _name(ledger: Ledger, code: np.signedinteger[Any]) -> str:
    return f"'{ledger.classes[code]}'"


def _names(ledger: Ledger, codes: np.ndarray) -> list[str]:
    return [str(ledger.classes[c]) for c in codes]


def _told(ledger: Ledger, codes: np.ndarray) -> dict[str, list[str]]:
    return {"classes": _names(ledger, codes)}


def _rows(ledger: Ledger, codes: np.ndarray) -> np.ndarray:
    """The rows of some classes, of the first class first."""
    place = np.full(len(ledger.classes) + 1, -1)
    place[codes] = np.arange(len(codes))
    rows = np.flatnonzero(place[ledger.given] >= 0)
    return rows[np.argsort(place[ledger.given[rows]], kind="stable")]
