"""`errata export`: what looks wrong, for Label Studio, Argilla, CVAT or a spreadsheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._talk import Talk

__all__ = ["export"]


@command
def export(
    talk: Talk,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of an audit or a training.", show_default=False)
    ],
    to: Annotated[str, typer.Option(help="label-studio, argilla, cvat or csv.", show_default=False)],
    out: Annotated[
        Path, typer.Option(help="The file to write: .json, for cvat .xml or .zip, or .csv.", show_default=False)
    ],
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="Only the so many most suspicious rows; by default all flagged.", show_default=False),
    ] = None,
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
    url: Annotated[
        str | None, typer.Option(help="The address below which the tool finds the pictures.", show_default=False)
    ] = None,
    decisions: Annotated[
        bool | None,
        typer.Option(
            "--decisions/--no-decisions",
            help="Also what was decided already; by default in csv only.",
            show_default=False,
        ),
    ] = None,
    force: options.Force = False,
) -> None:
    """Write the suspicious rows, worst first, with given and proposed label, for another tool to look at.

    Examples:

      errata export reviews-audit --to label-studio --out tasks.json

      errata export photos-audit --to cvat --out photos.zip --budget 200
    """
    from errata.cli._places import output_file
    from errata.exchange import FORMATS, write_items

    if to in FORMATS:
        output_file(out, FORMATS[to].endings, force=force)
    if to == "label-studio":
        output_file(out.with_name(f"{out.stem}.config.xml"), (".xml",), force=force)
    if to == "argilla":
        output_file(out.with_name(f"{out.stem}.settings.json"), (".json",), force=force)
    paths, rows = write_items(folder, out, to, budget=budget, data=data, images=images, url=url, decisions=decisions)
    talk.note(f"{rows:,} rows are written. `errata import {folder} FILE --from {to}` brings the decisions back.")
    talk.paths(dict(zip((to, "labelling interface" if to == "label-studio" else "settings"), paths)))
    talk.result({"out": [str(path) for path in paths], "rows": rows, "format": to})
