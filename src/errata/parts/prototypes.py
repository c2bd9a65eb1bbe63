"""Class prototypes: the mean representation of each class, and how near a sample is to each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["class_prototypes", "cosine_scores"]


def class_prototypes(z: Tensor, labels: Tensor, num_classes: int, previous: Tensor | None = None) -> Tensor:
    """The mean of each class's rows.

    Parameters
    ----------
    z : (M, D) representations
    labels : (M,) int in [0, K)
    num_classes : K
    previous : (K, D) what stands for a class without a row; zeros by default

    Returns
    -------
    (K, D)

    Examples
    --------
    >>> class_prototypes(torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([1, 1]), 2)
    tensor([[0., 0.],
            [2., 0.]])
    """
    members = F.one_hot(labels, num_classes).to(z.dtype)
    counts = members.sum(0)[:, None]
    means = (members.T @ z) / counts.clamp(min=1)
    return means if previous is None else torch.where(counts > 0, means, previous.to(z.dtype))


def cosine_scores(z: Tensor, prototypes: Tensor) -> Tensor:
    """Cosine of each row with each prototype; 0 where either is zero.

    Parameters
    ----------
    z : (N, D)
    prototypes : (K, D)

    Returns
    -------
    (N, K) in [-1, 1]

    Examples
    --------
    >>> cosine_scores(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    tensor([[1., 0.],
            [0., 0.]])
    """
    return _unit(z) @ _unit(prototypes).T


def _unit(rows: Tensor) -> Tensor:
    """Rows of length 1; by their largest entry first, so that tiny rows don't vanish when they are squared."""
    largest = rows.abs().amax(1, keepdim=True)
    scaled = rows / torch.where(largest > 0, largest, 1.0)
    length = scaled.norm(dim=1, keepdim=True)
    return scaled / torch.where(length > 0, length, 1.0)
