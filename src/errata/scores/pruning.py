"""How hard, how typical, how much needed each sample is: the scores by which a training set is pruned.

Pure functions of what a training has predicted, in logits (E, N, C) over E epochs or (N, C) at one time, or of features
(N, d). ``errata.parts.DynamicsRecorder`` keeps the same as running sums during one training. Published codes differ in
details that change the ranking (sum or mean, probabilities or logits, what becomes of samples never learned), so the
names say which variant they are.

References
----------
Toneva et al.: An empirical study of example forgetting during deep neural network learning. ICLR 2019,
arXiv 1812.05159.
Paul, Ganguli, Dziugaite: Deep learning on a data diet. NeurIPS 2021, arXiv 2107.07075 (EL2N, GraNd).
Pleiss et al.: Identifying mislabeled data using the area under the margin ranking. NeurIPS 2020, arXiv 2001.10528.
Feldman, Zhang: What neural networks memorize and why. NeurIPS 2020, arXiv 2008.03703.
Xia et al.: Moderate coreset. ICLR 2023.
Zheng et al.: Coverage-centric coreset selection for high pruning rates. ICLR 2023, arXiv 2210.15809.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from errata.errors import DataError

__all__ = [
    "accumulated_margin",
    "area_under_margin",
    "correctness",
    "el2n",
    "error_norm",
    "forgetting",
    "grand",
    "least_confidence",
    "margin",
    "memorization",
    "moderate_distance",
    "prediction_entropy",
]


def error_norm(logits: Any, labels: Any) -> Tensor:
    """Length of (probabilities - one-hot label): (..., N, C), (N,) -> (..., N), in [0, sqrt 2].

    Examples
    --------
    >>> error_norm([[0.0, 0.0]], [1])
    tensor([0.7071])
    """
    z = _logits(logits)
    p = z.softmax(-1)
    return (p - _one_hot(labels, z)).norm(dim=-1)


def el2n(logits: Any, labels: Any, *, epochs: int = 10, reduction: str = "mean") -> Tensor:
    """EL2N: the error norm over the first epochs; hard samples have a high one.

    Parameters
    ----------
    logits : (E, N, C)
    labels : (N,)
    epochs : how many epochs count, from the first; it is a score of the start of training
    reduction : "mean", or "sum" as in the code of coverage-centric selection

    Returns
    -------
    (N,)

    Examples
    --------
    >>> el2n([[[0.0, 0.0]], [[0.0, 9.0]]], [0], epochs=1)
    tensor([0.7071])
    """
    early = error_norm(_epochs(logits)[:epochs], labels)
    return early.sum(0) if reduction == "sum" else early.mean(0)


def margin(logits: Any, labels: Any) -> Tensor:
    """The given label's value less the largest other one: (..., N, C), (N,) -> (..., N). Of logits or probabilities.

    Examples
    --------
    >>> margin([[1.0, 3.0, 2.0]], [1])
    tensor([1.])
    """
    z = _logits(logits)
    given = _labels(labels, z)
    own = z.gather(-1, given[..., None])[..., 0]
    rival = z.scatter(-1, given[..., None], -torch.inf).max(-1).values
    return own - rival


def area_under_margin(logits: Any, labels: Any) -> Tensor:
    """AUM: the mean margin of logits over the epochs, (E, N, C) -> (N,); hard samples have a low one."""
    return margin(_epochs(logits), labels).mean(0)


def accumulated_margin(logits: Any, labels: Any) -> Tensor:
    """The sum over the epochs of the margin of probabilities, (E, N, C) -> (N,): the AUM of coverage-centric codes."""
    return margin(_epochs(logits).softmax(-1), labels).sum(0)


def correctness(logits: Any, labels: Any) -> Tensor:
    """How many epochs predict the given label, (E, N, C) -> (N,) int64; hard samples have a low one."""
    return _right(logits, labels).sum(0)


def forgetting(logits: Any, labels: Any, *, never: float = float("inf")) -> Tensor:
    """How often a label was predicted and, an epoch later, not any more; hard samples have a high one.

    Parameters
    ----------
    logits : (E, N, C)
    labels : (N,)
    never : what a sample gets that no epoch has right: infinity as in the original set, for it is the hardest of all.
        0 lets it look as easy as one that is never forgotten, as some codes do.

    Returns
    -------
    (N,) of the logits' type; at most E // 2 where finite

    Examples
    --------
    >>> one = [[[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 0.0]]]
    >>> forgetting(one, [0]), forgetting([[[1.0, 0.0]]], [1]), forgetting([[[1.0, 0.0]]], [1], never=0.0)
    (tensor([1.]), tensor([inf]), tensor([0.]))
    """
    right = _right(logits, labels)
    events = (right[:-1] & ~right[1:]).sum(0)
    found = events.to(_logits(logits).dtype)
    return torch.where(right.any(0), found, never)


def grand(logits: Any, features: Any, labels: Any) -> Tensor:
    """GraNd of the last layer: the length of the loss's gradient for its weights and bias, summed loss, (N,).

    Parameters
    ----------
    logits : (N, C)
    features : (N, d) what the last layer sees
    labels : (N,)

    Examples
    --------
    >>> grand([[0.0, 0.0]], [[0.0]], [0])
    tensor([0.7071])
    """
    h = _logits(features)
    return error_norm(logits, labels) * (1 + h.square().sum(-1)).sqrt()


def memorization(in_train: Any, correct: Any) -> np.ndarray:
    """P(right | trained on it) - P(right | not), over runs on random subsets; hard samples have a high one.

    Parameters
    ----------
    in_train, correct : (R, N) whether a run was trained on a sample, and whether it predicts its label

    Returns
    -------
    (N,) float64 in [-1, 1]; a sample that no run left out (or none used) counts as never right there

    Examples
    --------
    >>> memorization([[1], [0]], [[1], [0]])
    array([1.])
    """
    used, right = np.asarray(in_train, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if used.shape != right.shape or used.ndim != 2:
        raise DataError(f"Expected two tables of runs by samples; got {used.shape} and {right.shape}.")
    inside = (used * right).sum(0) / np.maximum(used.sum(0), 1e-10)
    outside = ((1 - used) * right).sum(0) / np.maximum((1 - used).sum(0), 1e-10)
    return inside - outside


def moderate_distance(features: Any, labels: Any) -> np.ndarray:
    """Distance of each sample's features to the coordinate-wise median of its class, (N,) float64.

    Examples
    --------
    >>> moderate_distance([[0.0], [1.0], [5.0], [7.0]], [0, 0, 0, 1])
    array([1., 0., 4., 0.])
    """
    h, given = np.asarray(features, dtype=np.float64), np.asarray(labels)
    centre = np.empty_like(h)
    for one in np.unique(given):
        own = given == one
        centre[own] = np.median(h[own], axis=0)
    return np.linalg.norm(h - centre, axis=1)


def prediction_entropy(logits: Any) -> Tensor:
    """Entropy of the softmax, in nats, (N, C) -> (N,); hard samples have a high one."""
    log_p = _logits(logits).log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def least_confidence(logits: Any) -> Tensor:
    """1 less the largest probability, (N, C) -> (N,); hard samples have a high one."""
    return 1 - _logits(logits).softmax(-1).max(-1).values


def _right(logits: Any, labels: Any) -> Tensor:
    z = _epochs(logits)
    return z.argmax(-1) == _labels(labels, z)


def _epochs(logits: Any) -> Tensor:
    z = _logits(logits)
    if z.ndim != 3:
        raise DataError(f"Expected logits over epochs, (E, N, C); got {tuple(z.shape)}.")
    return z


def _logits(values: Any) -> Tensor:
    z = torch.as_tensor(values)
    return z if z.dtype in (torch.float32, torch.float64) else z.float()


def _labels(labels: Any, z: Tensor) -> Tensor:
    given = torch.as_tensor(labels, device=z.device).long()
    if given.shape != z.shape[-2:-1]:
        raise DataError(f"Expected a label for each of {z.shape[-2]} samples; got {tuple(given.shape)}.")
    if len(given) and (int(given.min()) < 0 or int(given.max()) >= z.shape[-1]):
        raise DataError(
            f"Labels must lie in [0, {z.shape[-1]}); they run from {int(given.min())} to {int(given.max())}."
        )
    return given.expand(z.shape[:-1])


def _one_hot(labels: Any, z: Tensor) -> Tensor:
    return torch.zeros_like(z).scatter_(-1, _labels(labels, z)[..., None], 1.0)
