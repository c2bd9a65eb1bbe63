"""Active negative losses: the passive part of a robust loss is made from an active one by looking at the other classes.

A normalised negative loss takes an active loss, turns it upside down (from its largest value ``A``), and normalises
over the classes: it is small where every class but the label's is improbable, it is symmetric, and unlike mean
absolute error it pays most attention to the samples that are nearly learned. With it come two regularisers: the L1
norm of all parameters, and the distance of the batch's mean prediction from uniform.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor

from errata.errors import ParameterError
from errata.losses.base import LogProbs, Loss, check_choice, check_number, clamp_log, evaluate, in_working_precision
from errata.losses.cross_entropy import focal_terms
from errata.losses.normalized import normalized_cross_entropy_of, normalized_focal_of

BASES = ("ce", "fl", "focal")
ACTIVES = ("nce", "nfl")


def normalized_negative_of(batch: LogProbs, base: str, gamma: float, min_prob: float, max_prob: float) -> Tensor:
    if batch.num_classes * min_prob >= 1:  # all classes could sit at the floor, and nothing would be left to divide by
        raise ParameterError(f"min_prob must be below 1 / K = {1 / batch.num_classes:g}; got {min_prob:g}.")
    log_p = clamp_log(batch.log_p, min_prob, max_prob)
    highest = -math.log(min_prob)
    if base == "ce":
        flipped = highest + log_p
    else:
        flipped = (1 - min_prob) ** gamma * highest - focal_terms(log_p, gamma, detach_factor=True)
    return 1 - batch.at_label(flipped) / flipped.sum(1)


def active_negative_of(
    batch: LogProbs, active: str, alpha: float, beta: float, gamma: float, min_prob: float, max_prob: float
) -> Tensor:
    if active == "nce":
        first, base = normalized_cross_entropy_of(batch), "ce"
    else:
        first, base = normalized_focal_of(batch, gamma), "fl"
    return alpha * first + beta * normalized_negative_of(batch, base, gamma, min_prob, max_prob)


def l1_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Sum of the absolute values of all entries of all tensors, in a few kernels instead of one for each tensor.

    The gradient is ``sign(w)``, 0 at 0. Half-precision tensors are summed in float32.

    Parameters
    ----------
    parameters : tensors of any shapes, such as ``model.parameters()``

    Returns
    -------
    scalar, on the device of the first tensor

    Raises
    ------
    ParameterError
        There is no tensor: a generator that was used up before gives none.

    Examples
    --------
    >>> l1_norm([torch.tensor([1.0, -2.0]), torch.tensor([[3.0]])])
    tensor(6.)
    """
    groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for parameter in parameters:
        weights = in_working_precision(parameter)
        groups.setdefault((weights.device, weights.dtype), []).append(weights)
    if not groups:
        raise ParameterError("The L1 norm needs parameters; got none. Pass model.parameters() anew at each call.")
    sums = [torch.stack(torch._foreach_norm(group, 1)).sum() for group in groups.values()]
    return torch.stack([s.to(sums[0].device, sums[0].dtype) for s in sums]).sum()


def batch_marginal(logits: Tensor, min_prob: float = 1e-7, *, valid: Tensor | None = None) -> Tensor:
    """Mean prediction of a batch: probabilities clamped to ``[min_prob, 1 - min_prob]``, summed and normalised.

    Parameters
    ----------
    logits : (B, K, ...) float
    min_prob : bound of the clamp, in (0, 1/2)
    valid : (B, ...) bool, the positions to count; None for all

    Returns
    -------
    (K,) probabilities that sum to 1, uniform if nothing counts; in a distributed run, average them over the ranks

    Examples
    --------
    >>> batch_marginal(torch.tensor([[9.0, 0.0], [0.0, 9.0]]))
    tensor([0.5000, 0.5000])
    """
    check_number("min_prob", min_prob, 0.0, 0.5, open_low=True, open_high=True)
    p = clamp_log(in_working_precision(logits).log_softmax(1), min_prob, 1 - min_prob).exp()
    if valid is not None:
        p = torch.where(valid.unsqueeze(1), p, torch.zeros_like(p))
    totals = p.transpose(0, 1).flatten(1).sum(1)
    everything = totals.sum()
    uniform = torch.full_like(totals, 1 / len(totals))  # of no positions at all
    return torch.where(everything > 0, totals / everything.clamp_min(torch.finfo(totals.dtype).tiny), uniform)


