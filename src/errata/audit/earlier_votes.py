"""What an earlier audit of several people's labels knew: the votes, the consensus, and how sure it was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from errata.errors import LedgerError
from errata.ledger import Ledger

__all__ = ["UPDATED", "Earlier", "read_earlier"]

UPDATED = ("majority", "dawid-skene")
"""The models whose consensus can be brought up to date."""


@dataclass(frozen=True)
class Earlier:
    """An earlier audit's state.

    Parameters
    ----------
    items, people : their names, by code
    classes : the class names
    votes : (M,) codes of the item, the annotator and the label of each vote
    probabilities : (N, K) the consensus as it was told
    aggregate : the model behind it
    temperature : how far it was tempered, 1 or more
    """

    items: np.ndarray
    people: np.ndarray
    classes: list[Any]
    votes: tuple[np.ndarray, np.ndarray, np.ndarray]
    probabilities: np.ndarray
    aggregate: str
    temperature: float

    def widened(self, num_items: int, num_classes: int) -> Earlier:
        """The same with room for new items and new classes, of which nothing is known."""
        wider = np.zeros((num_items, num_classes))
        wider[: len(self.probabilities), : len(self.classes)] = self.probabilities
        return replace(self, probabilities=wider)


def read_earlier(earlier: Any) -> Earlier:
    """The state in a ledger, or in the folder of one.

    Raises
    ------
    LedgerError
        where the ledger is not of several people's labels, or of a model that cannot be brought up to date
    """
    ledger = earlier if isinstance(earlier, Ledger) else Ledger.load(Path(earlier))
    told = "the ledger given as 'earlier'" if isinstance(earlier, Ledger) else str(earlier)
    parts, probabilities = ledger.parts, ledger.columns.get("probabilities")
    if ledger.meta.get("method") != "annotations" or parts is None or probabilities is None:
        old = ledger.meta.get("method") == "annotations"
        what = "was made before such audits kept their votes" if old else "is of one label per row"
        raise LedgerError(
            f"Expected the audit of several people's labels, made by errata.audit(annotations=...); {told} {what}. "
            "Audit all labels together, without 'earlier'."
        )
    aggregate = str(ledger.meta["aggregate"])
    if aggregate not in UPDATED:
        raise LedgerError(
            f"A consensus by {aggregate!r} cannot be brought up to date; by {' and '.join(map(repr, UPDATED))} it can. "
            "Audit all labels together, without 'earlier'."
        )
    annotator, given = parts["annotator"].astype("category"), parts["given"].astype("category")
    people = np.asarray(annotator.cat.categories, dtype=object)
    codes = {name: code for code, name in enumerate(ledger.classes)}
    label = np.array([codes[name] for name in given.cat.categories], dtype=np.int64)[given.cat.codes]
    row = parts["row"].to_numpy(dtype=np.int64)
    return Earlier(
        items=np.asarray(ledger.columns["item"]),
        people=people,
        classes=list(ledger.classes),
        votes=(row, annotator.cat.codes.to_numpy(dtype=np.int64), label),
        probabilities=np.asarray([*probabilities], dtype=np.float64).reshape(len(ledger), len(ledger.classes)),
        aggregate=aggregate,
        temperature=float(ledger.meta.get("temperature", 1.0)),
    )
