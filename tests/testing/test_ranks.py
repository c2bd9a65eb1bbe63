from __future__ import annotations

import os
import time

import pytest
import torch

from errata.errors import ErrataError
from errata.testing import run_on_ranks


def who(word: str) -> tuple[str, int, int, int]:
    return word, torch.distributed.get_rank(), torch.distributed.get_world_size(), os.getpid()


def fail_on_rank_one() -> None:
    if torch.distributed.get_rank() == 1:
        raise ValueError("rank one has a problem")


def leave() -> None:
    os._exit(3)


def test_results_come_in_rank_order_and_processes_are_kept_also_after_an_error() -> None:
    (_, rank, world, first), (_, other, _, second) = run_on_ranks(who, "a")
    assert (rank, other, world) == (0, 1, 2)
    with pytest.raises(ErrataError, match=r"Rank 1 raised(.|\n)*rank one has a problem"):
        run_on_ranks(fail_on_rank_one)
    assert [r[3] for r in run_on_ranks(who, "b")] == [first, second]
    assert os.getpid() not in (first, second)


def test_a_hanging_or_dying_rank_is_told_and_the_next_call_starts_afresh() -> None:
    with pytest.raises(ErrataError, match=r"Rank 0 died \(exit code 3\)"):
        run_on_ranks(leave, world_size=1)
    with pytest.raises(ErrataError, match="did not answer within 1 s"):
        run_on_ranks(time.sleep, 60, world_size=1, timeout=1.0)
    assert run_on_ranks(who, "again", world_size=1)[0][:3] == ("again", 0, 1)
