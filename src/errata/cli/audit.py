"""`errata audit`: find the labels of a data set that are probably wrong."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._places import output_folder, stem_of
from errata.cli._talk import Talk

if TYPE_CHECKING:
    from errata.data import Data
    from errata.ledger import Ledger

__all__ = ["audit"]

FILES = ("report.html", "ledger.parquet", "summary.json")


@command
def audit(
    talk: Talk,
    source: options.Source,
    label: options.Label = None,
    pred_probs: Annotated[
        Path | None,
        typer.Option(
            help="A .npy file of out-of-sample probabilities (N, K); no model is trained.", show_default=False
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help="confident (from cross-validation), or a system's slug: from a training run with it.")
    ] = "confident",
    rule: Annotated[
        str,
        typer.Option(help="Which rows are issues: prune_by_noise_rate, prune_by_class, both, confident_learning ..."),
    ] = "prune_by_noise_rate",
    rank_by: Annotated[str, typer.Option(help="self_confidence or normalized_margin.")] = "self_confidence",
    model: options.Model = "auto",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Of the network or system that is trained, name=value: epochs=60; repeatable."),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Parts of the cross-validation.")] = 5,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    out: options.OutFolder = None,
    force: options.Force = False,
    features: options.Features = None,
    text: options.TextColumn = None,
    image_column: options.ImageColumn = None,
    kind: options.Kinds = None,
    unreadable: options.Unreadable = "error",
    encoding: options.Encoding = None,
    separator: options.Separator = None,
    header: options.Header = True,
    image_size: options.ImageSize = None,
) -> None:
    """Find the labels that are probably wrong: a ledger with a row per sample, and a report to look at.

    Examples:

      errata audit reviews.csv --label stars

      errata audit photos/ --out photos-audit

      errata audit reviews.csv --label stars --pred-probs probabilities.npy
    """
    from errata.audit import audit as find
    from errata.data import read
    from errata.storage import summary

    reading = options.reading(features, text, image_column, kind, unreadable, encoding, separator, header, image_size)
    parameters = options.assignments(settings)
    data = read(source, label, **reading)
    tell(talk, data)
    folder = output_folder(
        talk,
        out,
        f"{stem_of(source)}-audit",
        taken_by=FILES,
        replace=force,
        hint="Choose another --out, or use --force.",
    )
    ledger = find(
        data,
        pred_probs=pred_probs,
        method=method,
        rule=rule,
        rank_by=rank_by,
        model=model,
        folds=folds,
        seed=seed,
        device=device,
        progress=talk.progress,
        **parameters,
    )
    ledger.save(folder)
    _show(talk, ledger, source, label, folder)
    talk.result({"out": str(folder), **summary(ledger)})


def tell(talk: Talk, data: Data) -> None:
    """Say how the data were read."""
    for sentence in data.describe():
        talk.note(sentence)


def _show(talk: Talk, ledger: Ledger, source: str, label: str | None, folder: Path) -> None:
    from errata.cli._show import confusions, ledger_panel, worst_rows

    talk.say(ledger_panel(ledger, source), worst_rows(ledger), confusions(ledger))
    talk.paths({Path(name).stem: folder / name for name in FILES})
    talk.say(
        f"\nNext: open {folder / 'report.html'} in a browser, or train in spite of the wrong labels:\n"
        f"  {shlex.join(['errata', 'train', source, *(['--label', label] if label else []), '--system', 'elr'])}"
    )
