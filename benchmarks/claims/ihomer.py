"""iHOMER's clusters against both extremes (each label by itself, all labels together) and against random clusters.

Prequential over the whole stream: each event is predicted before it is learned, none is left out. On a stream with
planted groups, with the learner of its dossier (a Hoeffding tree on label sets per cluster); and, without a promise,
on MULAN sets with iHOMER's own trees.

    python benchmarks/claims/ihomer.py
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _trials import Trials, Verdict, main

from _streams import mulan, planted, powerset_tree, random_clusters
from errata.parts.streams.prequential import Prequential
from errata.systems.streams.ihomer import IHomer

DATA = Path(os.environ.get("ERRATA_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
ARMS = ["clustered", "each", "one", "random"]
EVENTS = 3000
SETS = {"emotions": (6, 593), "yeast": (14, 1200), "enron": (53, 500), "bibtex": (159, 300)}
"""MULAN's sets: labels, and the events taken."""
SCORES = {"subset_accuracy": "label sets right", "micro_f1": "micro-F1", "hamming_loss": "Hamming loss"}


def through(events: list[Any], model: IHomer) -> dict[str, Any]:
    """Prequential figures of a whole stream."""
    seen, begun = Prequential(), time.perf_counter()
    for x, y in events:
        seen.update(y, model.predict_one(x))
        model.learn_one(x, y)
    speed = len(events) / (time.perf_counter() - begun)
    return {**seen.figures(), "clusters": model.clusters, "events_per_second": speed}


def partition(arm: str, labels: list[str], size: int, seed: int) -> Any:
    """The partition of an arm; random clusters are as large as ``size``."""
    if arm != "random":
        return "learned" if arm == "clustered" else arm
    return tuple(tuple(labels[i] for i in cluster) for cluster in random_clusters(len(labels), size, seed))


def on_planted(arm: str, seed: int, device: str) -> dict[str, Any]:
    """One arm on planted groups, River's Hoeffding tree on label sets in each cluster."""
    events = list(planted(EVENTS, seed))
    chosen = partition(arm, sorted(events[0][1]), 3, seed)
    return through(events, IHomer(partition=chosen, repair=False, model=powerset_tree(), seed=seed))


def on_mulan(name: str, arm: str, seed: int, device: str) -> dict[str, Any]:
    """One arm on a MULAN set, with iHOMER's own trees and all its defaults; random clusters of three labels."""
    labels, events = SETS[name]
    flow = mulan(DATA, name, labels, events, seed)
    return through(flow, IHomer(partition=partition(arm, list(flow[0][1]), 3, seed), seed=seed))


PLANTED = Trials(
    "ihomer",
    says=f"{EVENTS:,} events, nine labels in three planted groups, 5 % of the labels turned around; a Hoeffding tree "
    "on label sets per cluster",
    measure=on_planted,
    arms=ARMS,
    scores=SCORES,
    settings={"events": EVENTS, "n_min": 100, "confidence_level": 0.9, "repair": False, "grace_period": 50, "depth": 6},
)

if __name__ == "__main__":
    real = [
        Trials(
            f"ihomer-{name}",
            says=f"MULAN {name}, {events} events in random order, {labels} labels; iHOMER's own trees, its defaults",
            measure=partial(on_mulan, name),
            arms=ARMS,
            scores=SCORES,
            settings={"events": events, "labels": labels},
        )
        for name, (labels, events) in SETS.items()
    ]
    main(
        (
            PLANTED,
            [
                Verdict("clustered", "random", "subset_accuracy", margin=8.0),
                Verdict("clustered", "each", "subset_accuracy"),
                Verdict("clustered", "one", "subset_accuracy"),
            ],
        ),
        *((trials, []) for trials in real),
    )
