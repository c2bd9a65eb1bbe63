"""Normalised losses, and the pairing of an active with a passive loss.

Any loss divided by its sum over all classes is symmetric, hence robust; but it then fits slowly. Paired with a loss
that also pushes the other classes down (a passive one) it fits again.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from errata.errors import ParameterError
from errata.losses.base import LogProbs, Loss, check_number, evaluate
from errata.losses.cross_entropy import focal_terms


def normalized_cross_entropy_of(batch: LogProbs) -> Tensor:
    return batch.at_label(batch.log_p) / batch.log_p.sum(1)


def normalized_focal_of(batch: LogProbs, gamma: float) -> Tensor:
    per_class = focal_terms(batch.log_p, gamma, detach_factor=True)
    return batch.at_label(per_class) / per_class.sum(1)


def resolve(loss: str | nn.Module, role: str) -> nn.Module:
    """The loss that a name stands for; a module that can be a part of a sum is returned as it is."""
    if isinstance(loss, str):
        from errata.losses.registry import get  # the registry knows this file

        loss = get(loss)
    if not isinstance(loss, nn.Module):
        raise ParameterError(f"{role} must be the name of a loss or a module; got {loss!r}.")
    if not getattr(loss, "separable", True):
        raise ParameterError(
            f"{type(loss).__name__} is more than a mean over positions (it has a state or a regulariser) "
            f"and cannot be the {role} part."
        )
    return loss


def part_terms(loss: nn.Module, batch: LogProbs) -> Tensor:
    """One value per position from one of our losses, or from a foreign module that doesn't reduce."""
    if isinstance(loss, Loss):
        return loss.terms(batch)
    values = loss(batch.logits, batch.target)
    positions = batch.logits.shape[:1] + batch.logits.shape[2:]
    if values.shape != positions:
        raise ParameterError(
            f"{type(loss).__name__} must return one value per position, {tuple(positions)}, to be part of a sum; got "
            f"{tuple(values.shape)}. Build it with reduction='none'."
        )
    return values


def active_passive_of(batch: LogProbs, active: nn.Module, passive: nn.Module, alpha: float, beta: float) -> Tensor:
    return alpha * part_terms(active, batch) + beta * part_terms(passive, batch)


def _both_soft(active: nn.Module, passive: nn.Module) -> bool:
    return all(getattr(part, "soft_targets", False) for part in (active, passive))


def normalized_cross_entropy(
    logits: Tensor, target: Tensor, *, reduction: str = "mean", ignore_index: int | None = -100
) -> Tensor:
    """Normalised cross-entropy, ``log p_y / sum_k log p_k``. Symmetric: its sum over the classes is 1.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K), or (B, K, ...) probabilities
    reduction : "mean", "sum" or "none"
    ignore_index : class number that means "no label here"; None if there is none

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; in [0, 1]

    References
    ----------
    Ma, Huang, Wang, Romano, Erfani, Bailey: Normalized Loss Functions for Deep Learning with Noisy Labels, ICML 2020,
    arXiv 2006.13554.

    Examples
    --------
    >>> import torch
    >>> normalized_cross_entropy(torch.zeros(1, 4), torch.tensor([0]))
    tensor(0.2500)
    """
    terms, name = normalized_cross_entropy_of, "normalized_cross_entropy"
    return evaluate(terms, logits, target, name, reduction, ignore_index, soft_targets=True)


def normalized_focal(
    logits: Tensor, target: Tensor, *, gamma: float = 0.5, reduction: str = "mean", ignore_index: int | None = -100
) -> Tensor:
    """Normalised focal loss, ``FL_y / sum_k FL_k`` with ``FL_k = -(1 - p_k)^gamma log p_k``, the factors constants.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K), or (B, K, ...) probabilities
    gamma : exponent of the focal factor, >= 0; 0 is normalised cross-entropy
    reduction, ignore_index : see ``normalized_cross_entropy``

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; in [0, 1]

    References
    ----------
    Ma et al., ICML 2020, arXiv 2006.13554.

    Examples
    --------
    >>> import torch
    >>> normalized_focal(torch.zeros(1, 4), torch.tensor([0]))
    tensor(0.2500)
    """
    check_number("gamma", gamma, 0.0)
    terms = partial(normalized_focal_of, gamma=gamma)
    return evaluate(terms, logits, target, "normalized_focal", reduction, ignore_index, soft_targets=True)


