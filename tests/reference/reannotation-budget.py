"""Reference cases of budget-sensitive reannotation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

import numpy as np
from support import UnknownOp

from errata.scores.tree import Distances, tree_distances
from errata.systems.budget.reannotation_budget import budget_curve, ensemble_scores, f1_curve, selection_jaccard

RTOL = 1e-9


def compute(case: dict[str, Any]) -> dict[str, Any]:
    ops = {
        "tree_distances": distances,
        "ensemble_scores": scores,
        "budget_curve": curve,
        "selection_jaccard": jaccard,
    }
    if case["op"] not in ops:
        raise UnknownOp(case["op"])
    return ops[case["op"]](case.get("inputs", {}), case.get("params", {}))


def distances(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    labels = params.get("n_labels", inputs.get("n_labels"))
    found = tree_distances(inputs["parent"], int(labels))
    return {"GD": found.graph, "LD": found.ancestor, "depth": found.depth}


def scores(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    tree = Distances(*(np.asarray(inputs[name]) for name in ("GD", "LD", "depth")))
    labels, votes = np.asarray(inputs["labels"]), np.asarray(inputs["predictions"])

    def ratio(power: float) -> np.ndarray:
        return ensemble_scores(labels, votes, tree, inputs["confidence"], power)["ratio"]

    plain = ensemble_scores(labels, votes, tree, inputs["confidence"])
    return {
        "score_gd": plain["gd"],
        "score_ld": plain["ld"],
        "score_confidence": plain["confidence"],
        "score_ratio": ratio(0.0),
        "score_ratio_conf": ratio(1.0),
        "score_ratio_conf2": ratio(2.0),
        "score_ratio_sqrtconf": ratio(0.5),
    }


def curve(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    found = budget_curve(inputs["score"], inputs["is_error"])
    exclude = params.get("exclude", 0)
    f1 = f1_curve(inputs["labels"], inputs["reannotated_labels"], inputs["predictions"], found.order, exclude)
    return {"order": found.order, "errors_caught": found.caught, "f1": np.round(100 * f1, 2)}


def jaccard(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    return {"jaccard": selection_jaccard(inputs["a"], inputs["b"])}
