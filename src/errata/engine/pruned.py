"""The ledger of a pruned training: what is thought of each label, the scores, and whether the sample was kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.charts import Chart
from errata.engine.distilling import Distilling
from errata.engine.pruning import RECORDED, Choice
from errata.engine.run import Run
from errata.labels import MISSING
from errata.ledger import Ledger

__all__ = ["complete"]


def complete(
    run: Run,
    data: Any,
    master: Run | None,
    kept: np.ndarray,
    score: np.ndarray,
    how: Distilling | None,
    choice: Choice,
) -> None:
    """Give the run the ledger over all rows, and the figures that belong to it."""
    codes = data.labels.codes
    flag = np.zeros(len(codes), dtype=bool)
    flag[kept] = True
    own = _judgement(run, master, data)
    columns = {"score": score.astype(np.float32), "kept": flag}
    if master is not None and len(master.ledger) == len(codes):
        known = (*RECORDED, "mean_loss")
        columns |= {name: v for name, v in master.ledger.columns.items() if name in known}
    meta = {**run.ledger.meta, "task": "compression", "pruning": run.about["pruning"]}
    ledger = Ledger(
        codes,
        own.proposed,
        own.trust,
        classes=data.labels.classes,
        issue=own.issue,
        columns=columns,
        index=data.rows,
        meta=meta,
        charts=_charts(run, master, score, flag, how, choice),
    )
    ledger.data = data
    run.ledger = ledger
    known_rows = codes != MISSING
    predicted = run.predict_proba(data).argmax(1)
    run.metrics |= {
        "labelled": int(known_rows.sum()),
        "kept": int(flag.sum()),
        "keep": choice.keep,
        "score": choice.name,
        "agreement_with_all_labels": float((predicted == codes)[known_rows].mean()),
        "issues": int(ledger.issue.sum()),
        "noise_rate": ledger.noise.rate,
    }
    if how is not None:
        run.metrics |= {"alpha": how.alpha, "tau": how.tau}
    if master is not None:
        run.metrics["teacher_seconds"] = master.metrics.get("seconds")


@dataclass(frozen=True)
class _Judgement:
    proposed: np.ndarray
    trust: np.ndarray
    issue: np.ndarray


def _judgement(run: Run, master: Run | None, data: Any) -> _Judgement:
    """What is thought of every given label: by the teacher, which was trained on all, or else by the student."""
    codes = data.labels.codes
    judge = run if master is None else master
    if master is not None and len(master.ledger) == len(codes) and np.array_equal(master.ledger.given, codes):
        return _Judgement(master.ledger.proposed, master.ledger.trust, master.ledger.issue)
    probabilities = judge.predict_proba(data)
    proposed = probabilities.argmax(1)
    trust = np.where(codes == MISSING, np.nan, probabilities[np.arange(len(codes)), np.maximum(codes, 0)])
    if master is None:  # of the rows trained on, the running belief knows more than the last prediction
        inner = run.ledger
        own = inner.given != MISSING
        proposed[own], trust[own] = inner.proposed[own], inner.trust[own]
    return _Judgement(proposed, np.clip(trust, 0, 1), (codes != MISSING) & (proposed != codes))


def _charts(
    run: Run, master: Run | None, score: np.ndarray, kept: np.ndarray, how: Distilling | None, choice: Choice
) -> list[Chart]:
    charts = []
    shown, name = score, choice.name
    if np.isnan(score).all() and master is not None and "aum" in master.ledger.columns:
        shown, name = master.ledger.columns["aum"].astype(np.float64), "aum"
    finite = np.isfinite(shown)
    if finite.any() and len(shown) == len(kept):
        edges = np.linspace(shown[finite].min(), shown[finite].max() + 1e-9, 31)
        middle = (edges[:-1] + edges[1:]) / 2
        series: dict[str, Any] = {
            what: (middle, np.histogram(shown[finite & rows], edges)[0].astype(float))
            for what, rows in (("kept", kept), ("dropped", ~kept))
        }
        says = f"How many samples were kept ({kept.sum():,}) and dropped ({(~kept).sum():,}), by their {name}."
        charts.append(Chart("What was kept", says, series, x=name, y="samples"))
    if how is not None and how.tried:
        tried = sorted((float(a), right) for a, right in how.tried.items())
        says = f"The teacher's weight was chosen as {how.alpha:g}: the best on a tenth of the given labels, held out."
        points = ([a for a, _ in tried], [100 * right for _, right in tried])
        charts.append(
            Chart("Choosing the teacher's weight", says, {"student": points}, x="alpha", y="right, in percent")
        )
    lines = {
        who: ([r["epoch"] for r in one.history], [r.get("train_loss") for r in one.history])
        for who, one in (("teacher", master), ("student", run))
        if one is not None and one.history
    }
    if lines:
        says = "The loss of each training, epoch by epoch; the student's has the teacher's weight in it."
        charts.append(Chart("Loss while training", says, lines, x="epoch", y="loss"))
    return charts
