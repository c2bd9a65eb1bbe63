"""Columns that say nothing, and values that are not there."""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.audit.findings.evidence import report, some
from errata.findings import Finding
from errata.ledger import Ledger

__all__ = ["find"]

CELLS = 1 << 22


def find(data: Any, ledger: Ledger) -> list[Finding]:
    """Constant features and missing values, by column; empty texts."""
    if data is None:
        return []
    if data.kind == "text":
        return _empty_texts(data, ledger)
    if data.kind != "tabular":
        return []
    if data.array is not None:
        return _constant(ledger, [str(i) for i in np.flatnonzero(_constant_columns(data.array, data.rows))])
    masks = {c.name: _missing(data, c) for c in data.features}
    constant = [c.name for c in data.features if not masks[c.name].any() and _single(data, c)]
    ignored = [c.name for c in data.columns if c.role == "ignored" and c.distinct is not None and c.distinct <= 1]
    return [*_constant(ledger, [*constant, *ignored]), *_gaps(ledger, masks)]


def _constant(ledger: Ledger, names: list[str]) -> list[Finding]:
    if not names:
        return []
    one = "column has" if len(names) == 1 else "columns have"
    says = f"{len(names):,} {one} the same value in every row, and say nothing: {some(repr(n) for n in names)}."
    return [report("constant_features", len(names), says, 0.1, ledger, columns=names)]


def _constant_columns(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    first = np.asarray(array[rows[0]])
    same = np.ones(array.shape[1], dtype=bool)
    step = max(1, CELLS // array.shape[1])
    for start in range(0, len(rows), step):
        same &= (array[rows[start : start + step]] == first).all(axis=0)
        if not same.any():
            break
    return same


def _missing(data: Any, column: Any) -> np.ndarray:
    from errata.data.content import categories, numbers

    if not column.missing:
        return np.zeros(len(data), dtype=bool)
    values = data.column(column.name)
    if column.kind == "number":
        return np.isnan(numbers(values, column.name, data.rows))
    return categories(values)[0][data.rows] < 0


def _single(data: Any, column: Any) -> bool:
    """Whether all rows have one value, by the first few, and then by all."""
    values = data.column(column.name)
    if column.distinct is not None:
        return column.distinct <= 1
    return len(values.slice(0, 1000).unique()) <= 1 and len(values.unique()) <= 1


def _gaps(ledger: Ledger, masks: dict[str, np.ndarray]) -> list[Finding]:
    counts = {name: int(mask.sum()) for name, mask in masks.items() if mask.any()}
    if not counts:
        return []
    n = len(ledger)
    each = np.sum([mask for mask in masks.values() if mask.any()], axis=0)
    rows = np.flatnonzero(each)
    rows = rows[np.argsort(-each[rows], kind="stable")]
    worst = sorted(counts, key=lambda name: -counts[name])
    shares = some(f"'{name}' ({counts[name]:,}, {counts[name] / n:.1%})" for name in worst)
    says = f"Values are missing in {len(rows):,} rows, in {len(counts):,} of {len(masks):,} columns: {shares}."
    severity = 0.1 + 0.5 * max(counts.values()) / n
    ordered = {name: counts[name] for name in worst}
    return [report("missing_values", len(rows), says, severity, ledger, rows, columns=ordered)]


def _empty_texts(data: Any, ledger: Ledger) -> list[Finding]:
    rows = [i for i, text in enumerate(data.texts()) if not text or not text.strip()]
    if not rows:
        return []
    says = f"{len(rows):,} rows have no text at all; nothing can be told of them."
    return [report("missing_values", len(rows), says, 0.2 + 0.5 * len(rows) / len(data), ledger, rows)]
