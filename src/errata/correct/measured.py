"""Figures of two runs side by side, and whether they can be compared at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.correct.sides import Side
from errata.errors import LoadError

__all__ = ["Paired", "figures_of", "held_out_note", "tested"]

OWN = ("validation_accuracy", "train_accuracy", "train_loss", "epochs", "seconds")
EVALUATED = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece", "rows")
Z = 1.959964  # of the normal distribution, for 95 %


@dataclass(frozen=True)
class Paired:
    """Both runs on the same test rows.

    Parameters
    ----------
    a, b : their figures, as of ``Run.evaluate``
    rows : how many labelled rows there are
    gained, lost : rows that only b has right, that only a has right
    """

    a: dict[str, float]
    b: dict[str, float]
    rows: int
    gained: int
    lost: int

    @property
    def difference(self) -> float:
        """The accuracy of b minus that of a."""
        return (self.gained - self.lost) / self.rows

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference over test rows drawn anew, from the paired outcomes.

        It says nothing of how another seed of the training would change it.
        """
        spread = (self.gained + self.lost) / self.rows - self.difference**2
        half = Z * math.sqrt(max(0.0, spread) / self.rows)
        return self.difference - half, self.difference + half

    def sentence(self) -> str:
        """For people."""
        low, high = self.interval
        return (
            f"On {self.rows:,} test rows b is right in {self.gained:,} where a is wrong, a in {self.lost:,} where b "
            f"is wrong: {self.difference:+.4f} accuracy (95 % interval {low:+.4f} to {high:+.4f})."
        )

    def as_dict(self) -> dict[str, Any]:
        """In plain types, for JSON."""
        kept = {"rows": self.rows, "gained": self.gained, "lost": self.lost}
        return {"a": self.a, "b": self.b, **kept, "difference": self.difference, "interval": list(self.interval)}


def tested(a: Side, b: Side, test: Any, label: str | None, device: str) -> Paired:
    """Let both runs predict the same labelled data.

    Raises
    ------
    LoadError
        where one is not a run
    """
    from errata.data import read

    runs = [_run(one, device) for one in (a, b)]
    about = runs[0].about
    data = read(test, label or (about.get("label") if not hasattr(test, "rows") else None), **_reading(about, test))
    truth = data.require_labels(min_classes=1)
    known = truth.codes >= 0
    names = truth.names()[known].astype(str)
    figures, right = [], []
    for run in runs:
        mine = data if hasattr(test, "rows") else test
        figures.append(dict(run.evaluate(mine, label)))
        right.append(np.asarray(run.predict(mine)).astype(str)[known] == names)
    gained, lost = int((~right[0] & right[1]).sum()), int((right[0] & ~right[1]).sum())
    return Paired(figures[0], figures[1], int(known.sum()), gained, lost)


def _reading(about: Mapping[str, Any], test: Any) -> dict[str, Any]:
    return {} if hasattr(test, "rows") else dict(about.get("reading", {}))


def _run(one: Side, device: str) -> Any:
    if one.run is not None:
        return one.run
    if one.folder is None or not (one.folder / "run.json").is_file():
        raise LoadError(
            f"{one.name} is no run, so it can't predict the test data. `errata train SOURCE --out DIR` makes one."
        )
    from errata.engine.run import Run

    return Run.load(one.folder, device=device)


def figures_of(a: Side, b: Side, found: Paired | None) -> tuple[list[tuple[str, Any, Any]], list[str]]:
    """Rows of (figure, in a, in b), and what to mind."""
    pairs = [_of_ledger(one) | {name: one.metrics.get(name) for name in OWN} for one in (a, b)]
    notes = []
    if found is not None:
        for pair, values in zip(pairs, (found.a, found.b)):
            pair.update({f"test_{name}": values.get(name) for name in EVALUATED})
    else:
        sets = [one.metrics.get("evaluation") or {} for one in (a, b)]
        for pair, values in zip(pairs, sets):
            pair.update({f"evaluation_{name}": values.get(name) for name in EVALUATED})
        if all(sets) and sets[0].get("rows") != sets[1].get("rows"):
            notes.append("The evaluations are of different numbers of rows, so they can't be compared.")
        if a.metrics and b.metrics and not all(sets):
            notes.append("What it gave is best seen on labels that are right: name such data with --test (test=).")
    names = [name for name in pairs[0] if pairs[0][name] is not None or pairs[1][name] is not None]
    return [(name, pairs[0][name], pairs[1][name]) for name in names], notes


def _of_ledger(one: Side) -> dict[str, Any]:
    ledger = one.ledger
    known = ledger.trust[~np.isnan(ledger.trust)]
    return {
        "rows": len(ledger),
        "labelled": int((ledger.given >= 0).sum()),
        "classes": len(ledger.classes),
        "issues": int(ledger.issue.sum()),
        "noise_rate": ledger.noise.rate,
        "mean_trust": float(known.mean()) if len(known) else None,
    }


def held_out_note(
    a: Side, b: Side, left: np.ndarray, right: np.ndarray, columns: Mapping[str, Mapping[str, np.ndarray]]
) -> list[str]:
    """Whether the validation accuracies are of the same rows with the same labels."""
    if any(one.metrics.get("validation_accuracy") is None for one in (a, b)):
        return []
    held = [one.ledger.columns.get("held_out") for one in (a, b)]
    if held[0] is None or held[1] is None:
        return []
    first, second = held[0][left].astype(bool), held[1][right].astype(bool)
    if int(first.sum()) != int(held[0].sum()) or int(second.sum()) != int(held[1].sum()) or (first != second).any():
        return ["The validation accuracies are of different rows, so they can't be compared."]
    changed = int((columns["a"]["given"] != columns["b"]["given"])[first].sum())
    if changed:
        return [f"The validation accuracies are of the same rows, but {changed:,} of their labels differ."]
    return ["The validation accuracies are of the same rows with the same labels."]
