"""What is compared: a ledger with the figures that go with it, and which row of one is which of the other."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from errata.correct.places import provenance_of
from errata.correct.provenance import Provenance
from errata.errors import LoadError, ParameterError
from errata.ledger import Ledger
from errata.storage import source_path

__all__ = ["Side", "common_rows", "side"]


@dataclass(frozen=True)
class Side:
    """One of the two.

    Parameters
    ----------
    name : the folder, or what it is
    ledger : its ledger
    metrics : a run's figures; empty for a ledger
    folder : where it lies, if it does
    run : the run itself, if it is in memory
    """

    name: str
    ledger: Ledger
    metrics: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    run: Any = None

    @property
    def source(self) -> Path | None:
        """The data that it was made from, if they are there."""
        return source_path(self.ledger.meta, self.folder)


def side(what: Any) -> Side:
    """A ledger, a run, or the folder of either.

    Raises
    ------
    LedgerError
        where a folder holds no ledger
    """
    if isinstance(what, Ledger):
        return Side(str(what.meta.get("source") or "the ledger"), what)
    if isinstance(what, (str, os.PathLike)):
        place = Path(what).expanduser()
        folder = place if place.is_dir() else place.parent
        return Side(str(what), Ledger.load(place), _metrics(folder / "metrics.json"), folder)
    if hasattr(what, "ledger") and hasattr(what, "metrics"):
        return Side(
            f"{what.metrics.get('system', 'run')} on {what.about.get('source', 'data')}",
            what.ledger,
            what.metrics,
            run=what,
        )
    raise ParameterError(f"Expected a ledger, a run, or the folder of one; got {type(what).__name__}.")


def _metrics(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LoadError(f"{file} can't be read as JSON: {error}. Train again, or bring the file back.") from error
    return content if isinstance(content, dict) else {}


def common_rows(a: Side, b: Side) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Where the rows that both have stand in each ledger, and what is to be said of how they were matched."""
    notes: list[str] = []
    rows_a, rows_b = a.ledger.index, b.ledger.index
    if _elsewhere(a, b):
        for one, other in ((b, a), (a, b)):
            mapped, note = _origins(one, other)
            notes += note
            if mapped is not None and one is b:
                rows_b = mapped
            elif mapped is not None:
                rows_a = mapped
    if any("can't be matched" in note for note in notes):
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, notes
    if rows_a.dtype.kind not in "iu" or rows_b.dtype.kind not in "iu":
        rows_a, rows_b = rows_a.astype(str), rows_b.astype(str)
    _, left, right = np.intersect1d(rows_a, rows_b, assume_unique=True, return_indices=True)
    if len(left) < max(len(rows_a), len(rows_b)):
        only = f"{len(rows_a) - len(left):,} rows are only in a, {len(rows_b) - len(left):,} only in b"
        notes.append(f"Rows are matched by their numbers; {only}.")
    return left, right, notes


def _elsewhere(a: Side, b: Side) -> bool:
    """Whether they come from different files."""
    return a.source is not None and b.source is not None and a.source.resolve() != b.source.resolve()


def _origins(one: Side, other: Side) -> tuple[np.ndarray | None, list[str]]:
    """The numbers that the rows had before correcting, where the source of ``one`` is the corrected data of "
    "``other``'s."""
    source = one.source
    changes = None if source is None else Provenance.read(provenance_of(source))
    if changes is None or source is None:
        return None, []
    if source.is_dir() and "new_file" in changes.further:
        return None, [
            f"{source} is a corrected folder, whose files are in another order: rows can't be matched, only totals."
        ]
    dropped = [int(change.row) for change in changes.changes if not change.new]
    if not dropped or one.ledger.index.dtype.kind not in "iu":
        return None, []
    if len(one.ledger) + len(dropped) != len(other.ledger):
        return None, []
    before = np.setdiff1d(np.arange(len(one.ledger) + len(dropped)), dropped)
    note = f"{len(dropped):,} rows were dropped from {source}; the others are matched as its provenance tells."
    return before[one.ledger.index], [note]
