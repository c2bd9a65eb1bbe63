"""Where to clip: the rule by which optimised gradient clipping chooses its threshold from a queue of losses.

The losses of the last samples are taken for a mixture of two normal distributions, the lower one of right labels, the
higher one of wrong labels. Under that model the expected clipped gradient of either kind is known for every threshold,
and the threshold taken is the lowest at which the wrong ones pull at most ``1 + lr * epsilon`` times as hard as the
right ones.

Numbers here are NumPy float64: the rule runs once in many steps, and decides.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from errata.errors import DataError
from errata.losses.base import check_choice, check_number

FloatArray = npt.NDArray[np.float64]

MIN_PROB = 1e-7
MAX_PROB = 1 - 1e-7
GRID = 1000  # points of the loss at which the mixture is looked at
BASE_LOSSES = ("ce", "fl", "gce")


class TwoGaussians(NamedTuple):
    """Means and variances of the losses of right ("clean") and wrong ("noisy") labels, mean_clean <= mean_noisy."""

    mean_clean: float
    var_clean: float
    mean_noisy: float
    var_noisy: float


def loss_slope(prob: npt.ArrayLike, base_loss: str = "ce", *, gamma: float = 0.5, q: float = 0.7) -> FloatArray:
    """``|dl/dp|``, how hard a base loss pulls at the label's probability p.

    Parameters
    ----------
    prob : probabilities of any shape, in (0, 1)
    base_loss : "ce" (``1 / p``), "fl" (focal, its whole derivative) or "gce" (``p^(q - 1)``)
    gamma : exponent of the focal factor, >= 0
    q : exponent of generalised cross-entropy, in (0, 1]

    Returns
    -------
    float64 of the shape of ``prob``

    Examples
    --------
    >>> loss_slope([0.1, 0.5])
    array([10.,  2.])
    """
    check_choice("base_loss", base_loss, BASE_LOSSES)
    p = np.asarray(prob, dtype=np.float64)
    if base_loss == "ce":
        return 1 / p
    if base_loss == "fl":
        return (1 - p) ** gamma / p - gamma * np.log(p) * (1 - p) ** (gamma - 1)
    return p ** (q - 1)


def fit_two_gaussians(losses: npt.ArrayLike) -> TwoGaussians:
    """Fit a mixture of two normal distributions to losses: at most 10 rounds of EM from a k-means start.

    Parameters
    ----------
    losses : (n,) finite, n >= 2

    Returns
    -------
    TwoGaussians; the weights of the two are not used, so the share of wrong labels plays no part

    Raises
    ------
    DataError
        Fewer than two losses, or NaN or infinite ones.

    Examples
    --------
    >>> round(fit_two_gaussians([0.1, 0.2, 0.1, 0.2, 5.0, 5.2, 5.0, 5.2]).mean_noisy, 3)
    5.1
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    h = np.asarray(losses, dtype=np.float64).reshape(-1, 1)
    if len(h) < 2 or not np.isfinite(h).all():
        bad = int((~np.isfinite(h)).sum())
        raise DataError(f"The mixture needs 2 or more finite losses; got {len(h)}, of which {bad} NaN or infinite.")
    mixture = GaussianMixture(n_components=2, max_iter=10, reg_covar=1e-3, random_state=0)
    with warnings.catch_warnings():  # ten rounds are the rule, converged or not; equal losses make one cluster
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(h)
    means, variances = mixture.means_.ravel(), mixture.covariances_.ravel()
    low, high = int(means.argmin()), int(means.argmax())
    return TwoGaussians(float(means[low]), float(variances[low]), float(means[high]), float(variances[high]))


def _ratio_curve(
    mixture: TwoGaussians, base_loss: str, gamma: float, q: float, min_prob: float, max_prob: float
) -> Callable[[FloatArray], FloatArray]:
    """R as a function of thresholds. Sums over the grid are made once, so that each threshold costs a binary search."""
    h = np.linspace(-math.log(max_prob), -math.log(min_prob), GRID)
    slopes = loss_slope(np.exp(-h), base_loss, gamma=gamma, q=q)
    order = slopes.argsort(kind="stable")
    slopes = slopes[order]

    def expectation(mean: float, variance: float) -> Callable[[FloatArray], FloatArray]:
        log_density = -0.5 * (h[order] - mean) ** 2 / variance  # truncated to the grid, so constants cancel
        density = np.exp(log_density - log_density.max())
        density /= density.sum()
        below = np.concatenate([[0.0], np.cumsum(density * slopes)])
        above = np.concatenate([np.cumsum(density[::-1])[::-1], [0.0]])

        def clipped_mean(tau: FloatArray) -> FloatArray:
            split = slopes.searchsorted(tau, side="right")
            return below[split] + tau * above[split]

        return clipped_mean

    noisy = expectation(mixture.mean_noisy, mixture.var_noisy)
    clean = expectation(mixture.mean_clean, mixture.var_clean)

    def ratio(prob: FloatArray) -> FloatArray:
        tau = loss_slope(prob, base_loss, gamma=gamma, q=q)
        return noisy(tau) / clean(tau)

    return ratio


