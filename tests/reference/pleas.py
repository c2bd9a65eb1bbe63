"""Reference cases of PLeaS: matching, partial merges, regression data, multiplications, block least squares."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

import numpy as np
import torch
from support import UnknownOp, real
from torch import Tensor, nn

from errata.parts.merging.blocks import Blocks, merge_blocks, merge_states
from errata.parts.merging.least_squares import block_least_squares
from errata.parts.merging.matching import activation_matching, match_features
from errata.parts.merging.modules import widened
from errata.parts.merging.ratios import flop_terms, flops, relative_flops
from errata.parts.merging.regression import layer_tasks, regression_data
from errata.parts.merging.running import Pair
from errata.parts.merging.spec import PermutationSpec

RTOL = {"*": 1e-9, "block_least_squares": 1e-7}


class MLP(nn.Module):
    def __init__(self, d: int, h1: int, h2: int, classes: int) -> None:
        super().__init__()
        self.f1, self.f2, self.fc = nn.Linear(d, h1), nn.Linear(h1, h2), nn.Linear(h2, classes)
        self.r1, self.r2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.r2(self.f2(self.r1(self.f1(x)))))


class Conv(nn.Module):
    def __init__(self, channels: int, c1: int, c2: int, classes: int) -> None:
        super().__init__()
        self.c1, self.b1, self.r1 = nn.Conv2d(channels, c1, 3, padding=1, bias=False), nn.BatchNorm2d(c1), nn.ReLU()
        self.c2, self.b2 = nn.Conv2d(c1, c2, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(c2)
        self.r2, self.p, self.fl = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.fc = nn.Linear(c2, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.r1(self.b1(self.c1(x)))
        return self.fc(self.fl(self.p(self.r2(self.b2(self.c2(x))))))


ARCHITECTURES = {"MLP": MLP, "Conv": Conv}


def compute(case: dict[str, Any]) -> dict[str, Any]:
    ops = {
        "match_features": _match,
        "merge_blocks": _blocks,
        "partial_merge": _partial_merge,
        "regression_data": _regression_data,
        "partial_merge_flops": _flops,
        "block_least_squares": _least_squares,
    }
    if case["op"] not in ops:
        raise UnknownOp(case["op"])
    return ops[case["op"]](case.get("inputs", {}), case.get("params", {}))


def _match(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    a, b = real(inputs["act_a"]), real(inputs["act_b"])
    found, perm, total = match_features(a, b, params.get("similarity", "cdist"), params.get("axis", 1))
    return {"similarity_matrix": found, "perm": perm, "total": total}


def _blocks(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    blocks = merge_blocks(np.array(inputs["similarity_matrix"]), np.array(inputs["perm"]), params["ratio"])
    return dict(zip(("merged_a", "merged_b", "separate_a", "separate_b"), blocks.lists()))


def _network(state: dict[str, Any], architecture: str, args: list[int]) -> nn.Module:
    network = ARCHITECTURES[architecture](*args).double().eval()
    network.load_state_dict({k: real(v) for k, v in state.items()}, strict=False)
    return network


def _ratios(spec: PermutationSpec, ratios: Any) -> dict[str, float]:
    return dict(ratios) if isinstance(ratios, dict) else {name: float(ratios) for name in spec.groups}


def _partial_merge(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    architecture, args = params["architecture"], params["args"]
    a, b = (_network(inputs[k], architecture, args) for k in ("model_a", "model_b"))
    x = real(inputs["x"])
    spec = PermutationSpec.of(a, x)
    matching = activation_matching(Pair(spec, a, b), [x], similarity=params.get("similarity", "cdist"))
    ratios = _ratios(spec, params["ratios"])
    blocks = {n: merge_blocks(matching.similarity[n], matching.perm[n], ratios[n]) for n in spec.groups}
    state = merge_states(spec, a.state_dict(), b.state_dict(), blocks, head="copy")
    merged = widened(a, state).eval()
    with torch.no_grad():
        logits = merged(x)
    groups = {
        n: {"size": g.size, "state": sorted(map(str, g.state)), "nodes": sorted(map(str, g.nodes))}
        for n, g in spec.groups.items()
    }
    return {
        "groups": groups,
        "costs": matching.similarity,
        "perm": matching.perm,
        "blocks": {n: block.lists() for n, block in blocks.items()},
        "merged_state": {n: v for n, v in state.items() if n in inputs["model_a"]},
        "merged_forward": logits,
    }


def _regression_data(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    state = inputs["model_a"]
    args = [len(state["f1.weight"][0]), len(state["f1.weight"]), len(state["f2.weight"]), len(state["fc.weight"])]
    a, b = (_network(inputs[k], "MLP", args) for k in ("model_a", "model_b"))
    x = real(inputs["x"])
    spec = PermutationSpec.of(a, x)
    blocks = {n: Blocks(*(np.array(part, dtype=np.int64) for part in lists)) for n, lists in inputs["blocks"].items()}
    data = regression_data(Pair(spec, a, b), [x], layer_tasks(spec, a, blocks))
    return {name: {"layer_input": given, "target": wanted} for name, (given, wanted) in data.items()}


def _flops(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    network = ARCHITECTURES[params["architecture"]](*params["args"]).eval()
    shape = params["input_shape"]
    example = torch.zeros(shape)
    spec = PermutationSpec.of(network, example)
    terms = flop_terms(spec, network, example, rows=shape[0])
    sizes = {n: g.size for n, g in spec.groups.items()}
    ratios = _ratios(spec, params["ratios"])
    return {
        "terms": [[coeff, *groups] for coeff, groups in terms],
        "base_flops": flops(terms, sizes, 0.0),
        "flops": flops(terms, sizes, ratios),
        "relative": relative_flops(terms, sizes, ratios),
    }


def _least_squares(inputs: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    counts = [(params[f"n_{side}_merged"], params[f"n_{side}_separate"]) for side in ("in", "out")]
    weight, bias, residual = block_least_squares(real(inputs["X"]), real(inputs["Y"]), *counts, params["ridge"])
    return {"W": weight, "b": bias, "residual": residual}
