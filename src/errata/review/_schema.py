"""The tables of the record of decisions, and what may be wrong with its file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from errata.errors import ErrataError, LedgerError

__all__ = ["check_owner", "explained", "make_tables"]

FORMAT = 1
APPLICATION = 0x45525241  # "ERRA": the file says whose it is
_SCHEMA = """
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    row NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('keep', 'relabel', 'drop', 'skip')),
    label TEXT CHECK ((action = 'relabel') = (label IS NOT NULL)),
    reviewer TEXT NOT NULL,
    "when" TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    key TEXT UNIQUE
);
CREATE INDEX decisions_by_row ON decisions (row, reviewer, id);
CREATE INDEX decisions_by_reviewer ON decisions (reviewer, id);
CREATE TABLE undone (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    decision INTEGER NOT NULL UNIQUE REFERENCES decisions (id),
    "when" TEXT NOT NULL
);
CREATE TABLE leases (reviewer TEXT PRIMARY KEY, row NOT NULL, until REAL NOT NULL);
CREATE TABLE about (key TEXT PRIMARY KEY, value NOT NULL);
CREATE VIEW history AS
    SELECT d.id, d.row, d.action, d.label, d.reviewer, d."when", d.note, u."when" AS undone
    FROM decisions d LEFT JOIN undone u ON u.decision = d.id;
CREATE VIEW standing AS
    SELECT * FROM history h WHERE undone IS NULL AND NOT EXISTS (
        SELECT 1 FROM history later
        WHERE later.row = h.row AND later.reviewer = h.reviewer AND later.id > h.id AND later.undone IS NULL);
"""


def check_owner(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a database of another program before anything is changed in it.

    Raises
    ------
    LedgerError
        where it is one
    """
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if tables and application != APPLICATION:
        raise LedgerError(f"{path} is a database, but no record of decisions. Give another path.")


def make_tables(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables where there are none; to be called within a transaction.

    Raises
    ------
    LedgerError
        where a newer errata made them
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise LedgerError(
            f"{path} was written by a newer errata (format {version}; this one reads up to {FORMAT}). "
            "Upgrade with: pip install --upgrade errata"
        )
    if version == 0:
        for statement in _SCHEMA.split(";\n"):
            if statement.strip():
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {FORMAT}")
        db.execute(f"PRAGMA application_id = {APPLICATION}")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Failures of the database as errors that a person can do something about.

    Raises
    ------
    ErrataError
        where the file can't be used now
    LedgerError
        where it is damaged, or none of ours
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise ErrataError(
            f"{path} could not be used: {error}. Nothing was recorded. Look whether the disk is full, the file may be "
            "written, and no other program holds it; then try again."
        ) from error
    except sqlite3.ProgrammingError as error:
        raise ErrataError(f"{path} could not be used: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise LedgerError(
            f"{path} is damaged, or no record of decisions ({error}). Move it away, or put a copy in its place."
        ) from error
