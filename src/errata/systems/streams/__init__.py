"""Systems that learn from streams, event by event."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = [
    Card(
        slug="ihomer",
        name="iHOMER (incremental hierarchy of multi-label classifiers)",
        task="streams",
        changes=("model",),
        needs=("River",),
        summary="clusters the labels while the stream goes by; a Hoeffding tree per cluster learns them together",
        path=f"{__name__}.ihomer:IHomer",
        paper="Neves et al., Online hierarchical partitioning of the output space in extreme multi-label data streams, "
        "ECAI 2025",
        year=2025,
        arxiv="2507.20894",
    ),
]
"""The cards of these systems."""
