"""Cross-entropy and the focal loss: the active losses that the robust ones are made from."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from errata.losses.base import LogProbs, Loss, check_number, evaluate, one_minus_exp


def focal_terms(log_p: Tensor, gamma: float, detach_factor: bool) -> Tensor:
    """``-(1 - p)^gamma log p`` elementwise, the factor a constant in the gradient if ``detach_factor``."""
    factor = one_minus_exp(log_p.detach() if detach_factor else log_p).pow(gamma)
    return -factor * log_p


def cross_entropy_of(batch: LogProbs) -> Tensor:
    return -batch.at_label(batch.log_p)


def focal_of(batch: LogProbs, gamma: float, detach_factor: bool) -> Tensor:
    if batch.soft:
        return batch.at_label(focal_terms(batch.log_p, gamma, detach_factor))
    return focal_terms(batch.label_log_p(), gamma, detach_factor)


def cross_entropy(
    logits: Tensor, target: Tensor, *, reduction: str = "mean", ignore_index: int | None = -100
) -> Tensor:
    """Cross-entropy, ``-log p_y``; for a target distribution ``t``, ``-sum_k t_k log p_k``.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K), or (B, K, ...) probabilities
    reduction : "mean", "sum" or "none"
    ignore_index : class number that means "no label here"; None if there is none

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; >= 0, in nats, unbounded

    Examples
    --------
    >>> import torch
    >>> cross_entropy(torch.zeros(1, 2), torch.tensor([0]))
    tensor(0.6931)
    """
    return evaluate(cross_entropy_of, logits, target, "cross_entropy", reduction, ignore_index, soft_targets=True)


def focal_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 0.5,
    detach_factor: bool = True,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """Focal loss, ``-(1 - p_y)^gamma log p_y``: cross-entropy with less weight on what is already right.

    The code of the label-noise papers takes the factor as a constant in the gradient, and so does this function unless
    ``detach_factor=False``, which is the gradient of Lin et al. Their ``gamma`` is 2; the label-noise papers use 0.5.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K), or (B, K, ...) probabilities (the expectation over them)
    gamma : exponent of the factor, >= 0; 0 is cross-entropy
    detach_factor : whether the factor counts as a constant in the gradient
    reduction, ignore_index : see ``cross_entropy``

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; >= 0, in nats

    References
    ----------
    Lin, Goyal, Girshick, He, Dollar: Focal Loss for Dense Object Detection, ICCV 2017, arXiv 1708.02002.

    Examples
    --------
    >>> import torch
    >>> focal_loss(torch.zeros(1, 2), torch.tensor([0]), gamma=1)
    tensor(0.3466)
    """
    check_number("gamma", gamma, 0.0)
    terms = partial(focal_of, gamma=gamma, detach_factor=detach_factor)
    return evaluate(terms, logits, target, "focal_loss", reduction, ignore_index, soft_targets=True)


class CrossEntropy(Loss):
    """Cross-entropy, ``-log p_y``; see ``functional.cross_entropy``.

    Examples
    --------
    >>> import torch
    >>> CrossEntropy()(torch.zeros(1, 2), torch.tensor([0]))
    tensor(0.6931)
    """

    soft_targets = True

    def terms(self, batch: LogProbs) -> Tensor:
        return cross_entropy_of(batch)


class FocalLoss(Loss):
    """Focal loss, ``-(1 - p_y)^gamma log p_y``; see ``functional.focal_loss``.

    Parameters
    ----------
    gamma : exponent of the factor, >= 0; default 0.5
    detach_factor : whether the factor counts as a constant in the gradient; default True
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> import torch
    >>> FocalLoss(gamma=1)(torch.zeros(1, 2), torch.tensor([0]))
    tensor(0.3466)
    """

    soft_targets = True

    def __init__(
        self,
        gamma: float = 0.5,
        *,
        detach_factor: bool = True,
        reduction: str = "mean",
        ignore_index: int | None = -100,
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        self.gamma = check_number("gamma", gamma, 0.0)
        self.detach_factor = detach_factor

    def terms(self, batch: LogProbs) -> Tensor:
        return focal_of(batch, self.gamma, self.detach_factor)
