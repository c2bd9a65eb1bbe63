"""The durable record of what people decided: one SQLite file beside the ledger.

Nothing in it is ever changed or removed. A decision is a line that is added; undoing one adds a line elsewhere that
says so; what stands is worked out from both. A decision is on the disk before it is acknowledged (in SQLite's
write-ahead log, flushed), so neither a killed server nor a power cut loses one. Where many decide at once, one flush
serves all who wait for it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.errors import ErrataError, ParameterError, UnknownNameError
from errata.forms.agreeing import Alike, alike_for
from errata.review import _tables
from errata.review._log import WriteAheadLog
from errata.review._schema import check_owner, explained, make_tables
from errata.review.agreement import Agreement, agree, consensus

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ACTIONS", "FILE", "Decision", "Decisions", "Row"]

FILE = "decisions.sqlite"
ACTIONS = ("keep", "relabel", "drop", "skip")
BUSY = 15.0  # seconds to wait for another process that writes to the same file

Row = int | str
"""What a row is called: its number in the data, or its name where the ledger's index holds names."""

_LAST = "reviewer = ? AND undone IS NULL ORDER BY id DESC LIMIT 1"
_ONE = "reviewer = ? AND id = ?"
_COLUMNS = 'id, row, action, label, reviewer, "when", note, undone'


@dataclass(frozen=True)
class Decision:
    """What one reviewer decided on one row.

    Parameters
    ----------
    id : counts up over the whole record
    row : the row's number (or name) in the data
    action : "keep", "relabel", "drop" or "skip"
    label : the new class, as text, for "relabel"; else None
    reviewer : who decided
    when : the time in UTC, ISO 8601
    note : what the reviewer wanted to add
    undone : when it was taken back; None where it stands
    """

    id: int
    row: Row
    action: str
    label: str | None
    reviewer: str
    when: str
    note: str = ""
    undone: str | None = None


