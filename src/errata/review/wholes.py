"""Labels that are no classes on the page: what a row's label is called there, and decisions on some of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errata.errors import DataError, ErrataError, ParameterError, UnknownNameError
from errata.forms import CLASSES, DRAWN, Form, form_of, task_of
from errata.forms.form import listed
from errata.ledger import Ledger

__all__ = ["Doubt", "Wholes"]

WHOLE = ("multilabel", "regression")
"""Kinds whose labels are short enough to be shown as they are."""


@dataclass(frozen=True)
class Doubt:
    """A part of a row that looks wrong.

    Parameters
    ----------
    where, given, proposed : in words
    names : what else it may be called
    removes : whether it can be left out
    """

    where: str
    given: str
    proposed: str
    names: list[str]
    removes: bool


class Wholes:
    """The labels of a ledger whose rows have no class each.

    Parameters
    ----------
    ledger, folder : the ledger, and where it lies
    data : its labels, where it does not tell where they are

    Attributes
    ----------
    form : how the labels are read and written; None where rows have classes, or the labels are not to be had
    said : why they are not, for people; "" where they are
    """

    def __init__(self, ledger: Ledger, folder: Path, data: Any = None) -> None:
        self.form: Form | None = None
        self.said = ""
        if task_of(ledger) == CLASSES:
            return
        try:
            self.form = form_of(ledger, folder, data)
            self._check(ledger)
        except (ErrataError, KeyError) as error:
            self.form = None
            self.said = (
                f"The labels can't be read, so that rows can be kept or dropped but not changed here: {error} "
                "`errata export` brings them into another tool once they are back."
            )

    def _check(self, ledger: Ledger) -> None:
        """The labels of the first rows must be those that the ledger was made from."""
        for position in ledger.order[:3].tolist():
            if self.form is not None and not self.form.fits(position, self.form.given(position)):
                raise DataError("they have changed since the ledger was made. Audit the data again.")

    def labels(self, position: int) -> tuple[str | None, str | None] | None:
        """What the given and the proposed label are called; None where classes say it."""
        form = self.form
        if form is None:
            return None
        given, proposed = form.given(position), form.proposed(position)
        if form.task in WHOLE:
            texts = [form.text(position, label) or None for label in (given, proposed)]
            return texts[0], texts[1]
        changes = len(form.parts(position, given, proposed))
        return "as labelled", f"{changes} change{'' if changes == 1 else 's'}" if changes else "as labelled"

    def proposal(self, position: int) -> str:
        """The text of a decision that takes all that is proposed; "" where nothing is."""
        form = self.form
        if form is None:
            return ""
        given, proposed = form.given(position), form.proposed(position)
        return "" if form.same(given, proposed) else form.text(position, proposed)

    def doubts(self, position: int) -> list[Doubt]:
        """The parts that look wrong, to be chosen among."""
        if self.form is None:
            return []
        removes = self.form.task == "boxes"
        names = self.form.part_names
        return [Doubt(*part, names, removes and bool(part.old)) for part in self.form.doubts(position)]

    def chosen(self, position: int, fields: Mapping[str, str]) -> str:
        """The text of a decision on some parts: a form's fields ``part0``, ``part1``, ...

        Raises
        ------
        ParameterError
            where they do not fit the row
        """
        if self.form is None:
            raise ParameterError("The row has no parts to choose among.")
        count = len(self.form.doubts(position))
        choices = [fields.get(f"part{number}", "") for number in range(count)]
        try:
            return self.form.text(position, self.form.taken(position, choices))
        except DataError as error:
            raise ParameterError(f"Row {self.form.ledger.index[position]}: {error}.") from error

    def drawn(self, position: int, text: str) -> str:
        """The text of a decision on what was drawn: a JSON list of what ``Form.shapes`` gives.

        Raises
        ------
        ParameterError
            where it does not fit the row
        """
        if self.form is None or self.form.task not in DRAWN:
            raise ParameterError("There is nothing to draw on in this row.")
        try:
            return self.form.text(position, self.form.of_shapes(position, listed(text, "shapes")))
        except DataError as error:
            raise ParameterError(f"Row {self.form.ledger.index[position]}: {error}.") from error

    def shown(self, position: int, text: str) -> str:
        """A decision's label in short, for people."""
        form = self.form
        if form is None or form.task not in ("boxes", "segmentation"):
            return text
        try:
            return form.shown(position, form.read(position, text))
        except DataError:  # decided elsewhere, on other data: it is told as it is
            return text

    def settled(self, position: int, text: str) -> str | None:
        """A label as its form writes it; None where it is the given one.

        Raises
        ------
        ParameterError
            where it does not fit the row
        UnknownNameError
            where it has a name that the ledger has not
        """
        form = self.form
        if form is None:
            return text
        try:
            label = form.read(position, text)
            if form.same(label, form.given(position)):
                return None
            name = form.unknown(label)
            if name is not None:
                raise UnknownNameError("label", name, form.names)
            return form.text(position, label)
        except DataError as error:
            raise ParameterError(f"Row {form.ledger.index[position]}: {error}.") from error
