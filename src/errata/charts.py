"""Charts that a ledger carries for its report: accuracy over time, round by round, what a budget buys.

A chart is plain numbers and words, kept in JSON with the ledger; the report draws it. It has no style of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from errata.errors import ParameterError

__all__ = ["MOST_POINTS", "Chart"]

MOST_POINTS = 400
"""Points of a line that are kept; longer ones are thinned evenly, first and last kept."""

STYLES = ("lines", "bars")


@dataclass(frozen=True)
class Chart:
    """One chart.

    Parameters
    ----------
    title : what it shows
    says : one or two sentences for people who can't see it, or don't know how to read it
    series : by name, the points ``(x, y)`` as two sequences of equal length; y may hold None where nothing is known.
        For "bars", x are names
    x, y : what the axes show, with the unit
    style : "lines" or "bars"

    Examples
    --------
    >>> chart = Chart("Accuracy", "It rises.", {"errata": ([1, 2], [0.5, 0.75])}, x="round", y="accuracy")
    >>> Chart.from_plain(chart.plain()) == chart
    True
    """

    title: str
    says: str
    series: Mapping[str, tuple[Sequence[Any], Sequence[float | None]]] = field(default_factory=dict)
    x: str = ""
    y: str = ""
    style: str = "lines"

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise ParameterError(f"The style of a chart must be one of {', '.join(STYLES)}; got {self.style!r}.")
        kept = {}
        for name, (across, up) in self.series.items():
            if len(across) != len(up):
                raise ParameterError(f"Chart '{self.title}': '{name}' has {len(across)} x and {len(up)} y values.")
            kept[str(name)] = _thinned([_plain(v) for v in across], [_number(v) for v in up])
        object.__setattr__(self, "series", kept)

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "title": self.title,
            "says": self.says,
            "series": {name: [list(across), list(up)] for name, (across, up) in self.series.items()},
            "x": self.x,
            "y": self.y,
            "style": self.style,
        }

    @classmethod
    def from_plain(cls, told: Mapping[str, Any]) -> Chart:
        """From what ``plain`` returned."""
        series = {name: (points[0], points[1]) for name, points in told.get("series", {}).items()}
        more = {name: str(told.get(name, "")) for name in ("x", "y")}
        return cls(str(told["title"]), str(told["says"]), series, style=str(told.get("style", "lines")), **more)


def _thinned(across: list[Any], up: list[float | None]) -> tuple[list[Any], list[float | None]]:
    if len(across) <= MOST_POINTS:
        return across, up
    chosen = [round(i * (len(across) - 1) / (MOST_POINTS - 1)) for i in range(MOST_POINTS)]
    return [across[i] for i in chosen], [up[i] for i in chosen]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _number(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None