def active_passive(
    logits: Tensor,
    target: Tensor,
    *,
    active: str | nn.Module = "nce",
    passive: str | nn.Module = "rce",
    alpha: float = 1.0,
    beta: float = 1.0,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """``alpha * active + beta * passive``: a loss that raises the label's class, and one that lowers the others.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K), or (B, K, ...) probabilities if both parts are defined for them
    active, passive : names (see ``losses.names``), losses of this room, or modules that return one value per position;
        the reduction of a part doesn't matter, as only its values per position are used
    alpha, beta : their weights, >= 0; published for NCE and RCE: (1, 1) CIFAR-10, (10, 0.1) CIFAR-100,
        (50, 0.1) WebVision; (1, 4) for NCE with AGCE, AUL or AEL on CIFAR-10
    reduction, ignore_index : see ``normalized_cross_entropy``

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions

    References
    ----------
    Ma et al., ICML 2020, arXiv 2006.13554.

    Examples
    --------
    >>> import torch
    >>> active_passive(torch.zeros(1, 4), torch.tensor([0]), active="nce", passive="mae")
    tensor(1.)
    """
    first, second = resolve(active, "active"), resolve(passive, "passive")
    check_number("alpha", alpha, 0.0)
    check_number("beta", beta, 0.0)
    terms = partial(active_passive_of, active=first, passive=second, alpha=alpha, beta=beta)
    soft = _both_soft(first, second)
    return evaluate(terms, logits, target, "active_passive", reduction, ignore_index, soft_targets=soft)


class NormalizedCrossEntropy(Loss):
    """Normalised cross-entropy, ``log p_y / sum_k log p_k``; see ``functional.normalized_cross_entropy``.

    Examples
    --------
    >>> import torch
    >>> NormalizedCrossEntropy()(torch.zeros(1, 4), torch.tensor([0]))
    tensor(0.2500)
    """

    soft_targets = True

    def terms(self, batch: LogProbs) -> Tensor:
        return normalized_cross_entropy_of(batch)


class NormalizedFocal(Loss):
    """Normalised focal loss, ``FL_y / sum_k FL_k``; see ``functional.normalized_focal``.

    Parameters
    ----------
    gamma : exponent of the focal factor, >= 0; default 0.5
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> import torch
    >>> NormalizedFocal()(torch.zeros(1, 4), torch.tensor([0]))
    tensor(0.2500)
    """

    soft_targets = True

    def __init__(self, gamma: float = 0.5, *, reduction: str = "mean", ignore_index: int | None = -100) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        self.gamma = check_number("gamma", gamma, 0.0)

    def terms(self, batch: LogProbs) -> Tensor:
        return normalized_focal_of(batch, self.gamma)


class ActivePassive(Loss):
    """``alpha * active + beta * passive``, any two losses; see ``functional.active_passive``.

    Parameters
    ----------
    active, passive : names (see ``losses.names``), losses of this room, or modules that return one value per position;
        default "nce" and "rce"
    alpha, beta : their weights, >= 0; default 1 and 1
    reduction, ignore_index : see ``Loss``; those of the parts don't matter

    Examples
    --------
    >>> import torch
    >>> ActivePassive("nce", "mae", alpha=1, beta=2)(torch.zeros(1, 4), torch.tensor([0]))
    tensor(1.7500)
    """

    def __init__(
        self,
        active: str | nn.Module = "nce",
        passive: str | nn.Module = "rce",
        alpha: float = 1.0,
        beta: float = 1.0,
        *,
        reduction: str = "mean",
        ignore_index: int | None = -100,
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        self.active, self.passive = resolve(active, "active"), resolve(passive, "passive")
        self.alpha, self.beta = check_number("alpha", alpha, 0.0), check_number("beta", beta, 0.0)
        self.soft_targets = _both_soft(self.active, self.passive)

    def terms(self, batch: LogProbs) -> Tensor:
        return active_passive_of(batch, self.active, self.passive, self.alpha, self.beta)
