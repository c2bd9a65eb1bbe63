"""Prequential evaluation: every event is predicted before it is learned, and all of them count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import compress
from typing import Any

import numpy as np

__all__ = ["Prequential"]


class Prequential:
    """Figures of several labels over a stream, over all of it and over its last events.

    Labels that an event's ``y`` does not name are not known, and don't count for it.

    Parameters
    ----------
    window : events that make up the figures of "lately"

    Examples
    --------
    >>> seen = Prequential()
    >>> seen.update({"a": True, "b": False}, {"a": True, "b": False}), seen.update({"a": True, "b": False}, {})
    (0, 1)
    >>> figures = seen.figures()
    >>> figures["subset_accuracy"], round(figures["micro_f1"], 3), figures["hamming_loss"]
    (0.5, 0.667, 0.25)
    """

    def __init__(self, window: int = 500) -> None:
        self.window = window
        self.events = self.right = 0
        self.counts = np.zeros((3, 0), dtype=np.int64)  # true positives, false positives, false negatives of each label
        self.known = 0
        self.jaccard = 0.0
        self._place: dict[Any, int] = {}
        self._ring = np.zeros((window, 4), dtype=np.int64)  # right, true positives, false positives, false negatives

    def update(self, y: Mapping[Any, bool], said: Mapping[Any, bool]) -> int:
        """Count one event; returns how many of its labels were predicted wrongly. An event without labels counts
        not."""
        if not y:
            return 0
        if not y.keys() <= self._place.keys():
            for name in y:
                if name not in self._place:
                    self._room(name)
        predicted = set(compress(said.keys(), said.values()))
        there = set(compress(y.keys(), y.values()))
        hits, missed = there & predicted, there - predicted
        extra = [name for name in predicted - there if name in y]
        for row, names in enumerate((hits, extra, missed)):
            for name in names:
                self.counts[row, self._place[name]] += 1
        wrong = len(extra) + len(missed)
        self._ring[self.events % self.window] = (wrong == 0, len(hits), len(extra), len(missed))
        self.events += 1
        self.right += wrong == 0
        self.known += len(y)
        self.jaccard += len(hits) / (len(hits) + wrong) if hits or wrong else 1.0
        return wrong

    def _room(self, name: Any) -> None:
        place = self._place[name] = len(self._place)
        if place >= self.counts.shape[1]:
            self.counts = np.pad(self.counts, ((0, 0), (0, max(8, place))))

    def state(self) -> dict[str, Any]:
        """Everything it holds, in JSON's types; see ``restored``."""
        counts = self.counts[:, : len(self._place)].tolist()
        ring = self._ring[: min(self.events, self.window)].tolist()
        told = {"window": self.window, "events": self.events, "right": self.right, "known": self.known}
        return {**told, "jaccard": self.jaccard, "labels": list(self._place), "counts": counts, "ring": ring}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Prequential:
        """What ``state`` was taken from."""
        made = cls(state["window"])
        made.events, made.right, made.known = state["events"], state["right"], state["known"]
        made.jaccard = state["jaccard"]
        made._place = {name: i for i, name in enumerate(state["labels"])}
        made.counts = np.asarray(state["counts"], dtype=np.int64).reshape(3, -1)
        made._ring[: len(state["ring"])] = np.asarray(state["ring"], dtype=np.int64).reshape(-1, 4)
        return made

    def figures(self) -> dict[str, float]:
        """Over the whole stream so far: subset accuracy, micro- and macro-F1, Hamming loss, mean Jaccard of the
        sets."""
        hits, extra, missed = self.counts[:, : len(self._place)]
        return {
            "subset_accuracy": self.right / max(1, self.events),
            "micro_f1": _f1(int(hits.sum()), int(extra.sum()), int(missed.sum())),
            "macro_f1": float(np.mean(_f1_each(hits, extra, missed))) if len(hits) else 0.0,
            "hamming_loss": float((extra.sum() + missed.sum()) / max(1, self.known)),
            "jaccard": self.jaccard / max(1, self.events),
        }

    def lately(self) -> dict[str, float]:
        """Subset accuracy and micro-F1 over the last events."""
        ring = self._ring[: min(self.events, self.window)]
        right, hits, extra, missed = ring.sum(axis=0).tolist()
        return {"subset_accuracy": right / max(1, len(ring)), "micro_f1": _f1(hits, extra, missed)}

    def per_label(self) -> Iterable[tuple[Any, int, float]]:
        """Each label, how often it was there, and its F1."""
        hits, extra, missed = self.counts[:, : len(self._place)]
        return zip(self._place, (hits + missed).tolist(), _f1_each(hits, extra, missed).tolist(), strict=True)


def _f1(hits: int, extra: int, missed: int) -> float:
    return 2 * hits / (2 * hits + extra + missed) if hits or extra or missed else 0.0


def _f1_each(hits: np.ndarray, extra: np.ndarray, missed: np.ndarray) -> np.ndarray:
    whole = 2 * hits + extra + missed
    return np.divide(2 * hits, whole, out=np.zeros(len(hits)), where=whole > 0)
