"""``fit``: the one place of errata that builds a Lightning Trainer.

A system is a LightningModule and can be put into any Trainer of your own; this one adds what a training needs that must
be repeatable and must survive: randomness from one seed, history, atomic checkpoints that say what they belong to.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from errata._lazy import make_callable
from errata.engine.callbacks import BestWeights, Checkpoints, HandOver, History, Randomness
from errata.engine.checkpoints import KEY, AtomicCheckpointIO, check_identity, identity_of, read_checkpoint
from errata.engine.precision import check_precision, convolutions_by_channel, resolve_precision
from errata.engine.progress import Progress
from errata.engine.randomness import isolated_randomness
from errata.errors import ErrataError, ParameterError
from errata.parts import Kept, SampleMemory, System
from errata.storage import make_folder

__all__ = ["Fitted", "check_settings", "fit", "resolve_device"]

_DETERMINISM: Any = torch.utils.deterministic  # a module whose one setting is a property, unknown to type checkers


@dataclass
class Fitted:
    """What a training leaves behind, beside the trained system.

    Attributes
    ----------
    history : a record per epoch: epoch (from 1), train_loss, val_loss and val_accuracy where labels were held out,
        whatever the system logs, learning_rate, seconds
    seconds : of this call
    best_epoch : the epoch with the best accuracy on the held-out labels; 0 without them
    best_weights : the system's state after it, without the per-sample memories; empty without them
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)


def fit(
    system: System,
    batches: Any,
    *,
    epochs: int,
    validation: Any = None,
    seed: int = 0,
    device: str = "auto",
    devices: int = 1,
    precision: str | int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    identity: dict[str, Any] | None = None,
    keep_best: bool = True,
    progress: bool = True,
    deterministic: bool = True,
) -> Fitted:
    """Train ``system`` on ``batches``.

    Parameters
    ----------
    system : the training system; trained in place, and on the CPU afterwards
    batches : an iterable of ``Batch(index, x, y)`` with a length, such as ``errata.data.Batches``; where several
        processes train, it must give each its own share
    epochs : passes over the data, 1 or more
    validation : the same for held-out samples; their labels may be as noisy
    seed : of everything random in the training. The system's initial weights are the caller's.
    device : "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", "mps"
    devices : how many processes (CPU) or GPUs train together
    precision : "32-true" by default; "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true", or 32, 16, "bf16";
        "auto" for "bf16-mixed" where that is faster here, see ``errata.engine.precision.resolve_precision``
    out : a folder for ``checkpoints/last.ckpt`` and ``logs/``; nothing is written without it
    resume : go on from the checkpoint in ``out``, where there is one
    identity : further facts that must agree on resuming, in plain JSON types
    keep_best : with ``validation``, keep the weights of the best epoch by it
    progress : show how it goes
    deterministic : choose deterministic algorithms where torch has them (it warns where it has none)

    Raises
    ------
    ParameterError
        where a parameter makes no sense
    LoadError
        where the checkpoint is damaged, or belongs to another system, other data or other hyper-parameters
    KeyboardInterrupt
        on Ctrl-C, with a message that says how to resume

    Examples
    --------
    >>> from errata import systems
    >>> from errata.data import Batches
    >>> x, y = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    >>> system = systems.load("ce")(torch.nn.Linear(1, 2), num_classes=2, num_samples=2, lr=1.0)
    >>> fitted = fit(system, Batches(x, y, batch_size=2), epochs=5, device="cpu", progress=False)
    >>> [record["epoch"] for record in fitted.history]
    [1, 2, 3, 4, 5]
    """
    check_settings(epochs, device, devices, precision, resume, out)
    begun = time.perf_counter()
    place = resolve_device(device)
    precision = resolve_precision(precision, place, system)
    folder = Path(out) if out is not None else None
    checkpoint = folder / "checkpoints" / "last.ckpt" if folder else None
    about = identity_of(system, **(identity or {}))
    history, best = History(), BestWeights()
    carried: list[pl.Callback] = [history] + ([best] if validation is not None and keep_best else [])
    start = checkpoint if resume and checkpoint is not None and checkpoint.exists() else None
    if start is not None:
        saved = read_checkpoint(start)
        check_identity(saved[KEY], about, start)
        if saved[KEY]["epochs_done"] >= epochs:
            _take_over(system, carried, saved)
            return Fitted(history.records, time.perf_counter() - begun, best.epoch, best.weights)
        del saved
    callbacks = [Randomness(seed, batches), *carried] + ([Progress()] if progress else [])
    if checkpoint is not None:
        make_folder(checkpoint.parent)
        callbacks.insert(0, Checkpoints(checkpoint, about))  # before the next epoch's seeds are set
    with ExitStack() as stack:
        stack.enter_context(isolated_randomness(seed))
        stack.enter_context(_global_settings_kept())
        stack.enter_context(quiet())
        stack.enter_context(convolutions_by_channel(system, precision, place))
        brought = None
        if devices > 1:
            brought = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "results.pt"
            callbacks.append(HandOver(brought, carried))
        trainer = _trainer(system, epochs, device, devices, precision, folder, callbacks, deterministic)
        _run(trainer, system, batches, validation, start, checkpoint)
        if brought is not None:
            _take_over(system, carried, {"callbacks": torch.load(brought, weights_only=True)})
    system.trainer = None  # it holds the loops and the data
    return Fitted(history.records, time.perf_counter() - begun, best.epoch, best.weights)


