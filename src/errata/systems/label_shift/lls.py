"""Latent label shift (DDFA): classes without a single label, from domains in which they are differently frequent.

Nobody has labelled anything, but the samples come from several places or times (domains), and the classes are not
equally frequent in all of them. What rises and falls together from domain to domain is one class, however different it
looks: caterpillars and butterflies of a species. A classifier of the domain estimates ``p(d | x)``. That is a mixture
of the K distributions ``p(d | y)``, weighted with ``p(y | x)``: all samples lie in a simplex whose corners are the
classes.

1. Discriminate: a classifier g(x) of the domain.
2. Discretise: k-means of g(x) into m bins.
3. Factorise: the table of bins by domains is ``p(bin | y) p(y | d)``, by non-negative matrix factorisation, or by
   looking for the corners (bins in which only one class lives: anchors).
4. Adjust: ``p(y | x)`` from g(x) by least squares, then under the proportions of the sample's own domain.

Classes come out in any order. They can be found where there are as many domains as classes, their proportions are
linearly independent, and each class has something to itself. Nothing is kept per sample.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from errata import systems
from errata.errors import DataError, ParameterError
from errata.parts.priors import shift_prior

__all__ = ["Factors", "LatentLabelShift", "NotIdentifiableWarning", "adjust_posterior", "bin_table", "factorise"]

SOLVERS = ("anchor", "nmf")
WORST_CONDITION = 100.0
"""Of p(y | d): above, classes differ between domains by less than can be told from chance."""

RARE = 0.25
"""A bin with less than this share of the mean one is too small to be an anchor."""


class NotIdentifiableWarning(UserWarning):
    """The domains do not tell the classes apart."""


class Factors(NamedTuple):
    """The table of bins by domains as a product.

    Attributes
    ----------
    p_bin_given_y : (m, K), columns sum to 1
    p_y_given_d : (K, D), columns sum to 1
    residual : Frobenius norm of what the product misses
    """

    p_bin_given_y: np.ndarray
    p_y_given_d: np.ndarray
    residual: float


def bin_table(bins: Any, domains: Any, num_bins: int, num_domains: int) -> np.ndarray:
    """``p(bin | d)``: (m, D), columns sum to 1 (a domain without samples has zeros).

    Parameters
    ----------
    bins, domains : (N,) int in [0, m) and [0, D)

    Examples
    --------
    >>> bin_table([0, 0, 1, 1], [0, 1, 1, 1], 2, 2).round(2)
    array([[1.  , 0.33],
           [0.  , 0.67]])
    """
    places = np.asarray(bins, dtype=np.int64) * num_domains + np.asarray(domains, dtype=np.int64)
    counts = np.bincount(places, minlength=num_bins * num_domains).reshape(num_bins, num_domains).astype(np.float64)
    return counts / np.maximum(counts.sum(0, keepdims=True), 1.0)


def factorise(
    table: Any,
    num_classes: int,
    *,
    solver: str = "anchor",
    weights: Any = None,
    init: str = "random",
    random_state: Any = 0,
) -> Factors:
    """``p(bin | d)`` as ``p(bin | y) p(y | d)``.

    Parameters
    ----------
    table : (m, D), see ``bin_table``
    num_classes : K, at most m and D
    solver : "nmf" (scikit-learn's, from the Frobenius norm, as the authors do), which ignores anchors and depends on
        its start; or "anchor" (successive projections), which has no start and follows the theory
    weights : (m,) the bins' shares of all samples, for "anchor"; by default from the table
    init, random_state : of "nmf"

    Examples
    --------
    >>> mixed = np.array([[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]])
    >>> factorise(mixed, 2).p_y_given_d.round(2)
    array([[1. , 0.5, 0. ],
           [0. , 0.5, 1. ]])
    """
    x = np.asarray(table, dtype=np.float64)
    if solver not in SOLVERS:
        raise ParameterError(f"solver must be one of {', '.join(SOLVERS)}; got {solver!r}.")
    if num_classes > min(x.shape):
        raise ParameterError(
            f"{num_classes} classes need as many domains and bins, or more; there are {x.shape[1]} domains and "
            f"{x.shape[0]} bins."
        )
    if solver == "nmf":
        by_bin, by_domain = _nmf(x, num_classes, init, random_state)
    else:
        by_bin, by_domain = _anchors(x, num_classes, weights)
    scale = by_bin.sum(0)
    by_bin = by_bin / np.where(scale > 0, scale, 1.0)
    by_domain = by_domain * scale[:, None]
    total = by_domain.sum(0, keepdims=True)
    by_domain = np.where(total > 0, by_domain / np.where(total > 0, total, 1.0), 1.0 / num_classes)
    return Factors(by_bin, by_domain, float(np.linalg.norm(x - by_bin @ by_domain)))


def _nmf(x: np.ndarray, num_classes: int, init: str, random_state: Any) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    model = NMF(n_components=num_classes, init=init, random_state=random_state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 200 iterations are the authors' choice
        by_domain = model.fit_transform(x.T)
    return model.components_.T, by_domain.T


def _anchors(x: np.ndarray, num_classes: int, weights: Any) -> tuple[np.ndarray, np.ndarray]:
    """Bins that only one class has, by successive projections; then non-negative least squares."""
    from scipy.optimize import nnls

    mass = x.sum(1) if weights is None else np.asarray(weights, dtype=np.float64)
    p_d = x / np.maximum(x.sum(1, keepdims=True), 1e-12)  # p(d | bin) where domains are equally frequent
    usable = mass >= RARE * mass.sum() / max(1, (mass > 0).sum())
    if usable.sum() < num_classes:
        usable = np.isin(np.arange(len(x)), np.argsort(-mass, kind="stable")[:num_classes])
    # homogeneous coordinates: the corners of a simplex are then linearly independent
    rest = np.where(usable[:, None], np.hstack([p_d, np.full((len(x), 1), 1 / x.shape[1])]), 0.0)
    corners = []
    for _ in range(num_classes):
        lengths = np.linalg.norm(rest, axis=1)
        best = int(lengths.argmax())
        corners.append(best)
        if lengths[best] > 1e-12:
            direction = rest[best] / lengths[best]
            rest = rest - np.outer(rest @ direction, direction)
    p_d_given_y = p_d[corners]  # (K, D)
    frequent = nnls(p_d_given_y.T, np.full(x.shape[1], 1 / x.shape[1]))[0]  # p(y), as every domain must sum up
    by_domain = p_d_given_y * np.maximum(frequent, 1e-8)[:, None] * x.shape[1]
    by_domain = by_domain / np.maximum(by_domain.sum(0, keepdims=True), 1e-12)
    by_bin = np.array([nnls(by_domain.T, row)[0] for row in x])
    return by_bin, by_domain


class Adjusted(NamedTuple):
    """Label posteriors (N, K) where domains are mixed evenly, and in the samples' own domains; and the best class."""

    p_y_given_x: np.ndarray
    own_domain: np.ndarray
    predictions: np.ndarray


def adjust_posterior(p_d_given_x: Any, p_y_given_d: Any, domains: Any, *, clip: bool = True) -> Adjusted:
    """From domain posteriors to label posteriors.

    Parameters
    ----------
    p_d_given_x : (N, D), rows sum to 1
    p_y_given_d : (K, D)
    domains : (N,) int in [0, D)
    clip : set negative parts of the least-squares solution to zero; False is what the authors' code does, in which a
        negative sum can turn the order of classes around

    Examples
    --------
    >>> exact = np.array([[1.0, 0.5], [0.0, 0.5]])
    >>> adjust_posterior([[2 / 3, 1 / 3]], exact, [1]).own_domain.round(2)
    array([[1., 0.]])
    """
    g, w = np.asarray(p_d_given_x, dtype=np.float64), np.asarray(p_y_given_d, dtype=np.float64)
    d = np.asarray(domains, dtype=np.int64)
    total = w.sum(1)
    p = (w / np.where(total == 0, 1e-8, total)[:, None]).T  # (D, K): p(d | y)
    q = g @ np.linalg.pinv(p).T
    if not clip:
        own = q * p[d]
        own = own / own.sum(1, keepdims=True)
        return Adjusted(q, own, own.argmax(1))
    even = shift_prior(np.clip(q, 0.0, None), np.ones(len(w)))
    own = shift_prior(even, p[d])
    return Adjusted(even, own, own.argmax(1))


class LatentLabelShift(BaseEstimator):
    """DDFA: finds ``num_classes`` classes from samples and their domains, in scikit-learn's way.

    Parameters
    ----------
    num_classes : K, 2 or more; at most the number of domains
    num_bins : m, K or more; 3 K by default
    solver : "anchor" or "nmf"; see ``factorise``
    discriminator : a scikit-learn classifier with ``predict_proba``, fitted to tell domains; None for scikit-learn's
        MLP of 64 and 64 units, on standardised features. Networks on images and texts: ``errata.train(system="lls")``.
    clip : see ``adjust_posterior``
    random_state : of k-means, NMF and the default discriminator

    Attributes
    ----------
    domains_ : (D,) the domains, sorted
    p_y_given_d_ : (K, D)
    p_bin_given_y_ : (m, K)
    condition_ : condition number of ``p_y_given_d_``; large where the domains do not tell the classes apart
    discriminator_ : fitted
    n_features_in_ : of X

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> kind = rng.random(900) < np.repeat([0.1, 0.5, 0.9], 300)
    >>> x = rng.normal(size=(900, 2)) + 4.0 * kind[:, None]
    >>> system = LatentLabelShift(num_classes=2, random_state=0).fit(x, np.repeat(["a", "b", "c"], 300))
    >>> agree = (system.predict(x) == kind).mean()
    >>> bool(max(agree, 1 - agree) > 0.95)
    True

    References
    ----------
    Roberts, Mani, Garg, Lipton: Unsupervised Learning under Latent Label Shift, NeurIPS 2022, arXiv 2207.13179.
    """

    card = systems.card("lls")

    def __init__(
        self,
        num_classes: int = 2,
        *,
        num_bins: int | None = None,
        solver: str = "anchor",
        discriminator: Any = None,
        clip: bool = True,
        random_state: Any = 0,
    ) -> None:
        self.num_classes = num_classes
        self.num_bins = num_bins
        self.solver = solver
        self.discriminator = discriminator
        self.clip = clip
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> LatentLabelShift:  # scikit-learn's names
        """Find the classes.

        Parameters
        ----------
        X : (N, F) features
        y : (N,) the samples' domains, of any type. There are no labels.
        """
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        checked, domains = validate_data(self, X, y)
        self.domains_, codes = np.unique(domains, return_inverse=True)
        self._check(len(self.domains_), len(codes))
        if self.discriminator is None:
            mlp = MLPClassifier((64, 64), early_stopping=len(checked) >= 200, random_state=self.random_state)
            self.discriminator_ = make_pipeline(StandardScaler(), mlp)
        else:
            self.discriminator_ = clone(self.discriminator)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of convergence: early stopping and its limit are meant
            self.discriminator_.fit(checked, codes)
        return self._factorise(self.discriminator_.predict_proba(checked), codes)

    def fit_posterior(self, p_d_given_x: Any, domains: Any) -> LatentLabelShift:
        """Find the classes from what a discriminator of your own says.

        Parameters
        ----------
        p_d_given_x : (N, D) probabilities of the domains, sorted as ``numpy.unique`` sorts them
        domains : (N,) of any type
        """
        g = np.asarray(p_d_given_x, dtype=np.float64)
        self.domains_, codes = np.unique(np.asarray(domains), return_inverse=True)
        if g.shape != (len(codes), len(self.domains_)):
            raise DataError(
                f"Expected probabilities ({len(codes)}, {len(self.domains_)}), a column per domain; got {g.shape}."
            )
        if not np.isfinite(g).all() or (g < 0).any():
            raise DataError("Probabilities of the domains must be finite, and 0 or more.")
        self._check(len(self.domains_), len(codes))
        self.n_features_in_ = g.shape[1]
        return self._factorise(g, codes)

    def _check(self, num_domains: int, samples: int) -> None:
        k = self.num_classes
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 2:
            raise ParameterError(f"num_classes must be a whole number, 2 or more; got {k!r}.")
        if num_domains < k:
            raise DataError(
                f"{k} classes can't be found from {num_domains} domains (n_samples = {samples}): there must be as many "
                "domains as classes, or more."
            )
        if self.num_bins is not None and self.num_bins < k:
            raise ParameterError(f"num_bins must be num_classes ({k}) or more; got {self.num_bins!r}.")
        if self.solver not in SOLVERS:
            raise ParameterError(f"solver must be one of {', '.join(SOLVERS)}; got {self.solver!r}.")

    def _factorise(self, g: np.ndarray, codes: np.ndarray) -> LatentLabelShift:
        from sklearn.cluster import KMeans

        num_domains, k = len(self.domains_), self.num_classes
        self._sizes = np.bincount(codes, minlength=num_domains) / len(codes)
        even = self._even(g)
        bins = min(self.num_bins or 3 * k, len(np.unique(even, axis=0)))
        if bins < k:
            raise DataError(f"The domain classifier tells {bins} kinds of samples apart, fewer than {k} classes.")
        means = KMeans(bins, n_init=5, max_iter=100, random_state=self.random_state).fit(even)
        table = bin_table(means.labels_, codes, bins, num_domains)
        shares = np.bincount(means.labels_, weights=1 / self._sizes[codes], minlength=bins)
        factors = factorise(table, k, solver=self.solver, weights=shares, random_state=self.random_state)
        self.p_bin_given_y_, self.p_y_given_d_ = factors.p_bin_given_y, factors.p_y_given_d
        self.condition_ = float(np.linalg.cond(self.p_y_given_d_))
        if not self.condition_ <= WORST_CONDITION or _lost_in_noise(table, k, len(codes)):
            warnings.warn(
                f"These domains do not tell {k} classes apart: their proportions hardly differ (condition number "
                f"{self.condition_:.3g}). The classes found are not identifiable; look for domains that differ more, "
                "or for fewer classes.",
                NotIdentifiableWarning,
                stacklevel=3,
            )
        return self

    def _even(self, g: np.ndarray) -> np.ndarray:
        """Domain posteriors as they would be with equally large domains."""
        return shift_prior(g, np.ones(len(self._sizes)), self._sizes)

    def adjust(self, p_d_given_x: Any, domains: Any = None) -> np.ndarray:
        """(N, K) label posteriors from domain posteriors; see ``predict_proba``."""
        check_is_fitted(self, "p_y_given_d_")
        g = self._even(np.asarray(p_d_given_x, dtype=np.float64))
        codes = np.zeros(len(g), dtype=np.int64) if domains is None else self._codes(domains, len(g))
        found = adjust_posterior(g, self.p_y_given_d_, codes, clip=self.clip)
        return found.p_y_given_x if domains is None else found.own_domain

    def predict_proba(self, X: Any, domains: Any = None) -> np.ndarray:
        """Label posteriors.

        Parameters
        ----------
        X : (N, F)
        domains : (N,) of those fitted; without them for samples from all domains, evenly

        Returns
        -------
        (N, K) float64
        """
        check_is_fitted(self, "p_y_given_d_")
        if not hasattr(self, "discriminator_"):
            raise DataError("This was fitted to probabilities: give adjust() the probabilities of new samples.")
        checked = validate_data(self, X, reset=False)
        return self.adjust(self.discriminator_.predict_proba(checked), domains)

    def predict(self, X: Any, domains: Any = None) -> np.ndarray:
        """(N,) the most probable class, a number in [0, K); see ``predict_proba``."""
        return self.predict_proba(X, domains).argmax(1)

    def _codes(self, domains: Any, n: int) -> np.ndarray:
        given = np.asarray(domains)
        if given.shape != (n,):
            raise DataError(f"Expected a domain for each of the {n} samples; got shape {given.shape}.")
        place = np.clip(np.searchsorted(self.domains_, given), 0, len(self.domains_) - 1)
        odd = self.domains_[place] != given
        if odd.any():
            raise DataError(f"The domain {given[odd][0]!r} was not among those fitted.")
        return place


def _lost_in_noise(table: np.ndarray, num_classes: int, samples: int) -> bool:
    """Whether the K-th singular value of the table is no larger than counting so many samples gives by chance."""
    bins, domains = table.shape
    chance = np.sqrt(domains / max(1, samples) / bins) * (np.sqrt(bins) + np.sqrt(domains))
    return bool(np.linalg.svd(table, compute_uv=False)[num_classes - 1] < chance)
