"""How good a split is for many labels at once: labels as independent Bernoulli variables, entropies in bits.

Counts are arrays whose first axis is a row per count: ``TOTAL``, ``EMPTY`` (events without any label), then one per
label.
"""

from __future__ import annotations

import numpy as np

__all__ = ["EMPTY", "TOTAL", "label_entropy", "split_merit"]

TOTAL, EMPTY = 0, 1


def label_entropy(counts: np.ndarray) -> np.ndarray:
    """Sum of the binary entropies of "empty" and of the labels, ``p_l = count_l / largest count``.

    Parameters
    ----------
    counts : (2 + L, ...) float, 0 or more

    Returns
    -------
    (...) float, in bits; 0 where there is nothing but the total and one more count

    Examples
    --------
    >>> label_entropy(np.array([4.0, 0.0, 2.0, 4.0])), label_entropy(np.array([4.0, 0.0, 2.0]))
    (array(1.), array(0.))
    """
    largest = counts.max(axis=0)
    p = counts[1:] / np.where(largest > 0, largest, 1.0)
    q = 1.0 - p
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.where((p > 0) & (q > 0), p * np.log2(p) + q * np.log2(q), 0.0)
    mixed = (counts[1:] > 0).sum(axis=0) > 1
    return np.where(mixed, -bits.sum(axis=0), 0.0)


def split_merit(pre: np.ndarray, post: np.ndarray, min_branch_fraction: float = 0.01) -> np.ndarray:
    """The entropy that a split takes away: H(parent) - mean of H(children), weighted by their totals.

    Parameters
    ----------
    pre : (2 + L,) counts at the node
    post : (C, 2 + L, ...) counts of its children
    min_branch_fraction : the share of the total that at least two children must exceed

    Returns
    -------
    (...) float, in bits; -inf where fewer than two children are large enough

    Examples
    --------
    >>> pre = np.array([4.0, 0.0, 2.0, 2.0])
    >>> split_merit(pre, np.array([[2.0, 0.0, 2.0, 0.0], [2.0, 0.0, 0.0, 2.0]]))
    array(2.)
    """
    totals = post[:, TOTAL]
    mass = totals.sum(axis=0)
    shares = totals / np.where(mass > 0, mass, 1.0)
    after = (shares * np.stack([label_entropy(child) for child in post])).sum(axis=0)
    return np.where((shares > min_branch_fraction).sum(axis=0) >= 2, label_entropy(pre) - after, -np.inf)
