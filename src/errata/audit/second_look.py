"""Labels judged by what people would say who look again: a model trained on better labels of other rows.

Where some rows have been looked at again, by people who took more care or by several of them, a run trained on what
they said knows the items; and their labels beside those given before tell for which class another is given, and how
often. Bayes' rule joins the two: a label is to be doubted more where the model's other classes are seldom called that.

The likelihood of the labels to be checked, by which ``errata.audit.by_run`` weighs its sources, is no guide here: what
is asked is what people would say instead of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.confident import confident
from errata.errors import ParameterError
from errata.labels import MISSING, ClassLabels

if TYPE_CHECKING:
    from errata.engine.run import Run
    from errata.ledger import Ledger

__all__ = ["from_slips", "posterior", "slips_of"]

CHUNK = 65_536
SMALLEST = 1e-12


def from_slips(labels: ClassLabels, probs: np.ndarray, slips: np.ndarray, *, index: np.ndarray | None = None) -> Ledger:
    """The ledger of labels, of a model's probabilities of the right ones, and of how right labels become given ones.

    Parameters
    ----------
    labels : N given labels of K classes
    probs : (N, K) out-of-sample probabilities of the right labels
    slips : (K, K) with slips[i, j] = P(given = j | right = i)
    index : (N,) row numbers in the data

    Examples
    --------
    >>> labels = ClassLabels(np.array([0, 0] * 20 + [1, 2] * 20), ["cat", "dog", "car"])
    >>> probs = np.tile([[0.5, 0.4, 0.1], [0.5, 0.1, 0.4], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], (20, 1))
    >>> slips = np.array([[0.8, 0.2, 0.0], [0.2, 0.8, 0.0], [0.0, 0.0, 1.0]])
    >>> ledger = from_slips(labels, probs, slips)
    >>> bool(ledger.trust[0] < ledger.trust[1])  # a dog may have been called a cat, a car hardly
    True
    """
    from errata.audit.ensemble import as_opinion, combine
    from errata.audit.vouching import vouch

    plain = confident(labels, probs)
    known = confident(labels, posterior(labels.codes, probs, slips), rule="predicted_neq_given", index=index)
    ledger = combine(labels, [as_opinion("confident", known)], index=index)
    ledger.meta.update({"method": "run"})
    own = known.columns["self_confidence"]
    ledger.vouched = lambda: vouch(ledger.given, probs, ledger.order, joint_rate=plain.noise.rate, own=own)
    return ledger


def slips_of(runs: Sequence[Run], column: str, classes: Sequence[Any]) -> np.ndarray:
    """(K, K) how often a row of class i had been given class j, by the runs' data: P(given = j | trained on = i).

    Parameters
    ----------
    runs : their data must lie where they were trained on
    column : of that data, with the labels given before
    classes : K, of the labels to be checked

    Raises
    ------
    ParameterError
        where a run was trained on arrays, or its data has gone or changed
    """
    place = {str(name): k for k, name in enumerate(classes)}
    counts = np.full((len(classes), len(classes)), 1.0 / len(classes))
    for run in runs:
        columns = np.array([place.get(str(name), MISSING) for name in run.classes] + [MISSING])
        pairs = columns[np.stack([run.ledger.given, _given_before(run, column)])]
        np.add.at(counts, tuple(pairs[:, (pairs != MISSING).all(axis=0)]), 1.0)
    return counts / counts.sum(axis=1, keepdims=True)


def posterior(codes: np.ndarray, probs: np.ndarray, slips: np.ndarray) -> np.ndarray:
    """(N, K) float32, the probability of each class for a row with its given label, by Bayes' rule.

    Parameters
    ----------
    codes : (N,) given labels in [0, K), -1 where missing: there the probabilities stay
    probs : (N, K) of the right labels, from the items alone
    slips : (K, K) with slips[i, j] = P(given = j | right = i), taken to depend on the item's class only

    Examples
    --------
    >>> posterior(np.array([0, -1]), np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([[0.9, 0.1], [0.1, 0.9]])).round(2)
    array([[0.9, 0.1],
           [0.5, 0.5]], dtype=float32)
    """
    found = np.array(probs, dtype=np.float32)
    for start in range(0, len(found), CHUNK):
        own = codes[start : start + CHUNK]
        rows = start + np.flatnonzero(own != MISSING)
        found[rows] *= slips.T[codes[rows]]
    return found / np.maximum(found.sum(axis=1, keepdims=True), SMALLEST)


def _given_before(run: Run, column: str) -> np.ndarray:
    """(N,) in the run's codes, -1 where missing: that column for the rows of the run's ledger."""
    place = run.about.get("source_path") or run.about.get("source")
    if place is None or not Path(str(place)).exists():
        where = f"{place}, and that is gone" if Path(str(place)).is_absolute() else "arrays, which have no columns"
        raise ParameterError(
            f"given_column={column!r} is to be a column of the data that the run was trained on; it was trained on "
            f"{where}. Put the file back, or leave given_column= out."
        )
    before = run._read(str(place), column, {})
    codes = run._codes(before.require_labels())
    wanted = np.asarray(run.ledger.index)
    rows = wanted if before.rows is None else np.searchsorted(before.rows, wanted)
    if len(codes) <= rows.max(initial=-1):
        raise ParameterError(
            f"{place} has {len(codes):,} rows, fewer than the run was trained on; it has changed since."
        )
    return codes[rows]
