"""What holds on two real gloo ranks. Each function below is run on both; the tests compare with one process."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from errata.parts import (
    GlobalBatch,
    Mix,
    SampleMemory,
    SharedRandom,
    all_reduce_sum,
    from_first_rank,
    gather_rows,
    global_mean,
    rank,
    rank_weight,
    world_size,
)
from errata.testing import run_on_ranks


def share(tensor: torch.Tensor, first: int) -> torch.Tensor:
    """This rank's part of a global batch: ``first`` rows for rank 0, the others for rank 1."""
    return tensor[:first] if torch.distributed.get_rank() == 0 else tensor[first:]


def gathered(first: int) -> list[torch.Tensor]:
    rows = torch.arange(10.0).view(5, 2)
    kinds = (torch.int16, torch.bfloat16, torch.bool, torch.int64, torch.float64)
    parts = [rows, *(rows.to(kind) for kind in kinds), rows[:, 0]]
    return list(gather_rows(*(share(part, first) for part in parts)))


@pytest.mark.parametrize("first", [0, 1, 3, 5])
def test_gather_rows_of_uneven_and_empty_parts(first: int) -> None:
    rows = torch.arange(10.0).view(5, 2)
    for result in run_on_ranks(gathered, first):
        assert torch.equal(result[0], rows)
        assert torch.equal(result[-1], rows[:, 0])
        for other in result[1:-1]:
            assert torch.equal(other, rows.to(other.dtype))


def small_tools() -> dict[str, Any]:
    own = torch.distributed.get_rank()
    return {
        "rank": rank(),
        "world": world_size(),
        "weight": rank_weight(3 if own == 0 else 1),
        "sum": float(all_reduce_sum(torch.tensor(own + 1.0))),
        "first": from_first_rank(torch.tensor([own])).tolist(),
    }


def test_small_tools_on_two_ranks_and_on_one() -> None:
    zero, one = run_on_ranks(small_tools)
    assert zero == {"rank": 0, "world": 2, "weight": 1.5, "sum": 3.0, "first": [0]}
    assert one == {"rank": 1, "world": 2, "weight": 0.5, "sum": 3.0, "first": [0]}
    assert (rank(), world_size(), rank_weight(7)) == (0, 1, 1.0)


def batch_of_five() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(4)
    x = torch.randn(5, 3, generator=random, dtype=torch.float64)
    return x, torch.randn(3, 2, generator=random, dtype=torch.float64)


