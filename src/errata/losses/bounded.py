"""Losses between cross-entropy and mean absolute error: generalised, Taylor, partially Huberised, Jensen-Shannon.

Each has one number that moves it from the one end (fits everything) to the other (ignores what it cannot fit).
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from errata.errors import ParameterError
from errata.losses.base import LogProbs, Loss, check_number, check_prob_bounds, clamp_log, evaluate


def generalized_cross_entropy_of(batch: LogProbs, q: float, min_prob: float, max_prob: float) -> Tensor:
    return -torch.expm1(q * batch.label_log_p(min_prob, max_prob)) / q  # expm1 keeps the limit q -> 0 exact


def partially_huberized_of(batch: LogProbs, tau: float, min_prob: float, max_prob: float) -> Tensor:
    log_p = batch.label_log_p(min_prob, max_prob)
    line = math.log(tau) + 1 - tau * log_p.exp()
    return torch.where(log_p <= -math.log(tau), line, -log_p)


def taylor_cross_entropy_of(batch: LogProbs, t: int, min_prob: float, max_prob: float) -> Tensor:
    miss = -batch.label_log_p(min_prob, max_prob).expm1()
    series = torch.full_like(miss, 1 / t)
    for i in range(t - 1, 0, -1):  # Horner: miss * (1 + miss * (1/2 + ... miss * 1/t))
        series = series * miss + 1 / i
    return miss * series


def jensen_shannon_of(batch: LogProbs, pi: float, floor: float) -> Tensor:
    log_p, p = batch.log_p, batch.log_p.exp()
    target = batch.target if batch.soft else torch.zeros_like(p).scatter(1, batch.target.unsqueeze(1), 1.0)
    log_m = (pi * target + (1 - pi) * p).clamp(floor, 1.0).log()
    to_target = -batch.at_label(log_m)
    if batch.soft:  # minus the target's own entropy, which is zero for a class
        to_target = to_target + (batch.target * batch.target.clamp_min(floor).log()).sum(1)
    to_prediction = (p * (clamp_log(log_p, floor) - log_m)).sum(1)
    scale = -1 / ((1 - pi) * math.log1p(-pi))
    return scale * (pi * to_target + (1 - pi) * to_prediction)


def _check_q(q: float) -> float:
    return check_number("q", q, 0.0, 1.0, open_low=True)


def _check_tau(tau: float) -> float:
    return check_number("tau", tau, 1.0, open_high=True)


def _check_order(t: int) -> int:
    if isinstance(t, bool) or t != int(t) or t < 1:
        raise ParameterError(f"t, the order of the Taylor series, must be a whole number >= 1; got {t!r}.")
    return int(t)


def _check_pi(pi: float, floor: float) -> tuple[float, float]:
    check_number("floor", floor, 0.0, 1.0, open_low=True, open_high=True)
    return check_number("pi", pi, 0.0, 1.0, open_low=True, open_high=True), floor


def generalized_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    q: float = 0.7,
    min_prob: float = 0.0,
    max_prob: float = 1.0,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """Generalised cross-entropy, ``(1 - p_y^q) / q``: mean absolute error at q = 1, cross-entropy as q goes to 0.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K)
    q : exponent, in (0, 1]
    min_prob, max_prob : bounds that ``p_y`` is clamped to; published code has (1e-7, 1)
    reduction : "mean", "sum" or "none"
    ignore_index : class number that means "no label here"; None if there is none

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; in [0, 1/q]

    References
    ----------
    Zhang, Sabuncu: Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels, NeurIPS 2018,
    arXiv 1805.07836.

    Examples
    --------
    >>> generalized_cross_entropy(torch.zeros(1, 4), torch.tensor([0]), q=0.5)
    tensor(1.)
    """
    _check_q(q)
    check_prob_bounds(min_prob, max_prob)
    terms = partial(generalized_cross_entropy_of, q=q, min_prob=min_prob, max_prob=max_prob)
    return evaluate(terms, logits, target, "generalized_cross_entropy", reduction, ignore_index)


def partially_huberized(
    logits: Tensor,
    target: Tensor,
    *,
    tau: float = 10.0,
    min_prob: float = 0.0,
    max_prob: float = 1.0,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """Partially Huberised cross-entropy: ``-log p_y``, continued by its tangent where ``p_y <= 1 / tau``.

    The tangent is ``log tau + 1 - tau * p_y``: no sample pulls at its label's probability by more than ``tau``.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K)
    tau : largest slope, >= 1 (1 is mean absolute error); published: 2 for CIFAR-10, 10 for CIFAR-100
    min_prob, max_prob : bounds that ``p_y`` is clamped to; published code has (1e-7, 1 - 1e-7)
    reduction, ignore_index : see ``generalized_cross_entropy``

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; in [0, 1 + log tau]

    References
    ----------
    Menon, Rawat, Reddi, Kumar: Can Gradient Clipping Mitigate Label Noise?, ICLR 2020.

    Examples
    --------
    >>> partially_huberized(torch.zeros(1, 4), torch.tensor([0]), tau=10)
    tensor(1.3863)
    >>> partially_huberized(torch.zeros(1, 4), torch.tensor([0]), tau=2)
    tensor(1.1931)
    """
    _check_tau(tau)
    check_prob_bounds(min_prob, max_prob)
    terms = partial(partially_huberized_of, tau=tau, min_prob=min_prob, max_prob=max_prob)
    return evaluate(terms, logits, target, "partially_huberized", reduction, ignore_index)


def taylor_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    t: int = 2,
    min_prob: float = 0.0,
    max_prob: float = 1.0,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """Taylor cross-entropy, ``sum_{i=1..t} (1 - p_y)^i / i``: mean absolute error at t = 1, cross-entropy as t grows.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K)
    t : order of the series, >= 1
    min_prob, max_prob : bounds that ``p_y`` is clamped to; published code has (1e-7, 1 - 1e-7)
    reduction, ignore_index : see ``generalized_cross_entropy``

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; in [0, 1 + 1/2 + ... + 1/t]

    References
    ----------
    Feng, Shu, Lin, Lv, Li, An: Can Cross Entropy Loss Be Robust to Label Noise?, IJCAI 2020.

    Examples
    --------
    >>> taylor_cross_entropy(torch.zeros(1, 2), torch.tensor([0]), t=2)
    tensor(0.6250)
    """
    _check_order(t)
    check_prob_bounds(min_prob, max_prob)
    terms = partial(taylor_cross_entropy_of, t=int(t), min_prob=min_prob, max_prob=max_prob)
    return evaluate(terms, logits, target, "taylor_cross_entropy", reduction, ignore_index)


def jensen_shannon(
    logits: Tensor,
    target: Tensor,
    *,
    pi: float = 0.5,
    floor: float = 1e-7,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """Jensen-Shannon loss, ``Z * [pi KL(t || m) + (1 - pi) KL(p || m)]`` with ``m = pi t + (1 - pi) p``.

    ``Z = -1 / ((1 - pi) log(1 - pi))`` makes it cross-entropy as ``pi`` goes to 0 and mean absolute error as it goes
    to 1.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K), or (B, K, ...) probabilities
    pi : weight of the target in the mixture, in (0, 1)
    floor : probabilities are raised to this inside logarithms, in (0, 1)
    reduction, ignore_index : see ``generalized_cross_entropy``

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; in [0, Z * entropy of (pi, 1 - pi)]

    References
    ----------
    Englesson, Azizpour: Generalized Jensen-Shannon Divergence Loss for Learning with Noisy Labels, NeurIPS 2021,
    arXiv 2105.04522.

    Examples
    --------
    >>> jensen_shannon(torch.zeros(1, 4), torch.tensor([0]), pi=0.5)
    tensor(1.0976)
    """
    _check_pi(pi, floor)
    terms = partial(jensen_shannon_of, pi=pi, floor=floor)
    return evaluate(terms, logits, target, "jensen_shannon", reduction, ignore_index, soft_targets=True)


class GeneralizedCrossEntropy(Loss):
    """Generalised cross-entropy, ``(1 - p_y^q) / q``; see ``functional.generalized_cross_entropy``.

    Parameters
    ----------
    q : exponent, in (0, 1]; default 0.7
    min_prob, max_prob : bounds that ``p_y`` is clamped to; default (0, 1), no clamp
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> GeneralizedCrossEntropy(q=0.5)(torch.zeros(1, 4), torch.tensor([0]))
    tensor(1.)
    """

    def __init__(
        self,
        q: float = 0.7,
        *,
        min_prob: float = 0.0,
        max_prob: float = 1.0,
        reduction: str = "mean",
        ignore_index: int | None = -100,
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        check_prob_bounds(min_prob, max_prob)
        self.q, self.min_prob, self.max_prob = _check_q(q), min_prob, max_prob

    def terms(self, batch: LogProbs) -> Tensor:
        return generalized_cross_entropy_of(batch, self.q, self.min_prob, self.max_prob)


class PartiallyHuberized(Loss):
    """Partially Huberised cross-entropy, slope at most ``tau``; see ``functional.partially_huberized``.

    Parameters
    ----------
    tau : largest slope, >= 1; default 10
    min_prob, max_prob : bounds that ``p_y`` is clamped to; default (0, 1), no clamp
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> PartiallyHuberized(tau=2)(torch.zeros(1, 4), torch.tensor([0]))
    tensor(1.1931)
    """

    def __init__(
        self,
        tau: float = 10.0,
        *,
        min_prob: float = 0.0,
        max_prob: float = 1.0,
        reduction: str = "mean",
        ignore_index: int | None = -100,
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        check_prob_bounds(min_prob, max_prob)
        self.tau, self.min_prob, self.max_prob = _check_tau(tau), min_prob, max_prob

    def terms(self, batch: LogProbs) -> Tensor:
        return partially_huberized_of(batch, self.tau, self.min_prob, self.max_prob)


class TaylorCrossEntropy(Loss):
    """Taylor cross-entropy of order ``t``; see ``functional.taylor_cross_entropy``.

    Parameters
    ----------
    t : order of the series, >= 1; default 2
    min_prob, max_prob : bounds that ``p_y`` is clamped to; default (0, 1), no clamp
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> TaylorCrossEntropy(t=2)(torch.zeros(1, 2), torch.tensor([0]))
    tensor(0.6250)
    """

    def __init__(
        self,
        t: int = 2,
        *,
        min_prob: float = 0.0,
        max_prob: float = 1.0,
        reduction: str = "mean",
        ignore_index: int | None = -100,
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        check_prob_bounds(min_prob, max_prob)
        self.t, self.min_prob, self.max_prob = _check_order(t), min_prob, max_prob

    def terms(self, batch: LogProbs) -> Tensor:
        return taylor_cross_entropy_of(batch, self.t, self.min_prob, self.max_prob)


class JensenShannon(Loss):
    """Jensen-Shannon loss between target and prediction; see ``functional.jensen_shannon``.

    Parameters
    ----------
    pi : weight of the target in the mixture, in (0, 1); default 0.5
    floor : probabilities are raised to this inside logarithms; default 1e-7
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> JensenShannon()(torch.zeros(1, 4), torch.tensor([0]))
    tensor(1.0976)
    """

    soft_targets = True

    def __init__(
        self, pi: float = 0.5, *, floor: float = 1e-7, reduction: str = "mean", ignore_index: int | None = -100
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        self.pi, self.floor = _check_pi(pi, floor)

    def terms(self, batch: LogProbs) -> Tensor:
        return jensen_shannon_of(batch, self.pi, self.floor)
