"""Systems that learn several labels per sample."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = [
    Card(
        slug="bce",
        name="Binary cross-entropy",
        task="multilabel",
        changes=(),
        needs=(),
        summary="plain training label by label; unknown labels are left out or taken for negative; also with ASL",
        path=f"{__name__}.bce:BinaryCrossEntropy",
    ),
    Card(
        slug="pu-mlc",
        name="Positive-unlabelled multi-label classification",
        task="multilabel",
        changes=("loss", "input"),
        needs=("batches of 32 or more",),
        summary="believes the known positives only: a variational loss against the unlabelled, with mixup consistency",
        path=f"{__name__}.pu_mlc:PositiveUnlabelledMultiLabel",
        paper="Yuan et al., Positive Label Is All You Need for Multi-Label Classification, ICME 2024",
        year=2024,
        arxiv="2306.16016",
    ),
]
