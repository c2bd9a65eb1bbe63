"""How far an input is from the data: scores from logits, gradients and features, and how well they detect.

Every score here is larger for inputs that look less like the data (out of distribution, "OOD").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from errata.errors import DataError, ParameterError
from errata.losses.base import in_working_precision
from errata.losses.energy import free_energy

__all__ = [
    "ClassGaussians",
    "DetectionMetrics",
    "detection_metrics",
    "energy_score",
    "fit_class_gaussians",
    "in_distribution_probability",
    "knn_score",
    "mahalanobis_perturb",
    "mahalanobis_score",
    "max_logit_score",
    "max_probability_score",
    "odin_perturb",
    "odin_score",
    "uniform_score",
]


def max_probability_score(logits: Tensor) -> Tensor:
    """Minus the largest softmax probability, (B, K) to (B,); in [-1, -1/K].

    References
    ----------
    Hendrycks, Gimpel: A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks,
    ICLR 2017, arXiv 1610.02136.

    Examples
    --------
    >>> max_probability_score(torch.zeros(1, 4))
    tensor([-0.2500])
    """
    return -in_working_precision(logits).softmax(1).amax(1)


def max_logit_score(logits: Tensor) -> Tensor:
    """Minus the largest logit, (B, K) to (B,).

    Examples
    --------
    >>> max_logit_score(torch.tensor([[1.0, 3.0]]))
    tensor([-3.])
    """
    return -in_working_precision(logits).amax(1)


def energy_score(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Free energy, ``-T logsumexp(logits / T)``, (B, K) to (B,); T > 0.

    References
    ----------
    Liu, Wang, Owens, Li: Energy-based Out-of-distribution Detection, NeurIPS 2020, arXiv 2010.03759.

    Examples
    --------
    >>> energy_score(torch.zeros(1, 2))
    tensor([-0.6931])
    """
    return free_energy(logits, temperature)


def uniform_score(logits: Tensor) -> Tensor:
    """Minus the cross-entropy to the uniform distribution, ``mean_k f_k - logsumexp f``, (B, K) to (B,).

    The score of models that were trained with outlier exposure.

    References
    ----------
    Hendrycks, Mazeika, Dietterich: Deep Anomaly Detection with Outlier Exposure, ICLR 2019, arXiv 1812.04606.

    Examples
    --------
    >>> uniform_score(torch.zeros(1, 2))
    tensor([-0.6931])
    """
    z = in_working_precision(logits)
    return z.mean(1) - torch.logsumexp(z, 1)


def _step_against(x: Tensor, gradient: Tensor, epsilon: float, channel_std: Tensor | Sequence[float] | None) -> Tensor:
    """``x - epsilon * sign(gradient) / channel_std``, the sign of 0 being +1."""
    step = torch.where(gradient >= 0, epsilon, -epsilon).to(x)
    if channel_std is not None:
        std = torch.as_tensor(channel_std, dtype=x.dtype, device=x.device)
        if x.ndim < 2 or std.shape != x.shape[1:2]:
            raise DataError(
                f"channel_std must have one entry per channel, {tuple(x.shape[1:2])}; got {tuple(std.shape)}."
            )
        step = step / std.reshape(-1, *[1] * (x.ndim - 2))
    return x - step


