"""PU-MLC: only the known positives are believed; every other entry is unlabelled (Yuan, Zhang & Huang 2024).

In multi-label data the positives that are noted are right, and much of what is not noted is there all the same. Taking
it for negative teaches the network to deny it. PU-MLC learns from positives and unlabelled samples alone: a variational
objective raises the log-probability of the known positives and lowers the log of the mean probability over all samples,
which needs no prior of the class. Each label's logits are sharpened by a temperature from their own spread, and the
unlabelled term counts less for labels that are rarely predicted. Mixup between the two halves of a batch asks the
network to be consistent with its own soft labels in between.
Kept per sample: the mean probability of each label, for the ledger.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.nn import functional as F

from errata import systems
from errata.errors import ParameterError
from errata.parts import Batch, GlobalBatch, MultiLabelSystem, SharedRandom, draw_beta, in_float32, known_signs

__all__ = [
    "ClassStatistics",
    "PositiveUnlabelledMultiLabel",
    "adaptive_temperature",
    "halves",
    "mixup_consistency",
    "rebalance_factor",
    "soft_labels",
    "variational_loss",
]


def adaptive_temperature(logits: Tensor, alpha: float | None = 1.0, lowest: float = 1e-2) -> Tensor:
    """``tau_c = min(1, alpha * std_c)``: labels whose logits are flat get a temperature below 1, so sharper ones.

    Parameters
    ----------
    logits : (B, L)
    alpha : scale of the standard deviation over the batch, above 0; None for 1 everywhere
    lowest : the least temperature; without it one sample, or a constant logit, would give 0 and gradients of NaN (the
        authors' code has no such guard)

    Returns
    -------
    (L,) in [lowest, 1], without gradient

    Examples
    --------
    >>> adaptive_temperature(torch.tensor([[-0.5, 9.0], [0.5, -9.0]]))
    tensor([0.5000, 1.0000])
    """
    if alpha is None:
        return logits.new_ones(logits.shape[1])
    return (alpha * logits.detach().std(0, correction=0)).clamp(lowest, 1.0)


def rebalance_factor(probabilities: Tensor, gamma: float) -> Tensor:
    """``w_c = (mean_b q_bc) ** gamma``: how much the unlabelled term of each label counts.

    Parameters
    ----------
    probabilities : (B, L) q, in [0, 1]
    gamma : 0 or more; 0 weights all labels alike

    Returns
    -------
    (L,) in [0, 1], without gradient

    Examples
    --------
    >>> rebalance_factor(torch.tensor([[0.25, 1.0], [0.25, 1.0]]), gamma=0.5)
    tensor([0.5000, 1.0000])
    """
    return probabilities.detach().mean(0) ** gamma


class ClassStatistics(nn.Module):
    """Each label's spread of logits and mean probability, over the batches so far instead of over one.

    In a batch of a few samples both are noisy, and with them the temperature and the re-balance factor. Here a batch's
    mean, mean square and mean probability enter with weight ``1 - decay``, and the first batches are not outweighed by
    the zeros before them.

    Parameters
    ----------
    num_classes : L
    decay : what earlier batches keep of their weight with each further one, in (0, 1)

    Examples
    --------
    >>> seen = ClassStatistics(1, decay=0.9)
    >>> x = torch.tensor([[-0.5], [0.5]])
    >>> seen.temperature(x, alpha=1.0), seen.temperature(x, alpha=1.0)  # nothing has changed
    (tensor([0.5000]), tensor([0.5000]))
    >>> seen.temperature(x[:1], alpha=1.0) > 0.4  # one sample has no spread of its own
    tensor([True])
    """

    logits: Tensor
    probability: Tensor
    weight: Tensor

    def __init__(self, num_classes: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        # buffers: every process computes them on the global batch, so all have the same
        self.register_buffer("logits", torch.zeros(2, num_classes))
        self.register_buffer("probability", torch.zeros(num_classes))
        self.register_buffer("weight", torch.zeros(2))

    def temperature(self, logits: Tensor, alpha: float | None, lowest: float = 1e-2) -> Tensor:
        """Take a batch (B, L) in; ``adaptive_temperature`` by the running spread."""
        x = logits.detach()
        mean, square = self._in(self.logits, torch.stack([x.mean(0), x.square().mean(0)]), 0)
        if alpha is None:
            return logits.new_ones(logits.shape[1])
        return (alpha * (square - mean**2).clamp(min=0).sqrt()).clamp(lowest, 1.0)

    def rebalance(self, probabilities: Tensor, gamma: float) -> Tensor:
        """Take a batch's q (B, L) in; ``rebalance_factor`` by the running mean."""
        return self._in(self.probability, probabilities.detach().mean(0), 1) ** gamma

    def _in(self, kept: Tensor, new: Tensor, which: int) -> Tensor:
        kept.lerp_(new.to(kept.dtype), 1 - self.decay)
        self.weight[which].lerp_(self.weight.new_ones(()), 1 - self.decay)
        return kept / self.weight[which]


def variational_loss(
    logits: Tensor,
    target: Tensor,
    gamma: float = 0.55,
    alpha: float | None = 1.0,
    eps: float = 1e-10,
    statistics: ClassStatistics | None = None,
) -> Tensor:
    """``sum_c w_c log(mean_b q_bc) - mean over the positives of c of log q_bc``, with ``q = sigmoid(x / tau)``.

    Parameters
    ----------
    logits : (B, L) x
    target : (B, L); 1 is a known positive, everything else (0 unknown, -1 known negative) is unlabelled
    gamma : exponent of the re-balance factor w, 0 or more
    alpha : scale of the adaptive temperature tau, above 0; None for tau = 1
    eps : added inside of the logarithms
    statistics : takes the batch in, and gives tau and w over the batches so far; None takes them from this batch

    Returns
    -------
    () of any sign. A label without a positive in the batch has the unlabelled term only.

    Examples
    --------
    >>> x = torch.tensor([[2.0], [-2.0]])
    >>> variational_loss(x, torch.tensor([[1], [0]]), gamma=0.0)
    tensor(-0.5662)
    >>> bool(variational_loss(x, torch.tensor([[1], [-1]])) == variational_loss(x, torch.tensor([[1], [0]])))
    True
    """
    logits = in_float32(logits)
    tau = adaptive_temperature(logits, alpha) if statistics is None else statistics.temperature(logits, alpha)
    floor = logits.new_tensor(math.log(eps) if eps > 0 else -math.inf)
    log_q = torch.logaddexp(F.logsigmoid(logits / tau), floor)  # log(q + eps), also where q vanishes
    q = log_q.exp()
    weight = rebalance_factor(q, gamma) if statistics is None else statistics.rebalance(q, gamma)
    log_mean = torch.logaddexp(log_q.logsumexp(0) - math.log(len(logits)), floor)
    positive = target == 1
    log_positive = (log_q * positive).sum(0) / positive.sum(0).clamp(min=1)
    return (weight * log_mean - log_positive).sum()


def soft_labels(logits: Tensor, target: Tensor, eps: float = 1e-10) -> Tensor:
    """1 where a label is known to apply, the prediction elsewhere; no temperature, and the gradient flows into it.

    Parameters
    ----------
    logits, target : (B, L), see ``variational_loss``

    Returns
    -------
    (B, L) in [0, 1 + eps]

    Examples
    --------
    >>> soft_labels(torch.zeros(1, 2), torch.tensor([[1, 0]]))
    tensor([[1.0000, 0.5000]])
    """
    return torch.where(target == 1, 1.0, in_float32(logits).sigmoid() + eps)


def halves(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the second half of a batch; of an odd number the row in the middle is in neither.

    Examples
    --------
    >>> halves(torch.arange(5))
    (tensor([0, 1]), tensor([3, 4]))
    """
    size = len(rows) // 2
    return rows[:size], rows[len(rows) - size :]


def mixup_consistency(mixed_logits: Tensor, mixed_labels: Tensor, eps: float = 1e-10) -> Tensor:
    """``sum_c mean_b (log s_mix - log sigmoid(f(x_mix)))^2``: predictions between samples, held to the labels there.

    Parameters
    ----------
    mixed_logits : (M, L) of the mixed inputs
    mixed_labels : (M, L) the soft labels, mixed alike

    Returns
    -------
    () at least 0; 0 where there is no row

    Examples
    --------
    >>> mixup_consistency(torch.zeros(1, 2), torch.full((1, 2), 0.5))
    tensor(0.)
    """
    if not len(mixed_logits):
        return mixed_labels.sum()
    mixed_logits = in_float32(mixed_logits)
    floor = mixed_logits.new_tensor(math.log(eps) if eps > 0 else -math.inf)
    gap = (mixed_labels + eps).log() - torch.logaddexp(F.logsigmoid(mixed_logits), floor)
    return gap.square().mean(0).sum()


class PositiveUnlabelledMultiLabel(MultiLabelSystem):
    """Positive-unlabelled multi-label classification (PU-MLC).

    Parameters
    ----------
    model, num_classes, num_samples : see ``MultiLabelSystem``
    gamma : exponent of the re-balance factor, 0 or more; larger ones weaken the unlabelled term of rare labels
    alpha : scale of the adaptive temperature, above 0; None switches it off
    mix_alpha : of mixup's Beta(alpha, alpha), 0 or more; 0 for no consistency term. Inputs that aren't floating point
        (tokens) can't be mixed: there it is left out, and a warning says so.
    class_decay : in [0, 1); above 0 temperature and factor come from running class statistics instead of from one
        batch, the earlier batches losing this factor with each further one: for batches of fewer than about 32 samples,
        with 0.9 to 0.99. The authors have none, which is 0.
    training : optimiser, schedule, averaged weights, views; see ``MultiLabelSystem``

    Notes
    -----
    Labels are given as the data have them: 1 applies, 0 does not, -1 is not known. Inside, both 0 and -1 are
    unlabelled: a note that a label does not apply is not believed, for that is where positives are missing.
    The authors use (gamma, alpha) = (0.55, 1) for MS-COCO and (0.85, 2) for VOC 2007; Adam with weight decay 1e-4, a
    one-cycle schedule over 80 epochs (they stop after 40 or 55 of them), batches of 35 and 45 per GPU. Temperature and
    factor come from one batch: it should hold 32 samples or more, or ``class_decay`` be set (in our trials on MULAN's
    emotions with batches of 4 and 8 it made no odds). On several GPUs all their batches count as one.
    With ``gamma > 0`` probabilities are pushed up: they rank samples well, and are no estimate of how many have a
    label.

    Examples
    --------
    >>> system = PositiveUnlabelledMultiLabel(torch.nn.Linear(2, 3), num_classes=3, num_samples=4)
    >>> y = torch.tensor([[1, 0, -1], [0, 1, -1]])
    >>> system.training_step(Batch(torch.tensor([0, 1]), torch.ones(2, 2), y)).shape
    torch.Size([])

    References
    ----------
    Yuan, Zhang, Huang: Positive Label Is All You Need for Multi-Label Classification, ICME 2024, arXiv 2306.16016.
    """

    card = systems.card("pu-mlc")
    believes_negatives = False
    given_odds = 4.0  # probabilities are pushed up; without this every second label that is absent would be suspicious

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        gamma: float = 0.55,
        alpha: float | None = 1.0,
        mix_alpha: float = 0.3,
        class_decay: float = 0.0,
        **training: Any,
    ) -> None:
        super().__init__(model, num_classes, num_samples, **training)
        for name, value in {"gamma": gamma, "mix_alpha": mix_alpha}.items():
            if not value >= 0:
                raise ParameterError(f"{name} must be 0 or more; got {value!r}.")
        if alpha is not None and not 0 < alpha < math.inf:
            raise ParameterError(f"alpha must be above 0, or None for no temperature; got {alpha!r}.")
        self.gamma = gamma
        self.alpha = alpha
        if not 0 <= class_decay < 1:
            raise ParameterError(f"class_decay must be in [0, 1); got {class_decay!r}.")
        self.mix_alpha = mix_alpha
        self.class_decay = class_decay
        self.statistics = ClassStatistics(num_classes, class_decay) if class_decay > 0 else None
        self.random = SharedRandom()
        self._told = False

    def training_step(self, batch: Batch) -> Tensor:
        x = self.views.weak(batch.x)
        logits = self.model(x)
        self.observe(batch.index, logits)
        everyone = GlobalBatch(logits)
        target = everyone.gather(known_signs(batch.y))
        everyones_logits = everyone.rows(logits)
        loss = variational_loss(everyones_logits, target, self.gamma, self.alpha, statistics=self.statistics)
        if self._mixes(x) and len(target) > 1:
            loss = loss + self._consistency(everyone, x, soft_labels(everyones_logits, target))
        return everyone.share(loss)

    def _consistency(self, everyone: GlobalBatch, x: Tensor, labels: Tensor) -> Tensor:
        """L_reg: the first half of the global batch in a random order, mixed with the second."""
        generator = self.random.generator
        weight = draw_beta(self.mix_alpha, generator)
        order = torch.randperm(len(labels) // 2, generator=generator).to(labels.device)
        first, second = halves(labels)
        mixed_labels = weight * first[order] + (1 - weight) * second
        own = everyone.portion(len(order))  # each rank predicts for its portion of the mixed samples
        first, second = halves(everyone.gather(x))
        mixed = weight * first[order[own]] + (1 - weight) * second[own]
        logits = self.model(mixed) if len(mixed) else labels.new_zeros(0, self.num_classes)
        return mixup_consistency(GlobalBatch(logits).rows(logits), mixed_labels)

    def _mixes(self, x: Any) -> bool:
        if self.mix_alpha == 0 or (isinstance(x, Tensor) and x.is_floating_point()):
            return self.mix_alpha > 0
        if not self._told:
            self._told = True
            rank_zero_warn("pu-mlc: these inputs are not floating point and can't be mixed; training without mixup.")
        return False
