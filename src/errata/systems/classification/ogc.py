"""Optimized Gradient Clipping: no sample may pull harder at its label than a bound that is found anew as training goes.

A wrong label has a large loss, and cross-entropy's gradient grows without bound with it. Below a threshold of the
label's probability the loss is replaced by its tangent, so that the gradient stops growing. The threshold is found
every few steps: a mixture of two Gaussians on the losses of recent samples tells right from wrong labels, and the
threshold is the lowest at which wrong labels pull at most ``1 + lr * epsilon`` times as hard as right ones. As the
learning rate falls, clipping tightens. The rule itself is ``errata.losses.OptimizedGradientClipping``.
Kept per sample: the mean prediction, for the ledger. Kept beside: the last few thousand losses.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from errata import losses, systems
from errata.parts import Batch, System, gather_rows, world_size

__all__ = ["OptimizedGradientClippingTraining"]


class OptimizedGradientClippingTraining(System):
    """Optimized Gradient Clipping (OGC-CE, OGC-FL, OGC-GCE).

    Parameters
    ----------
    model, num_classes, num_samples : see ``System``
    base_loss : the loss that is clipped: "ce", "fl" (focal) or "gce"
    epsilon : how much harder wrong labels may pull than right ones, in units of the learning rate; 0 or more
    time_frame : steps from one choice of the threshold to the next
    queue_size : how many recent losses the mixture is fitted to; the threshold is first chosen when they are there. In
        a data set of fewer samples it is the number of samples, so that the queue fills within an epoch.
    gamma, q : of the focal loss and of generalised cross-entropy
    max_threshold : upper limit of the threshold, in (0, 1); 0.9 or so is advised with ``base_loss="fl"``
    gradient_clip : bound of the global norm of all gradients (which is no part of the idea, but of the recipe)
    training : optimiser, schedule, views and belief; see ``System``

    Notes
    -----
    The authors train with SGD at a learning rate of 0.1, cut tenfold at 1/3 and 2/3 of 150 epochs
    (``lr=0.1, scheduler="step", milestones=(1/3, 2/3)``). The bound ``1 + lr * epsilon`` is meant for learning rates of
    SGD; with Adam's smaller ones, raise ``epsilon``.
    With several ranks the queue takes the losses of all of them, in the order of the global batch.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(2)
    >>> system = OptimizedGradientClippingTraining(torch.nn.Linear(2, 3), 3, 4, queue_size=2, time_frame=1)
    >>> loss = system.training_step(Batch(torch.tensor([0, 1]), torch.rand(2, 2), torch.tensor([2, 0])))
    >>> bool(system.criterion.threshold > 1e-7)
    True

    References
    ----------
    Ye, Wu, Zhang, Li, Chen, Jin: Optimized Gradient Clipping for Noisy Label Learning, AAAI 2025, arXiv 2412.08941.
    """

    card = systems.card("ogc")

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        base_loss: str = "ce",
        epsilon: float = 20.0,
        time_frame: int = 32,
        queue_size: int = 4096,
        gamma: float = 0.5,
        q: float = 0.7,
        max_threshold: float | None = None,
        gradient_clip: float | None = 5.0,
        **training: Any,
    ) -> None:
        super().__init__(model, num_classes, num_samples, gradient_clip=gradient_clip, **training)
        self.base_loss = base_loss
        self.epsilon = epsilon
        self.time_frame = time_frame
        self.queue_size = queue_size
        self.gamma = gamma
        self.q = q
        self.max_threshold = max_threshold
        self.criterion = losses.OptimizedGradientClipping(
            base_loss,
            epsilon=epsilon,
            time_frame=time_frame,
            queue_size=min(queue_size, max(2, num_samples)),
            gamma=gamma,
            q=q,
            max_threshold=max_threshold,
            ignore_index=None,
        )

    def training_step(self, batch: Batch) -> Tensor:
        logits = self.model(self.views.weak(batch.x))
        self.observe(batch.index, logits)
        everyones = None
        if world_size() > 1:
            (everyones,) = gather_rows(self.criterion.cross_entropies(logits, batch.y))
        return self.criterion(logits, batch.y, lr=self.learning_rate, h=everyones)
