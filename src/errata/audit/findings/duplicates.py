"""Rows that are the same, or nearly; first those whose labels contradict each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.audit.findings.evidence import KEPT, Evidence, report
from errata.findings import Finding
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.scores.duplicates import group_equal, groups_of_pairs, near_features, near_texts

__all__ = ["find", "near_pairs"]

MOST = 300_000
"""Rows that are compared by distance, at most."""


def find(evidence: Evidence, ledger: Ledger) -> list[Finding]:
    """Exact, near and conflicting duplicates within the first data set."""
    n = evidence.n
    exact = np.full(n, -1, dtype=np.int64) if evidence.content is None else group_equal(evidence.content[:n])
    pairs = near_pairs(evidence)
    pairs = pairs[(pairs < n).all(axis=1)]
    unequal = (exact[pairs[:, 0]] < 0) | (exact[pairs[:, 0]] != exact[pairs[:, 1]])
    near = groups_of_pairs(pairs[unequal], n)
    both = groups_of_pairs(np.concatenate([pairs, _chain(exact)]), n)
    ledger.columns["duplicate_group"] = both
    searched = f" (of {MOST:,} drawn at random that were compared)" if _sampled(evidence) else ""
    return [
        *_conflicting(both, ledger),
        *_told("exact_duplicates", "the same as another", exact, ledger, 0.5),
        *_told("near_duplicates", f"nearly the same as another{searched}", near, ledger, 0.4),
    ]


def near_pairs(evidence: Evidence) -> np.ndarray:
    """(P, 2) int64 pairs of rows, of both data sets, that are nearly the same; equal ones may be among them.

    Of more than ``MOST`` rows that are compared by distance, so many drawn at random.
    """
    if evidence.near is None:
        evidence.near = _find_near(evidence)
    return evidence.near


def _find_near(evidence: Evidence) -> np.ndarray:
    if evidence.pieces is not None and not evidence.embedded:
        return near_texts(*evidence.pieces)
    if evidence.features is None:
        return np.empty((0, 2), dtype=np.int64)
    rows = len(evidence.features)
    if rows <= MOST:
        return near_features(evidence.features, close=evidence.close)[0]
    some = np.sort(np.random.default_rng(MOST).choice(rows, MOST, replace=False))
    return some[near_features(evidence.features[some], close=evidence.close)[0]]


def _sampled(evidence: Evidence) -> bool:
    if evidence.features is None or (evidence.pieces is not None and not evidence.embedded):
        return False
    return len(evidence.features) > MOST


def _chain(group: np.ndarray) -> np.ndarray:
    """(P, 2) pairs that tie every group together."""
    rows = np.flatnonzero(group >= 0)
    rows = rows[np.argsort(group[rows], kind="stable")]
    same = group[rows][1:] == group[rows][:-1]
    return np.column_stack([rows[:-1][same], rows[1:][same]]).astype(np.int64)


def _members(group: np.ndarray) -> list[np.ndarray]:
    """The rows of each group, the largest group first."""
    rows = np.flatnonzero(group >= 0)
    rows = rows[np.argsort(group[rows], kind="stable")]
    parts = np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1) if len(rows) else []
    return sorted(parts, key=len, reverse=True)


def _groups(members: list[np.ndarray], ledger: Ledger) -> list[list[Any]]:
    return [ledger.index[rows[:KEPT]].tolist() for rows in members[:KEPT]]


def _told(name: str, what: str, group: np.ndarray, ledger: Ledger, weight: float) -> list[Finding]:
    members = _members(group)
    if not members:
        return []
    rows = np.concatenate(members)
    spare = len(rows) - len(members)
    says = (
        f"{len(rows):,} rows are {what}, in {len(members):,} groups: {spare:,} could be left out. They count several "
        "times in training, and may stand on both sides of a split."
    )
    severity = weight * min(1.0, 0.1 + 5 * spare / len(ledger))
    return [
        report(name, len(rows), says, severity, ledger, rows, groups=_groups(members, ledger), num_groups=len(members))
    ]


def _conflicting(group: np.ndarray, ledger: Ledger) -> list[Finding]:
    """Groups with more than one label; of them, the most evenly divided first."""
    given = _labels(ledger)
    divided = []
    for rows in _members(np.where(given == MISSING, -1, group)):
        counts = np.bincount(np.unique(given[rows], return_inverse=True)[1])
        if len(counts) > 1:
            divided.append((counts.max() / counts.sum(), rows))
    if not divided:
        return []
    members = [rows for _, rows in sorted(divided, key=lambda pair: pair[0])]
    rows = np.concatenate(members)
    says = (
        f"{len(rows):,} rows in {len(members):,} groups are the same, or nearly, and have different labels: "
        "at least one label in each group is wrong, or the data don’t tell the classes apart."
    )
    severity = min(1.0, 0.6 + 5 * len(rows) / len(ledger))
    more = {"groups": _groups(members, ledger), "num_groups": len(members)}
    return [report("conflicting_duplicates", len(rows), says, severity, ledger, rows, **more)]


def _labels(ledger: Ledger) -> np.ndarray:
    """(N,) codes of what the rows are labelled as, also where the ledger has no classes of its own."""
    told = ledger.columns.get("given")
    if told is None or told.dtype.kind == "f":  # numbers differ a little without a contradiction
        return ledger.given
    codes = np.unique(told.astype(str), return_inverse=True)[1]
    return np.where(ledger.given == MISSING, MISSING, codes)