def _input_gradient(value: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Gradient of the sum of ``value(x)`` with respect to x; leaves gradients of anything else untouched."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        return torch.autograd.grad(value(leaf).sum(), leaf)[0]


def odin_perturb(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    temperature: float = 1000.0,
    epsilon: float = 0.0014,
    channel_std: Tensor | Sequence[float] | None = None,
) -> Tensor:
    """Move each input a small step towards what the model already thinks of it.

    ``x - epsilon * sign(d CE(f(x) / T, argmax f) / dx) / channel_std``.

    Parameters
    ----------
    model : from inputs to logits (B, K), in evaluation mode (a row's result must not depend on the others)
    x : (B, C, ...) float
    temperature : T > 0
    epsilon : size of the step in units of the raw input, >= 0
    channel_std : (C,) what each channel was divided by when the input was normalised; None for ones

    Returns
    -------
    (B, C, ...) float, detached

    Examples
    --------
    >>> odin_perturb(lambda x: x, torch.tensor([[2.0, 1.0]]), temperature=1, epsilon=0.5)
    tensor([[2.5000, 0.5000]])
    """

    def loss(inputs: Tensor) -> Tensor:
        logits = in_working_precision(model(inputs)) / temperature
        return F.cross_entropy(logits, logits.detach().argmax(1), reduction="none")

    return _step_against(x.detach(), _input_gradient(loss, x), epsilon, channel_std)


def odin_score(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    temperature: float = 1000.0,
    epsilon: float = 0.0014,
    channel_std: Tensor | Sequence[float] | None = None,
) -> Tensor:
    """ODIN: minus the largest softmax probability at temperature T after ``odin_perturb``, (B,).

    Parameters
    ----------
    model, x, temperature, epsilon, channel_std : see ``odin_perturb``; with epsilon = 0 and T = 1 it is
        ``max_probability_score``

    Returns
    -------
    (B,) float

    References
    ----------
    Liang, Li, Srikant: Enhancing the Reliability of Out-of-distribution Image Detection in Neural Networks, ICLR 2018,
    arXiv 1706.02690.

    Examples
    --------
    >>> odin_score(lambda x: x, torch.zeros(1, 4), temperature=1, epsilon=0)
    tensor([-0.2500])
    """
    moved = odin_perturb(model, x, temperature=temperature, epsilon=epsilon, channel_std=channel_std)
    with torch.no_grad():
        return max_probability_score(in_working_precision(model(moved)) / temperature)


class ClassGaussians(NamedTuple):
    """Class means (K, D) of features, and the inverse (D, D) of their one common covariance."""

    means: Tensor
    precision: Tensor


def fit_class_gaussians(features: Tensor, labels: Tensor, num_classes: int | None = None) -> ClassGaussians:
    """Class means of features, and the precision of what is left when they are subtracted.

    Parameters
    ----------
    features : (N, D) float
    labels : (N,) int in [0, K)
    num_classes : K; None for the largest label + 1

    Returns
    -------
    ClassGaussians; the covariance is the mean over all N samples, and inverted in the subspace that it spans

    Raises
    ------
    DataError
        A class has no sample, so it has no mean.

    Examples
    --------
    >>> fit_class_gaussians(torch.tensor([[0.0], [2.0], [10.0], [12.0]]), torch.tensor([0, 0, 1, 1]))
    ClassGaussians(means=tensor([[ 1.],
            [11.]]), precision=tensor([[1.]]))
    """
    x, y = in_working_precision(features), labels.long()
    classes = int(y.max()) + 1 if num_classes is None else num_classes
    counts = torch.bincount(y, minlength=classes)
    if len(counts) > classes or bool((counts == 0).any()):
        empty = (counts == 0).nonzero().flatten().tolist()
        raise DataError(f"Each of the {classes} classes needs a sample to have a mean; none in {empty}.")
    means = x.new_zeros(classes, x.shape[1]).index_add_(0, y, x) / counts.to(x).unsqueeze(1)
    rest = x - means[y]
    return ClassGaussians(means, torch.linalg.pinv(rest.T @ rest / len(x), hermitian=True))


def mahalanobis_score(features: Tensor, gaussians: ClassGaussians) -> Tensor:
    """Half the squared Mahalanobis distance to the nearest class mean, (B, D) to (B,).

    References
    ----------
    Lee, Lee, Lee, Shin: A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks,
    NeurIPS 2018, arXiv 1807.03888.

    Examples
    --------
    >>> mahalanobis_score(torch.tensor([[3.0, 4.0]]), ClassGaussians(torch.zeros(1, 2), torch.eye(2)))
    tensor([12.5000])
    """
    apart = in_working_precision(features).unsqueeze(1) - gaussians.means
    return 0.5 * ((apart @ gaussians.precision) * apart).sum(2).amin(1)


def mahalanobis_perturb(
    extract: Callable[[Tensor], Tensor],
    x: Tensor,
    gaussians: ClassGaussians,
    *,
    epsilon: float = 0.01,
    channel_std: Tensor | Sequence[float] | None = None,
) -> Tensor:
    """Move each input a small step towards its nearest class mean.

    Parameters
    ----------
    extract : from inputs to features (B, D), in evaluation mode
    x : (B, C, ...) float
    gaussians : see ``fit_class_gaussians``
    epsilon : size of the step in units of the raw input, >= 0
    channel_std : (C,) what each channel was divided by when the input was normalised; None for ones

    Returns
    -------
    (B, C, ...) float, detached; score it with ``mahalanobis_score(extract(...), gaussians)``, where another mean may be
    the nearest

    Examples
    --------
    >>> g = ClassGaussians(torch.zeros(1, 2), torch.eye(2))
    >>> mahalanobis_perturb(lambda x: x, torch.tensor([[3.0, -4.0]]), g, epsilon=0.5)
    tensor([[ 2.5000, -3.5000]])
    """
    gradient = _input_gradient(lambda inputs: mahalanobis_score(extract(inputs), gaussians), x)
    return _step_against(x.detach(), gradient, epsilon, channel_std)


def knn_score(features: Tensor, bank: Tensor, k: int = 50, *, normalize: bool = True, block: int = 1024) -> Tensor:
    """Distance to the k-th nearest feature of the data, (B, D) to (B,), float64.

    Parameters
    ----------
    features : (B, D) float
    bank : (M, D) float, of the data; where the features themselves are in the bank, each finds itself first
    k : in [1, M]; the authors take 50 for CIFAR-10, 200 for CIFAR-100, 1000 for ImageNet
    normalize : bring all features to length one, which the paper finds to be what makes it work
    block : rows compared at a time; memory grows with ``block`` x M

    Raises
    ------
    ParameterError
        where k is more than the bank holds

    References
    ----------
    Sun, Ming, Zhu, Li: Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022, arXiv 2204.06507.

    Examples
    --------
    >>> knn_score(torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 1.0], [3.0, 0.0]]), k=2)
    tensor([1.4142], dtype=torch.float64)
    """
    if isinstance(k, bool) or int(k) != k or not 1 <= k <= len(bank):
        raise ParameterError(f"k must be a whole number in [1, {len(bank)}], the features in the bank; got {k!r}.")
    keys, queries = bank.detach().double(), features.detach().double()
    if normalize:
        keys, queries = F.normalize(keys), F.normalize(queries)
    lengths = keys.square().sum(1)
    found = []
    for part in queries.split(block):
        # float64, for |a|^2 + |b|^2 - 2ab cancels where a and b are near each other
        squared = part.square().sum(1, keepdim=True) + lengths - 2 * part @ keys.T
        found.append(squared.kthvalue(k, dim=1).values.clamp(min=0).sqrt())
    return torch.cat(found) if found else queries.new_zeros(0)


def in_distribution_probability(scores: npt.ArrayLike, reference: npt.ArrayLike) -> tuple[np.ndarray, float]:
    """How probable it is that each input is of the data, estimated from all of them together.

    Inputs of the data are as often above a score as held-out data are: their shares ("p-values") are uniform. What is
    in excess of that among the high scores is foreign. How many are of the data is told by the lower half of the scores
    (Storey); how dense the shares are, by the nearest density that never rises (Grenander).

    Parameters
    ----------
    scores : (N,) of the inputs, larger = less like the data
    reference : (M,) scores of data held out

    Returns
    -------
    (N,) float64 in [0, 1], falling with the score (ties only where scores tie), and the estimated share of foreign
    inputs. Few inputs, or few held-out data, make both rough.

    Raises
    ------
    DataError
        without reference scores, or with NaN

    References
    ----------
    Storey: A direct approach to false discovery rates, J. R. Stat. Soc. B 64(3), 2002.
    Strimmer: A unified approach to false discovery rate estimation, BMC Bioinformatics 9:303, 2008.

    Examples
    --------
    >>> belief, foreign = in_distribution_probability([*range(16), 97, 98, 99, 99], range(16))
    >>> belief[[0, 8, 16, 19]].round(2), round(foreign, 1)
    (array([1.  , 1.  , 0.26, 0.26]), 0.1)
    """
    values, known = (np.asarray(s, dtype=np.float64).ravel() for s in (scores, reference))
    if not known.size or np.isnan(known).any() or np.isnan(values).any():
        raise DataError("Scores of held-out data are needed, and none may be NaN.")
    if not values.size:
        return values, 0.0
    above = known.size - np.searchsorted(np.sort(known), values, side="left")
    p = (1.0 + above) / (known.size + 1.0)
    places, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    density = _falling_density(places, counts / values.size)
    inside = float(min(1.0, 2 * (p > 0.5).mean()))
    likely = np.minimum(1.0, inside / density)[inverse]
    order = np.unique(-values, return_inverse=True)[1]
    return (1 - TIE) * likely + TIE * order / max(1, order.max()), 1.0 - inside


TIE = 1e-3
"""How far the order of the scores moves a probability, so that equal ones are ranked too."""


def _falling_density(places: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """(U,) the density in front of each of the rising ``places`` in (0, 1], never rising: mass over width, pooled."""
    from sklearn.isotonic import IsotonicRegression

    width = np.diff(np.concatenate([[0.0], places[:-1], [1.0]]))  # the last place reaches to 1
    return IsotonicRegression(increasing=False).fit(places, mass / width, sample_weight=width).predict(places)


class DetectionMetrics(NamedTuple):
    """Area under the ROC curve, average precision, and false positive rate where recall is nearest to a given one."""

    auroc: float
    aupr: float
    fpr: float


def detection_metrics(
    scores_in: npt.ArrayLike, scores_out: npt.ArrayLike, *, recall: float = 0.95, positive: str = "out"
) -> DetectionMetrics:
    """How well scores tell the data from the rest.

    Parameters
    ----------
    scores_in : (n,) scores of the data
    scores_out : (m,) scores of the rest, to be larger
    recall : where the false positive rate is taken, in (0, 1]: at the threshold whose recall comes nearest to it, the
        higher one of two that come equally near, and at the lowest threshold of those with that recall
    positive : which side is to be found, "out" or "in" (then the scores are negated, as in the energy papers)

    Returns
    -------
    DetectionMetrics(auroc, aupr, fpr), each in [0, 1]

    Raises
    ------
    DataError
        One side is empty, or a score is NaN.
    ParameterError
        ``positive`` is neither "in" nor "out".

    Examples
    --------
    >>> detection_metrics([0.1, 0.2, 0.6], [0.5, 0.9])
    DetectionMetrics(auroc=0.833..., aupr=0.833..., fpr=0.333...)
    """
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    inside, outside = (np.asarray(s, dtype=np.float64).ravel() for s in (scores_in, scores_out))
    if not (inside.size and outside.size) or np.isnan(inside).any() or np.isnan(outside).any():
        raise DataError(
            f"Detection needs scores on both sides and no NaN; got {inside.size} in, {outside.size} out, "
            f"{int(np.isnan(inside).sum() + np.isnan(outside).sum())} NaN."
        )
    if positive not in ("in", "out"):
        raise ParameterError(f"positive must be 'in' or 'out'; got {positive!r}.")
    scores = np.concatenate([inside, outside])
    truth = np.repeat([0, 1], [inside.size, outside.size])
    if positive == "in":
        scores, truth = -scores, 1 - truth
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    first_full = int(tpr.searchsorted(1.0))  # thresholds below that of full recall only add false positives
    downwards = np.arange(first_full, -1, -1)
    nearest = downwards[np.abs(tpr[downwards] - recall).argmin()]
    return DetectionMetrics(
        float(roc_auc_score(truth, scores)), float(average_precision_score(truth, scores)), float(fpr[nearest])
    )
