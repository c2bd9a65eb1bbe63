"""What a person sees while an audit goes on: a bar on a terminal, now and then a line elsewhere, or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

__all__ = ["Progress", "Show"]

Show = bool | Callable[[float, str], None]
"""True: on the standard error stream; False: nothing; or a function of (share done in [0, 1], what goes on)."""

LINE_EVERY = 30.0  # seconds between two lines where there is no terminal


class Progress:
    """Tells how far a piece of work is; a context manager.

    Parameters
    ----------
    show : True, False, or a function that is told (share done, what goes on)
    what : what goes on, in a few words
    total : units of work

    Examples
    --------
    >>> heard = []
    >>> with Progress(lambda share, what: heard.append((share, what)), "counting", total=2) as progress:
    ...     progress.advance()
    ...     progress.advance(1.0)
    >>> heard
    [(0.0, 'counting'), (0.5, 'counting'), (1.0, 'counting')]
    """

    def __init__(self, show: Show, what: str, total: float) -> None:
        self.show = show
        self.what = what
        self.total = total
        self.done = 0.0
        self._bar: Any = None
        self._console: Any = None
        self._spoken = 0.0

    def __enter__(self) -> Progress:
        if self.show is True:
            self._open()
        self._tell()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, units: float = 1.0) -> None:
        """So much more is done."""
        self.done = min(self.total, self.done + units)
        self._tell()

    def _open(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._spoken = time.monotonic()
        if not (self._console.is_terminal or self._console.is_jupyter):
            return
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._bar.add_task(self.what, total=self.total)
        self._bar.start()

    def _tell(self) -> None:
        if callable(self.show):
            self.show(self.done / self.total, self.what)
        elif self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done)
        elif self._console is not None and time.monotonic() - self._spoken >= LINE_EVERY:
            self._spoken = time.monotonic()
            self._console.print(f"{self.what}: {self.done / self.total:.0%}", highlight=False)
