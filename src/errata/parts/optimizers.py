"""Optimisers and schedules by name, so that a system is one line on the command line."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from errata.errors import UnknownNameError

__all__ = ["build_optimizer", "build_scheduler"]


def build_optimizer(
    name: str | Callable[[Iterable[Any]], torch.optim.Optimizer],
    parameters: Iterable[Any],
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """An optimiser by name ("sgd", "adam", "amsgrad", "adamw") or by a callable of the parameters.

    Examples
    --------
    >>> weights = [torch.zeros(1, requires_grad=True)]
    >>> build_optimizer("sgd", weights, lr=0.1, momentum=0.9, weight_decay=0.0).defaults["lr"]
    0.1
    """
    if callable(name):
        return name(parameters)
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
    if name in ("adam", "amsgrad"):
        return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay, amsgrad=name == "amsgrad")
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    raise UnknownNameError("optimizer", name, ("sgd", "adam", "amsgrad", "adamw"))


def build_scheduler(
    name: str | Callable[[torch.optim.Optimizer], Any],
    optimizer: torch.optim.Optimizer,
    *,
    steps: int,
    milestones: Sequence[float],
) -> Any:
    """A schedule by name, over ``steps`` optimiser steps, or by a callable of the optimiser.

    "cosine" falls from the learning rate to zero; "step" divides it by ten at each share of the steps in
    ``milestones``; "one-cycle" rises over the first fifth of the steps from a 25th of the learning rate to all of it,
    and falls to nearly zero (Smith & Topin 2018, arXiv 1708.07120; the momentum is not cycled).
    """
    if callable(name):
        return name(optimizer)
    if name == "cosine":
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))
        )
    if name == "step":
        edges = sorted(round(share * steps) for share in milestones)
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.1 ** bisect.bisect_right(edges, step))
    if name == "one-cycle":
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _one_cycle(step, steps))
    raise UnknownNameError("scheduler", name, ("cosine", "step", "one-cycle", "constant"))


def _one_cycle(step: int, steps: int, rising: float = 0.2, start: float = 1 / 25, end: float = 1 / 25e4) -> float:
    """The share of the learning rate, with a cosine between ``start``, 1 and ``end``.

    Examples
    --------
    >>> [round(_one_cycle(step, 101), 2) for step in (0, 10, 20, 60, 100)]
    [0.04, 0.52, 1.0, 0.5, 0.0]
    """
    edge = max(1.0, rising * (steps - 1))
    low, along = (start, step / edge) if step < edge else (end, (steps - 1 - step) / max(1.0, steps - 1 - edge))
    return low + (1 - low) * 0.5 * (1 - math.cos(math.pi * min(1.0, max(0.0, along))))
