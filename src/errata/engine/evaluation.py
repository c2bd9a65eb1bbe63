"""Predicting with a trained system, and measuring predictions against labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errata.engine.precision import computing
from errata.errors import DataError, ParameterError
from errata.parts import Batch, System

__all__ = ["calibration_error", "iterate_probabilities", "pieces", "predict_proba", "scores"]


def predict_proba(
    system: System,
    x: Any,
    batch_size: int = 512,
    device: str | torch.device | None = None,
    precision: str | None = None,
) -> np.ndarray:
    """The system's class probabilities for encoded inputs; a plain loop, no Trainer.

    Parameters
    ----------
    system : trained or not; left in the mode and on the device it was in
    x : (N, ...) tensor, array or memmap, or a map-style dataset of inputs
    batch_size : inputs at a time, 1 or more
    device : where to compute; by default where the system is
    precision : that of the training, see ``errata.engine.precision.computing``; by default float32

    Returns
    -------
    (N, K) float32, rows sum to 1

    Examples
    --------
    >>> from errata import systems
    >>> system = systems.load("ce")(torch.nn.Linear(2, 3), num_classes=3, num_samples=4)
    >>> predict_proba(system, np.zeros((5, 2), dtype="float32")).shape
    (5, 3)
    """
    found = np.empty((len(x), system.num_classes), dtype=np.float32)
    for start, some in iterate_probabilities(system, x, batch_size, device, precision):
        found[start : start + len(some)] = some
    return found


def iterate_probabilities(
    system: System,
    x: Any,
    batch_size: int = 512,
    device: str | torch.device | None = None,
    precision: str | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """As ``predict_proba``, a piece at a time: the first row's number and (B, K) probabilities."""
    if int(batch_size) != batch_size or batch_size < 1:
        raise ParameterError(f"batch_size must be a whole number, 1 or more; got {batch_size!r}.")
    home, mode = system.device, system.training
    place = torch.device(device) if device is not None else home
    system.to(place).eval()
    try:
        with torch.no_grad():
            for start, inputs in pieces(x, batch_size):
                none = torch.full((len(inputs),), -1, dtype=torch.int64, device=place)
                with computing(system, precision, str(place)):  # not around the yield: the caller's work is its own
                    found = system.predict_step(Batch(none, inputs.to(place), none))
                yield start, found.float().cpu().numpy()
    finally:
        system.to(home).train(mode)


def pieces(x: Any, size: int) -> Iterator[tuple[int, Tensor]]:
    """Encoded inputs in pieces of ``size`` rows: the first row's number and (B, ...)."""
    for start in range(0, len(x), size):
        stop = min(start + size, len(x))
        if isinstance(x, Tensor):
            yield start, x[start:stop]
        elif isinstance(x, np.ndarray):
            yield start, torch.from_numpy(np.array(x[start:stop]))  # a copy: a read-only memmap can't be a tensor
        else:
            yield start, torch.stack([torch.as_tensor(x[i]) for i in range(start, stop)])


def scores(given: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """How well probabilities agree with labels.

    Parameters
    ----------
    given : (N,) int codes in [0, K), N >= 1
    probabilities : (N, K)

    Returns
    -------
    dict with ``accuracy``; ``balanced_accuracy`` (the mean recall of the classes that occur); ``macro_f1`` (over the
    classes that occur or are predicted); ``log_loss`` in nats, probabilities clipped at 1e-7; ``ece`` (see
    ``calibration_error``); ``rows``

    Examples
    --------
    >>> found = scores(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]))
    >>> round(found["accuracy"], 3), found["balanced_accuracy"], round(found["log_loss"], 3)
    (0.667, 0.75, 0.415)
    """
    if len(given) == 0:
        raise DataError("There is no labelled row to evaluate on.")
    predicted = probabilities.argmax(1)
    classes = probabilities.shape[1]
    table = np.bincount(given * classes + predicted, minlength=classes * classes).reshape(classes, classes)
    right, actual, said = np.diag(table), table.sum(1), table.sum(0)
    own = np.clip(probabilities[np.arange(len(given)), given].astype(np.float64), 1e-7, 1.0)
    return {
        "accuracy": float(right.sum() / len(given)),
        "balanced_accuracy": float((right[actual > 0] / actual[actual > 0]).mean()),
        "macro_f1": float((2 * right / np.maximum(actual + said, 1))[actual + said > 0].mean()),
        "log_loss": float(-np.log(own).mean()),
        "ece": calibration_error(predicted == given, probabilities.max(1)),
        "rows": len(given),
    }


def calibration_error(right: np.ndarray, confidence: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, arXiv 1706.04599): mean gap of confidence and accuracy, by bin.

    Parameters
    ----------
    right : (N,) bool, whether the prediction was right
    confidence : (N,) in [0, 1], of the predicted class
    bins : of equal width, 1 or more

    Examples
    --------
    >>> round(calibration_error(np.array([True, False]), np.array([0.8, 0.8])), 3)
    0.3
    """
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(place, weights=right.astype(np.float64) - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(right))
