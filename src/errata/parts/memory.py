"""A value per training sample, that survives checkpoints and is equal on all ranks.

Distributed data parallel overwrites every registered buffer with rank 0's before each forward pass, so a memory kept in
plain buffers loses what the other ranks wrote. This one keeps its tensors outside the buffers (so nothing syncs them),
moves them with the module, puts them into the module's state dict, and writes the rows of all ranks on every rank.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from errata.errors import LoadError, ParameterError
from errata.parts.distributed import gather_rows

__all__ = ["SampleMemory"]


class SampleMemory(nn.Module):
    """A tensor of ``shape`` per training sample, addressed by the sample's row.

    Parameters
    ----------
    num_samples : N, 1 or more
    shape : shape of one sample's value; ``()`` for a number, ``(K,)`` for a distribution
    topk : keep only the k largest entries of a (K,) value, as half-precision values and their places; what is left out
        reads as 0. For many classes: 1.3 million rows of 1,000 classes take 2.6 GB in half precision, 78 MB with k = 10
        (places in int32).
    dtype : of the stored values; float32 by default, float16 with ``topk``. Writes and reads are in float32 or better.
    fill : the value before the first write

    Examples
    --------
    >>> memory = SampleMemory(4, (2,))
    >>> memory.write(torch.tensor([2, 0]), torch.tensor([[0.3, 0.7], [1.0, 0.0]]))
    >>> memory.read(torch.tensor([2, 1]))
    tensor([[0.3000, 0.7000],
            [0.0000, 0.0000]])
    >>> memory.ema(torch.tensor([2]), torch.tensor([[0.0, 1.0]]), decay=0.5)
    tensor([[0.1500, 0.8500]])
    >>> memory.values.shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        num_samples: int,
        shape: tuple[int, ...] = (),
        topk: int | None = None,
        dtype: torch.dtype | None = None,
        fill: float = 0.0,
    ) -> None:
        super().__init__()
        if int(num_samples) != num_samples or num_samples < 1:
            raise ParameterError(f"num_samples must be a whole number, 1 or more; got {num_samples!r}.")
        if topk is not None and (len(shape) != 1 or not 1 <= topk <= shape[0]):
            raise ParameterError(f"topk needs values of shape (K,) and 1 <= topk <= K; got topk={topk}, shape={shape}.")
        self.num_samples = int(num_samples)
        self.shape = tuple(shape)
        self.topk = topk
        width = self.shape if topk is None else (topk,)
        kind = dtype or (torch.float32 if topk is None else torch.float16)
        self._stored: dict[str, Tensor] = {"values": torch.full((self.num_samples, *width), fill, dtype=kind)}
        if topk is not None:
            self._stored["places"] = torch.zeros(self.num_samples, topk, dtype=torch.int32)

    # -- reading and writing ----------------------------------------------------------------------------------------

    def read(self, index: Tensor) -> Tensor:
        """The values of some rows: (B,) -> (B, *shape), float32 at least for floating values."""
        index = index.to(self.device)
        values = _at_least_float32(self._stored["values"][index])
        if self.topk is None:
            return values
        dense = values.new_zeros(len(index), *self.shape)
        return dense.scatter_(1, self._stored["places"][index].long(), values)

    def write(self, index: Tensor, value: Tensor) -> None:
        """Store ``value`` (B, *shape) in the rows ``index`` (B,); on all ranks, the rows of all ranks."""
        index, value = gather_rows(index.to(self.device), value.to(self.device))
        self._store(index, value)

    def ema(self, index: Tensor, value: Tensor, decay: float) -> Tensor:
        """Move the rows towards ``value``: ``m = decay * m + (1 - decay) * value``; returns the new values (B, *shape).

        A sample that occurs twice in one batch keeps one of its two updates.
        """
        value = value.detach().to(self.device)
        new = decay * self.read(index) + (1 - decay) * value
        self.write(index, new)
        return new if self.topk is None else self.read(index)

    def _store(self, index: Tensor, value: Tensor) -> None:
        stored = self._stored["values"]
        if self.topk is None:
            stored[index] = value.to(stored.dtype)
            return
        top, places = value.topk(self.topk, dim=1)
        stored[index] = top.to(stored.dtype)
        self._stored["places"][index] = places.to(torch.int32)

    @property
    def values(self) -> Tensor:
        """All rows, (N, *shape); with ``topk`` a dense copy is made: prefer ``read`` in slices for large N x K."""
        if self.topk is None:
            return self._stored["values"]
        return self.read(torch.arange(self.num_samples, device=self.device))

    @property
    def device(self) -> torch.device:
        """Where the values lie; they move with the module."""
        return self._stored["values"].device

    # -- what nn.Module does with buffers, done here so that nothing broadcasts them -----------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        for name, tensor in self._stored.items():
            moved = fn(tensor)  # .half() and .double() must not change what is stored: only the device is taken over
            self._stored[name] = moved if moved.dtype == tensor.dtype else tensor.to(moved.device)
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, tensor in self._stored.items():
            destination[prefix + name] = tensor

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        strict, missing, unexpected = args[1], args[2], args[3]
        for name, tensor in self._stored.items():
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing.append(key)
                continue
            saved = state_dict[key]
            if saved.shape != tensor.shape:
                raise LoadError(
                    f"The checkpoint's memory '{key}' has shape {tuple(saved.shape)}, this system's {tuple(tensor.shape)}: "
                    "it was saved from other data or another number of classes."
                )
            tensor.copy_(saved)
        own = {prefix + name for name in self._stored}
        known = {key: value for key, value in state_dict.items() if key not in own}
        super()._load_from_state_dict(known, prefix, *args)
        unexpected[:] = [key for key in unexpected if key not in own]

    def extra_repr(self) -> str:
        return f"num_samples={self.num_samples}, shape={self.shape}, topk={self.topk}"


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
