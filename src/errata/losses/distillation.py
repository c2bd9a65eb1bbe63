"""Distillation: a student is held to the softened predictions of a teacher."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from errata.errors import DataError
from errata.losses.base import check_choice, check_number, in_working_precision

__all__ = ["DistillationTerms", "distillation", "knowledge_distillation"]


class DistillationTerms(NamedTuple):
    """The loss of a student, and the two terms it is mixed from; scalars, or (B,) each."""

    loss: Tensor
    ce: Tensor
    kd: Tensor


def distillation(logits: Tensor, teacher_logits: Tensor, *, tau: float = 4.0, reduction: str = "mean") -> Tensor:
    """``tau^2 KL(softmax(teacher / tau) || softmax(student / tau))``.

    Parameters
    ----------
    logits, teacher_logits : (B, K) float; no gradient reaches the teacher's
    tau : temperature, > 0; with a high one the gradient tends to the difference of the centred logits over K
    reduction : "mean" over the batch, "sum" or "none"

    Returns
    -------
    scalar, or (B,); >= 0, in nats, 0 where the two predict the same

    References
    ----------
    Hinton, Vinyals, Dean: Distilling the knowledge in a neural network, 2015, arXiv 1503.02531.

    Examples
    --------
    >>> import torch
    >>> distillation(torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 1.0]]))
    tensor(0.)
    """
    check_number("tau", tau, 0.0, open_low=True)
    check_choice("reduction", reduction, ("mean", "sum", "none"))
    if logits.ndim != 2 or logits.shape != teacher_logits.shape:
        raise DataError(
            f"The student's and the teacher's logits must both be (B, K); got {tuple(logits.shape)} and "
            f"{tuple(teacher_logits.shape)}."
        )
    student = (in_working_precision(logits) / tau).log_softmax(1)
    teacher = (in_working_precision(teacher_logits.detach()) / tau).log_softmax(1)
    values = tau**2 * (teacher.exp() * (teacher - student)).sum(1)
    return values if reduction == "none" else values.mean() if reduction == "mean" else values.sum()


def knowledge_distillation(
    logits: Tensor, teacher_logits: Tensor, target: Tensor, *, alpha: float = 1.0, tau: float = 4.0
) -> DistillationTerms:
    """``(1 - alpha) CE + alpha tau^2 KL``, both averaged over the batch.

    Parameters
    ----------
    logits, teacher_logits : (B, K) float
    target : (B,) int in [0, K), the given labels
    alpha : weight of the teacher, in [0, 1]; 0 is plain training, with 1 the labels don't matter
    tau : temperature, > 0

    Examples
    --------
    >>> import torch
    >>> terms = knowledge_distillation(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]), alpha=0.75)
    >>> terms.loss, terms.ce, terms.kd
    (tensor(0.1733), tensor(0.6931), tensor(0.))
    """
    check_number("alpha", alpha, 0.0, 1.0)
    kd = distillation(logits, teacher_logits, tau=tau)
    ce = F.cross_entropy(in_working_precision(logits), target)
    return DistillationTerms((1 - alpha) * ce + alpha * kd, ce, kd)
