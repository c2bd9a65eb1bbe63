"""Reference cases of active negative losses: ops ``apl_losses``, ``anl_totals``, ``anl_totals_pixels``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from support import UnknownOp, gradients, real, record, tensor

from errata.losses import functional as F

RTOL = 1e-7


def compute(case: dict[str, Any]) -> dict[str, Any]:
    op, inputs, params = case["op"], case.get("inputs", {}), case.get("params", {})
    if op == "apl_losses":
        return apl_losses(inputs, params)
    if op in ("anl_totals", "anl_totals_pixels"):
        return anl_totals(inputs, params)
    raise UnknownOp(op)


def apl_losses(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    logits, labels = real(inputs["logits"], requires_grad=True), tensor(inputs["labels"])
    gamma, min_prob = params.get("gamma", 0.5), params.get("min_prob", 1e-7)
    clamp = {"min_prob": 1e-7, "max_prob": 1.0}  # the code's, where it clamps
    agce_a, agce_q = params.get("agce", (6.0, 1.5))
    aul_a, aul_q = params.get("aul", (6.3, 1.5))

    def of(function: Any, **settings: Any) -> Any:
        return function(logits, labels, reduction="none", **settings)

    values = {
        "ce": of(F.cross_entropy),
        "fl": of(F.focal_loss, gamma=gamma),
        "mae": of(F.mean_absolute_error),
        "gce": of(F.generalized_cross_entropy, q=params.get("q", 0.7), **clamp),
        "rce": of(F.reverse_cross_entropy, **clamp),
        "nce": of(F.normalized_cross_entropy),
        "nfl": of(F.normalized_focal, gamma=gamma),
        "agce": of(F.asymmetric_generalized_cross_entropy, a=agce_a, q=agce_q),
        "aul": of(F.asymmetric_unhinged, a=aul_a, q=aul_q),
        "ael": of(F.asymmetric_exponential, a=params.get("ael", 5.0)),
        "nnce": of(F.normalized_negative, base="ce", min_prob=min_prob),
        "nnfl": of(F.normalized_negative, base="fl", gamma=gamma, min_prob=min_prob),
    }
    alpha, beta = params.get("sce", (0.1, 1.0))
    values["sce"] = of(F.symmetric_cross_entropy, alpha=alpha, beta=beta, **clamp)
    alpha, beta = params.get("apl", (1.0, 1.0))
    for active, passive in (("nce", "mae"), ("nce", "rce"), ("nfl", "rce")):
        values[f"{active}_{passive}"] = alpha * values[active] + beta * values[passive]
    alpha, beta = params.get("alf", (1.0, 4.0))
    for passive in ("agce", "aul", "ael"):
        values[f"nce_{passive}"] = alpha * values["nce"] + beta * values[passive]
    return {name: record(value, logits) for name, value in values.items()}


def anl_totals(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """On dense logits (B, K, H, W) too; gradients come back as rows, one per pixel in the order b, h, w."""
    logits, labels = real(inputs["logits"], requires_grad=True), tensor(inputs["labels"])
    weights = [real(w, requires_grad=True) for w in inputs["model_parameters"]]
    min_prob, delta = params.get("min_prob", 1e-7), params.get("delta", 0.0)
    common = {"alpha": params.get("alpha", 1.0), "beta": params.get("beta", 1.0), "gamma": params.get("gamma", 0.5)}
    common |= {"min_prob": min_prob, "delta": delta, "parameters": weights}

    def rows(gradient: Any) -> Any:
        return gradient.movedim(1, -1).reshape(-1, gradient.shape[1])

    def total(active: str, lamb: float = 0.0) -> dict[str, Any]:
        loss = F.active_negative(logits, labels, active=active, lamb=lamb, **common)
        return {"loss_mean": loss, "grad_logits": rows(gradients(loss, logits)[0])}

    entropy = F.batch_entropy_regularizer(logits, min_prob)
    l1 = F.l1_norm(weights)
    return {
        "anl_ce": total("nce"),
        "anl_fl": total("nfl"),
        "anl_ce_er": total("nce", params.get("lamb", 0.0)),
        "entropy_reg": {"value": entropy, "grad_logits": rows(gradients(entropy, logits)[0])},
        "l1_norm": l1,
        "grad_l1_params": gradients(delta * l1, *weights),
    }
