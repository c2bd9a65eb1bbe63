"""How many labels are wrong, told by the rows that a training held out.

A model has seen the labels that it was trained on, so what it says of them can't vouch for their list. The rows held
out are drawn at random from each class, and their labels are as noisy as the others, but the model has not seen them:
from its probabilities of these the number of wrong labels is estimated as an audit does (``errata.audit.vouching``),
and it holds for all rows. How far down the ledger's own list the wrong ones lie, it does not tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.labels import ClassLabels

__all__ = ["HeldOut", "held_out_share"]

LEAST = 200
"""Rows held out under which nothing is told."""


@dataclass(frozen=True)
class HeldOut:
    """The share of wrong labels, as the rows held out tell it.

    Parameters
    ----------
    rows : how many were held out; of very many, the even sample of them that was looked at
    share : the estimated share of wrong labels, in [0, 1]
    low, high : an interval for it, meant to cover it in 9 cases of 10
    """

    rows: int
    share: float
    low: float
    high: float

    def plain(self) -> dict[str, Any]:
        """As a ledger's ``meta`` holds it."""
        told = {name: round(float(getattr(self, name)), 6) for name in ("share", "low", "high")}
        return {"rows": self.rows, **told}


def held_out_share(codes: np.ndarray, pred_probs: np.ndarray, classes: list[Any]) -> HeldOut | None:
    """Estimate the share of wrong labels from rows that the model has not seen.

    Parameters
    ----------
    codes : (M,) given labels in [0, K)
    pred_probs : (M, K) the model's probabilities
    classes : the K class names

    Returns
    -------
    HeldOut, or None of fewer than 200 rows, of one class, or where the model knows other classes than the labels have

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true = rng.integers(3, size=1000)
    >>> probs = np.full((1000, 3), 0.05)
    >>> probs[np.arange(1000), true] = 0.9
    >>> given = np.where(rng.random(1000) < 0.1, (true + 1) % 3, true)
    >>> found = held_out_share(given, probs, ["a", "b", "c"])
    >>> abs(found.share - 0.1) < 0.03, found.low < 0.1 < found.high
    (True, True)
    """
    from errata.audit.confident import confident
    from errata.audit.vouching import vouch

    if len(codes) < LEAST or len(np.unique(codes)) < 2 or pred_probs.shape[1] != len(classes):
        return None
    ledger = confident(ClassLabels(codes, classes), pred_probs)
    own = ledger.columns["self_confidence"]
    found = vouch(codes, pred_probs, ledger.order, joint_rate=ledger.noise.rate, own=own)
    if found is None:
        return None
    share, low, high = (value / len(codes) for value in (found.errors, found.errors_low, found.errors_high))
    return HeldOut(len(codes), share, max(0.0, low), min(1.0, high))
