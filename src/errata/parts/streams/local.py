"""The model of one cluster of labels: our own tree, or a clone of any multi-label classifier of River's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from errata.parts.streams.events import Event
from errata.parts.streams.tree import LeafVotes, Settings, Tree

__all__ = ["Local", "RiverLocal", "TreeLocal"]

Replayed = Sequence[tuple[Event, Mapping[Any, Any], tuple[int, ...]]]
"""Events as arrays and as they came (where a model needs that), and their labels."""


class Local(ABC):
    """A model that serves the labels with these numbers."""

    def __init__(self, labels: Sequence[int]) -> None:
        self.labels = list(labels)

    @abstractmethod
    def votes(self, event: Event, x: Mapping[Any, Any]) -> LeafVotes:
        """Labels and the probability of each; all others of the cluster have none."""

    def chosen(self, event: Event, x: Mapping[Any, Any]) -> list[int]:
        """The labels that it predicts: those that are there rather than not."""
        labels, p = self.votes(event, x)
        return [label for label, value in zip(labels, p.tolist(), strict=True) if value > 0.5]

    @abstractmethod
    def learn(self, event: Event, seen: Event, x: Mapping[Any, Any], present: tuple[int, ...]) -> None:
        """Learn an event with those of its labels that are there; ``seen`` is the event as it was predicted."""

    @abstractmethod
    def replay(self, past: Replayed) -> None:
        """Begin with events of the past."""

    def relabel(self, labels: Sequence[int]) -> None:
        """Labels have been added."""
        self.labels = list(labels)

    def limit(self, max_size: float) -> None:  # noqa: B027 - not every model can
        """Keep below so many MiB, where the model can."""


class TreeLocal(Local):
    """A multi-label Hoeffding tree."""

    def __init__(self, labels: Sequence[int], settings: Settings, rng: np.random.Generator) -> None:
        super().__init__(labels)
        self.tree = Tree(len(self.labels), settings, rng)

    def votes(self, event: Event, x: Mapping[Any, Any]) -> LeafVotes:
        return self.tree.votes(event)

    def learn(self, event: Event, seen: Event, x: Mapping[Any, Any], present: tuple[int, ...]) -> None:
        self.tree.learn(event, present, seen)

    def replay(self, past: Replayed) -> None:
        own = set(self.labels)
        for event, _, present in past:
            self.tree.learn(event, tuple(label for label in present if label in own))

    def relabel(self, labels: Sequence[int]) -> None:
        super().relabel(labels)
        self.tree.num_labels = len(self.labels)

    def limit(self, max_size: float) -> None:
        self.tree.max_size = max_size


class RiverLocal(Local):
    """A multi-label classifier of River's, which learns the cluster's labels only.

    Parameters
    ----------
    names : the names of all labels, by number
    model : what learns
    """

    def __init__(self, labels: Sequence[int], names: Sequence[Any], model: Any) -> None:
        super().__init__(labels)
        self.names = {label: names[label] for label in self.labels}
        self.model = model

    def votes(self, event: Event, x: Mapping[Any, Any]) -> LeafVotes:
        try:
            proba = self.model.predict_proba_one(dict(x))
            found = [proba.get(name, {}).get(True, 0.0) for name in self.names.values()]
        except NotImplementedError:
            said = self.model.predict_one(dict(x))
            found = [float(bool(said.get(name, False))) for name in self.names.values()]
        return self.labels, np.asarray(found, dtype=np.float64)

    def learn(self, event: Event, seen: Event, x: Mapping[Any, Any], present: tuple[int, ...]) -> None:
        there = set(present)
        self.model.learn_one(dict(x), {name: label in there for label, name in self.names.items()})

    def chosen(self, event: Event, x: Mapping[Any, Any]) -> list[int]:
        said = self.model.predict_one(dict(x))
        return [label for label, name in self.names.items() if said.get(name, False)]

    def replay(self, past: Replayed) -> None:
        own = set(self.labels)
        for event, x, present in past:
            self.learn(event, event, x, tuple(label for label in present if label in own))

    def rename(self, names: Sequence[Any]) -> None:
        """All labels' names, by number, after labels have been added."""
        self.names = {label: names[label] for label in self.labels}
