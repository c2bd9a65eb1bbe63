"""One seed in, the same numbers out: randomness that depends on (seed, epoch, step) and leaves the caller's alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["isolated_randomness", "mixed_seed", "seed_everything"]

_MASK = (1 << 64) - 1


def mixed_seed(*parts: int) -> int:
    """One number in [0, 2**63) out of several, so that neighbouring (seed, epoch, step) share nothing.

    Parameters
    ----------
    parts : whole numbers of any size or sign

    Examples
    --------
    >>> mixed_seed(0, 1) != mixed_seed(1, 0)
    True
    """
    state = 0
    for part in parts:  # the finaliser of SplitMix64 after each part
        state = (state + (int(part) & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


def seed_everything(*parts: int) -> None:
    """Seed Python's, NumPy's and torch's generators from ``parts``; only inside ``isolated_randomness``."""
    seed = mixed_seed(*parts)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002 - systems and views of others may draw from the global generator
    # not torch.manual_seed: without an initialised GPU it queues a formatted stack trace at each call, forever
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def isolated_randomness(seed: int) -> Iterator[None]:
    """Run a block from ``seed``; afterwards the caller's generators are as if nothing had been drawn.

    Parameters
    ----------
    seed : whole number

    Examples
    --------
    >>> with isolated_randomness(0):
    ...     first = torch.rand(1)
    >>> with isolated_randomness(0):
    ...     bool(first == torch.rand(1))
    True
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        seed_everything(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
