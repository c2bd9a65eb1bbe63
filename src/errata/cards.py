"""Cards: what a system is, from which paper, what it changes and what it needs; and the registry that finds them.

The registry knows the systems by name only. A card lies in a JSON-like literal beside the list
(``errata.systems.<task>.CARDS``), not in the system's module, so that ``errata.systems()`` and ``errata --help`` import
no system and no torch. The system's class carries the same object as its ``card``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from errata.errors import ParameterError, UnknownNameError

__all__ = ["CHANGES", "Card", "Registry"]

CHANGES = ("loss", "weight", "target", "input", "model", "query")
"""The six things about a sample that a system may change."""


@dataclass(frozen=True)
class Card:
    """What a system is.

    Parameters
    ----------
    slug : its short name, as on the command line: ``"elr-plus"``
    name : its name in words
    task : the kind of task, and the sub-package that holds it: ``"classification"``
    changes : which of ``CHANGES`` it changes about a sample
    needs : what it needs beyond a model and labels, in words: ``("row index",)``
    summary : one line that says the idea
    path : ``"module:attribute"`` of the class or function
    paper, year, arxiv : the source; empty for what no single paper introduced

    Examples
    --------
    >>> card = Card(slug="ce", name="Cross-entropy", task="classification", changes=(), needs=(),
    ...             summary="plain training", path="errata.systems.classification.ce:CrossEntropyTraining")
    >>> card.module
    'errata.systems.classification.ce'
    """

    slug: str
    name: str
    task: str
    changes: tuple[str, ...]
    needs: tuple[str, ...]
    summary: str
    path: str
    paper: str = ""
    year: int | None = None
    arxiv: str = ""

    def __post_init__(self) -> None:
        odd = [c for c in self.changes if c not in CHANGES]
        if odd:
            raise ParameterError(
                f"Card '{self.slug}': changes must be among {', '.join(CHANGES)}; got {', '.join(odd)}."
            )
        if self.path.count(":") != 1:
            raise ParameterError(f"Card '{self.slug}': path must read 'module:attribute'; got '{self.path}'.")

    @property
    def module(self) -> str:
        """The module that holds the system."""
        return self.path.split(":")[0]

    def load(self) -> Any:
        """Import the system's module and return the class or function itself."""
        module, attribute = self.path.split(":")
        return getattr(importlib.import_module(module), attribute)

    def to_dict(self) -> dict[str, Any]:
        """The card as plain JSON types."""
        return asdict(self)


class Registry:
    """An ordered set of cards, found by slug.

    Examples
    --------
    >>> registry = Registry([Card("a", "A", "classification", ("loss",), (), "an example", "math:sqrt")])
    >>> registry.load("a")(4.0)
    2.0
    >>> [card.slug for card in registry.select(changes="loss")]
    ['a']
    """

    def __init__(self, cards: Iterable[Card] = ()) -> None:
        self._cards: dict[str, Card] = {}
        for card in cards:
            self.add(card)

    def add(self, card: Card) -> None:
        """Add a card, so that commands and ``train`` know the system; a second card of the same slug is refused."""
        if card.slug in self._cards:
            raise ParameterError(f"A system with the slug '{card.slug}' is registered already; choose another slug.")
        self._cards[card.slug] = card

    def select(self, task: str | None = None, changes: str | None = None) -> list[Card]:
        """The cards of a task, or of those systems that change a given thing; all of them by default."""
        if changes is not None and changes not in CHANGES:
            raise UnknownNameError("thing that a system changes", changes, CHANGES)
        tasks = {c.task for c in self._cards.values()}
        if task is not None and task not in tasks:
            raise UnknownNameError("task", task, sorted(tasks))
        return [
            c
            for c in self._cards.values()
            if (task is None or c.task == task) and (changes is None or changes in c.changes)
        ]

    def card(self, slug: str) -> Card:
        """The card of ``slug``; an unknown one is told with the nearest known."""
        if slug not in self._cards:
            raise UnknownNameError("system", slug, self._cards, "`errata systems` lists them.")
        return self._cards[slug]

    def load(self, slug: str) -> Any:
        """The class or function of ``slug`` itself."""
        return self.card(slug).load()
