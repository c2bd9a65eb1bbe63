"""Claims of systems that aren't classification: a function measures one arm with one seed, this file does the rest.

    trials = Trials("erase", says="...", measure=measure, arms=["gat", "erase"], scores={"accuracy": "test accuracy"})
    main((trials, [Verdict("erase", "gat", "accuracy", margin=12.0)]))

Measurements are kept in ``benchmarks/results/claims-<name>.json``, every seed of every arm, written one by one, so an
interrupted run goes on where it was. Seeds begin at 100; those below are for trials while a setting is chosen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _record import COMMIT, RESULTS, write_result

FIRST_SEED = 100


@dataclass
class Trials:
    """All measurements of one setting.

    Parameters
    ----------
    name : of the result file: ``claims-<name>.json``; begin it with the system's slug
    says : the setting in words: data, noise, network, how long
    measure : (arm, seed, device) -> the scores and whatever else is worth keeping, in JSON's types
    arms : what is compared; the baseline of the paper among them
    scores : the scores to show, with the words for their column; shares in [0, 1] unless ``percent`` is False
    settings : every choice that was made, for the record
    percent : show scores as percentages
    first_seed : a later one, where the first were seen before the last change
    """

    name: str
    says: str
    measure: Callable[[str, int, str], Mapping[str, Any]]
    arms: Sequence[str]
    scores: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    percent: bool = True
    note: str = ""
    first_seed: int = FIRST_SEED

    def __post_init__(self) -> None:
        self.path = Path(RESULTS) / f"claims-{self.name}.json"
        kept = json.loads(self.path.read_text())["result"] if self.path.exists() else {"cells": []}
        self.cells: list[dict[str, Any]] = kept["cells"]

    def fill(
        self, seeds: int, device: str = "auto", again: bool = False, only_arms: Sequence[str] | None = None
    ) -> None:
        """Measure what is not kept yet; seeds in the outer loop, so that every arm has been seen early."""
        if again:
            self.cells = [c for c in self.cells if only_arms is not None and c["arm"] not in only_arms]
        for seed in range(self.first_seed, self.first_seed + seeds):
            for arm in self.arms:
                if only_arms is not None and arm not in only_arms:
                    continue
                if any(c["arm"] == arm and c["seed"] == seed for c in self.cells):
                    continue
                started = time.perf_counter()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = dict(self.measure(arm, seed, device))
                seconds = round(time.perf_counter() - started, 1)
                self.cells.append({"arm": arm, "seed": seed, **found, "seconds": seconds, **COMMIT})
                self._write(seeds)
                shown = ", ".join(f"{name} {found[name]:.4g}" for name in self.scores if found.get(name) is not None)
                print(f"  {self.name} {arm} seed {seed}: {shown} ({seconds:.0f} s)", flush=True)

    def values(self, arm: str, score: str) -> np.ndarray:
        """One score of an arm, by rising seed."""
        own = sorted((c for c in self.cells if c["arm"] == arm), key=lambda c: c["seed"])
        return np.array([c[score] for c in own if c.get(score) is not None], dtype=np.float64)

    def summary(self) -> dict[str, dict[str, Any]]:
        """Mean, standard deviation and number of seeds of each score of each arm."""
        found: dict[str, dict[str, Any]] = {}
        for arm in dict.fromkeys(c["arm"] for c in self.cells):
            for score in self.scores:
                values = self.values(arm, score)
                if len(values):
                    spread = float(values.std(ddof=1)) if len(values) > 1 else None
                    found.setdefault(arm, {})[score] = {
                        "mean": float(values.mean()),
                        "sd": spread,
                        "seeds": len(values),
                    }
        return found

    def _write(self, seeds: int) -> None:
        summary = self.summary()
        rows = [[arm, *(self._shown(scores.get(score)) for score in self.scores)] for arm, scores in summary.items()]
        note = f"{'In percent, mean' if self.percent else 'Mean'} ± standard deviation over {seeds} seeds. {self.note}"
        table = {"title": self.says, "columns": ["", *self.scores.values()], "rows": rows, "note": note.strip()}
        script = Path(sys.argv[0]).name
        content = {"setting": self.name, "says": self.says, "settings": dict(self.settings), "tables": [table]}
        write_result(
            self.path.stem,
            {**content, "summary": summary, "cells": self.cells},
            command=f"python benchmarks/claims/{script}",
        )

    def _shown(self, about: Mapping[str, Any] | None) -> str | None:
        if about is None:
            return None
        unit, digits = (100, 1) if self.percent else (1, 4)
        spread = "" if about["sd"] is None else f" ± {unit * about['sd']:.{digits}f}"
        return f"{unit * about['mean']:.{digits}f}{spread}"


@dataclass(frozen=True)
class Verdict:
    """What must hold: an arm's mean score above another's by a margin, in points (percent) or the score's own unit."""

    arm: str
    against: str
    score: str
    margin: float = 0.0

    def holds(self, trials: Trials) -> bool:
        """Say whether it does."""
        unit = 100 if trials.percent else 1
        own, base = (unit * trials.values(arm, self.score) for arm in (self.arm, self.against))
        n = min(len(own), len(base))
        gain = own[:n] - base[:n]
        good = bool(gain.mean() >= self.margin)
        print(
            f"{trials.name}: {self.score}: {self.arm} {own.mean():.2f}, {self.against} {base.mean():.2f}; "
            f"gain {gain.mean():+.2f} over {n} seeds ({int((gain > 0).sum())} for it); asked {self.margin:+.2f}: "
            f"{'holds' if good else 'DOES NOT HOLD'}"
        )
        return good


def main(*claims: tuple[Trials, Sequence[Verdict]], seeds: int = 3) -> None:
    """Measure the claims of one file from the command line; exit 1 where one does not hold."""
    parser = argparse.ArgumentParser(description="\n".join(trials.says for trials, _ in claims))
    parser.add_argument("--seeds", type=int, default=seeds, help="how many seeds, 3 or more")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--again", action="store_true", help="measure everything anew")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="only these for now; verdicts on others wait")
    parser.add_argument("--only", metavar="NAME", help="one setting, by the name of its result file")
    options = parser.parse_args()
    if options.seeds < 3:
        parser.error("a claim needs 3 seeds or more")
    results = []
    for trials, verdicts in claims:
        if options.only not in (None, trials.name):
            continue
        print(f"{trials.name}: {trials.says}")
        trials.fill(options.seeds, options.device, options.again, options.arms)
        measured = {cell["arm"] for cell in trials.cells}
        results += [verdict.holds(trials) for verdict in verdicts if {verdict.arm, verdict.against} <= measured]
    sys.exit(0 if all(results) else 1)
