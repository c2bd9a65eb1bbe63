"""What goes out and what comes back, the same for all tools; and how an answer is checked against the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errata.errors import DataError

__all__ = ["ACTION", "DROP", "LABEL", "Answer", "Item", "Known", "Picture", "fault"]

LABEL, ACTION = "label", "action"
"""The names of the two questions that are asked in a tool: which class, and whether to leave the row out."""

DROP = "drop"
ROW, GIVEN, PROPOSED, TRUST, REVIEWER, NOTE = (
    f"errata_{name}" for name in ("row", "given", "proposed", "trust", "reviewer", "note")
)
SHOWN = 5  # classes in a message


@dataclass(frozen=True)
class Picture:
    """A picture that goes out.

    Parameters
    ----------
    name : its path below the source's folder, or a name made from the row where it has no file
    path : its file; None where it has none
    png : its content, for those without a file
    width, height : in pixels
    """

    name: str
    path: Path | None
    png: bytes | None
    width: int
    height: int


@dataclass(frozen=True)
class Answer:
    """A decision as it comes from a tool, or goes there: fields as in ``review.Decision``; ``when`` "" if unknown."""

    row: int | str
    action: str
    label: str | None = None
    reviewer: str = ""
    when: str = ""
    note: str = ""


@dataclass(frozen=True)
class Item:
    """A row that goes out.

    Parameters
    ----------
    row : what it is called in the ledger
    given, proposed : class names; None where there is none
    trust : P(given label is right); None without a label
    text : the text, where the row is one
    picture : the picture, where it is one
    values : further columns
    answers : what was decided already
    """

    row: int | str
    given: str | None
    proposed: str | None
    trust: float | None
    text: str | None = None
    picture: Picture | None = None
    values: dict[str, str] = field(default_factory=dict)
    answers: tuple[Answer, ...] = ()

    @property
    def score(self) -> float | None:
        """How sure the proposal is: the trust where it is the given label, what is left of it where it is another."""
        if self.trust is None:
            return None
        return round(self.trust if self.proposed == self.given else 1.0 - self.trust, 4)


def fault(where: str, expected: str, found: Any) -> DataError:
    """What is wrong with a record that came back: which one, what was expected, what was found.

    Examples
    --------
    >>> str(fault("tasks.json, task 3", "a class", 7))
    'tasks.json, task 3: expected a class; found 7.'
    """
    text = repr(found)
    return DataError(f"{where}: expected {expected}; found {text if len(text) <= 120 else text[:117] + '...'}.")


class Known:
    """The ledger's rows and classes, to check answers with.

    Parameters
    ----------
    rows : what the rows are called
    given : (N,) each row's given class, or None
    classes : the class names
    """

    def __init__(self, rows: Iterable[int | str], given: Iterable[str | None], classes: Iterable[str]) -> None:
        self.given = {str(row): (row, label) for row, label in zip(rows, given)}
        self.classes = list(classes)
        self._classes = set(self.classes)

    def row(self, value: Any, where: str) -> int | str:
        """The row that is meant.

        Raises
        ------
        DataError
            where the ledger has no such row
        """
        plain = isinstance(value, (int, str)) and not isinstance(value, bool)
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
        if (not plain and not isinstance(value, float)) or text not in self.given:
            raise fault(where, "a row of the ledger", value)
        return self.given[text][0]

    def answer(self, where: str, row: Any, label: Any, *, reviewer: str = "", when: str = "", note: str = "") -> Answer:
        """Keep or relabel, by the class that was chosen.

        Raises
        ------
        DataError
            where row or class are unknown
        """
        known = self.row(row, where)
        name = str(label) if isinstance(label, (str, int, float)) and not isinstance(label, bool) else None
        if name not in self._classes:
            more = f" and {len(self.classes) - SHOWN:,} more" if len(self.classes) > SHOWN else ""
            raise fault(where, f"one of the classes {', '.join(self.classes[:SHOWN])}{more}", label)
        same = name == self.given[str(known)][1]
        return Answer(known, "keep" if same else "relabel", None if same else name, reviewer, when, note)