def batch_entropy_regularizer(
    logits: Tensor | None, min_prob: float = 1e-7, *, valid: Tensor | None = None, marginal: Tensor | None = None
) -> Tensor:
    """``log K`` minus the entropy of the batch's mean prediction: 0 if the classes are predicted equally often.

    It holds the network back from calling everything the class that wrong labels favour. It takes the true classes to
    be roughly balanced, so it has no place where they are not.

    Parameters
    ----------
    logits : (B, K, ...) float; None if ``marginal`` is given
    min_prob : probabilities are clamped to ``[min_prob, 1 - min_prob]``, single ones and their mean
    valid : (B, ...) bool, the positions to count; None for all
    marginal : (K,) a mean prediction made before, as from ``batch_marginal`` averaged over the ranks of a distributed
        run

    Returns
    -------
    scalar in [0, log K]

    Raises
    ------
    ParameterError
        Neither logits nor a marginal is given.

    References
    ----------
    Ye et al.: Active Negative Loss: A Robust Framework for Learning with Noisy Labels, arXiv 2412.02373.

    Examples
    --------
    >>> batch_entropy_regularizer(torch.tensor([[9.0, 0.0], [9.0, 0.0]]))
    tensor(0.6919)
    >>> batch_entropy_regularizer(None, marginal=torch.tensor([0.5, 0.5]))
    tensor(0.)
    """
    if marginal is None:
        if logits is None:
            raise ParameterError("batch_entropy_regularizer needs logits or a marginal; got neither.")
        marginal = batch_marginal(logits, min_prob, valid=valid)
    clamped = marginal.clamp(min_prob, 1 - min_prob)
    return math.log(marginal.numel()) + (clamped * clamped.log()).sum()


