"""Whether the order of the rows has a meaning: data that changed over time, or are sorted, are no random sample."""

from __future__ import annotations

import numpy as np

from errata.audit.findings.evidence import Evidence, report
from errata.findings import Finding
from errata.ledger import Ledger
from errata.scores.outliers import drift, sampled_neighbours

__all__ = ["find"]

FEWEST = 50
SURE = 0.01
LEAST = 0.02
NEIGHBOURS = 10


def find(evidence: Evidence, ledger: Ledger, seed: int) -> list[Finding]:
    """Told where rows that are alike lie nearer in the order than by chance."""
    n = evidence.n
    if evidence.features is None or n < FEWEST:
        return []
    features = evidence.features[:n]
    rows = np.arange(n)
    if evidence.content is not None:  # copies of a row that stand together say nothing of the others
        rows = np.sort(np.unique(evidence.content[:n], return_index=True)[1])
    if len(rows) < FEWEST:
        return []
    most = 3_000
    if len(rows) > most:
        rows = np.sort(np.random.default_rng([seed, 0xD8]).choice(rows, most, replace=False))
    mixed = np.random.default_rng([seed, 0xD9]).permutation(len(rows))  # of equally near rows any may be taken
    _, near, _ = sampled_neighbours(features[rows[mixed]], NEIGHBOURS, seed=seed)
    statistic, p = drift(mixed[np.column_stack([np.arange(len(rows)), near])], len(rows), seed=seed)
    if p > SURE or statistic < LEAST:
        return []
    sampled = f" (tested on {len(rows):,} rows)" if len(rows) < n else ""
    says = (
        f"The order of the rows has a meaning: rows that are alike lie nearer to each other than by chance (p = "
        f"{p:.3f}, difference of the distributions {statistic:.2f}{sampled}). The data are sorted, or changed while "
        "they were collected; mix them before a split, or split by time on purpose."
    )
    return [report("drift", n, says, min(0.6, 0.1 + statistic), ledger, statistic=round(statistic, 4), p_value=p)]
