"""What models say of a ledger's rows: from ledgers and runs on disk, or from tables of probabilities."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from errata.errors import DataError, LedgerError
from errata.labels import MISSING
from errata.ledger import Ledger

__all__ = ["Votes", "votes_from", "votes_of"]


@dataclass(frozen=True)
class Votes:
    """What one model says.

    Parameters
    ----------
    name : of the model, for people
    predictions : (N,) codes of the ledger's classes
    confidence : (N,) float in [0, 1], the probability of each prediction
    pred_probs : (N, K) where all probabilities are known
    """

    name: str
    predictions: np.ndarray
    confidence: np.ndarray
    pred_probs: np.ndarray | None = None

    def of(self, rows: np.ndarray) -> Votes:
        """What it says of some rows."""
        probs = None if self.pred_probs is None else self.pred_probs[rows]
        return Votes(self.name, self.predictions[rows], self.confidence[rows], probs)


def votes_of(ledger: Ledger, name: str = "the ledger") -> Votes:
    """What a ledger's proposals say: the label it would give, and how sure it is of it.

    The probability of a proposal is the column ``proposed_probability`` where there is one; else the trust where the
    given label is proposed, and what the trust leaves where another is.

    Examples
    --------
    >>> found = votes_of(Ledger([0, 1], [0, 0], [0.75, 0.25], classes=["cat", "dog"]))
    >>> found.predictions, found.confidence
    (array([0, 0]), array([0.75, 0.75]))
    """
    given = ledger.given.astype(np.int64)
    proposed = ledger.proposed.astype(np.int64)
    predicted = np.where(proposed == MISSING, np.maximum(given, 0), proposed)
    trust = np.nan_to_num(ledger.trust.astype(np.float64), nan=0.5)
    sure = np.where(predicted == given, trust, 1.0 - trust)
    known = ledger.columns.get("proposed_probability")
    if known is not None:
        sure = np.where(np.isnan(known), sure, known)
    return Votes(name, predicted, np.clip(sure, 0.0, 1.0))


def votes_from(source: Any, ledger: Ledger, name: str | None = None) -> Votes:
    """What another model says of a ledger's rows.

    Parameters
    ----------
    source : (N, K) probabilities, columns in the order of the ledger's classes; a .npy file of them; another ledger of
        the same rows; or the folder of an audit or a training
    ledger : whose rows and classes count
    name : for people

    Raises
    ------
    DataError
        where probabilities have another shape, or are none
    LedgerError
        where the other ledger is of other rows, or has classes that this one has not
    """
    if isinstance(source, Votes):
        return source
    if isinstance(source, (str, os.PathLike)):
        place = Path(source).expanduser()
        name = name or place.name
        if place.suffix == ".npy":
            return _from_probabilities(_read_array(place), ledger, name)
        return _from_ledger(Ledger.load(place), ledger, name)
    other = getattr(source, "ledger", source)
    if isinstance(other, Ledger):
        return _from_ledger(other, ledger, name or str(other.meta.get("system", other.meta.get("method", "a ledger"))))
    return _from_probabilities(np.asarray(source), ledger, name or "probabilities")


def _from_probabilities(p: np.ndarray, ledger: Ledger, name: str) -> Votes:
    expected = (len(ledger), len(ledger.classes))
    if p.shape != expected or p.dtype.kind != "f":
        raise DataError(
            f"{name}: expected a probability for each of {expected[0]:,} rows and {expected[1]} classes, {expected}; "
            f"got {p.dtype} {p.shape}."
        )
    odd = ~np.isfinite(p).all(axis=1) | (p < -1e-6).any(axis=1) | (np.abs(p.sum(axis=1) - 1) > 1e-2)
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise DataError(f"{name}: rows must be probabilities that sum to 1; row {row} holds {p[row][:5].tolist()}.")
    best = p.argmax(axis=1)
    return Votes(name, best.astype(np.int64), p[np.arange(len(p)), best].astype(np.float64), p)


def _from_ledger(other: Ledger, ledger: Ledger, name: str) -> Votes:
    if len(other) != len(ledger) or not np.array_equal(other.index, ledger.index):
        raise LedgerError(
            f"{name} is about other rows: it has {len(other):,}, this ledger {len(ledger):,}, and they must be the "
            "same ones in the same order. Audit or train on the same data."
        )
    place = {str(c): i for i, c in enumerate(ledger.classes)}
    lost = [str(c) for c in other.classes if str(c) not in place]
    if lost:
        raise LedgerError(f"{name} has the class '{lost[0]}', which this ledger has not: {', '.join(place)}.")
    own = votes_of(other, name)
    codes = np.array([place[str(c)] for c in other.classes], dtype=np.int64)
    return Votes(name, codes[own.predictions], own.confidence)


def _read_array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read as a .npy file of numbers: {error}.") from error
