"""The charts that a ledger carries, as plain numbers for the report's template: where each line and bar lies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from errata.charts import Chart
    from errata.ledger import Ledger

__all__ = ["drawn"]

WIDE, HIGH = 434.0, 220.0
LONGEST_NAME = 12
GAP = 0.25  # of a bar's place that stays free


def drawn(ledger: Ledger) -> list[dict[str, Any]]:
    """Every chart of the ledger that has a point to show."""
    return [_draw(chart) for chart in ledger.charts if _values(chart)]


def _values(chart: Chart) -> list[float]:
    return [value for _, up in chart.series.values() for value in up if value is not None]


def _draw(chart: Chart) -> dict[str, Any]:
    values = _values(chart)
    low, high, step = _round_range(min(values), max(values), chart.style == "bars")

    def height(value: float) -> float:
        return round(HIGH * (1 - (value - low) / (high - low)), 1)

    bars = chart.style == "bars"
    lines, x_ticks = (_bars if bars else _lines)(chart, height)
    count = round((high - low) / step)
    ticks = [low + i * step for i in range(count + 1)]
    return {
        "title": chart.title,
        "says": chart.says,
        "x": chart.x,
        "y": chart.y,
        "lines": lines,
        "x_ticks": x_ticks,
        "y_ticks": [{"label": _shown(value), "at": height(value)} for value in ticks],
    }


def _round_range(low: float, high: float, from_zero: bool) -> tuple[float, float, float]:
    """A range of round numbers around the values, and the distance of its ticks."""
    if from_zero:
        low, high = min(0.0, low), max(0.0, high)
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(s for s in (size, 2 * size, 2.5 * size, 5 * size, 10 * size) if s >= rough * 0.999)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def _lines(chart: Chart, height: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    across = np.array([float(x) for xs, _ in chart.series.values() for x in xs])
    first, last = float(across.min()), float(across.max())
    span = (last - first) or 1.0
    lines = []
    for number, (name, (xs, ys)) in enumerate(chart.series.items()):
        path, pen = "", "M"
        for x, y in zip(xs, ys):
            if y is None:
                pen = "M"
                continue
            path += f"{pen}{WIDE * (float(x) - first) / span:.1f} {height(y)}"
            pen = "L"
        known = [y for y in ys if y is not None]
        told = f"from {_shown(known[0])} to {_shown(known[-1])}" if known else "nothing known"
        lines.append({"name": name, "number": number, "path": path, "bars": [], "told": told})
    low, high, step = _round_range(first, last, False) if last > first else (first, first, 1.0)
    marks = [low + i * step for i in range(round((high - low) / step) + 1)]
    ticks = [{"label": _shown(x), "at": round(WIDE * (x - first) / span, 1)} for x in marks if first <= x <= last]
    return lines, ticks


def _bars(chart: Chart, height: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    names = list(dict.fromkeys(str(x) for xs, _ in chart.series.values() for x in xs))
    place = WIDE / max(1, len(names))
    wide = place * (1 - GAP) / max(1, len(chart.series))
    ground = height(0.0)
    lines = []
    for number, (name, (xs, ys)) in enumerate(chart.series.items()):
        bars = []
        for x, y in zip(xs, ys):
            if y is None:
                continue
            top = height(y)
            left = names.index(str(x)) * place + place * GAP / 2 + number * wide
            bars.append(
                {
                    "x": round(left, 1),
                    "y": min(top, ground),
                    "width": round(max(wide - 1, 0.5), 1),
                    "height": round(abs(ground - top), 1),
                    "name": str(x),
                    "value": _shown(y),
                }
            )
        told = ", ".join(f"{bar['name']} {bar['value']}" for bar in bars[:8])
        lines.append({"name": name, "number": number, "path": "", "bars": bars, "told": told})
    every = max(1, math.ceil(len(names) / 8))
    ticks = [{"label": _cut(name), "at": round((i + 0.5) * place, 1)} for i, name in enumerate(names) if i % every == 0]
    return lines, ticks


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _shown(value: float) -> str:
    """A number for an axis, without digits that say nothing."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
