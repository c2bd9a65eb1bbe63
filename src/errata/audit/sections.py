"""What the report says beside the rows: how far the list is vouched for, findings, finer rows, annotators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.parts_shown import places, single
from errata.audit.rows import WORST, short

if TYPE_CHECKING:
    from errata.ledger import Ledger

__all__ = ["annotators", "findings", "held_out", "parts", "parts_by_class", "vouched"]

PROMISE = 0.9
"""The share of wrong labels for which the report says how far down the list it holds."""

ROWS = 24  # of a finding
DETAILS = 12
WORST_PARTS, FIRST_PARTS, MOST_KINDS = 60, 15, 30
MOST_ANNOTATORS = 50
STEPS = (25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000)
GRADES = ((0.7, "serious"), (0.35, "worth a look"), (0.0, "a remark"))
NAMES = {
    "near_duplicates": "Near duplicates",
    "exact_duplicates": "Exact duplicates",
    "conflicting_duplicates": "The same sample, labelled differently",
    "outliers": "Outliers",
    "rare_classes": "Rare classes",
    "empty_classes": "Classes without a row",
    "class_imbalance": "Unequal classes",
    "leakage": "Leakage between splits",
    "constant_features": "Columns that say nothing",
    "missing_values": "Missing values",
    "drift": "Drift in the order of rows",
}


def vouched(ledger: Ledger) -> dict[str, Any] | None:
    """How precise the list is estimated to be: at its whole length, by steps, and as far as ``PROMISE`` holds."""
    v = ledger.vouched
    if v is None or not len(v.n):
        return None
    issues = min(max(1, int(ledger.issue.sum())), int(v.n[-1]))
    promised = v.rows_for(PROMISE)
    steps = [n for n in STEPS if v.n[0] <= n < issues]
    shown = [*steps[:: max(1, -(-len(steps) // 5))], issues]
    return {
        "errors": v.errors,
        "range": None if np.isnan(v.errors_low + v.errors_high) else (v.errors_low, v.errors_high),
        "checked": v.checked,
        "notes": list(v.notes),
        "issues": issues,
        "whole": v.at(issues),
        "first": v.at(min(WORST, issues)),
        "promise": PROMISE,
        "promised": promised,
        "at_promise": v.at(max(1, promised)),
        "steps": [{"n": n, **v.at(n)} for n in shown],
    }


def held_out(ledger: Ledger) -> dict[str, float] | None:
    """How many labels are wrong by the rows that a training held out: about, at least, at most."""
    told = ledger.meta.get("held_out")
    if not isinstance(told, dict):
        return None
    labelled = int((ledger.given >= 0).sum())
    counts = {"about": told["share"], "low": told["low"], "high": told["high"]}
    return {"rows": int(told["rows"]), **{name: labelled * float(share) for name, share in counts.items()}}


def findings(ledger: Ledger) -> list[dict[str, Any]]:
    """What else was found, the most severe first."""
    ordered = sorted(ledger.findings, key=lambda found: -found.severity)
    return [
        {
            "name": NAMES.get(found.name, found.name.replace("_", " ").capitalize()),
            "count": int(found.count),
            "says": found.says,
            "severity": float(np.clip(found.severity, 0, 1)),
            "grade": next(word for least, word in GRADES if found.severity >= least or least == 0.0),
            "rows": [str(row) for row in np.asarray(found.rows)[:ROWS].tolist()],
            "more": max(0, len(found.rows) - ROWS),
            "details": _details(found.details),
        }
        for found in ordered
    ]


def _details(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(str(name).replace("_", " "), _told(value)) for name, value in list(details.items())[:DETAILS]]


def _told(value: Any) -> str:
    """A value of JSON for people."""
    if isinstance(value, Mapping):
        return short(", ".join(f"{name}: {_told(v)}" for name, v in value.items()))
    if isinstance(value, (list, tuple)):
        return short(", ".join(f"({_told(v)})" if isinstance(v, (list, tuple)) else _told(v) for v in value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return short(value)


def parts(ledger: Ledger) -> dict[str, Any] | None:
    """The most suspicious of the finer rows; None where there are none."""
    if ledger.parts is None or not len(ledger.parts):
        return None
    table = ledger.parts
    issues = table["issue"].to_numpy(dtype=bool)
    rank = table["rank"].to_numpy()
    flagged = np.flatnonzero(issues)
    some = flagged[np.argsort(rank[flagged], kind="stable")[:WORST_PARTS]]
    worst = table.iloc[some]
    more = places(worst)
    return {
        "n": len(table),
        "issues": int(issues.sum()),
        "rows": int(table["row"].nunique()),
        "columns": [str(name).replace("_", " ") for name in more.columns],
        "first": FIRST_PARTS,
        "worst": [_part(ledger, line, place) for line, place in zip(worst.to_dict("records"), more.to_dict("records"))],
    }


def _part(ledger: Ledger, line: Mapping[Any, Any], place: Mapping[Any, Any]) -> dict[str, Any]:
    trust = float(line["trust"])
    return {
        "row": ledger.called(line["row"]) if ledger.kind.names else str(line["row"]),
        "given": short(single(line["given"])) or "nothing",
        "proposed": short(single(line["proposed"])) or "nothing",
        "trust": 0.0 if np.isnan(trust) else trust,
        "more": [short(single(value)) for value in place.values()],
    }


def parts_by_class(ledger: Ledger) -> list[dict[str, Any]]:
    """The finer rows by label or class, those with most issues first; empty where they have neither."""
    if ledger.parts is None:
        return []
    name = next((name for name in ("label", "class") if name in ledger.parts.columns), None)
    if name is None:
        return []
    grouped = ledger.parts.groupby(name, sort=False, observed=True)
    table = grouped.agg(n=("issue", "size"), issues=("issue", "sum"), trust=("trust", "mean"))
    table = table.sort_values(["issues", "n"], ascending=False, kind="stable").head(MOST_KINDS)
    return [
        {"name": str(which), "n": int(n), "issues": int(issues), "share": issues / n, "trust": float(trust)}
        for which, n, issues, trust in table.itertuples()
    ]


def annotators(ledger: Ledger) -> dict[str, Any] | None:
    """Who gave the labels, and how good they are: the table in the ledger's ``meta``; None where there is none."""
    told = ledger.meta.get("annotators")
    if not isinstance(told, (list, tuple)) or not told or not all(isinstance(one, Mapping) for one in told):
        return None
    columns = [str(name) for name in told[0]]
    return {
        "columns": [name.replace("_", " ") for name in columns],
        "lines": [[short(single(one.get(name))) for name in columns] for one in told[:MOST_ANNOTATORS]],
        "more": max(0, len(told) - MOST_ANNOTATORS),
    }
