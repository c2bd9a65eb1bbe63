"""Symmetric losses: their sum over all classes is the same for every prediction, hence robust, and slow to fit.

Mean absolute error, reverse cross-entropy (a multiple of it), and symmetric cross-entropy, which adds the fitting back.
"""

from __future__ import annotations

import math
from functools import partial

from torch import Tensor

from errata.losses.base import LogProbs, Loss, check_number, check_prob_bounds, clamp_log, evaluate
from errata.losses.cross_entropy import cross_entropy_of


def mean_absolute_error_of(batch: LogProbs, min_prob: float, max_prob: float) -> Tensor:
    if batch.soft:
        p = clamp_log(batch.log_p, min_prob, max_prob).exp()
        return 0.5 * (batch.target - p).abs().sum(1)
    return -batch.label_log_p(min_prob, max_prob).expm1()


def reverse_cross_entropy_of(batch: LogProbs, label_floor: float, min_prob: float, max_prob: float) -> Tensor:
    log_floor = math.log(label_floor)
    if batch.soft:
        log_target = batch.target.clamp(label_floor, 1.0).log()
        return -(clamp_log(batch.log_p, min_prob, max_prob).exp() * log_target).sum(1)
    if min_prob == 0 and max_prob == 1:  # all classes but the label have log(floor): one minus the label's probability
        return log_floor * batch.label_log_p().expm1()
    p = clamp_log(batch.log_p, min_prob, max_prob).exp()
    return -log_floor * (p.sum(1) - batch.at_label(p))


def symmetric_cross_entropy_of(
    batch: LogProbs, alpha: float, beta: float, label_floor: float, min_prob: float, max_prob: float
) -> Tensor:
    reverse = reverse_cross_entropy_of(batch, label_floor, min_prob, max_prob)
    return alpha * cross_entropy_of(batch) + beta * reverse


def _check_reverse(label_floor: float, min_prob: float, max_prob: float) -> None:
    check_number("label_floor", label_floor, 0.0, 1.0, open_low=True, open_high=True)
    check_prob_bounds(min_prob, max_prob)


