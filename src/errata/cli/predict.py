"""`errata predict`: the classes of new rows, from a saved run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._places import output_file
from errata.cli._talk import Talk
from errata.errors import ErrataError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["predict"]

FORMATS = (".csv", ".tsv", ".parquet", ".jsonl")


@command
def predict(
    talk: Talk,
    run: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="The folder of a run of `errata train` or `errata stream`.", show_default=False
        ),
    ],
    source: options.Source,
    out: Annotated[
        Path,
        typer.Option(help="The file to write: .csv, .tsv, .parquet or .jsonl; for masks a folder.", show_default=False),
    ],
    proba: Annotated[bool, typer.Option("--proba", help="Add a column of probabilities per class.")] = False,
    device: options.Device = "auto",
    force: options.Force = False,
    how: options.NewRows = options.NEW_ROWS,
) -> None:
    """Predict the class of each row of a source: a table of row, prediction and confidence.

    Of a run on several labels per item, and of a stream: the labels that apply, joined by "|".

    Examples:

      errata predict run new.csv --out predictions.csv

      errata predict run new-photos/ --out predictions.parquet --proba

      errata predict streets-adele new-streets/ --out masks

      errata predict yeast-ihomer new.arff.gz --out labels.csv
    """
    from errata.cli._formats import write_table
    from errata.data import read
    from errata.engine import Run
    from errata.kinds import kind_of

    if predicts_files(run):
        _predict_into(talk, Run.load(run, device=device), source, out, force, how.unreadable)
        return
    output_file(out, FORMATS, force=force)
    trained = Run.load(run, device=device)
    reading = how.given()
    room = kind_of(trained.about.get("task")).load_room()
    if hasattr(room, "predict_table"):  # rows are read and predicted one by one
        reading = {**options.without_images(reading), "note": talk.note, "progress": talk.progress}
        table, counts = room.predict_table(trained, source, every=proba, **reading)
    else:
        reading = {**trained.about.get("reading", {}), **reading}
        data = (read if room is None else room.read)(source, False, **reading)
        probabilities = trained.predict_proba(data)
        if hasattr(room, "predicted"):  # where a row has no single class
            table, counts = room.predicted(trained, data, probabilities, every=proba)
        else:
            table = _table(trained.classes, data.rows, probabilities, every=proba)
            counts = _counts(trained.classes, probabilities)
    write_table(table, out)
    for name, count in counts.items():
        talk.say(f"{count:>9,}  {name}")
    talk.paths({"predictions": out})
    talk.result({"out": str(out), "rows": len(table), "predicted": counts})


def predicts_files(run: Path) -> bool:
    """Whether the run's predictions are a file for each item (masks), not a line of a table."""
    from errata.engine.run import read_about
    from errata.kinds import kind_of

    return kind_of(read_about(run).get("task")).predicts_files


def _predict_into(talk: Talk, trained: Any, source: str, out: Path, force: bool, unreadable: str) -> None:
    if out.exists() and not out.is_dir():
        raise ErrataError(f"{out} is a file; the predictions are a file for each item, so --out expects a folder.")
    if out.is_dir() and any(out.iterdir()) and not force:
        raise ErrataError(f"{out} is not empty, and nothing is overwritten unasked. Choose another --out, or --force.")
    files = trained.predict_into(out, source, unreadable=unreadable)
    talk.say(f"{len(files):,} files written.")
    talk.paths({"predictions": out})
    talk.result({"out": str(out), "files": len(files), "classes": [str(c) for c in trained.classes]})


def _table(classes: list[Any], rows: np.ndarray, probabilities: np.ndarray, *, every: bool) -> pa.Table:
    import pyarrow as pa

    best = probabilities.argmax(1)
    columns: dict[str, Any] = {
        "row": pa.array(rows),
        "prediction": pa.array(classes).take(pa.array(best)),
        "confidence": pa.array(probabilities.max(1)),
    }
    if every:
        columns |= {f"p_{name}": pa.array(probabilities[:, code]) for code, name in enumerate(classes)}
    return pa.table(columns)


def _counts(classes: list[Any], probabilities: np.ndarray) -> dict[str, int]:
    """The classes predicted and how often, the most frequent first."""
    import numpy as np

    counts = np.bincount(probabilities.argmax(1), minlength=probabilities.shape[1])
    order = np.argsort(-counts, kind="stable")
    return {str(classes[code]): int(counts[code]) for code in order if counts[code]}
