"""`errata train`: train a model in spite of wrong labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._places import output_folder, stem_of
from errata.cli._talk import Talk
from errata.cli.audit import tell

if TYPE_CHECKING:
    from errata.engine.run import Run

__all__ = ["train"]


@command
def train(
    talk: Talk,
    source: options.Source,
    label: options.Label = None,
    system: Annotated[str, typer.Option(help="The system's slug; `errata systems` lists them.")] = "elr",
    settings: options.Settings = None,
    model: options.Model = "auto",
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    validation: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the (noisy) labels held out to watch.")
    ] = 0.0,
    select: Annotated[
        str, typer.Option(help="Predict with the last epoch's weights, or the best by --validation.")
    ] = "last",
    test: Annotated[
        str | None, typer.Option(help="A source with right labels, to measure on after training.", show_default=False)
    ] = None,
    test_label: options.TestLabel = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many GPUs (or CPU processes) train together.")] = 1,
    precision: options.Precision = None,
    augment: options.Augment = True,
    epoch_rows: Annotated[
        int | None,
        typer.Option(min=1, help="Rows of an epoch: a random subset, equal by class.", show_default="all"),
    ] = None,
    out: options.OutFolder = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    how: options.ReadingWithClasses = options.READING_WITH_CLASSES,
) -> None:
    """Train a model in spite of wrong labels; the run's folder gets the model, the metrics and the ledger.

    Examples:

      errata train reviews.csv --label stars --system elr --out run

      errata train photos/ --system elr --set lambda_=7 --epochs 60 --test photos-test/

      errata train photos/ --system elr --epochs 60 --out run --resume

      errata train images/ --label masks/ --system adele --test new-images/ --test-label new-masks/
    """
    from errata import engine, systems
    from errata.data import read
    from errata.engine.run import FILES

    systems.card(system)
    parameters = options.assignments(settings)
    options.required_out(resume, out)
    reading = how.given()
    room = engine.room_of(system)
    if room is None:
        data = read(source, label, **reading)
        tell(talk, data)
        clean = read(test, test_label or data.label_name, **reading) if test else None
    else:  # another kind of data, which its room reads and tells
        own = options.taken_by(room.read, parameters)  # such as --set knn=10, for graphs
        data = room.read(source, label, **reading, **own)
        for sentence in data.describe():
            talk.note(sentence)
        clean = room.read(test, test_label or label, **reading, **own) if test else None
    hint = "Choose another --out, or go on with that run: --resume."
    folder = output_folder(talk, out, f"{stem_of(source)}-{system}", taken_by=FILES, replace=resume, hint=hint)
    talk.on_interrupt = f"To go on from the last whole epoch, run the same command with --out {folder} --resume."
    run = engine.train(
        data,
        system=system,
        model=model,
        epochs=epochs,
        batch_size=batch_size,
        validation=validation,
        select=select,
        seed=seed,
        device=device,
        devices=devices,
        precision=precision,
        out=folder,
        resume=resume,
        progress=talk.progress,
        augment=augment,
        epoch_rows=epoch_rows,
        **reading,
        **parameters,
    )
    measured = run.evaluate(clean) if clean is not None else None
    if measured is not None:
        run.save_metrics(folder)
    _show(talk, run, measured, folder)
    talk.result(
        {
            "out": str(folder),
            "system": system,
            "metrics": run.metrics,
            **({"test": measured} if measured is not None else {}),
            "issues": int(run.ledger.issue.sum()),
            "noise_rate": run.ledger.noise.rate,
        }
    )


def _show(talk: Talk, run: Run, measured: dict[str, Any] | None, folder: Path) -> None:
    from errata.cli._show import ledger_panel, metrics_table
    from errata.kinds import kind_of

    columns = {"training": run.metrics, **({"clean test": measured} if measured else {})}
    talk.say(ledger_panel(run.ledger, f"Ledger of {run.ledger.meta.get('system', 'the run')}"), metrics_table(columns))
    for note in run.ledger.meta.get("notes", ()):
        talk.note(note)
    talk.paths({"run": folder, "report": folder / "report.html", "ledger": folder / "ledger.parquet"})
    place = "predictions" if kind_of(run.about.get("task")).predicts_files else "predictions.csv"
    talk.say(f"\nNext: errata predict {folder} SOURCE --out {place}")
