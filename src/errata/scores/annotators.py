"""Several people's labels of the same items: votes, agreement, a consensus with its probability, and who is reliable.

Votes are three arrays of one length M: the item, the annotator and the label of each, as codes from 0. The statistical
models come from crowd-kit (the extra ``crowd``); everything else is computed here, on counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errata.errors import DataError, MissingExtraError, UnknownNameError

__all__ = [
    "AGGREGATES",
    "Votes",
    "agreement",
    "annotator_quality",
    "confusion_of_annotators",
    "consensus",
    "krippendorff_alpha",
    "majority_label",
    "majority_probabilities",
    "tempered",
    "value_of_another",
    "vote_counts",
    "vote_temperature",
]

AGGREGATES = ("majority", "dawid-skene", "glad", "mace")
"""Names of the models of how a consensus comes about, see :func:`consensus`."""

_SMALLEST = 1e-12
MOST_TEMPERATURE = 50.0
MOST_FORETOLD = 200_000  # votes; of more a random part tells the temperature as well
PRIOR_VOTES = 4.0  # of the average annotator, added to each one's own


@dataclass(frozen=True, eq=False)
class Votes:
    """Who gave which item which label.

    Parameters
    ----------
    item : (M,) int in [0, num_items)
    annotator : (M,) int in [0, num_annotators)
    label : (M,) int in [0, num_classes)
    num_items, num_annotators, num_classes : how many there are; items without a vote are allowed

    Raises
    ------
    DataError
        If the three arrays differ in length, or a code lies outside its range.

    Examples
    --------
    >>> votes = Votes(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1, 1, 0]), 2, 2, 2)
    >>> vote_counts(votes)
    array([[0, 2],
           [1, 0]])
    """

    item: NDArray[np.int64]
    annotator: NDArray[np.int64]
    label: NDArray[np.int64]
    num_items: int
    num_annotators: int
    num_classes: int

    def __post_init__(self) -> None:
        for what, most in (("item", "num_items"), ("annotator", "num_annotators"), ("label", "num_classes")):
            codes, limit = getattr(self, what), getattr(self, most)
            if codes.shape != self.item.shape or codes.ndim != 1:
                raise DataError(f"votes: {what} must have one entry per vote, {self.item.shape}; got {codes.shape}.")
            if codes.size and (codes.min() < 0 or codes.max() >= limit):
                row = int(np.flatnonzero((codes < 0) | (codes >= limit))[0])
                raise DataError(f"votes: {what} must lie in [0, {limit - 1}]; vote {row} has {codes[row]}.")


def vote_counts(votes: Votes) -> NDArray[np.int64]:
    """Return (N, K) how often each item was given each label."""
    cells = votes.item * votes.num_classes + votes.label
    size = votes.num_items * votes.num_classes
    return np.bincount(cells, minlength=size).reshape(votes.num_items, votes.num_classes)


def majority_label(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (N,) the most frequent label of each item, -1 without a vote; of equal ones that with more votes overall.

    Examples
    --------
    >>> majority_label(np.array([[2, 1], [1, 1], [0, 2], [0, 0]]))
    array([ 0,  1,  1, -1])
    """
    overall = counts.sum(axis=0)
    order = np.argsort(-overall, kind="stable")  # argmax takes the first of equals
    best = order[counts[:, order].argmax(axis=1)]
    return np.where(counts.any(axis=1), best, -1)


