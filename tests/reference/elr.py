"""The cases of ELR and ELR+ on this project's functions: losses with their per-sample memory, and weight averaging."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parent))

from support import UnknownOp, gradients, real, tensor
from torch import Tensor, nn

from errata.parts import EMATeacher, Mix, SampleMemory
from errata.systems.classification.elr import (
    CODE_K,
    clamped_softmax,
    ema_momentum,
    loss_elr,
    loss_elr_plus,
    reweighted_labels,
    sigmoid_rampup,
)

RTOL = 1e-8


def compute(case: dict[str, Any]) -> dict[str, Any]:
    ops = {"early_learning_loss": _elr, "elr_plus_loss": _elr_plus, "weight_ema": _weight_ema}
    if case["op"] not in ops:
        raise UnknownOp(case["op"])
    return ops[case["op"]](case["inputs"], case["params"])


def _elr(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    memory = SampleMemory(params["num_examples"], (params["num_classes"],), dtype=torch.float64)
    steps = []
    for step in inputs["steps"]:
        logits = real(step["logits"], requires_grad=True)
        p = clamped_softmax(logits.detach())
        target = memory.ema(tensor(step["index"]), p / p.sum(1, keepdim=True), params["beta"])
        loss = loss_elr(logits, tensor(step["labels"]), target, params["lambda"]).mean()
        steps.append(
            {
                "loss": loss,
                "grad_logits": gradients(loss, logits)[0],
                "target_memory_after": memory.values.clone(),
            }
        )
    return {"steps": steps}


def _elr_plus(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    memory = SampleMemory(params["num_examples"], (params["num_classes"],), dtype=torch.float64)
    steps = []
    for step in inputs["steps"]:
        logits = real(step["logits"], requires_grad=True)
        target = memory.ema(tensor(step["index"]), real(step["teacher_logits"]).softmax(1), params["beta"])
        q = Mix(step["mix_lambda"], tensor(step["mix_index"]))(target)
        labels = real(step["mixed_labels"])
        if params["num_classes"] == CODE_K:
            labels = reweighted_labels(labels, q)
        ramp = sigmoid_rampup(step["iteration"], params["coef_step"])
        loss = loss_elr_plus(logits, labels, q, ramp * params["lambda"]).mean()
        steps.append(
            {
                "loss": loss,
                "grad_logits": gradients(loss, logits)[0],
                "mixed_target_q": q,
                "target_memory_rows_after": target,
                "lambda_ramp": ramp,
            }
        )
    return {"steps": steps}


class _Weights(nn.Module):
    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)


def _weight_ema(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    teacher = EMATeacher(_Weights(real(inputs["ema_start"])))
    after, ramps = [], []
    for weights, step in zip(inputs["student"], inputs["global_step"], strict=True):
        momentum = ema_momentum(step, params["ema_alpha"], params["ema_update"], params["ema_step"])
        teacher.update(_Weights(real(weights)), momentum)
        after.append(teacher.model.values.tolist())
        ramps.append(sigmoid_rampup(step + 1, params["ema_step"]) if params["ema_update"] else None)
    return {"ema_after": after, "sigmoid_rampup_at_step_plus_1": ramps}
