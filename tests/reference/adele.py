"""Reference cases of ADELE: the multi-scale loss, both memorisation detectors, both rules of correction, the IoU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

import numpy as np
import torch
from support import UnknownOp, gradients, real, tensor

from errata.parts.mask_rules import merge_labels_medical, update_labels_voc
from errata.parts.training_curve import CurveMonitor, fit_curve, update_epoch
from errata.scores.pixels import class_iou
from errata.systems.segmentation.adele import multiscale_consistency

# the fit is SciPy's and depends on its version; decisions and labels are exact
RTOL = {"*": 1e-7, "memorisation_epoch_voc": 1e-3}


def compute(case: dict[str, Any]) -> dict[str, Any]:
    ops = {
        "multiscale_consistency": multiscale,
        "memorisation_epoch_voc": memorisation_voc,
        "memorisation_decision_medical": memorisation_medical,
        "merge_labels_medical": merge_medical,
        "update_labels_voc": update_voc,
        "class_iou": iou,
    }
    if case["op"] not in ops:
        raise UnknownOp(case["op"])
    return ops[case["op"]](case.get("inputs", {}), case.get("params", {}))


def multiscale(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    logits, theta = real(inputs["logits"], requires_grad=True), real(inputs["scale_params"], requires_grad=True)
    settings = {k: params[k] for k in ("rho", "q_clamp", "ignore_index") if k in params}
    found = multiscale_consistency(list(logits), tensor(inputs["label"]), theta, **settings)
    grad_logits, grad_theta = gradients(found.ce + found.consistency, logits, theta)
    return {
        "ce": found.ce,
        "consistency": found.consistency,
        "image_gate": found.image_gate,
        "mixture": found.mixture,
        "grad_logits": grad_logits,
        "grad_scale_params": grad_theta,
    }


def memorisation_voc(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    at = update_epoch(inputs["x"], inputs["iou"], params.get("r", 0.9), params.get("n_epoch", 16))
    return {
        "fit_abc": list(fit_curve(inputs["x"], inputs["iou"])),
        "update_epoch": at,
        "decisions": [epoch >= at for epoch in inputs["current_epochs"]],
    }


def memorisation_medical(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    decisions = []
    for epoch in inputs["current_epochs"]:
        monitor = CurveMonitor(1, params.get("r", 0.9), params.get("min_increment", 0.1))
        monitor["values"] = real(inputs["iou"][: epoch + 1])[:, None]
        decisions.append(monitor.due(0, epoch, np.arange(epoch + 1), params.get("n_epoch", 100)))
    return {"decisions": decisions}


def merge_medical(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    on = [int(c) for c, needed in inputs["need_correction"].items() if needed]
    merged = {
        name: merge_labels_medical(np.array([label]), np.array([inputs["probs"][name]]), on, **params)[0]
        for name, label in inputs["labels"].items()
    }
    return {"new_labels": merged}


def update_voc(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    label, best, top = (np.array(inputs[name]) for name in ("label", "argmax", "max_prob"))
    threshold = params.get("mask_threshold", 0.8)
    return {"new_label": update_labels_voc(label, best, top, inputs["update_classes"], threshold)}


def iou(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    predicted, label = torch.as_tensor(inputs["pred"]), torch.as_tensor(inputs["label"])
    return class_iou(predicted, label, params["num_classes"], params.get("eps", 1e-10))
