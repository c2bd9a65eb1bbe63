"""Two groups of losses: what the network has learned, and what contradicts it.

Early in training the samples with right labels have small losses and those with wrong ones large losses. A mixture of
two components fitted to all losses gives each sample the probability of belonging to the group with the smaller ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from errata.errors import DataError, ParameterError

__all__ = ["LossMixture"]

EDGE = 1e-4  # beta densities may be infinite at 0 and 1: normalised losses stay this far inside
GRID = 1000  # places at which the beta mixture's posterior is made monotone


class LossMixture:
    """A mixture of two components on per-sample losses, in float64 whatever comes in.

    Parameters
    ----------
    kind : "gaussian" (scikit-learn's, as DivideMix uses it) or "beta" (Arazo et al., fitted by moments inside EM)
    max_iter : of the EM
    reg_covar : added to the Gaussians' variances, of losses normalised to [0, 1]
    seed : of the start of the Gaussian mixture

    Attributes
    ----------
    means_ : (2,) of the two components, the clean one first, in the unit of the losses
    weights_ : (2,) their shares, summing to 1
    constant_ : whether all losses were the same, so that there are no two groups; everything then counts as clean

    Notes
    -----
    The beta mixture takes what lies beyond the 5th and 95th percentile as lying on them, and its probability never
    rises with the loss. The Gaussian one is the plain posterior, which can turn back at the ends where variances
    differ.

    Examples
    --------
    >>> losses = np.r_[np.linspace(0.0, 0.2, 60), np.linspace(2.0, 3.0, 40)]
    >>> mixture = LossMixture().fit(losses)
    >>> mixture.clean_probability(np.array([0.1, 2.5])).round(3)
    array([1., 0.])
    >>> mixture.weights_.round(1)
    array([0.6, 0.4])

    References
    ----------
    Arazo et al.: Unsupervised Label Noise Modeling and Loss Correction, ICML 2019, arXiv 1904.11238.
    Li, Socher, Hoi: DivideMix, ICLR 2020, arXiv 2002.07394.
    """

    def __init__(self, kind: str = "gaussian", *, max_iter: int = 10, reg_covar: float = 5e-4, seed: int = 0) -> None:
        if kind not in ("gaussian", "beta"):
            raise ParameterError(f"kind of a loss mixture must be 'gaussian' or 'beta'; got {kind!r}.")
        if max_iter < 1:
            raise ParameterError(f"max_iter must be 1 or more; got {max_iter}.")
        self.kind = kind
        self.max_iter = max_iter
        self.reg_covar = reg_covar
        self.seed = seed

    def fit(self, losses: Any) -> LossMixture:
        """Fit the mixture.

        Parameters
        ----------
        losses : (N,) array or tensor, finite, 2 or more

        Raises
        ------
        DataError
            where there are fewer than two losses, or one is NaN or infinite
        """
        values = _checked(losses)
        if len(values) < 2:
            raise DataError(f"A mixture of two components needs two losses or more; got {len(values)}.")
        ends = (5, 95) if self.kind == "beta" else (0, 100)
        self._low, self._high = (float(v) for v in np.percentile(values, ends))
        if self._high <= self._low:  # nearly all alike: the percentiles meet
            self._low, self._high = float(values.min()), float(values.max())
        spread = self._high - self._low
        self.constant_ = not spread > 1e-12 * max(1.0, abs(self._high))
        if self.constant_:
            self.means_, self.weights_ = np.full(2, values.mean()), np.array([1.0, 0.0])
            return self
        means = self._fit_gaussian(values) if self.kind == "gaussian" else self._fit_beta(values)
        self.means_ = self._low + spread * means
        return self

    def clean_probability(self, losses: Any) -> Any:
        """The probability of belonging to the component with the smaller losses.

        Parameters
        ----------
        losses : (M,) array or tensor, those fitted or others

        Returns
        -------
        (M,) in [0, 1]; a tensor of float32 or better where a tensor came in, else an array of float64
        """
        if not hasattr(self, "constant_"):
            raise ParameterError("This loss mixture is not fitted yet; call fit(losses) first.")
        values = _checked(losses)
        if self.constant_ or not len(values):
            clean = np.ones(len(values))
        elif self.kind == "gaussian":
            clean = (
                self._mixture.predict_proba(self._normalised(values)[:, None])[:, self._clean]
                if len(values)
                else values
            )
        else:
            clean = np.interp(self._normalised(values), self._places, self._posterior)
        if isinstance(losses, Tensor):
            kind = losses.dtype if losses.dtype == torch.float64 else torch.float32
            return torch.as_tensor(clean, dtype=kind, device=losses.device)
        return clean

    def _normalised(self, values: np.ndarray) -> np.ndarray:
        z = (values - self._low) / (self._high - self._low)
        return z if self.kind == "gaussian" else z.clip(EDGE, 1 - EDGE)

    def _fit_gaussian(self, values: np.ndarray) -> np.ndarray:
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        self._mixture = GaussianMixture(
            2, max_iter=self.max_iter, tol=1e-2, reg_covar=self.reg_covar, random_state=self.seed
        )
        with warnings.catch_warnings():
            # few iterations are meant; fewer than two distinct losses can't come here
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._mixture.fit(self._normalised(values)[:, None])
        means = self._mixture.means_[:, 0]
        self._clean = int(means.argmin())
        order = [self._clean, 1 - self._clean]
        self.weights_ = self._mixture.weights_[order]
        return means[order]

    def _fit_beta(self, values: np.ndarray) -> np.ndarray:
        z = self._normalised(values)
        log_z, log_rest = np.log(z), np.log1p(-z)
        alpha, beta, weight = np.array([1.0, 2.0]), np.array([2.0, 1.0]), np.array([0.5, 0.5])
        for _ in range(self.max_iter):
            share = _responsibility(log_z, log_rest, alpha, beta, weight)
            total = share.sum(1) + 1e-12
            mean = (share @ z) / total
            variance = np.array([(s * (z - m) ** 2).sum() for s, m in zip(share, mean)]) / total
            # moments of a beta: var < m (1 - m); the bounds keep both shapes positive and the density finite
            variance = variance.clip(1e-8, 0.999 * mean * (1 - mean))
            concentration = mean * (1 - mean) / variance - 1
            alpha, beta, weight = mean * concentration, (1 - mean) * concentration, total / total.sum()
        means = alpha / (alpha + beta)
        order = [int(means.argmin()), int(means.argmax())] if means[0] != means[1] else [0, 1]
        alpha, beta, self.weights_ = alpha[order], beta[order], weight[order]
        self._places = np.linspace(EDGE, 1 - EDGE, GRID)
        clean = _responsibility(np.log(self._places), np.log1p(-self._places), alpha, beta, self.weights_)[0]
        self._posterior = _falling(clean)
        return means[order]


def _checked(losses: Any) -> np.ndarray:
    values = (
        losses.detach().cpu().double().numpy() if isinstance(losses, Tensor) else np.asarray(losses, dtype=np.float64)
    )
    if values.ndim != 1:
        raise DataError(f"Expected one loss for each sample, a one-dimensional array; got shape {values.shape}.")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(
            f"Losses must be finite; row {bad[0]} holds {values[bad[0]]}, and {len(bad)} of {len(values)} rows are so. "
            "Leave out rows that were never trained on; if the training itself gave NaN, lower its learning rate."
        )
    return values


def _responsibility(
    log_z: np.ndarray, log_rest: np.ndarray, alpha: np.ndarray, beta: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """(2, N) posterior of the two beta components, in logs so that sharp components don't underflow."""
    from scipy.special import betaln, logsumexp

    alpha, beta, weight = (v[:, None] for v in (alpha, beta, weight))
    log_joint = np.log(weight + 1e-300) + (alpha - 1) * log_z + (beta - 1) * log_rest - betaln(alpha, beta)
    return np.exp(log_joint - logsumexp(log_joint, axis=0))


def _falling(posterior: np.ndarray) -> np.ndarray:
    """The clean posterior over rising losses, held at its best before it and at its worst after it."""
    best = int(posterior.argmax())
    worst = best + int(posterior[best:].argmin())
    fixed = posterior.copy()
    fixed[: best + 1] = posterior[best]
    fixed[worst:] = posterior[worst]
    return np.minimum.accumulate(fixed)
