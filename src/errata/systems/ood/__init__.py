"""Systems that tell inputs unlike the training data."""

from __future__ import annotations

from errata.cards import Card

_PAPER = "Wu et al., Revisiting Energy-Based Model for Out-of-Distribution Detection, 2024"

CARDS: list[Card] = [
    Card(
        slug="oest",
        name="Outlier Exposure by Simple Transformations",
        task="ood",
        changes=("loss", "input"),
        needs=("images",),
        summary="learns from transforms of its own images, held above an energy margin, to tell what it has never seen",
        path=f"{__name__}.oest:OEST",
        paper=_PAPER,
        year=2024,
        arxiv="2412.03058",
    ),
    Card(
        slug="oest-star",
        name="Outlier Exposure by Simple Transformations, with an energy barrier (OEST*)",
        task="ood",
        changes=("loss", "input"),
        needs=("images",),
        summary="OEST that trains the gap between an image's energy and its transform's; no margins to choose",
        path=f"{__name__}.oest:OESTStar",
        paper=_PAPER,
        year=2024,
        arxiv="2412.03058",
    ),
]
