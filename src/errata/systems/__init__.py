"""The published systems, known here by their cards only: importing this imports no system.

``errata.systems()`` lists the cards, ``errata.system("elr")`` gives the class. To add a system, write its file in
``errata/systems/<task>/`` and its card in that folder's ``__init__.py`` (or ``errata.systems.register(card)`` from your
own package).
"""

from __future__ import annotations

import importlib
from typing import Any

from errata._lazy import make_callable
from errata.cards import Card, Registry

__all__ = ["card", "list_systems", "load", "register"]

TASKS = (
    "classification",
    "ood",
    "multilabel",
    "segmentation",
    "graphs",
    "streams",
    "federated",
    "budget",
    "compression",
    "merging",
    "label_shift",
)
"""The sub-packages, in the order of the list; each holds the cards of its systems as ``CARDS``."""

_REGISTRY = Registry(card for task in TASKS for card in importlib.import_module(f"{__name__}.{task}").CARDS)


def list_systems(task: str | None = None, changes: str | None = None) -> list[Card]:
    """The cards of all systems, or of those of a task or that change a given thing. Imports no system.

    Examples
    --------
    >>> "elr" in [card.slug for card in list_systems(changes="target")]
    True
    """
    return _REGISTRY.select(task, changes)


def card(slug: str) -> Card:
    """The card of one system."""
    return _REGISTRY.card(slug)


def load(slug: str) -> Any:
    """The class (or function) of one system."""
    return _REGISTRY.load(slug)


def register(new: Card) -> None:
    """Make a system of your own known to ``errata.train``, ``errata.audit`` and the command line of this process."""
    _REGISTRY.add(new)


make_callable(__name__, list_systems)
