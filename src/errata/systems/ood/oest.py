"""Outlier Exposure by Simple Transformations (OEST) and its variant with an energy barrier (OEST*).

A classifier is sure of inputs that it has no business being sure of. Outlier exposure teaches it doubt with a set of
outliers, which has to be found first, and resembles what will come only by luck. OEST makes its outliers out of the
training images themselves: a turned, scrambled, holed or blurred image ("peripheral" data) lies between the data and
everything else. The free energy ``E = -T logsumexp(f / T)`` is to be low for the data and high for their transforms. If
the energy is smooth, a gap between an image and its transform carries over to what lies beyond the transform.

- OEST holds the energies on their sides of two margins (the loss of Liu et al. 2020), or, with
  ``loss="outlier-exposure"``, the predictions of transforms near the uniform distribution (Hendrycks et al. 2019).
- OEST* pushes the difference of each pair of energies through a log-sigmoid, and needs no margins.

Both halves pass the network together, so that batch normalisation sees one distribution and not two in turn. Gradients
flow through both energies. Kept per sample: the mean prediction, for the ledger; nothing for the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errata import systems
from errata.errors import ParameterError
from errata.losses.energy import PAIRINGS
from errata.losses.functional import energy_barrier, energy_bounded, outlier_exposure
from errata.parts import Batch, PeripheralTransforms, SharedRandom, System
from errata.parts.peripheral import POOL

__all__ = ["OEST", "OESTStar"]

WEIGHTS = {"energy-bounded": 0.1, "outlier-exposure": 0.5}
"""The losses of OEST, and how heavily each counts by default."""


class Peripheral(System):
    """What both have in common: transforms, and one pass of the network over images and transforms.

    Parameters
    ----------
    model, num_classes, num_samples : see ``System``; the model takes images (B, C, H, W)
    pd_transforms : the pool that each image's transform is drawn from, out of "rotate", "permute", "cutout", "blur" and
        "noise"; as names, or as text with commas. Leave out what keeps the class readable, or occurs in the data.
    pd_grid : patches along each side for "permute", 2 or more
    pd_cutout : side of the blank square of "cutout" as a share of the image's, in (0, 1]
    temperature : T of the energy, > 0
    training : optimiser, schedule, views; see ``System``
    """

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        pd_transforms: Sequence[str] | str = POOL[:4],
        pd_grid: int = 2,
        pd_cutout: float = 0.5,
        temperature: float = 1.0,
        **training: Any,
    ) -> None:
        super().__init__(model, num_classes, num_samples, **training)
        if not temperature > 0:
            raise ParameterError(f"temperature must be above 0; got {temperature!r}.")
        self.pd_transforms = pd_transforms
        self.pd_grid = pd_grid
        self.pd_cutout = pd_cutout
        self.temperature = temperature
        named = pd_transforms.split(",") if isinstance(pd_transforms, str) else pd_transforms
        pool = [name.strip() for name in named]
        self.transforms = PeripheralTransforms(pool, grid=pd_grid, cutout=pd_cutout)
        self.random = SharedRandom()

    def training_step(self, batch: Batch) -> Tensor:
        x = self.views.weak(batch.x)
        x_pd = self.transforms(x, self.random)
        logits, logits_pd = self.model(torch.cat([x, x_pd])).split(len(x))
        self.observe(batch.index, logits)
        return F.cross_entropy(logits, batch.y) + self.outside_loss(logits, logits_pd)

    def outside_loss(self, logits: Tensor, logits_pd: Tensor) -> Tensor:
        """What is added to cross-entropy: (B, K) logits of images and of their transforms -> a scalar."""
        raise TypeError(f"{type(self).__name__} must define outside_loss(logits, logits_pd) -> loss.")


class OEST(Peripheral):
    """OEST: images below an energy margin, their transforms above another.

    ``L = CE(f(x), y) + weight * [mean relu(E(x) - m_in)^2 + mean relu(m_out - E(x_pd))^2]``

    Parameters
    ----------
    model, num_classes, num_samples, pd_transforms, pd_grid, pd_cutout, temperature : see ``Peripheral``
    loss : "energy-bounded", or "outlier-exposure" for the cross-entropy of transforms to the uniform distribution
    weight : of what is added to cross-entropy, 0 or more; by default 0.1, and 0.5 for outlier exposure
    m_in, m_out : margins of the energies of images and transforms, m_in <= m_out, in units of the logits
    training : optimiser, schedule, views; see ``System``

    Notes
    -----
    Margins depend on the number of classes and on the scale of the logits. The defaults are for small networks trained
    from scratch; energy_ood, which fine-tunes a WideResNet, has -25 and -7. The paper's own could not be read.

    Examples
    --------
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    >>> system = OEST(network, num_classes=3, num_samples=4)
    >>> batch = Batch(torch.tensor([0, 1]), torch.zeros(2, 1, 8, 8), torch.tensor([2, 0]))
    >>> bool(system.training_step(batch) > 0)
    True

    References
    ----------
    Wu et al.: Revisiting Energy-Based Model for Out-of-Distribution Detection, arXiv 2412.03058.
    Liu, Wang, Owens, Li: Energy-based Out-of-distribution Detection, NeurIPS 2020, arXiv 2010.03759.
    Hendrycks, Mazeika, Dietterich: Deep Anomaly Detection with Outlier Exposure, ICLR 2019, arXiv 1812.04606.
    """

    card = systems.card("oest")

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        loss: str = "energy-bounded",
        weight: float | None = None,
        m_in: float = -8.0,
        m_out: float = -2.0,
        **training: Any,
    ) -> None:
        super().__init__(model, num_classes, num_samples, **training)
        if loss not in WEIGHTS:
            raise ParameterError(f"loss must be one of {', '.join(WEIGHTS)}; got {loss!r}.")
        if weight is not None and not weight >= 0:
            raise ParameterError(f"weight must be 0 or more; got {weight!r}.")
        if not m_in <= m_out:
            raise ParameterError(f"m_in must not lie above m_out; got {m_in!r} and {m_out!r}.")
        self.loss = loss
        self.weight = weight
        self.m_in = m_in
        self.m_out = m_out

    def outside_loss(self, logits: Tensor, logits_pd: Tensor) -> Tensor:
        weight = WEIGHTS[self.loss] if self.weight is None else self.weight
        if self.loss == "outlier-exposure":
            return outlier_exposure(logits, logits_pd, weight=weight)
        return energy_bounded(
            logits, logits_pd, weight=weight, m_in=self.m_in, m_out=self.m_out, temperature=self.temperature
        )


class OESTStar(Peripheral):
    """OEST*: a barrier between the energy of an image and that of its transform.

    ``L = CE(f(x), y) - alpha * log sigmoid((E(x_pd) - E(x)) / beta)`` (eq. 12)

    Parameters
    ----------
    model, num_classes, num_samples, pd_transforms, pd_grid, pd_cutout, temperature : see ``Peripheral``
    alpha : weight of the barrier, 0 or more
    beta : softness of the barrier in units of the logits, > 0
    reduction : "paired" (each image with its own transform), "of_means" (the batch's mean energies) or "all_pairs"
    training : optimiser, schedule, views; see ``System``

    Notes
    -----
    The paper's reduction and its alpha and beta could not be read; these are those of a re-implementation that quotes
    its equation 12, and "paired" is the reading that its theory suggests. The log-sigmoid never reaches zero: beyond a
    gap of some ``beta`` it still pushes the logits apart, ever less, so mind the calibration of long trainings.
    With several ranks "of_means" and "all_pairs" see each process's share of the batch only.

    Examples
    --------
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    >>> system = OESTStar(network, num_classes=3, num_samples=4)
    >>> batch = Batch(torch.tensor([0, 1]), torch.zeros(2, 1, 8, 8), torch.tensor([2, 0]))
    >>> bool(system.training_step(batch) > 0)
    True

    References
    ----------
    Wu et al.: Revisiting Energy-Based Model for Out-of-Distribution Detection, arXiv 2412.03058.
    """

    card = systems.card("oest-star")

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        alpha: float = 0.2,
        beta: float = 10.0,
        reduction: str = "paired",
        **training: Any,
    ) -> None:
        super().__init__(model, num_classes, num_samples, **training)
        if not alpha >= 0:
            raise ParameterError(f"alpha must be 0 or more; got {alpha!r}.")
        if not beta > 0:
            raise ParameterError(f"beta must be above 0; got {beta!r}.")
        if reduction not in PAIRINGS:
            raise ParameterError(f"reduction must be one of {', '.join(PAIRINGS)}; got {reduction!r}.")
        self.alpha = alpha
        self.beta = beta
        self.reduction = reduction

    def outside_loss(self, logits: Tensor, logits_pd: Tensor) -> Tensor:
        return energy_barrier(
            logits,
            logits_pd,
            alpha=self.alpha,
            beta=self.beta,
            temperature=self.temperature,
            reduction=self.reduction,
        )
