"""Class probabilities under other proportions of the classes."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["shift_prior"]


def shift_prior(probabilities: Any, new: Any, old: Any = None) -> np.ndarray:
    """``p(y | x)`` under the class proportions ``new`` in place of ``old``: multiply by their ratio, and normalise.

    Right where ``p(x | y)`` stays as it is (label shift).

    Parameters
    ----------
    probabilities : (N, K) >= 0
    new : (K,), or (N, K) for each row its own
    old : as ``new``; equal proportions by default

    Returns
    -------
    (N, K) float64, rows sum to 1; a row of nothing but zeros becomes ``new``

    Examples
    --------
    >>> shift_prior([[0.5, 0.5], [0.0, 1.0]], [0.9, 0.1])
    array([[0.9, 0.1],
           [0. , 1. ]])
    """
    p, wanted = np.asarray(probabilities, dtype=np.float64), np.asarray(new, dtype=np.float64)
    ratio = wanted if old is None else wanted / np.maximum(np.asarray(old, dtype=np.float64), 1e-12)
    moved = p * ratio
    total = moved.sum(1, keepdims=True)
    instead = np.broadcast_to(wanted / np.maximum(wanted.sum(-1, keepdims=True), 1e-300), p.shape)
    return np.where(total > 0, moved / np.where(total > 0, total, 1.0), instead)
