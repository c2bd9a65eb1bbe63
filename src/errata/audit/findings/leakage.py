"""Rows of one data set that stand in another too: what was trained on must not be tested on."""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.audit.findings.duplicates import near_pairs
from errata.audit.findings.evidence import KEPT, Evidence, report
from errata.findings import Finding
from errata.ledger import Ledger

__all__ = ["find"]


def find(evidence: Evidence, ledger: Ledger, second: Any) -> list[Finding]:
    """Pairs across the two data sets, the exact ones first."""
    if second is None:
        return []
    n = evidence.n
    exact = np.empty((0, 2), dtype=np.int64)
    if evidence.content is not None:
        there = np.argsort(evidence.content[n:], kind="stable")
        place = np.searchsorted(evidence.content[n:], evidence.content[:n], sorter=there)
        place = np.minimum(place, len(there) - 1)
        same = evidence.content[n:][there[place]] == evidence.content[:n]
        exact = np.column_stack([np.flatnonzero(same), there[place[same]] + n])
    near = near_pairs(evidence)
    near = near[(near[:, 0] < n) & (near[:, 1] >= n)]
    pairs = np.concatenate([exact, near[~np.isin(near[:, 0], exact[:, 0])]])
    if not len(pairs):
        return []
    rows = np.unique(pairs[:, 0], return_index=True)[1]
    pairs = pairs[np.sort(rows)]
    shared = _shared(evidence, pairs, n)
    says = (
        f"{len(pairs):,} rows stand in {second.source} too, {len(exact):,} of them exactly: "
        f"{shared:,} of its {len(second):,} rows are not new to a model that was trained on these data."
    )
    severity = min(1.0, 0.5 + 5 * shared / max(1, len(second)))
    told = [[ledger.index[a].item(), second.rows[b - n].item()] for a, b in pairs[:KEPT].tolist()]
    more = {"pairs": told, "exact": len(exact), "of_test": shared, "test": second.source}
    return [report("leakage", len(pairs), says, severity, ledger, pairs[:, 0], **more)]


def _shared(evidence: Evidence, pairs: np.ndarray, n: int) -> int:
    """How many rows of the second data set are concerned: also those that equal one that was paired."""
    found = np.zeros(len(evidence.content) - n if evidence.content is not None else pairs[:, 1].max() - n + 1, bool)
    found[pairs[:, 1] - n] = True
    if evidence.content is not None:
        found |= np.isin(evidence.content[n:], evidence.content[:n])
    return int(found.sum())
