"""How well masks agree, class by class; and what a network does where labels are wrong, if the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["class_iou", "confusion", "early_learning_iou", "iou_of", "memorisation_iou"]


def confusion(predicted: Tensor, given: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    """(C, C) int64, how many pixels of each given class (row) have which predicted one (column).

    Parameters
    ----------
    predicted, given : (...) int; pixels whose given class is ``ignore_index``, or no class, don't count

    Examples
    --------
    >>> confusion(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 255]), 2)
    tensor([[1, 1],
            [0, 0]])
    """
    given, predicted = given.long(), predicted.long()
    counted = (given != ignore_index) & (given >= 0) & (given < num_classes)
    pairs = given[counted] * num_classes + predicted[counted]
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


def class_iou(predicted: Tensor, given: Tensor, num_classes: int, eps: float = 1e-10) -> dict[str, Tensor]:
    """Intersection over union per class, 255 left out.

    Returns
    -------
    dict with TP, P (predicted), T (given), int64 (C,), and iou = TP / (T + P - TP + eps), float64 (C,)

    Examples
    --------
    >>> class_iou(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2)["iou"].tolist()
    [0.49999999997..., 0.49999999997...]
    """
    counts = confusion(predicted, given, num_classes)
    hits, predictions, labels = counts.diagonal(), counts.sum(0), counts.sum(1)
    union = (labels + predictions - hits).double() + eps
    return {"TP": hits, "P": predictions, "T": labels, "iou": hits.double() / union}


def iou_of(counts: Any) -> NDArray[np.float64]:
    """(C,) IoU from a confusion matrix (C, C); NaN for a class that neither occurs nor is predicted.

    Examples
    --------
    >>> iou_of([[8, 2, 0], [0, 5, 0], [0, 0, 0]]).round(3)
    array([0.8  , 0.714,   nan])
    """
    table = np.asarray(counts, dtype=np.float64)
    hits = np.diag(table)
    union = table.sum(0) + table.sum(1) - hits
    return np.where(union > 0, hits / np.where(union > 0, union, 1.0), np.nan)


def early_learning_iou(predicted: Tensor, given: Tensor, truth: Tensor, num_classes: int) -> NDArray[np.float64]:
    """(C,) IoU of the prediction with the truth on wrongly labelled pixels: high while the network is not yet misled.

    Parameters
    ----------
    predicted, given, truth : (...) int; 255 in ``given`` or ``truth`` is left out

    Examples
    --------
    >>> given, truth = torch.tensor([0, 0, 1]), torch.tensor([1, 1, 1])
    >>> early_learning_iou(torch.tensor([1, 0, 1]), given, truth, 2), memorisation_iou(
    ...     torch.tensor([1, 0, 1]), given, truth, 2)
    (array([0. , 0.5]), array([0.5, 0. ]))
    """
    return iou_of(confusion(predicted, _where_wrong(truth, given, truth), num_classes).cpu())


def memorisation_iou(predicted: Tensor, given: Tensor, truth: Tensor, num_classes: int) -> NDArray[np.float64]:
    """(C,) IoU of the prediction with the *wrong labels* on wrongly labelled pixels: high once they are memorised.

    See :func:`early_learning_iou`.
    """
    return iou_of(confusion(predicted, _where_wrong(given, given, truth), num_classes).cpu())


def _where_wrong(values: Tensor, given: Tensor, truth: Tensor) -> Tensor:
    wrong = (given != truth) & (given != 255) & (truth != 255)
    return torch.where(wrong, values, torch.full_like(values, 255))
