"""How a command speaks: results to stdout, progress and notes to stderr, and with ``--json`` only JSON on stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape

__all__ = ["Talk"]


class Talk:
    """What a command says, and to whom.

    Parameters
    ----------
    json : people's text goes to stderr, ``result`` writes JSON to stdout
    quiet : nothing but results asked for with ``json``, the paths of what was made, and errors
    verbose : the libraries' own messages are shown too
    traceback : an unexpected error shows where it came from

    Examples
    --------
    >>> talk = Talk(json=True)
    >>> talk.result({"rows": 3})
    {
      "rows": 3
    }
    """

    def __init__(
        self, *, json: bool = False, quiet: bool = False, verbose: bool = False, traceback: bool = False
    ) -> None:
        self.json = json
        self.quiet = quiet
        self.verbose = verbose
        self.traceback = traceback
        self._stdout = sys.stdout
        self.out = _console(stderr=json)
        self.err = _console(stderr=True)
        self.made: list[Path] = []  # folders made for this command; removed again where it fails and leaves them empty
        self.on_interrupt = "Nothing was written."

    @property
    def progress(self) -> bool:
        """Whether to show how it goes: a bar on a terminal, now and then a line elsewhere."""
        return not self.quiet

    def say(self, *what: RenderableType) -> None:
        """Tell people something that belongs to the result."""
        if not self.quiet:
            for item in what:
                self.out.print(item)

    def note(self, text: str) -> None:
        """Tell people something on the way: how the data were read, what is being done."""
        if not self.quiet:
            self.err.print(escape(text), style="dim", soft_wrap=not self.err.is_terminal)

    def warn(self, text: str) -> None:
        """Tell people something that they should know of."""
        if not self.quiet:
            self.err.print(f"[yellow]Note:[/yellow] {escape(text)}", soft_wrap=not self.err.is_terminal)

    def error(self, text: str) -> None:
        """Tell people why it can't be done, in one paragraph."""
        self.err.print(f"[bold red]Error:[/bold red] {escape(text)}", soft_wrap=not self.err.is_terminal)

    def paths(self, what: dict[str, Path]) -> None:
        """Tell where things were written; with ``quiet`` the bare paths."""
        if self.quiet:
            if not self.json:
                for path in what.values():
                    print(path, file=self._stdout)
            return
        width = max(len(name) for name in what)
        self.out.print()
        for name, path in what.items():
            self.out.print(f"  [bold]{name.ljust(width)}[/bold]  {escape(str(path))}", soft_wrap=True)

    def result(self, content: Any) -> None:
        """Write the machine-readable result, where it was asked for."""
        if self.json:
            self._stdout.write(json.dumps(content, indent=2, ensure_ascii=False, default=_plain) + "\n")
            self._stdout.flush()


def _console(stderr: bool) -> Console:
    return Console(file=sys.stderr if stderr else sys.stdout, highlight=False)


def _plain(value: Any) -> Any:
    for method in ("tolist", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    return str(value)
