"""What every reference adapter needs: tensors out of a case, the error for an unknown op, a loss with its gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class UnknownOp(Exception):
    """A reference case asks for an op that the adapter does not have."""

    def __init__(self, op: object) -> None:
        super().__init__(f"no adapter for the op {op!r}")


def tensor(value: Any, requires_grad: bool = False) -> Tensor:
    """A float64 tensor of a nested list of floats; whole numbers and truth values stay int64 and bool."""
    made = torch.as_tensor(value)
    if made.is_floating_point():
        made = torch.as_tensor(value, dtype=torch.float64)
    return made.requires_grad_() if requires_grad else made


def tensors(inputs: dict[str, Any], *names: str) -> list[Tensor]:
    """The named inputs as tensors (see ``tensor``); use ``real`` for floats that may be written as whole numbers."""
    return [tensor(inputs[name]) for name in names]


def real(value: Any, requires_grad: bool = False) -> Tensor:
    """A float64 tensor, whatever numbers are in ``value``."""
    made = torch.as_tensor(value, dtype=torch.float64)
    return made.requires_grad_() if requires_grad else made


def gradients(value: Tensor, *inputs: Tensor) -> list[Tensor]:
    """Gradients of a scalar with respect to ``inputs``; zeros where the scalar does not depend on one."""
    grads = torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(grads, inputs, strict=True)]


def record(per_sample: Tensor, logits: Tensor, **more: Any) -> dict[str, Any]:
    """``loss_mean``, ``grad_logits`` of that mean and ``loss_per_sample``, and whatever else is given by name."""
    mean = per_sample.mean()
    return {"loss_mean": mean, "grad_logits": gradients(mean, logits)[0], "loss_per_sample": per_sample, **more}