def gradient_ratio(
    prob: npt.ArrayLike,
    mixture: TwoGaussians,
    base_loss: str = "ce",
    *,
    gamma: float = 0.5,
    q: float = 0.7,
    min_prob: float = MIN_PROB,
    max_prob: float = MAX_PROB,
) -> FloatArray:
    """R(t): expected gradient of wrong labels over that of right labels, both clipped at ``|l'(t)|``.

    Parameters
    ----------
    prob : thresholds t of any shape, in (0, 1)
    mixture : the distribution of the losses
    base_loss, gamma, q : see ``loss_slope``
    min_prob, max_prob : the losses lie between ``-log max_prob`` and ``-log min_prob``

    Returns
    -------
    float64 of the shape of ``prob``; falls with t, towards 1

    Examples
    --------
    >>> gradient_ratio([0.001, 0.9], TwoGaussians(0.3, 0.1, 3.0, 0.9)).round(2)
    array([20.57,  1.01])
    """
    return _ratio_curve(mixture, base_loss, gamma, q, min_prob, max_prob)(np.asarray(prob, dtype=np.float64))


def clipping_threshold(
    mixture: TwoGaussians,
    lr: float,
    *,
    epsilon: float = 20.0,
    base_loss: str = "ce",
    gamma: float = 0.5,
    q: float = 0.7,
    tol: float = 1e-7,
    max_iter: int = 10,
    min_prob: float = MIN_PROB,
    max_prob: float = MAX_PROB,
) -> float:
    """The threshold t at which R(t) comes down to ``1 + lr * epsilon``, by bisection.

    Parameters
    ----------
    mixture : the distribution of the losses
    lr : current learning rate, >= 0; the lower it is, the less the wrong labels may pull
    epsilon : how much harder than right labels wrong ones may pull, in units of the learning rate, >= 0
    base_loss, gamma, q : see ``loss_slope``
    tol : bisection stops when R comes this near to its target
    max_iter : most halvings; then the upper end is taken, where R is below its target
    min_prob, max_prob : the range of t; its ends are answered where R never crosses the target

    Returns
    -------
    t in [min_prob, max_prob]

    Examples
    --------
    >>> round(clipping_threshold(TwoGaussians(0.3, 0.08, 3.0, 0.9), lr=0.1), 4)
    0.2207
    """
    check_number("lr", lr, 0.0)
    check_number("epsilon", epsilon, 0.0)
    ratio = _ratio_curve(mixture, base_loss, gamma, q, min_prob, max_prob)
    target = 1 + lr * epsilon
    low, high = min_prob, max_prob
    at_low, at_high = ratio(np.array([low, high]))
    if at_high > target - 1e-12:  # R ends at 1 but for rounding, which must not decide where the target is 1 too
        return high
    if at_low < target:
        return low
    for _ in range(max_iter):
        middle = (low + high) / 2
        surplus = float(ratio(np.array([middle]))[0]) - target
        if abs(surplus) < tol:
            return middle
        low, high = (middle, high) if surplus >= 0 else (low, middle)
    return high


def threshold_from_queue(
    losses: npt.ArrayLike,
    lr: float,
    *,
    epsilon: float = 20.0,
    base_loss: str = "ce",
    gamma: float = 0.5,
    q: float = 0.7,
    tol: float = 1e-7,
    max_iter: int = 10,
    min_prob: float = MIN_PROB,
    max_prob: float = MAX_PROB,
) -> tuple[float, TwoGaussians]:
    """Fit the mixture to a queue of cross-entropies, and find the threshold for it.

    Parameters
    ----------
    losses : (n,) cross-entropies of recent samples, whatever the base loss is
    lr, epsilon, base_loss, gamma, q, tol, max_iter, min_prob, max_prob : see ``clipping_threshold``

    Returns
    -------
    the threshold t, and the mixture

    Raises
    ------
    DataError
        A loss is NaN or infinite, or there are fewer than two.

    Examples
    --------
    >>> h = np.concatenate([np.linspace(0.1, 0.5, 60), np.linspace(2.0, 4.0, 40)])
    >>> t, mixture = threshold_from_queue(h, lr=0.1)
    >>> round(t, 3), round(mixture.mean_clean, 3), round(mixture.mean_noisy, 3)
    (0.245, 0.3, 3.0)
    """
    mixture = fit_two_gaussians(losses)
    threshold = clipping_threshold(
        mixture,
        lr,
        epsilon=epsilon,
        base_loss=base_loss,
        gamma=gamma,
        q=q,
        tol=tol,
        max_iter=max_iter,
        min_prob=min_prob,
        max_prob=max_prob,
    )
    return threshold, mixture
