"""``compare``: two runs or ledgers side by side: what changed between them, and what it gave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.correct.measured import Paired, figures_of, held_out_note, tested
from errata.correct.sides import Side, common_rows, side
from errata.labels import MISSING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare"]

SHIFT = 0.01
"""A change of trust by less is no change."""


@dataclass(frozen=True)
class Comparison:
    """What differs between ``a`` and ``b``.

    Attributes
    ----------
    a, b : their names
    counts : rows in both, only in one; labels changed; issues new, gone and still there; proposals changed
    figures : rows of (figure, value in a, value in b); None where one has it not
    trust : how the trust in the given labels moved, over the rows that both have: mean and median shift, the shares
        that have risen and fallen, rank correlation
    rows : DataFrame of the rows whose given label, proposal or issue changed, the largest change of trust first
    confusion : DataFrame, how many labels went from which class (line) to which (column)
    test : both on the same test rows, where that was asked for
    notes : what to mind when reading the figures

    Examples
    --------
    >>> from errata.ledger import Ledger
    >>> before = Ledger([0, 1, 1], [0, 0, 1], [0.9, 0.1, 0.8], classes=["cat", "dog"])
    >>> after = Ledger([0, 0, 1], [0, 0, 1], [0.9, 0.9, 0.8], classes=["cat", "dog"])
    >>> found = compare(before, after)
    >>> found.counts["labels_changed"], found.counts["issues_gone"]
    (1, 1)
    """

    a: str
    b: str
    counts: dict[str, int]
    figures: list[tuple[str, Any, Any]]
    trust: dict[str, float | None]
    rows: pd.DataFrame
    confusion: pd.DataFrame
    test: Paired | None = None
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return (
            f"<Comparison: {self.a} and {self.b}, {self.counts['rows_in_both']:,} rows in both, "
            f"{self.counts['labels_changed']:,} labels changed>"
        )

    def __str__(self) -> str:
        lines = [f"a = {self.a}", f"b = {self.b}", ""]
        shown = [("", "a", "b", "b - a")] + [
            (name.replace("_", " "), number(one), number(other), difference(one, other))
            for name, one, other in self.figures
        ]
        widths = [max(len(line[i]) for line in shown) for i in range(4)]
        for line in shown:
            cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
            lines.append("  ".join(cells).rstrip())
        lines += ["", *(f"{name.replace('_', ' ')}: {count:,}" for name, count in self.counts.items())]
        lines += [f"trust {name}: {number(value)}" for name, value in self.trust.items()]
        if self.test is not None:
            lines.append(self.test.sentence())
        return "\n".join([*lines, *self.notes])

    def as_dict(self) -> dict[str, Any]:
        """In plain types, for JSON."""
        return {
            "a": self.a,
            "b": self.b,
            "counts": self.counts,
            "figures": {name: {"a": one, "b": other} for name, one, other in self.figures},
            "trust": self.trust,
            "rows": [
                {"row": row, **values} for row, values in zip(self.rows.index.tolist(), self.rows.to_dict("records"))
            ],
            "confusion": {
                "classes": self.confusion.columns.tolist(),
                "counts": self.confusion.to_numpy().tolist(),
            },
            "test": None if self.test is None else self.test.as_dict(),
            "notes": self.notes,
        }


def compare(a: Any, b: Any, *, test: Any = None, label: str | None = None, device: str = "auto") -> Comparison:
    """Compare two runs or ledgers.

    Rows are matched by their number in the data. Where ``b`` was made from the corrected data of ``errata.apply``, from
    which rows were dropped, their provenance tells which row is which.

    Parameters
    ----------
    a, b : a ``Ledger``, a ``Run``, or a folder of one; the earlier first
    test : labelled data that neither has seen, a file, a folder or ``Data``: both runs predict it, and their accuracies
        are compared row by row
    label : the label's column in ``test``; by default that of the runs
    device : where to predict

    Returns
    -------
    Comparison
        ``print`` it for a table; ``as_dict()`` for JSON

    Raises
    ------
    LedgerError
        where a folder holds none
    LoadError
        where ``test`` is given and one of the two is no run
    """
    one, other = side(a), side(b)
    left, right, matched = common_rows(one, other)
    classes = list(dict.fromkeys(str(name) for name in (*one.ledger.classes, *other.ledger.classes)))
    columns = {"a": _columns(one, left, classes), "b": _columns(other, right, classes)}
    counts = _counts(one, other, columns, len(left))
    found = tested(one, other, test, label, device) if test is not None else None
    figures, notes = figures_of(one, other, found)
    return Comparison(
        one.name,
        other.name,
        counts,
        figures,
        _trust(columns["a"]["trust"], columns["b"]["trust"]),
        _rows(one.ledger.index[left], columns, classes),
        _confusion(columns, classes),
        found,
        [*matched, *notes, *held_out_note(one, other, left, right, columns)],
    )


def _columns(one: Side, places: np.ndarray, classes: list[str]) -> dict[str, np.ndarray]:
    """The ledger's columns at the common rows, with classes of both."""
    ledger = one.ledger
    lookup = np.array([classes.index(str(name)) for name in ledger.classes] + [MISSING], dtype=np.int64)
    return {
        "given": lookup[ledger.given[places]],
        "proposed": lookup[ledger.proposed[places]],
        "trust": ledger.trust[places].astype(np.float64),
        "issue": ledger.issue[places],
    }


