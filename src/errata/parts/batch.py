"""What a system gets at each step."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from errata.errors import DataError

__all__ = ["Batch", "as_batch"]


class Batch(NamedTuple):
    """A slice of the data.

    Attributes
    ----------
    index : (B,) int64, the samples' rows in the ledger, and in every per-sample memory
    x : (B, ...) the inputs as stored (images still uint8); a system turns them into views on its device
    y : (B,) int64 given labels; (B, L) where a sample has several
    """

    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which no batch needs
    x: Any
    y: Tensor


def as_batch(batch: Any, *, indexed: bool = True, label_dims: int = 1) -> Batch:
    """What a DataLoader gave, as a ``Batch`` with int64 row numbers and labels.

    Parameters
    ----------
    batch : a ``Batch`` (also of a subclass, which is kept), or a list or tuple (index, x, y)
    label_dims : 1 for a class per sample, 2 for several labels (B, L)
    indexed : whether row numbers are needed; without, (x, y) will do too, and the index is all -1

    Raises
    ------
    DataError
        where it is anything else

    Examples
    --------
    >>> as_batch([torch.tensor([7]), torch.zeros(1, 2), torch.tensor([1], dtype=torch.int8)]).y
    tensor([1])
    """
    if not isinstance(batch, Batch):
        if not isinstance(batch, (list, tuple)) or len(batch) not in ((3,) if indexed else (2, 3)):
            got = f"{type(batch).__name__} of {len(batch)}" if hasattr(batch, "__len__") else type(batch).__name__
            raise DataError(
                f"Expected batches of (index, x, y), index being each sample's row number; got a {got}. "
                "errata.data.IndexedDataset(dataset) adds the row numbers to any data set of (x, y)."
            )
        if len(batch) == 2:
            batch = (torch.full((len(batch[1]),), -1), *batch)
        batch = Batch(*batch)
    return batch._replace(index=_int64(batch.index, "index"), y=_int64(batch.y, "y", label_dims))


def _int64(values: Any, what: str, dims: int = 1) -> Tensor:
    tensor = torch.as_tensor(values)
    if tensor.is_floating_point() or tensor.ndim != dims:
        wanted = "one integer for each sample" if dims == 1 else f"integers of {dims} dimensions, samples first"
        raise DataError(f"A batch's {what} must be {wanted}; got {tensor.dtype} {tuple(tensor.shape)}.")
    return tensor.long()
