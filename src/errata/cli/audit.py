"""`errata audit`: find the labels of a data set that are probably wrong."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
RESUMABLE = ("confident", "ensemble")
"""Methods that keep what is done in the folder until all is done, so that the same command goes on after a stop."""
TRAINED = ("segmentation", "boxes")
"""Kinds of labels for which that is so where no predictions are given."""


@command
def audit(
    talk: Talk,
    source: options.Source,
    label: options.Label = None,
    pred_probs: Annotated[
        Path | None,
        typer.Option(
            help="A .npy file of out-of-sample probabilities (N, K); no model is trained. With --engine: their list "
            "column, or a pattern of columns such as 'p_*'.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            show_default="confident; ensemble of given --pred-probs and --embeddings",
            help="confident (from cross-validation), dynamics (from one training), neighbours (from what is alike), "
            "ensemble (of these); or a system's slug: from a training run with it.",
        ),
    ] = None,
    rule: Annotated[
        str,
        typer.Option(help="Which rows are issues: prune_by_noise_rate, prune_by_class, both, confident_learning ..."),
    ] = "prune_by_noise_rate",
    rank_by: Annotated[
        str, typer.Option(help="self_confidence, normalized_margin or confidence_weighted_entropy.")
    ] = "self_confidence",
    model: options.Model = "auto",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Of the method, network or system, name=value: epochs=60, flag_by=rank; repeatable."
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Parts of the cross-validation.")] = 5,
    group: Annotated[
        str | None,
        typer.Option(
            help="A column whose rows of one value stay in one fold: a patient, a recording. It is not learned from. "
            "Of masks a regular expression: what it matches in their names is the group, such as '^[^_]+'.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Folds worked on at the same time; by default one per core.", show_default=False),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(help="A .npy file of features (N, D), for the methods that look at neighbours."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Labels that are not one class per row: multilabel (--label a,b,c), tokens, regression, segmentation, "
            "boxes. Their further options: --set name=value.",
            show_default=False,
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="The folder of a run of `errata train` on other rows. With --label (or --method ensemble): its model "
            "judges these labels, together with --pred-probs if given; if it learned from people who looked again, "
            "--set given_column=NAME names its column of the labels given before. Else: say which rows are unlike its "
            "data; --method is then a score: energy, msp, maxlogit, uniform, odin, mahalanobis or knn.",
            show_default=False,
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="With --run: data of its kind, with labels, that it was not trained on; by default the rows it held "
            "out.",
            show_default=False,
        ),
    ] = None,
    annotations: Annotated[
        bool,
        typer.Option(
            "--annotations",
            help="SOURCE holds several people's labels: a table with the columns item, annotator, label; other names: "
            "--set item=question --set annotator=worker.",
        ),
    ] = False,
    earlier: Annotated[
        Path | None,
        typer.Option(
            help="With --annotations: the folder of an earlier such audit; SOURCE holds only the labels given since.",
            show_default=False,
        ),
    ] = None,
    findings: Annotated[
        bool, typer.Option(help="Also look for duplicates, outliers, rare classes, imbalance, drift and the like.")
    ] = True,
    test: Annotated[
        str | None,
        typer.Option(help="A second source, say the test set: tells which rows stand in both.", show_default=False),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="here or ray: read Parquet files in shards, for data larger than memory. SOURCE is then a file, a "
            "folder, a pattern or an address (s3://...), and probabilities are columns: see --pred-probs.",
            show_default=False,
        ),
    ] = None,
    out: options.OutFolder = None,
    force: options.Force = False,
    how: options.Reading = options.READING,
) -> None:
    """Find the labels that are probably wrong: a ledger with a row per sample, and a report to look at.

    Examples:

      errata audit reviews.csv --label stars

      errata audit photos/ --out photos-audit

      errata audit reviews.csv --label stars --pred-probs probabilities.npy

      errata audit 'logs/*.parquet' --label kind --pred-probs 'p_*' --engine ray

      errata audit scans.parquet --label finding --method ensemble --group patient

      errata audit votes.csv --annotations --set annotator=worker

      errata audit more-votes.csv --annotations --earlier votes-audit

      errata audit graph/ --method erase

      errata audit images/ --label masks/ --task segmentation --group '^[^_]+'

      errata audit new-photos/ --run run --method energy

      errata audit test.csv --label kind --run run --pred-probs probabilities.npy
    """
    from errata.audit import audit as find
    from errata.audit.folds import forget
    from errata.data import read
    from errata.errors import ParameterError
    from errata.storage import summary

    if engine is not None:
        _in_shards(talk, source, label, pred_probs, how.features, engine, folds, seed, out, force)
        return
    judged = run is not None and task is None and (method == "ensemble" or (method is None and label is not None))
    if task == "ood" or (run is not None and not judged):
        if run is None:
            raise ParameterError("--task ood scores data against a training run: give its folder with --run DIR.")
        reading = how.given()
        scoring = {"run": run, "reference": reference, "seed": seed, "device": device, **reading}
        scoring |= {"method": method or "energy", **options.assignments(settings)}
        _of_kind(talk, source, "ood", scoring, out, force)
        return
    if earlier is not None and not annotations:
        raise ParameterError("--earlier goes with --annotations: an earlier audit of several people's labels.")
    if task is not None or annotations:
        given = {"label": label, "pred_probs": pred_probs, "folds": folds, "seed": seed, "device": device}
        given |= {"earlier": earlier, "precision": precision, "groups": group, "jobs": jobs}
        if model != "auto":
            given["model"] = model
        parameters = {**options.assignments(settings), **{k: v for k, v in given.items() if v is not None}}
        _of_kind(talk, source, task, parameters, out, force)
        return
    reading = how.given()
    parameters = options.assignments(settings)
    if group is not None:
        reading["kinds"] = {group: "ignored", **reading.get("kinds", {})}
        parameters["groups"] = group
    given = {"jobs": jobs, "embeddings": embeddings, "precision": precision}
    parameters.update({name: value for name, value in given.items() if value is not None})
    room = None if method is None else _room_of(method)
    if room is not None:  # data of another kind, such as a graph, for a system of that kind
        read, findings = room.read, False
        reading |= options.taken_by(read, parameters)
    if judged:
        from errata.audit.by_run import read_for

        parameters["run"], data = read_for(run, source, label, device, **reading)
    else:
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
    if pred_probs is None and not judged and (method or "confident") in RESUMABLE:
        parameters["out"] = folder
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
        findings=findings,
        test=test,
        progress=talk.progress,
        **parameters,
    )
    ledger.save(folder)
    forget(folder)
    _show(talk, ledger, source, label, folder, system="elr" if room is None or method is None else method)
    talk.result({"out": str(folder), **summary(ledger)})


def _room_of(method: str | None) -> Any:
    """What reads and trains for the system of that name; None for what is no system, or one of plain classes."""
    from errata import engine, systems

    known = [card.slug for card in systems.list_systems()]
    return engine.room_of(method) if method in known else None


def _of_kind(
    talk: Talk, source: str, task: str | None, parameters: dict[str, Any], out: Path | None, force: bool
) -> None:
    from errata.audit import audit as find
    from errata.audit.folds import forget
    from errata.storage import summary

    hint = "Choose another --out, or use --force."
    folder = output_folder(talk, out, f"{stem_of(source)}-audit", taken_by=FILES, replace=force, hint=hint)
    label = parameters.get("label")
    if task in TRAINED and not any(name in parameters for name in ("pred_probs", "predictions")):
        parameters["out"] = folder
    if task == "multilabel" and isinstance(label, str) and "," in label:
        parameters["label"] = [name.strip() for name in label.split(",")]
    if task is None:
        ledger = find(annotations=source, progress=talk.progress, **parameters)
    else:
        ledger = find(source, task=task, progress=talk.progress, **parameters)
    ledger.save(folder)
    forget(folder)
    _show(talk, ledger, source, None, folder, trainable=False)
    talk.result({"out": str(folder), **summary(ledger)})


def _in_shards(
    talk: Talk,
    source: str,
    label: str | None,
    pred_probs: Path | None,
    features: str | None,
    engine: str,
    folds: int,
    seed: int,
    out: Path | None,
    force: bool,
) -> None:
    from errata.audit.sharded import audit_shards
    from errata.storage import summary

    stem = stem_of(source.rstrip("/*").replace("*", "") or "shards")
    hint = "Choose another --out, or use --force."
    folder = output_folder(talk, out, f"{stem}-audit", taken_by=(*FILES, "ledger"), replace=force, hint=hint)
    named = None if features is None else [name.strip() for name in features.split(",")]
    ledger = audit_shards(
        source,
        label=label,
        pred_probs=None if pred_probs is None else str(pred_probs),
        features=named,
        engine=engine,
        out=folder,
        folds=folds,
        seed=seed,
        progress=talk.progress,
    )
    _show(talk, ledger, source, label, folder, trainable=False)
    talk.result({"out": str(folder), **summary(ledger)})


def tell(talk: Talk, data: Data) -> None:
    """Say how the data were read."""
    for sentence in data.describe():
        talk.note(sentence)


def _show(
    talk: Talk,
    ledger: Ledger,
    source: str,
    label: str | None,
    folder: Path,
    *,
    trainable: bool = True,
    system: str = "elr",
) -> None:
    from errata.cli._show import confusions, ledger_panel, worst_rows

    talk.say(ledger_panel(ledger, source), worst_rows(ledger), confusions(ledger))
    talk.paths({Path(name).stem: folder / name for name in FILES})
    if not trainable:
        decide = shlex.join(["errata", "review", str(folder)])
        talk.say(f"\nNext: open {folder / 'report.html'} in a browser, or decide on what looks wrong:\n  {decide}")
        return
    talk.say(
        f"\nNext: open {folder / 'report.html'} in a browser, or train in spite of the wrong labels:\n"
        f"  {shlex.join(['errata', 'train', source, *(['--label', label] if label else []), '--system', system])}"
    )
