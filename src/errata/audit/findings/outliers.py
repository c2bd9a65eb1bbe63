"""Rows that are unlike all others: another kind of thing, a broken picture, a slip of a unit."""

from __future__ import annotations

import numpy as np

from errata.audit.findings.evidence import Evidence, report
from errata.findings import Finding
from errata.ledger import Ledger
from errata.scores.outliers import REFERENCES, knn_distance, outlier_score, sampled_neighbours

__all__ = ["FAR", "find"]

FAR = 5.0
"""Spreads above the usual distance to the neighbours from which a row is an outlier."""

FEWEST = 20
NEIGHBOURS = 10


def find(evidence: Evidence, ledger: Ledger, seed: int) -> list[Finding]:
    """The rows whose nearest neighbours are far; the scores of all rows go into the ledger."""
    n = evidence.n
    if evidence.features is None or n < FEWEST:
        return []
    distance, _, searched = sampled_neighbours(evidence.features[:n], NEIGHBOURS, seed=seed)
    score = outlier_score(knn_distance(distance))
    ledger.columns["outlier_score"] = score.astype(np.float32)
    rows = np.flatnonzero(score > FAR)
    if not len(rows):
        return []
    rows = rows[np.argsort(-score[rows], kind="stable")]
    sampled = f", among {REFERENCES:,} rows drawn at random" if len(searched) < n else ""
    says = (
        f"{len(rows):,} rows are far from all others: the mean distance to the {distance.shape[1]} nearest{sampled} is "
        f"more than {FAR:g} spreads above the usual. They may not belong in the data, or be broken."
    )
    severity = min(0.7, 0.2 + 5 * len(rows) / n)
    return [report("outliers", len(rows), says, severity, ledger, rows, threshold=FAR, searched=len(searched))]
