"""`errata systems`: the published systems at hand, or one card with its hyper-parameters."""

from __future__ import annotations

import inspect
import re
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from errata import systems as registry
from errata.cards import Card
from errata.cli._command import command
from errata.cli._talk import Talk
from errata.kinds import kind_of

__all__ = ["systems"]


@command
def systems(
    talk: Talk,
    slug: Annotated[str | None, typer.Argument(help="Show this system's card.", show_default=False)] = None,
    task: Annotated[str | None, typer.Option(help="Only those of a task, such as classification.")] = None,
    changes: Annotated[
        str | None, typer.Option(help="Only those that change a sample's loss, weight, target, input, model or query.")
    ] = None,
) -> None:
    """List the published systems, or show one card with its hyper-parameters.

    Examples:

      errata systems --changes target

      errata systems elr
    """
    if slug is not None:
        card = registry.card(slug)
        parameters = _hyperparameters(card)
        use = kind_of(card.task).command.format(slug=card.slug)
        talk.say(_card(card), _parameter_table(parameters), f"\nUse it: {use}")
        talk.result({**card.to_dict(), "hyperparameters": {name: value for name, value, _ in parameters}})
        return
    cards = registry.list_systems(task, changes)
    table = Table(box=None, header_style="bold dim", padding=(0, 2, 0, 0))
    for heading in ("system", "changes", "year", "what it does"):
        table.add_column(heading, no_wrap=heading in ("system", "year"), max_width=14 if heading == "changes" else None)
    for card in cards:
        what = Table.grid()
        what.add_row(f"[bold]{escape(card.name)}[/bold]")
        what.add_row(escape(card.summary))
        table.add_row(f"[cyan]{card.slug}[/cyan]", ", ".join(card.changes) or "-", str(card.year or "-"), what)
    talk.say(table, "\nOne of them in full, with its hyper-parameters: errata systems SLUG")
    talk.result([card.to_dict() for card in cards])


def _card(card: Card) -> Panel:
    lines = [escape(card.summary[:1].upper() + card.summary[1:] + "."), ""]
    for what, value in (
        ("task", card.task),
        ("changes", ", ".join(card.changes) or "nothing: it is the baseline"),
        ("needs", ", ".join(card.needs) or "a model and labels"),
        ("paper", card.paper),
        ("arXiv", f"https://arxiv.org/abs/{card.arxiv}" if card.arxiv else ""),
        ("class", card.path.replace(":", ".")),
    ):
        if value:
            lines.append(f"[bold]{what.ljust(7)}[/bold]  {escape(value)}")
    return Panel("\n".join(lines), title=f"[bold]{escape(card.name)}[/bold]", title_align="left", padding=(1, 2))


def _hyperparameters(card: Card) -> list[tuple[str, Any, str]]:
    """(name, default, what it does) of each hyper-parameter, the system's own first."""
    found = card.load()
    if hasattr(found, "hyperparameters"):
        defaults = dict(found.hyperparameters())
    else:
        kinds = (inspect.Parameter.KEYWORD_ONLY,)
        defaults = {p.name: p.default for p in inspect.signature(found).parameters.values() if p.kind in kinds}
    said: dict[str, str] = {}
    for ancestor in getattr(found, "__mro__", (found,)):
        if ancestor.__module__.startswith("errata."):
            said = {**_described(inspect.cleandoc(ancestor.__doc__ or "")), **said}
    defaults.pop("views", None)  # comes with the data, not from the user
    return [(name, value, said.get(name, "")) for name, value in defaults.items()]


def _described(doc: str) -> dict[str, str]:
    """What a NumPy docstring says of each parameter.

    Examples
    --------
    >>> _described("A.\\n\\nParameters\\n----------\\nlr, momentum : of the optimiser,\\n    both\\nviews : none")
    {'lr': 'of the optimiser, both', 'momentum': 'of the optimiser, both', 'views': 'none'}
    """
    section = re.search(r"Parameters\n-+\n(.*?)(?:\n\n\w+\n-+\n|\Z)", doc, flags=re.S)
    found: dict[str, str] = {}
    for names, text in re.findall(r"^(\w[\w, ]*?) : (.*(?:\n[ ].*)*)", section.group(1) if section else "", flags=re.M):
        found.update({name.strip(): " ".join(text.split()) for name in names.split(",")})
    return found


def _parameter_table(parameters: list[tuple[str, Any, str]]) -> Table:
    table = Table(box=None, header_style="bold dim", padding=(0, 2, 0, 0))
    table.add_column("--set", no_wrap=True)
    table.add_column("default", no_wrap=True)
    table.add_column("meaning")
    for name, value, meaning in parameters:
        table.add_row(f"[cyan]{escape(name)}[/cyan]", escape(str(value)), escape(meaning))
    return table
