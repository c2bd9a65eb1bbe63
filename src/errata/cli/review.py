"""`errata review`: the web page where people decide on doubtful labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._talk import Talk

if TYPE_CHECKING:
    from errata.review.server import Opened

__all__ = ["review"]


@command
def review(
    talk: Talk,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of an audit or a training.", show_default=False)
    ],
    port: Annotated[
        int | None, typer.Option(help="Where to listen; by default 8765, or the next that is free.", show_default=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Who may connect: 127.0.0.1 is this machine only.")] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(help="What others must know to get in, or 'auto'. Needed beyond 127.0.0.1.", show_default=False),
    ] = None,
    overlap: Annotated[int, typer.Option(min=1, help="How many people decide on each row, blind.")] = 1,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Only the so many most suspicious rows.", show_default=False)
    ] = None,
    random: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="So many rows drawn at random instead: they tell how many labels are wrong, whatever the errors are "
            "like. See `errata vouch`.",
            show_default=False,
        ),
    ] = None,
    seed: options.Seed = 0,
    reviewer: Annotated[str | None, typer.Option(help="Your name; nobody is asked.", show_default=False)] = None,
    data: Annotated[
        str | None, typer.Option(help="The data, where they have moved since the audit.", show_default=False)
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A further name of this server, as behind a proxy; repeatable.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the decisions to a .csv or .parquet file, and end.", show_default=False)
    ] = None,
    force: options.Force = False,
) -> None:
    """Look at the doubtful rows in the browser: keep, relabel or drop each, with one key.

    Every decision is in DIR/decisions.sqlite at once; stop with Ctrl-C and go on whenever you like.

    Examples:

      errata review reviews-audit

      errata review reviews-audit --host 0.0.0.0 --token auto --overlap 2

      errata review reviews-audit --random 100

      errata review reviews-audit --export decisions.csv
    """
    if export is not None:
        _export(talk, folder, export, force)
        return
    from errata.review import serve

    def ready(opened: Opened) -> None:
        _tell(talk, opened)

    serve(
        folder,
        host,
        port,
        token=token,
        overlap=overlap,
        budget=budget,
        random=random,
        seed=seed,
        reviewer=reviewer,
        data=data,
        hosts=allow_host or (),
        ready=ready,
    )
    talk.note("Stopped. Every decision is in the folder.")


def _tell(talk: Talk, opened: Opened) -> None:
    talk.note(f"{opened.rows:,} rows, {opened.issues:,} of them suspicious; {opened.decided:,} are decided.")
    talk.say(f"Open [bold]{opened.url}[/bold] in a browser. Ctrl-C stops; decisions are kept.")
    talk.result({"url": opened.url, "decisions": str(opened.decisions), "rows": opened.rows, "decided": opened.decided})


def _export(talk: Talk, folder: Path, out: Path, force: bool) -> None:
    from errata.cli._places import output_file
    from errata.errors import ErrataError
    from errata.review import Decisions
    from errata.review.decisions import FILE

    if not (folder / FILE).is_file():
        raise ErrataError(
            f"There are no decisions in {folder} ({FILE} is missing). `errata review {folder}` begins a review."
        )
    output_file(out, (".csv", ".parquet"), force=force)
    with Decisions(folder) as record:
        lines = list(record.lines())
        record.export(out)
    talk.note(f"{len(lines):,} rows are decided.")
    talk.paths({"decisions": out})
    talk.result({"out": str(out), "rows": len(lines)})
