"""Domains with different proportions of the classes, made from one labelled set: the semi-synthetic protocol."""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.errors import DataError, ParameterError

__all__ = ["dirichlet_domains", "domain_sample_counts", "split_into_domains"]

TRIES = 2_000
NOTHING = 1e-7


def dirichlet_domains(
    num_domains: int, num_classes: int, alpha: float = 0.5, max_condition: float = 4.0, *, seed: int
) -> np.ndarray:
    """Draw class proportions of domains, until they tell the classes apart well enough.

    Parameters
    ----------
    num_domains : D, K or more
    num_classes : K
    alpha : concentration, > 0; each row is drawn from Dirichlet(alpha / K). Small is a strong shift.
    max_condition : the largest condition number that is taken, > 1
    seed : of the randomness

    Returns
    -------
    (D, K) float64, rows sum to 1: p(y | d)

    Raises
    ------
    ParameterError
        where no draw is good enough

    Examples
    --------
    >>> q = dirichlet_domains(5, 3, seed=0)
    >>> q.shape, bool(np.linalg.cond(q) <= 4)
    ((5, 3), True)
    """
    if num_domains < num_classes:
        raise ParameterError(f"There must be as many domains as classes, or more; got {num_domains} and {num_classes}.")
    if not alpha > 0:
        raise ParameterError(f"alpha must be above 0; got {alpha!r}.")
    rng = np.random.default_rng(seed)
    for _ in range(TRIES):
        q = rng.dirichlet(np.full(num_classes, alpha / num_classes), size=num_domains)
        q = np.where(np.nan_to_num(q) < NOTHING, 0.0, q)
        if (q.sum(1) > 0).all() and np.linalg.cond(q) <= max_condition:
            return q / q.sum(1, keepdims=True)
    raise ParameterError(
        f"None of {TRIES:,} draws has a condition number of {max_condition} or less. Allow more, or take another alpha."
    )


def domain_sample_counts(proportions: Any, n_min: int) -> tuple[np.ndarray, float]:
    """How many samples of each class a domain gets, where ``n_min`` of each class are at hand.

    Parameters
    ----------
    proportions : (D, K), p(y | d)
    n_min : samples of the rarest class

    Returns
    -------
    (D, K) int64, ``floor(Q[d, y] / D * n_min / max_y mean_d Q[d, y])``, and the condition number of the proportions

    Examples
    --------
    >>> domain_sample_counts([[0.5, 0.5], [1.0, 0.0]], 100)[0].tolist()
    [[33, 33], [66, 0]]
    """
    q = np.asarray(proportions, dtype=np.float64)
    if q.ndim != 2 or (q < 0).any() or not np.isfinite(q).all():
        raise DataError(f"Expected class proportions (D, K), 0 or more; got shape {q.shape}.")
    counts = np.floor(q / len(q) * n_min / q.mean(0).max()).astype(np.int64)
    return counts, float(np.linalg.cond(q))


def split_into_domains(labels: Any, proportions: Any, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Deal labelled rows out to domains, each row once at most.

    Parameters
    ----------
    labels : (N,) int in [0, K)
    proportions : (D, K), p(y | d)
    seed : of the choice

    Returns
    -------
    rows (M,) int64 : in random order
    domains (M,) int64 : the domain of each

    Examples
    --------
    >>> rows, domains = split_into_domains([0, 0, 0, 1, 1, 1], [[1.0, 0.0], [0.0, 1.0]], seed=0)
    >>> sorted(zip(domains.tolist(), rows.tolist()))
    [(0, 0), (0, 1), (0, 2), (1, 3), (1, 4), (1, 5)]
    """
    y, q = np.asarray(labels), np.asarray(proportions, dtype=np.float64)
    rng = np.random.default_rng(seed)
    counts, _ = domain_sample_counts(q, int(np.bincount(y, minlength=q.shape[1]).min()))
    rows, domains = [], []
    for k in range(q.shape[1]):
        own = rng.permutation(np.flatnonzero(y == k))
        rows.append(own[: counts[:, k].sum()])
        domains.append(np.repeat(np.arange(len(q)), counts[:, k])[: len(rows[-1])])
    order = rng.permutation(sum(map(len, rows)))
    return np.concatenate(rows)[order], np.concatenate(domains)[order]
