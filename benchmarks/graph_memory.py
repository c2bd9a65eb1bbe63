"""Memory of an ERASE step on growing random graphs: it grows with edges and nodes, not with the nodes' square.

Each size is measured in a process of its own, which imports everything, notes its memory, makes the graph, takes one
training step with its way back, and tells the most memory that it ever held beyond that. Beside it stands what the
official code's dense membership tensor alone takes, 4 K N^2 bytes by its dossier; that code was not run.

    python benchmarks/graph_memory.py
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from _record import write_result

CLASSES, FEATURES, WIDTH, HIDDEN = 7, 64, 128, 64
DEGREE = 10
BY_NODES = [(n, DEGREE) for n in (5_000, 10_000, 20_000, 40_000)]
BY_EDGES = [(10_000, degree) for degree in (20, 40)]
MB = 1e6


def step(nodes: int, degree: int) -> dict[str, Any]:
    """One step in this process, and the memory it took."""
    import torch

    from errata import systems
    from errata.models import graphs
    from errata.parts import graph_batch

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    network = graphs.build("encoder", FEATURES, WIDTH, hidden=HIDDEN, seed=0)
    small = systems.load("erase")(network, CLASSES, 8)
    small.training_step(graph_batch(torch.rand(8, FEATURES), torch.tensor([[0, 1], [1, 0]]), torch.arange(8) % CLASSES))
    system = systems.load("erase")(network, CLASSES, nodes)
    before = _most_memory()
    half = torch.from_numpy(rng.integers(0, nodes, size=(2, nodes * degree // 2)))
    y = torch.from_numpy(np.where(rng.random(nodes) < 0.1, rng.integers(0, CLASSES, nodes), -1))
    batch = graph_batch(
        torch.from_numpy(rng.random((nodes, FEATURES), dtype=np.float32)), torch.cat([half, half.flip(0)], 1), y
    )
    system.train().training_step(batch).backward()
    return {"nodes": nodes, "edges": half.shape[1], "bytes": _most_memory() - before}


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def in_own_process(nodes: int, degree: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", str(nodes), str(degree)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["dense_bytes"] = 4 * CLASSES * nodes**2
    print(
        f"{found['nodes']:>8,} nodes {found['edges']:>9,} edges {found['bytes'] / MB:>9,.0f} MB   "
        f"dense form {found['dense_bytes'] / MB:>9,.0f} MB",
        flush=True,
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(step(*options.one)))
        return
    found = [in_own_process(*size) for size in BY_NODES + BY_EDGES]
    nodes, edges, taken = (
        np.array([row[name] for row in found], dtype=np.float64) for name in ("nodes", "edges", "bytes")
    )
    (per_node, per_edge), *_ = np.linalg.lstsq(np.stack([nodes, edges], 1), taken, rcond=None)
    fitted = per_node * nodes + per_edge * edges
    # with ten edges a node, memory = constant * nodes ** exponent: 1 is linear, 2 would be the dense form
    grown = slice(0, len(BY_NODES))
    exponent = float(np.polyfit(np.log(nodes[grown]), np.log(taken[grown]), 1)[0])
    rows = [[f"{r['nodes']:,}", f"{r['edges']:,}", round(r["bytes"] / MB), round(r["dense_bytes"] / MB)] for r in found]
    table = {
        "title": "Memory of one ERASE training step, forward and back, on random graphs",
        "columns": ["nodes", "edges", "measured, MB", "4 K N^2 bytes of the dense form, MB"],
        "rows": rows,
        "note": f"{CLASSES} classes, {FEATURES} features, graph attention with 8 heads, hidden width {HIDDEN}, "
        f"representation of width {WIDTH}. Each row in a process of its own. The dense form is computed, not run.",
    }
    worst = float(np.abs(fitted / taken - 1).max())
    result = {
        "sizes": found,
        "bytes_per_node": float(per_node),
        "bytes_per_edge": float(per_edge),
        "worst_misfit_of_linear": worst,
        "exponent_at_constant_degree": exponent,
        "tables": [table],
    }
    print(
        f"{per_node:,.0f} bytes a node + {per_edge:,.0f} an edge, misfit at most {worst:.0%}; exponent {exponent:.2f}"
    )
    print(write_result("graph_memory", result, command="python benchmarks/graph_memory.py"))


if __name__ == "__main__":
    main()
