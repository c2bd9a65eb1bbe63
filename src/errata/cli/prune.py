"""`errata prune`: a part of the data, and a model trained on it with the help of one trained on all."""

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
    from errata.engine.compression import PrunedRun

__all__ = ["prune"]


@command
def prune(
    talk: Talk,
    source: options.Source,
    label: options.Label = None,
    keep: Annotated[float, typer.Option(min=0, max=1, help="The share of the labelled samples that stays.")] = 0.5,
    score: Annotated[
        str,
        typer.Option(
            help="What decides who stays: random, forgetting, el2n, grand, aum, accumulated_margin, correctness, "
            "entropy, least_confidence (the hard stay), coverage (CCS), moderate, herding, k_center; or a .npy file of "
            "scores."
        ),
    ] = "random",
    easy: Annotated[bool, typer.Option("--easy", help="Keep the easy end of the score instead of the hard one.")] = (
        False
    ),
    class_balanced: Annotated[bool, typer.Option("--class-balanced", help="Each class keeps its share.")] = False,
    cut: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.99, help="Of coverage: the share dropped as mislabelled first.", show_default="by keep"
        ),
    ] = None,
    distill: Annotated[bool, typer.Option(help="Learn from the teacher's soft labels too.")] = True,
    teacher: Annotated[
        Path | None,
        typer.Option(help="The folder of a training, in place of a teacher trained here.", show_default=False),
    ] = None,
    teacher_model: Annotated[
        str | None, typer.Option(help="The teacher's network, such as mlp or resnet18.", show_default="as --model")
    ] = None,
    alpha: Annotated[str, typer.Option(help="The teacher's weight, 0 to 1, or auto.")] = "auto",
    tau: Annotated[float, typer.Option(help="The temperature of the soft labels.")] = 4.0,
    equal: Annotated[str, typer.Option(help="The student gets as many epochs as the teacher, or as many steps.")] = (
        "epochs"
    ),
    subset: Annotated[
        bool, typer.Option(help="Also write the samples that stay, in the source's own format, to DIR/kept...")
    ] = True,
    link: Annotated[
        bool, typer.Option("--link", help="Of a folder of images: link the files, don't copy them.")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Of the trainings, name=value: lr=0.05; repeatable.")
    ] = None,
    model: options.Model = "auto",
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    test: Annotated[
        str | None,
        typer.Option(help="A source with right labels, to measure teacher and student on.", show_default=False),
    ] = None,
    test_label: options.TestLabel = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    augment: options.Augment = True,
    out: options.OutFolder = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in --out where an earlier call was stopped.")] = False,
    how: options.Reading = options.READING,
) -> None:
    """Keep a part of the data, and train on it with the soft labels of a teacher of all the data.

    DIR gets the student's run (`errata predict DIR`), the teacher's in DIR/teacher, and the samples that stay.

    Examples:

      errata prune reviews.csv --label stars --keep 0.1

      errata prune photos/ --keep 0.5 --score coverage --class-balanced --out half

      errata prune photos/ --keep 0.1 --teacher photos-ce --test photos-test/
    """
    from errata.data import read
    from errata.engine import compression
    from errata.engine.run import FILES

    options.required_out(resume, out)
    parameters = options.assignments(settings)
    reading = how.given()
    chosen = _score(score)
    weight = _alpha(alpha)
    data = read(source, label, **reading)
    tell(talk, data)
    clean = read(test, test_label or data.label_name, **reading) if test else None
    hint = "Choose another --out, or go on with that run: --resume."
    folder = output_folder(talk, out, f"{stem_of(source)}-pruned", taken_by=FILES, replace=resume, hint=hint)
    talk.on_interrupt = f"To go on from the last whole epoch, run the same command with --out {folder} --resume."
    run = compression.train(
        data,
        keep=keep,
        score=chosen,
        easy=easy,
        class_balanced=class_balanced,
        cut=cut,
        distill=distill,
        teacher=teacher,
        teacher_model=teacher_model,
        alpha=weight,
        tau=tau,
        equal=equal,
        model=model,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        device=device,
        out=folder,
        resume=resume,
        progress=talk.progress,
        augment=augment,
        **reading,
        **parameters,
    )
    measured = _measure(run, clean, folder)
    written = _subset(talk, run, folder, link) if subset else None
    _show(talk, run, measured, folder, written)
    talk.result(
        {
            "out": str(folder),
            "kept": int(run.ledger.columns["kept"].sum()),
            "subset": None if written is None else str(written),
            "pruning": run.about["pruning"],
            "metrics": run.metrics,
            **({"test": measured} if measured else {}),
        }
    )


