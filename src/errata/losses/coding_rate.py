"""Coding rates: how many bits a set of vectors needs, as a whole and class by class (Yu et al. 2020, arXiv 2006.08558).

Representations whose whole needs many bits and whose classes need few lie in different subspaces for different classes.
The rates are log-determinants of Gram matrices; their gradients are known in closed form, so that nothing but one
(M, D) matrix is kept for the way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from errata.errors import ParameterError
from errata.parts.precision import in_float32

__all__ = ["coding_rate_reduction", "coding_rates"]


def coding_rates(
    z: Tensor, labels: Tensor, num_classes: int, *, gam1: float = 1.0, eps: float = 0.05
) -> tuple[Tensor, Tensor]:
    """The rate of all rows, and the sum of the rates of the classes.

    ``R = 1/2 logdet(I + gam1 D / (M eps) Z'Z)`` and ``Rc = sum_c M_c / (2 M) logdet(I + D / (M_c eps) Z_c'Z_c)``.

    Parameters
    ----------
    z : (M, D) float
    labels : (M,) int in [0, K)
    num_classes : K; a class without a row adds nothing
    gam1 : inner factor of R, above 0
    eps : squared distortion, above 0

    Returns
    -------
    R, Rc : scalars in nats, 0 or more, with gradient to ``z``; float32 or better

    Notes
    -----
    Time O(M D^2 + K D^3), memory O(M D + K D^2); a class with fewer rows than columns is taken by its (M_c, M_c) Gram
    matrix, which has the same determinant.

    Examples
    --------
    >>> z = torch.eye(4)
    >>> rate, by_class = coding_rates(z, torch.tensor([0, 0, 1, 1]), 2, eps=1.0)
    >>> round(float(rate), 4), round(float(by_class), 4)
    (1.3863, 1.0986)
    """
    if not (gam1 > 0 and eps > 0):
        raise ParameterError(f"gam1 and eps must be above 0; got {gam1!r} and {eps!r}.")
    with torch.autocast(z.device.type, enabled=False):
        rate, by_class = _Rates.apply(in_float32(z), labels, num_classes, float(gam1), float(eps))
    return rate, by_class


def coding_rate_reduction(
    z: Tensor, labels: Tensor, num_classes: int, *, gam1: float = 1.0, gam2: float = 2.0, eps: float = 0.05
) -> Tensor:
    """``gam1 Rc - gam2 R``, to be made small: spread all rows out, and keep each class together.

    Parameters
    ----------
    z, labels, num_classes, gam1, eps : see ``coding_rates``; ``gam1`` weights Rc as well
    gam2 : weight of R

    Examples
    --------
    >>> float(coding_rate_reduction(torch.zeros(3, 2), torch.tensor([0, 0, 1]), 2))
    0.0
    """
    rate, by_class = coding_rates(z, labels, num_classes, gam1=gam1, eps=eps)
    return gam1 * by_class - gam2 * rate


class _Rates(torch.autograd.Function):
    """Both rates with their closed gradients: d/dZ 1/2 logdet(I + s Z'Z) = s Z (I + s Z'Z)^-1."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, labels: Tensor, num_classes: int, gam1: float, eps: float
    ) -> tuple[Tensor, Tensor]:
        rows, width = z.shape
        needed = ctx.needs_input_grad[0]
        (whole,), (slope,) = _half_logdets([z], [gam1 * width / (rows * eps)], needed)
        order = labels.argsort(stable=True)
        counts = torch.bincount(labels, minlength=num_classes)[:num_classes].tolist()
        members = [part for part in z[order].split(counts) if len(part)]
        values, slopes = _half_logdets(members, [width / (len(part) * eps) for part in members], needed)
        shares = [len(part) / rows for part in members]
        by_class = torch.stack([share * value for share, value in zip(shares, values)]).sum()
        if needed:
            class_slope = torch.empty_like(z)
            class_slope[order] = torch.cat([share * s for share, s in zip(shares, slopes)])
            ctx.save_for_backward(slope, class_slope)
        return whole, by_class

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None, None, None]:
        slope, class_slope = ctx.saved_tensors
        return upstream[0] * slope + upstream[1] * class_slope, None, None, None, None


def _half_logdets(
    parts: Sequence[Tensor], scales: Sequence[float], with_slopes: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """``1/2 logdet(I + s Z'Z)`` of each part, and its slope; Cholesky in batches of equal shape."""
    width = parts[0].shape[1]
    values: list[Any] = [None] * len(parts)
    slopes: list[Any] = [None] * len(parts)
    tall = [i for i, part in enumerate(parts) if len(part) >= width]
    flat = [i for i, part in enumerate(parts) if len(part) < width]
    for chosen, by_columns in ((tall, True), (flat, False)):
        if not chosen:
            continue
        # the identity fills up smaller matrices of a batch: it changes no determinant
        side = width if by_columns else max(len(parts[i]) for i in chosen)
        grams = torch.eye(side, dtype=parts[0].dtype, device=parts[0].device).repeat(len(chosen), 1, 1)
        for gram, i in zip(grams, chosen):
            z = parts[i]
            n = width if by_columns else len(z)
            gram[:n, :n].addmm_(z.T if by_columns else z, z if by_columns else z.T, alpha=scales[i])
        factors = torch.linalg.cholesky(grams)
        halves = factors.diagonal(dim1=1, dim2=2).log().sum(1)  # log det = 2 sum log diag
        inverses = torch.cholesky_inverse(factors) if with_slopes else None
        for place, i in enumerate(chosen):
            values[i] = halves[place]
            if inverses is not None:
                z, n = parts[i], width if by_columns else len(parts[i])
                inverse = inverses[place, :n, :n]
                slopes[i] = scales[i] * (z @ inverse if by_columns else inverse @ z)
    return values, slopes
