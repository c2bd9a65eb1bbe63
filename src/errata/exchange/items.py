"""What goes out and what comes back, the same for all tools; and how an answer is checked against the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errata.errors import DataError
from errata.forms import Form

__all__ = ["ACTION", "DROP", "LABEL", "Answer", "Item", "Known", "Picture", "Whole", "fault"]

LABEL, ACTION = "label", "action"
"""The names of the two questions that are asked in a tool: which class, and whether to leave the row out."""

DROP = "drop"
ROW, GIVEN, PROPOSED, TRUST, REVIEWER, NOTE, DOUBTS = (
    f"errata_{name}" for name in ("row", "given", "proposed", "trust", "reviewer", "note", "doubts")
)
SHOWN = 5  # classes in a message
MOST_DOUBTS = 20  # places of a row in which it looks wrong, told in words


@dataclass(frozen=True)
class Picture:
    """A picture that goes out.

    Parameters
    ----------
    name : its path below the source's folder, or a name made from the row where it has no file
    path : its file; None where it has none, or where it is not known
    png : its content, for those without a file; None as well where only the name is known
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
class Whole:
    """A row's label that is no class: tokens, boxes, a mask, several labels, a number.

    Parameters
    ----------
    form : how such labels are read and written
    position : the row's place in the ledger
    given, proposed : labels as the form has them
    """

    form: Form
    position: int
    given: Any
    proposed: Any

    def decided(self, answer: Answer) -> Any:
        """The label that a decision leaves."""
        return self.given if answer.label is None else self.form.read(self.position, answer.label)

    @property
    def doubts(self) -> str:
        """What is proposed to be changed, in words."""
        told = []
        for where, old, new in self.form.parts(self.position, self.given, self.proposed)[:MOST_DOUBTS]:
            told.append(f"{where}: {old or 'nothing'} → {new or 'nothing'}".removeprefix(": "))
        return "; ".join(told)


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
    whole : the label itself, where it is no class; ``given`` and ``proposed`` are then its texts
    """

    row: int | str
    given: str | None
    proposed: str | None
    trust: float | None
    text: str | None = None
    picture: Picture | None = None
    values: dict[str, str] = field(default_factory=dict)
    answers: tuple[Answer, ...] = ()
    whole: Whole | None = None

    @property
    def kind(self) -> str:
        """What there is to see of it: "text", "image" or "values"."""
        return "text" if self.text is not None else "image" if self.picture is not None else "values"

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
    form : of labels that are no classes
    """

    def __init__(
        self,
        rows: Iterable[int | str],
        given: Iterable[str | None],
        classes: Iterable[str],
        form: Form | None = None,
    ) -> None:
        self.given = {str(row): (row, label) for row, label in zip(rows, given)}
        self.position = {row: i for i, row in enumerate(self.given)}
        self.form = form
        self.classes = list(classes) if form is None else form.names
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
        """Keep or relabel, by the class that was chosen; of labels that are no classes, by the text of a decision.

        Raises
        ------
        DataError
            where row or class are unknown
        """
        if self.form is not None:
            form = self.form
            said = {"reviewer": reviewer, "when": when, "note": note}
            return self.whole(where, row, lambda position: form.read(position, label), **said)
        known = self.row(row, where)
        name = str(label) if isinstance(label, (str, int, float)) and not isinstance(label, bool) else None
        if name not in self._classes:
            raise fault(where, f"one of the classes {self.some_classes}", label)
        same = name == self.given[str(known)][1]
        return Answer(known, "keep" if same else "relabel", None if same else name, reviewer, when, note)

    def whole(
        self,
        where: str,
        row: Any,
        label_of: Callable[[int], Any],
        *,
        reviewer: str = "",
        when: str = "",
        note: str = "",
    ) -> Answer:
        """Keep or relabel, by a label that is no class.

        Parameters
        ----------
        label_of : from the row's place in the ledger to the label

        Raises
        ------
        DataError
            where the row is unknown, or the label does not fit it
        """
        if self.form is None:
            raise fault(where, "a class", "a label of another kind")
        known = self.row(row, where)
        position = self.position[str(known)]
        try:
            label, given = label_of(position), self.form.given(position)
            self.form.check(position, label)
            name = self.form.unknown(label)
            same = self.form.same(label, given)
            text = None if same else self.form.text(position, label)
        except DataError as error:
            raise DataError(f"{where}: {error}.") from error
        if name is not None:
            raise fault(where, f"one of the labels {self.some_classes}", name)
        return Answer(known, "keep" if same else "relabel", text, reviewer, when, note)

    @property
    def some_classes(self) -> str:
        """The first classes, for a message."""
        more = f" and {len(self.classes) - SHOWN:,} more" if len(self.classes) > SHOWN else ""
        return f"{', '.join(self.classes[:SHOWN])}{more}"
