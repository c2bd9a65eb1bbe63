"""Where corrected data are written: never over the source, whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from errata.errors import ErrataError

__all__ = ["Places", "check_out", "placed", "provenance_of"]


def provenance_of(out: Path) -> Path:
    """Where the provenance of a corrected file or folder lies: beside it.

    Examples
    --------
    >>> provenance_of(Path("clean/reviews.csv")).name
    'reviews.csv.provenance.csv'
    """
    return out.with_name(out.name + ".provenance.csv")


def check_out(out: Path, source: Path, *, force: bool) -> None:
    """Refuse a place that is the source, is taken, or can't be written to.

    Raises
    ------
    ErrataError
        with what stands in the way and what to do
    """
    if not out.name:
        raise ErrataError(f"'{out}' is no name for a file or folder to write; choose another --out.")
    real, origin = out.resolve(), source.resolve()
    if real == origin or (out.exists() and source.exists() and os.path.samefile(out, source)):
        raise ErrataError(f"{out} is the source itself, which is never written over. Choose another --out.")
    if origin.is_dir() and origin in real.parents:
        raise ErrataError(f"{out} lies inside of the source {source}, which is never changed. Choose another --out.")
    if real in origin.parents:
        raise ErrataError(f"The source {source} lies inside of {out}, which would be replaced. Choose another --out.")
    if not out.parent.is_dir():
        raise ErrataError(f"The folder {out.parent} does not exist. Make it, or choose another --out.")
    if source.is_dir() != out.is_dir() and out.exists():
        found, expected = ("folder", "file") if out.is_dir() else ("file", "folder")
        raise ErrataError(f"{out} is a {found}; {source} is corrected into a {expected}. Choose another --out.")
    _check_taken(out, force)
    if not os.access(out.parent, os.W_OK):
        raise ErrataError(
            f"The folder {out.parent} can't be written to. Choose another --out, or change its permissions."
        )


def _check_taken(out: Path, force: bool) -> None:
    taken = [place for place in (out, provenance_of(out)) if place.exists()]
    if taken and not force:
        raise ErrataError(
            f"{taken[0]} exists, and nothing is overwritten unasked. Choose another --out, or use --force (force=True)."
        )
    if out.is_dir() and any(out.iterdir()) and not provenance_of(out).is_file():
        raise ErrataError(
            f"{out} is a folder that errata did not make: there is no {provenance_of(out).name} beside it. It is not "
            "replaced, even with --force. Choose another --out."
        )


@dataclass(frozen=True)
class Places:
    """Temporary places of what will stand at ``out``: the data, and their provenance."""

    data: Path
    provenance: Path


@contextmanager
def placed(out: Path) -> Iterator[Places]:
    """Give temporary places on the same disk; what the block has written is moved into place when it ends well.

    The provenance is moved first and the data last, so that corrected data never stand without it. A program that is
    killed leaves what stood there before.

    Raises
    ------
    ErrataError
        where the disk is full or a place can't be written; what stood there still stands there

    Examples
    --------
    >>> out = Path(tempfile.mkdtemp()) / "clean.csv"
    >>> with placed(out) as places:
    ...     _ = places.data.write_text("x"), places.provenance.write_text("row")
    >>> sorted(path.name for path in out.parent.iterdir())
    ['clean.csv', 'clean.csv.provenance.csv']
    """
    hidden: Path | None = None
    try:
        hidden = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        (hidden / "new").mkdir()
        places = Places(hidden / "new" / out.name, hidden / "new" / provenance_of(out).name)
        yield places
        _flush(places.provenance)
        if places.data.is_file():
            _flush(places.data)
        os.replace(places.provenance, provenance_of(out))
        if out.is_dir():  # a folder can't be replaced in one step: the old one is out of the way for a moment
            os.replace(out, hidden / "old")
        os.replace(places.data, out)
    except OSError as error:
        if hidden is not None and (hidden / "old").exists() and not out.exists():
            os.replace(hidden / "old", out)
        raise ErrataError(
            f"Could not write {out}: {error.strerror or error}. The source has not been changed, nor what stood there "
            "before; free some space or choose another place."
        ) from error
    finally:
        if hidden is not None:
            shutil.rmtree(hidden, ignore_errors=True)


def _flush(path: Path) -> None:
    with open(path, "rb") as written:
        os.fsync(written.fileno())
