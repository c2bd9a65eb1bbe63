"""Reference cases of distillation on pruned data, and of the pruning scores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

import numpy as np
from support import UnknownOp, gradients, real, tensor

from errata.scores import pruning, selection
from errata.systems.compression.kd_pruning import kd_loss, ridge, student_ridge

RTOL = 1e-9


def compute(case: dict[str, Any]) -> dict[str, Any]:
    ops = {
        "kd_loss": distil,
        "dynamics_scores": dynamics,
        "grand_score": grand,
        "moderate_selection": moderate,
        "memorization_score": memorization,
        "ccs_strata": coverage,
        "linear_kd_theory": theory,
    }
    if case["op"] not in ops:
        raise UnknownOp(case["op"])
    return ops[case["op"]](case.get("inputs", {}), case.get("params", {}))


def distil(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    student = real(inputs["student_logits"], requires_grad=True)
    found = kd_loss(student, real(inputs["teacher_logits"]), tensor(inputs["labels"]), params["alpha"], params["tau"])
    return {"ce": found.ce, "kd": found.kd, "loss": found.loss, "grad": gradients(found.loss, student)[0]}


def dynamics(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    logits, labels = real(inputs["logits"]), tensor(inputs["labels"])
    forgotten = pruning.forgetting(logits, labels).tolist()
    return {
        "el2n_sum": pruning.el2n(logits, labels, epochs=params["max_epoch"], reduction="sum"),
        "forgetting": pruning.forgetting(logits, labels, never=0.0),
        "correctness": pruning.correctness(logits, labels),
        "accumulated_margin_prob": pruning.accumulated_margin(logits, labels),
        "aum_logit": pruning.area_under_margin(logits, labels),
        "forgetting_inf": ["inf" if value == float("inf") else value for value in forgotten],
    }


def grand(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    return {"grand": pruning.grand(real(inputs["logits"]), real(inputs["features"]), tensor(inputs["labels"]))}


def moderate(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    distance = pruning.moderate_distance(inputs["features"], inputs["labels"])
    kept = selection.keep_middle(distance, params["rate"])
    return {"distance": distance, "pruned": np.setdiff1d(np.arange(len(distance)), kept), "kept": kept}


def memorization(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    return {"memorization": pruning.memorization(inputs["in_train"], inputs["correct"])}


def coverage(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    found = selection.strata(
        inputs["margin"],
        inputs["score"],
        cut=params["mis_ratio"],
        count=params["budget"],
        num_strata=params.get("strata", 50),
    )
    return {
        "kept_after_mislabel_cut": found.pool,
        "strata_counts": found.counts,
        "strata_selected": found.selected,
        "total": int(found.selected.sum()),
    }


def theory(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    x, y = real(inputs["X"]), real(inputs["y"])
    alpha, lam = params["alpha"], params["lam"]
    kept = int(params["f"] * x.shape[1])
    full, pruned = ridge(x, y, lam), ridge(x[:, :kept], y[:kept], lam)
    return {
        "teacher_full": full,
        "teacher_pruned": pruned,
        "student_full_teacher": student_ridge(x[:, :kept], y[:kept], full, alpha=alpha, lam=lam),
        "student_pruned_teacher": student_ridge(x[:, :kept], y[:kept], pruned, alpha=alpha, lam=lam),
    }
