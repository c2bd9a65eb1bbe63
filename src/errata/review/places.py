"""Where each row of a ledger is, and whether a record of decisions belongs to it."""

from __future__ import annotations

import hashlib

import numpy as np

from errata.errors import LedgerError
from errata.forms import task_of
from errata.ledger import Ledger
from errata.review.decisions import Decisions, Row

__all__ = ["Places", "check_owner"]


class Places:
    """Where each row is, by binary search: a million rows need no dictionary."""

    def __init__(self, index: np.ndarray) -> None:
        self.numbers = index.dtype.kind in "iu"
        names = index.astype(np.int64 if self.numbers else str)
        rising = bool((names[1:] > names[:-1]).all())
        self.sorter = None if rising else np.argsort(names, kind="stable")
        self.names = names if self.sorter is None else names[self.sorter]
        twice = self.names[1:][self.names[1:] == self.names[:-1]]
        if len(twice):
            raise LedgerError(
                f"A review needs each row once; the ledger's row {twice[0]} occurs more than once. "
                "Make the ledger anew, with an index of its own for each row."
            )

    def find(self, row: str | Row) -> int | None:
        if self.numbers:
            try:
                row = int(row)
            except ValueError:
                return None
            if not -(2**62) < row < 2**62:
                return None
        at = int(np.searchsorted(self.names, row if self.numbers else str(row)))
        if at == len(self.names) or self.names[at] != row:
            return None
        return at if self.sorter is None else int(self.sorter[at])


def check_owner(record: Decisions, ledger: Ledger) -> None:
    """A record belongs to the rows and the given labels that it was begun with; proposals and trust may change."""
    seen = hashlib.blake2b(digest_size=16)
    seen.update(repr([str(c) for c in ledger.classes]).encode())
    seen.update(np.ascontiguousarray(ledger.given).tobytes())
    index = ledger.index.astype(np.int64 if ledger.index.dtype.kind in "iu" else str)
    seen.update(np.ascontiguousarray(index).tobytes())
    known = record.about("ledger")
    if known is not None and known != seen.hexdigest():
        raise LedgerError(
            f"{record.path} holds decisions on other rows, or on other labels, than this ledger has. Were the data "
            "changed and audited anew in the same folder? Move that file away to begin a new review."
        )
    record.note_about("ledger", seen.hexdigest())
    record.note_about("task", task_of(ledger))  # tells how labels are compared
