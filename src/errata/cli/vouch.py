"""`errata vouch`: what rows checked at random say of all labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._talk import Talk

if TYPE_CHECKING:
    from errata.vouching import Vouched

__all__ = ["vouch"]

SHARES = (0.5, 0.7, 0.9)


@command
def vouch(
    talk: Talk,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of an audit or a training.", show_default=False)
    ],
    decisions: Annotated[
        str | None,
        typer.Option(
            help="A table of (row, action, label): .csv, .tsv, .jsonl, .parquet, or a review's decisions.sqlite.",
            show_default="DIR/decisions.sqlite",
        ),
    ] = None,
    seed: options.Seed = 0,
) -> None:
    """Say how many labels are wrong, and how precise the list is, by rows that people checked at random.

    An estimate from the labels alone can't see errors that a model makes too. This can: decide on rows in a random
    order (`errata review DIR --random 100`), as many as you like from 20 on, then run this. What was decided at the
    head of the list counts too. The ledger and the report in DIR are brought up to date.

    Examples:

      errata vouch reviews-audit

      errata vouch reviews-audit --decisions checked.csv
    """
    import errata
    from errata.cli.queue import content_of

    ledger = errata.vouch(folder, decisions, seed=seed)
    place = folder if folder.is_dir() else folder.parent
    ledger.data = content_of(talk, ledger, place, "The report has row numbers only")
    ledger.save(place, report=ledger.data is not None or not (place / "report.html").exists())
    found = ledger.vouched
    assert found is not None
    _show(talk, found, len(ledger), int(ledger.issue.sum()))
    talk.paths({"ledger": place / "ledger.parquet", "report": place / "report.html"})
    talk.result({"out": str(place), **told(found, int(ledger.issue.sum()))})


def _show(talk: Talk, found: Vouched, rows: int, issues: int) -> None:
    between = f"between {found.errors_low:,.0f} and {found.errors_high:,.0f} in 9 cases of 10"
    talk.say(
        f"[bold]{found.checked:,}[/bold] rows were checked at random. Of {rows:,}, about "
        f"[bold]{found.errors:,.0f}[/bold] have a wrong label; {between}, whatever the errors are like."
    )
    if issues:
        at = found.at(issues)
        talk.say(
            f"Of the {issues:,} suspicious ones, about {at['precision']:.0%} are wrong ({at['low']:.0%} to "
            f"{at['high']:.0%}); once they are put right, about {at['left']:,.0f} are left."
        )
    for share in SHARES:
        if found.rows_for(share):
            talk.note(f"Of the first {found.rows_for(share):,} rows of the list at least {share:.0%} are wrong.")


def told(found: Vouched, issues: int) -> dict[str, Any]:
    """What ``--json`` says."""
    return {
        "checked": found.checked,
        "errors": round(found.errors, 1),
        "errors_low": round(found.errors_low, 1),
        "errors_high": round(found.errors_high, 1),
        "issues": {name: round(value, 4) for name, value in found.at(issues).items()} if issues else None,
        "rows_for": {str(share): found.rows_for(share) for share in SHARES},
    }
