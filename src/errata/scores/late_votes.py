"""A consensus brought up to date with votes that came later, without going through all the old ones again.

Dawid and Skene's model, and the incremental form of its EM (Neal and Hinton, 1998): how often each annotator said what
is kept as counts; only the items with new votes are judged again, and the counts follow.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from errata.scores.annotators import Votes, majority_probabilities, vote_counts

__all__ = ["brought_up_to_date", "counted", "posterior"]

_SMALLEST = 1e-10


def counted(votes: Votes, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (A, K, K) how often each annotator is expected to have said l of items that are truly t: [a, l, t].

    Parameters
    ----------
    votes : M votes of A annotators
    probabilities : (N, K) of the items' true labels

    Examples
    --------
    >>> votes = Votes(np.array([0, 1]), np.array([0, 0]), np.array([1, 0]), 2, 1, 2)
    >>> counted(votes, np.array([[0.2, 0.8], [1.0, 0.0]]))[0]
    array([[1. , 0. ],
           [0.2, 0.8]])
    """
    from scipy.sparse import csr_matrix

    a, k = votes.num_annotators, votes.num_classes
    said = votes.annotator * k + votes.label
    shape = (a * k, votes.num_items)
    table = csr_matrix((np.ones(len(said)), (said, votes.item)), shape=shape)
    return np.asarray(table @ np.asarray(probabilities, dtype=np.float64)).reshape(a, k, k)


def posterior(votes: Votes, counts: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, K) how probable each label is, given the votes and what their annotators are known to say.

    Parameters
    ----------
    votes : the votes of N items
    counts : (A, K, K), see :func:`counted`
    prior : (K,) of the classes

    Examples
    --------
    >>> votes = Votes(np.array([0]), np.array([0]), np.array([1]), 1, 1, 2)
    >>> posterior(votes, np.array([[[9.0, 2.0], [1.0, 8.0]]]), np.array([0.5, 0.5])).round(2)
    array([[0.11, 0.89]])
    """
    from scipy.sparse import csr_matrix

    k = votes.num_classes
    rates = np.maximum(counts, _SMALLEST)
    log = np.log(rates / rates.sum(axis=1, keepdims=True)).reshape(-1, k)
    said = votes.annotator * k + votes.label
    chosen = csr_matrix((np.ones(len(said)), (votes.item, said)), shape=(votes.num_items, len(log)))
    odds = np.asarray(chosen @ log) + np.log(np.maximum(prior, _SMALLEST))
    odds = np.exp(odds - odds.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def brought_up_to_date(
    votes: Votes,
    late: NDArray[np.bool_],
    probabilities: NDArray[np.floating],
    *,
    rounds: int = 100,
    tolerance: float = 1e-5,
) -> NDArray[np.float64]:
    """Return (N, K) the consensus after late votes; items without one keep theirs.

    It is not quite what all votes together give from the start: an item without a new vote is not judged again where
    new votes show one of its annotators in another light.

    Parameters
    ----------
    votes : all votes, old and late
    late : (M,) which of them are late
    probabilities : (N, K) the consensus of the old votes, by Dawid and Skene's model; of new items nothing is read
    rounds, tolerance : at most so many rounds over the items with late votes; fewer where none moves by more than this

    Examples
    --------
    >>> items, people = np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4)
    >>> votes = Votes(items, people, np.array([0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]), 4, 3, 2)
    >>> late = np.arange(12) == 11  # the last item had one vote for each label, until now
    >>> before = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    >>> brought_up_to_date(votes, late, before)[3].argmax()
    np.int64(1)
    """
    found = np.array(probabilities, dtype=np.float64)
    items = np.unique(votes.item[late])
    if not len(items):
        return found
    place = np.full(votes.num_items, -1)
    place[items] = np.arange(len(items))
    touched = place[votes.item] >= 0
    theirs = replace(
        votes,
        item=place[votes.item[touched]],
        annotator=votes.annotator[touched],
        label=votes.label[touched],
        num_items=len(items),
    )
    old = replace(votes, item=votes.item[~touched], annotator=votes.annotator[~touched], label=votes.label[~touched])
    others = counted(old, found)
    known = np.isin(items, votes.item[~late])
    now = np.where(known[:, None], found[items], majority_probabilities(vote_counts(theirs)))
    rest = np.bincount(old.item, minlength=votes.num_items) > 0
    mass, n = found[rest].sum(axis=0), int(rest.sum())
    for _ in range(rounds):
        prior = (mass + now.sum(axis=0)) / (n + len(items))
        before, now = now, posterior(theirs, others + counted(theirs, now), prior)
        if np.abs(now - before).max() < tolerance:
            break
    found[items] = now
    return found