def _counts(one: Side, other: Side, columns: dict[str, dict[str, np.ndarray]], both: int) -> dict[str, int]:
    a, b = columns["a"], columns["b"]
    return {
        "rows_in_both": both,
        "rows_only_in_a": len(one.ledger) - both,
        "rows_only_in_b": len(other.ledger) - both,
        "labels_changed": int((a["given"] != b["given"]).sum()),
        "proposals_changed": int((a["proposed"] != b["proposed"]).sum()),
        "issues_new": int((~a["issue"] & b["issue"]).sum()),
        "issues_gone": int((a["issue"] & ~b["issue"]).sum()),
        "issues_in_both": int((a["issue"] & b["issue"]).sum()),
    }


def _trust(a: np.ndarray, b: np.ndarray) -> dict[str, float | None]:
    known = ~(np.isnan(a) | np.isnan(b))
    a, b = a[known], b[known]
    if not len(a):
        return {"mean_shift": None, "median_shift": None, "risen": None, "fallen": None, "rank_correlation": None}
    shift = b - a
    return {
        "mean_shift": float(shift.mean()),
        "median_shift": float(np.median(shift)),
        "risen": float((shift > SHIFT).mean()),
        "fallen": float((shift < -SHIFT).mean()),
        "rank_correlation": _rank_correlation(a, b),
    }


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's; None where one side is the same everywhere."""
    from scipy.stats import rankdata

    first, second = rankdata(a), rankdata(b)
    if first.std() == 0 or second.std() == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _rows(index: np.ndarray, columns: dict[str, dict[str, np.ndarray]], classes: list[str]) -> pd.DataFrame:
    import pandas as pd

    a, b = columns["a"], columns["b"]
    changed = np.flatnonzero((a["given"] != b["given"]) | (a["proposed"] != b["proposed"]) | (a["issue"] != b["issue"]))
    shift = np.nan_to_num(np.abs(b["trust"] - a["trust"]))[changed]
    changed = changed[np.argsort(-shift, kind="stable")]
    names = np.array([*classes, None], dtype=object)  # -1 picks the last, None
    table: dict[str, Any] = {}
    for what in ("given", "proposed", "trust", "issue"):
        for which in ("a", "b"):
            values = columns[which][what][changed]
            table[f"{what}_{which}"] = names[values] if what in ("given", "proposed") else values
    return pd.DataFrame(table, index=pd.Index(index[changed], name="row"))


def _confusion(columns: dict[str, dict[str, np.ndarray]], classes: list[str]) -> pd.DataFrame:
    import pandas as pd

    a, b = columns["a"]["given"], columns["b"]["given"]
    changed = (a != b) & (a != MISSING) & (b != MISSING)
    k = len(classes)
    counts = np.bincount(a[changed] * k + b[changed], minlength=k * k).reshape(k, k)
    return pd.DataFrame(counts, index=pd.Index(classes, name="a"), columns=pd.Index(classes, name="b"))


def number(value: Any) -> str:
    """A figure for people.

    Examples
    --------
    >>> number(0.123456), number(1200), number(None)
    ('0.1235', '1,200', '-')
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def difference(a: Any, b: Any) -> str:
    """The difference of two figures for people, signed; nothing where one is missing.

    Examples
    --------
    >>> difference(0.5, 0.75), difference(3, 1), difference(None, 1)
    ('+0.2500', '-2', '')
    """
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return f"{b - a:+,}" if isinstance(a, int) and isinstance(b, int) else f"{b - a:+.4f}"
    return ""
