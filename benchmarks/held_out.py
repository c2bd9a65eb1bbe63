"""How many labels are wrong: what a training says by the rows that it held out, beside its own noise rate.

ELR is trained with a fifth of the labels held out, on digits and TREC with three kinds of noise at three rates, and
with nothing planted. The estimate by the held-out rows is that of an audit; nothing of it was chosen for this.

    python benchmarks/held_out.py
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import errata
from _record import write_result
from claims.vouching import Case, planted

HELD_OUT = 0.2


def look(case: Case, seed: int) -> dict[str, Any]:
    """One training."""
    begun = time.process_time()
    run = errata.train(
        case.source, case.given, system="elr", validation=HELD_OUT, seed=seed, device="cpu", progress=False
    )
    seconds = time.process_time() - begun
    told = run.ledger.meta["held_out"]
    wrong = float(case.wrong.mean())
    return {
        "case": case.name,
        "group": case.group,
        "wrong": wrong,
        "held_out": told,
        "covered": bool(told["low"] <= wrong <= told["high"]),
        "noise_rate": run.ledger.noise.rate,
        "seconds": seconds,
    }


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=("digits", "trec"), default=["digits", "trec"])
    parser.add_argument("--seeds", type=int, default=3, help="so many, from 100 on")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    args = parser.parse_args()
    records = []
    for name in args.sets:
        for case in planted(name, args.seeds):
            records.append(look(case, int(case.name.rsplit(" ", 1)[1])))
            print(records[-1], flush=True)
    rows = []
    for group in dict.fromkeys(record["group"] for record in records):
        own = [record for record in records if record["group"] == group]
        off = [100 * abs(r["held_out"]["share"] - r["wrong"]) for r in own]
        beside = [100 * abs(r["noise_rate"] - r["wrong"]) for r in own]
        covered = 100 * np.mean([r["covered"] for r in own])
        rows.append([group, len(own), f"{np.mean(off):.1f}", f"{covered:.0f}", f"{np.mean(beside):.1f}"])
    table = {
        "title": "The share of wrong labels, by the rows that a training held out",
        "columns": [
            "",
            "trainings",
            "off by, points",
            "its interval holds the truth, %",
            "the run's noise rate off by",
        ],
        "rows": rows,
        "note": f"ELR, a fifth of the labels held out; {args.seeds} seeds; a tenth, a fifth or two fifths planted.",
    }
    for row in rows:
        print(*row)
    if not args.dry:
        write_result("held_out", {"tables": [table], "records": records})


if __name__ == "__main__":
    main()
