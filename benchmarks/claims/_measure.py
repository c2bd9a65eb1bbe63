"""One measurement: a system trained with one seed in one setting; and the file that keeps all of a setting's.

What is kept: the test accuracy of the last epoch, the test accuracy of the epoch chosen by accuracy on held-out *noisy*
labels, and the average precision of the ledger's trust in finding the wrong labels. The best test epoch is neither
computed nor kept.
"""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

import errata
from _record import COMMIT, RESULTS, write_result
from claims._settings import Setting, Task

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "gce": ("robust-loss", {"loss": "gce"}),
    "ogc-epsilon-0": ("ogc", {"epsilon": 0.0}),
}
"""Names that are a system with hyper-parameters of its own."""

CROSS_VALIDATED = "confident"
SCORES = {
    "last": "test accuracy, last epoch",
    "chosen": "test accuracy, epoch chosen on noisy labels",
    "average_precision": "average precision of the ledger's trust",
}
VALIDATION = 0.1
FIRST_SEED = 100
"""Seeds below were used in trials while the settings were chosen, and are not recorded."""


def trained(
    task: Task, variant: tuple[str, dict[str, Any]], seed: int, changes: dict[str, Any], device: str
) -> errata.Run:
    """Train a system with hyper-parameters of its own as all are trained here."""
    slug, own = variant
    return errata.train(
        task.x,
        task.given,
        system=slug,
        model=task.model,
        validation=VALIDATION,
        seed=seed,
        device=device,
        progress=False,
        **{**task.recipe, **changes, **own},
    )


def measure(task: Task, system: str, seed: int, changes: dict[str, Any], device: str) -> dict[str, Any]:
    """Train ``system`` and return its scores, all shares in [0, 1]."""
    started = time.perf_counter()
    wrong = task.given != task.true
    if system == CROSS_VALIDATED:
        ledger = errata.audit(task.x, task.given, folds=5, seed=seed, device=device, progress=False)
        scores: dict[str, Any] = {}
    else:
        run = trained(task, VARIANTS.get(system, (system, {})), seed, changes, device)
        ledger = run.ledger
        scores = {
            "last": _accuracy(run.predict_proba(task.x_test), task.y_test),
            "chosen": _accuracy(run.select("best").predict_proba(task.x_test), task.y_test),
            "chosen_epoch": run.metrics["best_epoch"],
        }
    trust = np.nan_to_num(ledger.trust, nan=0.5)
    scores["average_precision"] = float(average_precision_score(wrong, 1 - trust))
    scores["flagged_precision"] = float(wrong[ledger.issue].mean()) if ledger.issue.any() else 0.0
    scores["flagged_recall"] = float(ledger.issue[wrong].mean())
    return {
        "system": system,
        "seed": seed,
        **scores,
        "wrong_labels": float(wrong.mean()),
        "seconds": round(time.perf_counter() - started, 1),
        "hyper_parameters": {**task.recipe, **changes},
        **COMMIT,
        "model": task.model if system != CROSS_VALIDATED else "auto",
    }


def _accuracy(probabilities: np.ndarray, y: np.ndarray) -> float:
    return float((probabilities.argmax(1) == y).mean())


class Cells:
    """All measurements of one setting, kept in ``benchmarks/results/claims-<setting>.json``."""

    def __init__(self, setting: Setting, device: str = "auto") -> None:
        self.setting = setting
        self.device = device
        self.path = Path(RESULTS) / f"claims-{setting.name}.json"
        kept = json.loads(self.path.read_text())["result"] if self.path.exists() else {"cells": []}
        self.cells: list[dict[str, Any]] = kept["cells"]

    def fill(self, system: str, seeds: int, *, again: bool = False) -> None:
        """Measure the seeds of ``system`` that are not kept yet; each is written as soon as it is known."""
        if again:
            self.cells = [c for c in self.cells if c["system"] != system]
        known = {c["seed"] for c in self.cells if c["system"] == system}
        slug = VARIANTS.get(system, (system, {}))[0]
        for seed in [s for s in range(FIRST_SEED, FIRST_SEED + seeds) if s not in known]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                cell = measure(self.setting.load(seed), system, seed, self.setting.systems.get(slug, {}), self.device)
            self.cells.append(cell)
            self._write()
            shown = ", ".join(f"{k} {cell[k]:.3f}" for k in ("last", "chosen", "average_precision") if k in cell)
            print(f"  {self.setting.name} {system} seed {seed}: {shown} ({cell['seconds']:.0f} s)", flush=True)

    def scores(self, system: str, score: str) -> list[float]:
        """One score of a system, by rising seed."""
        own = sorted((c for c in self.cells if c["system"] == system), key=lambda c: c["seed"])
        return [c[score] for c in own]

    def summary(self) -> dict[str, dict[str, Any]]:
        """Mean, standard deviation and number of seeds of each score of each system."""
        found: dict[str, dict[str, Any]] = {}
        for system in dict.fromkeys(c["system"] for c in self.cells):
            for score in SCORES:
                values = [v for v in (c.get(score) for c in self.cells if c["system"] == system) if v is not None]
                if values:
                    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
                    about = {"mean": float(np.mean(values)), "sd": spread, "seeds": len(values)}
                    found.setdefault(system, {})[score] = about
        return found

    def _write(self) -> None:
        summary = self.summary()
        seeds = sorted({about["seeds"] for scores in summary.values() for about in scores.values()})
        table = {
            "title": self.setting.says,
            "columns": ["system", *SCORES.values()],
            "rows": [[system, *(_shown(scores.get(score)) for score in SCORES)] for system, scores in summary.items()],
            "note": f"In percent, mean ± standard deviation over {' or '.join(map(str, seeds))} seeds.",
        }
        content = {"setting": self.setting.name, "says": self.setting.says, "tables": [table], "summary": summary}
        command = f"python benchmarks/claims/suite.py {self.setting.name}"
        write_result(self.path.stem, {**content, "cells": self.cells}, command=command)


def _shown(about: dict[str, Any] | None) -> str | None:
    if about is None:
        return None
    spread = "" if about["sd"] is None else f" ± {100 * about['sd']:.1f}"
    return f"{100 * about['mean']:.1f}{spread}"
