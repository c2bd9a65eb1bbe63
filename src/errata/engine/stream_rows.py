"""What a stream leaves behind for its ledger: a few numbers per event, in compact arrays, and a file to go on from."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from errata.charts import Chart
from errata.errors import LoadError
from errata.items import MOST_SETS, item_ledger, parts_table
from errata.ledger import Ledger
from errata.parts.streams import state

__all__ = ["DOUBT", "LEAST", "Rows"]

DOUBT = 0.2
"""A given label is suspicious where what is given had less than this probability."""

LEAST = 0.01
"""The probability that a given label counts with at least, however sure the model was of the opposite."""

Stored = tuple[dict[str, Any], dict[str, np.ndarray]]
"""A model's state, JSON and arrays."""

NOTHING = "none"
_MODEL = "model "
_PARTS = {"row": "q", "label": "l", "given": "b", "trust": "f"}
_EVENTS = {"given": "l", "proposed": "l", "trust": "f", "wrong": "l", "missed": "l"}


class Rows:
    """The ledger's rows, added one by one.

    Parameters
    ----------
    warmup : events at the beginning of which nothing is said: the model knows nothing yet, and their trust is one half
    """

    def __init__(self, warmup: int = 100) -> None:
        self.warmup = warmup
        self.events: dict[str, array[Any]] = {name: array(code) for name, code in _EVENTS.items()}
        self.pairs: dict[str, array[Any]] = {name: array(code) for name, code in _PARTS.items()}
        self.sets: dict[tuple[int, ...], int] = {}
        self.labels: dict[str, int] = {}
        self._codes: dict[Any, int] = {}  # the same, by names that need not be texts

    def __len__(self) -> int:
        return len(self.events["trust"])

    def add(self, y: Mapping[Any, bool], p: Mapping[Any, float], missed: int) -> None:
        """Add an event.

        Parameters
        ----------
        y : the given labels
        p : the probability of each label, as predicted before the event was learned; 0 for those not named
        missed : how many labels were predicted wrongly
        """
        row, early = len(self), len(self) < self.warmup
        given, doubted = [], []
        trust = 1.0
        if not y.keys() <= self._codes.keys():
            self._codes |= {name: self.labels.setdefault(str(name), len(self.labels)) for name in y}
        # the many labels that are neither there nor thought to be are surely right, and say nothing
        for name, there in [pair for pair in y.items() if pair[1] or pair[0] in p]:
            label = self._codes[name]
            chance = p.get(name, 0.0)
            chance = chance if there else 1.0 - chance
            if there:
                given.append(label)
            if chance < DOUBT:
                doubted.append((label, there, chance))
            trust *= max(chance, LEAST)
        if early:
            doubted, trust = [], 0.5
        for label, there, chance in doubted:
            for name, value in zip(_PARTS, (row, label, int(there), max(chance, 0.0)), strict=True):
                self.pairs[name].append(value)
        flipped = set(given) ^ {label for label, _, _ in doubted}
        told = self._set(given) if y else -1
        proposed = self._set(flipped) if y else -1
        for name, value in zip(_EVENTS, (told, proposed, min(trust, 1.0), len(doubted), missed), strict=True):
            self.events[name].append(value)

    def _set(self, labels: Any) -> int:
        return self.sets.setdefault(tuple(sorted(labels)), len(self.sets))

    # -- the ledger ---------------------------------------------------------------------------------------------------

    def ledger(self, meta: Mapping[str, Any], charts: Sequence[Chart] = ()) -> Ledger:
        """A row per event; its classes are the sets of labels (above 100 of them, columns of text), parts the pairs of
        event and label that look wrong."""
        names = list(self.labels)
        words = [", ".join(names[label] for label in labels) or NOTHING for labels in self.sets]
        own = {name: np.asarray(values) for name, values in self.events.items()}
        bare = own["given"] < 0
        trust = np.where(bare, np.nan, own["trust"]).astype(np.float32)
        issue = own["wrong"] > 0
        columns = {"wrong_labels": own["wrong"], "missed": own["missed"]}
        pairs = {name: np.asarray(values) for name, values in self.pairs.items()}
        label = np.asarray(names, dtype=object)[pairs["label"]] if len(names) else pairs["label"]
        parts = parts_table(
            pairs["row"],
            pairs["given"].astype(np.int8),
            (1 - pairs["given"]).astype(np.int8),
            pairs["trust"],
            np.ones(len(label), dtype=bool),
            {"label": label},
        )
        told: dict[str, Any] = {"meta": dict(meta), "parts": parts}
        if len(self.sets) > MOST_SETS:
            texts = np.asarray([*words, ""], dtype=object)
            columns = {"given": texts[own["given"]], "proposed": texts[own["proposed"]], **columns}
            ledger = item_ledger(trust, issue, columns=columns, **told)
        else:
            order = sorted(range(len(words)), key=words.__getitem__)
            place = np.array([*np.argsort(order), -1], dtype=np.int64)
            classes = [words[i] for i in order]
            given, proposed = place[own["given"]], place[own["proposed"]]
            ledger = Ledger(given, proposed, trust, classes=classes, issue=issue, columns=columns, **told)
        ledger.charts = list(charts)
        return ledger

    # -- on disk ------------------------------------------------------------------------------------------------------

    def save(self, file: Path, more: Mapping[str, Any], model: Stored | None = None) -> None:
        """Write everything into one file, whole or not at all.

        Parameters
        ----------
        more : in JSON's types
        model : a model's state, as ``parts.streams.state.pack`` gives it
        """
        told = {"sets": list(self.sets), "labels": list(self.labels), "more": dict(more)}
        arrays = {f"event_{name}": np.asarray(values) for name, values in self.events.items()}
        arrays |= {f"pair_{name}": np.asarray(values) for name, values in self.pairs.items()}
        if model is not None:
            told["model"] = model[0]
            arrays |= {f"{_MODEL}{name}": values for name, values in model[1].items()}
        state.write(file, told, arrays, compress=False)

    @classmethod
    def load(cls, file: Path) -> tuple[Rows, dict[str, Any], Stored | None]:
        """The rows of a file, and what else was in it: ``more`` and ``model`` of ``save``.

        Raises
        ------
        LoadError
            where the file is damaged
        """
        rows = cls()
        told, saved = state.read(file)
        try:
            for name, code in _EVENTS.items():
                rows.events[name] = array(code, saved[f"event_{name}"].tolist())
            for name, code in _PARTS.items():
                rows.pairs[name] = array(code, saved[f"pair_{name}"].tolist())
            rows.sets = {tuple(labels): code for code, labels in enumerate(told["sets"])}
            rows.labels = {name: code for code, name in enumerate(told["labels"])}
            model = {name.removeprefix(_MODEL): own for name, own in saved.items() if name.startswith(_MODEL)}
            return rows, dict(told["more"]), (told["model"], model) if "model" in told else None
        except (ValueError, KeyError, TypeError) as error:
            raise LoadError(f"{file} is damaged: {error}. Begin anew in another folder.") from error
