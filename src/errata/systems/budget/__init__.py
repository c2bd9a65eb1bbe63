"""Rules that say which label to check next."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = [
    Card(
        slug="reannotation-budget",
        name="Budget-sensitive reannotation over a label hierarchy",
        task="budget",
        changes=("query",),
        needs=("predictions of one model or more", "a label hierarchy (a flat one by default)"),
        summary="looks first at labels that are far from the models' predictions in the tree of labels",
        path=f"{__name__}.reannotation_budget:ReannotationBudget",
        paper="Parekh et al., Budget Sensitive Reannotation of Noisy Relation Classification Data Using Label "
        "Hierarchy, 2021",
        year=2021,
        arxiv="2112.13320",
    ),
]
