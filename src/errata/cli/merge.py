"""`errata merge`: one run out of two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._places import output_folder
from errata.cli._talk import Talk

if TYPE_CHECKING:
    from errata.engine.merging import MergedRun

__all__ = ["merge"]

_HOW = "How to merge"


@command
def merge(
    talk: Talk,
    a: Annotated[Path, typer.Argument(metavar="A", help="The folder of a run of `errata train`.", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another run of the same model.", show_default=False)],
    out: options.OutFolder = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Inputs to compare the networks on; repeatable. No labels needed.", show_default="the runs' own"
        ),
    ] = None,
    budget: Annotated[
        float, typer.Option(min=1.0, max=2.0, help="Cost of the merged network; 1 is that of one, 2 that of both.")
    ] = 1.0,
    matching: Annotated[
        str, typer.Option(help="Find partners by activation or weight; identity finds none.", rich_help_panel=_HOW)
    ] = "activation",
    rule: Annotated[
        str,
        typer.Option(
            help="Spend the budget behind a cut (zip), alike everywhere (uniform), or where it helps most (qp).",
            rich_help_panel=_HOW,
        ),
    ] = "zip",
    solver: Annotated[
        str,
        typer.Option(help="Fit the layers in closed form, by adam, or none (average only).", rich_help_panel=_HOW),
    ] = "closed",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A further parameter of pleas, name=value; repeatable.", rich_help_panel=_HOW),
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Train the last layer anew on the labels of --data.", rich_help_panel=_HOW)
    ] = False,
    label: options.Label = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows at a time.")] = 128,
    batches: Annotated[int, typer.Option(min=1, help="Batches that are looked at.")] = 100,
    test: Annotated[
        str | None, typer.Option(help="A source with right labels, to measure all three on.", show_default=False)
    ] = None,
    test_label: Annotated[
        str | None, typer.Option(help="The label's column in --test, where it has another name.", show_default=False)
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Merge two trained networks into one that does the work of both, without labels.

    The runs must be of one model; their classes may differ. The result is a run like any other, for
    `errata predict`.

    Examples:

      errata merge run-a run-b --out merged

      errata merge run-a run-b --data unlabelled/ --budget 1.2 --out merged --test test.csv
    """
    from errata.engine import Run
    from errata.engine.merging import merge as merge_runs
    from errata.engine.run import FILES

    runs = [Run.load(folder, device=device) for folder in (a, b)]
    hint = "Choose another --out."
    folder = output_folder(talk, out, f"{a.name or 'a'}-{b.name or 'b'}-merged", taken_by=FILES, hint=hint)
    with _bar(talk) as progress:
        run = merge_runs(
            runs[0],
            runs[1],
            [Path(source) for source in data] if data else None,
            budget=budget,
            matching=matching,
            rule=rule,
            solver=solver,
            probe=probe,
            label=label,
            batch_size=batch_size,
            batches=batches,
            seed=seed,
            device=device,
            progress=progress,
            **options.assignments(settings),
        )
    measured = _measure(runs, run, test, test_label or label)
    run.save(folder)
    _show(talk, run, measured, folder)
    talk.result(
        {"out": str(folder), "system": "pleas", "metrics": run.metrics, **({"test": measured} if measured else {})}
    )


@contextmanager
def _bar(talk: Talk) -> Iterator[Callable[[str, float], None] | None]:
    """A bar on a terminal; elsewhere nothing, for the steps are told afterwards."""
    if not talk.progress or not talk.err.is_terminal:
        yield None
        return
    from rich import progress

    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TimeElapsedColumn())
    with progress.Progress(*columns, console=talk.err, transient=True) as bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def _measure(runs: list[Any], run: MergedRun, test: str | None, label: str | None) -> dict[str, dict[str, Any]]:
    """Accuracy and the like of the merged run, and of each parent where it knows the test's classes."""
    from errata.errors import UnknownNameError

    if test is None:
        return {}
    found = {"merged": run.evaluate(test, label)}
    for name, parent in zip(("A", "B"), runs):
        try:
            found[name] = parent.evaluate(test, label)
        except UnknownNameError:
            continue  # it was trained on other classes
    return found


def _show(talk: Talk, run: MergedRun, measured: dict[str, dict[str, Any]], folder: Path) -> None:
    from errata.cli._show import metrics_table
    from errata.kinds import kind_of

    shown = ("cost", "parameters", "parameters_of_one", "agreement", "units", "kept_separate", "seconds")
    talk.say(f"[bold]{kind_of('merging').name}[/bold]: {len(run.classes)} classes.")
    talk.say(metrics_table({"merged": {name: run.metrics[name] for name in shown}}))
    if measured:
        talk.say("\n[bold]On the test data[/bold]", metrics_table(measured))
    for note in run.ledger.meta.get("notes", []):
        talk.warn(note)
    if run.metrics["issues"]:
        talk.say(
            f"\n{run.metrics['issues']:,} merged units are unlike their partners; a larger --budget keeps more apart."
        )
    talk.paths({"run": folder, "report": folder / "report.html", "ledger": folder / "ledger.parquet"})
    talk.say(f"\nNext: errata predict {folder} SOURCE --out predictions.csv")
