"""`errata compare`: two runs or ledgers side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._talk import Talk

__all__ = ["compare"]


@command
def compare(
    talk: Talk,
    a: Annotated[str, typer.Argument(metavar="A", help="The folder of an audit or a training.", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="The later one.", show_default=False)],
    test: Annotated[
        str | None,
        typer.Option(help="Labelled data that neither has seen: both runs predict them.", show_default=False),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The label's column in --test; by default the runs'.", show_default=False)
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="How many of the changed rows to show.")] = 10,
    device: options.Device = "auto",
) -> None:
    """Say what changed between two runs or ledgers, and what it gave.

    Examples:

      errata compare reviews-audit reviews-clean-audit

      errata compare run-before run-after --test reviews-test.csv
    """
    import errata
    from errata.cli._correcting import changed_rows, figures_table

    found = errata.compare(a, b, test=test, label=label, device=device)
    talk.say(figures_table(found), changed_rows(found, rows))
    if found.test is not None:
        talk.say(found.test.sentence())
    for note in found.notes:
        talk.note(note)
    talk.result(found.as_dict())
