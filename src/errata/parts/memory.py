"""A value per training sample, that survives checkpoints and is equal on all ranks.

Distributed data parallel overwrites every registered buffer with rank 0's before each forward pass, so a memory kept in
plain buffers loses what the other ranks wrote. This one keeps its tensors outside the buffers (so nothing syncs them),
moves them with the module, puts them into the module's state dict, and writes the rows of all ranks on every rank.
"""

from __future__ import annotations

import torch
from torch import Tensor

from errata.errors import DataError, LoadError, ParameterError
from errata.parts.distributed import gather_rows
from errata.parts.kept import Kept
from errata.parts.precision import in_float32

__all__ = ["SampleMemory"]


class SampleMemory(Kept):
    """A tensor of ``shape`` per training sample, addressed by the sample's row.

    Parameters
    ----------
    num_samples : N, 1 or more
    shape : shape of one sample's value; ``()`` for a number, ``(K,)`` for a distribution
    topk : keep only the k largest entries of a (K,) value, as half-precision values and their places; what is left out
        reads as 0. For many classes: 1.3 million rows of 1,000 classes take 2.6 GB in half precision, 78 MB with k = 10
        (places in int32).
    dtype : of the stored values; float32 by default, float16 with ``topk``. Reads and the arithmetic between read and
        write are in float32 or better.
    fill : the value before the first write

    Notes
    -----
    Every method that writes does so on all ranks with the rows of all ranks, so it must be called on all ranks at the
    same step, also by a rank without rows. With ``gathered=True`` the arguments hold the rows of all ranks already
    (``gather_rows``), which saves the exchange where several memories are written at one step.

    A sample that stands several times in one batch (a sampler with replacement, a padded distributed sampler) counts as
    one visit with the mean of its values in ``ema``, and as that many visits in ``mean``; ``write`` keeps one of them.

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
        if int(num_samples) != num_samples or num_samples < 1:
            raise ParameterError(f"num_samples must be a whole number, 1 or more; got {num_samples!r}.")
        if topk is not None and (len(shape) != 1 or not 1 <= topk <= shape[0]):
            raise ParameterError(f"topk needs values of shape (K,) and 1 <= topk <= K; got topk={topk}, shape={shape}.")
        width = tuple(shape) if topk is None else (topk,)
        kind = dtype or (torch.float32 if topk is None else torch.float16)
        super().__init__(values=torch.full((int(num_samples), *width), fill, dtype=kind))
        self.num_samples = int(num_samples)
        self.shape = tuple(shape)
        self.topk = topk
        if topk is not None:
            # distinct places from the start, so that every row can be scattered back
            self._stored["places"] = torch.arange(topk, dtype=torch.int32).repeat(self.num_samples, 1)

    # -- reading and writing ----------------------------------------------------------------------------------------

    def read(self, index: Tensor) -> Tensor:
        """The values of some rows: (B,) -> (B, *shape), float32 at least for floating values."""
        index = index.to(self.device)
        try:
            values = in_float32(self._stored["values"][index])
        except IndexError as error:
            raise self._outside(index) from error
        if self.topk is None:
            return values
        dense = values.new_zeros(len(index), *self.shape)
        return dense.scatter_(1, self._stored["places"][index].long(), values)

    def write(self, index: Tensor, value: Tensor, *, gathered: bool = False) -> None:
        """Store ``value`` (B, *shape) in the rows ``index`` (B,)."""
        index, value = self._everyone(index, value, gathered)
        try:
            self._store(index, value)
        except IndexError as error:
            raise self._outside(index) from error

    def add(self, index: Tensor, value: Tensor | float = 1.0, *, gathered: bool = False) -> None:
        """Add ``value``, a number or (B, *shape), to the rows ``index`` (B,); a repeated row gets all its shares.

        Raises
        ------
        ParameterError
            with ``topk``, where a sum of what was kept would not be the sum
        """
        if self.topk is not None:
            raise ParameterError("add() needs a memory that keeps all entries; this one was made with topk.")
        amount = torch.as_tensor(value, dtype=self._stored["values"].dtype, device=self.device)
        index, amount = self._everyone(index, amount.expand(len(index), *self.shape), gathered)
        self._stored["values"].index_add_(0, index, amount)

    def ema(self, index: Tensor, value: Tensor, decay: float, *, gathered: bool = False) -> Tensor:
        """Move the rows towards ``value``: ``m = decay * m + (1 - decay) * value``.

        Parameters
        ----------
        index : (B,) rows
        value : (B, *shape)
        decay : in [0, 1]

        Returns
        -------
        (B, *shape) the rows as stored now
        """
        everyone, value = self._everyone(index, value, gathered)
        old = self.read(everyone)
        total, count = self._sums(everyone, value)
        self._store(everyone, decay * old + (1 - decay) * (total / count))
        return self.read(index)

    def mean(self, index: Tensor, value: Tensor, visits: SampleMemory, *, gathered: bool = False) -> Tensor:
        """Move the rows to the plain mean of all values they were ever given.

        Parameters
        ----------
        index : (B,) rows
        value : (B, *shape)
        visits : a memory of shape ``()`` that counts the values of each row; it is advanced here

        Returns
        -------
        (B, *shape) the rows as stored now

        Examples
        --------
        >>> memory, visits = SampleMemory(2), SampleMemory(2, dtype=torch.int32)
        >>> for value in (1.0, 3.0):
        ...     mean = memory.mean(torch.tensor([1]), torch.tensor([value]), visits)
        >>> mean, visits.values
        (tensor([2.]), tensor([0, 2], dtype=torch.int32))
        """
        everyone, value = self._everyone(index, value, gathered)
        old = self.read(everyone)
        total, count = self._sums(everyone, value)
        seen = visits.read(everyone).to(old.dtype).view(count.shape)
        self._store(everyone, old + (total - count * old) / (seen + count))
        visits.add(everyone, gathered=True)
        return self.read(index)

    def _outside(self, index: Tensor) -> DataError:
        return DataError(
            f"A row number lies outside of [0, {self.num_samples}): the batch's index runs from {int(index.min())} to "
            f"{int(index.max())}. num_samples must be the number of samples that the row numbers come from."
        )

    def _everyone(self, index: Tensor, value: Tensor, gathered: bool) -> tuple[Tensor, Tensor]:
        if value.shape != (len(index), *self.shape):
            raise DataError(
                f"Expected {len(index)} rows of shape {self.shape} for as many row numbers; got {tuple(value.shape)}."
            )
        index, value = index.to(self.device), value.detach().to(self.device)
        if not gathered:
            index, value = gather_rows(index, value)
        return index, in_float32(value)

    def _sums(self, index: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Per row of the batch: the sum of the values given for its sample (B, *shape), and their number (B, 1...)."""
        # one place of the batch stands for each sample: whichever wins the write. O(B), and no look at the values,
        # which would make a GPU wait
        places = torch.arange(len(index), device=index.device)
        winner = torch.empty(self.num_samples, dtype=places.dtype, device=index.device)
        winner[index] = places
        stands_for = winner[index]
        total = torch.zeros_like(value).index_add_(0, stands_for, value)
        ones = value.new_ones(len(index), *[1] * len(self.shape))
        count = torch.zeros_like(ones).index_add_(0, stands_for, ones)
        return total[stands_for], count[stands_for]

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

    def taken_over(self, key: str, saved: Tensor, present: Tensor) -> Tensor:
        """A memory is of its samples: one of another shape is refused."""
        if saved.shape != present.shape:
            raise LoadError(
                f"The checkpoint's memory '{key}' has shape {tuple(saved.shape)}, this system's "
                f"{tuple(present.shape)}: it was saved from other data or another number of classes."
            )
        return present.copy_(saved)

    def extra_repr(self) -> str:
        return f"num_samples={self.num_samples}, shape={self.shape}, topk={self.topk}"
