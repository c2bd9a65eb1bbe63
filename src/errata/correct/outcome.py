"""What came of correcting: counts, the provenance, and the differences for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errata.correct.places import provenance_of
from errata.correct.provenance import PART, Provenance
from errata.correct.source import Difference

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What ``apply_to_file`` did, or, tried out, would have done.

    Parameters
    ----------
    source, out : from where to where; ``out`` is None where nothing was to be written
    label : the label's column
    rows_before, rows_after : how many rows they have
    counts : relabelled, filled (a first label), dropped, left_in (not dropped, though decided), kept (as decided)
    changed : how many rows of the source were changed or dropped now; 0 where all was done before
    provenance : what is changed in all
    differences : the records of a text file that change, where it was tried out
    notes : what a person should know
    written : whether anything was written
    """

    source: Path
    out: Path | None
    label: str
    rows_before: int
    rows_after: int
    counts: dict[str, int]
    changed: int
    provenance: Provenance
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    written: bool = True

    def diff(self) -> Iterator[str]:
        """The lines of a unified diff.

        Of text files it is what ``diff -U0`` would say of the two, so that ``patch`` takes it; of others it shows the
        labels.
        """
        if not self.changed:
            return
        yield f"--- {self.source}"
        yield f"+++ {self.out or self.source}"
        if self.differences:
            yield from _of_records(self.differences)
            return
        parts = self.provenance.further.get(PART)
        for i, change in enumerate(self.provenance.changes):
            yield f"@@ row {change.row}{f', {parts[i]}' if parts and parts[i] else ''} @@"
            if change.old or parts is None:  # a part that is new has nothing before it
                yield f"-{self.label}: {change.old}"
            if change.new:
                yield f"+{self.label}: {change.new}"

    def as_dict(self) -> dict[str, Any]:
        """In plain types, for JSON."""
        return {
            "source": str(self.source),
            "out": None if self.out is None else str(self.out),
            "provenance": str(provenance_of(self.out)) if self.out is not None and self.written else None,
            "label": self.label,
            "rows_before": self.rows_before,
            "rows_after": self.rows_after,
            **self.counts,
            "changed": self.changed,
            "written": self.written,
            "notes": self.notes,
            "changes": [change._asdict() for change in self.provenance.changes],
        }


def _of_records(differences: list[Difference]) -> Iterator[str]:
    shift = 0
    for one in differences:
        before = one.before.split("\n")
        after = [] if one.after is None else one.after.split("\n")
        start = one.line + shift - (not after)
        yield f"@@ -{_range(one.line, len(before))} +{_range(start, len(after))} @@"
        for sign, lines in (("-", before), ("+", after)):
            yield from (f"{sign}{line}" for line in lines)
            if lines and not one.ended:
                yield "\\ No newline at end of file"
        shift += len(after) - len(before)


def _range(start: int, count: int) -> str:
    return f"{start}" if count == 1 else f"{start},{count}"
