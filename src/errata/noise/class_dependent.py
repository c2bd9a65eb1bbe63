"""Noise that depends on the class only: symmetric and asymmetric.

A transition matrix T[i, j] = P(given = j | true = i) says how often the labels of class i become class j. By default
the noise is planted in exact counts: the number of labels of each class that change, and the number that go to each
other class, are the expected ones up to rounding, as the field's data sets are made; which labels, is drawn. With
``exact=False`` every label is drawn by itself, and the realised rate scatters around the asked one.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from errata.errors import ParameterError
from errata.noise._inputs import (
    MISSING,
    check_labels,
    check_num_classes,
    check_rate,
    generator,
    integer_labels,
    like,
    to_numpy,
)
from errata.noise.mappings import destinations

__all__ = ["asymmetric", "asymmetric_transition", "symmetric", "symmetric_transition"]

# class -> (the classes its changed labels go to, with which weights; None means evenly)
Targets = Callable[[int], "tuple[np.ndarray, np.ndarray | None]"]


def symmetric(
    labels: Any, rate: float, num_classes: int, *, seed: int, inclusive: bool = False, exact: bool = True
) -> Any:
    """Change a share of the labels to other classes, all others alike.

    The convention: ``rate`` is the share of labels *changed to another class*, T[i, j] = rate / (K - 1) for j != i.
    With ``inclusive=True`` it is the share of labels *replaced by a draw from all K classes*, of which one in K falls
    on the old class again, so that only ``rate * (K - 1) / K`` of the labels change. Papers use both under one name.

    Parameters
    ----------
    labels : (N,) integers in [0, K), array or tensor
        -1 means missing and stays.
    rate : float in [0, 1]
    num_classes : int >= 2
        K.
    seed : int >= 0
        Same seed, same noise. The global generators are not touched.
    inclusive : bool, default False
        Which convention ``rate`` follows, see above.
    exact : bool, default True
        Plant the expected counts, up to rounding (per class less than one label off, over all classes the nearest
        integer); False draws every label by itself.

    Returns
    -------
    (N,) of the same dtype; a tensor on the same device if a tensor came in

    Raises
    ------
    ParameterError
        ``rate``, ``num_classes`` or ``seed`` out of range.
    DataError
        Labels that are not integers, not one-dimensional or out of range.

    Examples
    --------
    >>> clean = np.arange(1000) % 10
    >>> noisy = symmetric(clean, 0.4, 10, seed=0)
    >>> (noisy != clean).mean().item()
    0.4
    >>> (symmetric(clean, 0.4, 10, seed=0, inclusive=True) != clean).mean().item()
    0.36

    References
    ----------
    van Rooyen, Menon, Williamson, "Learning with symmetric label noise: the importance of being unhinged", 2015,
    arXiv 1505.07634.
    """
    num_classes = check_num_classes(num_classes)
    leave = np.full(num_classes, _share_changed(rate, num_classes, inclusive))
    every = np.arange(num_classes)

    def others(source: int) -> tuple[np.ndarray, None]:
        return np.delete(every, source), None

    return _change(labels, leave, others, exact, generator(seed, 1))


def symmetric_transition(rate: float, num_classes: int, *, inclusive: bool = False) -> np.ndarray:
    """Return the (K, K) transition matrix that :func:`symmetric` plants.

    Examples
    --------
    >>> symmetric_transition(0.5, 3)
    array([[0.5 , 0.25, 0.25],
           [0.25, 0.5 , 0.25],
           [0.25, 0.25, 0.5 ]])
    """
    num_classes = check_num_classes(num_classes)
    changed = _share_changed(rate, num_classes, inclusive)
    matrix = np.full((num_classes, num_classes), changed / (num_classes - 1))
    np.fill_diagonal(matrix, 1.0 - changed)
    return matrix


def asymmetric(
    labels: Any,
    rate: float | None,
    mapping: Any = "pair",
    num_classes: int | None = None,
    *,
    seed: int,
    exact: bool = True,
) -> Any:
    """Change a share of the labels of each mistaken class to the classes it is mistaken for.

    ``rate`` is the share of labels changed *in each class that has somewhere to go*; classes that the mapping leaves
    out keep their labels, so that the rate over all labels is lower (0.4 with "cifar10" changes 20 % of CIFAR-10).

    Parameters
    ----------
    labels : (N,) integers in [0, K), array or tensor
        -1 means missing and stays.
    rate : float in [0, 1], or None with a matrix
        With a matrix whose classes differ in noise it is the mean over the classes that have any: the matrix says the
        pattern, the rate its strength. None takes the matrix as it stands.
    mapping : "pair", "mnist", "cifar10", "cifar100", dict or (K, K) matrix, default "pair"
        "pair" sends class i to (i + 1) mod K; the named data sets have their usual confusions
        (:mod:`errata.noise.mappings`); a dict sends class to class; row i of a matrix says where the labels of class i
        go and sums to 1 (a transition matrix, or one with zeros on the diagonal).
    num_classes : int >= 2, optional
        K. If absent, it is what the mapping says (a named data set, a matrix), else the largest label or class of the
        dict plus one.
    seed : int >= 0
        Same seed, same noise. The global generators are not touched.
    exact : bool, default True
        Plant the expected counts, up to rounding; False draws every label by itself.

    Returns
    -------
    (N,) of the same dtype; a tensor on the same device if a tensor came in

    Raises
    ------
    ParameterError
        ``rate`` or ``seed`` out of range, a mapping that does not fit, or a rate that the matrix cannot reach.
    DataError
        Labels that are not integers, not one-dimensional or out of range.

    Examples
    --------
    >>> clean = np.arange(1000) % 10
    >>> noisy = asymmetric(clean, 0.4, "cifar10", 10, seed=0)
    >>> np.unique(noisy[clean == 9], return_counts=True)
    (array([1, 9]), array([40, 60]))

    References
    ----------
    Patrini, Rozza, Menon, Nock, Qu, "Making deep neural networks robust to label noise: a loss correction approach",
    2017, arXiv 1609.03683.
    """
    if num_classes is None:
        num_classes = _classes_in(labels, mapping)
    transition = asymmetric_transition(rate, mapping, num_classes)
    leave = 1.0 - np.diagonal(transition)

    def mistaken_for(source: int) -> tuple[np.ndarray, np.ndarray]:
        weights = transition[source].copy()
        weights[source] = 0.0
        ids = np.flatnonzero(weights)
        return ids, weights[ids] / weights.sum()

    return _change(labels, leave, mistaken_for, exact, generator(seed, 2))


def asymmetric_transition(rate: float | None, mapping: Any = "pair", num_classes: int | None = None) -> np.ndarray:
    """Return the (K, K) transition matrix that :func:`asymmetric` plants (same parameters).

    Examples
    --------
    >>> asymmetric_transition(0.25, {0: 2}, 3)
    array([[0.75, 0.  , 0.25],
           [0.  , 1.  , 0.  ],
           [0.  , 0.  , 1.  ]])
    """
    pattern = destinations(mapping, num_classes)
    away = 1.0 - np.diagonal(pattern)
    if rate is None:
        if isinstance(mapping, (str, Mapping)):
            raise ParameterError("rate may be None only with a transition matrix; give the share of labels to change.")
        return pattern
    rate = check_rate(rate)
    noisy = away > 0
    if rate == 0 or not noisy.any():
        return np.eye(len(pattern))
    strength = rate / away[noisy].mean()
    if (worst := away.max() * strength) > 1.0 + 1e-9:
        raise ParameterError(
            f"the matrix cannot be brought to a mean rate of {rate:g}: class {int(away.argmax())} would have to change "
            f"{worst:.2f} of its labels. Ask for at most {rate / worst:.3g}, or give rate=None to keep the matrix."
        )
    transition = strength * pattern
    transition[np.diag_indices_from(transition)] = np.maximum(1.0 - strength * away, 0.0)
    return transition


def _share_changed(rate: float, num_classes: int, inclusive: bool) -> float:
    return check_rate(rate) * ((num_classes - 1) / num_classes if inclusive else 1.0)


def _classes_in(labels: Any, mapping: Any) -> int | None:
    """Return K where the caller does not say it and the labels must; None where the mapping does."""
    if isinstance(mapping, Mapping):
        named = [c for pair in mapping.items() for c in pair if isinstance(c, numbers.Integral)]
    elif isinstance(mapping, str) and mapping == "pair":
        named = []
    else:
        return None
    return max([int(integer_labels(labels).max(initial=1)), *map(int, named)]) + 1


def _change(labels: Any, leave: np.ndarray, targets: Targets, exact: bool, rng: np.random.Generator) -> Any:
    """Change a share ``leave[i]`` of the labels of each class i to ``targets(i)``."""
    num_classes = len(leave)
    values = check_labels(labels, num_classes)
    original = to_numpy(labels)
    noisy = original.copy()
    if original.dtype != bool and num_classes - 1 > np.iinfo(original.dtype).max:
        raise ParameterError(
            f"labels of dtype {original.dtype} cannot hold {num_classes} classes; give them as a wider integer type."
        )
    rows, bounds = _rows_by_class(values, num_classes, rng)
    sizes = np.diff(bounds)
    if exact:
        leavers = _round_jointly(leave * sizes, sizes, rng)
    else:
        leavers = rng.binomial(sizes, leave)
    for source in np.flatnonzero(leavers):
        chosen = rows[bounds[source] : bounds[source] + leavers[source]]
        ids, weights = targets(int(source))
        noisy[chosen] = _draw_targets(ids, weights, len(chosen), exact, rng)
    return like(noisy, labels)


def _rows_by_class(values: np.ndarray, num_classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows grouped by class, in random order inside each; class i has ``rows[bounds[i]:bounds[i + 1]]``."""
    shuffled = rng.permutation(np.flatnonzero(values != MISSING))
    keys = values[shuffled]
    if num_classes <= np.iinfo(np.uint16).max:
        keys = keys.astype(np.uint16)  # 16-bit keys are sorted by radix, several times faster
    rows = shuffled[np.argsort(keys, kind="stable")]
    sizes = np.bincount(keys, minlength=num_classes)
    return rows, np.concatenate([[0], np.cumsum(sizes)])


def _round_jointly(expected: np.ndarray, most: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Round the (K,) expected counts so that each is less than one off and their sum is the nearest integer.

    Rounding the running total, in a random order of the classes, is what keeps many small classes right together:
    100 classes of one label each at rate 0.4 give 40 changed labels, not none.
    """
    order = rng.permutation(len(expected))
    running = np.floor(np.cumsum(expected[order]) + 0.5)
    counts = np.empty(len(expected), dtype=np.int64)
    counts[order] = np.diff(running, prepend=0.0)
    return np.minimum(counts, most)  # a running total one ulp short of a half could ask a full class for one more


def _draw_targets(
    ids: np.ndarray, weights: np.ndarray | None, count: int, exact: bool, rng: np.random.Generator
) -> np.ndarray:
    """Draw ``count`` classes out of ``ids``; exact: each as often as its weight says, up to rounding."""
    if not exact:
        return rng.choice(ids, size=count, p=weights)
    order = rng.permutation(len(ids))
    share = np.full(len(ids), 1.0 / len(ids)) if weights is None else weights[order]
    edges = np.floor(count * np.cumsum(share) + rng.random())
    edges[-1] = count
    return np.repeat(ids[order], np.diff(np.minimum(edges, count), prepend=0.0).astype(np.int64))
