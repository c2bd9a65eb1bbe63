"""Reference cases of ERASE: ops ``structural_denoising``, ``erase_step``, ``coding_rates``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).parent))

from support import UnknownOp, gradients, real, tensor

from errata.losses.coding_rate import coding_rates
from errata.parts import class_prototypes, column_normalized, propagate
from errata.systems.graphs.erase import semantic_labels, structural_denoising

DEFAULTS = {"alpha": 0.6, "beta": 0.6, "T": 5, "gam1": 1.0, "gam2": 2.0, "eps": 0.05}


def compute(case: dict[str, Any]) -> dict[str, Any]:
    ops = {"structural_denoising": _denoising, "erase_step": _step, "coding_rates": _rates}
    if case["op"] not in ops:
        raise UnknownOp(case["op"])
    return ops[case["op"]](case["inputs"], {**DEFAULTS, **case.get("params", {})})


def _denoising(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    edges, labels = tensor(inputs["edge_index"]).long().reshape(2, -1), tensor(inputs["noisy_labels"])
    train = tensor(inputs["train_mask"]).bool()
    found = structural_denoising(
        edges, labels, train, inputs["num_classes"], params["alpha"], params["T"], torch.float64
    )
    return {"Y": found, "labels": found.argmax(1)}


def _step(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    z, denoised, train = real(inputs["Z"], requires_grad=True), real(inputs["Y_denoised"]), tensor(inputs["train_mask"])
    train, classes = train.bool(), inputs["num_classes"]
    edges = tensor(inputs["edge_index"]).long().reshape(2, -1)
    prototypes = class_prototypes(z.detach()[train], denoised[train].argmax(1), classes)
    semantic = semantic_labels(z.detach(), denoised, prototypes, params["beta"])
    adjacency = column_normalized(edges, inputs["num_nodes"], None, torch.float64)
    propagated = propagate(adjacency, semantic, params["alpha"], params["T"])
    labels = propagated.argmax(1)
    return {
        "semantic": semantic,
        "propagated": propagated,
        "labels": labels,
        **_with_gradient(z, labels, classes, params),
    }


def _rates(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    return _with_gradient(
        real(inputs["Z"], requires_grad=True), tensor(inputs["labels"]), inputs["num_classes"], params
    )


def _with_gradient(z: Any, labels: Any, classes: int, params: dict[str, Any]) -> dict[str, Any]:
    rate, by_class = coding_rates(z, labels, classes, gam1=params["gam1"], eps=params["eps"])
    loss = params["gam1"] * by_class - params["gam2"] * rate
    return {"R": rate, "Rc": by_class, "loss": loss, "grad_Z": gradients(loss, z)[0]}
