"""Training for the checks: a plain Lightning Trainer, as a user would write it, without its logs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from errata.errors import ErrataError
from errata.parts import Batch, System
from errata.testing.failure import CheckFailure, demand
from errata.testing.problems import CLASSES, Problem, as_loader

__all__ = ["Losses", "build", "check_stored_as_given", "fit", "ledger_of", "quiet", "same_state"]


@contextmanager
def quiet(seed: int) -> Iterator[None]:
    """Seed torch inside of the block and leave its state as it was; hold Lightning's talk back."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)


def build(kind: type[System], problem: Problem, options: dict[str, Any], seed: int = 1) -> System:
    """The system on a fresh network; the same seed gives the same weights."""
    with quiet(seed):
        return kind(problem.network(), CLASSES, len(problem), **{"views": problem.views, **options})


class Losses(pl.Callback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.values.append(outputs["loss"].detach().clone())

    def all_finite(self) -> bool:
        return bool(torch.stack(self.values).isfinite().all())


def fit(
    system: System,
    data: Sequence[Batch] | Any,
    *,
    epochs: int = 1,
    seed: int = 2,
    ckpt_path: Any = None,
    **trainer: Any,
) -> tuple[pl.Trainer, Losses]:
    """Train in a plain Trainer; returns it and the losses of all steps."""
    losses = Losses()
    callbacks = [losses, *trainer.pop("callbacks", ())]
    plain = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
    }
    with quiet(seed):
        made = pl.Trainer(max_epochs=epochs, callbacks=callbacks, **{**plain, **trainer})
        made.fit(system, as_loader(data) if isinstance(data, list) else data, ckpt_path=ckpt_path)
    return made, losses


def ledger_of(system: System, problem: Problem) -> Any:
    """The system's ledger over the problem, checked to be whole."""
    if problem.y.ndim == 2:
        return _ledger_of_several(system, problem)
    ledger = system.ledger(problem.y)
    demand(len(ledger) == len(problem), f"The ledger has {len(ledger)} rows for {len(problem)} samples.")
    missing = torch.as_tensor(ledger.trust).isnan().nonzero()[:, 0].tolist()
    demand(not missing, f"trust() is NaN in rows {missing[:5]} ({len(missing)} in all), though all were trained on.")
    wrong = [row for row, label in enumerate(ledger.proposed) if not 0 <= label < CLASSES]
    demand(not wrong, f"No class is proposed in rows {wrong[:5]}, though they were trained on.")
    proposals = system.proposals()
    demand(
        tuple(proposals.shape) == (len(problem), CLASSES),
        f"proposals() must give (N, K) = {(len(problem), CLASSES)} probabilities; got {tuple(proposals.shape)}.",
    )
    sums = proposals.sum(1)
    demand(
        bool(((sums - 1).abs() < 1e-3).all()) and bool((proposals >= 0).all()),
        f"Rows of proposals() must be probabilities; their sums run from {sums.min():.4f} to {sums.max():.4f}.",
    )
    return ledger


def _ledger_of_several(system: System, problem: Problem) -> Any:
    """The same where a sample has several labels: a part for each known one, probabilities that need not sum to 1."""
    ledger = system.ledger(problem.y)
    demand(len(ledger) == len(problem), f"The ledger has {len(ledger)} rows for {len(problem)} samples.")
    demand(bool(torch.as_tensor(ledger.trust).isfinite().all()), "trust is NaN in a row that was trained on.")
    parts: Any = ledger.parts
    demand(parts is not None and "label" in parts, "The ledger must have parts, with a column 'label'.")
    known = parts[parts["given"] >= 0]
    expected = int((problem.y >= 0).sum())
    demand(len(known) == expected, f"There are {expected} known (sample, label) pairs and {len(known)} parts of them.")
    demand(bool(known["trust"].between(0, 1).all()), "trust in each known label must lie in [0, 1].")
    demand(set(parts["proposed"]) <= {0, 1}, "What is proposed for a label must be 0 or 1.")
    proposals = system.proposals()
    demand(
        tuple(proposals.shape) == tuple(problem.y.shape) and bool(((proposals >= 0) & (proposals <= 1)).all()),
        f"proposals() must give probabilities of shape {tuple(problem.y.shape)}; got {tuple(proposals.shape)}.",
    )
    return ledger


def same_state(left: dict[str, Any], right: dict[str, Any], tolerance: float, otherwise: str) -> None:
    """Demand that two state dicts hold the same, to an absolute ``tolerance`` (0: bit for bit)."""
    odd = set(left) ^ set(right)
    demand(not odd, f"{otherwise} Entries are missing on one side: {', '.join(sorted(odd))}.")
    for name, value in left.items():
        other = right[name]
        if not isinstance(value, Tensor):
            demand(value == other, f"{otherwise} '{name}' is {value} on one side and {other} on the other.")
            continue
        demand(value.shape == other.shape, f"{otherwise} '{name}' has other shapes: {value.shape}, {other.shape}.")
        if tolerance == 0:
            alike = torch.equal(value, other)
        else:
            alike = torch.allclose(value.double(), other.double(), rtol=0, atol=tolerance, equal_nan=True)
        if not alike:
            worst = (value.double() - other.double()).abs().max()
            raise CheckFailure(f"{otherwise} '{name}' differs by up to {worst:.3g}.")


def check_stored_as_given(kind: type[Any], options: dict[str, Any], problem: Any, make: Callable[..., Any]) -> Any:
    """Demand that every parameter is an attribute of its name that holds what was given.

    Parameters
    ----------
    kind, options : the system, and the hyper-parameters that it is checked with
    problem : has a length and a ``network``; its ``views``, where it has some, are a parameter too
    make : (kind, problem, options) -> the system, as the checks of its kind build it

    Returns
    -------
    a system to which no views were given; None where no parameter could be changed
    """
    network, known, last = problem.network(), kind.hyperparameters(), None
    strange = sorted(set(options) - set(known))
    demand(not strange, f"{kind.__name__} has no hyper-parameters named {', '.join(strange)}.")
    made = make(kind, problem, options)
    views = {"views": problem.views} if hasattr(problem, "views") else {}
    for name, default in {**known, **options, **views}.items():
        demand(hasattr(made, name), f"The parameter '{name}' is not kept as an attribute.")
        kept = getattr(made, name)
        demand(default is None or kept is default or kept == default, f"'{name}' is {kept!r} after giving {default!r}.")
    for name, default in known.items():
        changed = _another(default)
        if changed is None:
            continue
        try:
            last = kind(network, CLASSES, len(problem), **{**options, name: changed})
        except ErrataError:
            continue  # not every value makes sense
        kept = getattr(last, name)
        demand(kept == changed, f"The parameter '{name}' was given as {changed!r} and is kept as {kept!r}.")
        demand(last.model is network, "The network is not kept as `model`, as it was given.")
    return last


def _another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return value / 2 or 0.25 if isinstance(value, float) else None
