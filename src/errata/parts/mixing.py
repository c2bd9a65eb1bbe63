"""Mixing samples with each other."""

from __future__ import annotations

import torch
from torch import Tensor

from errata.errors import ParameterError
from errata.parts.distributed import gather_rows, rank, rows_per_rank

__all__ = ["Mix", "draw_beta", "mixup"]


class Mix:
    """How a batch was mixed: ``mixed = weight * a + (1 - weight) * a[partner]``; can be applied to further tensors.

    Parameters
    ----------
    weight : in [0, 1]
    partner : (B,) int64, or over the global batch where several ranks train (see ``own``)
    own : the slice of the global batch that is this rank's; None with one process

    Examples
    --------
    >>> mix = Mix(0.75, torch.tensor([1, 0]))
    >>> mix(torch.tensor([[0.0], [4.0]]))
    tensor([[1.],
            [3.]])
    """

    def __init__(self, weight: float, partner: Tensor, own: slice | None = None) -> None:
        if not 0 <= weight <= 1:
            raise ParameterError(f"The weight of a mix must be in [0, 1]; got {weight}.")
        self.weight = weight
        self.partner = partner
        self.own = own

    def __call__(self, a: Tensor) -> Tensor:
        """Mix ``a`` (B, ...) float with its partners' rows."""
        if self.weight == 1:
            return a
        return torch.lerp(self.partners(a), a, self.weight)

    def partners(self, a: Tensor) -> Tensor:
        """The partners' rows of ``a``: (B, ...); those of other ranks come without gradient."""
        self.partner = self.partner.to(a.device)  # once, not for each tensor
        if self.own is None:
            return a[self.partner]
        (everyone,) = gather_rows(a)
        return everyone[self.partner[self.own]]

    @classmethod
    def draw(cls, a: Tensor, alpha: float, *, fold: bool = True, generator: torch.Generator | None = None) -> Mix:
        """Draw a weight from Beta(alpha, alpha) and a partner for each row of ``a``.

        Parameters
        ----------
        a : (B, ...), of which only the number of rows is looked at
        alpha : 0 or more; 0 mixes nothing (weight 1)
        fold : use ``max(w, 1 - w)``, so that the own sample dominates
        generator : of the randomness, on the CPU; the global one by default. On several ranks it must be in the same
            state everywhere (``SharedRandom`` is): partners come from the global batch.
        """
        if not alpha >= 0:
            raise ParameterError(f"alpha of mixup must be 0 or more; got {alpha}.")
        counts = rows_per_rank(len(a), a.device)
        start = sum(counts[: rank()])
        partner = torch.randperm(sum(counts), generator=generator)
        weight = draw_beta(alpha, generator) if alpha > 0 else 1.0
        own = slice(start, start + len(a)) if len(counts) > 1 else None
        return cls(max(weight, 1 - weight) if fold else weight, partner, own)


def mixup(
    x: Tensor, y: Tensor, alpha: float = 1.0, *, fold: bool = True, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Mix]:
    """Mixup (Zhang et al. 2018, arXiv 1710.09412) of a batch.

    Parameters
    ----------
    x : (B, ...) float inputs
    y : (B, K) float targets (one-hot or soft)
    alpha : of Beta(alpha, alpha), 0 or more; 0 leaves the batch as it is
    fold : use ``max(w, 1 - w)`` as weight, so that the own sample dominates
    generator : of the randomness; see ``Mix.draw``

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


def draw_beta(alpha: float, generator: torch.Generator | None = None) -> float:
    """A number in [0, 1] drawn from Beta(alpha, alpha).

    Parameters
    ----------
    alpha : above 0
    generator : of the randomness, on the CPU; the global one by default

    Examples
    --------
    >>> 0 <= draw_beta(0.3, torch.Generator().manual_seed(0)) <= 1
    True
    """
    # torch.distributions takes no generator; Beta as a ratio of gammas, drawn in float64 on the CPU
    gammas = torch._standard_gamma(torch.full((2,), float(alpha), dtype=torch.float64), generator=generator)
    total = float(gammas.sum())
    return float(gammas[0]) / total if total > 0 else 0.5
