"""Training with a robust loss in place of cross-entropy.

Cross-entropy pulls hardest at the samples that the network believes least, and these are the wrong labels. A robust
loss bounds how hard a sample can pull, so that wrong labels are learned later or not at all; the price is slower
learning of hard but right ones. Any loss of ``errata.losses`` can be used, or a module of your own.
Kept per sample: the mean prediction, for the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from errata import losses, systems
from errata.errors import ParameterError
from errata.parts import Batch, System

__all__ = ["RobustLossTraining"]


class RobustLossTraining(System):
    """Training with any loss.

    Parameters
    ----------
    model, num_classes, num_samples : see ``System``
    loss : the short name of a loss (``errata.losses.names()``), or a module called as ``loss(logits, target)`` that
        returns a scalar
    loss_params : parameters of the named loss, such as ``{"q": 0.5}``
    training : optimiser, schedule, views and belief; see ``System``

    Notes
    -----
    A term over the whole batch (``lamb`` of "anl-ce") sees this process's share of it only; the system "anl" sees the
    batch of all ranks. A loss that needs the learning rate or the weights has a system of its own ("ogc", "anl").

    Examples
    --------
    >>> import torch
    >>> system = RobustLossTraining(torch.nn.Linear(2, 3), 3, 4, loss="gce", loss_params={"q": 0.5})
    >>> system.training_step(Batch(torch.tensor([0]), torch.zeros(1, 2), torch.tensor([2]))).shape
    torch.Size([])

    References
    ----------
    Of the default: Zhang, Sabuncu: Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels,
    NeurIPS 2018, arXiv 1805.07836.
    """

    card = systems.card("robust-loss")

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        loss: str | nn.Module = "gce",
        loss_params: Mapping[str, Any] | None = None,
        **training: Any,
    ) -> None:
        super().__init__(model, num_classes, num_samples, **training)
        if isinstance(loss, nn.Module) and loss_params:
            raise ParameterError("loss_params go with a loss given by name; set them on the module itself.")
        self.loss = loss
        self.loss_params = loss_params
        self._named_loss = None if isinstance(loss, nn.Module) else losses.get(loss, **(loss_params or {}))
        if isinstance(self._named_loss, losses.OptimizedGradientClipping):
            raise ParameterError(f"The loss '{loss}' needs the learning rate; the system 'ogc' gives it.")
        if getattr(self._named_loss, "delta", 0):
            raise ParameterError("delta of the loss needs the network's weights; the system 'anl' gives them.")

    def training_step(self, batch: Batch) -> Tensor:
        logits = self.model(self.views.weak(batch.x))
        self.observe(batch.index, logits)
        criterion: Any = self.loss if self._named_loss is None else self._named_loss
        return criterion(logits, batch.y)