def normalized_negative(
    logits: Tensor,
    target: Tensor,
    *,
    base: str = "ce",
    gamma: float = 0.5,
    min_prob: float = 1e-7,
    max_prob: float = 1.0,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """Normalised negative loss, ``1 - (A - L_y) / sum_k (A - L_k)``, ``A`` the largest value of the base loss ``L``.

    Symmetric: its sum over the K classes is ``K - 1``.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K)
    base : the loss ``L``, "ce" (NNCE) or "fl" (NNFL, its factors constants in the gradient)
    gamma : exponent of the focal factor, >= 0; 0 is NNCE
    min_prob : probabilities are raised to this, in (0, 1/K); it makes the base loss bounded
    max_prob : probabilities are lowered to this; 1 in the papers' losses, ``1 - min_prob`` beside entropy
        regularisation
    reduction : "mean", "sum" or "none"
    ignore_index : class number that means "no label here"; None if there is none

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; in [0, 1]

    References
    ----------
    Ye, Li, Dai, Liu, Sun, Tong: Active Negative Loss Functions for Learning with Noisy Labels, NeurIPS 2023.

    Examples
    --------
    >>> normalized_negative(torch.zeros(1, 4), torch.tensor([0]))
    tensor(0.7500)
    """
    _check_negative(base, gamma, min_prob, max_prob)
    terms = partial(normalized_negative_of, base=base, gamma=gamma, min_prob=min_prob, max_prob=max_prob)
    return evaluate(terms, logits, target, "normalized_negative", reduction, ignore_index)


def _check_negative(base: str, gamma: float, min_prob: float, max_prob: float) -> None:
    check_choice("base", base, BASES)
    check_number("gamma", gamma, 0.0)
    check_number("min_prob", min_prob, 0.0, 1.0, open_low=True, open_high=True)
    check_number("max_prob", max_prob, min_prob, 1.0, open_low=True)


def active_negative(
    logits: Tensor,
    target: Tensor,
    *,
    active: str = "nce",
    alpha: float = 5.0,
    beta: float = 5.0,
    delta: float = 0.0,
    lamb: float = 0.0,
    gamma: float = 0.5,
    min_prob: float = 1e-7,
    parameters: Iterable[Tensor] | None = None,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """Active negative loss: ``alpha * active + beta * negative + delta * L1 + lamb * ER``.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K)
    active : "nce" (with NNCE as the negative part: ANL-CE) or "nfl" (with NNFL: ANL-FL)
    alpha, beta : weights, >= 0; published: (1, 1) MNIST, (5, 5) CIFAR-10, (10, 1) CIFAR-100, (20, 1) WebVision
    delta : weight of the L1 norm of ``parameters``, >= 0; published: 1e-6, 5e-5, 5e-7, 5e-6. It stands in for weight
        decay, which should then be 0
    lamb : weight of ``batch_entropy_regularizer``, >= 0; published: 2 CIFAR-10, 0.01 CIFAR-100; for noise that is not
        symmetric, and classes that are about equally frequent
    gamma : exponent of the focal factors, >= 0
    min_prob : see ``normalized_negative``
    parameters : tensors for the L1 norm, ``model.parameters()``; needed if ``delta`` > 0
    reduction : "mean"; "sum" and "none" only without regularisers, which belong to the batch and to no position
    ignore_index : class number that means "no label here"; None if there is none

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; without regularisers in [0, alpha + beta]

    References
    ----------
    Ye et al., NeurIPS 2023; with entropy regularisation: Ye, Wu, Wang, Li, Zhang, Chen, arXiv 2412.02373.

    Examples
    --------
    >>> active_negative(torch.zeros(1, 4), torch.tensor([0]), alpha=1, beta=1)
    tensor(1.)
    >>> w = torch.tensor([2.0, -3.0])
    >>> active_negative(torch.zeros(1, 4), torch.tensor([0]), alpha=1, beta=1, delta=0.1, parameters=[w])
    tensor(1.5000)
    """
    _check_active_negative(active, alpha, beta, delta, lamb, gamma, min_prob, reduction)
    batch = LogProbs(logits, target, ignore_index=ignore_index, loss="active_negative")
    max_prob = 1 - min_prob if lamb > 0 else 1.0  # as in the papers' code
    total = batch.reduce(active_negative_of(batch, active, alpha, beta, gamma, min_prob, max_prob), reduction)
    if lamb > 0:
        total = total + lamb * batch_entropy_regularizer(batch.logits, min_prob, valid=batch.valid)
    if delta > 0:
        if parameters is None:
            raise ParameterError("delta > 0 needs the model's parameters: loss(logits, target, model.parameters()).")
        total = total + delta * l1_norm(parameters)
    return total


def _check_active_negative(
    active: str, alpha: float, beta: float, delta: float, lamb: float, gamma: float, min_prob: float, reduction: str
) -> None:
    check_choice("active", active, ACTIVES)
    for name, weight in {"alpha": alpha, "beta": beta, "delta": delta, "lamb": lamb}.items():
        check_number(name, weight, 0.0)
    _check_negative("ce", gamma, min_prob, 1.0)
    if reduction != "mean" and (delta > 0 or lamb > 0):
        raise ParameterError(
            f"reduction={reduction!r} goes with delta=0 and lamb=0 only; "
            "add functional.l1_norm and functional.batch_entropy_regularizer yourself."
        )


class NormalizedNegative(Loss):
    """Normalised negative loss of a base loss; see ``functional.normalized_negative``.

    Parameters
    ----------
    base : "ce" (NNCE) or "fl" (NNFL); default "ce"
    gamma : exponent of the focal factor, >= 0; default 0.5
    min_prob, max_prob : bounds that probabilities are clamped to; default (1e-7, 1)
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> NormalizedNegative("fl")(torch.zeros(1, 4), torch.tensor([0]))
    tensor(0.7500)
    """

    def __init__(
        self,
        base: str = "ce",
        *,
        gamma: float = 0.5,
        min_prob: float = 1e-7,
        max_prob: float = 1.0,
        reduction: str = "mean",
        ignore_index: int | None = -100,
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        _check_negative(base, gamma, min_prob, max_prob)
        self.base, self.gamma, self.min_prob, self.max_prob = base, gamma, min_prob, max_prob

    def terms(self, batch: LogProbs) -> Tensor:
        return normalized_negative_of(batch, self.base, self.gamma, self.min_prob, self.max_prob)


class ActiveNegative(Loss):
    """Active negative loss, ANL-CE or ANL-FL; see ``functional.active_negative``.

    Called as ``loss(logits, target)``, or with ``delta`` > 0 as ``loss(logits, target,
    parameters=model.parameters())``.

    Parameters
    ----------
    active : "nce" (ANL-CE) or "nfl" (ANL-FL); default "nce"
    alpha, beta : weights of the active and the negative part, >= 0; default 5 and 5
    delta : weight of the L1 norm of the model's parameters, >= 0; default 0
    lamb : weight of the entropy regularisation, >= 0; default 0
    gamma : exponent of the focal factors, >= 0; default 0.5
    min_prob : probabilities are raised to this; default 1e-7
    reduction, ignore_index : see ``Loss``; with a regulariser the reduction must be "mean"

    Examples
    --------
    >>> ActiveNegative("nfl", alpha=1, beta=2)(torch.zeros(1, 4), torch.tensor([0]))
    tensor(1.7500)
    """

    def __init__(
        self,
        active: str = "nce",
        alpha: float = 5.0,
        beta: float = 5.0,
        delta: float = 0.0,
        *,
        lamb: float = 0.0,
        gamma: float = 0.5,
        min_prob: float = 1e-7,
        reduction: str = "mean",
        ignore_index: int | None = -100,
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        _check_active_negative(active, alpha, beta, delta, lamb, gamma, min_prob, reduction)
        self.active, self.alpha, self.beta, self.delta = active, alpha, beta, delta
        self.lamb, self.gamma, self.min_prob = lamb, gamma, min_prob
        self.separable = not (delta > 0 or lamb > 0)

    def terms(self, batch: LogProbs) -> Tensor:
        return active_negative_of(batch, self.active, self.alpha, self.beta, self.gamma, self.min_prob, 1.0)

    def forward(self, logits: Tensor, target: Tensor, parameters: Iterable[Tensor] | None = None) -> Tensor:
        """The loss of a batch; ``parameters`` are those of the model, for the L1 norm, needed if ``delta`` > 0."""
        return active_negative(
            logits,
            target,
            active=self.active,
            alpha=self.alpha,
            beta=self.beta,
            delta=self.delta,
            lamb=self.lamb,
            gamma=self.gamma,
            min_prob=self.min_prob,
            parameters=parameters,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
        )
