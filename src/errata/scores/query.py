"""Which label to buy next: scores that rise with what a second look at a row promises.

Each is a pure function of what models say of N rows and K classes. Of one model there are entropy and margin; of
several, how they differ. What a ledger knows (trust) is a rule of its own, and so is chance.

References
----------
Settles: Active learning literature survey, University of Wisconsin, 2009 (entropy, margin, query by committee).
Parekh, Anand, Awekar: arXiv 2112.13320 (signed confidence as a baseline).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.errors import DataError

__all__ = [
    "disagreement_score",
    "entropy_score",
    "kl_score",
    "margin_score",
    "random_score",
    "signed_confidence",
    "trust_score",
    "vote_entropy",
]

_SMALLEST = 1e-12


def entropy_score(pred_probs: Any) -> np.ndarray:
    """Entropy of the mean prediction, in nats.

    Parameters
    ----------
    pred_probs : (N, K) or (M, N, K) probabilities

    Returns
    -------
    (N,) float64 in [0, log K]

    Examples
    --------
    >>> entropy_score([[0.5, 0.5], [1.0, 0.0]]).round(3)
    array([0.693, 0.   ])
    """
    p = _probabilities(pred_probs).mean(axis=0)
    return _entropy(p)


def margin_score(pred_probs: Any) -> np.ndarray:
    """1 less the lead of the mean prediction's best class over the second.

    Examples
    --------
    >>> margin_score([[0.5, 0.5, 0.0], [0.7, 0.2, 0.1]]).round(3)
    array([1. , 0.5])
    """
    p = _probabilities(pred_probs).mean(axis=0)
    top = np.partition(p, -2, axis=1)[:, -2:] if p.shape[1] > 1 else np.c_[np.zeros(len(p)), p]
    return 1.0 - (top[:, 1] - top[:, 0])


def kl_score(pred_probs: Any) -> np.ndarray:
    """Mean divergence of the models' predictions from their mean, in nats (query by committee).

    Parameters
    ----------
    pred_probs : (M, N, K) probabilities of M models, two at least

    Examples
    --------
    >>> kl_score([[[0.5, 0.5]], [[0.5, 0.5]]]), kl_score([[[1.0, 0.0]], [[0.0, 1.0]]]).round(3)
    (array([0.]), array([0.693]))
    """
    p = _probabilities(pred_probs)
    if len(p) < 2:
        raise DataError("How models differ needs predictions of two models or more; there is one.")
    return np.maximum(_entropy(p.mean(axis=0)) - np.mean([_entropy(one) for one in p], axis=0), 0.0)


def vote_entropy(predictions: Any, num_classes: int) -> np.ndarray:
    """Entropy of the models' votes, in nats.

    Parameters
    ----------
    predictions : (N, M) classes that M models predict
    num_classes : K

    Examples
    --------
    >>> vote_entropy([[0, 0], [0, 1]], 2).round(3)
    array([0.   , 0.693])
    """
    votes = np.asarray(predictions)
    shares = np.zeros((len(votes), num_classes))
    rows = np.arange(len(votes))
    for one in votes.T:
        shares[rows, one] += 1.0 / votes.shape[1]
    return _entropy(shares)


def disagreement_score(labels: Any, predictions: Any) -> np.ndarray:
    """The share of models whose prediction is not the given label: (N,), (N, M) -> (N,) in [0, 1].

    Examples
    --------
    >>> disagreement_score([0, 1], [[0, 1], [0, 0]])
    array([0.5, 1. ])
    """
    return (np.asarray(predictions) != np.asarray(labels)[:, None]).mean(axis=1)


def signed_confidence(labels: Any, predictions: Any, confidence: Any) -> np.ndarray:
    """Mean confidence of the models, counted against where they predict the given label.

    Parameters
    ----------
    labels : (N,)
    predictions : (N, M)
    confidence : (N, M) probability of each prediction

    Returns
    -------
    (N,) in [-1, 1]

    Examples
    --------
    >>> signed_confidence([0, 1], [[0, 1], [0, 0]], [[0.75, 0.5], [1.0, 0.5]])
    array([-0.125,  0.75 ])
    """
    differs = np.asarray(predictions) != np.asarray(labels)[:, None]
    own = np.asarray(confidence, dtype=np.float64)
    return np.where(differs, own, -own).mean(axis=1)


def random_score(num_rows: int, *, seed: int) -> np.ndarray:
    """(N,) a random order, as what random reannotation is compared with."""
    return np.random.default_rng(seed).permutation(num_rows).astype(np.float64)


def trust_score(trust: Any) -> np.ndarray:
    """1 less the ledger's trust: the chance that the label is wrong, NaN where there is none.

    Examples
    --------
    >>> trust_score([0.25, 1.0])
    array([0.75, 0.  ])
    """
    return 1.0 - np.asarray(trust, dtype=np.float64)


def _entropy(p: np.ndarray) -> np.ndarray:
    return np.maximum(-(p * np.log(np.maximum(p, _SMALLEST))).sum(axis=1), 0.0)


def _probabilities(pred_probs: Any) -> np.ndarray:
    p = np.asarray(pred_probs, dtype=np.float64)
    p = p[None] if p.ndim == 2 else p
    if p.ndim != 3:
        raise DataError(f"Expected probabilities of shape (N, K), or (M, N, K) of M models; got {p.shape}.")
    return p