def check_settings(epochs: Any, device: str, devices: Any, precision: Any, resume: bool, out: Any) -> None:
    """Say what of ``fit``'s parameters makes no sense, before anything is written."""
    for name, value in (("epochs", epochs), ("devices", devices)):
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise ParameterError(f"{name} must be a whole number, 1 or more; got {value!r}.")
    check_precision(precision)
    if resume and out is None:
        raise ParameterError("resume needs the folder of the earlier run: give out=FOLDER.")
    _accelerator(device, devices)


def _take_over(system: System, carried: list[pl.Callback], saved: dict[str, Any]) -> None:
    if "state_dict" in saved:
        system.load_state_dict(saved["state_dict"])
    for callback in carried:
        if callback.state_key in saved.get("callbacks", {}):
            callback.load_state_dict(saved["callbacks"][callback.state_key])


# -- the trainer ------------------------------------------------------------------------------------------------------


class _Spawned(DDPStrategy):
    """Distributed data parallel in processes started from this one, as quiet as it."""

    def connect(self, model: torch.nn.Module) -> None:  # the first thing that happens in a started process
        _silence_loggers()
        warnings.filterwarnings("ignore", module=_LIGHTNING)
        _DETERMINISM.fill_uninitialized_memory = False
        for part in model.modules():
            if isinstance(part, (SampleMemory, Kept)):
                part._apply(torch.clone)  # what was sent here is memory shared by all processes, each of which writes
        super().connect(model)


def _trainer(
    system: System,
    epochs: int,
    device: str,
    devices: int,
    precision: str | None,
    folder: Path | None,
    callbacks: list[pl.Callback],
    deterministic: bool,
) -> pl.Trainer:
    strategy: Any = "auto"
    if devices > 1:
        strategy = _Spawned(
            start_method="spawn", find_unused_parameters=bool(getattr(system, "find_unused_parameters", False))
        )
    return pl.Trainer(
        **_accelerator(device, devices),
        strategy=strategy,
        precision=precision,
        max_epochs=epochs,
        logger=_loggers(folder) if folder else False,
        log_every_n_steps=50,
        plugins=[AtomicCheckpointIO()],
        callbacks=callbacks,
        deterministic="warn" if deterministic else False,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,  # errata.data.Batches gives each rank its share itself
    )


