"""The provenance of corrected data: which row was changed from what to what, by whom, when and why."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "PART", "Change", "Provenance"]

COLUMNS = ("row", "old", "new", "who", "when", "why")

PART = "part"
"""The further column of a provenance: which part of an item's label was changed."""


class Change(NamedTuple):
    """A row that was changed.

    Parameters
    ----------
    row : its number in the data as they were
    old : its label as it was; "" where it had none
    new : its label now; "" where the row was dropped
    who, when, why : as the decision tells; ``why`` begins with "relabel" or "drop"
    """

    row: Any
    old: str
    new: str
    who: str
    when: str
    why: str


@dataclass
class Provenance:
    """All changes, in the order of the rows.

    Examples
    --------
    >>> changes = Provenance([Change(3, "cat", "dog", "ann", "2025-01-01T00:00:00+00:00", "relabel")])
    >>> list(changes.table()["new"])
    ['dog']
    """

    changes: list[Change]
    further: dict[str, list[str]] = field(default_factory=dict)
    """More columns, such as the files of a folder."""

    def __len__(self) -> int:
        return len(self.changes)

    def table(self) -> pd.DataFrame:
        """A row per change: row, old, new, who, when, why."""
        import pandas as pd

        columns = zip(*self.changes) if self.changes else [[] for _ in COLUMNS]
        return pd.DataFrame({**dict(zip(COLUMNS, map(list, columns))), **self.further})

    def same_changes(self, other: Provenance) -> bool:
        """Whether both change the same rows to the same labels."""
        return [_what(c) for c in self.changes] == [_what(c) for c in other.changes]

    def write(self, path: Path) -> None:
        """Write the table as UTF-8 CSV."""
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*COLUMNS, *self.further])
            for i, change in enumerate(self.changes):
                writer.writerow([*change, *(values[i] for values in self.further.values())])

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Provenance | None:
        """The provenance in a file; None where there is none that can be read."""
        try:
            with open(path, encoding="utf-8", newline="") as file:
                lines = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error):
            return None
        if any(not _complete(line) for line in lines):
            return None
        return cls([Change(*(line[name] for name in COLUMNS)) for line in lines], _further(lines))


def _complete(line: Mapping[str, Any]) -> bool:
    return all(isinstance(line.get(name), str) for name in COLUMNS)


def _further(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    names = [name for name in (lines[0] if lines else ()) if name not in COLUMNS and isinstance(name, str)]
    return {name: [line[name] for line in lines] for name in names}


def _what(change: Change) -> tuple[str, str, str]:
    return str(change.row), change.old, change.new
