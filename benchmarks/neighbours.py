"""How long the exact graph of nearest rows takes, and how much memory; and what is made of it.

python benchmarks/neighbours.py                      # 100,000 x 512, ten classes
python benchmarks/neighbours.py --rows 20000 --dry   # nothing recorded
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def made(rows: int, columns: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features in clusters, and labels of which a fifth are wrong."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, classes, rows)
    features = rng.standard_normal((rows, columns), dtype=np.float32)
    features += 1.5 * rng.standard_normal((classes, columns), dtype=np.float32)[true]
    wrong = rng.random(rows) < 0.2
    return features, np.where(wrong, (true + rng.integers(1, classes, rows)) % classes, true)


def timed(figures: dict[str, Any], name: str, call: Callable[[], Any]) -> Any:
    """The call's result; its seconds go into the figures."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    figures[name] = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    print(f"{name}: {figures[name]['seconds']:.1f} s, {figures[name]['cpu_seconds']:.1f} s CPU", flush=True)
    return result


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--dry", action="store_true", help="record nothing")
    args = parser.parse_args()
    import torch

    from errata.scores.neighbours import agreement, consensus, nearest, solve_consensus
    from errata.scores.simifeat import simifeat

    features, given = made(args.rows, args.columns, args.classes)
    torch.zeros(8, 8) @ torch.zeros(8, 8)  # libraries are loaded before memory is counted
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures: dict[str, Any] = {}
    graph = timed(figures, "graph", lambda: nearest(features, 20))
    timed(figures, "votes", lambda: agreement(graph, given))
    counted = timed(figures, "consensus", lambda: consensus(graph.index, given, args.classes))
    transition, prior = timed(figures, "transition", lambda: solve_consensus(*counted))
    timed(figures, "simifeat", lambda: simifeat(graph, given))
    rate = float(1 - (np.diag(transition) * prior).sum())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"noise rate {rate:.3f} (planted 0.200); peak {peak:.0f} MB, {peak - before:.0f} MB beyond the input")
    result = {"rows": args.rows, "columns": args.columns, "classes": args.classes, "threads": torch.get_num_threads()}
    result.update({"steps": figures, "noise_rate": rate, "peak_mb": peak, "peak_beyond_input_mb": peak - before})
    if not args.dry:
        sys.path.insert(0, str(ROOT / "benchmarks"))
        from _record import write_result

        print(f"written: {write_result('neighbours', result)}")


if __name__ == "__main__":
    main()
