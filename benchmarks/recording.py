"""What it costs to record all pruning scores: training with the recorder against plain training, turn by turn.

python benchmarks/recording.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch

from _record import write_result
from errata import models
from errata.data import Batches
from errata.engine import fit
from errata.systems.compression.kd_pruning import RecordedTraining

SETTINGS: dict[str, dict[str, Any]] = {
    "MLP, 64 numbers": {"model": "mlp", "shape": (64,), "rows": 12_800, "batch": 128},
    "small CNN, 3 x 16 x 16": {"model": "small_cnn", "shape": (3, 16, 16), "rows": 1_280, "batch": 64},
}
CLASSES = 10


def seconds(setting: dict[str, Any], record: bool) -> float:
    """One epoch of processor time, the same data and network either way."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(setting["rows"], *setting["shape"], generator=generator)
    y = torch.randint(CLASSES, (setting["rows"],), generator=generator)
    network = models.build(setting["model"], CLASSES, setting["shape"], seed=0)
    system = RecordedTraining(network, CLASSES, setting["rows"], record=record)
    started = time.process_time()
    fit(system, Batches(x, y, batch_size=setting["batch"]), epochs=1, device="cpu", progress=False)
    return time.process_time() - started


def main() -> None:
    """Measure both ways in turn, and write the medians and the ratio of each pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    found = {}
    for name, setting in SETTINGS.items():
        seconds(setting, True)
        pairs = [(seconds(setting, False), seconds(setting, True)) for _ in range(repeats)]
        ratios = [recorded / plain for plain, recorded in pairs]
        found[name] = {
            "rows": setting["rows"],
            "batch": setting["batch"],
            "plain_seconds": statistics.median(plain for plain, _ in pairs),
            "recorded_seconds": statistics.median(recorded for _, recorded in pairs),
            "ratio": statistics.median(ratios),
            "ratios": sorted(ratios),
        }
        print(name, found[name]["ratio"])
    rows = [
        [name, f"{f['plain_seconds']:.2f}", f"{f['recorded_seconds']:.2f}", f"{f['ratio']:.3f}"]
        for name, f in found.items()
    ]
    table = {
        "title": "Recording every score while a teacher is trained",
        "columns": ["network", "plain, s per epoch", "recorded, s per epoch", "ratio"],
        "rows": rows,
        "note": f"Processor time, medians of {repeats} pairs measured in turn; the ratio is the median of the pairs'.",
    }
    write_result("recording", {"settings": found, "tables": [table]})


if __name__ == "__main__":
    main()
