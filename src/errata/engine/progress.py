"""What a person sees while training goes on: a bar on a terminal, now and then a line elsewhere, or nothing."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl

from errata.engine.callbacks import History

__all__ = ["Progress"]

LINE_EVERY = 30.0  # seconds between two lines where there is no terminal


class Progress(pl.Callback):
    """One bar over all steps of the training, with the epoch and its figures; on the standard error stream.

    On a terminal or in a notebook it is a bar. Where the output goes to a file it is a line at an epoch's end, at most
    every half minute, so that a short training says nothing and a long one doesn't seem dead.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._console: Any = None
        self._spoken = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        from rich.console import Console

        self._console = Console(stderr=True)
        self._spoken = time.monotonic()
        if self._console.is_terminal or self._console.is_jupyter:
            self._start_bar(trainer)

    def _start_bar(self, trainer: pl.Trainer) -> None:
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("[dim]{task.fields[figures]}"),
            console=self._console,
            transient=True,
        )
        total = int(trainer.num_training_batches) * int(trainer.max_epochs or 1)
        done = int(trainer.num_training_batches) * trainer.current_epoch
        self._task = self._bar.add_task("training", total=total, completed=done, figures="")
        self._bar.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar is not None:
            self._bar.advance(self._task)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._console is None:
            return
        figures = self._figures(trainer)
        if self._bar is not None:
            self._bar.update(self._task, figures=figures)
        elif time.monotonic() - self._spoken >= LINE_EVERY:
            self._spoken = time.monotonic()
            self._console.print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {figures}", highlight=False)

    def _figures(self, trainer: pl.Trainer) -> str:
        histories: list[list[dict[str, Any]]] = [c.records for c in trainer.callbacks if isinstance(c, History)]
        last = histories[0][-1] if histories and histories[0] else {}
        words = {"train_loss": "loss", "val_accuracy": "agreement held out"}
        return "  ".join(f"{words[k]} {last[k]:.3f}" for k in words if k in last)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = self._console = None

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._close()
