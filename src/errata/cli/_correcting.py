"""How corrections and comparisons look on a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from errata.correct.compare import Comparison, difference, number
from errata.correct.outcome import Outcome

__all__ = ["changed_rows", "counted", "diff_table", "figures_table"]

SHOWN = 40  # rows of a diff on a terminal
WIDTH = 60  # characters of a record


def counted(outcome: Outcome) -> str:
    """What was done, in a sentence."""
    words = {
        "relabelled": "relabelled",
        "filled": "given a first label",
        "dropped": "dropped",
        "left_in": "left in against the decision",
        "kept": "kept as decided",
    }
    said = [f"{outcome.counts[name]:,} {word}" for name, word in words.items() if outcome.counts[name]]
    would = "" if outcome.written else "It would be: "
    rows = f"{outcome.rows_before:,} rows before, {outcome.rows_after:,} after"
    return f"{would}{', '.join(said) or 'nothing decided'}; {rows}."


def diff_table(outcome: Outcome) -> RenderableType:
    """The first changes, with the record where the source is text."""
    if not outcome.changed:
        return ""
    records = {one.row: one.before for one in outcome.differences}
    table = _table("row", "given", "becomes", "who", "why", "record" if records else "")
    for change in outcome.provenance.changes[:SHOWN]:
        record = " ".join(records.get(change.row, "").split())
        table.add_row(
            str(change.row),
            f"[red]{escape(change.old or '(no label)')}[/red]",
            f"[green]{escape(change.new)}[/green]" if change.new else "[yellow](dropped)[/yellow]",
            escape(change.who),
            escape(change.why),
            escape(record if len(record) <= WIDTH else record[: WIDTH - 1] + "…"),
        )
    more = len(outcome.provenance) - SHOWN
    return Group(table, f"... and {more:,} more; `--json` or a pipe shows all") if more > 0 else table


def figures_table(found: Comparison) -> RenderableType:
    """Both sides' figures, what changed between the ledgers, and how trust moved."""
    table = _table("", "a", "b", "b - a")
    for name, one, other in found.figures:
        table.add_row(f"[bold]{name.replace('_', ' ')}[/bold]", number(one), number(other), difference(one, other))
    changes = _table("", "rows")
    for name, count in found.counts.items():
        changes.add_row(f"[bold]{name.replace('_', ' ')}[/bold]", f"{count:,}")
    trust = _table("trust in the given label", "")
    for name, value in found.trust.items():
        trust.add_row(f"[bold]{name.replace('_', ' ')}[/bold]", number(value))
    heading = f"a = {escape(found.a)}\nb = {escape(found.b)}\n"
    return Group(heading, table, "", changes, "", trust)


def changed_rows(found: Comparison, count: int) -> RenderableType:
    """The rows that changed most."""
    if not len(found.rows) or not count:
        return ""
    table = _table("row", "given", "proposed", "trust", "issue")
    for row, values in zip(found.rows.index[:count], found.rows.head(count).to_dict("records")):
        cells = [_pair(values[f"{name}_a"], values[f"{name}_b"]) for name in ("given", "proposed")]
        trust = f"{values['trust_a']:.3f} → {values['trust_b']:.3f}"
        issue = _pair(*("yes" if values[f"issue_{side}"] else "no" for side in "ab"))
        table.add_row(str(row), *cells, trust, issue)
    more = len(found.rows) - count
    parts: list[RenderableType] = ["\n[bold]The rows that changed most[/bold]", table]
    return Group(*parts, f"... and {more:,} more; --rows shows more, --json all") if more > 0 else Group(*parts)


def _pair(one: object, other: object) -> str:
    first, second = ("-" if value is None else escape(str(value)) for value in (one, other))
    return first if first == second else f"[red]{first}[/red] → [green]{second}[/green]"


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold dim", padding=(0, 2, 0, 0))
    for heading in headings:
        right = heading in ("row", "rows", "a", "b", "b - a")
        table.add_column(heading, justify="right" if right else "left", overflow="ellipsis", no_wrap=heading != "why")
    return table
