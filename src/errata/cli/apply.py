"""`errata apply`: the corrected data set, in the format of the source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._talk import Talk

if TYPE_CHECKING:
    from errata.correct.outcome import Outcome

__all__ = ["apply"]


@command
def apply(
    talk: Talk,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of an audit or a training.", show_default=False)
    ],
    decisions: Annotated[
        str | None,
        typer.Option(
            help="A table of row, action, label (.csv .tsv .jsonl .parquet), a review's decisions.sqlite, or "
            "'proposed': the ledger's own proposals.",
            show_default="DIR/decisions.sqlite",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The file or folder to write, of the source's format.", show_default=False)
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="The data, where they have moved since the audit.", show_default=False)
    ] = None,
    label: options.Label = None,
    drop: Annotated[bool, typer.Option(help="Leave out the rows that were decided to be dropped.")] = True,
    soft: Annotated[bool, typer.Option("--soft", help="Add a column of probability per class.")] = False,
    new_classes: Annotated[bool, typer.Option("--new-classes", help="Allow classes that the ledger has not.")] = False,
    max_trust: Annotated[
        float | None,
        typer.Option(help="With 'proposed': only labels trusted at most so far.", min=0, max=1, show_default=False),
    ] = None,
    max_rows: Annotated[
        int | None, typer.Option(help="With 'proposed': the so many least trusted.", min=0, show_default=False)
    ] = None,
    who: Annotated[
        str, typer.Option(help="Who decided, for the provenance, where the decisions don't tell.", show_default=False)
    ] = "",
    link: Annotated[bool, typer.Option("--link", help="Link the images of a folder instead of copying them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; write nothing.")] = False,
    force: options.Force = False,
    unreadable: options.Unreadable = "error",
) -> None:
    """Write the corrected data: rows that don't change stay as they are, byte for byte in text formats.

    Who changed which label, when and why is written beside, to OUT.provenance.csv. The source is never changed.

    Examples:

      errata apply reviews-audit --out reviews-clean.csv

      errata apply reviews-audit --decisions checked.csv --dry-run

      errata apply photos-audit --decisions proposed --max-trust 0.1 --out photos-clean
    """
    from errata.correct.apply import apply_to_file

    outcome = apply_to_file(
        folder,
        decisions,
        out,
        source=source,
        label=label,
        drop=drop,
        soft=soft,
        new_classes=new_classes,
        max_trust=max_trust,
        max_rows=max_rows,
        who=who,
        link=link,
        dry_run=dry_run,
        force=force,
        **options.NewRows(unreadable=unreadable).given(),
    )
    _show(talk, outcome)
    talk.result(outcome.as_dict())


def _show(talk: Talk, outcome: Outcome) -> None:
    from errata.cli._correcting import counted, diff_table
    from errata.correct.places import provenance_of

    for note in outcome.notes:
        talk.note(note)
    if not outcome.written and not talk.json:
        if talk.out.is_terminal:
            talk.say(diff_table(outcome))
        elif not talk.quiet:
            for line in outcome.diff():
                talk.out.file.write(f"{line}\n")  # as it is: Rich would expand tabs
    if outcome.changed:
        talk.note(counted(outcome))
    if outcome.written and outcome.out is not None:
        talk.paths({"corrected": outcome.out, "provenance": provenance_of(outcome.out)})
