"""One line that says how a stream goes: on a terminal all the time, elsewhere now and then."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["Readout"]

LINE_EVERY = 30.0  # seconds between two lines where there is no terminal
DRAW_EVERY = 0.2


class Readout:
    """Events, events per second, and the figures lately; on the standard error stream.

    Parameters
    ----------
    show : False for silence
    total : events in all, where that is known
    """

    def __init__(self, show: bool, total: int | None) -> None:
        self.total, self._show = total, show
        self._console: Any = None
        self._status: Any = None
        self._begun = self._drawn = time.monotonic()
        self._first = 0
        if show:
            from rich.console import Console

            self._console = Console(stderr=True)
            if self._console.is_terminal:
                self._status = self._console.status("the first event ...")
                self._status.start()

    def due(self) -> bool:
        """Whether it is time to say something again."""
        if not self._show:
            return False
        return time.monotonic() - self._drawn >= (DRAW_EVERY if self._status is not None else LINE_EVERY)

    def restart(self, events: int) -> None:
        """Speed is measured from here."""
        self._begun, self._first = time.monotonic(), events

    def tell(self, events: int, what: str, figures: dict[str, Any]) -> None:
        """Say where it is."""
        if not self._show:
            return
        self._drawn = time.monotonic()
        speed = (events - self._first) / max(1e-6, self._drawn - self._begun)
        whole = "" if self.total is None else f" of {self.total:,}"
        told = "  ".join(
            f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value:,}"
            for name, value in figures.items()
        )
        line = f"{what} {events:,}{whole} events, {speed:,.0f} per second  {told}"
        if self._status is not None:
            self._status.update(line)
        else:
            self._console.print(line, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the line."""
        if self._status is not None:
            self._status.stop()
            self._status = None
