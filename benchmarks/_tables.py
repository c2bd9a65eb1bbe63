"""The tables that the documents show of a result: drawn from the result itself, so that they can't differ from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["tables_of"]


def tables_of(name: str, result: dict[str, Any]) -> list[dict[str, Any]]:
    """The tables of the result ``name``; none where nobody has said how it is to be shown."""
    if "tables" in result:
        return list(result["tables"])
    return _DRAW[name](result) if name in _DRAW else []


def _audit_speed(result: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for shape in result["shapes"]:
        for side, row in shape["summary"].items():
            rows.append(
                [
                    f"{shape['rows']:,} x {shape['classes']}",
                    side,
                    f"{row['seconds']:.2f}",
                    f"{row['times_faster']:.1f}",
                    f"{row['times_less_cpu']:.1f}",
                    f"{row['peak_beyond_input_mb']:.0f}",
                    shape["agreement"]["symmetric_difference"],
                ]
            )
    return [
        {
            "title": "An audit from probabilities, beside cleanlab 2.9, in one run",
            "columns": [
                "rows x classes",
                "side",
                "seconds (median)",
                "times faster",
                "times less CPU",
                "MB beyond the input",
                "rows flagged differently",
            ],
            "rows": rows,
        }
    ]


def _audit_speed_memmap(result: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [[run["threads"], f"{run['seconds']:.1f}", f"{run['peak_mb']:.0f}"] for run in result["repeats"]]
    return [
        {
            "title": f"From a memory-mapped file of {result['rows']:,} x {result['classes']} {result['dtype']}",
            "columns": ["threads", "seconds", "peak memory of the process, MB"],
            "rows": rows,
        }
    ]


def _step_cost(result: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for model, systems in result["models"].items():
        for slug, row in systems.items():
            low, high = row["ratio_quartiles"]
            ratio = row.get("ratio_to_plain", row.get("ratio_to_ce"))
            rows.append([model, slug, f"{ratio:.2f}", f"{low:.2f} to {high:.2f}", row["target"] or "the baseline"])
    batch, turns = result["settings"]["batch"], result["settings"]["turns"]
    several = result["settings"].get("task") == "multilabel"
    plain = "binary cross-entropy's" if several else "plain cross-entropy's"
    says = (
        "pu-mlc goes through the network a second time with half a batch of mixed samples."
        if several
        else "elr-plus trains two networks, and predicts with two teachers."
    )
    return [
        {
            "title": f"A training step of {batch} images, as a multiple of {plain}",
            "columns": ["model", "system", "median", "quartiles", "at most"],
            "rows": rows,
            "note": f"{turns} interleaved steps of each; {says}",
        }
    ]


def _batching(result: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [[way, f"{100 * row['share_of_step']:.2f}"] for way, row in result["ways"].items()]
    return [
        {
            "title": f"Cutting a batch of {result['settings']['batch']}, as a share of a CIFAR ResNet-18 step",
            "columns": ["way", "percent of a step"],
            "rows": rows,
            "note": f"On {result['settings']['device']}; the bound asked for is {100 * result['target']:.0f} percent.",
        }
    ]


_DRAW: dict[str, Callable[[dict[str, Any]], list[dict[str, Any]]]] = {
    "audit_speed": _audit_speed,
    "audit_speed_memmap": _audit_speed_memmap,
    "batching": _batching,
    "step_cost": _step_cost,
    "step_cost_multilabel": _step_cost,
}
