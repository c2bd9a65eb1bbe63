"""Numbers as labels: which of them differ from their predictions by more than the usual scatter explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from errata.errors import DataError

__all__ = ["NumberTrust", "density_score", "local_scale", "residual_trust"]

_MAD = 1.4826  # of a normal distribution, deviations per median of absolute values
_STEPS = 60
_FREEDOMS = (4.0, 8.0, 30.0)  # of Student's distribution, from heavy tails to almost normal ones
_SMALLEST_SHARE = 1e-4


@dataclass(frozen=True, eq=False)
class NumberTrust:
    """What residuals say of each number, and of all.

    Parameters
    ----------
    trust : (N,) float64 in [0, 1], the chance that the number is right; NaN where it is missing
    residual : (N,) float64, number less prediction
    scale : (N,) float64 > 0, the usual size of the residual at such a prediction
    rate : the estimated share of wrong numbers, in [0, 0.5]
    """

    trust: NDArray[np.float64]
    residual: NDArray[np.float64]
    scale: NDArray[np.float64]
    rate: float


def local_scale(
    predictions: NDArray[np.floating], residual: NDArray[np.floating], *, window: int | None = None
) -> NDArray[np.float64]:
    """Return (N,) the usual size of residuals at similar predictions: 1.4826 times the median of their absolute values.

    Parameters
    ----------
    predictions : (N,) finite float
    residual : (N,) float, NaN where not known
    window : rows of similar prediction that are looked at, by default a tenth of all, 50 at least

    Examples
    --------
    >>> scale = local_scale(np.arange(200.0), np.where(np.arange(200) < 100, 1.0, -3.0), window=20)
    >>> scale[[0, 199]].round(2)
    array([1.48, 4.45])
    """
    from scipy.ndimage import percentile_filter

    known = np.flatnonzero(~np.isnan(residual))
    size = np.abs(residual[known]).astype(np.float64)
    overall = _MAD * float(np.median(size)) if len(size) else 0.0
    if overall <= 0:  # most predictions are exact: then the mean says more
        overall = float(size.mean()) if len(size) and size.mean() > 0 else 1.0
    window = max(50, len(known) // 10) if window is None else window
    scale = np.full(len(residual), overall)
    if len(known) > 2 * window:
        order = known[np.argsort(predictions[known], kind="stable")]
        sorted_size = np.abs(residual[order]).astype(np.float64)
        local = _MAD * percentile_filter(sorted_size, 50, size=window, mode="nearest")
        place = np.searchsorted(predictions[order], predictions)
        scale = local[np.minimum(place, len(order) - 1)]
    return np.maximum(scale, 0.1 * overall)


def residual_trust(y: ArrayLike, predictions: ArrayLike) -> NumberTrust:
    """Tell how far each number can be trusted, from out-of-sample predictions.

    Right numbers scatter about their predictions by Student's distribution, at the local scale; wrong ones lie
    anywhere within the range of the numbers. How many are wrong, and how heavy the tails of the scatter are, is what
    makes the residuals most probable (expectation maximisation); trust is the chance to be one of the right ones.

    Parameters
    ----------
    y : (N,) float, NaN where missing
    predictions : (N,) finite float, each by a model that has not seen the number

    Returns
    -------
    NumberTrust

    Raises
    ------
    DataError
        If lengths differ, a prediction or number is infinite or (of predictions) missing, or all numbers are equal.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.uniform(0, 10, 200)
    >>> y = truth + 0.1 * rng.normal(size=200)
    >>> y[0] += 5
    >>> found = residual_trust(y, truth)
    >>> int(found.trust.argmin()), round(float(found.trust[0]), 1), bool(np.median(found.trust) > 0.99)
    (0, 0.0, True)
    """
    numbers, predicted = np.asarray(y, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    _check(numbers, predicted)
    residual = numbers - predicted
    scale = local_scale(predicted, residual)
    known = np.flatnonzero(~np.isnan(residual))
    ratio = residual[known] / scale[known]
    low, high = np.quantile(numbers[known], [0.01, 0.99])
    width = float(high - low) or float(np.ptp(numbers[known]))
    _, share, belief = max((_mixture(ratio, scale[known] / (2 * width), f) for f in _FREEDOMS), key=_first)
    trust = np.full(len(numbers), np.nan)
    trust[known] = 1.0 - belief
    return NumberTrust(trust, residual, scale, share)


def _first(found: tuple[float, float, NDArray[np.float64]]) -> float:
    return found[0]


def _mixture(
    ratio: NDArray[np.float64], wrong: NDArray[np.float64], freedom: float
) -> tuple[float, float, NDArray[np.float64]]:
    """The log-likelihood, the share of wrong numbers, and (n,) how probably each is wrong."""
    right = _student(ratio, freedom)
    # a wrong number lies anywhere in the range, but near the prediction not more often than a right one
    wrong = np.minimum(wrong, 0.5 * _student(np.zeros(1), freedom)[0])
    share = 0.05
    for _ in range(_STEPS):
        share = float(np.clip((share * wrong / (share * wrong + (1 - share) * right)).mean(), _SMALLEST_SHARE, 0.5))
    total = share * wrong + (1 - share) * right
    return float(np.log(total).sum()), share, share * wrong / total


def _student(ratio: NDArray[np.float64], freedom: float) -> NDArray[np.float64]:
    """The density of Student's distribution, stretched so that its median absolute value is that of a normal one."""
    from scipy.stats import t

    stretch = 0.6744897501960817 / float(t.ppf(0.75, freedom))
    return np.asarray(t.pdf(ratio / stretch, freedom) / stretch)


