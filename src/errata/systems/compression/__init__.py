"""Systems that shrink a data set or a model."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = [
    Card(
        slug="kd-pruning",
        name="Distilling the knowledge in data pruning",
        task="compression",
        changes=("input", "target"),
        needs=("a teacher trained on all the data",),
        summary="trains on a part of the data, and lets the soft labels of a teacher of all of it outvote wrong labels",
        path=f"{__name__}.kd_pruning:KnowledgeDistillation",
        paper="Ben-Baruch et al., Distilling the Knowledge in Data Pruning, ICML 2025",
        year=2025,
        arxiv="2403.07854",
    ),
]
