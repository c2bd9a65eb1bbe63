"""``vouch``: what the decisions on rows checked at random say of all labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.audit.checked import vouch_checked
from errata.correct.apply import Origin
from errata.correct.decisions import Decided, decide, skipped_rows
from errata.ledger import Ledger

__all__ = ["found_wrong", "vouch"]


def vouch(ledger: Any, decisions: Any = None, *, seed: int = 0) -> Ledger:
    """Say how precise a ledger's list is, and how many labels are wrong, by rows that a person checked at random.

    An estimate from the labels alone can't see errors that a model makes too; a random sample can. The rows are the
    first of a random order of all labelled rows: ``errata review DIR --random 100`` deals them out, and ``errata queue
    DIR --rule random`` lists them. Decisions on the head of the list count as well: what is checked there is known.

    Parameters
    ----------
    ledger : a ledger, a run, or the folder of either
    decisions : as ``errata.apply`` takes them; by default the review's record in the folder
    seed : of the random order

    Returns
    -------
    Ledger
        the same, its ``vouched`` by the checked rows

    Raises
    ------
    DataError
        where fewer than 20 rows were checked at random, or decisions can't be used

    Examples
    --------
    >>> from errata.audit.checked import random_order
    >>> wrong = np.arange(1000) % 10 == 0
    >>> ledger = Ledger(wrong * 1, wrong * 0, np.where(wrong, 0.4, 0.9), classes=["a", "b"])
    >>> rows = random_order(ledger)[:100]
    >>> seen = [(int(row), "relabel" if wrong[row] else "keep", "a" if wrong[row] else None) for row in rows]
    >>> found = vouch(ledger, seen).vouched
    >>> found.checked, bool(found.errors_low < 100 < found.errors_high)
    (100, True)
    """
    origin = Origin.of(ledger)
    decided = decide(decisions, origin.ledger, folder=origin.folder)
    skipped = skipped_rows(decisions, origin.ledger, folder=origin.folder)
    wrong = found_wrong(decided, origin.ledger)
    origin.ledger.vouched = vouch_checked(origin.ledger, decided.positions, wrong, skipped=skipped, seed=seed)
    return origin.ledger


def found_wrong(decided: Decided, ledger: Ledger) -> np.ndarray:
    """(M,) bool, of each decided row whether its given label was found wrong; to relabel it as it is, is to keep it."""
    given = ledger.columns.get("given")
    names = (
        given if given is not None else np.array([str(c) for c in ledger.classes] + [""], dtype=object)[ledger.given]
    )
    same = [str(label) == str(names[at]) for label, at in zip(decided.labels, decided.positions)]
    return np.array([a == "drop" or (a == "relabel" and not s) for a, s in zip(decided.actions, same)], dtype=bool)
