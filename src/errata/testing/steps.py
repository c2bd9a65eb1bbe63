"""Steps that the laws of all kinds of labels have: what does not depend on what a label is."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from errata.testing.failure import CheckFailure, demand
from errata.testing.training import fit, same_state

__all__ = ["SaveAt", "copies_agree", "finite_in_bfloat16", "moves_and_predicts", "resumed", "same_twice"]

Make = Callable[[int], Any]
"""From a seed to a system on a fresh network."""


class SaveAt(pl.Callback):
    """Save a checkpoint at the end of an epoch, counted from 0."""

    def __init__(self, path: Path, epoch: int) -> None:
        self.path, self.epoch = path, epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            trainer.save_checkpoint(self.path)


def moves_and_predicts(system: Any, data: Any, x: Any, wanted: tuple[int, ...], what: str) -> None:
    """Demand that one step gives a finite scalar loss and moves weights, and that predictions have a shape.

    Parameters
    ----------
    data : batches
    x : what to predict from
    wanted : the shape of the predictions
    what : in words for messages: " on image data"
    """
    before = copy.deepcopy(system.model.state_dict())
    _, losses = fit(system, data, max_steps=1, epochs=1)
    demand(losses.values[0].ndim == 0, f"training_step must return a scalar; got {tuple(losses.values[0].shape)}.")
    demand(losses.all_finite(), f"The loss of the first step{what} is {losses.values[0]}.")
    after = system.model.state_dict()
    demand(any(not torch.equal(before[k], after[k]) for k in before), f"A step{what} moves no weight.")
    with torch.no_grad():
        logits = system.eval()(x)
    demand(tuple(logits.shape) == wanted, f"Prediction must have the shape {wanted}; got {tuple(logits.shape)}.")


def resumed(make: Make, data: Any, hint: str) -> tuple[Any, Any]:
    """Demand that a training resumed after the second of four epochs ends as if never interrupted, bit for bit.

    Parameters
    ----------
    make : from a seed to the system
    data : batches
    hint : what may be wrong where it does not

    Returns
    -------
    the systems after an uninterrupted and after a resumed training
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "second.ckpt"
        whole = make(1)
        fit(whole, data, epochs=4, callbacks=[SaveAt(path, epoch=1)])
        try:
            torch.load(path, weights_only=True)
        except pickle.UnpicklingError as error:
            raise CheckFailure(f"The checkpoint holds more than tensors and plain types: {error}") from error
        again = make(98)
        fit(again, data, epochs=4, seed=97, ckpt_path=path)
    otherwise = f"Resumed from a checkpoint, training does not end where the uninterrupted one does. {hint}"
    same_state(whole.state_dict(), again.state_dict(), 0, otherwise)
    return whole, again


def finite_in_bfloat16(system: Any, data: Any, epochs: int = 2) -> None:
    """Train in bfloat16 mixed precision, and demand that losses and all that is kept stay finite."""
    _, losses = fit(system, data, epochs=epochs, precision="bf16-mixed")
    demand(losses.all_finite(), "In mixed precision a loss is not finite.")
    for name, value in system.state_dict().items():
        if isinstance(value, Tensor) and value.is_floating_point():
            demand(bool(value.isfinite().all()), f"In mixed precision '{name}' is not finite.")


def same_twice(make: Make, data: Any, epochs: int = 2) -> None:
    """Demand that two trainings from the same seed end with the same weights and memories, bit for bit."""
    first, second = make(1), make(1)
    for system in (first, second):
        fit(system, data, epochs=epochs)
    same_state(first.state_dict(), second.state_dict(), 0, "Two trainings from the same seed end differently.")


def copies_agree(system: Any, x: Any) -> None:
    """Demand that deep copies and pickles of a trained system hold the same and predict the same."""
    system.trainer = None
    for how, other in {
        "deep copy": copy.deepcopy(system),
        "pickle": pickle.loads(pickle.dumps(system)),  # noqa: S301  # made in this line
    }.items():
        same_state(system.state_dict(), other.state_dict(), 0, f"A {how} does not hold what the system holds.")
        with torch.no_grad():
            same = torch.equal(system.eval()(x), other.eval()(x))
        demand(same, f"A {how} predicts differently.")
