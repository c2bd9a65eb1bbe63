"""Energy losses: keep the inputs that are in the data apart from those that are not.

The free energy ``E = -T logsumexp(f / T)`` of a classifier should be low inside and high outside. The outside may be
real outliers, or transforms of the data themselves that no class would claim.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errata.errors import DataError
from errata.losses.base import check_choice, check_number, in_working_precision
from errata.losses.cross_entropy import cross_entropy

PAIRINGS = ("paired", "of_means", "all_pairs")


def free_energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Free energy, ``-T logsumexp(logits / T)``: low where some class is sure of the input.

    Parameters
    ----------
    logits : (B, K, ...) float
    temperature : T > 0; towards 0 the energy becomes minus the largest logit

    Returns
    -------
    (B, ...) float

    Examples
    --------
    >>> free_energy(torch.zeros(1, 2))
    tensor([-0.6931])
    """
    check_number("temperature", temperature, 0.0, open_low=True)
    return -temperature * torch.logsumexp(in_working_precision(logits) / temperature, 1)


def _with_cross_entropy(term: Tensor, logits_in: Tensor, labels: Tensor | None) -> Tensor:
    return term if labels is None else cross_entropy(logits_in, labels) + term


def energy_bounded_regularizer(
    logits_in: Tensor, logits_out: Tensor, *, m_in: float = -25.0, m_out: float = -7.0, temperature: float = 1.0
) -> Tensor:
    """``mean relu(E_in - m_in)^2 + mean relu(m_out - E_out)^2``, zero once every energy is on its side of the margins.

    Parameters
    ----------
    logits_in : (B, K, ...) float, of the data
    logits_out : (M, K, ...) float, of the outliers
    m_in, m_out : margins in units of the logits, m_in <= m_out; they depend on the scale of the logits, so take
        quantiles of the energies of a plainly trained model where the defaults are out of its reach
    temperature : of the energy, > 0

    Returns
    -------
    scalar >= 0

    Examples
    --------
    >>> energy_bounded_regularizer(torch.tensor([[30.0, 0.0]]), torch.zeros(1, 2), m_in=-25, m_out=0)
    tensor(0.4805)
    """
    check_number("m_in", m_in, high=m_out)
    inside, outside = free_energy(logits_in, temperature), free_energy(logits_out, temperature)
    return F.relu(inside - m_in).square().mean() + F.relu(m_out - outside).square().mean()


def energy_bounded(
    logits_in: Tensor,
    logits_out: Tensor,
    labels: Tensor | None = None,
    *,
    weight: float = 0.1,
    m_in: float = -25.0,
    m_out: float = -7.0,
    temperature: float = 1.0,
) -> Tensor:
    """Energy-bounded learning: ``CE(in) + weight * energy_bounded_regularizer``; without labels the second part alone.

    Parameters
    ----------
    logits_in : (B, K, ...) float, of the data
    logits_out : (M, K, ...) float, of the outliers
    labels : (B, ...) int or (B, K, ...) probabilities, of the data; None for the regulariser alone
    weight : of the regulariser, >= 0
    m_in, m_out, temperature : see ``energy_bounded_regularizer``

    Returns
    -------
    scalar >= 0

    References
    ----------
    Liu, Wang, Owens, Li: Energy-based Out-of-distribution Detection, NeurIPS 2020, arXiv 2010.03759.

    Examples
    --------
    >>> energy_bounded(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]), m_in=0, m_out=0, weight=1)
    tensor(1.1736)
    """
    check_number("weight", weight, 0.0)
    term = energy_bounded_regularizer(logits_in, logits_out, m_in=m_in, m_out=m_out, temperature=temperature)
    return _with_cross_entropy(weight * term, logits_in, labels)


def outlier_exposure(
    logits_in: Tensor, logits_out: Tensor, labels: Tensor | None = None, *, weight: float = 0.5
) -> Tensor:
    """Outlier exposure: ``CE(in) + weight * mean over outliers of (logsumexp f - mean_k f_k)``.

    The outliers' part is their cross-entropy to the uniform distribution, and without labels it stands alone.

    Parameters
    ----------
    logits_in : (B, K, ...) float, of the data
    logits_out : (M, K, ...) float, of the outliers
    labels : (B, ...) int or (B, K, ...) probabilities, of the data; None for the outliers' part alone
    weight : of the outliers' part, >= 0

    Returns
    -------
    scalar >= 0; the outliers' part is at least ``weight * log K``

    References
    ----------
    Hendrycks, Mazeika, Dietterich: Deep Anomaly Detection with Outlier Exposure, ICLR 2019, arXiv 1812.04606.

    Examples
    --------
    >>> outlier_exposure(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]), weight=1)
    tensor(1.3863)
    """
    check_number("weight", weight, 0.0)
    z = in_working_precision(logits_out)
    return _with_cross_entropy(weight * (torch.logsumexp(z, 1) - z.mean(1)).mean(), logits_in, labels)


