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
from errata.errors import LedgerError, ParameterError
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.parts.batch import Batch
from errata.parts.distributed import rank_weight
from errata.parts.memory import SampleMemory
from errata.parts.optimizers import build_optimizer, build_scheduler
from errata.parts.views import Views

__all__ = ["System"]

CHUNK = 65_536  # rows of the belief that are turned into ledger entries at a time


class System(pl.LightningModule):
    """A training system: give it a model and the number of classes and samples, and train it with any Lightning Trainer.

    Parameters
    ----------
    model : maps a batch of inputs (B, ...) to logits (B, K)
    num_classes : K, 2 or more
    num_samples : N, the samples in the training set; a batch's ``index`` lies in [0, N)
    optimizer : "sgd", "adam", "adamw", or a callable from parameters to a ``torch.optim.Optimizer``
    lr, momentum, weight_decay : of the named optimisers; momentum of SGD only
    scheduler : "cosine" (to zero at the last step), "step" (a tenth at each of ``milestones``), "constant", or a
        callable from an optimiser to a scheduler stepped once an epoch
    milestones : shares of the training, in (0, 1), at which "step" cuts the learning rate
    gradient_clip : bound of the global norm of all gradients; None for no bound
    views : how inputs are turned into views on the device; the identity by default
    belief_decay : of the running belief, in [0, 1); None for the plain mean over all visits of a sample
    belief_topk : keep only the k largest entries of a sample's belief (half precision); for many classes

    Notes
    -----
    ``self.belief`` holds each sample's running prediction. A sample's truth is never asked for.
    """

    card: ClassVar[Card]

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
        if num_classes < 2:
            raise ParameterError(f"num_classes must be 2 or more; got {num_classes}.")
        if belief_decay is not None and not 0 <= belief_decay < 1:
            raise ParameterError(f"belief_decay must be in [0, 1), or None for the mean; got {belief_decay}.")
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
        self.views = views or Views()
        self.belief_decay = belief_decay
        self.belief_topk = belief_topk
        self.belief = SampleMemory(num_samples, (num_classes,), topk=belief_topk)
        self.visits = SampleMemory(num_samples, (), dtype=torch.int32)
        self._rank_weight = 1.0

    # -- what a subclass uses -----------------------------------------------------------------------------------------

    def training_step(self, batch: Batch) -> Tensor:
        """The loss of a batch, a scalar: what the paper is about."""
        raise TypeError(f"{type(self).__name__} must define training_step(batch) -> loss.")

    def observe(self, index: Tensor, logits_or_probabilities: Tensor, decay: float | None = None) -> Tensor:
        """Move the belief about some samples towards a prediction; returns their new belief (B, K).

        Parameters
        ----------
        index : (B,) rows
        logits_or_probabilities : (B, K) logits, or with ``decay`` the probabilities to average in
        decay : as ``belief_decay``; given by systems whose paper sets it. The belief is then not normalised: its rows
            sum to ``1 - decay ** visits``.
        """
        if decay is None:
            probabilities = logits_or_probabilities.detach().float().softmax(1)
            if self.belief_decay is None:
                seen = self.visits.read(index).to(probabilities)[:, None]
                new = self.belief.read(index) + (probabilities - self.belief.read(index)) / (seen + 1)
                self.belief.write(index, new)
            else:
                new = self.belief.ema(index, probabilities, self.belief_decay)
        else:
            new = self.belief.ema(index, logits_or_probabilities, decay)
        self.visits.write(index, self.visits.read(index) + 1)
        return new

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
        logits = self(batch.x)
        loss = nn.functional.cross_entropy(logits.float(), batch.y)
        right = (logits.argmax(1) == batch.y).float().mean()
        self.log_dict(
            {"val_loss": loss, "val_accuracy": right}, batch_size=len(batch.y), sync_dist=True, prog_bar=True
        )

    def predict_step(self, batch: Batch) -> Tensor:
        """Probabilities (B, K), float32."""
        return self(batch.x).float().softmax(1)

    # -- the ledger ---------------------------------------------------------------------------------------------------

    def trust(self, given: Tensor) -> Tensor:
        """How far each given label is believed: (N,) codes -> (N,) in [0, 1]; NaN where nothing is known."""
        parts = []
        for rows in torch.arange(self.num_samples, device=self.belief.device).split(CHUNK):
            belief = self._normalised(rows)
            own = given.to(rows.device)[rows]
            value = belief.gather(1, own.clamp(min=0)[:, None].long())[:, 0]
            parts.append(torch.where(own == MISSING, torch.nan, value))
        return torch.cat(parts)

    def proposals(self) -> Tensor:
        """The label that the system would give, as probabilities (N, K); rows never trained on are NaN."""
        return torch.cat([self._normalised(rows) for rows in torch.arange(self.num_samples).split(CHUNK)])

    def _normalised(self, rows: Tensor) -> Tensor:
        belief = self.belief.read(rows)
        total = belief.sum(1, keepdim=True)
        return torch.where(total > 0, belief / total.clamp(min=1e-12), torch.nan)

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
        codes = torch.as_tensor(np.asarray(given), dtype=torch.int64)
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
        belief = self._normalised(rows)
        best = belief.nan_to_num(nan=-1.0).argmax(1)
        return torch.where(belief.isnan().any(1), MISSING, best).cpu().numpy()

    # -- optimisation -------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(
            self.optimizer,
            [p for p in self.parameters() if p.requires_grad],
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        if self.scheduler == "constant":
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = build_scheduler(self.scheduler, optimizer, steps=steps, milestones=self.milestones)
        interval = "step" if isinstance(self.scheduler, str) else "epoch"
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": interval}}

    def configure_gradient_clipping(self, optimizer: Any, *limits: Any, **more: Any) -> None:
        if self.gradient_clip is None:
            super().configure_gradient_clipping(optimizer, *limits, **more)
        else:
            self.clip_gradients(optimizer, gradient_clip_val=self.gradient_clip, gradient_clip_algorithm="norm")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self._rank_weight = rank_weight(len(batch[0]), self.device)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        super().backward(loss if self._rank_weight == 1.0 else loss * self._rank_weight, *args, **kwargs)

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
            signature = inspect.signature(ancestor.__init__) if "__init__" in vars(ancestor) else None
            parameters = signature.parameters.values() if signature else ()
            for p in parameters:
                if p.kind is inspect.Parameter.KEYWORD_ONLY:
                    found.setdefault(p.name, p.default)
            if ancestor is System:
                break
        return found
