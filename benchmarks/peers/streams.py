"""iHOMER beside River's own models for several labels: accuracy and events per second, in one run on the same events.

Each model goes through the same stream, event by event; times are of the processor, so that other work on the machine
does not count. River's binary relevance is a Hoeffding tree per label, its probabilistic chain only where 2^L is small;
iSOUP trees are regressors, whose output above one half is a label. The label-combination tree is a Hoeffding tree on
label sets.

    python benchmarks/peers/streams.py
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from river import linear_model, multioutput, preprocessing, tree

from _record import versions, write_result
from _streams import Powerset, mulan, planted
from errata.parts.streams.prequential import Prequential
from errata.systems.streams.ihomer import IHomer

DATA = Path(os.environ.get("ERRATA_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


class Relevance:
    """A Hoeffding tree per label, each by itself."""

    def __init__(self) -> None:
        self.models: dict[Any, Any] = {}

    def learn_one(self, x: Any, y: Any) -> None:
        for label, there in y.items():
            self.models.setdefault(label, tree.HoeffdingTreeClassifier()).learn_one(x, there)

    def predict_one(self, x: Any) -> dict[Any, bool]:
        return {label: bool(model.predict_one(x)) for label, model in self.models.items()}


class Soup:
    """iSOUP: a regression tree for all labels at once; above one half a label is there."""

    def __init__(self) -> None:
        self.model = tree.ISOUPTreeRegressor(grace_period=200)

    def learn_one(self, x: Any, y: Any) -> None:
        self.model.learn_one(x, {label: float(there) for label, there in y.items()})

    def predict_one(self, x: Any) -> dict[Any, bool]:
        return {label: value > 0.5 for label, value in (self.model.predict_one(x) or {}).items()}


def chain(kind: Any) -> Any:
    return preprocessing.StandardScaler() | kind(linear_model.LogisticRegression())


MODELS: dict[str, Callable[[], Any]] = {
    "iHOMER": IHomer,
    "binary relevance, Hoeffding trees": Relevance,
    "ClassifierChain, logistic": lambda: chain(multioutput.ClassifierChain),
    "ProbabilisticClassifierChain, logistic": lambda: chain(multioutput.ProbabilisticClassifierChain),
    "iSOUPTree": Soup,
    "label-combination Hoeffding tree": lambda: Powerset(tree.HoeffdingTreeClassifier()),
}


def streams(seed: int) -> Iterable[tuple[str, list[Any]]]:
    yield "planted groups", list(planted(1500, seed))
    yield "emotions", mulan(DATA, "emotions", 6, 593, seed)
    yield "yeast", mulan(DATA, "yeast", 14, 500, seed)


def through(events: list[Any], model: Any) -> dict[str, float]:
    seen = Prequential()
    spent = 0.0
    for x, y in events:
        begun = time.process_time()
        said = model.predict_one(x)
        spent += time.process_time() - begun
        seen.update(y, said or {})
        begun = time.process_time()
        model.learn_one(x, y)
        spent += time.process_time() - begun
    return {**seen.figures(), "events_per_second": len(events) / spent}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    cells: list[dict[str, Any]] = []
    for seed in range(100, 100 + options.seeds):
        for name, events in streams(seed):
            for model, make in MODELS.items():
                if model.startswith("Probabilistic") and len(events[0][1]) > 9:
                    continue  # it goes through all 2^L label sets
                found = through(events, make())
                cells.append({"stream": name, "model": model, "seed": seed, "events": len(events), **found})
                print(f"{name}, {model}, {seed}: " + ", ".join(f"{k} {v:.3f}" for k, v in found.items()), flush=True)
    rows = []
    for name, model in dict.fromkeys((c["stream"], c["model"]) for c in cells):
        own = [c for c in cells if (c["stream"], c["model"]) == (name, model)]
        mean = {k: sum(c[k] for c in own) / len(own) for k in ("subset_accuracy", "micro_f1", "events_per_second")}
        shares = [f"{100 * mean[k]:.1f}" for k in ("subset_accuracy", "micro_f1")]
        rows.append([name, model, *shares, f"{mean['events_per_second']:.0f}"])
    table = {
        "title": "iHOMER beside River's models for several labels, prequential",
        "columns": ["stream", "model", "label sets right", "micro-F1", "events per second"],
        "rows": rows,
        "note": f"In percent, means over {options.seeds} seeds; every event counts, predicted before it is learned.",
    }
    print(write_result("streams_peers", {"tables": [table], "cells": cells, "river": versions(("river",))}))


if __name__ == "__main__":
    main()
