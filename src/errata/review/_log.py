"""The write-ahead log of the record: flushed to the disk once for all who wait for it.

SQLite would flush at each commit, while everyone else waits for the lock. Here a commit is written into the log first
(``synchronous=NORMAL``), the lock is given back, and whoever decided waits until a flush that began after his commit
has ended. The promise is the same: what was answered is on the disk. Eight people who decide at once share a flush.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from errata.errors import ErrataError

__all__ = ["WriteAheadLog"]


class WriteAheadLog:
    """Keeps count of what is committed, and of what is on the disk.

    Parameters
    ----------
    path : the database's file

    Attributes
    ----------
    used : whether the database has such a log
    """

    def __init__(self, path: Path) -> None:
        self.used = False
        self._path = Path(f"{os.path.realpath(path)}-wal")
        self._file: int | None = None
        self._owed = False  # by the changes that are being made
        self._mine = threading.local()
        self._commits = 0
        self._flushed = 0
        self._turn = threading.Lock()

    def owe(self) -> None:
        """The changes being made must be on the disk when they are answered; to be called with the record's lock."""
        self._owed = True

    def committed(self) -> None:
        """They are in the log; to be called with the record's lock."""
        if self._owed:
            self._owed = False
            self._commits += 1
            self._mine.ticket = self._commits

    def undone(self) -> None:
        """They are not made after all; to be called with the record's lock."""
        self._owed = False

    def flush(self) -> None:
        """Wait until this thread's last commit is on the disk; to be called without the record's lock.

        Raises
        ------
        ErrataError
            where the disk fails
        """
        ticket = getattr(self._mine, "ticket", 0)
        if not self.used or ticket <= self._flushed:
            return
        with self._turn:
            if ticket <= self._flushed:
                return  # another's flush began after this commit
            reached = self._commits
            try:
                if self._file is None:
                    _flush_folder(self._path.parent)  # which knows that the file is there
                    self._file = os.open(self._path, os.O_RDWR)
                os.fsync(self._file)
            except OSError as error:
                raise ErrataError(
                    f"{self._path} could not be flushed to the disk: {error.strerror or error}. The last decisions may "
                    "be lost if the machine stops. Look whether the disk is full or failing, then reload the page."
                ) from error
            self._flushed = reached

    def close(self) -> None:
        """Let the file go."""
        with self._turn:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # elsewhere a folder can't be opened, and needn't
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