def mean_absolute_error(
    logits: Tensor,
    target: Tensor,
    *,
    min_prob: float = 0.0,
    max_prob: float = 1.0,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """Mean absolute error, ``1 - p_y``; for a target distribution ``t``, ``0.5 * sum_k |t_k - p_k|``.

    Symmetric: its sum over the K classes is ``K - 1`` whatever the prediction. (Some papers write twice this value.)

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K), or (B, K, ...) probabilities
    min_prob, max_prob : bounds that probabilities are clamped to; published code has (0, 1) or (1e-7, 1 - 1e-7)
    reduction : "mean", "sum" or "none"
    ignore_index : class number that means "no label here"; None if there is none

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; in [0, 1]

    References
    ----------
    Ghosh, Kumar, Sastry: Robust Loss Functions under Label Noise for Deep Neural Networks, AAAI 2017, arXiv 1712.09482.

    Examples
    --------
    >>> import torch
    >>> mean_absolute_error(torch.zeros(1, 4), torch.tensor([0]))
    tensor(0.7500)
    """
    check_prob_bounds(min_prob, max_prob)
    terms = partial(mean_absolute_error_of, min_prob=min_prob, max_prob=max_prob)
    return evaluate(terms, logits, target, "mean_absolute_error", reduction, ignore_index, soft_targets=True)


def reverse_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    label_floor: float = 1e-4,
    min_prob: float = 0.0,
    max_prob: float = 1.0,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """Reverse cross-entropy, ``-sum_k p_k log t_k`` with the target's zeros raised to ``label_floor``.

    For a class ``y`` this is ``-log(label_floor) * (1 - p_y)``, 9.21 times the mean absolute error.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K), or (B, K, ...) probabilities
    label_floor : what stands for a zero in the target, in (0, 1)
    min_prob, max_prob : bounds that probabilities are clamped to; the papers' code has (1e-7, 1)
    reduction, ignore_index : see ``mean_absolute_error``

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; in [0, -log(label_floor)]

    References
    ----------
    Wang, Ma, Chen, Luo, Yi, Bailey: Symmetric Cross Entropy for Robust Learning with Noisy Labels, ICCV 2019,
    arXiv 1908.06112.

    Examples
    --------
    >>> import torch
    >>> reverse_cross_entropy(torch.zeros(1, 4), torch.tensor([0]))
    tensor(6.9078)
    """
    _check_reverse(label_floor, min_prob, max_prob)
    terms = partial(reverse_cross_entropy_of, label_floor=label_floor, min_prob=min_prob, max_prob=max_prob)
    return evaluate(terms, logits, target, "reverse_cross_entropy", reduction, ignore_index, soft_targets=True)


def symmetric_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.1,
    beta: float = 1.0,
    label_floor: float = 1e-4,
    min_prob: float = 0.0,
    max_prob: float = 1.0,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """Symmetric cross-entropy, ``alpha * CE + beta * RCE``: one part that fits, one that withstands wrong labels.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K), or (B, K, ...) probabilities
    alpha, beta : weights of cross-entropy and of reverse cross-entropy, >= 0; published: (0.01, 1) MNIST,
        (0.1, 1) CIFAR-10, (6, 0.1) CIFAR-100, (10, 1) WebVision
    label_floor, min_prob, max_prob : of the reverse part, see ``reverse_cross_entropy``
    reduction, ignore_index : see ``mean_absolute_error``

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; >= 0

    References
    ----------
    Wang et al., ICCV 2019, arXiv 1908.06112.

    Examples
    --------
    >>> import torch
    >>> symmetric_cross_entropy(torch.zeros(1, 4), torch.tensor([0]))
    tensor(7.0464)
    """
    check_number("alpha", alpha, 0.0)
    check_number("beta", beta, 0.0)
    _check_reverse(label_floor, min_prob, max_prob)
    terms = partial(
        symmetric_cross_entropy_of,
        alpha=alpha,
        beta=beta,
        label_floor=label_floor,
        min_prob=min_prob,
        max_prob=max_prob,
    )
    return evaluate(terms, logits, target, "symmetric_cross_entropy", reduction, ignore_index, soft_targets=True)


class MeanAbsoluteError(Loss):
    """Mean absolute error, ``1 - p_y``; see ``functional.mean_absolute_error``.

    Parameters
    ----------
    min_prob, max_prob : bounds that probabilities are clamped to; default (0, 1), no clamp
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> import torch
    >>> MeanAbsoluteError()(torch.zeros(1, 4), torch.tensor([0]))
    tensor(0.7500)
    """

    soft_targets = True

    def __init__(
        self, *, min_prob: float = 0.0, max_prob: float = 1.0, reduction: str = "mean", ignore_index: int | None = -100
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        check_prob_bounds(min_prob, max_prob)
        self.min_prob, self.max_prob = min_prob, max_prob

    def terms(self, batch: LogProbs) -> Tensor:
        return mean_absolute_error_of(batch, self.min_prob, self.max_prob)


class ReverseCrossEntropy(Loss):
    """Reverse cross-entropy, ``-log(label_floor) * (1 - p_y)``; see ``functional.reverse_cross_entropy``.

    Parameters
    ----------
    label_floor : what stands for a zero in the target, in (0, 1); default 1e-4
    min_prob, max_prob : bounds that probabilities are clamped to; default (0, 1), no clamp
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> import torch
    >>> ReverseCrossEntropy()(torch.zeros(1, 4), torch.tensor([0]))
    tensor(6.9078)
    """

    soft_targets = True

    def __init__(
        self,
        *,
        label_floor: float = 1e-4,
        min_prob: float = 0.0,
        max_prob: float = 1.0,
        reduction: str = "mean",
        ignore_index: int | None = -100,
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        _check_reverse(label_floor, min_prob, max_prob)
        self.label_floor, self.min_prob, self.max_prob = label_floor, min_prob, max_prob

    def terms(self, batch: LogProbs) -> Tensor:
        return reverse_cross_entropy_of(batch, self.label_floor, self.min_prob, self.max_prob)


class SymmetricCrossEntropy(Loss):
    """Symmetric cross-entropy, ``alpha * CE + beta * RCE``; see ``functional.symmetric_cross_entropy``.

    Parameters
    ----------
    alpha, beta : weights of cross-entropy and of reverse cross-entropy, >= 0; default (0.1, 1)
    label_floor, min_prob, max_prob : of the reverse part, see ``ReverseCrossEntropy``
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> import torch
    >>> SymmetricCrossEntropy(alpha=1, beta=0)(torch.zeros(1, 4), torch.tensor([0]))
    tensor(1.3863)
    """

    soft_targets = True

    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 1.0,
        *,
        label_floor: float = 1e-4,
        min_prob: float = 0.0,
        max_prob: float = 1.0,
        reduction: str = "mean",
        ignore_index: int | None = -100,
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        _check_reverse(label_floor, min_prob, max_prob)
        self.alpha, self.beta = check_number("alpha", alpha, 0.0), check_number("beta", beta, 0.0)
        self.label_floor, self.min_prob, self.max_prob = label_floor, min_prob, max_prob

    def terms(self, batch: LogProbs) -> Tensor:
        return symmetric_cross_entropy_of(batch, self.alpha, self.beta, self.label_floor, self.min_prob, self.max_prob)
