"""Noise that depends on the instance: the part-dependent recipe.

A label is the more easily mistaken, and for another class, depending on what its instance looks like. Every sample gets
a flip rate of its own, and every class a random projection of the features to one score per class: the classes that
score high are those the sample is mistaken for. So samples that look alike are mistaken alike, as with people.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from errata.errors import DataError, ParameterError
from errata.noise._inputs import (
    check_labels,
    check_num_classes,
    check_rate,
    check_same_length,
    generator,
    is_tensor,
    like,
    to_numpy,
)

__all__ = ["flip_probabilities", "instance_dependent"]

_BLOCK = 1 << 22  # numbers per block in memory: 16 MB of float32


def instance_dependent(
    features: Any,
    labels: Any,
    rate: float,
    num_classes: int,
    *,
    seed: int,
    std: float = 0.1,
    standardize: bool = True,
) -> Any:
    """Change labels as their instances suggest (part-dependent noise, Xia et al. 2020, algorithm 2).

    For sample i with features x and class y: a flip rate q_i from a normal distribution around ``rate``, truncated
    (see Notes); scores a = x W_y with W_y ~ N(0, 1) of shape (S, K), the same for all samples of a class; a_y = -inf;
    then the label is drawn from P = q_i softmax(a), P_y = 1 - q_i.

    Parameters
    ----------
    features : (N, ...) array, memory map or tensor of numbers
        Flattened to (N, S). Read in blocks: memory stays bounded beyond the input.
    labels : (N,) integers in [0, K), array or tensor
        -1 means missing and stays.
    rate : float in [0, 1]
        Mean flip rate, the expected share of labels that change.
    num_classes : int >= 2
        K.
    seed : int >= 0
        Same seed, same noise. The global generators are not touched.
    std : float >= 0, default 0.1
        Standard deviation of the flip rates before truncation.
    standardize : bool, default True
        Shift and scale each feature to mean 0 and variance 1 over the rows given, as the papers do with their images'
        channels, so that the unit of a feature does not matter; constant features count for nothing. False takes
        the features as they are. The larger the norm of x, the more a sample's flips go to one class.

    Returns
    -------
    (N,) of the labels' dtype; a tensor on the same device if the labels came as one

    Raises
    ------
    ParameterError
        ``rate``, ``num_classes``, ``seed`` or ``std`` out of range.
    DataError
        Labels out of range, features that are not finite numbers, or not as many rows as labels.

    Notes
    -----
    The flip rates are truncated symmetrically about ``rate``, to [0, 2 rate] or [2 rate - 1, 1], so that their mean is
    ``rate``. The authors truncate to [0, 1], which is the same for rates between 0.3 and 0.7 (the means differ by less
    than 0.0005) and else pulls the mean towards the middle (0.206 at 0.2, 0.129 at 0.1).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2000, 8)), rng.integers(3, size=2000)
    >>> noisy = instance_dependent(x, y, 0.3, 3, seed=0)
    >>> round((noisy != y).mean().item(), 1)
    0.3

    References
    ----------
    Xia, Liu, Han, Wang, Gong, Liu, Niu, Tao, Sugiyama, "Part-dependent label noise: towards instance-dependent label
    noise", 2020, arXiv 2006.07836.
    """
    num_classes, rate = check_num_classes(num_classes), check_rate(rate)
    if isinstance(std, bool) or not isinstance(std, (int, float)) or not 0 <= std < np.inf:
        raise ParameterError(f"std must be a number >= 0, got {std!r}.")
    values = check_labels(labels, num_classes)
    flat = _flat_features(features)
    check_same_length(flat, values, ("features", "labels"))
    rng = generator(seed, 3)
    q = _flip_rates(rate, float(std), len(values), rng)
    u = rng.random(len(values))
    size = flat.shape[1]
    mean, scale = _moments(flat) if standardize else (np.zeros(size), np.ones(size))
    noisy = to_numpy(labels).copy()
    for rows, source, scores in _scores(flat, values, num_classes, mean, scale, seed):
        probabilities = flip_probabilities(scores, np.full(len(rows), source), q[rows])
        reached = np.cumsum(probabilities, axis=1)
        # The last column is 1 up to rounding; dividing makes it exactly 1, above every u.
        noisy[rows] = (u[rows, None] >= reached / reached[:, -1:]).sum(axis=1)
    return like(noisy, labels)


def flip_probabilities(scores: Any, labels: Any, rates: Any) -> np.ndarray:
    """Return P(given | instance): ``rates * softmax(scores without the label's)``, and ``1 - rates`` on the label.

    Parameters
    ----------
    scores : (N, K) float
        How much a sample resembles each class.
    labels : (N,) integers in [0, K)
        The true classes.
    rates : (N,) float in [0, 1]
        The chance that a sample's label changes.

    Returns
    -------
    (N, K) float64, rows sum to 1

    Raises
    ------
    DataError
        Not one row per sample in each, or labels out of range.

    Examples
    --------
    >>> flip_probabilities([[9.0, 0.0, 0.0]], [0], [0.5])
    array([[0.5 , 0.25, 0.25]])
    """
    scores = np.array(to_numpy(scores), dtype=np.float64)
    if scores.ndim != 2:
        raise DataError(f"scores must have shape (N, K), got {scores.shape}.")
    rates = np.asarray(to_numpy(rates), dtype=np.float64)
    labels = check_labels(labels, scores.shape[1])
    check_same_length(scores, labels, ("scores", "labels"))
    check_same_length(scores, rates, ("scores", "rates"))
    rows = np.flatnonzero(labels >= 0)
    if len(rows) < len(labels):
        raise DataError(f"labels must be known (>= 0) here, but row {int(np.argmin(labels))} holds {labels.min()}.")
    scores[rows, labels] = -np.inf
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores *= (rates / scores.sum(axis=1))[:, None]
    scores[rows, labels] = 1.0 - rates
    return scores


def _flip_rates(rate: float, std: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw (N,) flip rates with mean ``rate`` from a normal distribution truncated symmetrically inside [0, 1]."""
    reach = min(rate, 1.0 - rate)
    if reach == 0.0 or std == 0.0:
        return np.full(count, rate)
    from scipy.special import ndtr, ndtri  # late: scipy costs more to import than all the rest of this room

    low, high = ndtr(-reach / std), ndtr(reach / std)
    rates: np.ndarray = rate + std * ndtri(low + (high - low) * rng.random(count))
    return np.clip(rates, rate - reach, rate + reach)


def _flat_features(features: Any) -> np.ndarray:
    """View the features as (N, S) numbers."""
    if hasattr(features, "toarray"):
        raise DataError("features must be a dense array (N, ...), got a sparse matrix; convert it with .toarray().")
    if is_tensor(features):
        features = features.detach().contiguous()
    array = to_numpy(features)
    if array.ndim < 1 or array.dtype.kind not in "fiub":
        raise DataError(f"features must be an array (N, ...) of numbers, got shape {array.shape}, dtype {array.dtype}.")
    return array.reshape(len(array), int(np.prod(array.shape[1:])))


def _moments(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (1 where it is 0) of each feature, (S,) each, block by block (Chan et al. 1983)."""
    mean, squares, seen = np.zeros(flat.shape[1]), np.zeros(flat.shape[1]), 0
    step = max(1, _BLOCK // max(1, flat.shape[1]))
    for start in range(0, len(flat), step):
        block = flat[start : start + step].astype(np.float64)
        _check_finite(block, np.arange(start, start + len(block)), 0)
        gap = block.mean(axis=0) - mean
        new = len(block)
        squares += ((block - (mean + gap)) ** 2).sum(axis=0) + gap**2 * (seen * new / (seen + new))
        mean += gap * (new / (seen + new))
        seen += new
    scale = np.sqrt(squares / max(1, seen))
    return mean, np.where(scale > 0, scale, 1.0)


def _check_finite(block: np.ndarray, rows: np.ndarray, left: int) -> None:
    if not np.isfinite(block).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(block))[0])
        raise DataError(
            f"features must be finite, but row {rows[row]}, feature {left + column} holds {block[row, column]}. "
            "Fill in or drop what is missing first."
        )


def _scores(
    flat: np.ndarray, labels: np.ndarray, num_classes: int, mean: np.ndarray, scale: np.ndarray, seed: int
) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
    """Yield (rows, class, scores (R, K)) until every labelled row was seen.

    A class's projection (S, K) is drawn in slabs of features, each from its own stream, so that neither all of it nor
    all samples of the class need be in memory at once, and the noise does not depend on how they were cut.
    """
    size = flat.shape[1]
    slab = max(1, min(size, _BLOCK // num_classes))
    height = max(1, _BLOCK // max(num_classes, slab))
    for source in range(num_classes):
        members = np.flatnonzero(labels == source)
        weights: np.ndarray | None = None
        for top in range(0, len(members), height):
            rows = members[top : top + height]
            scores = np.zeros((len(rows), num_classes), dtype=np.float64)
            for number, left in enumerate(range(0, size, slab)):
                columns = slice(left, min(left + slab, size))
                if weights is None or slab < size:  # a projection of one slab serves all rows of its class
                    rng = generator(seed, 3, source, number)
                    weights = rng.standard_normal((columns.stop - left, num_classes), dtype=np.float32)
                x = (flat[rows, columns] - mean[columns]) / scale[columns]
                _check_finite(x, rows, left)
                scores += x.astype(np.float32) @ weights
            yield rows, source, scores
