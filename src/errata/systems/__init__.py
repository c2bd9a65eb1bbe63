"""The published systems, known here by their cards only: importing this imports no system.

``errata.systems()`` lists the cards, ``errata.system("elr")`` gives the class. To add a system, write its file in
``errata/systems/<task>/`` and its card below (or ``errata.systems.register(card)`` from your own package).
"""

from __future__ import annotations

from typing import Any

from errata._lazy import make_callable
from errata.cards import Card, Registry

__all__ = ["card", "list_systems", "load", "register"]

_CLASSIFICATION = "errata.systems.classification"

CARDS = [
    Card(
        slug="ce",
        name="Cross-entropy",
        task="classification",
        changes=(),
        needs=(),
        summary="plain training, the baseline of every claim; its running predictions fill the ledger",
        path=f"{_CLASSIFICATION}.ce:CrossEntropyTraining",
    ),
    Card(
        slug="robust-loss",
        name="Training with a robust loss",
        task="classification",
        changes=("loss",),
        needs=(),
        summary="any loss of errata.losses in place of cross-entropy (loss='gce' by default)",
        path=f"{_CLASSIFICATION}.robust_loss:RobustLossTraining",
    ),
    Card(
        slug="ogc",
        name="Optimized Gradient Clipping",
        task="classification",
        changes=("loss",),
        needs=("learning rate",),
        summary="clips the loss's gradient at a threshold refitted from a two-Gaussian model of recent losses",
        path=f"{_CLASSIFICATION}.ogc:OptimizedGradientClippingTraining",
        paper="Ye et al., Optimized Gradient Clipping for Noisy Label Learning, AAAI 2025",
        year=2025,
        arxiv="2412.08941",
    ),
    Card(
        slug="anl",
        name="Active Negative Loss",
        task="classification",
        changes=("loss",),
        needs=(),
        summary="a normalised loss plus a normalised negative loss, with optional entropy regularisation",
        path=f"{_CLASSIFICATION}.anl:ActiveNegativeTraining",
        paper="Ye et al., Active Negative Loss Functions for Learning with Noisy Labels, NeurIPS 2023",
        year=2023,
        arxiv="2412.02373",
    ),
    Card(
        slug="elr",
        name="Early-Learning Regularization",
        task="classification",
        changes=("target",),
        needs=("row index",),
        summary="keeps the network near its own running predictions, made before it could memorise wrong labels",
        path=f"{_CLASSIFICATION}.elr:EarlyLearningRegularization",
        paper="Liu et al., Early-Learning Regularization Prevents Memorization of Noisy Labels, NeurIPS 2020",
        year=2020,
        arxiv="2007.00151",
    ),
    Card(
        slug="elr-plus",
        name="Early-Learning Regularization+ (two networks, mixup, weight averaging)",
        task="classification",
        changes=("target", "input", "model"),
        needs=("row index", "two networks"),
        summary="ELR whose targets come from the other network's averaged weights, with mixup",
        path=f"{_CLASSIFICATION}.elr:EarlyLearningRegularizationPlus",
        paper="Liu et al., Early-Learning Regularization Prevents Memorization of Noisy Labels, NeurIPS 2020",
        year=2020,
        arxiv="2007.00151",
    ),
]

_REGISTRY = Registry(CARDS)


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
