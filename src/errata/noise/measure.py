"""Measuring label noise: counted where the truth is known, else estimated from out-of-sample probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.errors import DataError
from errata.noise._inputs import MISSING, check_labels, check_num_classes, check_same_length, integer_labels, to_numpy

__all__ = ["estimate_joint", "estimate_transition", "joint_matrix", "noise_rate", "transition_matrix"]


def transition_matrix(given: Any, true: Any, num_classes: int) -> np.ndarray:
    """Return T[i, j] = P(given = j | true = i), counted.

    Parameters
    ----------
    given, true : (N,) integers in [0, K)
        Rows where either is missing (-1) do not count.
    num_classes : int >= 2
        K.

    Returns
    -------
    (K, K) float64, rows sum to 1; the row of a class that is never true is the identity's

    Raises
    ------
    DataError
        Labels out of range, or not as many given as true ones.

    Examples
    --------
    >>> transition_matrix([0, 1, 1, 1], [0, 0, 1, 1], 2)
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    return _transition_from_joint(_counts(given, true, num_classes))


def joint_matrix(given: Any, true: Any, num_classes: int) -> np.ndarray:
    """Return J[i, j] = P(given = i, true = j), counted. Rows are given labels, columns true ones.

    Parameters
    ----------
    given, true : (N,) integers in [0, K)
        Rows where either is missing (-1) do not count.
    num_classes : int >= 2
        K.

    Returns
    -------
    (K, K) float64 that sums to 1

    Raises
    ------
    DataError
        Labels out of range, not as many given as true ones, or no row that has both.

    Examples
    --------
    >>> joint_matrix([0, 1, 1, 1], [0, 0, 1, 1], 2)
    array([[0.25, 0.  ],
           [0.25, 0.5 ]])
    """
    counts = _counts(given, true, num_classes)
    if not counts.any():
        raise DataError("there is no row with both a given and a true label, so there is no joint distribution.")
    return counts / counts.sum()


def noise_rate(given: Any, true: Any) -> float:
    """Return the share of labels that are wrong, of the rows where both are known (not -1).

    Parameters
    ----------
    given, true : (N,) integers

    Returns
    -------
    float in [0, 1]

    Raises
    ------
    DataError
        Labels that are not integers, not as many given as true ones, or no row that has both.

    Examples
    --------
    >>> noise_rate([0, 1, 1, -1], [0, 0, 1, 1])
    0.3333333333333333
    """
    given_labels, true_labels = integer_labels(given, "given"), integer_labels(true, "true")
    check_same_length(given_labels, true_labels, ("given", "true"))
    known = (given_labels != MISSING) & (true_labels != MISSING)
    if not known.any():
        raise DataError("there is no row with both a given and a true label, so there is no noise rate.")
    return float((given_labels != true_labels)[known].mean())


def estimate_joint(given: Any, pred_probs: Any) -> np.ndarray:
    """Estimate J[i, j] = P(given = i, true = j) by confident learning.

    A sample counts as truly of class j if its probability of j is at least the average that class's own samples get;
    the counts are scaled so that the rows agree with how often each label was given.

    Parameters
    ----------
    given : (N,) integers in [0, K)
    pred_probs : (N, K) float array, memory map or tensor
        Out-of-sample probabilities: of models that did not see the sample's label. Read in blocks, never copied whole.

    Returns
    -------
    (K, K) float64 that sums to 1

    Raises
    ------
    DataError
        Not one row of probabilities per label, or probabilities that are none.

    Examples
    --------
    >>> given = np.array([0, 0, 0, 1, 1, 1])
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7]])
    >>> estimate_joint(given, p).round(2)
    array([[0.33, 0.17],
           [0.  , 0.5 ]])

    References
    ----------
    Northcutt, Jiang, Chuang, "Confident learning: estimating uncertainty in dataset labels", 2021, arXiv 1911.00068.
    """
    # Late: the measures above should not load the scores.
    from errata.scores.confident import confident_joint

    probabilities = to_numpy(pred_probs)
    labels = integer_labels(given, "given")
    if probabilities.ndim != 2:
        raise DataError(f"pred_probs must have shape (N, K), got {probabilities.shape}.")
    check_same_length(labels, probabilities, ("given", "pred_probs"))
    return np.asarray(confident_joint(labels, probabilities, calibrate=True), dtype=np.float64)


def estimate_transition(given: Any, pred_probs: Any) -> np.ndarray:
    """Estimate T[i, j] = P(given = j | true = i) from out-of-sample probabilities.

    The calibrated confident joint (:func:`estimate_joint`), normalised for each true class.

    Parameters
    ----------
    given : (N,) integers in [0, K)
    pred_probs : (N, K) float array, memory map or tensor
        Out-of-sample probabilities. Read in blocks, never copied whole.

    Returns
    -------
    (K, K) float64, rows sum to 1; the row of a class that no sample is estimated to belong to is the identity's

    Raises
    ------
    DataError
        Not one row of probabilities per label, or probabilities that are none.

    Examples
    --------
    >>> given = np.array([0, 0, 0, 1, 1, 1])
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7]])
    >>> estimate_transition(given, p).round(2)
    array([[1.  , 0.  ],
           [0.25, 0.75]])

    References
    ----------
    Northcutt, Jiang, Chuang, "Confident learning: estimating uncertainty in dataset labels", 2021, arXiv 1911.00068.
    """
    return _transition_from_joint(estimate_joint(given, pred_probs))


def _transition_from_joint(joint: np.ndarray) -> np.ndarray:
    """Normalise J[given, true] for each true class; a class without any mass gets the identity's row."""
    mass = joint.sum(axis=0)
    transition = np.eye(len(joint))
    present = mass > 0
    transition[present] = (joint[:, present] / mass[present]).T
    return transition


def _counts(given: Any, true: Any, num_classes: int) -> np.ndarray:
    """Count pairs: (K, K), rows given, columns true."""
    num_classes = check_num_classes(num_classes)
    given_labels, true_labels = check_labels(given, num_classes, "given"), check_labels(true, num_classes, "true")
    check_same_length(given_labels, true_labels, ("given", "true"))
    known = (given_labels != MISSING) & (true_labels != MISSING)
    pairs = given_labels[known].astype(np.int64) * num_classes + true_labels[known]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.float64)