def resolve_device(device: str) -> str:
    """The device that "auto" stands for: a GPU where torch sees one.

    Examples
    --------
    >>> resolve_device("cpu")
    'cpu'
    """
    name, _, number = str(device).partition(":")
    if name == "auto" and not number:
        return "cuda" if torch.cuda.is_available() else "cpu"
    name = "cuda" if name == "gpu" else name
    if name not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise ParameterError(f"device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'; got {device!r}.")
    if name == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ParameterError(f"device={device!r} asks for a GPU, and torch sees {torch.cuda.device_count()} of them.")
    if name == "mps" and not torch.backends.mps.is_available():
        raise ParameterError("device='mps' asks for Apple's GPU, which torch does not see here.")
    return f"{name}:{number}" if number else name


def _accelerator(device: str, devices: int) -> dict[str, Any]:
    name, _, number = resolve_device(device).partition(":")
    if number and devices > 1:
        raise ParameterError(f"device={device!r} names one device, but devices={devices}; say which kind, as 'cuda'.")
    if name == "cuda" and devices > torch.cuda.device_count():
        raise ParameterError(f"devices={devices} asks for more GPUs than torch sees ({torch.cuda.device_count()}).")
    if name == "mps" and devices > 1:
        raise ParameterError(f"Apple's GPU is one device; got devices={devices}.")
    return {"accelerator": "gpu" if name == "cuda" else name, "devices": [int(number)] if number else devices}


def _loggers(folder: Path) -> list[Any]:
    taken = [p.name for p in (folder / "logs").glob("version_*")]
    number = max((int(n[8:]) for n in taken if n[8:].isdigit()), default=-1) + 1  # a resumed run adds to the logs
    return [
        CSVLogger(str(folder), name="logs", version=number),
        TensorBoardLogger(str(folder), name="logs", version=number),
    ]


def _run(
    trainer: pl.Trainer, system: System, batches: Any, validation: Any, start: Path | None, checkpoint: Path | None
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    stopped = False
    try:
        trainer.fit(system, batches, validation, ckpt_path=start)
    except SystemExit:  # Lightning's answer to Ctrl-C
        if not trainer.interrupted:
            raise
        stopped = True
    except torch.multiprocessing.ProcessRaisedException as error:
        raise ErrataError(f"One of {trainer.num_devices} training processes failed: {_last_line(error)}") from error
    except torch.multiprocessing.ProcessExitedException as error:
        raise ErrataError(
            f"One of {trainer.num_devices} training processes ended before its time ({error}). Each of them runs the "
            "script anew: its work must stand under `if __name__ == '__main__':`. A shortage of memory ends one too."
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)  # Lightning leaves it ignored
    if stopped or trainer.interrupted:
        raise KeyboardInterrupt(_how_to_resume(trainer.current_epoch, checkpoint)) from None


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _how_to_resume(epoch: int, checkpoint: Path | None) -> str:
    where = f"Stopped in epoch {epoch + 1}."
    if checkpoint is None:
        return f"{where} Nothing was saved, for no output folder was given (out=FOLDER)."
    if not checkpoint.exists():
        return f"{where} No epoch was complete, so there is nothing to resume; start again."
    return (
        f"{where} The state after the last complete epoch is in {checkpoint}. "
        "Run the same again with resume=True (--resume on the command line) to go on from there."
    )


# -- leaving things as they were --------------------------------------------------------------------------------------


@contextmanager
def _global_settings_kept() -> Iterator[None]:
    """Lightning sets torch's determinism for the whole process; this undoes it."""
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    filled = _DETERMINISM.fill_uninitialized_memory
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    _DETERMINISM.fill_uninitialized_memory = False  # it would clear each new tensor, for debugging
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        _DETERMINISM.fill_uninitialized_memory = filled
        if workspace is None:
            os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


_LIGHTNING = r"lightning\."
_LOGGERS = ("lightning.pytorch", "lightning.fabric")


def _silence_loggers() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's banners, tips and warnings about settings that were chosen on purpose."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=_LIGHTNING)
        _silence_loggers()
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


make_callable(__name__, fit)  # ``errata.engine.fit`` is this module once it is imported, and a verb all the same
