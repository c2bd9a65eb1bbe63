"""Why a robust system does not beat cross-entropy somewhere: are wrong labels memorised, or can they be predicted?

For each system after its last epoch, of the wrong labels trained on: the share that the model repeats (memorised), and
the share for which it predicts the truth. Beside them, of cross-validated predictions by a model that never saw the
row: how often these agree with the given wrong label. Where that is high, the noise follows from the input, and no loss
can tell it from the signal. Seed 100 of the settings; a diagnosis, not a claim.

    python benchmarks/claims/why.py trec-symmetric-0.4 hausa digits-symmetric-0.4
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import errata
from _record import write_result
from claims._measure import FIRST_SEED, VARIANTS, trained
from claims._settings import SETTINGS, Task

SYSTEMS = ("ce", "gce", "ogc", "anl", "elr", "elr-strong")
STRONG = {"elr-strong": ("elr", {"lambda_": 30.0})}


def looked_at(task: Task, system: str, changes: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Train one system and compare its predictions of the wrongly labelled rows with both labels."""
    variant = {**VARIANTS, **STRONG}.get(system, (system, {}))
    run = trained(task, variant, FIRST_SEED, changes.get(variant[0], {}), "cpu")
    held = run.ledger.columns["held_out"].astype(bool)
    predicted = run.predict_proba(task.x).argmax(1)
    wrong = (task.given != task.true) & ~held
    test = run.predict_proba(task.x_test).argmax(1)
    return {
        "memorised": float((predicted == task.given)[wrong].mean()),
        "truth_of_wrong": float((predicted == task.true)[wrong].mean()),
        "test": float((test == task.y_test).mean()),
    }


def predictable(task: Task) -> float:
    """Of the wrong labels, the share that out-of-fold predictions agree with."""
    ledger = errata.audit(task.x, task.given, rule="predicted_neq_given", seed=FIRST_SEED, progress=False)
    wrong = task.given != task.true
    return float((~ledger.issue)[wrong].mean())


def main() -> None:
    """Look at the settings named on the command line."""
    names = sys.argv[1:] or ["trec-symmetric-0.4", "hausa", "digits-symmetric-0.4"]
    rows, found = [], {}
    for name in names:
        task = SETTINGS[name].load(FIRST_SEED)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[name] = {"predictable": predictable(task)}
            for system in SYSTEMS:
                found[name][system] = looked_at(task, system, SETTINGS[name].systems)
        for system in SYSTEMS:
            told = found[name][system]
            shown = [f"{100 * told[k]:.0f}" for k in ("memorised", "truth_of_wrong", "test")]
            rows.append([name, system, *shown, f"{100 * found[name]['predictable']:.0f}"])
            print(*rows[-1], flush=True)
    table = {
        "title": "Of the wrong labels: repeated by the trained model, seen through, and predicted from other rows",
        "columns": ["setting", "system", "memorised", "truth predicted", "test accuracy", "predicted out of fold"],
        "rows": rows,
        "note": "In percent, one seed. elr-strong is ELR with ten times its default weight of the regulariser.",
    }
    write_result("claims-why", {"tables": [table], "found": found})


if __name__ == "__main__":
    main()
