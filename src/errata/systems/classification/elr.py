"""Early-Learning Regularization (ELR and ELR+): hold the network to what it predicted before it could memorise.

A network first learns what most labels agree on and only later memorises the wrong ones. ELR keeps, for every sample, a
running average of the network's predictions, the target, and adds a term that rewards agreement with it. On a sample
with a right label the term keeps the gradient alive after cross-entropy's has vanished; on one with a wrong label it
cancels cross-entropy's pull towards that label. ELR+ trains two networks, each held to the other's predictions, made by
the running average of its weights, and mixes samples (mixup).
Kept per sample: the target, one per network; where its largest class is not the given label, the label is suspicious.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.nn import functional as F

from errata import systems
from errata.errors import ParameterError
from errata.parts import Batch, EMATeacher, Mix, SampleMemory, SharedRandom, System, fresh_copy, in_float32

__all__ = [
    "EarlyLearningRegularization",
    "EarlyLearningRegularizationPlus",
    "clamped_softmax",
    "ema_momentum",
    "loss_elr",
    "loss_elr_plus",
    "reweighted_labels",
    "sigmoid_rampup",
]

LOWEST = 1e-4  # predictions are clamped to [1e-4, 1 - 1e-4], as in the authors' code
CODE_K = 100  # the number of classes at which the authors' code re-weights labels


def clamped_softmax(logits: Tensor) -> Tensor:
    """Predictions p, held inside of [1e-4, 1 - 1e-4]; where the bound is active there is no gradient.

    Parameters
    ----------
    logits : (B, K), in any precision

    Returns
    -------
    (B, K) float32 or better

    Examples
    --------
    >>> clamped_softmax(torch.tensor([[20.0, 0.0]]))
    tensor([[9.9990e-01, 1.0000e-04]])
    """
    return in_float32(logits).softmax(1).clamp(LOWEST, 1 - LOWEST)


def loss_elr(logits: Tensor, labels: Tensor, target: Tensor, lambda_: float) -> Tensor:
    """``-log p_y + lambda * log(1 - <p, t>)``, cross-entropy with early-learning regularisation.

    Parameters
    ----------
    logits : (B, K)
    labels : (B,) int in [0, K)
    target : (B, K) running predictions t, rows summing to 1 at most; a constant
    lambda_ : weight of the regulariser, 0 or more

    Returns
    -------
    (B,) at least ``-9.22 * lambda_``; negative values are normal

    Examples
    --------
    >>> loss_elr(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([[0.5, 0.5]]), lambda_=0.0)
    tensor([0.6931])
    >>> loss_elr(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([[0.5, 0.5]]), lambda_=1.0)
    tensor([0.])
    """
    logits = in_float32(logits)
    return F.cross_entropy(logits, labels, reduction="none") + lambda_ * _log_disagreement(logits, target)


def loss_elr_plus(logits: Tensor, mixed_labels: Tensor, q: Tensor, lambda_: float) -> Tensor:
    """``-<y~, log p> + lambda * log(1 - <p, q>)``: the loss of a network on mixed inputs.

    Parameters
    ----------
    logits : (B, K) of the mixed inputs
    mixed_labels : (B, K) labels y~, one-hot and mixed as the inputs are
    q : (B, K) targets mixed as the inputs are; a constant
    lambda_ : weight of the regulariser, 0 or more

    Returns
    -------
    (B,)

    Examples
    --------
    >>> loss_elr_plus(torch.zeros(1, 2), torch.tensor([[0.5, 0.5]]), torch.tensor([[0.5, 0.5]]), lambda_=1.0)
    tensor([0.])
    """
    logits = in_float32(logits)
    return -(mixed_labels * logits.log_softmax(1)).sum(1) + lambda_ * _log_disagreement(logits, q)


def _log_disagreement(logits: Tensor, target: Tensor) -> Tensor:
    agreement = (clamped_softmax(logits) * target.detach()).sum(1)
    # 1 - <p, t> is 1e-4 at least where rows of t sum to 1; targets kept in half precision may sum to a little more
    return (1 - agreement).clamp(min=1e-6).log()


def reweighted_labels(mixed_labels: Tensor, q: Tensor) -> Tensor:
    """Mixed labels times the mixed targets, normalised: of two mixed labels the more credible one counts more.

    Parameters
    ----------
    mixed_labels, q : (B, K), see ``loss_elr_plus``

    Returns
    -------
    (B, K), rows summing to 1; a row in which the targets leave nothing of the labels stays as it was

    Examples
    --------
    >>> reweighted_labels(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.6, 0.2]]))
    tensor([[0.7500, 0.2500]])
    """
    weighted = mixed_labels * q
    total = weighted.sum(1, keepdim=True)
    return torch.where(total > 0, weighted / total.clamp(min=torch.finfo(total.dtype).tiny), mixed_labels)


def sigmoid_rampup(step: float, length: float) -> float:
    """``exp(-5 (1 - step / length)^2)``, from 0.0067 at step 0 to 1 at ``length`` and after.

    Examples
    --------
    >>> round(sigmoid_rampup(0, 10), 4), sigmoid_rampup(10, 10), sigmoid_rampup(3, 0)
    (0.0067, 1.0, 1.0)
    """
    if length == 0:
        return 1.0
    phase = 1.0 - min(max(step, 0.0), length) / length
    return math.exp(-5.0 * phase * phase)


def ema_momentum(step: int, ema_alpha: float, ema_update: bool, ema_step: float) -> float:
    """How much of the averaged weights is kept at a step.

    Parameters
    ----------
    step : number of the optimiser's step, from 1
    ema_alpha : the highest momentum, in [0, 1]
    ema_update : ramp it up over ``ema_step`` steps; else it is the plain mean until ``ema_alpha`` is reached
    ema_step : length of the ramp

    Examples
    --------
    >>> ema_momentum(1, 0.997, False, 0), round(ema_momentum(40_000, 0.997, True, 40_000), 3)
    (0.5, 0.997)
    """
    if ema_update:
        return sigmoid_rampup(step + 1, ema_step) * ema_alpha
    return min(1 - 1 / (step + 1), ema_alpha)


class EarlyLearningRegularization(System):
    """Early-Learning Regularization (ELR): one network, held to its own running predictions.

    Parameters
    ----------
    model, num_classes, num_samples : see ``System``
    beta : of the running average that makes the targets, in [0, 1]; it matters little
    lambda_ : weight of the regulariser, 0 or more; it wants tuning (the authors tried 1, 3, 5, 7, 10)
    training : optimiser, schedule, views; see ``System``. ``belief_topk`` keeps the largest entries of the targets.

    Notes
    -----
    The authors use (beta, lambda) = (0.7, 3) for CIFAR-10 with symmetric noise, Clothing1M and WebVision, (0.9, 1) for
    asymmetric noise, (0.9, 7) for CIFAR-100; SGD with a learning rate of 0.02, momentum 0.9, weight decay 1e-3.
    Targets aren't corrected for their start: after v visits a row sums to ``1 - beta ** v``.

    Examples
    --------
    >>> system = EarlyLearningRegularization(torch.nn.Linear(2, 3), num_classes=3, num_samples=4)
    >>> loss = system.training_step(Batch(torch.tensor([0, 1]), torch.zeros(2, 2), torch.tensor([2, 0])))
    >>> system.belief.values.sum(1)
    tensor([0.3000, 0.3000, 0.0000, 0.0000])

    References
    ----------
    Liu, Niles-Weed, Razavian, Fernandez-Granda: Early-Learning Regularization Prevents Memorization of Noisy Labels,
    NeurIPS 2020, arXiv 2007.00151.
    """

    card = systems.card("elr")
    settled = ("belief_decay",)

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        beta: float = 0.7,
        lambda_: float = 3.0,
        **training: Any,
    ) -> None:
        if not 0 <= beta <= 1:
            raise ParameterError(f"beta must be in [0, 1]; got {beta!r}.")
        if not lambda_ >= 0:
            raise ParameterError(f"lambda_ must be 0 or more; got {lambda_!r}.")
        super().__init__(model, num_classes, num_samples, belief_decay=beta, **training)
        self.beta = beta
        self.lambda_ = lambda_

    def training_step(self, batch: Batch) -> Tensor:
        logits = self.model(self.views.weak(batch.x))
        p = clamped_softmax(logits.detach())
        target = self.observe(batch.index, probabilities=p / p.sum(1, keepdim=True))  # holds this prediction too
        return loss_elr(logits, batch.y, target, self.lambda_).mean()


class EarlyLearningRegularizationPlus(EarlyLearningRegularization):
    """ELR+: two networks, each held to the running predictions of the other's averaged weights; with mixup.

    Parameters
    ----------
    model, num_classes, num_samples, beta, lambda_ : see ``EarlyLearningRegularization``
    second_model : the second network; by default the first one's architecture with weights drawn anew, which is wrong
        for pre-trained networks: give both of them
    mixup_alpha : of mixup's Beta(alpha, alpha); 0 for no mixup. Inputs that aren't floating point (tokens) can't be
        mixed: there it is left out, and a warning says so.
    ema_alpha : momentum of the averaged weights, in [0, 1]
    ema_update : ramp that momentum up over ``ema_step`` steps; else the plain mean of all steps until it is reached
    ema_step : steps of that ramp; a value below 1 is a share of the training. The authors' 40,000 are half of theirs.
    coef_step : steps of a ramp of ``lambda_``, or a share of the training; 0 for none (40,000 for CIFAR-100)
    reweight_labels : multiply the mixed labels by the targets; "auto" as the authors' code, for 100 classes only
    turns : "epochs": each epoch trains the first network on all data and then the second, whose teacher is by then a
        new one, as the authors do; "batches": both on each batch
    training : optimiser, schedule, views; see ``System``

    Notes
    -----
    Taking turns by epochs needs a loader that goes over the data twice an epoch: ``errata.train`` makes it, for a
    Trainer of your own use ``errata.data.Passes(loader, 2)``. With an ordinary loader both networks are trained on each
    batch, by the sum of their losses. The one optimiser does what two would: neither loss depends on the other net's
    weights, and a network that is not trained has no gradient and stays as it is, without momentum or weight decay.
    The averaged networks stay in training mode, so their batch normalisation uses the batch's statistics, as the
    authors' do; they start as copies of their students, while the authors draw them anew (the ramp makes both vanish).
    Predictions are the mean of both networks' logits.

    Examples
    --------
    >>> system = EarlyLearningRegularizationPlus(torch.nn.Linear(2, 3), num_classes=3, num_samples=4)
    >>> loss = system.training_step(Batch(torch.tensor([0, 1]), torch.zeros(2, 2), torch.tensor([2, 0])))
    >>> system(torch.zeros(2, 2)).shape
    torch.Size([2, 3])

    References
    ----------
    As ``EarlyLearningRegularization``.
    """

    card = systems.card("elr-plus")

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        second_model: nn.Module | None = None,
        mixup_alpha: float = 1.0,
        ema_alpha: float = 0.997,
        ema_update: bool = True,
        ema_step: float = 40_000,
        coef_step: float = 0,
        reweight_labels: bool | str = "auto",
        turns: str = "epochs",
        **training: Any,
    ) -> None:
        super().__init__(model, num_classes, num_samples, **training)
        if turns not in ("epochs", "batches"):
            raise ParameterError(f"turns must be 'epochs' or 'batches'; got {turns!r}.")
        if reweight_labels not in (True, False, "auto"):
            raise ParameterError(f"reweight_labels must be True, False or 'auto'; got {reweight_labels!r}.")
        if not 0 <= ema_alpha <= 1:
            raise ParameterError(f"ema_alpha must be in [0, 1]; got {ema_alpha!r}.")
        for name, value in {"mixup_alpha": mixup_alpha, "ema_step": ema_step, "coef_step": coef_step}.items():
            if not value >= 0:
                raise ParameterError(f"{name} must be 0 or more; got {value!r}.")
        self.mixup_alpha = mixup_alpha
        self.ema_alpha = ema_alpha
        self.ema_update = ema_update
        self.ema_step = ema_step
        self.coef_step = coef_step
        self.reweight_labels = reweight_labels
        self.turns = turns
        self.random = SharedRandom()
        self.second_model = fresh_copy(model, self.random.derived_seed()) if second_model is None else second_model
        if self.second_model is model:
            raise ParameterError("second_model is the first network; give another one, or leave it out.")
        self.teacher = EMATeacher(model, train_mode=True)
        self.second_teacher = EMATeacher(self.second_model, train_mode=True)
        self.second_belief = SampleMemory(num_samples, (num_classes,), topk=self.belief_topk)
        self.steps = [0, 0]  # that each network has made
        self._trained: set[int] = set()  # the networks with a gradient for the next step
        self._told = False

    @property
    def passes(self) -> int:  # type: ignore[override]
        """How often an epoch goes over the data: once for each network that is trained on its own."""
        return 2 if self.turns == "epochs" else 1

    @property
    def find_unused_parameters(self) -> bool:
        """Whether distributed data parallel has to expect parameters without a gradient: the other network's."""
        return self.turns == "epochs"

    def forward(self, x: Any) -> Tensor:
        """Logits (B, K): the mean of both networks'."""
        x = self.views.plain(x)
        return (self.model(x) + self.second_model(x)) / 2

    def training_step(self, batch: Batch, batch_idx: int | None = None) -> Tensor:
        networks = self._whose_turn(batch_idx)
        self._trained.update(networks)
        return torch.stack([self._loss(network, batch) for network in networks]).sum()

    def _whose_turn(self, batch_idx: int | None) -> tuple[int, ...]:
        """The networks to train on a batch: one where the epoch's loader makes a pass for each, else both."""
        loader = self._trainer and self._trainer.train_dataloader
        if batch_idx is None or self.turns == "batches" or getattr(loader, "passes", 1) != self.passes:
            return (0, 1)
        return (int(batch_idx >= self._trainer.num_training_batches // 2),)

    def _loss(self, network: int, batch: Batch) -> Tensor:
        student = (self.model, self.second_model)[network]
        teacher = (self.second_teacher, self.teacher)[network]  # the other network's
        one_hot = F.one_hot(batch.y, self.num_classes).float()
        x = self.views.weak(batch.x)
        mix = Mix.draw(one_hot, self._alpha(x), generator=self.random.generator)
        logits = student(mix(x) if mix.weight < 1 else x)
        target = self._update_target(network, batch.index, in_float32(teacher(x)).softmax(1))
        labels, q = mix(one_hot), mix(target)
        if self._reweights:
            labels = reweighted_labels(labels, q)
        lambda_ = self.lambda_ * sigmoid_rampup(self.steps[network] + 1, self._steps(self.coef_step))
        return loss_elr_plus(logits, labels, q, lambda_).mean()

    def _update_target(self, network: int, index: Tensor, predicted: Tensor) -> Tensor:
        if network == 0:
            return self.observe(index, probabilities=predicted)
        return self.second_belief.ema(index, predicted, self.beta)

    @property
    def _reweights(self) -> bool:
        return self.num_classes == CODE_K if self.reweight_labels == "auto" else bool(self.reweight_labels)

    def _alpha(self, x: Any) -> float:
        if self.mixup_alpha == 0 or (isinstance(x, Tensor) and x.is_floating_point()):
            return self.mixup_alpha
        if not self._told:
            self._told = True
            rank_zero_warn("elr-plus: these inputs are not floating point and can't be mixed; training without mixup.")
        return 0.0

    def _steps(self, length: float) -> float:
        """A number of steps; a share of the training is turned into one."""
        if not 0 < length < 1:
            return length
        loader = self.trainer.train_dataloader
        return length * self.trainer.estimated_stepping_batches / getattr(loader, "passes", 1)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.update_teachers()

    def update_teachers(self) -> None:
        """Average the weights of the networks that have just made a step into their teachers."""
        pairs = ((self.teacher, self.model), (self.second_teacher, self.second_model))
        for network in sorted(self._trained):
            self.steps[network] += 1
            teacher, student = pairs[network]
            length = self._steps(self.ema_step)
            teacher.update(student, ema_momentum(self.steps[network], self.ema_alpha, self.ema_update, length))
        self._trained.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["errata"]["steps"] = list(self.steps)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.steps = list(checkpoint.get("errata", {}).get("steps", self.steps))

    def belief_in(self, rows: Tensor) -> Tensor:
        """The mean of what both networks' targets say of some samples."""
        first = super().belief_in(rows)
        second = self.second_belief.read(rows)
        return (first + second / second.sum(1, keepdim=True).clamp(min=1e-12)) / 2
