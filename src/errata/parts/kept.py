"""Tensors of a module that lie in its state dict, but aren't buffers: nothing broadcasts them, and they may grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Kept"]


class Kept(nn.Module):
    """Named tensors that move with the module and lie in checkpoints, whatever shape they have by then.

    Distributed data parallel overwrites registered buffers with rank 0's; and a buffer's shape must be known before a
    checkpoint is loaded. What is kept here is neither: a subclass writes the same on all ranks, and takes over the
    shape that was saved.

    Parameters
    ----------
    stored : the tensors at the start

    Examples
    --------
    >>> module = Kept(curve=torch.zeros(0, 3))
    >>> _ = module.load_state_dict({"curve": torch.ones(5, 3)})
    >>> module["curve"].shape
    torch.Size([5, 3])
    """

    def __init__(self, **stored: Tensor) -> None:
        super().__init__()
        self._stored: dict[str, Tensor] = dict(stored)

    def __getitem__(self, name: str) -> Tensor:
        return self._stored[name]

    def __setitem__(self, name: str, value: Tensor) -> None:
        self._stored[name] = value

    def taken_over(self, key: str, saved: Tensor, present: Tensor) -> Tensor:
        """What is kept of a tensor that was saved under ``key``, in place of ``present``."""
        return torch.empty_like(saved, dtype=present.dtype, device=present.device).copy_(saved)

    # -- what nn.Module does with buffers, done here so that nothing broadcasts them -----------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        for name, tensor in self._stored.items():
            moved = fn(tensor)  # .half() and .double() must not change what is stored: only the device is taken over
            self._stored[name] = moved if moved.dtype == tensor.dtype else tensor.to(moved.device)
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # what is sent to a spawned process lies in memory shared with the others, and each of them writes all rows
        self._stored = {name: t.clone() if t.is_shared() else t for name, t in self._stored.items()}

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, tensor in self._stored.items():
            destination[prefix + name] = tensor

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        strict, missing, unexpected = args[1], args[2], args[3]
        for name, tensor in self._stored.items():
            if prefix + name in state_dict:
                self._stored[name] = self.taken_over(prefix + name, state_dict[prefix + name], tensor)
            elif strict:
                missing.append(prefix + name)
        own = {prefix + name for name in self._stored}
        known = {key: value for key, value in state_dict.items() if key not in own}
        super()._load_from_state_dict(known, prefix, *args)
        unexpected[:] = [key for key in unexpected if key not in own]
