"""Reference cases of optimised gradient clipping and of its repository's baselines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

import numpy as np
from support import UnknownOp, real, record, tensor

from errata.losses import OptimizedGradientClipping
from errata.losses import functional as F

RTOL = {"*": 1e-6, "threshold_from_queue": 1e-5, "ogc_sequence": 1e-5}
CLAMP = {"min_prob": 1e-7, "max_prob": 1 - 1e-7}


def compute(case: dict[str, Any]) -> dict[str, Any]:
    ops = {
        "baseline_losses": baseline_losses,
        "clipped_loss": clipped_loss,
        "gradient_ratio_threshold": gradient_ratio_threshold,
        "threshold_from_queue": threshold_from_queue,
        "ogc_sequence": ogc_sequence,
    }
    if case["op"] not in ops:
        raise UnknownOp(case["op"])
    return ops[case["op"]](case.get("inputs", {}), case.get("params", {}))


def base_of(settings: dict[str, Any]) -> dict[str, Any]:
    return {"base_loss": settings.get("base_loss", "ce")} | {k: settings[k] for k in ("gamma", "q") if k in settings}


def search_of(settings: dict[str, Any]) -> dict[str, Any]:
    return base_of(settings) | {k: settings[k] for k in ("epsilon", "max_iter", "tol") if k in settings}


def baseline_losses(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    logits, labels = real(inputs["logits"], requires_grad=True), tensor(inputs["labels"])

    def of(function: Any, **settings: Any) -> Any:
        return function(logits, labels, reduction="none", **settings)

    sce_alpha, sce_beta = params.get("sce", (0.1, 1.0))
    apl_alpha, apl_beta = params.get("nce_rce", (1.0, 1.0))
    anl_alpha, anl_beta = params.get("nce_nnce", (5.0, 5.0))
    nce, rce = of(F.normalized_cross_entropy), of(F.reverse_cross_entropy, min_prob=1e-7)
    values = {
        "ce": of(F.cross_entropy),
        "fl": of(F.focal_loss, gamma=params.get("gamma", 0.5)),
        "mae": of(F.mean_absolute_error, **CLAMP),
        "gce": of(F.generalized_cross_entropy, q=params.get("q", 0.7), **CLAMP),
        "phuber_ce": of(F.partially_huberized, tau=params.get("phuber_tau", 10.0), **CLAMP),
        "taylor_ce": of(F.taylor_cross_entropy, t=params.get("taylor_t", 2), **CLAMP),
        "js": of(F.jensen_shannon, pi=params.get("js_pi1", 0.5)),
        "sce": of(F.symmetric_cross_entropy, alpha=sce_alpha, beta=sce_beta, **CLAMP),
        "nce_rce": apl_alpha * nce + apl_beta * rce,
        "lc_ce": of(F.logit_clip, tau=params.get("lc_tau", 1.0), delta=params.get("lc_delta")),
        "nce_nnce": of(F.active_negative, alpha=anl_alpha, beta=anl_beta),
    }
    return {name: record(value, logits) for name, value in values.items()}


def clipped_loss(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    logits, labels = real(inputs["logits"], requires_grad=True), tensor(inputs["labels"])
    entries = []
    for entry in inputs["entries"]:
        loss = F.optimized_gradient_clipping(
            logits, labels, entry["prob_thr"], reduction="none", offset="paper", **base_of(entry)
        )
        entries.append(record(loss, logits, tau=F.loss_slope(entry["prob_thr"], **base_of(entry))))
    return {"entries": entries}


def gradient_ratio_threshold(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    bounds = {k: params[k] for k in ("min_prob", "max_prob") if k in params}
    entries = []
    for entry in inputs["entries"]:
        mixture = F.TwoGaussians(**entry["gmm"])
        threshold = F.clipping_threshold(mixture, entry["lr"], **search_of(entry), **bounds)
        entries.append(
            {
                "grad_ratio": F.gradient_ratio(entry["prob_grid"], mixture, **base_of(entry), **bounds),
                "target_ratio": 1 + entry["lr"] * entry["epsilon"],
                "prob_thr": threshold,
                "tau": F.loss_slope(threshold, **base_of(entry)),
            }
        )
    return {"entries": entries}


def threshold_from_queue(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    threshold, mixture = F.threshold_from_queue(np.asarray(inputs["queue_H"]), params["lr"], **search_of(params))
    return {**mixture._asdict(), "prob_thr": threshold, "tau": F.loss_slope(threshold, **base_of(params))}


def ogc_sequence(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    logits, labels = real(inputs["logits"]), tensor(inputs["labels"])
    sizes = {"time_frame": params["time_frame_s"], "queue_size": params["queue_size"]}
    loss = OptimizedGradientClipping(**search_of(params), **sizes).double()
    loss.reset()  # the first threshold in double precision too
    steps = []
    for z, y, lr in zip(logits, labels, inputs["lr"], strict=True):
        value = loss(z, y, lr=lr)
        held = len(loss.history())
        steps.append({"loss": value, "prob_thr": float(loss.threshold), "tau": loss.tau, "queue_len": held})
    return {"steps": steps}
