"""`errata import`: decisions that were made in Label Studio, Argilla, CVAT or a spreadsheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._talk import Talk

__all__ = ["import_"]


@command
def import_(
    talk: Talk,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of the audit or training.", show_default=False)
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What the other tool wrote.", show_default=False)],
    source: Annotated[str, typer.Option("--from", help="label-studio, argilla, cvat or csv.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Write a table of decisions (.csv) instead of the review's record.", show_default=False),
    ] = None,
    reviewer: Annotated[str, typer.Option(help="Who decided, where the file doesn't tell.", show_default=False)] = "",
    data: Annotated[
        str | None,
        typer.Option(
            help="The data, where they have moved since the audit; of boxes and masks these.", show_default=False
        ),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(help="The pictures of boxes or masks, where the audit was not told.", show_default=False),
    ] = None,
    force: options.Force = False,
) -> None:
    """Bring decisions back, into DIR/decisions.sqlite; importing the same file again changes nothing.

    `errata apply DIR` then corrects the data, and `errata review DIR` shows what was decided.

    Examples:

      errata import reviews-audit project-1.json --from label-studio

      errata import photos-audit annotations.xml --from cvat --reviewer ann --out decisions.csv
    """
    from errata.exchange import bring_in

    if out is not None:
        _as_table(talk, folder, file, source, out, reviewer, data, images, force)
        return
    counts = bring_in(folder, file, source, reviewer=reviewer, data=data, images=images)
    new = sum(n for name, n in counts.items() if name != "known")
    told = ", ".join(f"{counts[name]:,} {name}" for name in ("keep", "relabel", "drop", "skip") if counts[name])
    known = f"; {counts['known']:,} were there already" if counts["known"] else ""
    talk.note(f"{new:,} decisions are new{f' ({told})' if told else ''}{known}.")
    talk.paths({"decisions": folder / "decisions.sqlite"})
    talk.result({"decisions": str(folder / "decisions.sqlite"), **counts})


def _as_table(
    talk: Talk,
    folder: Path,
    file: Path,
    source: str,
    out: Path,
    reviewer: str,
    data: str | None,
    images: str | None,
    force: bool,
) -> None:
    from errata.cli._places import output_file
    from errata.exchange import read_answers
    from errata.exchange.tables import write_answers

    output_file(out, (".csv",), force=force)
    answers = read_answers(folder, file, source, reviewer=reviewer, data=data, images=images)
    write_answers(answers, out)
    talk.note(f"{len(answers):,} decisions; `errata apply {folder} --decisions {out}` takes them.")
    talk.paths({"decisions": out})
    talk.result({"out": str(out), "rows": len(answers)})
