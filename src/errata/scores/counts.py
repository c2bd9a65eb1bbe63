"""From confident counts to whole numbers of rows per (given, true) pair: calibration, rounding, quotas for pruning."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def at_least_one_correct(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the (K, K) counts with a diagonal of at least one, so that no class is believed to be all wrong.

    Examples
    --------
    >>> at_least_one_correct(np.array([[0, 2], [1, 5]]))
    array([[1, 2],
           [1, 5]])
    """
    result = pairs.copy()
    np.fill_diagonal(result, np.maximum(pairs.diagonal(), 1))
    return result


def calibrate(pairs: NDArray[np.int64], label_counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Scale confident counts (K, K) up to all labelled rows: row i of the result sums to ``label_counts[i]``.

    Rows that were confident of no class are taken to be spread as the confident ones of the same label are. Every row
    of ``pairs`` must have a count.

    Examples
    --------
    >>> calibrate(np.array([[3, 1], [0, 2]]), np.array([8, 3]))
    array([[6, 2],
           [0, 3]])
    """
    scaled = pairs / pairs.sum(axis=1, keepdims=True) * label_counts[:, None]
    # Halves are common here, so the last bit decides: the total is summed by columns, as other implementations do.
    return round_rows(scaled / scaled.ravel(order="F").sum() * label_counts.sum())


def round_rows(matrix: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Round each row of a matrix to integers that keep the (rounded) total of the row.

    Each value goes to the nearest integer; what is then missing from a row's total is added, one each, to the values
    that were rounded down the furthest, and what is too much is taken from those rounded up the furthest.

    Examples
    --------
    >>> round_rows(np.array([[1.4, 1.3, 1.3], [0.4, 1.7, 1.9]]))
    array([[2, 1, 1],
           [0, 2, 2]])
    """
    rounded = matrix.round()
    totals = matrix.sum(axis=1).round()
    while True:
        missing = (totals - rounded.sum(axis=1)).round()
        rows = np.flatnonzero(missing)
        if not rows.size:
            return rounded.astype(np.int64)
        # Equal remainders are common (equal counts in a row); the default sort's order of them is kept on purpose,
        # since the other implementations of these rules share it.
        order = np.argsort(matrix[rows] - rounded[rows], axis=1)
        for row, ascending in zip(rows, order):
            size = min(int(abs(missing[row])), matrix.shape[1])
            chosen = ascending[::-1][:size] if missing[row] > 0 else ascending[:size]
            rounded[row, chosen] += np.sign(missing[row])


def prune_quota(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (K, K) how many rows of given class i may be pruned as truly j; the diagonal says how many stay.

    These are the calibrated counts, changed only where a class would keep no row: it keeps one, taken evenly from its
    other entries.

    Examples
    --------
    >>> prune_quota(np.array([[0, 4, 0], [1, 9, 0], [0, 0, 6]]))
    array([[1, 3, 0],
           [1, 9, 0],
           [0, 0, 6]])
    """
    kept = np.maximum(pairs.diagonal(), 1)
    raised = kept - pairs.diagonal()
    sources = np.maximum(np.count_nonzero(pairs, axis=1) - 1.0, 1.0)
    quota = np.maximum(pairs - (raised / sources)[:, None], 0)
    np.fill_diagonal(quota, kept)
    return quota.astype(np.int64)
