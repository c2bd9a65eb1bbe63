"""Reference cases of out-of-distribution scores, outlier losses, the energy barrier and detection metrics."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

import torch
from support import UnknownOp, gradients, real, tensor

from errata.losses import functional as F
from errata.scores import ood

RTOL = {"*": 1e-8, "odin_mahalanobis": 1e-5}  # the reference of the latter mixes in float32


def compute(case: dict[str, Any]) -> dict[str, Any]:
    ops = {
        "ood_scores": ood_scores,
        "outlier_losses": outlier_losses,
        "energy_barrier_loss": energy_barrier_loss,
        "odin_mahalanobis": odin_mahalanobis,
        "ood_metrics": ood_metrics,
    }
    if case["op"] not in ops:
        raise UnknownOp(case["op"])
    return ops[case["op"]](case.get("inputs", {}), case.get("params", {}))


def ood_scores(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    logits = real(inputs["logits"])
    return {
        "neg_msp": ood.max_probability_score(logits),
        "energy": ood.energy_score(logits, params.get("temperature", 1.0)),
        "xent": ood.uniform_score(logits),
        "neg_max_logit": ood.max_logit_score(logits),
    }


def outlier_losses(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    inside, outside = (real(inputs[k], requires_grad=True) for k in ("logits_in", "logits_out"))
    labels = tensor(inputs["labels"])
    margins = {k: params[k] for k in ("m_in", "m_out", "temperature") if k in params}
    energy = F.energy_bounded(inside, outside, labels, weight=params.get("weight_energy", 0.1), **margins)
    exposure = F.outlier_exposure(inside, outside, labels, weight=params.get("weight_oe", 0.5))
    return {
        "energy": energy,
        "OE": exposure,
        "grad_energy": torch.cat(gradients(energy, inside, outside)),
        "grad_OE": torch.cat(gradients(exposure, inside, outside)),
        "ce_in": F.cross_entropy(inside, labels),
        "energy_regulariser_unweighted": F.energy_bounded_regularizer(inside, outside, **margins),
        "oe_regulariser_unweighted": F.outlier_exposure(inside, outside, weight=1.0),
    }


def energy_barrier_loss(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    inside, outside = (real(inputs[k], requires_grad=True) for k in ("logits_in", "logits_pd"))
    settings = {k: params[k] for k in ("alpha", "beta", "temperature") if k in params}
    temperature = params.get("temperature", 1.0)
    outputs = {"energy_in": F.free_energy(inside, temperature), "energy_pd": F.free_energy(outside, temperature)}
    for reduction in ("paired", "of_means", "all_pairs"):
        loss = F.energy_barrier(inside, outside, reduction=reduction, **settings)
        outputs[f"loss_{reduction}"] = loss
        outputs[f"grad_in_{reduction}"], outputs[f"grad_pd_{reduction}"] = gradients(loss, inside, outside)
    return outputs


def odin_mahalanobis(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    first, last, bias = (real(inputs[k]) for k in ("Wf", "W", "b"))
    x, x_train, y_train = real(inputs["x"]), real(inputs["x_train"]), tensor(inputs["y_train"])
    temperature, std = params.get("temperature", 1000.0), params.get("channel_std")

    def extract(images: torch.Tensor) -> torch.Tensor:
        return (images.flatten(1) @ first).tanh()

    def network(images: torch.Tensor) -> torch.Tensor:
        return extract(images) @ last + bias

    odin = {"temperature": temperature, "epsilon": params.get("odin_eps", 0.0014), "channel_std": std}
    gaussians = ood.fit_class_gaussians(extract(x_train), y_train)
    moved = ood.mahalanobis_perturb(extract, x, gaussians, epsilon=params.get("maha_eps", 0.01), channel_std=std)
    return {
        "odin_softmax": (network(ood.odin_perturb(network, x, **odin)) / temperature).softmax(1),
        "odin_score": ood.odin_score(network, x, **odin),
        "class_means": gaussians.means,
        "precision": gaussians.precision,
        "mahalanobis_plain": ood.mahalanobis_score(extract(x), gaussians),
        "mahalanobis_perturbed": ood.mahalanobis_score(extract(moved), gaussians),
    }


def ood_metrics(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    scores = inputs["scores_in"], inputs["scores_out"]
    recall = {"recall": params["recall_level"]} if "recall_level" in params else {}
    return {
        "out_positive": list(ood.detection_metrics(*scores, **recall)),
        "in_positive": list(ood.detection_metrics(*scores, positive="in", **recall)),
    }
