"""Mixing samples with each other."""

from __future__ import annotations

import torch
from torch import Tensor

from errata.errors import ParameterError
from errata.parts.distributed import gather_rows, world_size

__all__ = ["Mix", "mixup"]


class Mix:
    """How a batch was mixed: ``mixed = weight * a + (1 - weight) * a[partner]``; can be applied to further tensors.

    Parameters
    ----------
    weight : in [0, 1]
    partner : (B,) int64, or over the global batch where several ranks train (see ``own``)
    own : the slice of the global batch that is this rank's; None with one process
    """

    def __init__(self, weight: float, partner: Tensor, own: slice | None = None) -> None:
        self.weight = weight
        self.partner = partner
        self.own = own

    def __call__(self, a: Tensor) -> Tensor:
        """Mix ``a`` (B, ...) float with its partners' rows."""
        return torch.lerp(self.partners(a), a, self.weight)

    def partners(self, a: Tensor) -> Tensor:
        """The partners' rows of ``a``: (B, ...)."""
        if self.own is None:
            return a[self.partner.to(a.device)]
        (everyone,) = gather_rows(a)
        return everyone[self.partner[self.own].to(a.device)]

    @classmethod
    def draw(cls, a: Tensor, alpha: float, *, fold: bool = True, generator: torch.Generator | None = None) -> Mix:
        """Draw a weight from Beta(alpha, alpha) and a partner for each row of ``a``.

        Parameters
        ----------
        alpha : > 0; 0 mixes nothing (weight 1)
        fold : use ``max(w, 1 - w)``, so that the own sample dominates
        generator : of the randomness, on the CPU; the global one by default. On several ranks it must be in the same
            state everywhere: partners come from the global batch.
        """
        if alpha < 0:
            raise ParameterError(f"alpha of mixup must be 0 or more; got {alpha}.")
        own, total = _own_slice(a)
        partner = torch.randperm(total, generator=generator)
        weight = _beta(alpha, generator) if alpha > 0 else 1.0
        return cls(max(weight, 1 - weight) if fold else weight, partner, own)


def mixup(
    x: Tensor, y: Tensor, alpha: float = 1.0, *, fold: bool = True, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Mix]:
    """Mixup (Zhang et al. 2018, arXiv 1710.09412) of a batch.

    Parameters
    ----------
    x : (B, ...) float inputs
    y : (B, K) float targets (one-hot or soft)
    alpha : of Beta(alpha, alpha); 0 leaves the batch as it is

    Returns
    -------
    the mixed inputs, the mixed targets, and the ``Mix``, to apply to further tensors

    Examples
    --------
    >>> x, y, mix = mixup(torch.eye(2), torch.eye(2), generator=torch.Generator().manual_seed(0))
    >>> bool(torch.equal(mix(torch.eye(2)), x)), bool(mix.weight >= 0.5)
    (True, True)
    """
    mix = Mix.draw(x, alpha, fold=fold, generator=generator)
    return mix(x), mix(y), mix


def _beta(alpha: float, generator: torch.Generator | None) -> float:
    # torch.distributions takes no generator; Beta as a ratio of gammas, drawn in float64 on the CPU
    gammas = torch._standard_gamma(torch.full((2,), float(alpha), dtype=torch.float64), generator=generator)
    total = float(gammas.sum())
    return float(gammas[0]) / total if total > 0 else 0.5


def _own_slice(a: Tensor) -> tuple[slice | None, int]:
    if world_size() == 1:
        return None, len(a)
    (ranks,) = gather_rows(torch.full((len(a),), torch.distributed.get_rank(), device=a.device))
    mine = (ranks == torch.distributed.get_rank()).nonzero()[:, 0]
    return slice(int(mine[0]), int(mine[-1]) + 1), len(ranks)
