"""Plain cross-entropy: the baseline of every claim.

Nothing is done against wrong labels. The network's predictions are averaged over training for every sample, so that
even the baseline fills a ledger: a label that the network is slow to believe is suspicious, for early in training it
has learned what is common and not yet memorised what is wrong.
Kept per sample: the mean prediction.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from errata import systems
from errata.parts import Batch, System

__all__ = ["CrossEntropyTraining"]


class CrossEntropyTraining(System):
    """Training with cross-entropy; see ``System`` for the parameters.

    Examples
    --------
    >>> import torch
    >>> system = CrossEntropyTraining(torch.nn.Linear(2, 3), num_classes=3, num_samples=4)
    >>> loss = system.training_step(Batch(torch.tensor([0, 1]), torch.zeros(2, 2), torch.tensor([0, 2])))
    >>> loss.shape
    torch.Size([])
    """

    card = systems.card("ce")

    def training_step(self, batch: Batch) -> Tensor:
        logits = self.model(self.views.weak(batch.x))
        self.observe(batch.index, logits)
        return F.cross_entropy(logits, batch.y)
