"""`errata stream`: learn from a stream of events with several labels, and find the labels that look wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._places import output_folder, stem_of
from errata.cli._talk import Talk

if TYPE_CHECKING:
    from errata.engine.streams import StreamRun

__all__ = ["stream"]


@command
def stream(
    talk: Talk,
    source: Annotated[
        str,
        typer.Argument(help=".csv .tsv .jsonl .arff (also .gz) or .parquet, read event by event.", show_default=False),
    ],
    label: Annotated[
        str | None,
        typer.Option(
            help="The labels: columns a,b,c; how many of the last columns; MULAN's .xml; or a column of lists.",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        str, typer.Option(help="The system's slug; `errata systems --task streams` lists them.")
    ] = "ihomer",
    settings: options.Settings = None,
    events: Annotated[int | None, typer.Option(min=1, help="Stop after so many.", show_default="all")] = None,
    seed: options.Seed = 0,
    out: options.OutFolder = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in --out with a run that was stopped.")] = False,
    how: options.Lines = options.LINES,
) -> None:
    """Predict each event of a stream, measure, then learn it; the ledger has a row per event.

    Examples:

      errata stream yeast.arff.gz --label 14 --out yeast-stream

      errata stream tickets.jsonl --label tags --set n_min=500

      errata stream log.csv --label spam,urgent,paid --out run --resume
    """
    from errata import systems
    from errata.engine import streams
    from errata.errors import ParameterError

    if systems.card(system).task != "streams":
        raise ParameterError(f"'{system}' does not learn from streams: `errata train SOURCE --system {system}`.")
    parameters = options.assignments(settings)
    options.required_out(resume, out)
    reading = how.given()
    opened = streams.read(source, label, **reading)
    for sentence in opened.describe():
        talk.note(sentence)
    hint = "Choose another --out, or go on with that run: --resume."
    folder = output_folder(
        talk,
        out,
        f"{stem_of(source).removesuffix('.arff')}-{system}",
        taken_by=streams.FILES,
        replace=resume,
        hint=hint,
    )
    talk.on_interrupt = f"To go on, run the same command with --out {folder} --resume."
    done = streams.train(
        opened,
        label=label,
        system=system,
        seed=seed,
        out=folder,
        resume=resume,
        progress=talk.progress,
        events=events,
        **reading,
        **parameters,
    )
    _show(talk, done, folder)
    talk.result(
        {
            "out": str(folder),
            "system": system,
            "metrics": done.metrics,
            "clusters": done.about.get("clusters"),
            "issues": int(done.ledger.issue.sum()),
        }
    )


def _show(talk: Talk, done: StreamRun, folder: Any) -> None:
    from errata.cli._show import metrics_table

    ledger = done.ledger
    issues = int(ledger.issue.sum())
    talk.say(metrics_table({"every event, before it was learned": done.metrics}))
    talk.say(f"\n{issues:,} of {len(ledger):,} events have labels that look wrong.")
    clusters = done.about.get("clusters")
    if clusters:
        shown = " | ".join(", ".join(cluster[:6]) + (", ..." if len(cluster) > 6 else "") for cluster in clusters[:8])
        talk.say(
            f"Labels learned together: {shown}{' | ...' if len(clusters) > 8 else ''}",
        )
    talk.paths({"run": folder, "report": folder / "report.html", "ledger": folder / "ledger.parquet"})
