"""The ledger of scored rows: in- or out-of-distribution, with the score, its scale, and a chart of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from errata.charts import Chart
from errata.engine.detectors import Detector
from errata.ledger import Ledger
from errata.scores.ood import in_distribution_probability

__all__ = ["CLASSES", "ood_ledger"]

CLASSES = ("in-distribution", "out-of-distribution")
"""The classes of such a ledger: every row is given as in-distribution."""

BINS = 40
FEW = 100


def ood_ledger(
    detector: Detector, scores: np.ndarray, data: Any, columns: Mapping[str, Any], meta: Mapping[str, Any]
) -> Ledger:
    """The ledger of scored rows.

    Parameters
    ----------
    detector : that scored them
    scores : (N,)
    data : the rows, with ``rows`` and ``source``
    columns : further columns
    meta : what else the ledger should tell

    Returns
    -------
    Ledger
        given "in-distribution"; proposed "out-of-distribution" above the threshold; trust the probability that the row
        is of the data, estimated from all rows; the column ``score``; a chart of the scores
    """
    trust, foreign = in_distribution_probability(scores, detector.reference)
    issue = scores > detector.threshold
    notes = [*meta.get("notes", ())]
    if not detector.held_out:
        notes.append(
            "The usual scores are those of rows that the network was trained on, for it held none out. It is surer of "
            "these than of new ones, so too much is flagged: train with validation=0.1, or give a reference."
        )
    if len(detector.reference) < FEW:
        notes.append(
            f"What is usual is known from {len(detector.reference)} held-out rows only, so the threshold is rough."
        )
    ledger = Ledger(
        np.zeros(len(scores), dtype=np.int32),
        issue.astype(np.int32),
        trust,
        classes=list(CLASSES),
        issue=issue,
        noise=np.array([[1.0 - foreign, 0.0], [foreign, 0.0]]),
        columns={"score": scores, **columns},
        index=data.rows,
        meta={
            **meta,
            "task": "ood",
            "method": detector.method,
            "settings": detector.settings,
            "threshold": detector.threshold,
            "quantile": detector.quantile,
            "reference": {"rows": len(detector.reference), "held_out": detector.held_out},
            "notes": notes,
        },
        charts=[_histogram(detector, scores)] if len(scores) else [],
    )
    ledger.data = data
    return ledger


def _histogram(detector: Detector, scores: np.ndarray) -> Chart:
    both = np.concatenate([detector.reference, scores])
    low, high = np.quantile(both, [0.002, 0.998])
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    middles = (edges[:-1] + edges[1:]) / 2

    def share(values: np.ndarray) -> np.ndarray:
        return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(1, len(values))

    usual, these = share(detector.reference), share(scores)
    top, at = float(max(usual.max(), these.max())), detector.threshold
    kind = "held-out rows" if detector.held_out else "rows trained on"
    above = float((scores > at).mean())
    return Chart(
        "Scores of these rows and of the usual ones",
        f"Above the threshold ({at:.4g}) lie {1 - detector.quantile:.0%} of the {kind} and {above:.1%} of these. Where "
        "the two curves are alike, the rows are like the training data; what lies to the right of the usual is "
        "foreign. The ends hold what lies beyond them.",
        {
            f"usual ({kind})": (middles.tolist(), usual.tolist()),
            "these rows": (middles.tolist(), these.tolist()),
            "threshold": ([at, at], [0.0, top]),
        },
        x=f"score '{detector.method}' (larger = less like the training data)",
        y="share of rows",
    )
