"""What decides something is computed in float32 or better, also where the network runs in half precision."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["in_float32"]


def in_float32(tensor: Tensor) -> Tensor:
    """Half-precision values as float32; float32 and float64 as they are.

    Examples
    --------
    >>> in_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype, in_float32(torch.zeros(1, dtype=torch.float64)).dtype
    (torch.float32, torch.float64)
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