def _score(told: str) -> Any:
    if not told.endswith(".npy"):
        return told
    import numpy as np

    from errata.errors import DataError

    try:
        return np.load(told, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{told} can't be read as a .npy file of scores: {error}.") from error


def _alpha(told: str) -> float | str:
    from errata.errors import ParameterError

    if told == "auto":
        return told
    try:
        return float(told)
    except ValueError:
        raise ParameterError(f"--alpha is the teacher's weight, from 0 to 1, or auto; got '{told}'.") from None


def _measure(run: PrunedRun, clean: Any, folder: Path) -> dict[str, Any]:
    """Teacher and student on clean data; with a chart in the report."""
    if clean is None:
        return {}
    from errata.charts import Chart

    found = {"student": run.evaluate(clean)}
    if run.teacher is not None:
        found["teacher"] = run.teacher.evaluate(clean)
    names = list(found)
    says = (
        "Accuracy on clean test data of the model trained on all samples, and of the one trained on those that stayed."
    )
    bars = {"accuracy": (names, [100 * found[name]["accuracy"] for name in names])}
    run.ledger.charts.insert(0, Chart("Accuracy", says, bars, x="model", y="right, in percent", style="bars"))
    run.save(folder)
    return found


def _subset(talk: Talk, run: PrunedRun, folder: Path, link: bool) -> Path | None:
    """Write the samples that stay, in the source's own format; say so where that can't be."""
    from errata.correct.apply import apply_to_file
    from errata.errors import ErrataError

    source = Path(str(run.ledger.meta.get("source_path") or run.ledger.meta.get("source")))
    target = folder / ("kept" + ("" if source.is_dir() else "".join(source.suffixes[-2:])))
    if target.exists():
        talk.note(f"{target} is there already, from an earlier call, and was left as it is.")
        return target
    try:
        apply_to_file(folder, run.decisions(), target, link=link, who="errata prune")
    except ErrataError as error:
        talk.warn(f"The samples that stay could not be written in the format of {source}: {error}")
        return None
    return target


def _show(talk: Talk, run: PrunedRun, measured: dict[str, Any], folder: Path, written: Path | None) -> None:
    from errata.cli._show import metrics_table

    pruning = run.about["pruning"]
    kept, rows = int(run.ledger.columns["kept"].sum()), run.metrics["labelled"]
    how = f"with alpha {pruning['alpha']:g} and tau {pruning['tau']:g}" if pruning["distilled"] else "without a teacher"
    talk.say(f"[bold]{kept:,}[/bold] of {rows:,} samples stay ({pruning['score']}); the student was trained {how}.")
    columns = {"student": {**run.metrics, **{f"test {k}": v for k, v in measured.get("student", {}).items()}}}
    if run.teacher is not None:
        own = {f"test {k}": v for k, v in measured.get("teacher", {}).items()}
        columns["teacher"] = {**{k: v for k, v in run.teacher.metrics.items() if k != "evaluation"}, **own}
    columns["student"].pop("evaluation", None)
    talk.say(metrics_table(columns))
    paths = {"run": folder, "report": folder / "report.html", "ledger": folder / "ledger.parquet"}
    talk.paths(paths if written is None else {**paths, "kept": written})
    talk.say(f"\nNext: errata predict {folder} SOURCE --out predictions.csv")
