"""Active Negative Loss: a normalised loss learns the given class, a normalised negative one unlearns the others.

A loss whose sum over all classes is constant is robust to symmetric noise, but such losses under-fit. An active loss,
normalised to be symmetric, is paired with a *negative* one: a loss turned upside down and applied to the classes that
were not given. Both are symmetric, and the negative one pays attention to samples that are nearly learned where mean
absolute error, its forerunner, treats all alike. An L1 penalty on all weights takes the place of weight decay, and an
optional term pushes the mean prediction of a batch towards uniform, against noise that favours some classes.
Kept per sample: the mean prediction, for the ledger.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from errata import systems
from errata.errors import ParameterError
from errata.losses import functional
from errata.parts import Batch, System, global_mean, in_float32

__all__ = ["ActiveNegativeTraining", "entropy_regularizer"]


def entropy_regularizer(logits: Tensor, min_prob: float = 1e-7) -> Tensor:
    """``log K`` minus the entropy of the mean prediction of the *global* batch: 0 if all classes are predicted alike.

    Parameters
    ----------
    logits : (B, K), this rank's share of the batch
    min_prob : probabilities are clamped to ``[min_prob, 1 - min_prob]``, before and after the mean

    Returns
    -------
    scalar in [0, log K], the same on all ranks

    Examples
    --------
    >>> entropy_regularizer(torch.tensor([[9.0, 0.0], [9.0, 0.0]]))
    tensor(0.6919)
    """
    rows = in_float32(logits).softmax(1).clamp(min_prob, 1 - min_prob)
    marginal = global_mean(rows)
    return functional.batch_entropy_regularizer(None, min_prob, marginal=marginal / marginal.sum())


def add_l1_gradient(parameters: list[Tensor], delta: float) -> None:
    """Add ``delta * sign(w)`` to the gradient of every weight that has one: what ``delta * sum |w|`` in the loss adds.

    Examples
    --------
    >>> weight = torch.tensor([2.0, -1.0, 0.0])
    >>> weight.grad = torch.zeros(3)
    >>> add_l1_gradient([weight], delta=0.5)
    >>> weight.grad
    tensor([ 0.5000, -0.5000,  0.0000])
    """
    weights = [p.detach() for p in parameters if p.grad is not None]
    if weights:
        gradients = [p.grad for p in parameters if p.grad is not None]
        torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=delta)


class ActiveNegativeTraining(System):
    """Active Negative Loss: ANL-CE, ANL-FL, and with ``lamb`` their entropy-regularised forms.

    Parameters
    ----------
    model, num_classes, num_samples : see ``System``
    active : "nce" (normalised cross-entropy: ANL-CE) or "nfl" (normalised focal loss: ANL-FL)
    alpha, beta : weights of the active and of the negative loss, 0 or more
    delta : weight of the L1 norm of all weights, 0 or more. Its gradient is added before clipping, which is what it
        adds when it stands in the loss; the loss that is logged does not show it.
    lamb : weight of the entropy regularisation, 0 or more; against noise that isn't symmetric, where the true classes
        are about equally frequent
    gamma : exponent of the focal losses
    min_prob : probabilities are raised to this
    weight_decay : 0, for L1 takes its place
    gradient_clip : bound of the global norm of all gradients
    training : optimiser, schedule, views and belief; see ``System``

    Notes
    -----
    The authors' settings, with SGD and a cosine schedule:

    ============ ===== ==== ===== ==== =====
    data         alpha beta delta lamb lr
    ============ ===== ==== ===== ==== =====
    MNIST        1     1    1e-6       0.01
    CIFAR-10     5     5    5e-5  2    0.01
    CIFAR-100    10    1    5e-7  0.01 0.1
    WebVision    20    1    5e-6       0.4
    ============ ===== ==== ===== ==== =====

    A ``delta`` of 5e-5 is strong for a small network.

    Examples
    --------
    >>> system = ActiveNegativeTraining(torch.nn.Linear(2, 3), 3, 4, lamb=2.0)
    >>> system.training_step(Batch(torch.tensor([0, 1]), torch.zeros(2, 2), torch.tensor([2, 0]))).shape
    torch.Size([])

    References
    ----------
    Ye, Li, Dai, Liu, Sun, Tong: Active Negative Loss Functions for Learning with Noisy Labels, NeurIPS 2023.
    Ye, Wu, Wang, Li, Zhang, Chen: Active Negative Loss: A Robust Framework for Learning with Noisy Labels,
    arXiv 2412.02373.
    """

    card = systems.card("anl")

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        active: str = "nce",
        alpha: float = 5.0,
        beta: float = 5.0,
        delta: float = 5e-5,
        lamb: float = 0.0,
        gamma: float = 0.5,
        min_prob: float = 1e-7,
        weight_decay: float = 0.0,
        gradient_clip: float | None = 5.0,
        **training: Any,
    ) -> None:
        super().__init__(
            model, num_classes, num_samples, weight_decay=weight_decay, gradient_clip=gradient_clip, **training
        )
        if active not in ("nce", "nfl"):
            raise ParameterError(f"active must be 'nce' or 'nfl'; got {active!r}.")
        for name, value in {"alpha": alpha, "beta": beta, "delta": delta, "lamb": lamb, "gamma": gamma}.items():
            if not value >= 0:
                raise ParameterError(f"{name} must be 0 or more; got {value!r}.")
        self.active = active
        self.alpha = alpha
        self.beta = beta
        self.delta = delta
        self.lamb = lamb
        self.gamma = gamma
        self.min_prob = min_prob

    def training_step(self, batch: Batch) -> Tensor:
        logits = self.model(self.views.weak(batch.x))
        self.observe(batch.index, logits)
        if self.active == "nce":
            active = functional.normalized_cross_entropy(logits, batch.y, ignore_index=None)
        else:
            active = functional.normalized_focal(logits, batch.y, gamma=self.gamma, ignore_index=None)
        negative = functional.normalized_negative(
            logits,
            batch.y,
            base="ce" if self.active == "nce" else "fl",
            gamma=self.gamma,
            min_prob=self.min_prob,
            max_prob=1 - self.min_prob if self.lamb > 0 else 1.0,  # as the authors do beside the entropy term
            ignore_index=None,
        )
        loss = self.alpha * active + self.beta * negative
        return loss + self.lamb * entropy_regularizer(logits, self.min_prob) if self.lamb > 0 else loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.delta > 0:
            add_l1_gradient([p for group in optimizer.param_groups for p in group["params"]], self.delta)
