"""What the label of a whole item is, where it is no class: read, written as text, compared, and taken apart.

A decision holds the item's new label as text. Which text that is, whether it fits the item, and in which places it
differs from another one, is asked of a ``Form``, of which there is one for each kind of labels.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from errata.errors import DataError, LedgerError
from errata.ledger import Ledger
from errata.storage import source_path

__all__ = [
    "CLASSES",
    "DRAWN",
    "REMOVE",
    "TAKE",
    "Form",
    "Part",
    "flagged_parts",
    "listed",
    "place_of_labels",
    "task_of",
]

CLASSES = "classification"
"""The task of ledgers whose rows have a class each; they need no form."""

TAKE, REMOVE = "(as proposed)", "(remove)"
"""Choices for a part besides a name; see ``Form.taken``."""

TASKS = ("tokens", "boxes", "segmentation", "multilabel", "regression")

DRAWN = ("tokens", "boxes", "segmentation")
"""Kinds whose labels lie on something, so that a person can draw them; see ``Form.shapes``."""


class Part(NamedTuple):
    """A place in which two labels of an item differ.

    Parameters
    ----------
    where : in words: "token 3, Kano"
    old, new : what stood and stands there; "" for nothing
    """

    where: str
    old: str
    new: str


def task_of(ledger: Ledger) -> str:
    """The kind of a ledger's labels: a name of ``TASKS``, or ``CLASSES``.

    Examples
    --------
    >>> task_of(Ledger([0], [0], [0.5], classes=["a"], meta={"task": "tokens"}))
    'tokens'
    """
    task = str(ledger.meta.get("task") or "")
    return task if task in TASKS else CLASSES


def place_of_labels(ledger: Ledger, folder: Path | None = None) -> Path | None:
    """The file or folder that holds a ledger's labels; None where it isn't there.

    Of masks that a network was trained on that is not the folder of the images.
    """
    label = ledger.meta.get("label")
    if task_of(ledger) == "segmentation" and isinstance(label, str):
        return source_path({"source": label, "source_path": ledger.meta.get("label_path")}, folder)
    return source_path(ledger.meta, folder)


def flagged_parts(ledger: Ledger, names: Sequence[str]) -> dict[Any, list[tuple[Any, ...]]]:
    """The parts that look wrong, by row: the values of some columns, in the order of the table."""
    if ledger.parts is None:
        return {}
    some = ledger.parts[ledger.parts["issue"].to_numpy(dtype=bool)]
    found: dict[Any, list[tuple[Any, ...]]] = {}
    for row, values in zip(some["row"].tolist(), zip(*(some[name].tolist() for name in names))):
        found.setdefault(row, []).append(values)
    return found


class Form(ABC):
    """The labels of a ledger's items, as they stand in the data.

    Parameters
    ----------
    ledger : of the kind

    Attributes
    ----------
    names : what may be chosen: classes of boxes and pixels, types of entities, labels of a set
    """

    task = ""
    names: list[str]

    moved: Mapping[int, int] | None = None
    """Where rows stand now, in data from which some were dropped."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.names = [str(name) for name in ledger.meta.get("label_names") or []]

    def row(self, position: int) -> int:
        """Where a row of the ledger stands in the data."""
        if self.ledger.index.dtype.kind not in "iu":
            raise LedgerError(f"The ledger's rows have names, such as {self.ledger.index[0]!r}; numbers are needed.")
        row = int(self.ledger.index[position])
        if self.moved is None:
            return row
        if row not in self.moved:
            raise DataError(f"expected row {row} in the data; it was dropped from them")
        return self.moved[row]

    def place(self, position: int) -> int:
        """Where a row's label stands among those of the data."""
        return self.row(position)

    def of(self, labels: Any, number: int) -> Any:
        """The label of an item in labels of the form's own sort, such as those of a corrected copy."""
        raise NotImplementedError

    @abstractmethod
    def given(self, position: int) -> Any:
        """The label of an item, as the data hold it.

        Raises
        ------
        DataError
            where the data have no such item, or it can't be read
        """

    def proposed(self, position: int) -> Any:
        """The label with everything that the ledger proposes for the item's flagged parts."""
        return self.taken(position, [TAKE] * len(self.doubts(position)))

    @abstractmethod
    def doubts(self, position: int) -> list[Part]:
        """The item's flagged parts, with what is given and what is proposed for each."""

    @abstractmethod
    def taken(self, position: int, choices: Sequence[str]) -> Any:
        """The label with a choice for each of ``doubts``.

        Parameters
        ----------
        choices : "" leaves a part as it is given, ``TAKE`` takes what is proposed, ``REMOVE`` leaves it out where that
            can be; else a name of ``part_names``

        Raises
        ------
        DataError
            where a choice is none of these
        """

    @property
    def part_names(self) -> list[str]:
        """What a part may be called."""
        return self.names

    @abstractmethod
    def text(self, position: int, label: Any) -> str:
        """A label as the text that a decision holds."""

    @abstractmethod
    def read(self, position: int, text: str) -> Any:
        """A label from that text.

        Raises
        ------
        DataError
            where it is none, or does not fit the item: what was expected, what was found
        """

    @abstractmethod
    def same(self, one: Any, other: Any) -> bool:
        """Whether two labels of an item are the same."""

    @abstractmethod
    def parts(self, position: int, old: Any, new: Any) -> list[Part]:
        """The places in which they differ."""

    def check(self, position: int, label: Any) -> None:  # noqa: B027 (most kinds have none to refuse)
        """Refuse a label that nobody can mean, such as a box beside its picture; it came from a person or a tool.

        Raises
        ------
        DataError
            where it is one
        """

    def shapes(self, position: int, label: Any) -> list[dict[str, Any]]:
        """What a person can draw of a label, in JSON's types: boxes, areas of a mask, spans of tokens.

        Of a mask these are the areas that differ from the given one, else all that the label has.
        """
        raise NotImplementedError

    def of_shapes(self, position: int, shapes: Sequence[Any]) -> Any:
        """The label that was drawn; the way back from ``shapes``.

        Raises
        ------
        DataError
            where they are none, or do not fit the item
        """
        raise NotImplementedError

    def fits(self, position: int, label: Any) -> bool:
        """Whether the ledger can have been made from this label, as far as it remembers."""
        return True

    def unknown(self, label: Any) -> str | None:
        """The first name in a label that the ledger has not; None where it knows all."""
        return None

    def shown(self, position: int, label: Any) -> str:
        """A label in short, for people and for a table."""
        return self.text(position, label)


def listed(text: str, what: str) -> list[Any]:
    """A JSON list.

    Parameters
    ----------
    what : what it should hold, for the message

    Raises
    ------
    DataError
        where the text is none

    Examples
    --------
    >>> listed("[1, 2]", "numbers")
    [1, 2]
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # the second for brackets within brackets without end
        found = None
    if not isinstance(found, list):
        raise DataError(f"expected a JSON list of {what}; found {text[:60]!r}")
    return found


def needs(mapping: Mapping[str, Any], name: str, kinds: tuple[type, ...], what: str) -> Any:
    """A member of a JSON object that is of one of the kinds.

    Raises
    ------
    DataError
        where it is not
    """
    value = mapping.get(name)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise DataError(f"expected {what} in '{name}'; found {str(value)[:60]!r}")
    return value


def plain(value: Any) -> Any:
    """A NumPy scalar as Python's own."""
    return value.item() if isinstance(value, np.generic) else value
