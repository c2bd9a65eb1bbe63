"""Events per second of iHOMER at 14, 100 and 1000 labels, and where its time goes.

Every event is predicted and learned, as in `errata stream`. Labels come in groups of ten; 50 numeric features.

    python benchmarks/stream_speed.py
"""

from __future__ import annotations

import argparse
import pickle
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _record import write_result
from errata.systems.streams.ihomer import IHomer

LABELS = (14, 100, 1000)
FEATURES = 50


def grouped(events: int, labels: int, seed: int) -> list[tuple[dict[str, float], dict[str, bool]]]:
    """Groups of about ten labels, one in twenty of which an event belongs to; half of their labels come."""
    rng = np.random.default_rng(seed)
    groups = np.array_split(np.arange(labels), max(1, labels // 10))
    weights = rng.normal(size=(len(groups), FEATURES))
    found = []
    for _ in range(events):
        x = rng.random(FEATURES)
        there = np.zeros(labels, dtype=bool)
        for group in np.argsort(-(weights @ (x - 0.5)))[: 1 + len(groups) // 20]:
            there[groups[group]] = rng.random(len(groups[group])) < 0.5
        found.append(
            ({f"x{i}": float(v) for i, v in enumerate(x)}, {f"label {i}": bool(v) for i, v in enumerate(there)})
        )
    return found


def measure(labels: int, events: int, seed: int) -> dict[str, Any]:
    """One run through a stream."""
    flow = grouped(events, labels, seed)
    model = IHomer(seed=seed)
    predicting = learning = 0.0
    for x, y in flow:
        begun = time.process_time()
        model.predict_one(x)
        between = time.process_time()
        model.learn_one(x, y)
        predicting += between - begun
        learning += time.process_time() - between
    return {
        "seed": seed,
        "events_per_second": events / (predicting + learning),
        "predict_ms": 1000 * predicting / events,
        "learn_ms": 1000 * learning / events,
        "clusters": len(model.clusters),
        "labels_per_event": statistics.mean(sum(y.values()) for _, y in flow),
        "model_megabytes": len(pickle.dumps(model)) / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    rows = []
    for labels in LABELS:
        found[str(labels)] = [measure(labels, options.events, 100 + seed) for seed in range(options.seeds)]
        middle = {name: statistics.median(run[name] for run in found[str(labels)]) for name in found[str(labels)][0]}
        rows.append(
            [
                str(labels),
                f"{middle['events_per_second']:.0f}",
                f"{middle['predict_ms']:.2f}",
                f"{middle['learn_ms']:.2f}",
                f"{middle['clusters']:.0f}",
                f"{middle['model_megabytes']:.0f}",
            ]
        )
        print(rows[-1], flush=True)
    columns = ["labels", "events per second", "ms to predict", "ms to learn", "clusters at the end", "model in MB"]
    note = (
        f"Processor time of one core, {options.events:,} events, {FEATURES} features; medians of {options.seeds} seeds."
    )
    table = {"title": "iHOMER through a stream", "columns": columns, "rows": rows, "note": note}
    print(write_result("stream_speed", {"settings": vars(options), "tables": [table], "runs": found}))


if __name__ == "__main__":
    main()
