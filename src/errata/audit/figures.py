"""The report's figures as plain numbers, to be drawn by its template: where each mark lies and how strong it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from errata.ledger import Ledger

__all__ = ["noise_matrix", "trust_histogram"]

MOST_CLASSES = 100
"""The noise matrix shows so many classes at most; of more, those that are confused the most."""

CHOSEN = 60
WITH_NUMBERS = 14
FAINTEST = 0.004  # a probability below is left blank
LONGEST_NAME = 16
BINS = 20

Figure = dict[str, Any]


def noise_matrix(ledger: Ledger) -> Figure | None:
    """The transition matrix as marks of a heat map: rows are the true classes, columns the given labels.

    Returns
    -------
    dict, or None where there are fewer than two classes; ``cells`` have x, y, ``strength`` in [0, 1], ``right`` for the
    diagonal, and ``text`` where there is room for numbers
    """
    if len(ledger.classes) < 2:
        return None
    shown = _shown_classes(ledger)
    k = len(shown)
    transition = ledger.noise.transition[np.ix_(shown, shown)]
    side = float(np.clip(440 / k, 8, 88))
    font = float(np.clip(side * 0.62, 6.5, 14))
    names = [_cut(str(ledger.classes[i])) for i in shown]
    margin = max(len(n) for n in names) * font * 0.58 + 14
    return {
        "side": round(side, 2),
        "font": round(font, 2),
        "left": round(margin + 22, 1),
        "top": round(margin + 22, 1),
        "width": round(margin + 22 + side * k + 8, 1),
        "height": round(margin + 22 + side * k + 8, 1),
        "extent": round(side * k, 1),
        "names": [{"name": name, "at": round((i + 0.5) * side, 2)} for i, name in enumerate(names)],
        "cells": _cells(transition, side, [str(ledger.classes[i]) for i in shown]),
        "left_out": len(ledger.classes) - k,
        "shown": k,
        "numbered": k <= WITH_NUMBERS,
        "most": min(round(margin + 30 + side * k), 900),
    }


def _shown_classes(ledger: Ledger) -> np.ndarray:
    k = len(ledger.classes)
    if k <= MOST_CLASSES:
        return np.arange(k)
    off = ledger.noise.joint - np.diag(np.diag(ledger.noise.joint))
    return np.sort(np.argsort(-(off.sum(0) + off.sum(1)), kind="stable")[:CHOSEN])


def _cells(transition: np.ndarray, side: float, names: list[str]) -> list[Figure]:
    k = len(transition)
    told = k <= 40  # beyond, a hint on every cell would double the page
    cells = []
    for i, j in zip(*np.nonzero(transition >= FAINTEST)):
        value = float(transition[i, j])
        strength = value**0.5 if i != j else 0.15 + 0.45 * value
        cells.append(
            {
                "x": round(float(j) * side, 2),
                "y": round(float(i) * side, 2),
                "strength": round(min(1.0, strength), 2),
                "right": bool(i == j),
                "text": f"{100 * value:.0f}" if k <= WITH_NUMBERS else "",
                "hint": f"truly {names[i]}, given as {names[j]}: {value:.1%}" if told else "",
            }
        )
    return cells


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def trust_histogram(ledger: Ledger) -> Figure | None:
    """How many rows have which trust: ``bars`` from 0 to 1, with heights in [0, 1] on a logarithmic scale.

    Returns
    -------
    dict, or None where no row has a trust
    """
    known = ~np.isnan(ledger.trust)
    if not known.any():
        return None
    edges = np.linspace(0, 1, BINS + 1)
    everything = np.histogram(ledger.trust[known], edges)[0]
    issues = np.histogram(ledger.trust[known & ledger.issue], edges)[0]
    decades = max(1, int(np.ceil(np.log10(max(2, everything.max())))))
    return {
        "bars": [
            {
                "low": f"{low:.2f}",
                "high": f"{high:.2f}",
                "rows": int(n),
                "issues": int(m),
                "height": _height(n, decades),
                "issue_height": _height(m, decades),
            }
            for low, high, n, m in zip(edges, edges[1:], everything, issues)
        ],
        "lines": [{"label": f"{10**d:,}", "height": _height(10**d, decades)} for d in range(decades + 1)],
    }


def _height(count: float, decades: int) -> float:
    """A single row is a visible sliver, ten to the ``decades`` the full height."""
    return round(float((np.log10(count) + 0.3) / (decades + 0.3)), 4) if count > 0 else 0.0


WIDE, HIGH = 440.0, 220.0
POINTS = 120


def precision_curve(ledger: Ledger) -> Figure | None:
    """The estimated precision of the list by its length, with its interval, as paths in a box of 440 by 220.

    Returns
    -------
    dict, or None where the ledger is not vouched for
    """
    v = ledger.vouched
    if v is None or len(v.n) < 2:
        return None
    some = np.unique(np.linspace(0, len(v.n) - 1, min(POINTS, len(v.n))).round().astype(int))
    n = v.n[some].astype(np.float64)
    first, last = max(1.0, n[0]), max(2.0, n[-1])
    logarithmic = last / first > 50
    x = WIDE * (np.log(np.maximum(n, 1) / first) / np.log(last / first) if logarithmic else n / last)
    issues = int(ledger.issue.sum())
    at = float(np.interp(issues, n, x)) if 0 < issues <= last else None
    middle, low, high = (HIGH * (1 - np.clip(values[some], 0, 1)) for values in (v.precision, v.low, v.high))
    return {
        "line": _path(x, middle),
        "band": f"{_path(x, high)}L{_path(x[::-1], low[::-1])[1:]}Z",
        "ticks": _ticks(first, last, logarithmic),
        "at": None if at is None else round(at, 1),
        "issues": issues,
        "logarithmic": logarithmic,
    }


def _path(x: np.ndarray, y: np.ndarray) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y))


def _ticks(first: float, last: float, logarithmic: bool) -> list[Figure]:
    """Round numbers along the axis."""
    if logarithmic:
        powers = np.arange(np.ceil(np.log10(first)), np.floor(np.log10(last)) + 1)
        return [
            {"label": f"{10 ** int(p):,}", "x": round(WIDE * float(np.log(10**p / first) / np.log(last / first)), 1)}
            for p in powers
        ]
    size = 10.0 ** np.floor(np.log10(last))
    step = next(s for s in (size / 5, size / 2, size, 2 * size, 5 * size) if last / s <= 5)
    step = max(1.0, step)
    return [
        {"label": f"{round(value):,}", "x": round(WIDE * float(value) / last, 1)}
        for value in np.arange(0, last + step / 2, step)
        if value <= last
    ]