class Decisions:
    """The decisions on a ledger's rows, in ``decisions.sqlite``.

    Safe to use from many threads, and from many processes at once.

    Parameters
    ----------
    path : the file, or the folder that holds (or shall hold) ``decisions.sqlite``

    Raises
    ------
    LedgerError
        where the file is damaged, foreign or of a newer errata
    ErrataError
        where it can't be opened or written

    Examples
    --------
    >>> import tempfile
    >>> record = Decisions(tempfile.mkdtemp())
    >>> record.add(17, "relabel", "dog", reviewer="ann").id
    1
    >>> record.add(4, "drop", reviewer="ann").row
    4
    >>> record.undo("ann").action
    'drop'
    >>> record.table()[["row", "action", "label", "reviewer"]]
       row   action label reviewer
    0   17  relabel   dog      ann
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.path = path / FILE if path.is_dir() or not path.suffix else path
        self.lock = threading.RLock()
        self._depth = 0
        self._log = WriteAheadLog(self.path)
        try:
            self._db = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise ErrataError(
                f"{self.path} can't be opened: {error}. Is its folder there, and may you write to it?"
            ) from error
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        with explained(self.path):
            check_owner(self._db, self.path)
            (mode,) = self._db.execute("PRAGMA journal_mode = WAL").fetchone()
            self._log.used = mode == "wal"  # some network drives can't have one: then SQLite flushes by itself
            self._db.execute(f"PRAGMA synchronous = {'NORMAL' if self._log.used else 'FULL'}")
        with self.writing():
            make_tables(self._db, self.path)

    def __enter__(self) -> Decisions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """How many decisions were ever made, those undone or made anew too."""
        return int(self._all("SELECT count(*) FROM decisions")[0][0])

    def __repr__(self) -> str:
        return f"<Decisions: {len(self):,} in {self.path}>"

    def close(self) -> None:
        """Close the file; what was decided is in it already."""
        with self.lock:
            self._db.close()
            self._log.close()

    # -- writing ------------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Several changes as one: all of them, or none where the block fails; on the disk when the block has ended."""
        with self.lock, explained(self.path):
            if self._depth == 0:
                self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._db.execute("COMMIT")
                    self._log.committed()
            except BaseException:
                if self._depth == 1 and self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                    self._log.undone()
                raise
            finally:
                self._depth -= 1
            outermost = self._depth == 0
        if outermost:
            self._log.flush()  # without the lock: others may decide meanwhile, and share the next flush

    def add(
        self,
        row: Row,
        action: str,
        label: Any = None,
        *,
        reviewer: str = "",
        note: str = "",
        key: str | None = None,
        when: str | None = None,
    ) -> Decision:
        """Record a decision; it is on the disk when this returns. A later one of the same reviewer replaces it.

        Parameters
        ----------
        row : the row's number (or name) in the data
        action : "keep", "relabel", "drop" or "skip"
        label : the new class, for "relabel" only; kept as text
        reviewer : who decided; "" where there is only one
        note : any words
        key : where given, a decision with the same key is recorded once, however often it is sent
        when : the time in UTC, ISO 8601, where it was made earlier and elsewhere; by default now

        Returns
        -------
        Decision
            the new one, or the earlier one with the same key

        Raises
        ------
        ParameterError
            where the action is unknown, or a label is missing or too much
        """
        row = _row(row)
        if action not in ACTIONS:
            raise UnknownNameError("action", action, ACTIONS)
        if (action == "relabel") != (label is not None):
            wrong = "needs the new label" if action == "relabel" else "takes no label"
            raise ParameterError(f"The action '{action}' on row {row} {wrong}; got label={label!r}.")
        new = (row, action, None if label is None else str(label), str(reviewer), when or _now(), str(note), key)
        with self.writing():
            self._log.owe()
            made = self._db.execute(
                'INSERT INTO decisions (row, action, label, reviewer, "when", note, key) VALUES (?, ?, ?, ?, ?, ?, ?) '
                "ON CONFLICT (key) DO NOTHING RETURNING id",
                new,
            ).fetchone()
            if made is None:
                made = self._db.execute("SELECT id FROM decisions WHERE key = ?", (key,)).fetchone()
            self._db.execute("DELETE FROM leases WHERE reviewer = ? AND row = ?", (str(reviewer), row))
            return self._decisions("FROM history WHERE id = ?", (made[0],))[0]

    def undo(self, reviewer: str = "", decision: int | None = None) -> Decision | None:
        """Take back a reviewer's last decision that stands; an earlier one on the same row then stands again.

        Parameters
        ----------
        reviewer : whose
        decision : the id of the one to take back, where it shall not be just the last; taking it back twice is the
            same as once

        Returns
        -------
        Decision or None
            the one taken back; None where there is none (of this reviewer)
        """
        which, values = (_LAST, (reviewer,)) if decision is None else (_ONE, (reviewer, decision))
        with self.writing():
            found = self._decisions(f"FROM history WHERE {which}", values)
            if not found:
                return None
            self._log.owe()
            self._db.execute(
                'INSERT INTO undone (decision, "when") VALUES (?, ?) ON CONFLICT (decision) DO NOTHING',
                (found[0].id, _now()),
            )
            return self._decisions("FROM history WHERE id = ?", (found[0].id,))[0]

    # -- reading ------------------------------------------------------------------------------------------------------

    def standing(self, row: Row | None = None) -> list[Decision]:
        """What stands: the last decision of each reviewer on each row (or on one), ordered by row, then by time."""
        if row is None:
            return self._decisions("FROM standing ORDER BY row, id")
        return self._decisions("FROM standing WHERE row = ? ORDER BY id", (_row(row),))

    def history(self) -> list[Decision]:
        """Every decision ever made, in order."""
        return self._decisions("FROM history ORDER BY id")

    def last(self, reviewer: str) -> Decision | None:
        """The decision that ``undo`` would take back."""
        found = self._decisions(f"FROM history WHERE {_LAST}", (reviewer,))
        return found[0] if found else None

    def latest(self, reviewer: str, row: Row) -> Decision | None:
        """What a reviewer decided on a row last, also where he took it back."""
        found = self._decisions(
            "FROM history WHERE row = ? AND reviewer = ? ORDER BY id DESC LIMIT 1", (_row(row), reviewer)
        )
        return found[0] if found else None

    def reviewers(self) -> list[str]:
        """Everyone who has decided anything, in the order of the alphabet."""
        return [name for (name,) in self._all("SELECT DISTINCT reviewer FROM decisions ORDER BY reviewer")]

    def changed_since(self, marks: tuple[int, int]) -> tuple[set[Row], tuple[int, int]]:
        """The rows on which anything was decided or undone since, by whichever process, and the marks to ask with next.

        ``marks`` is (0, 0) at first.
        """
        with self.lock:
            new = self._all("SELECT id, row FROM decisions WHERE id > ?", (marks[0],))
            taken_back = self._all(
                "SELECT u.id, d.row FROM undone u JOIN decisions d ON d.id = u.decision WHERE u.id > ?", (marks[1],)
            )
        rows = {row for _, row in new} | {row for _, row in taken_back}
        highest = [max((i for i, _ in some), default=mark) for some, mark in zip((new, taken_back), marks)]
        return rows, (highest[0], highest[1])

    # -- leases: who is looking at what -------------------------------------------------------------------------------

    def leases(self) -> dict[str, Row]:
        """Which row each reviewer is looking at now."""
        return dict(self._all("SELECT reviewer, row FROM leases WHERE until > ?", (time.time(),)))

    def lease(self, reviewer: str, row: Row, seconds: float) -> None:
        """Note that a reviewer looks at a row, and no longer at any other."""
        with self.writing():
            self._db.execute(
                "INSERT INTO leases (reviewer, row, until) VALUES (?, ?, ?) "
                "ON CONFLICT (reviewer) DO UPDATE SET row = excluded.row, until = excluded.until",
                (reviewer, _row(row), time.time() + seconds),
            )

    def release(self, reviewer: str) -> None:
        """Note that a reviewer looks at no row any more."""
        with self.writing():
            self._db.execute("DELETE FROM leases WHERE reviewer = ?", (reviewer,))

    # -- what follows from it -----------------------------------------------------------------------------------------

    def table(self, what: str = "consensus", *, overlap: int | None = None) -> pd.DataFrame:
        """The decisions as a table with the columns row, action, label, reviewer, when, note.

        Parameters
        ----------
        what : "consensus", one line per row that is decided: what most reviewers say, without skipped rows and ties;
            "opinions", what each reviewer says of each row; "history", everything ever decided, with ``undone``
        overlap : how many opinions a row needs for a consensus; by default as many as the review asked for

        Raises
        ------
        UnknownNameError
            where ``what`` is none of these
        """
        return _tables.frame(self.lines(what, overlap), history=what == "history")

    def export(self, path: str | Path, what: str = "consensus", *, overlap: int | None = None) -> Path:
        """Write ``table(what)`` to a .csv or .parquet file, whole or not at all.

        Raises
        ------
        ParameterError
            where the file's ending is another
        """
        return _tables.write(self.lines(what, overlap), Path(path), history=what == "history")

    def lines(self, what: str = "consensus", overlap: int | None = None) -> Iterable[Any]:
        """The lines of ``table`` as objects."""
        choices: dict[str, Callable[[], Iterable[Any]]] = {
            "consensus": lambda: consensus(self.standing(), overlap or int(self.about("overlap") or 1), self.alike),
            "opinions": self.standing,
            "history": self.history,
        }
        if what not in choices:
            raise UnknownNameError("table of decisions", what, choices)
        return choices[what]()

    def agreement(self) -> Agreement:
        """How far the reviewers agree, on the rows that several have decided: kappa per pair and for all."""
        return agree(self.standing(), self.alike)

    @property
    def alike(self) -> Alike | None:
        """Whether two new labels mean the same, where that is not only so if they are equal: two drawings."""
        return alike_for(str(self.about("task") or ""))

    # -- what it belongs to -------------------------------------------------------------------------------------------

    def about(self, key: str) -> Any:
        """A value noted with ``note_about``, or None."""
        found = self._all("SELECT value FROM about WHERE key = ?", (key,))
        return found[0][0] if found else None

    def note_about(self, key: str, value: str | int) -> None:
        """Note something about the record as a whole."""
        with self.writing():
            self._db.execute(
                "INSERT INTO about (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value),
            )

    # -- the database -------------------------------------------------------------------------------------------------

    def _all(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self.lock, explained(self.path):
            return self._db.execute(statement, values).fetchall()

    def _decisions(self, rest: str, values: tuple[Any, ...] = ()) -> list[Decision]:
        return [Decision(*line) for line in self._all(f"SELECT {_COLUMNS} {rest}", values)]


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _row(row: Any) -> Row:
    if isinstance(row, (bool, np.bool_)) or not isinstance(row, (int, str, np.integer)):
        raise ParameterError(f"A row is a whole number, or a name; got {row!r}.")
    return row if isinstance(row, str) else int(row)
