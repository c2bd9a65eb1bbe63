"""Randomness that a system draws itself: the same on all ranks, and going on where it was after a resume."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from errata.parts.distributed import from_first_rank, world_size

__all__ = ["SharedRandom", "random_state", "restore_random_state"]


class SharedRandom(nn.Module):
    """A random generator that lies in the checkpoint.

    The global generators may be in another state on each rank (they draw for parts of a batch) and aren't part of a
    checkpoint. What must be one decision for the global batch, such as mixup's weight and partners, draws from here.

    Parameters
    ----------
    seed : by default the seed that was last given to ``torch.manual_seed``, so that a seed at the top reaches here

    Examples
    --------
    >>> random = SharedRandom(seed=3)
    >>> saved = random.state_dict()
    >>> first = torch.rand(2, generator=random.generator)
    >>> random.load_state_dict(saved)
    <All keys matched successfully>
    >>> bool(torch.equal(first, torch.rand(2, generator=random.generator)))
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        self.seed = torch.initial_seed() if seed is None else int(seed)
        self._state = torch.Generator().manual_seed(self.seed).get_state()
        self._generator: torch.Generator | None = None

    @property
    def generator(self) -> torch.Generator:
        """The generator, on the CPU. With several ranks it takes over rank 0's state when it is first used."""
        if self._generator is None:
            self._generator = torch.Generator()
            self._generator.set_state(_from_first_rank(self._state))
        return self._generator

    def derived_seed(self) -> int:
        """A seed for something that is drawn once, such as the weights of a further network; it moves nothing here."""
        return int(torch.randint(2**62, (1,), generator=torch.Generator().manual_seed(self.seed)))

    def get_extra_state(self) -> Tensor:
        """The generator's state, for the state dict."""
        return self._state if self._generator is None else self._generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from a saved state."""
        self._state, self._generator = state.cpu(), None

    def __getstate__(self) -> dict[str, Any]:  # generators of older torch versions can't be copied or pickled
        return {**self.__dict__, "_state": self.get_extra_state(), "_generator": None}


def _from_first_rank(state: Tensor) -> Tensor:
    if world_size() == 1:
        return state
    on_gpu = torch.distributed.get_backend() == "nccl"
    return from_first_rank(state.cuda() if on_gpu else state).cpu()


def random_state(device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The state of torch's global generators, as tensors that any checkpoint can hold.

    Parameters
    ----------
    device : where the training is; a GPU's generator is taken along

    Examples
    --------
    >>> sorted(random_state())
    ['cpu']
    """
    state = {"cpu": torch.get_rng_state()}
    if torch.device(device).type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Tensor]) -> None:
    """Let torch's global generators go on from a ``random_state``."""
    if "cpu" in state:
        torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
