"""The cases of PU-MLC on this project's functions: the variational loss, and mixup consistency of a linear model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parent))

from support import UnknownOp, gradients, real

from errata.systems.multilabel.pu_mlc import (
    adaptive_temperature,
    halves,
    mixup_consistency,
    soft_labels,
    variational_loss,
)

RTOL = 1e-7


def compute(case: dict[str, Any]) -> dict[str, Any]:
    ops = {"vpu_loss": _variational, "mixup_consistency": _mixup}
    if case["op"] not in ops:
        raise UnknownOp(case["op"])
    return ops[case["op"]](case["inputs"], case["params"])


def _variational(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    logits = real(inputs["logits"], requires_grad=True)
    loss = variational_loss(logits, real(inputs["target"]), **params)
    temperature = adaptive_temperature(logits, params["alpha"])
    return {"temperature": temperature, "loss": loss, "grad_logits": gradients(loss, logits)[0]}


def _mixup(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    x, b, target = real(inputs["x"]), real(inputs["b"]), real(inputs["target"])
    weights = real(inputs["W"], requires_grad=True)
    order, lam, eps = torch.as_tensor(inputs["perm"]), params["lam"], params["eps"]
    logits = x @ weights.T + b
    (first, second), (labels, others) = halves(x), halves(soft_labels(logits, target, eps))
    mixed = (lam * first[order] + (1 - lam) * second) @ weights.T + b
    loss = mixup_consistency(mixed, lam * labels[order] + (1 - lam) * others, eps)
    return {"logits": logits, "loss": loss, "grad_W": gradients(loss, weights)[0]}
