"""The learning rate of ``kd_pruning.py`` on digits: the teacher's accuracy on noisy labels that were held out.

    python benchmarks/claims/kd_pruning_rate.py

Trial seeds only, and neither a right label nor a test image is looked at.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from _record import write_result
from claims.kd_pruning import DIGITS, digits, small_network
from errata.data import read
from errata.engine import compression

RATES = (0.005, 0.01, 0.02, 0.05, 0.1)
SEEDS = (0, 1, 2)
HELD = 240


def noisy_accuracy(rate: float, seed: int) -> float:
    """A teacher of 960 digits, on the other 240 with their labels as they are: 15 % of them wrong."""
    x, given, _, _ = digits(seed)
    how = {**DIGITS, "lr": rate, "model": small_network(seed), "score": "random"}
    data = read(x[:-HELD], given[:-HELD])
    run = compression.train(data, keep=1.0, alpha=0.0, seed=seed, progress=False, **how)
    return run.teacher.evaluate(read(x[-HELD:], given[-HELD:]))["accuracy"]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    found = {rate: [noisy_accuracy(rate, seed) for seed in SEEDS] for rate in RATES}
    rows = [[f"{rate:g}", f"{100 * np.mean(a):.1f} ± {100 * np.std(a, ddof=1):.1f}"] for rate, a in found.items()]
    note = f"In percent, mean ± standard deviation over the trial seeds {SEEDS}; the claim's own seeds begin at 100."
    title = "The teacher's learning rate on digits: accuracy on held-out labels that are 15 % wrong"
    table = {"title": title, "columns": ["learning rate", "noisy accuracy"], "rows": rows, "note": note}
    cells = [
        {"rate": rate, "seed": s, "noisy_accuracy": a} for rate, all_ in found.items() for s, a in zip(SEEDS, all_)
    ]
    print(write_result("kd-pruning-rate", {"settings": dict(DIGITS), "tables": [table], "cells": cells}))
