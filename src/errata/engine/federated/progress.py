"""What a person sees while a federation goes on: a bar over rounds on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import Any

from errata.engine.federated.federation import Federation
from errata.engine.progress import LINE_EVERY

__all__ = ["Rounds", "in_words"]


def in_words(record: dict[str, Any]) -> str:
    """A round's figures in one line.

    Examples
    --------
    >>> in_words({"round": 3, "clients": 4, "failed": 1, "test_accuracy": 0.5, "pass_rate": None})
    '4 clients (1 dropped out)  accuracy 0.500'
    """
    told = [f"{record['clients']} clients" + (f" ({record['failed']} dropped out)" if record["failed"] else "")]
    words = {"test_accuracy": "accuracy", "pass_rate": "passed", "local_share": "labelled by own model"}
    told += [f"{words[k]} {record[k]:.3f}" for k in words if record.get(k) is not None]
    return "  ".join(told)


class Rounds:
    """Shows each finished round of a federation, on the standard error stream.

    Parameters
    ----------
    federation : its ``tell`` is taken over while this is entered
    show : False for silence
    every : seconds between two lines where there is no terminal; 0 for a line each round
    """

    def __init__(self, federation: Federation, show: bool = True, every: float = LINE_EVERY) -> None:
        self.federation = federation
        self.show = show
        self.every = every
        self._bar: Any = None
        self._spoken = time.monotonic()

    def __enter__(self) -> Rounds:
        if not self.show:
            return self
        from rich.console import Console

        self._console = Console(stderr=True)
        self.federation.tell = self._told
        if self._console.is_terminal or self._console.is_jupyter:
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
            done, total = self.federation.round, self.federation.rounds
            self._task = self._bar.add_task(f"round {done}/{total}", total=total, completed=done, figures="")
            self._bar.start()
        return self

    def _told(self, record: dict[str, Any]) -> None:
        name = f"round {record['round']}/{self.federation.rounds}"
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=name, figures=in_words(record))
        elif time.monotonic() - self._spoken >= self.every:
            self._spoken = time.monotonic()
            self._console.print(f"{name}  {in_words(record)}", highlight=False, soft_wrap=True)

    def __exit__(self, *_: Any) -> None:
        self.federation.tell = None
        if self._bar is not None:
            self._bar.stop()
