"""``report.html``: one page that opens anywhere, without a network, and says what is wrong with the labels.

Everything that comes from the data (labels, texts, file names) reaches the page through a template that escapes it, and
the page's content policy forbids scripts and requests of any kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit import charts, figures, sections
from errata.audit.rows import SINGLE, WORST, near_count, worst_rows
from errata.audit.vouching import RULES
from errata.labels import MISSING

if TYPE_CHECKING:
    from errata.ledger import Ledger

__all__ = ["render"]

FIRST_ROWS, FIRST_IMAGES = 9, 10  # near the top, in full lines; the others at the end
MOST_PAIRS = 10
FIRST_CLASSES = 30  # in view; the others fold away
MOST_CLASSES = 2000
METHODS = {
    "confident": "confident learning",
    "neighbours": "agreement with the nearest rows",
    "dynamics": "the course of one training run",
    "ensemble": "several signals together",
    "energy": "free energy of the predictions",
    "msp": "largest probability",
    "maxlogit": "largest logit",
    "uniform": "distance from a uniform prediction",
    "odin": "ODIN",
    "mahalanobis": "Mahalanobis distance to the nearest class",
    "knn": "distance to the nearest rows of the training data",
}
STEPS = (25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000)


def render(ledger: Ledger) -> str:
    """The report on a ledger as one self-contained HTML page.

    Parameters
    ----------
    ledger : where its ``data`` is a ``Data``, rows are shown with picture, text or values; else by number

    Returns
    -------
    str, at most about 5 MB whatever the number of rows and classes

    Examples
    --------
    >>> from errata.ledger import Ledger
    >>> page = render(Ledger([0, 1, 1], [0, 1, 0], [0.9, 0.8, 0.1], classes=["<cat>", "dog"]))
    >>> "of 3 labels" in page, "<cat>" in page, "&lt;cat&gt;" in page
    (True, False, True)
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("errata.audit", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(count=_count, percent=_percent, chance=_chance)
    kind = "" if ledger.data is None else str(ledger.data.kind)
    classed = list(ledger.classes) != SINGLE and ledger.kind.classed
    rows = worst_rows(ledger)
    return environment.get_template("report.html.j2").render(
        title=_title(ledger),
        about=_about(ledger),
        head=_headline(ledger, classed),
        vouched=sections.vouched(ledger),
        held_out=sections.held_out(ledger),
        trained="epochs" in ledger.meta and "hyperparameters" in ledger.meta,
        curve=figures.precision_curve(ledger),
        steps=_steps(ledger),
        findings=sections.findings(ledger),
        pairs=_pairs(ledger) if classed else [],
        matrix=figures.noise_matrix(ledger) if classed else None,
        histogram=figures.trust_histogram(ledger),
        charts=charts.drawn(ledger),
        words=ledger.kind,
        classes=_classes(ledger) if classed else [],
        first_classes=FIRST_CLASSES,
        parts=sections.parts(ledger),
        part_classes=sections.parts_by_class(ledger),
        annotators=sections.annotators(ledger),
        rows=rows,
        has_near=any(row["near"] for row in rows),
        most_near=near_count(ledger),
        first_rows=FIRST_IMAGES if kind == "image" else FIRST_ROWS,
        kind=kind,
        notes=[str(note) for note in ledger.meta.get("notes", [])] + _caveats(ledger),
    )


def _caveats(ledger: Ledger) -> list[str]:
    """When not to believe what is vouched for; that errors by rules can't be seen is among the things to do."""
    return [] if ledger.vouched is None else [note for note in ledger.vouched.notes if note != RULES]


# -- words and numbers ------------------------------------------------------------------------------------------------


def _count(number: float) -> str:
    return f"{round(number):,}"


def _percent(share: float) -> str:
    if 0 < share < 0.0005:
        return "< 0.1%"
    return f"{share:.1%}" if share < 0.9995 or share == 1 else "> 99.9%"


def _chance(value: float) -> str:
    """A probability in words as short as honest: never 0 or 1."""
    return "< 0.01" if value < 0.01 else "> 0.99" if value > 0.99 else f"{value:.2f}"


def _title(ledger: Ledger) -> str:
    source = str(ledger.meta.get("source") or (ledger.data.source if ledger.data is not None else ""))
    return source.rstrip("/").rsplit("/", 1)[-1] or "the labels"


def _about(ledger: Ledger) -> list[tuple[str, str]]:
    meta = ledger.meta
    method = str(meta.get("method", ""))
    rows = [("Source", str(meta.get("source", ""))), ("Label", str(meta.get("label", "") or ""))]
    if method in METHODS or "epochs" not in meta:
        rows.append(("Method", METHODS.get(method, method)))
        rows.append(("Probabilities", str(meta.get("probabilities", ""))))
        rows.append(("Rule", str(meta.get("rule", "")).replace("_", " ")))
    else:
        rows.append(("Method", f"a training run with '{method}'"))
        rows.append(("Epochs", str(meta.get("epochs", ""))))
    rows.append(("Seed", str(meta.get("seed", ""))))
    return [(name, value) for name, value in rows if value]


def _headline(ledger: Ledger, classed: bool) -> dict[str, Any]:
    """The page's first sentence and what it rests on."""
    labelled = int((ledger.given != MISSING).sum())
    issues = int(ledger.issue.sum())
    first = ledger.order[: min(WORST, issues)]
    distrust = 1.0 - ledger.trust[ledger.order[:labelled]].astype(np.float64)
    found = np.cumsum(np.nan_to_num(distrust))
    half = int(np.searchsorted(found, found[-1] / 2)) + 1 if labelled and found[-1] > 0 else 0
    return {
        "rows": len(ledger),
        "classed": classed,
        "labelled": labelled,
        "unlabelled": len(ledger) - labelled,
        "issues": issues,
        "share": issues / labelled if labelled else 0.0,
        "rate": ledger.noise.rate if labelled else 0.0,
        "classes": len(ledger.classes),
        "first": len(first),
        "first_wrong": float(np.nansum(1.0 - ledger.trust[first])),
        "half": half,
        "half_share": half / labelled if labelled else 0.0,
    }


def _steps(ledger: Ledger) -> list[dict[str, float]]:
    """What is found by checking the first n rows, by the ledger's own reckoning."""
    issues = int(ledger.issue.sum())
    labelled = int((ledger.given != MISSING).sum())
    wrong = np.cumsum(np.nan_to_num(1.0 - ledger.trust[ledger.order[:labelled]].astype(np.float64)))
    if issues == 0 or wrong[-1] <= 0:
        return []
    steps = [n for n in STEPS if n < issues]
    shown = [*steps[:: max(1, -(-len(steps) // 4))], issues]
    return [
        {"n": n, "wrong": wrong[n - 1], "precision": wrong[n - 1] / n, "recall": wrong[n - 1] / wrong[-1]}
        for n in shown
    ]


def _pairs(ledger: Ledger) -> list[dict[str, Any]]:
    """The (given, proposed) pairs with most issues."""
    k = len(ledger.classes)
    flagged = ledger.issue & (ledger.proposed != MISSING) & (ledger.given != MISSING)
    codes = ledger.given[flagged].astype(np.int64) * k + ledger.proposed[flagged]
    pairs, counts = np.unique(codes, return_counts=True)
    labels = np.bincount(ledger.given[ledger.given != MISSING], minlength=k)
    best = np.argsort(-counts, kind="stable")[:MOST_PAIRS]
    top = int(counts[best[0]]) if len(best) else 1
    return [
        {
            "given": str(ledger.classes[pairs[i] // k]),
            "proposed": str(ledger.classes[pairs[i] % k]),
            "rows": int(counts[i]),
            "share": counts[i] / labels[pairs[i] // k],
            "bar": counts[i] / top,
        }
        for i in best
    ]


def _classes(ledger: Ledger) -> list[dict[str, Any]]:
    """The classes with their issues, those with most first."""
    k = len(ledger.classes)
    known = ledger.given != MISSING
    labels = np.bincount(ledger.given[known], minlength=k)
    issues = np.bincount(ledger.given[ledger.issue & known], minlength=k)
    gains = np.bincount(ledger.proposed[ledger.issue & (ledger.proposed != MISSING)], minlength=k)
    trust = np.bincount(ledger.given[known], weights=np.nan_to_num(ledger.trust[known]), minlength=k)
    order = np.lexsort((np.arange(k), -labels, -issues))[:MOST_CLASSES]
    return [
        {
            "name": str(ledger.classes[i]),
            "labels": int(labels[i]),
            "issues": int(issues[i]),
            "share": issues[i] / labels[i] if labels[i] else 0.0,
            "gains": int(gains[i]),
            "trust": trust[i] / labels[i] if labels[i] else None,
        }
        for i in order
    ]
