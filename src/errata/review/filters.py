"""Which rows a reviewer wants to see: a pair of classes, a range of trust, what is open, skipped or decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from errata.errors import ParameterError, UnknownNameError

__all__ = ["SHOW", "Filter"]

SHOW = ("open", "skipped", "decided")


@dataclass(frozen=True)
class Filter:
    """A choice of rows.

    Parameters
    ----------
    given, proposed : codes of classes; None for any
    low, high : trust in [low, high]
    show : "open", what is to be decided; "skipped", what this reviewer has skipped; "decided", what was decided
    reviewer : decided by whom, for "decided"; None for anyone
    annotator : who gave the label, where the ledger has a column "annotator" (or "annotators"); None for anyone

    Examples
    --------
    >>> Filter.read({"given": "cat", "high": "0.5"}, ["cat", "dog"])
    Filter(given=0, proposed=None, low=0.0, high=0.5, show='open', reviewer=None, annotator=None)
    """

    given: int | None = None
    proposed: int | None = None
    low: float = 0.0
    high: float = 1.0
    show: str = "open"
    reviewer: str | None = None
    annotator: str | None = None

    @classmethod
    def read(cls, query: Mapping[str, str], classes: Sequence[Any]) -> Filter:
        """From the query of an address; what is empty or missing doesn't restrict.

        Raises
        ------
        UnknownNameError
            where there is no such class or choice
        ParameterError
            where a trust is no number in [0, 1]
        """
        show = query.get("show") or ("decided" if query.get("reviewer") else "open")
        if show not in SHOW:
            raise UnknownNameError("choice of rows", show, SHOW)
        return cls(
            _code(query.get("given"), classes),
            _code(query.get("proposed"), classes),
            _trust(query.get("low"), 0.0),
            _trust(query.get("high"), 1.0),
            show,
            query.get("reviewer") or None,
            query.get("annotator") or None,
        )

    def query(self, classes: Sequence[Any]) -> str:
        """The filter as the query of an address; "" where it doesn't restrict."""
        said: dict[str, Any] = {
            "given": None if self.given is None else classes[self.given],
            "proposed": None if self.proposed is None else classes[self.proposed],
            "low": self.low if self.low > 0 else None,
            "high": self.high if self.high < 1 else None,
            "show": self.show if self.show != "open" else None,
            "reviewer": self.reviewer,
            "annotator": self.annotator,
        }
        return urlencode({name: value for name, value in said.items() if value is not None})

    @property
    def rows(self) -> tuple[int | None, int | None, float, float, str | None]:
        """What it says of the rows themselves, whatever was decided on them."""
        return self.given, self.proposed, self.low, self.high, self.annotator


def _code(text: str | None, classes: Sequence[Any]) -> int | None:
    if not text:
        return None
    for code, name in enumerate(classes):
        if str(name) == text:
            return code
    raise UnknownNameError("class", text, classes)


def _trust(text: str | None, default: float) -> float:
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ParameterError(f"A trust is a number from 0 to 1; got '{text}'.")
    return value
