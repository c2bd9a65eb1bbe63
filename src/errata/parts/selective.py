"""Labels from the surer of two models, one of all data and one of a part: the equations of FedLabel.

Both models are frozen. Of a sample without a label the one whose probabilities vary more names the class; where the
other says the same, a student is also held near that one's probabilities, the more so the surer it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from errata.labels import MISSING
from errata.parts.federated import one_of

__all__ = [
    "CONFIDENCES",
    "DIRECTIONS",
    "NORMALISERS",
    "TEACHERS",
    "Assignment",
    "assign",
    "assigned_loss",
    "confidence",
    "fedlabel_loss",
]

CONFIDENCES = ("variance", "entropy")
DIRECTIONS = ("discarded||student", "student||discarded")
NORMALISERS = ("passing", "batch")
TEACHERS = ("selective", "local", "global")


def confidence(probabilities: Tensor, kind: str = "variance") -> Tensor:
    """How sure a model is of each sample: h(s).

    Parameters
    ----------
    probabilities : (B, N), rows sum to 1
    kind : "variance" over the classes (divided by N), from 0 to (N - 1) / N^2; or "entropy": negative entropy in nats
        raised by log N, from 0 to log N, so that ratios of it make sense

    Returns
    -------
    (B,) >= 0

    Examples
    --------
    >>> confidence(torch.tensor([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]]))
    tensor([0.0000, 0.1875])
    """
    if kind == "variance":
        return probabilities.var(1, correction=0)
    one_of(CONFIDENCES, confidence=kind)
    ceiling = torch.log(torch.tensor(float(probabilities.shape[1]), dtype=probabilities.dtype))
    return (ceiling + torch.xlogy(probabilities, probabilities).sum(1)).clamp(min=0)


@dataclass
class Assignment:
    """What the two frozen models say of samples without a label; nothing here has a gradient.

    Attributes
    ----------
    h_global, h_local : (B,) confidences
    is_local : (B,) bool, the client's own model was chosen
    pseudo_label : (B,) class of the chosen model, -1 where its probability is not above beta
    passes : (B,) bool
    agrees : (B,) bool, it passes and the other model says the same class
    discarded : (B, N) probabilities of the model that was not chosen
    ratio : (B,) h of the discarded over h of the chosen, in [0, 1]; the weight of the consistency term over lambda0
    """

    h_global: Tensor
    h_local: Tensor
    is_local: Tensor
    pseudo_label: Tensor
    passes: Tensor
    agrees: Tensor
    discarded: Tensor
    ratio: Tensor

    def __getitem__(self, rows: Tensor) -> Assignment:
        return Assignment(*(value[rows] for value in vars(self).values()))


def assign(
    global_logits: Tensor,
    local_logits: Tensor,
    beta: float,
    confidence_kind: str = "variance",
    teacher: str = "selective",
) -> Assignment:
    """Choose a teacher for each sample and take its pseudo-label (eqs. 3 to 5).

    Parameters
    ----------
    global_logits, local_logits : (B, N)
    beta : a label passes where the chosen probability is above this, in [0, 1]
    confidence_kind : see :func:`confidence`
    teacher : "selective" takes the surer model (the global one of equals); "local" and "global" always take one, which
        are the paper's ablations

    Examples
    --------
    >>> found = assign(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]]), beta=0.5)
    >>> found.is_local, found.pseudo_label, found.agrees
    (tensor([True]), tensor([1]), tensor([False]))
    """
    one_of(TEACHERS, teacher=teacher)
    s_global, s_local = global_logits.detach().softmax(1), local_logits.detach().softmax(1)
    h_global, h_local = confidence(s_global, confidence_kind), confidence(s_local, confidence_kind)
    is_local = h_local > h_global if teacher == "selective" else torch.full_like(h_global, teacher == "local").bool()
    chosen = torch.where(is_local[:, None], s_local, s_global)
    discarded = torch.where(is_local[:, None], s_global, s_local)
    best, label = chosen.max(1)
    passes = best > beta
    top, low = torch.where(is_local, h_local, h_global), torch.where(is_local, h_global, h_local)
    # two uniform models have nothing to tell apart: equally sure. With a fixed teacher the ratio may exceed 1: bounded.
    ratio = torch.where(top > 0, low / top.clamp(min=torch.finfo(top.dtype).tiny), torch.ones_like(top)).clamp(max=1)
    return Assignment(
        h_global,
        h_local,
        is_local,
        torch.where(passes, label, MISSING),
        passes,
        passes & (discarded.argmax(1) == label),
        discarded,
        ratio,
    )


def assigned_loss(
    student_logits: Tensor,
    assigned: Assignment,
    lambda0: float = 1.0,
    kl: str = "discarded||student",
    normaliser: str = "passing",
    kl_logits: Tensor | None = None,
) -> Tensor:
    """The unlabelled loss (eqs. 6 to 8): cross-entropy to the pseudo-labels, plus consistency where both agree.

    Parameters
    ----------
    student_logits : (B, N), of the strong view
    assigned : of the same samples
    lambda0 : the largest weight of the consistency term, 0 or more
    kl : "discarded||student", the usual form of distillation, or "student||discarded", as the paper's eq. 6 is written
    normaliser : divide by the number that "passing" (1 at least), or by the "batch"
    kl_logits : (B, N) the student's logits for the consistency term, where it sees another view

    Returns
    -------
    scalar, 0 where nothing passes
    """
    one_of(DIRECTIONS, kl=kl)
    one_of(NORMALISERS, normaliser=normaliser)
    passes = assigned.passes.to(student_logits.dtype)
    own = F.cross_entropy(student_logits, assigned.pseudo_label.clamp(min=0), reduction="none") * passes
    log_student = (student_logits if kl_logits is None else kl_logits).log_softmax(1)
    log_other = assigned.discarded.clamp(min=torch.finfo(assigned.discarded.dtype).tiny).log()
    if kl == "discarded||student":
        divergence = (assigned.discarded * (log_other - log_student)).sum(1)
    else:
        divergence = (log_student.exp() * (log_student - log_other)).sum(1)
    held = lambda0 * assigned.ratio * assigned.agrees.to(student_logits.dtype) * divergence
    count = passes.sum().clamp(min=1) if normaliser == "passing" else len(student_logits)
    return (own + held).sum() / count


def fedlabel_loss(
    global_logits: Tensor,
    local_logits: Tensor,
    student_logits: Tensor,
    beta: float = 0.4,
    lambda0: float = 1.0,
    confidence: str = "variance",
    kl: str = "discarded||student",
    normaliser: str = "passing",
) -> tuple[Tensor, Assignment]:
    """The whole of a batch: the teachers' choice and the student's loss.

    Examples
    --------
    >>> both = torch.tensor([[3.0, 0.0]])
    >>> loss, assigned = fedlabel_loss(both, both, torch.zeros(1, 2), beta=0.5, lambda0=0.0)
    >>> loss, assigned.agrees
    (tensor(0.6931), tensor([True]))
    """
    assigned = assign(global_logits, local_logits, beta, confidence)
    return assigned_loss(student_logits, assigned, lambda0, kl, normaliser), assigned
