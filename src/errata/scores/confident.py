"""Confident learning."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from errata.scores._blocks import BlockReader, as_given
from errata.scores._counts import at_least_one_correct, calibrate as _calibrate
from errata.scores._evidence import confident_class, count_pairs, gather, mean_self_confidence


def confident_joint(
    given: ArrayLike, pred_probs: ArrayLike, *, calibrate: bool = True, threads: int = 1
) -> NDArray[np.float64]:
    """Estimate the joint distribution of given and true labels.

    Parameters
    ----------
    given : (N,) int in [0, K), -1 where missing
    pred_probs : (N, K) float, each row a distribution

    Returns
    -------
    (K, K) float64 summing to 1; rows are given classes, columns estimated true ones.

    Examples
    --------
    >>> probs = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]]
    >>> confident_joint([0, 0, 0, 1, 1, 1], probs).round(2)
    array([[0.33, 0.17],
           [0.  , 0.5 ]])
    """
    reader = BlockReader(pred_probs, threads=threads)
    evidence = gather(reader, as_given(given, reader.num_rows, reader.num_classes))
    counted = confident_class(reader, evidence, mean_self_confidence(evidence))
    pairs = at_least_one_correct(count_pairs(evidence.given, counted, reader.num_classes))
    if calibrate:
        pairs = _calibrate(pairs, evidence.counts())
    return pairs / pairs.sum()
