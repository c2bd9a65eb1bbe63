"""What a system gets at each step."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

__all__ = ["Batch"]


class Batch(NamedTuple):
    """A slice of the data.

    Attributes
    ----------
    index : (B,) int64, the samples' rows in the ledger, and in every per-sample memory
    x : (B, ...) the inputs as stored (images still uint8); a system turns them into views on its device
    y : (B,) int64 given labels
    """

    index: Tensor
    x: Any
    y: Tensor
