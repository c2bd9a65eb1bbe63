"""Pixel-wise cross-entropy: the baseline of every claim about masks.

Nothing is done against wrong masks. The probability that the network gives to each pixel's class is averaged over the
training, so that even the baseline fills a ledger: a region that the network is slow to believe is suspicious.
Kept per pixel: that mean, and the last prediction.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from errata import systems
from errata.parts import Batch, PixelSystem, global_mean, in_float32
from errata.parts.pixel_system import mirror_some

__all__ = ["PixelCrossEntropyTraining"]


class PixelCrossEntropyTraining(PixelSystem):
    """Training with the cross-entropy of each labelled pixel; see ``PixelSystem`` for the parameters.

    Examples
    --------
    >>> import torch
    >>> system = PixelCrossEntropyTraining(torch.nn.Conv2d(3, 4, 1), num_classes=4, num_samples=2)
    >>> images, masks = torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
    >>> system.training_step(Batch(torch.tensor([0, 1]), images, masks)).shape
    torch.Size([])
    """

    card = systems.card("seg-ce")

    def training_step(self, batch: Batch) -> Tensor:
        mirrored = self.mirror(batch)
        logits = in_float32(self.model(self.seen(batch, mirrored)))
        self.watch(self.observe_pixels(batch.index, logits, batch.y, mirrored).argmax(1), batch.y)
        given = mirror_some(batch.y, mirrored)
        total = F.cross_entropy(logits, given, ignore_index=self.ignore_index, reduction="sum")
        # the mean over the labelled pixels of the global batch, whatever this rank's share of them
        labelled = global_mean((given != self.ignore_index).flatten(1).sum(1).to(logits.dtype))
        return total / (len(given) * labelled).clamp(min=1)