def majority_probabilities(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (N, K) shares of votes, with one vote more that is spread as all votes are.

    The further vote keeps a single opinion from being taken for certain.

    Examples
    --------
    >>> majority_probabilities(np.array([[1, 0], [4, 0], [1, 4]])).round(2)
    array([[0.8 , 0.2 ],
           [0.92, 0.08],
           [0.27, 0.73]])
    """
    prior = counts.sum(axis=0) / max(1, int(counts.sum()))
    return (counts + prior) / (counts.sum(axis=1, keepdims=True) + 1.0)


def agreement(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (N,) the share of pairs of votes that agree, in [0, 1]; NaN for fewer than two votes.

    Examples
    --------
    >>> agreement(np.array([[3, 0], [2, 1], [1, 0]]))
    array([1.        , 0.33333333,        nan])
    """
    total = counts.sum(axis=1)
    pairs = total * (total - 1.0)
    same = (counts * (counts - 1.0)).sum(axis=1)
    return np.divide(same, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)


def krippendorff_alpha(counts: NDArray[np.int64]) -> float:
    """Return the agreement of all votes beyond chance: 1 for full agreement, 0 for chance; NaN where none can be told.

    References
    ----------
    Krippendorff: Content Analysis, 4th ed. 2018, chapter 12 (nominal data; items with fewer than two votes left out).

    Examples
    --------
    >>> krippendorff_alpha(np.array([[2, 0], [0, 2]])), round(krippendorff_alpha(np.array([[2, 0], [1, 1]])), 2)
    (1.0, 0.0)
    """
    several = counts[counts.sum(axis=1) >= 2].astype(np.float64)
    total = several.sum()
    if total == 0:
        return float("nan")
    size = several.sum(axis=1)
    observed = ((size**2 - (several**2).sum(axis=1)) / (size - 1)).sum() / total
    classes = several.sum(axis=0)
    expected = (total**2 - (classes**2).sum()) / (total * (total - 1))
    return float(1 - observed / expected) if expected > 0 else float("nan")


# -- consensus --------------------------------------------------------------------------------------------------------


def consensus(
    votes: Votes, aggregate: str = "dawid-skene", *, seed: int = 0, temper: bool = True
) -> NDArray[np.float64]:
    """Return (N, K) how probable each label is for each item; the prior of the classes for an item without a vote.

    Parameters
    ----------
    votes : the votes
    aggregate : "majority" (shares of votes), "dawid-skene" (a confusion matrix per annotator), "glad" (an ability per
        annotator, a difficulty per item), or "mace" (how often each annotator knows, and guesses)
    seed : of "mace", whose start is random
    temper : make the models' probabilities as sure as the votes allow, see :func:`vote_temperature`; the order of an
        item's labels stays. "majority" is left as it is.

    Raises
    ------
    UnknownNameError
        If there is no such model.
    MissingExtraError
        If crowd-kit is not installed; "majority" does not need it.

    References
    ----------
    Dawid, Skene: Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm, 1979.
    Whitehill et al.: Whose Vote Should Count More, NeurIPS 2009 (GLAD). Hovy et al.: Learning Whom to Trust with MACE,
    NAACL 2013. Ustalov, Pavlichenko, Tseitlin: Learning from Crowds with Crowd-Kit, JOSS 2024.

    Examples
    --------
    >>> votes = Votes(np.array([0, 0, 0, 1]), np.array([0, 1, 2, 0]), np.array([0, 0, 1, 1]), 2, 3, 2)
    >>> consensus(votes, "majority").argmax(axis=1)
    array([0, 1])
    """
    if aggregate not in AGGREGATES:
        raise UnknownNameError("aggregate", aggregate, AGGREGATES)
    shares = majority_probabilities(vote_counts(votes))
    if aggregate == "majority":
        return shares
    found = _from_crowdkit(votes, aggregate, seed)
    total = found.sum(axis=1)
    lost = ~(np.isfinite(total) & (total > 0))  # no vote, or a product of many small numbers that became nought
    found[~lost] /= total[~lost, None]
    found[lost] = shares[lost]
    return tempered(found, vote_temperature(votes, found)) if temper else found


def tempered(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return (N, K) probabilities to the power of ``1 / temperature``, and as rows that sum to 1 again.

    Examples
    --------
    >>> tempered(np.array([[0.9, 0.1]]), 2.0)
    array([[0.75, 0.25]])
    """
    if temperature == 1.0:
        return probabilities
    log = np.log(np.maximum(probabilities, _SMALLEST)) / temperature
    raised = np.exp(log - log.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def vote_temperature(votes: Votes, probabilities: NDArray[np.float64]) -> float:
    """Return how much too sure a consensus is, 1 or more: found by foretelling each vote from the item's other votes.

    The models take people's mistakes to be independent. Where an item misleads many of them, they are not, and the
    votes of many add up to a certainty that is not there. Each vote is foretold from the others, with the evidence of
    these divided by a temperature; the one with which all are foretold best is taken (temperature scaling, Guo et al.
    2017, on votes in place of held-out labels).

    Parameters
    ----------
    votes : the votes
    probabilities : (N, K) of the labels, by a model of the votes

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true = rng.integers(2, size=200)
    >>> item, annotator = np.repeat(np.arange(200), 9), np.tile(np.arange(9), 200)
    >>> independent = np.where(rng.random(1800) < 0.8, true[item], 1 - true[item])
    >>> votes = Votes(item, annotator, independent, 200, 9, 2)
    >>> round(vote_temperature(votes, consensus(votes, temper=False)), 1)
    1.0
    """
    from scipy.optimize import minimize_scalar

    if not len(votes.item):
        return 1.0
    own = _likelihoods(votes, probabilities)
    evidence = np.zeros((votes.num_items, votes.num_classes))
    np.add.at(evidence, votes.item, np.log(own))
    if len(own) > MOST_FORETOLD:
        some = np.random.default_rng(0).choice(len(own), MOST_FORETOLD, replace=False)
        others, own = evidence[votes.item[some]] - np.log(own[some]), own[some]
    else:
        others = evidence[votes.item] - np.log(own)
    prior = np.log(np.maximum(probabilities.mean(axis=0), _SMALLEST))

    def surprise(log_temperature: float) -> float:
        odds = prior + others / np.exp(log_temperature)
        odds = np.exp(odds - odds.max(axis=1, keepdims=True))
        return -float(np.log((odds * own).sum(axis=1) / odds.sum(axis=1)).mean())

    found = minimize_scalar(surprise, bounds=(0.0, np.log(MOST_TEMPERATURE)), method="bounded")
    better = surprise(float(found.x)) < surprise(0.0) - 1e-6
    return float(np.exp(found.x)) if better else 1.0


def _likelihoods(votes: Votes, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, K) how probable each vote is under each true label, by its annotator's own confusions, drawn to the mean."""
    average = confusion_of_annotators(votes, np.clip(probabilities, _SMALLEST, 1.0))
    confusion = PRIOR_VOTES * np.repeat(average[None], votes.num_annotators, axis=0)
    for label in range(votes.num_classes):
        chosen = votes.label == label
        np.add.at(confusion[:, :, label], votes.annotator[chosen], probabilities[votes.item[chosen]])
    confusion /= confusion.sum(axis=2, keepdims=True)
    return np.maximum(confusion[votes.annotator, :, votes.label], _SMALLEST)


def _from_crowdkit(votes: Votes, aggregate: str, seed: int) -> NDArray[np.float64]:
    import pandas as pd

    # crowd-kit's MACE takes the order of first appearance for the sorted one: here they are the same
    (tasks, items), (workers, _), (answers, labels) = map(pd.factorize, (votes.item, votes.annotator, votes.label))
    table = pd.DataFrame({"task": tasks, "worker": workers, "label": answers})
    with np.errstate(all="ignore"):
        probabilities = _model(aggregate, seed).fit_predict_proba(table)
    found = np.zeros((votes.num_items, votes.num_classes))
    rows, columns = np.asarray(probabilities.index, np.int64), np.asarray(probabilities.columns, np.int64)
    found[np.ix_(items[rows], labels[columns])] = probabilities.to_numpy(dtype=np.float64, na_value=np.nan)
    return found


def _model(aggregate: str, seed: int) -> Any:
    try:
        from crowdkit.aggregation.classification import GLAD, MACE, DawidSkene
    except ImportError as error:
        raise MissingExtraError("crowd-kit", "crowd", f"aggregate='{aggregate}'") from error
    if aggregate == "dawid-skene":
        return DawidSkene(n_iter=100)
    if aggregate == "glad":
        return GLAD(n_iter=50)
    # crowd-kit starts each of its restarts from the same seed, so that one is as good as ten
    return MACE(n_restarts=1, random_state=seed)


# -- annotators, and what to ask next ---------------------------------------------------------------------------------


def annotator_quality(votes: Votes, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (A,) how probably each annotator's labels are right, in [0, 1]; NaN where nobody else labelled the items.

    Only items that others labelled too are counted, as a lone vote is its own consensus.

    Parameters
    ----------
    votes : the votes
    probabilities : (N, K) of the labels, as from :func:`consensus`

    Examples
    --------
    >>> votes = Votes(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([1, 0, 0]), 2, 2, 2)
    >>> annotator_quality(votes, np.array([[0.1, 0.9], [1.0, 0.0]]))
    array([0.9, 0.1])
    """
    compared = np.bincount(votes.item, minlength=votes.num_items)[votes.item] >= 2
    right = probabilities[votes.item, votes.label]
    total = np.bincount(votes.annotator[compared], minlength=votes.num_annotators)
    sums = np.bincount(votes.annotator[compared], weights=right[compared], minlength=votes.num_annotators)
    return np.divide(sums, total, out=np.full(votes.num_annotators, np.nan), where=total > 0)


def confusion_of_annotators(votes: Votes, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (K, K) what an average vote is, given the true label: row t, column l is P(vote = l | true = t).

    One further right vote per class keeps classes apart that were never voted on.
    """
    joint = np.eye(votes.num_classes)
    for label in range(votes.num_classes):
        rows = votes.item[votes.label == label]
        joint[:, label] += probabilities[rows].sum(axis=0)
    return joint / joint.sum(axis=1, keepdims=True)


def value_of_another(
    probabilities: NDArray[np.float64], confusion: NDArray[np.float64], *, block: int = 65_536
) -> NDArray[np.float64]:
    """Return (N,) what one more opinion would tell of each item, in [0, 1].

    It is the mutual information of the true label and the next vote, over the most that there can be, ``log K``: near 0
    where the label is known already, or where votes say nothing; highest where it is open and votes decide.

    Parameters
    ----------
    probabilities : (N, K) of the labels
    confusion : (K, K) with entry (t, l) = P(vote = l | true = t)
    block : items at a time

    Examples
    --------
    >>> value_of_another(np.array([[0.5, 0.5], [0.99, 0.01]]), np.array([[0.9, 0.1], [0.1, 0.9]])).round(2)
    array([0.53, 0.02])
    """
    given_truth = -(confusion * np.log(np.maximum(confusion, _SMALLEST))).sum(axis=1)
    value = np.empty(len(probabilities))
    for start in range(0, len(probabilities), block):
        part = probabilities[start : start + block]
        vote = part @ confusion
        value[start : start + block] = -(vote * np.log(np.maximum(vote, _SMALLEST))).sum(axis=1) - part @ given_truth
    return np.clip(value / np.log(max(2, probabilities.shape[1])), 0.0, 1.0)
