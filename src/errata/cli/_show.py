"""How a ledger and metrics look on a terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from errata.kinds import KINDS
from errata.ledger import Ledger

__all__ = ["confusions", "ledger_panel", "metrics_table", "shown_trust", "worst_rows"]

UNVOUCHED = (
    "[dim]How many of these are truly wrong, nobody vouches for. Rows checked at random tell: `errata review DIR "
    "--random 100`, then `errata vouch DIR`.[/dim]"
)
NUMBERS = {"trust", *(word for kind in KINDS.values() for word in (kind.row, kind.rows))}
PREVIEW = 60  # characters of a row's content


def ledger_panel(ledger: Ledger, title: str) -> Panel:
    """The ledger in four lines."""
    labelled = int((ledger.given >= 0).sum())
    issues = int(ledger.issue.sum())
    lines = [
        f"[bold]{ledger.kind.rows:<19}[/bold]{len(ledger):,}" + _unlabelled(len(ledger) - labelled),
        f"[bold]classes[/bold]            {len(ledger.classes)}: {escape(_few(ledger.classes))}",
        f"[bold]estimated noise[/bold]    {ledger.noise.rate:.1%} of the labels",
        f"[bold]suspicious labels[/bold]  {issues:,}" + (f" ({issues / labelled:.1%})" if labelled else ""),
        *_vouched(ledger, issues),
    ]
    if not ledger.kind.classed:
        what = ledger.kind
        lines[1:] = [
            f"[bold]look {what.wrong:<14}[/bold]{issues:,}" + (f" ({issues / labelled:.1%})" if labelled else ""),
            f"[bold]are {what.wrong:<15}[/bold]{ledger.noise.rate:.1%}, as estimated from all of them",
        ]
    return Panel("\n".join(lines), title=f"[bold]{escape(title)}[/bold]", title_align="left", padding=(1, 2))


def _vouched(ledger: Ledger, issues: int) -> list[str]:
    """How many of the suspicious ones are wrong, as far as can be vouched for, and when that can't be believed."""
    v = ledger.vouched
    if v is None or not len(v.n):
        return [*_held_out(ledger), *([UNVOUCHED] if issues and ledger.kind.classed else [])]
    lines = []
    if issues:
        at = v.at(issues)
        lines = [f"[bold]truly wrong[/bold]        at least {at['low']:.0%} of these, about {at['precision']:.0%}"]
    lines.append(f"[bold]wrong in all[/bold]       about {v.errors:,.0f}, {v.errors_low:,.0f} to {v.errors_high:,.0f}")
    if v.checked:
        return [*lines, f"                   by {v.checked:,} rows checked at random"]
    return [*lines, *(f"[dim]{escape(note)}[/dim]" for note in v.notes)]


def _held_out(ledger: Ledger) -> list[str]:
    """How many labels are wrong, by the rows that a training held out."""
    told = ledger.meta.get("held_out")
    if not isinstance(told, dict):
        return []
    labelled = int((ledger.given >= 0).sum())
    about, low, high = (labelled * float(told[name]) for name in ("share", "low", "high"))
    told_by = f"                   by the {told['rows']:,} rows held out, which the model has not seen"
    return [f"[bold]wrong in all[/bold]       about {about:,.0f}, {low:,.0f} to {high:,.0f},", told_by]


def worst_rows(ledger: Ledger, count: int = 10) -> RenderableType:
    """The rows to look at first, with a glimpse of each where the data are at hand."""
    rows = ledger.order[: min(count, int(ledger.issue.sum()))]
    if not len(rows):
        return f"\nNo {ledger.kind.judged} looks {ledger.kind.wrong}."
    table = _table(ledger.kind.row, "given", "proposed", "trust", "preview" if ledger.data is not None else "")
    for position in rows:
        given, proposed = (str(ledger.classes[codes[position]]) for codes in (ledger.given, ledger.proposed))
        table.add_row(
            escape(ledger.called(position)),
            f"[red]{escape(given)}[/red]",
            f"[green]{escape(proposed)}[/green]",
            shown_trust(ledger.trust[position]),
            escape(_glimpse(ledger.data, int(position))),
        )
    return Group("\n[bold]Look at these first[/bold]", table)


def confusions(ledger: Ledger, count: int = 5) -> RenderableType:
    """The pairs of classes that are mistaken for each other most, among the suspicious rows."""
    if not ledger.kind.classed:
        return ""
    k = len(ledger.classes)
    flagged = ledger.issue & (ledger.proposed >= 0)
    pairs = np.bincount(ledger.given[flagged].astype(np.int64) * k + ledger.proposed[flagged], minlength=k * k)
    order = np.argsort(-pairs, kind="stable")[:count]
    order = order[pairs[order] > 0]
    if not len(order):
        return ""
    table = _table("given", "probably", "rows")
    for pair in order:
        table.add_row(escape(str(ledger.classes[pair // k])), escape(str(ledger.classes[pair % k])), f"{pairs[pair]:,}")
    return Group("\n[bold]Most confused[/bold]", table)


def metrics_table(metrics: dict[str, dict[str, Any]]) -> Table:
    """Metrics as rows, one column per thing measured.

    Parameters
    ----------
    metrics : {"test": {"accuracy": 0.97, ...}, ...}
    """
    told = (column.items() for column in metrics.values())
    names = list(dict.fromkeys(name for items in told for name, value in items if not isinstance(value, dict)))
    table = _table("", *metrics)
    for name in names:
        table.add_row(
            f"[bold]{name.replace('_', ' ')}[/bold]", *(_number(column.get(name)) for column in metrics.values())
        )
    return table


def shown_trust(trust: float) -> str:
    """A trust with three digits.

    Examples
    --------
    >>> shown_trust(0.0314), shown_trust(0.0001)
    ('0.031', '<0.001')
    """
    return f"{trust:.3f}" if trust >= 0.0005 else "<0.001"


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold dim", padding=(0, 2, 0, 0))
    for heading in headings:
        right = heading in NUMBERS
        wide = heading in ("given", "proposed", "probably")  # long class names give way to numbers and content
        table.add_column(
            heading,
            justify="right" if right else "left",
            no_wrap=heading != "preview",
            overflow="ellipsis",
            min_width=6 if right else 16 if heading == "preview" else None,
            max_width=20 if wide else None,
        )
    return table


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else escape(str(value))


def _unlabelled(count: int) -> str:
    return f", {count:,} of them without a label" if count else ""


def _few(classes: list[Any], count: int = 8) -> str:
    shown = ", ".join(str(c) for c in classes[:count])
    return shown + (", ..." if len(classes) > count else "")


def _glimpse(data: Any, position: int) -> str:
    if data is None:
        return ""
    preview = data.preview(position)
    if preview.row is not None and preview.text is None:
        text = ", ".join(f"{name}={value}" for name, value in preview.row.items() if name != data.label_name)
    else:
        text = preview.text or ("(image)" if preview.png is not None else "")
    text = " ".join(text.split())
    return text if len(text) <= PREVIEW else text[: PREVIEW - 1] + "…"
