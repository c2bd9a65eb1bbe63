"""Reference cases of iHOMER: the clustering of labels (corrected and released), the merit of a split, the bounds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

import numpy as np
from support import UnknownOp

from errata.parts.streams.bounds import decide, hoeffding_bound, odac_bound, split_range, switch_bound
from errata.parts.streams.clustering import LabelClusters
from errata.parts.streams.merit import EMPTY, TOTAL, label_entropy, split_merit

RTOL = 1e-9


def compute(case: dict[str, Any]) -> dict[str, Any]:
    inputs, params = case.get("inputs", {}), case.get("params", {})
    if case["op"] in ("odac_jaccard", "odac_released"):
        return {"checks": odac(inputs["label_stream"], params, case["op"] == "odac_released")}
    if case["op"] == "split_merit":
        return merit(inputs["pre"], inputs["post"], params.get("min_branch_fraction", 0.01))
    if case["op"] == "stream_bounds":
        return {"rows": [bounds(row) for row in inputs["rows"]]}
    raise UnknownOp(case["op"])


def odac(stream: list[list[int]], params: dict[str, Any], released: bool) -> list[dict[str, Any]]:
    clusters = LabelClusters(**params, statistics="pearson" if released else "jaccard")
    clusters.add_labels(range(len(stream[0])))
    checks = []
    for t, labels in enumerate(stream, start=1):
        changed = clusters.learn(np.flatnonzero(labels).tolist())
        if t % clusters.n_min == 0:
            checks.append({"t": t, "changed": int(changed), "clusters": clusters.partition()})
    return checks


def merit(pre: dict[str, float], post: list[dict[str, float]], fraction: float) -> dict[str, Any]:
    names = [*{name: None for counts in (pre, *post) for name in counts if name not in ("total", "empty")}]
    before, *after = (rows(counts, names) for counts in (pre, *post))
    found = float(split_merit(before, np.stack(after), fraction))
    weights = np.array([counts[TOTAL] for counts in after])
    mean = float(weights @ [float(label_entropy(counts)) for counts in after] / weights.sum())
    return {
        "entropy_pre": float(label_entropy(before)),
        "entropy_post": mean,
        "merit": found if np.isfinite(found) else "-inf",
    }


def rows(counts: dict[str, float], names: list[str]) -> np.ndarray:
    found = np.zeros(2 + len(names))
    found[TOTAL] = counts.get("total", 0.0)
    for place, name in enumerate(["empty", *names], start=EMPTY):
        # a count that is stored as zero is still a count of its own, which makes a node a mixed one
        found[place] = max(counts[name], sys.float_info.min) if name in counts else 0.0
    return found


def bounds(row: dict[str, Any]) -> dict[str, Any]:
    switch = switch_bound(row["old_error"], row["main_weight"], row["alt_weight"], row["alpha"])
    return {
        "hoeffding": hoeffding_bound(split_range(row["num_labelsets"]), row["delta"], row["leaf_weight"]),
        "odac_bound": odac_bound(row["confidence"], row["n"]),
        "switch_bound": switch,
        "decision": decide(row["old_error"], row["alt_error"], switch),
    }