def loss_of(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A mean over samples and a curved function of a mean over samples."""
    p = (x @ weight).softmax(1)
    return p[:, 0].log().mean() + (global_mean(p) ** 3).sum()


def gradient_under_ddp(first: int) -> tuple[torch.Tensor, torch.Tensor]:
    x, weight = batch_of_five()
    own = share(x, first)
    weight.requires_grad_()
    loss = loss_of(own, weight)
    (loss * rank_weight(len(own))).backward()
    gradient = all_reduce_sum(weight.grad) / world_size()  # what DDP does
    return gradient, global_mean((own @ weight).softmax(1).detach())


@pytest.mark.parametrize("first", [1, 2])
def test_weighted_ranks_with_global_mean_have_the_gradient_of_one_process(first: int) -> None:
    x, weight = batch_of_five()
    weight.requires_grad_()
    loss_of(x, weight).backward()
    for gradient, mean in run_on_ranks(gradient_under_ddp, first):
        torch.testing.assert_close(gradient, weight.grad, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(mean, (x @ weight).softmax(1).mean(0).detach(), rtol=1e-12, atol=1e-14)


class Remembering(nn.Module):
    """A network that keeps a count per sample in a plain buffer and in a SampleMemory."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.register_buffer("plain", torch.zeros(8))
        self.memory = SampleMemory(8)

    def forward(self, index: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.plain[index] += 1
        self.memory.write(index, self.memory.read(index) + 1)
        return self.layer(index[:, None].float()).sum()


def remember_under_plain_ddp() -> tuple[list[float], list[float], list[float]]:
    torch.manual_seed(0)
    module = Remembering()
    wrapped = nn.parallel.DistributedDataParallel(module)
    own = torch.distributed.get_rank()
    for step in range(3):
        wrapped(torch.tensor([[0, 1], [2, 3], [0, 1]][step]) + 4 * own).backward()
    state = wrapped.state_dict()
    return module.memory.values.tolist(), state["module.memory.values"].tolist(), module.plain.tolist()


def test_memory_under_plain_ddp_holds_all_rows_on_both_ranks_and_in_rank_0s_checkpoint() -> None:
    right = [2.0, 2.0, 1.0, 1.0, 2.0, 2.0, 1.0, 1.0]
    results = run_on_ranks(remember_under_plain_ddp)
    for values, in_checkpoint, _ in results:
        assert values == right
        assert in_checkpoint == right
    # the reason for it all: rank 0's plain buffer, which is what a checkpoint would hold, has half of the rows
    assert results[0][2] == [2.0, 2.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def average(first: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    index, value = torch.tensor([3, 0, 2, 3, 1]), torch.linspace(0, 1, 10).view(5, 2)
    own = (share(index, first), share(value, first)) if world_size() > 1 else (index, value)
    moving, plain, visits = SampleMemory(4, (2,)), SampleMemory(4, (2,)), SampleMemory(4)
    for _ in range(3):
        returned = moving.ema(*own, decay=0.6)
        plain.mean(*own, visits)
    return moving.values, plain.values, visits.values, returned


@pytest.mark.parametrize("first", [0, 1, 4])
def test_averages_over_two_ranks_equal_one_process_with_a_sample_on_both(first: int) -> None:
    *memories, returned = average(first)
    results = run_on_ranks(average, first)
    for *values, _ in results:
        for value, expected in zip(values, memories, strict=True):
            assert torch.equal(value, expected)
    assert torch.equal(torch.cat([r[-1] for r in results]), returned)


def mix_rows(first: int) -> tuple[torch.Tensor, torch.Tensor]:
    if world_size() > 1 and rank() == 1:
        torch.rand(3)  # the ranks' global generators are not in the same state
    rows = torch.arange(10.0).view(5, 2)
    own = share(rows, first) if world_size() > 1 else rows
    random = SharedRandom(seed=5 if rank() == 0 else 77)
    mix = Mix.draw(own, alpha=0.7, generator=random.generator)
    again = Mix.draw(own, alpha=0.7, generator=random.generator)
    return mix(own), again.partners(own)


@pytest.mark.parametrize("first", [1, 4])
def test_mixup_takes_partners_from_the_global_batch(first: int) -> None:
    expected = mix_rows(first)
    results = run_on_ranks(mix_rows, first)
    for got, want in zip(zip(*results, strict=True), expected, strict=True):
        torch.testing.assert_close(torch.cat(got), want)


def spread(rows: torch.Tensor) -> torch.Tensor:
    """A loss that is no mean over rows: it looks at all of them at once, each with its neighbour."""
    return (rows.std(0, correction=0) * rows.mean(0)).sum() + (rows[1:] * rows[:-1]).exp().sum().log()


def shared_loss(first: int) -> tuple[float, torch.Tensor, list[int]]:
    everyone = torch.linspace(-1, 1, 10, dtype=torch.float64).view(5, 2).cos()
    own = share(everyone, first).clone().requires_grad_()
    batch = GlobalBatch(own)
    loss = batch.share(spread(batch.rows(own)))
    # as System.backward and distributed data parallel do it: weighted, then the mean over ranks
    (gradient,) = torch.autograd.grad(loss * rank_weight(len(own)) / world_size(), own)
    return float(loss.detach()), gather_rows(gradient)[0], list(range(7))[batch.portion(7)]


@pytest.mark.parametrize("first", [1, 3, 4])
def test_a_loss_of_the_global_batch_has_the_gradient_of_one_process(first: int) -> None:
    rows = torch.linspace(-1, 1, 10, dtype=torch.float64).view(5, 2).cos().requires_grad_()
    expected = spread(rows)
    (gradient,) = torch.autograd.grad(expected, rows)
    results = run_on_ranks(shared_loss, first)
    assert [place for result in results for place in result[2]] == list(range(7))
    for value, found, _ in results:
        assert value == pytest.approx(float(expected.detach()), rel=1e-12)
        torch.testing.assert_close(found, gradient)
