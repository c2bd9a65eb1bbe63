"""What the measurements on streams share: the streams themselves, and River's models made ready for several labels."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from river import base, tree

Event = tuple[dict[str, Any], dict[str, bool]]

GROUPS = ((0, 1, 2), (3, 4, 5), (6, 7, 8))


def planted(events: int, seed: int, *, flips: float = 0.05, features: int = 8) -> Iterator[Event]:
    """Nine labels in three groups of three; each group's pattern is a function of three of the uniform features.

    The first of the three says, above one half, whether the group is there; the other two, which two of its labels
    are there, or all three. Labels' names are shuffled, so that their order tells nothing. Every label is then turned
    around with the chance ``flips``.
    """
    rng = np.random.default_rng(seed)
    names = [f"label {i}" for i in rng.permutation(9)]
    first, others = np.split(rng.permutation(features), [len(GROUPS)])  # so that groups come independently
    chosen = [np.append(own, rng.choice(others, size=2, replace=False)) for own in first]
    patterns = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=bool)
    for _ in range(events):
        x = rng.random(features)
        y = np.zeros(9, dtype=bool)
        for group, three in zip(GROUPS, chosen, strict=True):
            there, *which = x[three] > 0.5
            y[list(group)] = there & patterns[int(which @ np.array([1, 2]))]
        y ^= rng.random(9) < flips
        yield {f"x{i}": float(v) for i, v in enumerate(x)}, dict(zip(names, y.tolist(), strict=True))


class Powerset(base.MultiLabelClassifier):
    """Every set of labels a class, for any multi-class classifier of River's; predicts the most probable set.

    Unlike River's own ``MultiClassEncoder`` it says the set whose class wins also where that has less than one half.
    """

    def __init__(self, model: base.Classifier) -> None:
        self.model = model
        self._labels: list[Hashable] = []
        self._codes: dict[tuple[Hashable, ...], int] = {}
        self._sets: list[frozenset[Hashable]] = []

    def learn_one(self, x: Mapping[Any, Any], y: Mapping[Any, Any]) -> None:
        for label in y:
            if label not in self._labels:
                self._labels.append(label)
        there = tuple(label for label in self._labels if y.get(label))
        code = self._codes.setdefault(there, len(self._codes))
        if code == len(self._sets):
            self._sets.append(frozenset(there))
        self.model.learn_one(dict(x), code)

    def predict_proba_one(self, x: Mapping[Any, Any], **kwargs: Any) -> dict[Any, dict[bool, float]]:
        found = dict.fromkeys(self._labels, 0.0)
        shares = self.model.predict_proba_one(dict(x))
        whole = sum(shares.values())
        for code, share in shares.items():
            for label in self._sets[code]:
                found[label] += share / whole
        return {label: {False: 1.0 - min(p, 1.0), True: min(p, 1.0)} for label, p in found.items()}

    def predict_one(self, x: Mapping[Any, Any], **kwargs: Any) -> dict[Any, bool]:
        shares = self.model.predict_proba_one(dict(x))
        there = self._sets[max(shares, key=shares.__getitem__)] if shares else frozenset()
        return {label: label in there for label in self._labels}

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"model": tree.HoeffdingTreeClassifier()}


def powerset_tree() -> Powerset:
    """The learner of the experiment: a Hoeffding tree on label sets, grace period 50, depth 6."""
    return Powerset(tree.HoeffdingTreeClassifier(grace_period=50, max_depth=6))


def random_clusters(labels: int, size: int, seed: int) -> list[list[int]]:
    """Numbers of labels in random clusters of this size."""
    order = np.random.default_rng([seed, 1]).permutation(labels).tolist()
    return [order[i : i + size] for i in range(0, labels, size)]


def mulan(folder: Any, name: str, labels: int, events: int, seed: int) -> list[Event]:
    """The first events of a MULAN set, train and test together, in random order: they come without an order in time."""
    from errata.data.streams import open_events

    found: list[Event] = []
    for part in ("train", "test"):
        found += list(open_events(folder / "multilabel" / f"{name}-{part}.arff.gz", labels))
    return [found[i] for i in np.random.default_rng(seed).permutation(len(found))[:events]]
