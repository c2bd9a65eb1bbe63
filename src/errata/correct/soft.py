"""Probabilities of the labels after decisions, as far as the ledger tells them."""

from __future__ import annotations

import numpy as np

from errata.correct.plan import Plan
from errata.labels import MISSING

__all__ = ["probabilities", "soft_names"]

PREFIX = "p_"


def soft_names(plan: Plan) -> list[str]:
    """The names of the columns, one per class: ``p_cat``, ``p_dog``."""
    return [f"{PREFIX}{name}" for name in plan.classes]


def probabilities(plan: Plan, positions: np.ndarray) -> np.ndarray:
    """How probable each class is for some of the ledger's rows.

    A label that was decided on is certain. Else the given label has the probability that the ledger trusts it with; the
    rest goes to the proposed label, as much as the model gave it where the ledger knows that, and what is left to the
    other classes, as the estimated noise mixes them with the given one.

    Parameters
    ----------
    plan : with the ledger
    positions : (n,) positions in the ledger; -1 for a row that it has not

    Returns
    -------
    (n, K) float32, rows sum to 1; NaN for rows of which nothing is known

    Examples
    --------
    >>> from errata.correct.decisions import decide
    >>> from errata.correct.plan import make_plan
    >>> from errata.ledger import Ledger
    >>> ledger = Ledger([0, 1], [0, 0], [0.9, 0.25], classes=["cat", "dog"])
    >>> probabilities(make_plan(ledger, decide([], ledger)), np.array([0, 1])).round(4)
    array([[0.9 , 0.1 ],
           [0.75, 0.25]], dtype=float32)
    """
    there = positions >= 0
    known = positions[there]
    found = _undecided(plan, known)
    settled = plan.settled[known] & (plan.target[known] != MISSING)
    found[settled] = np.eye(len(plan.classes))[plan.target[known][settled]]
    whole = np.full((len(positions), len(plan.classes)), np.nan, dtype=np.float32)
    whole[there] = found
    return whole


def _undecided(plan: Plan, rows: np.ndarray) -> np.ndarray:
    """(n, K) what the ledger alone says."""
    ledger = plan.ledger
    given, guess = ledger.given[rows].astype(np.int64), ledger.proposed[rows].astype(np.int64)
    labelled, guessed = given != MISSING, (guess != MISSING) & (guess != given)
    share = _share(plan, rows)
    own = np.where(labelled, np.nan_to_num(ledger.trust[rows].astype(np.float64), nan=1.0), 0.0)
    rival = np.where(guessed, np.fmin(share, 1.0 - own), 0.0)
    shares = _others(plan, given, guess)
    left = 1.0 - own - rival
    nobody = shares.sum(axis=1) == 0  # two classes, given and proposed: there is no other
    rival += np.where(nobody & guessed, left, 0.0)
    own += np.where(nobody & ~guessed, left, 0.0)
    found = shares * left[:, None]
    places = np.arange(len(rows))
    found[places[labelled], given[labelled]] = own[labelled]
    found[places[guessed], guess[guessed]] = rival[guessed]
    found[~labelled & ~(guessed & (share < np.inf))] = np.nan
    return found


def _share(plan: Plan, rows: np.ndarray) -> np.ndarray:
    """(n,) the model's own probability of the proposed label; infinite where the ledger does not tell it."""
    values = plan.ledger.columns.get("proposed_probability")
    if values is None:
        return np.full(len(rows), np.inf)
    return np.nan_to_num(np.clip(values[rows].astype(np.float64), 0.0, 1.0), nan=np.inf)


def _others(plan: Plan, given: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """(n, K) in which proportions the classes neither given nor proposed share what is left; zero where there is "
    "none."""
    joint, k = plan.ledger.noise.joint, len(plan.classes)
    size = len(joint)
    mixed = np.zeros((size + 1, k))
    mixed[:size, :size] = joint.T
    mixed[size, :size] = joint.sum(axis=1)  # without a label: how frequent the classes are
    allowed = np.zeros((len(given), k), dtype=bool)
    allowed[:, :size] = True  # classes that the decisions have added are no one's guess
    places = np.arange(len(given))
    for codes in (given, guess):
        allowed[places[codes != MISSING], codes[codes != MISSING]] = False
    shares = np.where(allowed, mixed[given], 0.0)  # -1 picks the last line
    empty = shares.sum(axis=1) <= 0
    shares[empty] = allowed[empty]
    totals = shares.sum(axis=1, keepdims=True)
    return shares / np.where(totals > 0, totals, 1.0)