def energy_barrier(
    logits_in: Tensor,
    logits_out: Tensor,
    labels: Tensor | None = None,
    *,
    alpha: float = 0.2,
    beta: float = 10.0,
    temperature: float = 1.0,
    reduction: str = "paired",
) -> Tensor:
    """Energy barrier: ``CE(in) - alpha * log sigmoid((E_out - E_in) / beta)``; without labels the second part alone.

    Only the difference of the energies is trained, so there are no margins to choose; but nothing stops it either: for
    gaps well beyond ``beta`` it still pulls, ever less.

    Parameters
    ----------
    logits_in : (B, K, ...) float, of the data
    logits_out : (M, K, ...) float, of the transformed data; M = B for "paired"
    labels : (B, ...) int or (B, K, ...) probabilities, of the data; None for the barrier alone
    alpha : weight of the barrier, >= 0
    beta : softness of the barrier in units of the logits, > 0
    temperature : of the energies, > 0
    reduction : "paired" (row i of one is the transform of row i of the other; mean over pairs), "of_means" (mean
        energies first, then one barrier) or "all_pairs" (mean over all M x B differences)

    Returns
    -------
    scalar >= 0

    Raises
    ------
    DataError
        Paired logits of different shapes.

    References
    ----------
    Wu et al.: Revisiting Energy-Based Model for Out-of-Distribution Detection, arXiv 2412.03058.

    Examples
    --------
    >>> energy_barrier(torch.zeros(3, 2), torch.zeros(3, 2), alpha=1)
    tensor(0.6931)
    """
    check_number("alpha", alpha, 0.0)
    check_number("beta", beta, 0.0, open_low=True)
    check_choice("reduction", reduction, PAIRINGS)
    inside, outside = free_energy(logits_in, temperature), free_energy(logits_out, temperature)
    if reduction == "paired":
        if inside.shape != outside.shape:
            raise DataError(
                f"Paired logits must have one shape; got {tuple(logits_in.shape)} and {tuple(logits_out.shape)}. "
                "Take reduction='of_means' or 'all_pairs' where row i of one has no partner in the other."
            )
        gap = outside - inside
    elif reduction == "of_means":
        gap = outside.mean() - inside.mean()
    else:
        gap = outside.reshape(-1, 1) - inside.reshape(1, -1)
    return _with_cross_entropy(-alpha * F.logsigmoid(gap / beta).mean(), logits_in, labels)


class EnergyBounded(nn.Module):
    """Energy-bounded learning, called as ``loss(logits_in, logits_out, labels)``; see ``functional.energy_bounded``.

    Parameters
    ----------
    weight : of the regulariser, >= 0; default 0.1
    m_in, m_out : margins in units of the logits, m_in <= m_out; default -25 and -7
    temperature : of the energy, > 0; default 1

    Examples
    --------
    >>> loss = EnergyBounded(m_in=0, m_out=0, weight=1)
    >>> loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]))
    tensor(1.1736)
    """

    def __init__(
        self, weight: float = 0.1, m_in: float = -25.0, m_out: float = -7.0, *, temperature: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = check_number("weight", weight, 0.0)
        self.m_in, self.m_out = check_number("m_in", m_in, high=m_out), m_out
        self.temperature = check_number("temperature", temperature, 0.0, open_low=True)

    def forward(self, logits_in: Tensor, logits_out: Tensor, labels: Tensor | None = None) -> Tensor:
        """The loss of logits (B, K, ...) of data and (M, K, ...) of outliers; without labels the regulariser alone."""
        margins = {"m_in": self.m_in, "m_out": self.m_out, "temperature": self.temperature}
        return energy_bounded(logits_in, logits_out, labels, weight=self.weight, **margins)


class OutlierExposure(nn.Module):
    """Outlier exposure, called as ``loss(logits_in, logits_out, labels)``; see ``functional.outlier_exposure``.

    Parameters
    ----------
    weight : of the outliers' part, >= 0; default 0.5

    Examples
    --------
    >>> OutlierExposure(weight=1)(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]))
    tensor(1.3863)
    """

    def __init__(self, weight: float = 0.5) -> None:
        super().__init__()
        self.weight = check_number("weight", weight, 0.0)

    def forward(self, logits_in: Tensor, logits_out: Tensor, labels: Tensor | None = None) -> Tensor:
        """The loss of logits (B, K, ...) of data and (M, K, ...) of outliers; without labels the second part alone."""
        return outlier_exposure(logits_in, logits_out, labels, weight=self.weight)


class EnergyBarrier(nn.Module):
    """Energy barrier, called as ``loss(logits_in, logits_out, labels)``; see ``functional.energy_barrier``.

    Parameters
    ----------
    alpha : weight of the barrier, >= 0; default 0.2
    beta : softness of the barrier in units of the logits, > 0; default 10
    temperature : of the energies, > 0; default 1
    reduction : "paired" (default), "of_means" or "all_pairs"

    Examples
    --------
    >>> EnergyBarrier(alpha=1)(torch.zeros(3, 2), torch.zeros(3, 2))
    tensor(0.6931)
    """

    def __init__(
        self, alpha: float = 0.2, beta: float = 10.0, *, temperature: float = 1.0, reduction: str = "paired"
    ) -> None:
        super().__init__()
        self.alpha = check_number("alpha", alpha, 0.0)
        self.beta = check_number("beta", beta, 0.0, open_low=True)
        self.temperature = check_number("temperature", temperature, 0.0, open_low=True)
        self.reduction = check_choice("reduction", reduction, PAIRINGS)

    def forward(self, logits_in: Tensor, logits_out: Tensor, labels: Tensor | None = None) -> Tensor:
        """The loss of logits (B, K, ...) of data and of their transforms; without labels the barrier alone."""
        settings = {"alpha": self.alpha, "beta": self.beta, "temperature": self.temperature}
        return energy_barrier(logits_in, logits_out, labels, reduction=self.reduction, **settings)
