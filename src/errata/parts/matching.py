"""Classes that were found without names, matched with those that have names."""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.errors import DataError

__all__ = ["hungarian_relabel"]


def hungarian_relabel(predicted: Any, truth: Any, num_classes: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Name found classes after true ones so that as many samples as possible agree.

    Parameters
    ----------
    predicted, truth : (N,) int in [0, K)
    num_classes : K

    Returns
    -------
    order (K,) int : the true class of each found one
    relabelled (N,) int : the predictions in the names of the true classes
    accuracy : their share that is right, in [0, 1]

    Examples
    --------
    >>> hungarian_relabel([0, 0, 1, 1], [1, 1, 0, 1], 2)
    (array([1, 0]), array([1, 1, 0, 0]), 0.75)
    """
    from scipy.optimize import linear_sum_assignment

    found, true = np.asarray(predicted), np.asarray(truth)
    if found.shape != true.shape or found.ndim != 1 or not found.size:
        raise DataError(f"Expected as many predictions as true classes, 1 or more; got {found.shape} and {true.shape}.")
    if min(found.min(), true.min()) < 0 or max(found.max(), true.max()) >= num_classes:
        raise DataError(f"Classes must lie in [0, {num_classes - 1}].")
    table = np.bincount(found * num_classes + true, minlength=num_classes**2).reshape(num_classes, num_classes)
    order = linear_sum_assignment(table, maximize=True)[1]
    relabelled = order[found]
    return order, relabelled, float((relabelled == true).mean())
