"""The base of every system that is trained by gradient descent: a LightningModule that can fill a ledger.

A subclass writes ``training_step``; what is common stays here: the optimiser, the views, the running belief about every
sample, prediction, the weighting that makes several ranks equal one process, and the way from belief to ledger.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from errata.cards import Card
from errata.errors import LedgerError, LoadError, ParameterError
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.parts.batch import Batch, as_batch
from errata.parts.distributed import all_reduce_sum, gather_rows, rank_weight, world_size
from errata.parts.memory import SampleMemory
from errata.parts.optimizers import build_optimizer, build_scheduler
from errata.parts.precision import in_float32
from errata.parts.random import random_state, restore_random_state
from errata.parts.views import Views

__all__ = ["System"]

CHUNK = 65_536  # rows of the belief that are turned into ledger entries at a time


class System(pl.LightningModule):
    """A training system: give it a model and the numbers of classes and samples, and train it with any Trainer.

    Parameters
    ----------
    model : maps a batch of inputs (B, ...) to logits (B, K)
    num_classes : K, 2 or more
    num_samples : N, the samples in the training set; a batch's ``index`` lies in [0, N)
    optimizer : "sgd", "adam", "amsgrad", "adamw", or a callable from parameters to a ``torch.optim.Optimizer``
    lr, momentum, weight_decay : of the named optimisers; momentum of SGD only
    scheduler : "cosine" (to zero at the last step), "step" (a tenth at each of ``milestones``), "one-cycle" (up in the
        first fifth, then down), "constant", or a callable from an optimiser to a scheduler stepped once an epoch
    milestones : shares of the training, in (0, 1), at which "step" cuts the learning rate
    gradient_clip : bound of the global norm of all gradients; None for no bound. A Trainer's own bound has precedence.
    views : how inputs are turned into views on the device; the identity by default
    belief_decay : of the running belief, in [0, 1]; None for the plain mean over all visits of a sample
    belief_topk : keep only the k largest entries of a sample's belief (half precision); for many classes

    Notes
    -----
    ``self.belief`` holds each sample's running prediction, ``self.visits`` how often it was seen. A sample's truth is
    never asked for. Batches are ``Batch(index, x, y)``, or plain (index, x, y) from any DataLoader.
    """

    card: ClassVar[Card]
    settled: ClassVar[tuple[str, ...]] = ()
    """Parameters of this base that the system sets from its own; they are no hyper-parameters of it."""
    least_classes: ClassVar[int] = 2
    label_dims: ClassVar[int] = 1
    """Dimensions of a batch's labels: 1 for a class per sample."""
    watched: ClassVar[str] = "val_accuracy"
    """What ``validation_step`` logs for choosing the best epoch: the higher, the better."""
    passes: ClassVar[int] = 1
    """How often an epoch goes over the data; ``errata.train`` makes the loader accordingly."""

    def __new__(cls, *args: Any, **settings: Any) -> Any:
        """Say which hyper-parameter is no number, or no list, before any system compares it with one."""
        doubtful = {name: value for name, value in settings.items() if isinstance(value, (str, int, float))}
        defaults = cls.hyperparameters() if doubtful else {}
        for name, value in doubtful.items():
            default = defaults.get(name)
            if isinstance(default, (int, float)) and isinstance(value, str):
                raise ParameterError(f"{name} must be a number, such as {default!r}; got {value!r}.")
            if not isinstance(default, (tuple, list)):
                continue
            one_name = isinstance(value, str) and all(isinstance(one, str) for one in default)  # may stand alone
            if not one_name:
                raise ParameterError(f"{name} must be a list, such as {list(default)!r}; got {value!r}.")
        return super().__new__(cls)

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        optimizer: str | Callable[[Iterable[Any]], torch.optim.Optimizer] = "sgd",
        lr: float = 0.02,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        scheduler: str | Callable[[torch.optim.Optimizer], Any] = "cosine",
        milestones: Sequence[float] = (0.5, 0.75),
        gradient_clip: float | None = None,
        views: Views | None = None,
        belief_decay: float | None = None,
        belief_topk: int | None = None,
    ) -> None:
        super().__init__()
        if num_classes < self.least_classes:
            raise ParameterError(f"num_classes must be {self.least_classes} or more; got {num_classes}.")
        if belief_decay is not None and not 0 <= belief_decay <= 1:
            raise ParameterError(f"belief_decay must be in [0, 1], or None for the mean; got {belief_decay}.")
        self.model = model
        self.num_classes = num_classes
        self.num_samples = num_samples
        self.optimizer = optimizer
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.scheduler = scheduler
        self.milestones = milestones
        self.gradient_clip = gradient_clip
        self.views = Views() if views is None else views
        self.belief_decay = belief_decay
        self.belief_topk = belief_topk
        self.make_memories()
        self._rank_weight = 1.0

    def make_memories(self) -> None:
        """Make what is kept of every sample; a kind whose labels aren't one class per sample keeps something else."""
        self.belief = SampleMemory(self.num_samples, (self.num_classes,), topk=self.belief_topk)
        self.visits = SampleMemory(self.num_samples, (), dtype=torch.int32)

    def trained_parameters(self) -> list[Any]:
        """What the optimiser is given: all parameters with a gradient, or groups of them with settings of their own."""
        return [p for p in self.parameters() if p.requires_grad]

    # -- what a subclass uses -----------------------------------------------------------------------------------------

    def training_step(self, batch: Batch) -> Tensor:
        """The loss of a batch, a scalar: what the paper is about."""
        raise TypeError(f"{type(self).__name__} must define training_step(batch) -> loss.")

    def observe(self, index: Tensor, logits: Tensor | None = None, *, probabilities: Tensor | None = None) -> Tensor:
        """Move the belief about some samples towards a prediction, on all ranks.

        Parameters
        ----------
        index : (B,) rows
        logits : (B, K), in any precision
        probabilities : (B, K) in place of logits

        Returns
        -------
        (B, K) the new belief, float32 or better, without gradient. With a ``belief_decay`` its rows sum to
        ``1 - belief_decay ** visits``.
        """
        if probabilities is None:
            if logits is None:
                raise ParameterError("observe() needs logits or probabilities; got neither.")
            probabilities = self.probabilities(logits.detach())
        everyone, seen = gather_rows(index, probabilities)
        if self.belief_decay is None:
            new = self.belief.mean(everyone, seen, self.visits, gathered=True)
        else:
            new = self.belief.ema(everyone, seen, self.belief_decay, gathered=True)
            self.visits.add(everyone, gathered=True)
        return new if world_size() == 1 else self.belief.read(index)

    @property
    def learning_rate(self) -> float:
        """The learning rate in force; outside of a fit, the one given."""
        if self._trainer is not None and self._trainer.optimizers:
            return float(self._trainer.optimizers[0].param_groups[0]["lr"])
        return self.lr

    # -- prediction ---------------------------------------------------------------------------------------------------

    def forward(self, x: Any) -> Tensor:
        """Logits (B, K) of stored inputs, by their plain view."""
        return self.model(self.views.plain(x))

    def validation_step(self, batch: Batch) -> None:
        """Logs ``val_loss`` and ``val_accuracy`` against the given labels, whatever their quality."""
        logits = in_float32(self(batch.x))
        loss = nn.functional.cross_entropy(logits, batch.y, reduction="sum")
        right = (logits.argmax(1) == batch.y).sum()
        # summed over ranks here: Lightning averages uneven shares' sizes to a whole number
        loss, right, rows = all_reduce_sum(torch.stack([loss, right.to(loss), loss.new_tensor(float(len(batch.y)))]))
        found = {"val_loss": loss / rows, "val_accuracy": right / rows}
        self.log_dict(found, batch_size=int(rows), sync_dist=True, prog_bar=True)

    def predict_step(self, batch: Any) -> Tensor:
        """Probabilities (B, K), float32 or better, of a ``Batch`` or of inputs alone."""
        return self.probabilities(self(batch.x if isinstance(batch, Batch) else batch))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits (B, K) in any precision as probabilities (B, K), float32 or better."""
        return in_float32(logits).softmax(1)

    # -- the ledger ---------------------------------------------------------------------------------------------------

    def belief_in(self, rows: Tensor) -> Tensor:
        """What is believed of some samples, as probabilities: (R,) rows -> (R, K); NaN where nothing is known yet."""
        belief = self.belief.read(rows)
        total = belief.sum(1, keepdim=True)
        return torch.where(total > 0, belief / total.clamp(min=1e-12), torch.nan)

    def trust(self, given: Tensor) -> Tensor:
        """How far each given label is believed: (N,) codes -> (N,) in [0, 1]; NaN where nothing is known."""
        parts = []
        given = given.to(self.belief.device)
        for rows in torch.arange(self.num_samples, device=self.belief.device).split(CHUNK):
            own = given[rows]
            value = self.belief_in(rows).gather(1, own.clamp(min=0)[:, None].long())[:, 0]
            parts.append(torch.where(own == MISSING, torch.nan, value))
        return torch.cat(parts)

    def proposals(self) -> Tensor:
        """The label that the system would give, as probabilities (N, K); rows never trained on are NaN."""
        return torch.cat([self.belief_in(rows) for rows in torch.arange(self.num_samples).split(CHUNK)])

    def ledger(self, given: Any, classes: Sequence[Any] | None = None, **more: Any) -> Ledger:
        """The ledger over the samples trained on.

        Parameters
        ----------
        given : (N,) given labels as codes, -1 where missing
        classes : the class names; by default 0 .. K-1

        Raises
        ------
        LedgerError
            where ``given`` has another length than the samples the system was made for
        """
        codes = torch.as_tensor(given if isinstance(given, Tensor) else np.asarray(given)).cpu().long()
        if codes.shape != (self.num_samples,):
            raise LedgerError(
                f"Expected one given label for each of the {self.num_samples} samples; got shape {tuple(codes.shape)}."
            )
        trust = self.trust(codes).cpu().numpy()
        proposed = np.concatenate([self._proposed(rows) for rows in torch.arange(self.num_samples).split(CHUNK)])
        unseen = np.isnan(trust) & (codes.numpy() != MISSING)
        meta = {"method": self.card.slug, **dict(more.pop("meta", {}))}
        return Ledger(
            codes.numpy(),
            np.where(unseen, codes.numpy(), proposed),
            trust,
            classes=classes if classes is not None else list(range(self.num_classes)),
            meta=meta,
            **more,
        )

    def _proposed(self, rows: Tensor) -> np.ndarray:
        belief = self.belief_in(rows)
        best = belief.nan_to_num(nan=-1.0).argmax(1)
        return torch.where(belief.isnan().any(1), MISSING, best).cpu().numpy()

    # -- optimisation -------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(
            self.optimizer,
            self.trained_parameters(),
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        if self.scheduler == "constant":
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise ParameterError(
                f"The schedule '{self.scheduler}' needs to know how long the training is: give the Trainer max_epochs "
                "or max_steps, or the system scheduler='constant'."
            )
        scheduler = build_scheduler(self.scheduler, optimizer, steps=int(steps), milestones=self.milestones)
        interval = "step" if isinstance(self.scheduler, str) else "epoch"
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": interval}}

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        if gradient_clip_val is None and self.gradient_clip is not None:
            gradient_clip_val, gradient_clip_algorithm = self.gradient_clip, "norm"
        super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        state = self._trainer.state.stage if self._trainer is not None else None
        return batch if state == "predict" else as_batch(batch, indexed=state == "train", label_dims=self.label_dims)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self._rank_weight = rank_weight(len(batch.index), self.device)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        super().backward(loss if self._rank_weight == 1.0 else loss * self._rank_weight, *args, **kwargs)

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["errata"] = {"system": self.card.slug, "random": random_state(self.device)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        own = checkpoint.get("errata", {})
        if own.get("system", self.card.slug) != self.card.slug:
            raise LoadError(
                f"The checkpoint is of the system '{own['system']}', and it was to be loaded into '{self.card.slug}'. "
                f"Use the system it was made with, or another folder."
            )
        # one process goes on with the randomness of dropout and augmentation where it was; the ranks of several have
        # each their own, of which a checkpoint holds only rank 0's
        if self._trainer is not None and self._trainer.state.fn == "fit" and world_size() == 1:
            restore_random_state(own.get("random", {}))

    # -- introspection ------------------------------------------------------------------------------------------------

    @classmethod
    def hyperparameters(cls) -> dict[str, Any]:
        """The keyword parameters of the system with their defaults, the paper's first.

        Examples
        --------
        >>> System.hyperparameters()["lr"]
        0.02
        """
        found: dict[str, Any] = {}
        for ancestor in cls.__mro__:
            constructor = vars(ancestor).get("__init__")
            signature = inspect.signature(constructor) if constructor else None
            parameters = signature.parameters.values() if signature else ()
            for p in parameters:
                if p.kind is inspect.Parameter.KEYWORD_ONLY and p.name not in cls.settled:
                    found.setdefault(p.name, p.default)
            if ancestor is System:
                break
        return found
