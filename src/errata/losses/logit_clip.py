"""LogitClip: no logit vector longer than a bound, so that no sample's loss, or pull, can be larger than a bound."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from errata.losses.base import LogProbs, Loss, check_number, evaluate, in_working_precision
from errata.losses.normalized import part_terms, resolve

_EPS = 1e-7  # of the published code; it also keeps the zero vector from being divided by its length


def clip_logits(logits: Tensor, tau: float = 1.0, delta: float | None = None) -> Tensor:
    """Scale each logit vector that is longer than ``tau`` to the length ``delta``.

    Parameters
    ----------
    logits : (B, K, ...) float; half precision is answered in float32
    tau : longest length (2-norm over the classes) that is left alone, > 0
    delta : length of the clipped ones, > 0; None for ``tau``, as in the paper

    Returns
    -------
    (B, K, ...) float

    Examples
    --------
    >>> clip_logits(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), tau=1)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    _check_clip(tau, delta)
    z = in_working_precision(logits)
    length = torch.linalg.vector_norm(z, dim=1, keepdim=True) + _EPS
    return torch.where(length > tau, z / length * (tau if delta is None else delta), z)


def logit_clip_of(batch: LogProbs, tau: float, delta: float | None, base: nn.Module) -> Tensor:
    return part_terms(base, batch.with_logits(clip_logits(batch.logits, tau, delta)))


def _check_clip(tau: float, delta: float | None) -> None:
    check_number("tau", tau, 0.0, open_low=True)
    if delta is not None:
        check_number("delta", delta, 0.0, open_low=True)


def logit_clip(
    logits: Tensor,
    target: Tensor,
    *,
    tau: float = 1.0,
    delta: float | None = None,
    base: str | nn.Module = "ce",
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """A base loss on logits whose 2-norm is clipped.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K), or (B, K, ...) probabilities if the base loss is defined for them
    tau : longest length that is left alone, > 0
    delta : length of the clipped logits, > 0; None for ``tau``, as in the paper. (The paper's own repository scales to
        1 / tau, so that lengths jump at the bound unless tau = 1.)
    base : name of a loss or a module, see ``active_passive``
    reduction : "mean", "sum" or "none"
    ignore_index : class number that means "no label here"; None if there is none

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions; for cross-entropy at most ``log K + sqrt(2) * delta``

    References
    ----------
    Wei, Zhuang, Xie, Feng, Niu, An, Li: Mitigating Memorization of Noisy Labels by Clipping the Model Prediction,
    ICML 2023, arXiv 2212.04055.

    Examples
    --------
    >>> logit_clip(torch.tensor([[9.0, 0.0]]), torch.tensor([1]), tau=1)
    tensor(1.3133)
    """
    _check_clip(tau, delta)
    inner = resolve(base, "base")
    terms = partial(logit_clip_of, tau=tau, delta=delta, base=inner)
    soft = getattr(inner, "soft_targets", False)
    return evaluate(terms, logits, target, "logit_clip", reduction, ignore_index, soft_targets=soft)


class LogitClip(Loss):
    """A base loss on logits whose 2-norm is clipped; see ``functional.logit_clip``.

    Parameters
    ----------
    tau : longest length that is left alone, > 0; default 1
    delta : length of the clipped logits, > 0; default None, which is ``tau``
    base : name of a loss or a module; default "ce"
    reduction, ignore_index : see ``Loss``

    Examples
    --------
    >>> LogitClip(tau=1)(torch.tensor([[9.0, 0.0]]), torch.tensor([1]))
    tensor(1.3133)
    """

    def __init__(
        self,
        tau: float = 1.0,
        delta: float | None = None,
        *,
        base: str | nn.Module = "ce",
        reduction: str = "mean",
        ignore_index: int | None = -100,
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        _check_clip(tau, delta)
        self.tau, self.delta, self.base = tau, delta, resolve(base, "base")
        self.soft_targets = getattr(self.base, "soft_targets", False)

    def terms(self, batch: LogProbs) -> Tensor:
        return logit_clip_of(batch, self.tau, self.delta, self.base)
