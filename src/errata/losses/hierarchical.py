"""Cross-entropy that counts by how far a wrong prediction is from the label in a tree of labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errata.errors import DataError
from errata.losses.base import check_choice, in_working_precision

__all__ = ["HierarchicalCrossEntropy", "hierarchical_cross_entropy"]


def hierarchical_cross_entropy(
    logits: Tensor, target: Tensor, distances: Tensor, *, normaliser: float | None = None, reduction: str = "mean"
) -> Tensor:
    """``CE_i d(y_i, argmax_i) / normaliser``: 0 for right predictions, and the farther the error the more.

    Parameters
    ----------
    logits : (B, K)
    target : (B,) int in [0, K)
    distances : (K, K) row = label, column = prediction: ``errata.scores.tree.Distances.graph`` or ``.ancestor``
    normaliser : by default the largest distance, so that the farthest error counts as in cross-entropy
    reduction : "mean" over the batch, "sum" or "none"

    Returns
    -------
    scalar, or (B,); no gradient flows through the distances

    Examples
    --------
    >>> tree = torch.tensor([[0.0, 2.0], [2.0, 0.0]])
    >>> hierarchical_cross_entropy(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]), tree, reduction="none")
    tensor([0.0000, 1.3133])
    """
    check_choice("reduction", reduction, ("mean", "sum", "none"))
    k = logits.shape[1]
    if distances.shape != (k, k):
        raise DataError(f"Expected distances between the {k} classes, ({k}, {k}); got {tuple(distances.shape)}.")
    z = in_working_precision(logits)
    table = distances.to(z)
    most = float(table.max()) if normaliser is None else float(normaliser)
    weight = table[target, z.detach().argmax(1)] / (most if most > 0 else 1.0)
    values = weight * F.cross_entropy(z, target, reduction="none")
    return values if reduction == "none" else values.mean() if reduction == "mean" else values.sum()


class HierarchicalCrossEntropy(nn.Module):
    """Cross-entropy weighted by distances in a tree of labels; see ``hierarchical_cross_entropy``.

    Parameters
    ----------
    distances : (K, K) array of distances between label (row) and prediction (column)
    normaliser : by default the largest distance
    reduction : "mean", "sum" or "none"

    Notes
    -----
    Right predictions have no loss at all, so alone it stops when the training set is fitted; the authors add it to
    cross-entropy.

    Examples
    --------
    >>> from errata.scores.tree import tree_distances
    >>> loss = HierarchicalCrossEntropy(tree_distances([3, 3, 4, 4, -1], 3).graph)
    >>> loss(torch.tensor([[0.0, 9.0, 0.0]]), torch.tensor([1]))
    tensor(0.)
    """

    distances: Tensor

    def __init__(self, distances: Any, normaliser: float | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.register_buffer("distances", torch.as_tensor(distances, dtype=torch.float32))
        self.normaliser = normaliser
        self.reduction = reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See ``hierarchical_cross_entropy``."""
        return hierarchical_cross_entropy(
            logits, target, self.distances, normaliser=self.normaliser, reduction=self.reduction
        )
