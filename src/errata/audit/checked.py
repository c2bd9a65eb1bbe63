"""How precise the list is, told by rows that a person checked at random: right whatever the errors are like.

An estimate from the labels alone can't see errors that a model makes too. A random sample can: people look at some rows
drawn without regard to the model, and how many of them are wrong is true of all rows, within an interval that depends
on the number of checked rows only. Two things are counted:

*The head that is known.* Where every row of the head of the list is decided, its errors are known, not estimated.

*The rest, by the random sample.* The rows after that head are judged by those of the sample that lie among them. The
sample is the beginning of a random order of all labelled rows, which depends on a seed only: whoever decides on its
first m rows has checked m rows at random, however he came to them. Rows decided elsewhere count for nothing else, as
they were chosen for being suspicious.

The interval is Clopper's and Pearson's, which covers the truth in 9 cases of 10 or more, without a model of the errors.
The curve between is the ledger's own doubt, made to fit the sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.errors import DataError
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.vouching import Vouched

__all__ = ["LEAST", "Checked", "clopper_pearson", "random_order", "vouch_checked"]

LEAST = 20
"""Rows checked at random from which on anything is told."""

COVERS = 0.9
LENGTHS = 160
STEPS = 50
FARTHEST = 8.0  # logits of the doubt
SPREAD = 0.5  # of the prior of the slope, around 1


def random_order(ledger: Ledger, seed: int = 0) -> np.ndarray:
    """(L,) positions of the labelled rows in a random order that depends on the seed and their number only.

    It is the order of ``errata queue DIR --rule random --seed SEED``.

    Raises
    ------
    DataError
        for the ledger of an audit in shards that holds only the worst rows

    Examples
    --------
    >>> ledger = Ledger([0, 1, -1, 0], [0, 0, 0, 0], [0.9, 0.4, np.nan, 0.8], classes=["a", "b"])
    >>> sorted(random_order(ledger).tolist())
    [0, 1, 3]
    """
    from errata.scores.query import random_score

    rows = int(ledger.meta.get("rows_in_all", len(ledger)))
    if rows > len(ledger):
        raise DataError(
            f"This ledger holds the {len(ledger):,} most suspicious of {rows:,} rows, so rows drawn at random from it "
            "say nothing of the others. Draw some from all rows into a file of their own, audit that, and check it."
        )
    labelled = np.flatnonzero(ledger.given != MISSING)
    return labelled[np.argsort(-random_score(len(labelled), seed=seed), kind="stable")]


@dataclass(frozen=True)
class Checked:
    """What is known of some rows of a ledger.

    Parameters
    ----------
    ledger : whose rows they are
    state : (N,) int8, 1 where the given label was found wrong, 0 where right, -1 where nothing is decided
    sample : (m,) positions of the rows checked at random, those that were skipped left out
    head : so many of the first rows of the list are all decided
    """

    ledger: Ledger
    state: np.ndarray
    sample: np.ndarray
    head: int

    @classmethod
    def of(cls, ledger: Ledger, positions: Any, wrong: Any, *, skipped: Any = (), seed: int = 0) -> Checked:
        """Sort decisions into the random sample and the head of the list.

        Parameters
        ----------
        ledger : whose rows they are
        positions : (n,) of the rows that are decided
        wrong : (n,) bool, whether the given label was found wrong (relabelled or dropped)
        skipped : positions of rows that could not be decided; they are passed over
        seed : of the random order
        """
        positions = np.asarray(positions, dtype=np.int64)
        state = np.full(len(ledger), -1, dtype=np.int8)
        state[positions] = np.asarray(wrong, dtype=bool)
        passed = np.zeros(len(ledger), dtype=bool)
        passed[np.asarray(skipped, dtype=np.int64)] = True
        order = random_order(ledger, seed)
        first = order[: _whole((state[order] >= 0) | passed[order])]
        listed = ledger.order[: len(order)]
        return cls(ledger, state, first[state[first] >= 0], _whole(state[listed] >= 0))


def vouch_checked(
    ledger: Ledger, positions: Any, wrong: Any, *, skipped: Any = (), seed: int = 0, of: Checked | None = None
) -> Vouched:
    """The precision of the list by its length, and the number of wrong labels, from rows checked at random.

    Parameters
    ----------
    ledger, positions, wrong, skipped, seed : see ``Checked.of``
    of : the same, where it is at hand

    Returns
    -------
    Vouched
        with ``checked``, the number of rows checked at random

    Raises
    ------
    DataError
        where fewer than 20 rows were checked at random

    References
    ----------
    Clopper, Pearson: The use of confidence or fiducial limits illustrated in the case of the binomial. Biometrika 1934.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> wrong = rng.random(2000) < 0.5
    >>> trust = 1 - 0.4 * wrong - 0.3 * rng.random(2000)
    >>> ledger = Ledger(wrong * 1, 0 * wrong, trust, classes=["a", "b"])
    >>> rows = random_order(ledger)[:150]
    >>> found = vouch_checked(ledger, rows, wrong[rows])
    >>> found.checked, bool(found.errors_low < wrong.sum() < found.errors_high)
    (150, True)
    """
    checked = Checked.of(ledger, positions, wrong, skipped=skipped, seed=seed) if of is None else of
    if len(checked.sample) < LEAST:
        raise DataError(
            f"{len(checked.sample):,} rows are checked at random; at least {LEAST} are needed, and 100 to 200 say a "
            f"good deal. `errata review DIR --random 100` deals them out; decide on them in that order (seed {seed})."
        )
    labelled = int((ledger.given != MISSING).sum())
    listed, head = ledger.order[:labelled], checked.head
    rank = np.empty(len(ledger), dtype=np.int64)
    rank[ledger.order] = np.arange(len(ledger))
    places = rank[checked.sample]
    rest = places >= head
    found = checked.state[checked.sample[rest]] == 1
    places = places[rest]
    known = np.concatenate([[0], np.cumsum(checked.state[listed[:head]] == 1)])
    n = np.unique(np.concatenate([np.geomspace(min(10, labelled), labelled, LENGTHS).round().astype(np.int64), [head]]))
    n = n[n > 0]
    beyond = np.maximum(n - head, 0)
    seen, bad = _counts(places, n), _counts(places[found], n)
    low, high = clopper_pearson(bad, seen)
    certain = known[np.minimum(n, head)]
    errors = known[head] + _between(labelled - head, len(places), int(found.sum()))
    expected = _fitted(1.0 - ledger.trust[listed].astype(np.float64), places, found, head, errors[0] - known[head])
    along = certain + np.concatenate([[0.0], np.cumsum(expected)])[beyond]
    low, high = (certain + beyond * low) / n, (certain + beyond * high) / n
    precision = np.clip(along / n, low, high)
    return Vouched(
        n,
        precision,
        low,
        high,
        np.clip(precision * n / max(errors[0], 1e-9), 0.0, 1.0),
        np.maximum(errors[0] - precision * n, 0.0),
        float(errors[0]),
        errors_low=float(errors[1]),
        errors_high=float(errors[2]),
        checked=len(checked.sample),
    )


def clopper_pearson(found: Any, seen: Any, covers: float = COVERS) -> tuple[np.ndarray, np.ndarray]:
    """The exact interval of a share of which ``found`` of ``seen`` were seen.

    Examples
    --------
    >>> low, high = clopper_pearson([0, 5], [0, 10])
    >>> low.round(2), high.round(2)
    (array([0.  , 0.22]), array([1.  , 0.78]))
    """
    from scipy.special import betaincinv

    found, seen = np.asarray(found, dtype=np.float64), np.asarray(seen, dtype=np.float64)
    tail = (1 - covers) / 2
    low = np.where(found > 0, betaincinv(np.maximum(found, 0.5), seen - found + 1, tail), 0.0)
    high = np.where(found < seen, betaincinv(found + 1, np.maximum(seen - found, 0.5), 1 - tail), 1.0)
    return low, high


def _whole(decided: np.ndarray) -> int:
    """How many entries come before the first that is not so."""
    return len(decided) if decided.all() else int(np.argmin(decided))


def _counts(places: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(places), n, side="left")


def _between(rows: int, seen: int, bad: int) -> np.ndarray:
    """The number of wrong labels among rows that a sample was drawn of: as estimated, at least, at most."""
    low, high = clopper_pearson(bad, seen)
    share = bad / seen if seen else 0.5
    return np.maximum(bad, rows * np.array([share, float(low), float(high)])).clip(0, rows)


def _fitted(doubt: np.ndarray, places: np.ndarray, found: np.ndarray, head: int, total: float) -> np.ndarray:
    """The doubt in each row after the head, fitted to the sample, such that it adds up to the errors estimated there.

    A logistic curve over the logit of the doubt; its slope is drawn to 1, as the sample is small.
    """
    logit = np.clip(np.log(np.clip(doubt, 1e-9, 1)) - np.log(np.clip(1 - doubt, 1e-9, 1)), -FARTHEST, FARTHEST)
    x, y = logit[places], found.astype(np.float64)
    slope, shift = 1.0, 0.0
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-(shift + slope * x)))
        weight = p * (1 - p) + 1e-6
        gradient = np.array([(y - p).sum(), ((y - p) * x).sum() - (slope - 1) / SPREAD**2])
        curve = np.array([[weight.sum(), (weight * x).sum()], [(weight * x).sum(), (weight * x * x).sum()]])
        curve[1, 1] += 1 / SPREAD**2
        step = np.linalg.solve(curve + 1e-6 * np.eye(2), gradient)
        shift, slope = shift + float(np.clip(step[0], -2, 2)), max(0.0, slope + float(np.clip(step[1], -1, 1)))
    rest = slope * logit[head:]
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-(rest + middle)))).sum() < total else (low, middle)
    return 1 / (1 + np.exp(-(rest + low)))
