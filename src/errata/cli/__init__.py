"""The command `errata`: one file per command, each a thin door to the rooms below.

Nothing heavy is imported here, so that ``errata --help`` answers at once; a command imports what it needs when it runs.
"""

from __future__ import annotations

from typing import Annotated

import typer

from errata import __version__
from errata.cli.apply import apply
from errata.cli.audit import audit
from errata.cli.bench import bench
from errata.cli.compare import compare
from errata.cli.demo import demo
from errata.cli.export import export
from errata.cli.federate import federate
from errata.cli.import_ import import_
from errata.cli.merge import merge
from errata.cli.noise import noise
from errata.cli.predict import predict
from errata.cli.prune import prune
from errata.cli.queue import queue
from errata.cli.review import review
from errata.cli.stream import stream
from errata.cli.systems import systems
from errata.cli.train import train
from errata.cli.vouch import vouch

__all__ = ["app", "main"]

app = typer.Typer(
    name="errata",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _function in (
    demo,
    audit,
    review,
    vouch,
    export,
    import_,
    apply,
    train,
    stream,
    predict,
    compare,
    noise,
    systems,
    bench,
    queue,
    merge,
    prune,
):
    app.command("import" if _function is import_ else None)(_function)
app.add_typer(federate, name="federate")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"errata {__version__}")
        raise typer.Exit


@app.callback()
def _errata(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which errata this is.")
    ] = False,
) -> None:
    """Find the wrong labels in a data set, train in spite of them, decide what to correct next.

    Start with [bold]errata demo[/bold]; then [bold]errata audit your.csv --label COLUMN[/bold].
    """


def main() -> None:
    """The console script."""
    app(prog_name="errata")
