"""One training watched, beside the same network cross-validated: which finds more of the errors, and at what cost?

Average precision of the order by rising trust; seconds of CPU of the whole audit. Noise that depends on the instance is
planted in digits and TREC; CIFAR-10N brings people's errors, of which a perceptron on features of patches is trained.
"Cross-validated" is the better of its two scores (self-confidence and margin) for each set, chosen with hindsight. The
default score of dynamics was chosen on other sets and seeds under 100 (AG news, Banking77, SemEval, spoken digits,
MNIST, Houston, a synthetic table; and one seed of digits and of TREC).

    python benchmarks/peers/dynamics.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import finding

import errata
from _record import write_result
from errata.data import read
from errata.scores.dynamics import SCORES

FIRST_SEED = 100
ROWS = 1500


def problems(names: list[str], seeds: int) -> Iterator[finding.Problem]:
    """The sets of ``finding.py``, with seeds from 100 on."""
    args = argparse.Namespace(seeds=range(FIRST_SEED, FIRST_SEED + seeds), rows=ROWS)
    for name in names:
        yield from finding.SOURCES[name](args)


def look(problem: finding.Problem) -> dict[str, Any]:
    """Both audits of one set."""
    data = problem.data if problem.data is not None else read(problem.features, problem.given)
    begun = time.process_time()
    ledger = errata.audit(data, method="dynamics", seed=problem.seed, device="cpu", progress=False)
    seconds = time.process_time() - begun
    found = {"dynamics": problem.score(ledger.trust)["average_precision"]}
    for name in SCORES:
        sign = 1 if name in ("learning_margin", "aum", "belief", "agreement") else -1
        found[f"by {name}"] = problem.score(sign * ledger.columns[name])["average_precision"]
    begun = time.process_time()
    network = "text_bag" if data.kind == "text" else "mlp"
    ledger = errata.audit(data, model=network, seed=problem.seed, device="cpu", progress=False)
    crossed = time.process_time() - begun
    for name in ("self_confidence", "normalized_margin"):
        found[f"cross-validated, by {name}"] = problem.score(ledger.columns[name])["average_precision"]
    return {"set": problem.name, "seed": problem.seed, "found": found, "seconds": [seconds, crossed]}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sets", nargs="+", choices=("cifar10n", "digits", "trec"), default=["digits", "trec", "cifar10n"]
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="record nothing")
    args = parser.parse_args()
    records = []
    for problem in problems(args.sets, args.seeds):
        records.append(look(problem))
        print(records[-1], flush=True)
    rows = []
    for name in dict.fromkeys(record["set"] for record in records):
        own = [record for record in records if record["set"] == name]
        mean = {key: float(np.mean([record["found"][key] for record in own])) for key in own[0]["found"]}
        crossed = max(mean["cross-validated, by self_confidence"], mean["cross-validated, by normalized_margin"])
        seconds = np.mean([record["seconds"] for record in own], axis=0)
        rows.append(
            [
                name,
                f"{100 * mean['dynamics']:.1f}",
                f"{100 * mean['by aum']:.1f}",
                f"{100 * crossed:.1f}",
                f"{100 * (mean['dynamics'] - crossed):+.1f}",
                f"{seconds[0]:.1f}",
                f"{seconds[1]:.1f}",
            ]
        )
    table = {
        "title": "One training watched, beside the same network cross-validated",
        "columns": [
            "",
            "dynamics",
            "by the plain area under the margin",
            "cross-validated",
            "dynamics better by",
            "seconds of CPU",
            "cross-validated",
        ],
        "rows": rows,
        "note": f"Average precision in percent, mean of {args.seeds} seeds; cross-validated: the better of two scores.",
    }
    if not args.dry:
        write_result("dynamics", {"tables": [table], "records": records})


if __name__ == "__main__":
    main()
