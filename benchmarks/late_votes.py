"""Late votes: bringing a consensus up to date against judging all votes anew.

    python benchmarks/late_votes.py

Real crowds with the last tenth of their votes late, in another order for each seed: how many items are right before,
after, and with all votes judged together. Then simulated people at a size at which it matters: seconds of processor
time and memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent))

import errata
from _record import write_result

DATA = Path(os.environ.get("ERRATA_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "crowd"
NAMES = {"item": "question", "annotator": "worker", "label": "answer", "progress": False}
SEEDS = range(100, 105)


def right(ledger: errata.Ledger, truth: pd.Series) -> float:
    """The share of items whose consensus is the truth."""
    table = ledger.table
    known = table["item"].map(truth)
    told = known.notna()
    return float((table["proposed"].astype(int) == known)[told].mean())


def real(name: str, seed: int) -> dict[str, Any]:
    """One order of the votes of a real crowd."""
    votes = pd.read_csv(DATA / f"{name}_answer.csv.gz").sample(frac=1, random_state=seed)
    truth = pd.read_csv(DATA / f"{name}_truth.csv.gz").set_index("question")["truth"]
    cut = int(0.9 * len(votes))
    before = errata.audit(annotations=votes[:cut], **NAMES)
    after, seconds = timed(lambda: errata.audit(annotations=votes[cut:], earlier=before, **NAMES))
    together, all_seconds = timed(lambda: errata.audit(annotations=votes, **NAMES))
    one, other = (ledger.table.set_index("item").sort_index() for ledger in (after, together))
    return {
        "crowd": name,
        "seed": seed,
        "before": right(before, truth),
        "after": right(after, truth),
        "together": right(together, truth),
        "same_consensus": float((one["proposed"].astype(int) == other["proposed"].astype(int)).mean()),
        "trust_differs": float(np.abs(one["trust"] - other["trust"]).mean()),
        "seconds": seconds,
        "seconds_together": all_seconds,
    }


def timed(work: Any) -> tuple[Any, float]:
    """What it gives, and the processor time that it took."""
    begun = time.process_time()
    return work(), time.process_time() - begun


def large(votes: int, late: int, seed: int = 100) -> dict[str, Any]:
    """Simulated people: five votes an item, ten classes, seven of ten votes right."""
    rng = np.random.default_rng(seed)
    items, people = votes // 5, votes // 360
    true = rng.integers(10, size=items)
    item = rng.permutation(np.repeat(np.arange(items), 5))
    label = np.where(rng.random(len(item)) < 0.7, true[item], rng.integers(10, size=len(item)))
    table = pd.DataFrame({"question": item, "worker": rng.integers(people, size=len(item)), "answer": label})
    before, all_seconds = timed(lambda: errata.audit(annotations=table[:-late], **NAMES))
    _, seconds = timed(lambda: errata.audit(annotations=table[-late:], earlier=before, **NAMES))
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"votes": len(item), "late": late, "seconds": seconds, "seconds_together": all_seconds, "peak_gb": gigabytes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--votes", type=int, default=1_800_000)
    parser.add_argument("--late", type=int, default=10_000)
    options = parser.parse_args()
    cells = [real(name, seed) for name in ("duck", "product") for seed in SEEDS]
    rows = []
    for name in ("duck", "product"):
        own = pd.DataFrame([c for c in cells if c["crowd"] == name])
        spread = [f"{100 * own[c].mean():.1f} ± {100 * own[c].std():.1f}" for c in ("before", "after", "together")]
        rows.append([name, *spread, f"{100 * own['same_consensus'].mean():.1f}", f"{own['trust_differs'].mean():.3f}"])
        print(rows[-1], flush=True)
    columns = ["crowd", "before", "brought up to date", "all judged anew", "same consensus", "trust differs by"]
    note = "Share of items whose consensus is right, in percent, mean ± standard deviation over 5 orders of the votes."
    tables = [{"title": "The last tenth of the votes comes late", "columns": columns, "rows": rows, "note": note}]
    big = large(options.votes, options.late)
    print(big)
    ratio = big["seconds_together"] / big["seconds"]
    tables.append(
        {
            "title": "What it costs, at a size at which it matters",
            "columns": ["votes", "late", "all judged, s", "brought up to date, s", "ratio", "peak memory, GB"],
            "rows": [
                [
                    f"{big['votes']:,}",
                    f"{big['late']:,}",
                    f"{big['seconds_together']:.1f}",
                    f"{big['seconds']:.1f}",
                    f"{ratio:.1f}",
                    f"{big['peak_gb']:.1f}",
                ]
            ],
            "note": "Simulated people; processor time of one core, reading the table and making the ledger included.",
        }
    )
    print(write_result("late_votes", {"settings": vars(options), "tables": tables, "cells": cells, "large": big}))


if __name__ == "__main__":
    main()
