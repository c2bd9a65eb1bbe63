"""Peak memory of a merge: of the widest layer, not of the network, and how it grows with depth, width and data.

Networks of growing depth are merged with Gram matrices of one layer at a time, and of all layers at once. What is
measured is the peak of live tensor memory above that of the two networks, counted at every operation.
"""

from __future__ import annotations

import argparse
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _record import write_result
from errata.parts.merging.blocks import divide
from errata.parts.merging.building import Builder
from errata.parts.merging.matching import activation_matching
from errata.parts.merging.regression import fit_layers, layer_tasks
from errata.parts.merging.running import Pair
from errata.parts.merging.spec import PermutationSpec

MIB = 1 << 20


class Peak(TorchDispatchMode):
    """Counts the bytes of all tensors that are made while it is on and not yet let go, and keeps the most."""

    def __init__(self) -> None:
        super().__init__()
        self.live, self.most = 0, 0
        self.known: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, torch.Tensor):
                self._count(tensor)
        return made

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        if key in self.known or not key:
            return
        self.known[key] = storage.nbytes()
        self.live += storage.nbytes()
        self.most = max(self.most, self.live)
        weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.live -= self.known.pop(key, 0)


def measure(depth: int, width: int, batches: int, memory: int) -> dict[str, float]:
    """Peak bytes of matching and of fitting a convolutional network of ``depth`` layers."""
    torch.manual_seed(0)

    def network() -> nn.Module:
        layers: list[nn.Module] = []
        inner = 3
        for _ in range(depth):
            layers += [nn.Conv2d(inner, width, 3, padding=1), nn.ReLU()]
            inner = width
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)).eval()

    a, b = network(), network()
    data = [torch.randn(16, 3, 16, 16) for _ in range(batches)]
    spec = PermutationSpec.of(a, data[0])
    spec_graph_memory = sum(p.numel() for p in a.parameters()) * 4
    pair = Pair(spec, a, b)
    started = time.perf_counter()
    with Peak() as matching:
        found = activation_matching(pair, data)
    blocks = divide(spec, found.similarity, found.perm, dict.fromkeys(spec.groups, 0.0))
    builder = Builder(a, spec, (a.state_dict(), b.state_dict()), found, "halve", None, False)
    state, _ = builder.state(blocks)
    tasks = layer_tasks(spec, a, blocks)
    with Peak() as fitting:
        fit_layers(pair, data, tasks, state, memory=memory)
    return {
        "matching": matching.most / MIB,
        "fitting": fitting.most / MIB,
        "widest_gram": max(task.memory for task in tasks) / MIB,
        "all_grams": sum(task.memory for task in tasks) / MIB,
        "one_network": spec_graph_memory / MIB,
        "seconds": time.perf_counter() - started,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 4, 8, 16])
    options = parser.parse_args()
    cells = []
    for depth in options.depths:
        for what, memory in (("a layer at a time", 0), ("all layers at once", 1 << 40)):
            found = measure(depth, options.width, 2, memory)
            cells.append({"depth": depth, "width": options.width, "batches": 2, "how": what, **found})
            print(cells[-1])
    for batches in (2, 8):
        found = measure(4, options.width, batches, 0)
        cells.append({"depth": 4, "width": options.width, "batches": batches, "how": "a layer at a time", **found})
        print(cells[-1])
    columns = ["layers", "batches", "Gram matrices kept", "matching, MiB", "fitting, MiB"]
    columns += ["widest Gram, MiB", "all Grams, MiB"]
    shown = ("matching", "fitting", "widest_gram", "all_grams")
    rows = [[c["depth"], c["batches"], c["how"], *(f"{c[name]:.1f}" for name in shown)] for c in cells]
    table = {
        "title": "Peak of live tensors while two convolutional networks are merged",
        "columns": columns,
        "rows": rows,
        "note": "Beyond the two networks and the data: activations, Gram matrices, and what solving them takes.",
    }
    write_result("merge_memory", {"settings": vars(options), "tables": [table], "cells": cells})


if __name__ == "__main__":
    main()
