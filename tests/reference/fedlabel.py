"""Reference cases of FedLabel: ops ``fedlabel_loss``, ``server_update``, ``client_round``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parent))

from support import UnknownOp, gradients, real, tensor
from torch import nn

from errata.parts.federated import server_update
from errata.systems.federated import fedlabel

RTOL = 1e-9


def compute(case: dict[str, Any]) -> dict[str, Any]:
    ops = {"fedlabel_loss": _loss, "server_update": _server, "client_round": _round}
    if case["op"] not in ops:
        raise UnknownOp(case["op"])
    return ops[case["op"]](case["inputs"], case.get("params", {}))


def _loss(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    given, own, student = real(inputs["global_logits"]), real(inputs["local_logits"]), inputs["student_logits"]
    beta, lambda0, kind = params["beta"], params["lambda0"], params.get("confidence", "variance")
    found: dict[str, Any] = {}
    for kl in fedlabel.DIRECTIONS:
        for normaliser in fedlabel.NORMALISERS:
            logits = real(student, requires_grad=True)
            loss, assigned = fedlabel.fedlabel_loss(given, own, logits, beta, lambda0, kind, kl, normaliser)
            found[f"loss[{kl},{normaliser}]"] = loss
            found[f"grad_student_logits[{kl},{normaliser}]"] = gradients(loss, logits)[0]
    return found | {
        "h_global": assigned.h_global,
        "h_local": assigned.h_local,
        "chosen_is_local": assigned.is_local,
        "pseudo_label": assigned.pseudo_label,
        "passes": assigned.passes,
        "discarded_agrees": assigned.agrees,
        "lambda_over_lambda0": assigned.ratio,
    }


def _server(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    w = real(inputs["w"])
    moved = w + real(inputs["delta_labelled"]) + real(inputs["delta_unlabelled"])
    new = server_update({"w": w}, [{"w": one} for one in moved], list(inputs["r"]), params.get("server_lr", 1.0))
    return {"w_new": new["w"]}


def _round(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    weight, bias = real(inputs["W"]), real(inputs["b"])
    model = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(weight)
        model.bias.copy_(bias)
    x, y, other = real(inputs["labelled_x"]), tensor(inputs["labelled_y"]), real(inputs["unlabelled_x"])
    steps, size, steps_u, size_u = *x.shape[:2], *other.shape[:2]
    done = fedlabel.client_round(
        model,
        (x.flatten(0, 1), y.flatten()),
        other.flatten(0, 1),
        list(torch.arange(steps * size).split(size))[: params.get("tau", steps)],
        list(torch.arange(steps_u * size_u).split(size_u))[: params.get("tau_prime", steps_u)],
        eta=params["eta"],
        beta=params["beta"],
        lambda0=params["lambda0"],
    )
    return {
        "delta_labelled_W": done.delta_labelled["weight"],
        "delta_labelled_b": done.delta_labelled["bias"],
        "delta_unlabelled_W": done.delta_unlabelled["weight"],
        "delta_unlabelled_b": done.delta_unlabelled["bias"],
        "unlabelled_losses": done.unlabelled_losses,
        "r": size * len(done.labelled_losses) + int(done.consumed.sum()),
    }
