"""What several processes must share so that N ranks compute what one process would on the same global batch.

Each rank sees a part of the global batch, in rank order: concatenating the parts over ranks gives the global batch.
With one process every function here returns its input.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["all_reduce_sum", "gather_rows", "global_mean", "rank_weight", "world_size"]


def world_size() -> int:
    """How many processes train together; 1 without ``torch.distributed``.

    Examples
    --------
    >>> world_size()
    1
    """
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if ready else 1


def gather_rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The rows of all ranks, in rank order, without gradient; parts may differ in length between ranks.

    Parameters
    ----------
    tensors : each (B_r, ...), of equal length on one rank

    Returns
    -------
    tuple of (sum of B_r, ...), the same on all ranks

    Examples
    --------
    >>> gather_rows(torch.tensor([1, 2]))
    (tensor([1, 2]),)
    """
    if world_size() == 1:
        return tuple(t.detach() for t in tensors)
    counts = _counts(len(tensors[0]), tensors[0].device)
    longest = max(counts)
    return tuple(_gather_padded(t.detach(), counts, longest) for t in tensors)


def _counts(own: int, device: torch.device) -> list[int]:
    mine = torch.tensor([own], device=device)
    everyone = [torch.empty_like(mine) for _ in range(world_size())]
    torch.distributed.all_gather(everyone, mine)
    return [int(c) for c in everyone]


def _gather_padded(tensor: Tensor, counts: list[int], longest: int) -> Tensor:
    padded = tensor.new_zeros((longest, *tensor.shape[1:]))
    padded[: len(tensor)] = tensor
    parts = [torch.empty_like(padded) for _ in counts]
    torch.distributed.all_gather(parts, padded.contiguous())
    return torch.cat([part[:count] for part, count in zip(parts, counts)])


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """The sum over ranks, without gradient."""
    total = tensor.detach().clone()
    if world_size() > 1:
        torch.distributed.all_reduce(total)
    return total


def global_mean(rows: Tensor) -> Tensor:
    """The mean over the rows of the global batch, with the gradient that each rank's own rows deserve.

    The value is the same on every rank. Under distributed data parallel gradients are averaged over ranks and the loss
    is weighted by ``rank_weight``; the own rows' gradient is scaled so that the sum comes out as in one process.

    Parameters
    ----------
    rows : (B_r, ...) float

    Returns
    -------
    (...) float

    Examples
    --------
    >>> global_mean(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([2., 3.])
    """
    own = rows.mean(0)
    if world_size() == 1:
        return own
    count = torch.tensor(float(len(rows)), device=rows.device)
    total = all_reduce_sum(count)
    value = all_reduce_sum(rows.sum(0)) / total
    # the value of the whole, the gradient of the own mean: DDP's average of the ranks' weighted gradients is then
    # sum_r (n_r W / n) / W * d(own mean of r) = d(global mean)
    return value + own - own.detach()


def rank_weight(own: int, device: torch.device | str = "cpu") -> float:
    """What to multiply a rank's mean loss with so that DDP's plain average over ranks is the mean over all samples.

    Examples
    --------
    >>> rank_weight(3)
    1.0
    """
    world = world_size()
    if world == 1:
        return 1.0
    total = all_reduce_sum(torch.tensor(float(own), device=device))
    return own * world / float(total)
