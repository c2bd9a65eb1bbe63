"""In which numbers a network is trained: the names Lightning knows, and what "auto" stands for on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from errata.errors import ParameterError

__all__ = [
    "PRECISIONS",
    "check_precision",
    "computing",
    "convolutions_by_channel",
    "has_bfloat16_units",
    "resolve_precision",
]

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")
_SHORT = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed", "64": "64-true"}
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LEAST_WORK = 1_000_000
"""Weights of linear layers from which bfloat16 is worth its conversions, where nothing is convolved."""


def check_precision(precision: Any) -> None:
    """Refuse what is no precision.

    Raises
    ------
    ParameterError
        with the names there are
    """
    if precision is not None and str(precision) not in (*PRECISIONS, *_SHORT, "auto"):
        raise ParameterError(f"precision must be 'auto' or one of {', '.join(PRECISIONS)}; got {precision!r}.")


def resolve_precision(precision: str | int | None, device: str, network: nn.Module) -> str | None:
    """The precision that is meant, by its long name; None stays None, which is "32-true".

    "auto" is "bf16-mixed" where the processor computes in bfloat16 and the network has enough to compute (it convolves,
    or has a million weights in linear layers), else "32-true". It depends on the machine, so it is never the default.

    Parameters
    ----------
    precision : "auto", one of ``PRECISIONS``, or 32, 16, 64, "bf16"
    device : as ``errata.engine.fit.resolve_device`` gives it: "cpu", "cuda", "cuda:1", "mps"
    network : what is to be trained

    Examples
    --------
    >>> resolve_precision("bf16", "cpu", nn.Linear(2, 2)), resolve_precision("auto", "cpu", nn.Linear(2, 2))
    ('bf16-mixed', '32-true')
    """
    check_precision(precision)
    if precision is None:
        return None
    if precision != "auto":
        return _SHORT.get(str(precision), str(precision))
    parts = list(network.modules())
    weights = sum(part.weight.numel() for part in parts if isinstance(part, nn.Linear))
    much = any(isinstance(part, _CONVOLUTIONS) for part in parts) or weights >= LEAST_WORK
    return "bf16-mixed" if much and has_bfloat16_units(device) else "32-true"


def has_bfloat16_units(device: str) -> bool:
    """Whether a device multiplies bfloat16 in hardware: Intel's AMX and AVX512-BF16, NVIDIA's GPUs from Ampere on.

    Others emulate it, which is slower than float32.

    Examples
    --------
    >>> has_bfloat16_units("mps")
    False
    """
    kind = device.partition(":")[0]
    if kind == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0) or torch.version.hip is not None
    if kind != "cpu":
        return False
    known = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16"))
    return any(bool(supported()) for supported in known if supported is not None)


@contextmanager
def computing(network: nn.Module, precision: str | None, device: str) -> Iterator[None]:
    """Predict as the network was trained: in bfloat16 after "bf16-mixed", where the device has it; else in float32.

    Examples
    --------
    >>> with computing(nn.Linear(1, 1), None, "cpu"):
    ...     torch.is_autocast_enabled("cpu")
    False
    """
    if precision != "bf16-mixed" or not has_bfloat16_units(device):
        yield
        return
    with convolutions_by_channel(network, precision, device), torch.autocast(device.partition(":")[0], torch.bfloat16):
        yield


@contextmanager
def convolutions_by_channel(network: nn.Module, precision: str | None, device: str) -> Iterator[None]:
    """Keep the weights of 2-d convolutions with their channels last while training in half precision.

    What is convolved follows the weights' order. The matrix units of processors and GPUs want the channels of a pixel
    side by side; in float32 it makes no difference, and nothing is changed there.

    Examples
    --------
    >>> layer = nn.Conv2d(3, 8, 3)
    >>> with convolutions_by_channel(layer, "bf16-mixed", "cpu"):
    ...     layer.weight.is_contiguous(memory_format=torch.channels_last), layer.weight.is_contiguous()
    (True, False)
    >>> layer.weight.is_contiguous()
    True
    """
    half = precision is not None and precision.startswith(("bf16", "16"))
    if not half or device.partition(":")[0] not in ("cpu", "cuda"):
        yield
        return
    layers = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    _order(layers, torch.channels_last)
    try:
        yield
    finally:
        _order(layers, torch.contiguous_format)


def _order(layers: list[nn.Conv2d], how: torch.memory_format) -> None:
    for layer in layers:
        with torch.no_grad():  # the parameter stays the same object, for optimisers and teachers hold it
            layer.weight.data = layer.weight.data.contiguous(memory_format=how)
