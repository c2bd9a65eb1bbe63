"""What several processes must share so that N ranks compute what one process would on the same global batch.

Each rank sees a part of the global batch, in rank order: concatenating the parts over ranks gives the global batch.
With one process every function here returns its input.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "GlobalBatch",
    "all_reduce_sum",
    "from_first_rank",
    "gather_rows",
    "global_mean",
    "rank",
    "rank_weight",
    "world_size",
]


def world_size() -> int:
    """How many processes train together; 1 without ``torch.distributed``.

    Examples
    --------
    >>> world_size()
    1
    """
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if ready else 1


def rank() -> int:
    """This process's number in [0, ``world_size()``)."""
    return torch.distributed.get_rank() if world_size() > 1 else 0


def gather_rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The rows of all ranks, in rank order, without gradient; parts may differ in length between ranks.

    Parameters
    ----------
    tensors : each (B_r, ...), of equal length on one rank; ``B_r`` may be 0

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
    counts = rows_per_rank(len(tensors[0]), tensors[0].device)
    return tuple(_gather_padded(t.detach(), counts) for t in tensors)


def rows_per_rank(own: int, device: torch.device | str = "cpu") -> list[int]:
    """How many rows each rank has, given how many this one has."""
    if world_size() == 1:
        return [own]
    mine = torch.tensor([own], device=device)
    everyone = [torch.empty_like(mine) for _ in range(world_size())]
    torch.distributed.all_gather(everyone, mine)
    return [int(c) for c in torch.cat(everyone).tolist()]


def _gather_padded(tensor: Tensor, counts: list[int]) -> Tensor:
    padded = tensor
    if len(tensor) < max(counts):
        padded = tensor.new_zeros((max(counts), *tensor.shape[1:]))
        padded[: len(tensor)] = tensor
    # as bytes, for the back ends don't know every type (gloo and NCCL lack int16)
    raw = padded.contiguous().view(-1).view(torch.uint8)
    parts = [torch.empty_like(raw) for _ in counts]
    torch.distributed.all_gather(parts, raw)
    return torch.cat([part.view(tensor.dtype).view(padded.shape)[:count] for part, count in zip(parts, counts)])


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """The sum over ranks, without gradient."""
    total = tensor.detach().clone()
    if world_size() > 1:
        torch.distributed.all_reduce(total)
    return total


def from_first_rank(tensor: Tensor) -> Tensor:
    """Rank 0's tensor, on every rank."""
    if world_size() == 1:
        return tensor
    copy = tensor.detach().clone()
    torch.distributed.broadcast(copy, src=0)
    return copy


def global_mean(rows: Tensor) -> Tensor:
    """The mean over the rows of the global batch, with the gradient that each rank's own rows deserve.

    The value is the same on every rank. Under distributed data parallel gradients are averaged over ranks and the loss
    is weighted by ``rank_weight``; the own rows' gradient is scaled so that the sum comes out as in one process, for
    any differentiable function of the mean.

    Parameters
    ----------
    rows : (B_r, ...) float; B_r of 1 or more on every rank

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
    count = all_reduce_sum(torch.tensor(float(len(rows)), device=rows.device))
    value = all_reduce_sum(rows.sum(0)) / count
    # the value of the whole, the gradient of the own mean: DDP's average of the ranks' weighted gradients is then
    # sum_r (n_r W / n) / W * d(own mean of r) = d(global mean)
    return value + own - own.detach()


class GlobalBatch:
    """The batch of all ranks together, seen from one of them: all rows, of which the own ones have their gradient.

    What is computed from ``rows`` on every rank has the same value everywhere; each rank's gradient is the part that
    flows through its own rows, and the parts' sum is the gradient in one process. ``share`` scales the own part so that
    the mean over ranks, which distributed data parallel takes of losses weighted by ``rank_weight``, is that sum. This
    serves losses that are no mean over samples: those of batch statistics, or of samples mixed across ranks.

    Parameters
    ----------
    own : (B_r, ...) of this rank, of which only the number of rows is looked at

    Examples
    --------
    >>> logits = torch.tensor([[1.0], [3.0]], requires_grad=True)
    >>> batch = GlobalBatch(logits)
    >>> batch.share(batch.rows(logits).std(correction=0))
    tensor(1., grad_fn=<StdBackward0>)
    """

    def __init__(self, own: Tensor) -> None:
        self.counts = rows_per_rank(len(own), own.device)
        self.start = sum(self.counts[: rank()])
        self.stop = self.start + len(own)

    def gather(self, own: Tensor) -> Tensor:
        """The rows of all ranks, without gradient."""
        return gather_rows(own)[0]

    def rows(self, own: Tensor) -> Tensor:
        """The rows of all ranks, those of this one with their gradient."""
        if len(self.counts) == 1:
            return own
        everyone = self.gather(own)
        return torch.cat([everyone[: self.start], own, everyone[self.stop :]])

    def portion(self, total: int) -> slice:
        """Which of ``total`` things this rank does, so that all are done once and the ranks' parts are in order."""
        ranks = len(self.counts)
        return slice(total * rank() // ranks, total * (rank() + 1) // ranks)

    def share(self, loss: Tensor) -> Tensor:
        """The loss of the global batch, to be returned by ``training_step``."""
        if len(self.counts) == 1:
            return loss
        value = loss.detach()
        return value + (loss - value) * (sum(self.counts) / (self.stop - self.start))


def rank_weight(own: int, device: torch.device | str = "cpu") -> float:
    """What to multiply a rank's mean loss with so that DDP's plain average over ranks is the mean over all samples.

    Parameters
    ----------
    own : the rows of this rank's part of the batch

    Examples
    --------
    >>> rank_weight(3)
    1.0
    """
    counts = rows_per_rank(own, device)
    return own * len(counts) / sum(counts)
