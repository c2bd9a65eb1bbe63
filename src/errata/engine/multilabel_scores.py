"""How well probabilities of several labels per item agree with the labels."""

from __future__ import annotations

import numpy as np
import torch
from torchmetrics.functional.classification import (
    multilabel_f1_score,
    multilabel_hamming_distance,
    multilabel_ranking_loss,
)

from errata.errors import DataError
from errata.parts.multilabel import mean_average_precision

__all__ = ["multilabel_scores"]


def multilabel_scores(given: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray) -> dict[str, float]:
    """Figures of the predictions, against labels that should be right.

    Parameters
    ----------
    given : (N, L) 1, 0, or -1 where not known: such pairs don't count
    probabilities : (N, L) in [0, 1]
    thresholds : (L,) above which a label is predicted

    Returns
    -------
    dict with ``map`` (mean over labels of the average precision of the items' ranking), ``micro_f1``, ``macro_f1``
    (over the labels that some item has), ``hamming`` (the share of wrong pairs), ``ranking_loss`` (the share of pairs
    of labels of an item in the wrong order; over items of which all is known), ``rows``

    Examples
    --------
    >>> y, p = np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.4], [0.2, 0.3]])
    >>> found = multilabel_scores(y, p, np.array([0.5, 0.5]))
    >>> round(found["map"], 3), round(found["micro_f1"], 3), found["hamming"], found["ranking_loss"]
    (0.75, 0.667, 0.25, 0.0)
    """
    there = (given == 1).any(axis=0)
    if not there.any():
        raise DataError(
            "No item to evaluate on has any of the labels; expected right labels, with 1 where one applies."
        )
    y, p = torch.from_numpy(given.astype(np.int64)), torch.from_numpy(probabilities.astype(np.float64))
    decided = (p >= torch.from_numpy(np.asarray(thresholds, dtype=np.float64))).to(torch.int64)
    two = y.shape[1] > 1  # torchmetrics wants two labels or more
    told, said = (y, decided) if two else (y.repeat(1, 2), decided.repeat(1, 2))
    count = told.shape[1]
    known = (y >= 0).all(1)
    chosen = torch.from_numpy(there if two else np.repeat(there, 2))
    each = multilabel_f1_score(said, told, count, average=None, ignore_index=-1)
    return {
        "map": float(mean_average_precision(p, y)),
        "micro_f1": float(multilabel_f1_score(said, told, count, average="micro", ignore_index=-1)),
        "macro_f1": float(each[chosen].mean()),
        "hamming": float(multilabel_hamming_distance(said, told, count, average="micro", ignore_index=-1)),
        "ranking_loss": float(multilabel_ranking_loss(p[known], y[known], y.shape[1])) if two and known.any() else 0.0,
        "rows": len(given),
    }
