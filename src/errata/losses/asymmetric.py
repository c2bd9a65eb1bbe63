"""Asymmetric losses: robust where the right label is the most probable one, and easier to fit than symmetric ones."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from errata.losses.base import LogProbs, Loss, check_number, evaluate, one_minus_exp


def asymmetric_generalized_cross_entropy_of(batch: LogProbs, a: float, q: float) -> Tensor:
    log_p = batch.label_log_p()
    log_a = math.log(a) if a > 0 else -math.inf
    shifted = torch.logaddexp(
        log_p, torch.full_like(log_p, log_a)
    )  # log(a + p): has a gradient even where p underflows
    return -((a + 1) ** q) * torch.expm1(q * (shifted - math.log1p(a))) / q


def asymmetric_unhinged_of(batch: LogProbs, a: float, q: float) -> Tensor:
    gap = (a - 1) + one_minus_exp(batch.label_log_p())
    return (gap.pow(q) - (a - 1) ** q) / q


def asymmetric_exponential_of(batch: LogProbs, a: float) -> Tensor:
    return (-batch.label_log_p().exp() / a).exp()


def asymmetric_generalized_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    a: float = 6.0,
    q: float = 1.5,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """Asymmetric generalised cross-entropy (AGCE), ``((a + 1)^q - (a + p_y)^q) / q``.

    With a = 0 it is generalised cross-entropy, with a = 0 and q = 1 mean absolute error.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K)
    a : shift, >= 0
    q : exponent, > 0; published with NCE, (a, q): (4, 0.2) MNIST, (6, 1.5) CIFAR-10, (1.8, 3) CIFAR-100
    reduction : "mean", "sum" or "none"
    ignore_index : class number that means "no label here"; None if there is none

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; in [0, ((a + 1)^q - a^q) / q]

    References
    ----------
    Zhou, Liu, Jiang, Gao, Ji: Asymmetric Loss Functions for Learning with Noisy Labels, ICML 2021, arXiv 2106.03110.

    Examples
    --------
    >>> asymmetric_generalized_cross_entropy(torch.zeros(1, 4), torch.tensor([0]), a=1, q=2)
    tensor(1.2188)
    """
    check_number("a", a, 0.0)
    check_number("q", q, 0.0, open_low=True)
    terms = partial(asymmetric_generalized_cross_entropy_of, a=a, q=q)
    return evaluate(terms, logits, target, "asymmetric_generalized_cross_entropy", reduction, ignore_index)


def asymmetric_unhinged(
    logits: Tensor,
    target: Tensor,
    *,
    a: float = 6.3,
    q: float = 1.5,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """Asymmetric unhinged loss (AUL), ``((a - p_y)^q - (a - 1)^q) / q``; with q = 1 mean absolute error.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K)
    a : shift, >= 1
    q : exponent, > 0; published with NCE, (a, q): (3, 0.1) MNIST, (6.3, 1.5) CIFAR-10, (6, 3) CIFAR-100
    reduction, ignore_index : see ``asymmetric_generalized_cross_entropy``

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; in [0, (a^q - (a - 1)^q) / q]

    References
    ----------
    Zhou et al., ICML 2021, arXiv 2106.03110.

    Examples
    --------
    >>> asymmetric_unhinged(torch.zeros(1, 4), torch.tensor([0]), a=2, q=2)
    tensor(1.0312)
    """
    check_number("a", a, 1.0)
    check_number("q", q, 0.0, open_low=True)
    terms = partial(asymmetric_unhinged_of, a=a, q=q)
    return evaluate(terms, logits, target, "asymmetric_unhinged", reduction, ignore_index)


def asymmetric_exponential(
    logits: Tensor, target: Tensor, *, a: float = 5.0, reduction: str = "mean", ignore_index: int | None = -100
) -> Tensor:
    """Asymmetric exponential loss (AEL), ``exp(-p_y / a)``.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K)
    a : temperature, > 0; published with NCE: 3.5 MNIST, 5 CIFAR-10, 1.5 CIFAR-100
    reduction, ignore_index : see ``asymmetric_generalized_cross_entropy``

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; in [exp(-1 / a), 1]

    References
    ----------
    Zhou et al., ICML 2021, arXiv 2106.03110.

    Examples
    --------
    >>> asymmetric_exponential(torch.zeros(1, 4), torch.tensor([0]), a=1)
    tensor(0.7788)
    """
    check_number("a", a, 0.0, open_low=True)
    terms = partial(asymmetric_exponential_of, a=a)
    return evaluate(terms, logits, target, "asymmetric_exponential", reduction, ignore_index)


class AsymmetricGeneralizedCrossEntropy(Loss):
    """AGCE, ``((a + 1)^q - (a + p_y)^q) / q``; see ``functional.asymmetric_generalized_cross_entropy``.

    Parameters
    ----------
    a : shift, >= 0; default 6
    q : exponent, > 0; default 1.5
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> AsymmetricGeneralizedCrossEntropy(a=1, q=2)(torch.zeros(1, 4), torch.tensor([0]))
    tensor(1.2188)
    """

    def __init__(
        self, a: float = 6.0, q: float = 1.5, *, reduction: str = "mean", ignore_index: int | None = -100
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        self.a, self.q = check_number("a", a, 0.0), check_number("q", q, 0.0, open_low=True)

    def terms(self, batch: LogProbs) -> Tensor:
        return asymmetric_generalized_cross_entropy_of(batch, self.a, self.q)


class AsymmetricUnhinged(Loss):
    """AUL, ``((a - p_y)^q - (a - 1)^q) / q``; see ``functional.asymmetric_unhinged``.

    Parameters
    ----------
    a : shift, >= 1; default 6.3
    q : exponent, > 0; default 1.5
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> AsymmetricUnhinged(a=2, q=2)(torch.zeros(1, 4), torch.tensor([0]))
    tensor(1.0312)
    """

    def __init__(
        self, a: float = 6.3, q: float = 1.5, *, reduction: str = "mean", ignore_index: int | None = -100
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        self.a, self.q = check_number("a", a, 1.0), check_number("q", q, 0.0, open_low=True)

    def terms(self, batch: LogProbs) -> Tensor:
        return asymmetric_unhinged_of(batch, self.a, self.q)


class AsymmetricExponential(Loss):
    """AEL, ``exp(-p_y / a)``; see ``functional.asymmetric_exponential``.

    Parameters
    ----------
    a : temperature, > 0; default 5
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> AsymmetricExponential(a=1)(torch.zeros(1, 4), torch.tensor([0]))
    tensor(0.7788)
    """

    def __init__(self, a: float = 5.0, *, reduction: str = "mean", ignore_index: int | None = -100) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        self.a = check_number("a", a, 0.0, open_low=True)

    def terms(self, batch: LogProbs) -> Tensor:
        return asymmetric_exponential_of(batch, self.a)
