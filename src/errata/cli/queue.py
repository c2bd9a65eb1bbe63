"""`errata queue`: which labels to look at, when only so many can be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._talk import Talk

if TYPE_CHECKING:
    from errata.audit.simulating import Simulation
    from errata.ledger import Ledger

__all__ = ["content_of", "queue"]

FILE = "queue.csv"
ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")


@command
def queue(
    talk: Talk,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of an audit or a training.", show_default=False)
    ],
    budget: Annotated[
        str, typer.Option(help="How many rows can be looked at: a number, or a share such as 5%.")
    ] = "5%",
    hierarchy: Annotated[
        str | None,
        typer.Option(
            help="The tree of the labels: a file (.csv .tsv .txt .json .graphml, also .gz), 'names' for labels such as "
            "coarse:fine ('names:/' for another separator), or 'confusion': labels that are mistaken for each other.",
            show_default=False,
        ),
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            help="What goes first: gd, ld or ratio (distance in the hierarchy), confidence, disagreement, votes, "
            "divergence, entropy, margin, opinion, trust, random; auto is gd with a hierarchy, opinion for several "
            "people's labels, and else trust."
        ),
    ] = "auto",
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", help="The folder of another audit or training of the same rows; repeatable."),
    ] = None,
    pred_probs: Annotated[
        list[str] | None,
        typer.Option(help="A .npy file of a model's out-of-sample probabilities (N, K); repeatable."),
    ] = None,
    aliases: Annotated[
        list[str] | None,
        typer.Option("--map", help="A label that the hierarchy calls otherwise, label=node; repeatable."),
    ] = None,
    unmapped: Annotated[
        str, typer.Option(help="Labels that are not in the hierarchy: 'error', or 'root': they stand beside it.")
    ] = "error",
    ties: Annotated[str, typer.Option(help="Among equal scores: the least 'trust' first, or the data's 'order'.")] = (
        "trust"
    ),
    power: Annotated[float, typer.Option(min=0, help="Of the confidence, in the rule ratio.")] = 0.0,
    truth: Annotated[
        str | None,
        typer.Option(
            help="Simulate: a column of the source with true labels, or a .npy file of them. Every rule is compared.",
            show_default=False,
        ),
    ] = None,
    exclude: Annotated[
        str | None, typer.Option(help="A label that means 'none of them', left out of the simulated F1.")
    ] = None,
    seed: options.Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="The queue: .csv, .tsv, .jsonl or .parquet.", show_default="DIR/queue.csv")
    ] = None,
    force: options.Force = False,
) -> None:
    """Put the rows in the order in which their labels should be looked at, as far as a budget goes.

    The order is kept with the ledger in DIR, and `errata review DIR` follows it.

    Examples:

      errata queue reviews-audit --budget 500

      errata queue relations-audit --budget 5% --hierarchy relations.csv --with lstm-run --with gcn-run

      errata queue trec-audit --hierarchy names --truth checked_label
    """
    from errata.audit.queue_file import queue_table, true_labels, write_queue
    from errata.audit.queueing import enqueue
    from errata.audit.simulating import simulate
    from errata.cli._places import output_file
    from errata.errors import ParameterError
    from errata.ledger import Ledger

    if unmapped not in ("error", "root"):
        raise ParameterError(f"--unmapped is 'error' or 'root'; got '{unmapped}'.")
    ledger = Ledger.load(folder)
    place = folder if folder.is_dir() else folder.parent
    target = place / FILE if out is None else output_file(out, ENDINGS, force=force)
    what: dict[str, Any] = {
        "hierarchy": _hierarchy(talk, hierarchy, ledger),
        "models": with_ or (),
        "pred_probs": pred_probs or (),
        "aliases": options.pairs(aliases or [], "--map", "label=node"),
        "missing": unmapped,
        "power": power,
    }
    found = enqueue(ledger, budget, rule=rule, ties=ties, seed=seed, **what)
    simulation = None
    if truth is not None:
        simulation = simulate(found, true_labels(ledger, truth, place), exclude=exclude, ties=ties, seed=seed, **what)
        found.charts = [c for c in found.charts if c.title != simulation.chart.title] + [simulation.chart]
    data = content_of(talk, found, place)
    write_queue(queue_table(found, data), target)
    found.data = data
    found.save(place, report=data is not None or not (place / "report.html").exists())
    _show(talk, found, simulation)
    talk.paths({"queue": target, "ledger": place / "ledger.parquet", "report": place / "report.html"})
    talk.say(f"\nNext: {_next(found, place, target)}")
    talk.result(_told(found, simulation, target))


def _next(ledger: Ledger, place: Path, target: Path) -> str:
    if not ledger.kind.names:
        return f"errata review {place}"
    return f"let more people label the items of {target}, and errata audit NEW --annotations --earlier {place}"


def _hierarchy(talk: Talk, told: str | None, ledger: Ledger) -> Any:
    from errata.data import hierarchy_from_confusion, hierarchy_from_names, read_hierarchy

    if told is None:
        return None
    if told == "confusion":
        return hierarchy_from_confusion(ledger.noise.joint.T, ledger.classes)
    if told == "names" or told.startswith("names:"):
        return hierarchy_from_names(ledger.classes, told[6:] or ":")
    found = read_hierarchy(told)
    for note in found.notes:
        talk.note(note)
    return found


def content_of(talk: Talk, ledger: Ledger, folder: Path, without: str = "The queue has row numbers only") -> Any:
    """The rows' content, for the queue and the report; without it both do with row numbers."""
    from errata.audit.queue_file import data_of
    from errata.errors import ErrataError

    try:
        data = data_of(ledger, folder)
    except ErrataError as error:
        talk.warn(f"{without}: {error}")
        return None
    if data is None and not ledger.kind.names:
        talk.note(f"{without}: the data that the ledger was made from are not here.")
    return data


def _show(talk: Talk, ledger: Ledger, simulation: Simulation | None) -> None:
    from rich.table import Table

    about = ledger.meta["queue"]
    talk.say(
        f"[bold]{about['rows']:,}[/bold] of {len(ledger):,} {ledger.kind.rows} are in the queue, by the rule "
        f"[bold]{about['rule']}[/bold]: {about['score']}."
    )
    talk.note(next(c.says for c in ledger.charts if c.title == "What the budget is expected to find"))
    if simulation is None:
        return
    talk.note(simulation.chart.says)
    shares = list(dict.fromkeys(record["budget"] for record in simulation.table))
    table = Table(box=None, header_style="bold dim", padding=(0, 2, 0, 0))
    table.add_column("rule")
    for share in shares:
        table.add_column(f"caught at {share:.0%}", justify="right")
        table.add_column("wrong", justify="right", style="dim")
    for name in simulation.curves:
        own = [record for record in simulation.table if record["rule"] == name]
        table.add_row(name, *(cell for r in own for cell in (f"{r['recall']:.1%}", f"{r['precision']:.0%}")))
    talk.say("\n[bold]Errors that each rule would have caught, and the share of wrong labels among those seen[/bold]")
    talk.say(table)


def _told(ledger: Ledger, simulation: Simulation | None, target: Path) -> dict[str, Any]:
    expected = next(c for c in ledger.charts if c.title == "What the budget is expected to find")
    told: dict[str, Any] = {"out": str(target), **ledger.meta["queue"], "expected": expected.says}
    if simulation is not None:
        told["simulation"] = {
            "rows": len(simulation.is_error),
            "errors": simulation.errors,
            "rules": [
                {k: None if isinstance(v, float) and v != v else v for k, v in record.items()}
                for record in simulation.table
            ],
        }
    return told