def _check(y: NDArray[np.float64], predictions: NDArray[np.float64]) -> None:
    if y.shape != predictions.shape or y.ndim != 1:
        raise DataError(
            f"Expected numbers and predictions of one shape (N,); got {y.shape} and {predictions.shape}. "
            "Predictions must be of the same rows in the same order."
        )
    for what, odd in (("predictions", ~np.isfinite(predictions)), ("labels", np.isinf(y))):
        if odd.any():
            row = int(np.flatnonzero(odd)[0])
            value = predictions[row] if what == "predictions" else y[row]
            raise DataError(f"{what}: row {row} is {value}, expected a finite number.")
    known = y[~np.isnan(y)]
    if len(known) < 2 or np.ptp(known) == 0:
        raise DataError(
            f"Expected at least two different numbers; got {len(known):,}, "
            + (f"all of them {known[0]:g}." if len(known) else "all missing.")
        )


def density_score(
    features: NDArray[np.float32], ratio: NDArray[np.floating], *, k: int = 10, seed: int = 0
) -> NDArray[np.float64]:
    """Return (N,) in (0, 1]: how dense rows lie with their residual, over how dense without it; low is suspicious.

    A row whose neighbours in the features have other residuals is far from all rows as soon as the residual counts.

    Parameters
    ----------
    features : (N, D) float32, comparable in all directions
    ratio : (N,) residuals over their scale, NaN where not known (their score is NaN)
    k : neighbours
    seed : of the sample of rows that is searched, see ``errata.scores.outliers.sampled_neighbours``

    References
    ----------
    Zhou, Mueller, Kumar, Wang, Lei: Detecting Errors in a Numerical Response via any Regression Model, 2023,
    arXiv 2305.16583 (the idea of the OUTRE score).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features, ratio = rng.normal(size=(100, 2)).astype(np.float32), rng.normal(size=100)
    >>> ratio[7] = 30
    >>> int(density_score(features, ratio).argmin())
    7
    """
    from errata.scores.outliers import knn_distance, sampled_neighbours

    known = np.flatnonzero(~np.isnan(ratio))
    score = np.full(len(ratio), np.nan)
    base = features[known]
    distance = knn_distance(sampled_neighbours(base, k, seed=seed)[0])
    usual = max(float(np.median(distance)), 1e-12)
    joined = np.column_stack([base, (np.clip(ratio[known], -50, 50) * usual).astype(np.float32)])
    with_residual = knn_distance(sampled_neighbours(joined, k, seed=seed)[0])
    score[known] = np.clip((distance + 1e-9) / (with_residual + 1e-9), 0.0, 1.0)
    return score
