"""Systems that learn from a graph's nodes."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = [
    Card(
        slug="gnn-ce",
        name="Cross-entropy on a graph network",
        task="graphs",
        changes=(),
        needs=("graph",),
        summary="plain training of a graph network on the labelled nodes, the baseline of graph claims",
        path=f"{__name__}.gnn_ce:NodeCrossEntropy",
    ),
    Card(
        slug="erase",
        name="Error-Resilient Representation Learning (ERASE)",
        task="graphs",
        changes=("loss", "target"),
        needs=("graph",),
        summary="corrects labels through the graph and class prototypes, and learns by coding-rate reduction only",
        path=f"{__name__}.erase:ERASE",
        paper="Chen et al., ERASE: Error-Resilient Representation Learning on Graphs for Label Noise Tolerance, "
        "CIKM 2024",
        year=2024,
        arxiv="2312.08852",
    ),
]
