"""What comes in at the door of the noise functions: checked once, with the offending value and row in the message."""

from __future__ import annotations

import numbers
import sys
from typing import Any

import numpy as np

from errata.errors import DataError, ParameterError

MISSING = -1  # the label of a row whose label is not known

# Streams of random numbers are set apart from those a caller draws from the same seed (a split, say): without this,
# `default_rng(seed).permutation(n)` for the split and for the noise would be one and the same permutation.
_DOMAIN = 0x0E44A7A


def generator(seed: int, *stream: int) -> np.random.Generator:
    """Return a generator of its own for ``seed`` and the named stream; the global one is never touched."""
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or seed < 0:
        raise ParameterError(f"seed must be an integer >= 0, got {seed!r}.")
    return np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=(_DOMAIN, *stream)))


def is_tensor(value: object) -> bool:
    """Tell whether ``value`` is a torch tensor, without importing torch for it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def to_numpy(value: Any) -> np.ndarray:
    """Return ``value`` as an array; tensors come off their device, bfloat16 (unknown to NumPy) as float32."""
    if is_tensor(value):
        value = value.detach().cpu()
        return np.asarray(value.float() if "bfloat16" in str(value.dtype) else value)
    return np.asarray(value) if not isinstance(value, np.ndarray) else value


def like(result: np.ndarray, original: Any) -> Any:
    """Give ``result`` back as what ``original`` was: a tensor on the same device, or the array itself."""
    if not is_tensor(original):
        return result
    return sys.modules["torch"].from_numpy(result).to(device=original.device, dtype=original.dtype)


def check_rate(rate: Any) -> float:
    """Return ``rate`` as a float in [0, 1]."""
    if isinstance(rate, bool) or not isinstance(rate, numbers.Real) or not 0.0 <= float(rate) <= 1.0:
        raise ParameterError(f"rate must be a number in [0, 1], got {rate!r}.")
    return float(rate)


def check_num_classes(num_classes: Any) -> int:
    """Return ``num_classes`` as an int of 2 or more."""
    if isinstance(num_classes, bool) or not isinstance(num_classes, numbers.Integral) or num_classes < 2:
        raise ParameterError(f"num_classes must be an integer >= 2, got {num_classes!r}.")
    return int(num_classes)


def integer_labels(labels: Any, name: str = "labels") -> np.ndarray:
    """Return ``labels`` as an (N,) integer array, or say what they are instead."""
    values = to_numpy(labels)
    if values.ndim != 1:
        raise DataError(f"{name} must have shape (N,), one class number per row, got shape {values.shape}.")
    if values.dtype == bool:
        return values.astype(np.int8)
    if not np.issubdtype(values.dtype, np.integer):
        shown = f", beginning with {values[0].item()!r}" if len(values) and values.dtype != object else ""
        raise DataError(
            f"{name} must be integer class numbers (0 .. K-1, {MISSING} for missing), got dtype {values.dtype}{shown}. "
            "Turn names or floats into class numbers first, e.g. with numpy.unique(..., return_inverse=True)."
        )
    return values


def check_labels(labels: Any, num_classes: int, name: str = "labels") -> np.ndarray:
    """Return ``labels`` as an (N,) integer array with values in [0, K) or -1."""
    values = integer_labels(labels, name)
    # Two reductions instead of two masks of N booleans: this runs on millions of rows.
    if len(values) and (int(values.max()) >= num_classes or int(values.min()) < MISSING):
        row = int(np.argmax((values >= num_classes) | (values < MISSING)))
        raise DataError(
            f"{name} must be in [0, {num_classes}) or {MISSING} (missing), but row {row} holds {values[row]}. "
            "Check num_classes, or number the classes from 0."
        )
    return values


def check_same_length(first: Any, second: Any, names: tuple[str, str]) -> None:
    """Refuse two arrays that do not have one row per sample each."""
    if len(first) != len(second):
        raise DataError(
            f"{names[0]} and {names[1]} must have one row per sample each, got {len(first)} and {len(second)} rows."
        )
