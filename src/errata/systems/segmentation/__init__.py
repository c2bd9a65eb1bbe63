"""Systems that learn a class for every pixel."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = [
    Card(
        slug="seg-ce",
        name="Pixel-wise cross-entropy",
        task="segmentation",
        changes=(),
        needs=("masks",),
        summary="plain training of a segmentation network, the baseline; its running predictions fill the ledger",
        path=f"{__name__}.seg_ce:PixelCrossEntropyTraining",
    ),
    Card(
        slug="adele",
        name="Adaptive Early-Learning Correction",
        task="segmentation",
        changes=("target", "loss"),
        needs=("masks", "row index"),
        summary="corrects the masks of a class from when its training curve says that memorising begins, and asks "
        "predictions at several scales to agree",
        path=f"{__name__}.adele:AdaptiveEarlyLearningCorrection",
        paper="Liu et al., Adaptive Early-Learning Correction for Segmentation from Noisy Annotations, CVPR 2022",
        year=2022,
        arxiv="2110.03740",
    ),
]
