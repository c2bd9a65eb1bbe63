"""Systems that make one model of several."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = [
    Card(
        slug="pleas",
        name="PLeaS (permutations and least squares)",
        task="merging",
        changes=("model",),
        needs=("two networks of one architecture", "unlabelled inputs"),
        summary="merges two networks without labels: partners found by permutation, each layer fitted by least squares",
        path=f"{__name__}.pleas:pleas",
        paper="Nasery et al., PLeaS: Merging Models with Permutations and Least Squares, CVPR 2025",
        year=2025,
        arxiv="2407.02447",
    ),
]
