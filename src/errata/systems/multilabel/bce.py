"""Binary cross-entropy per label: the baseline of the multi-label claims.

Each label is a yes-or-no question. Labels that aren't known are left out of the loss, or taken for negative, which is
what everybody does where only positives are noted, and what PU-MLC argues against. The asymmetric loss keeps the same
targets and weakens the many easy negatives, and so the wrong ones among them.
Kept per sample: the mean probability of each label, for the ledger.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errata import systems
from errata.errors import ParameterError, UnknownNameError
from errata.parts import Batch, GlobalBatch, MultiLabelSystem, in_float32

__all__ = ["BinaryCrossEntropy", "asymmetric_loss"]

LOSSES = ("bce", "asl")
UNKNOWN = ("ignore", "negative")


def asymmetric_loss(
    logits: Tensor, target: Tensor, gamma_pos: float = 1.0, gamma_neg: float = 4.0, clip: float = 0.05
) -> Tensor:
    """``-(1 - p)^g+ log p`` of a positive, ``-p_m^g- log(1 - p_m)`` of a negative with ``p_m = max(p - m, 0)``.

    Parameters
    ----------
    logits : (B, L)
    target : (B, L) 1 or 0
    gamma_pos, gamma_neg : how fast easy positives and negatives lose weight, 0 or more
    clip : m, the probability up to which a negative counts nothing, in [0, 1)

    Returns
    -------
    (B, L), at least 0. With all three 0 it is binary cross-entropy.

    Examples
    --------
    >>> asymmetric_loss(torch.zeros(1, 2), torch.tensor([[1, 0]]), 0.0, 0.0, 0.0)
    tensor([[0.6931, 0.6931]])

    References
    ----------
    Ridnik et al., Asymmetric Loss for Multi-Label Classification, ICCV 2021, arXiv 2009.14119.
    """
    logits = in_float32(logits)
    p = logits.sigmoid()
    shifted = (p - clip).clamp(min=0)
    positive = (1 - p) ** gamma_pos * -F.logsigmoid(logits)
    log_no = F.logsigmoid(-logits) if clip == 0 else (1 - shifted).log()
    return torch.where(target == 1, positive, shifted**gamma_neg * -log_no)


class BinaryCrossEntropy(MultiLabelSystem):
    """Binary cross-entropy on the known labels, or with the unknown ones taken for negative.

    Parameters
    ----------
    model, num_classes, num_samples : see ``MultiLabelSystem``
    unknown : what a label that isn't known counts: "ignore", or "negative"
    loss : "bce", or "asl" for the asymmetric loss
    gamma_pos, gamma_neg, clip : of the asymmetric loss
    training : optimiser, schedule, averaged weights, views; see ``MultiLabelSystem``

    Examples
    --------
    >>> system = BinaryCrossEntropy(torch.nn.Linear(2, 3), num_classes=3, num_samples=4)
    >>> y = torch.tensor([[1, 0, -1], [0, 1, -1]])
    >>> system.training_step(Batch(torch.tensor([0, 1]), torch.ones(2, 2), y)).shape
    torch.Size([])
    """

    card = systems.card("bce")

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        unknown: str = "ignore",
        loss: str = "bce",
        gamma_pos: float = 1.0,
        gamma_neg: float = 4.0,
        clip: float = 0.05,
        **training: Any,
    ) -> None:
        super().__init__(model, num_classes, num_samples, **training)
        for what, name, known in (("way with unknown labels", unknown, UNKNOWN), ("loss of 'bce'", loss, LOSSES)):
            if name not in known:
                raise UnknownNameError(what, name, known)
        for what, value in {"gamma_pos": gamma_pos, "gamma_neg": gamma_neg}.items():
            if not value >= 0:
                raise ParameterError(f"{what} must be 0 or more; got {value!r}.")
        if not 0 <= clip < 1:
            raise ParameterError(f"clip must be in [0, 1); got {clip!r}.")
        self.unknown = unknown
        self.loss = loss
        self.gamma_pos = gamma_pos
        self.gamma_neg = gamma_neg
        self.clip = clip

    def training_step(self, batch: Batch) -> Tensor:
        logits = in_float32(self.model(self.views.weak(batch.x)))
        self.observe(batch.index, logits)
        target = (batch.y == 1).to(logits)
        if self.loss == "asl":
            losses = asymmetric_loss(logits, target, self.gamma_pos, self.gamma_neg, self.clip)
        else:
            losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        counts = torch.ones_like(losses) if self.unknown == "negative" else (batch.y >= 0).to(losses)
        everyone = GlobalBatch(logits)
        total = everyone.rows((losses * counts).sum(1)).sum()
        return everyone.share(total / everyone.gather(counts).sum().clamp(min=1))
