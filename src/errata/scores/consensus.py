"""HOC: the noise transition from how often a row and its two nearest rows agree in which labels.

If alike rows have the same true label, and their given labels are mistaken independently of each other, then the
frequencies of single given labels, of pairs and of triples are polynomials in the transition matrix and the classes'
shares; these are found by gradient descent on the difference.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.errors import DataError
from errata.labels import MISSING

MOST_CLASSES = 128
"""Triples of more classes are too many to be seen often enough, and their table too large."""

STEPS, RATE = 1500, 0.1
_PATIENCE, _LEAST_GAIN = 100, 1e-5


def consensus(index: np.ndarray, codes: Any, num_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frequencies of given labels, of pairs with the nearest row's, and of triples with the nearest two rows'.

    Parameters
    ----------
    index : (N, k) nearest rows, k >= 2; see ``Neighbours``
    codes : (N,) given labels, -1 where missing: such rows count in no triple
    num_classes : K, at most 128

    Returns
    -------
    (K,), (K, K), (K, K, K) float64, each summing to 1

    Examples
    --------
    >>> first, second, third = consensus(np.array([[1, 2], [0, 2], [0, 1]]), [0, 0, 1], 2)
    >>> first.round(2), second.round(2).tolist()
    (array([0.67, 0.33]), [[0.67, 0.0], [0.33, 0.0]])
    """
    if num_classes > MOST_CLASSES:
        raise DataError(f"Consensus of triples is for at most {MOST_CLASSES} classes; these labels have {num_classes}.")
    given = np.asarray(codes).astype(np.int64)
    triples = np.column_stack([given, given[index[:, 0]], given[index[:, 1]]])
    own = np.arange(len(given))
    whole = (triples != MISSING).all(axis=1) & (index[:, 0] != own) & (index[:, 1] != own)
    triples = triples[whole]
    if not len(triples):
        raise DataError("No row with a label has two labelled neighbours, so nothing can be told from consensus.")
    k = num_classes
    third = np.bincount((triples[:, 0] * k + triples[:, 1]) * k + triples[:, 2], minlength=k**3) / len(triples)
    third = third.reshape(k, k, k)
    second = third.sum(axis=2)
    return second.sum(axis=1), second, third


def solve_consensus(
    first: np.ndarray, second: np.ndarray, third: np.ndarray, *, steps: int = STEPS
) -> tuple[np.ndarray, np.ndarray]:
    """The transition and the classes' shares that explain the frequencies best.

    Parameters
    ----------
    first, second, third : see :func:`consensus`
    steps : of Adam, at most; it stops where nothing is gained any more

    Returns
    -------
    transition : (K, K) float64, T[i, j] = P(given = j | true = i)
    prior : (K,) float64, P(true = i)

    References
    ----------
    Zhu, Song, Liu: Clusterability as an alternative to anchor points when learning with noisy labels. ICML 2021,
    arXiv 2102.05291.

    Examples
    --------
    >>> T, prior = np.array([[0.9, 0.1], [0.3, 0.7]]), np.array([0.6, 0.4])
    >>> third = np.einsum("i,ia,ib,ic->abc", prior, T, T, T)
    >>> found, shares = solve_consensus(third.sum((1, 2)), third.sum(2), third)
    >>> found.round(1), shares.round(1)
    (array([[0.9, 0.1],
           [0.3, 0.7]]), array([0.6, 0.4]))
    """
    import torch

    aims = [torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32)) for a in (first, second, third)]
    k = len(first)
    logits = (5.0 * torch.eye(k) - 1.0).requires_grad_()
    shares = torch.log(torch.from_numpy(np.maximum(first, 1e-3).astype(np.float32))).requires_grad_()
    optimizer = torch.optim.Adam([logits, shares], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, waited, kept = float("inf"), 0, (logits.detach().clone(), shares.detach().clone())
    with torch.enable_grad():
        for _ in range(steps):
            optimizer.zero_grad()
            loss = _misfit(logits.softmax(1), shares.softmax(0), aims)
            value = float(loss.detach())
            waited = 0 if value < best - _LEAST_GAIN else waited + 1
            if value < best:
                best, kept = value, (logits.detach().clone(), shares.detach().clone())
            if waited > _PATIENCE:
                break
            loss.backward()
            optimizer.step()
            schedule.step()
    return _named(kept[0].double().softmax(1).numpy(), kept[1].double().softmax(0).numpy())


def _named(transition: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same solution with the true classes named so that most labels are right: consensus can't tell their names."""
    from scipy.optimize import linear_sum_assignment

    of, name = linear_sum_assignment(transition * prior[:, None], maximize=True)
    order = of[np.argsort(name)]
    return transition[order], prior[order]


def _misfit(transition: Any, prior: Any, aims: list[Any]) -> Any:
    k = len(prior)
    weighted = transition * prior[:, None]  # joint of true and given
    pairs = (transition[:, :, None] * transition[:, None, :]).reshape(k, k * k)
    found = (
        weighted.sum(0),
        weighted.T @ transition,
        (weighted.T @ pairs).reshape(k, k, k),
    )
    return sum((f - a).square().sum().add(1e-16).sqrt() for f, a in zip(found, aims))


def share_right(transition: np.ndarray, prior: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """(K,) the share of right labels among those given as each class, by Bayes' rule; at most 1.

    Parameters
    ----------
    transition, prior : see :func:`solve_consensus`
    frequencies : (K,) of the given labels

    Examples
    --------
    >>> share_right(np.array([[0.8, 0.2], [0.0, 1.0]]), np.array([0.5, 0.5]), np.array([0.4, 0.6])).round(2)
    array([1.  , 0.83])
    """
    return np.minimum(1.0, np.diag(transition) * prior / np.maximum(frequencies, 1e-12))
