"""What happens around the steps of a training: randomness per step, history, checkpoints, best weights, progress."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from errata.engine.checkpoints import KEY, save_tensors
from errata.engine.randomness import seed_everything
from errata.parts import Kept, SampleMemory, all_reduce_sum

__all__ = ["BestWeights", "Checkpoints", "HandOver", "History", "Randomness", "weights_of"]


class Randomness(pl.Callback):
    """Makes order and randomness depend on (seed, epoch, step) only.

    A run resumed from an epoch's end then repeats the next epoch exactly; and as all ranks start every step from the
    same state, what systems draw for the global batch (mixup's partners) is drawn alike on all of them.

    Parameters
    ----------
    seed : whole number
    batches : what yields the training batches; its ``set_epoch`` is called where it has one
    """

    def __init__(self, seed: int, batches: Any) -> None:
        self.seed = seed
        self.batches = batches

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seed_everything(self.seed, trainer.current_epoch)
        samplers = (getattr(self.batches, name, None) for name in ("batch_sampler", "sampler"))
        for holder in (self.batches, *samplers):
            if hasattr(holder, "set_epoch"):
                holder.set_epoch(trainer.current_epoch)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, step: int) -> None:
        seed_everything(self.seed, trainer.current_epoch, step)


class History(pl.Callback):
    """A record per epoch: train loss, whatever the system logs, learning rate, seconds. Kept in checkpoints."""

    state_key = "errata.history"

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self._started = 0.0
        self._loss: Tensor | None = None
        self._rows = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.perf_counter()
        self._loss, self._rows = None, 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, Tensor):
            rows = len(batch[0])
            weighted = loss.detach().float() * rows
            self._loss = weighted if self._loss is None else self._loss + weighted
            self._rows += rows

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        record: dict[str, Any] = {"epoch": trainer.current_epoch + 1}
        if self._loss is not None:
            total = all_reduce_sum(torch.stack([self._loss, self._loss.new_tensor(float(self._rows))]))
            record["train_loss"] = float(total[0] / total[1])
        logged = {k: float(v) for k, v in trainer.callback_metrics.items() if v.numel() == 1}
        record.update({k: v for k, v in sorted(logged.items()) if k not in record})
        record["learning_rate"] = _learning_rate(trainer)
        record["seconds"] = time.perf_counter() - self._started
        self.records.append(record)
        own = {k: v for k, v in record.items() if k not in logged and k != "epoch"}
        for logger in trainer.loggers:
            logger.log_metrics({**own, "epoch": trainer.current_epoch}, step=trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        return {"records": self.records}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.records = [dict(record) for record in state_dict["records"]]


def _learning_rate(trainer: pl.Trainer) -> float:
    return float(trainer.optimizers[0].param_groups[0]["lr"]) if trainer.optimizers else math.nan


class BestWeights(pl.Callback):
    """Keeps the weights of the epoch with the best score (accuracy) on the held-out, noisy labels; the first of equals.

    The per-sample memory is not part of it: it grows with the data and is not needed to predict.
    """

    state_key = "errata.best"

    def __init__(self) -> None:
        self.epoch = 0
        self.accuracy = -math.inf
        self.weights: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        accuracy = float(trainer.callback_metrics.get(getattr(pl_module, "watched", "val_accuracy"), -math.inf))
        if not trainer.sanity_checking and accuracy > self.accuracy:
            self.epoch, self.accuracy = trainer.current_epoch + 1, accuracy
            self.weights = {k: v.detach().to("cpu", copy=True) for k, v in weights_of(pl_module).items()}

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "accuracy": self.accuracy, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epoch, self.accuracy = state_dict["epoch"], state_dict["accuracy"]
        self.weights = dict(state_dict["weights"])


def weights_of(system: torch.nn.Module) -> dict[str, Any]:
    """The state of ``system`` without its per-sample memories: what prediction needs."""
    memories = tuple(f"{name}." for name, part in system.named_modules() if isinstance(part, (SampleMemory, Kept)))
    return {k: v for k, v in system.state_dict().items() if not (memories and k.startswith(memories))}


class Checkpoints(pl.Callback):
    """Writes ``last.ckpt`` when an epoch is over.

    It is written as the next epoch starts, because Lightning steps epoch-wise schedulers only after the hooks at the
    epoch's end: a checkpoint from there would resume one scheduler step late.

    Parameters
    ----------
    path : the file; replaced each time
    identity : what it belongs to; see ``errata.engine.checkpoints.identity_of``
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
        self.identity = identity
        self._first = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._first = True

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._first:
            trainer.save_checkpoint(self.path)
        self._first = False

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self.path)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]
        for counts in progress.values():  # the next epoch is announced already; the checkpoint stands before it
            counts["ready"] = counts["completed"]
        epochs = progress["current"]["completed"]
        checkpoint[KEY] = {**self.identity, "epochs_done": int(epochs), "epochs": int(trainer.max_epochs or 0)}


class HandOver(pl.Callback):
    """Brings the other callbacks' results from the first of several spawned processes to the one that waits for them.

    Parameters
    ----------
    path : a file in a temporary folder
    callbacks : those whose ``state_dict`` is to be brought
    """

    def __init__(self, path: Path, callbacks: list[pl.Callback]) -> None:
        self.path = path
        self.callbacks = callbacks

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            save_tensors({c.state_key: c.state_dict() for c in self.callbacks}, self.path)
