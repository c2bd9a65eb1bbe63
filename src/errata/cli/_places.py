"""Where a command writes: never over anything that was there, and found out before the long work starts."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

from errata.cli._talk import Talk
from errata.errors import ErrataError

__all__ = ["fresh_folder", "output_file", "output_folder", "stem_of"]


def stem_of(source: str) -> str:
    """The name that outputs of a source get.

    Examples
    --------
    >>> stem_of("data/reviews.csv.gz"), stem_of("photos/")
    ('reviews', 'photos')
    """
    name = Path(source).resolve().name
    for ending in (".gz", ".csv", ".tsv", ".parquet", ".jsonl", ".npz", ".npy"):
        name = name.removesuffix(ending)
    return name or "data"


def fresh_folder(talk: Talk, name: str) -> Path:
    """Make a new folder ``name`` in the current one; ``name-2``, ``name-3`` ... where that exists."""
    for i in itertools.count(1):
        folder = Path(name if i == 1 else f"{name}-{i}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise ErrataError(
                f"Could not make the folder {folder} in {Path.cwd()}: {error.strerror}. Choose a place with --out."
            ) from error
        talk.made.append(folder)
        return folder
    raise AssertionError("unreachable: the count has no end")


def output_folder(
    talk: Talk, out: Path | None, default: str, *, taken_by: tuple[str, ...], hint: str, replace: bool = False
) -> Path:
    """The folder to write into, made and tried: a fresh one, or ``out``.

    Parameters
    ----------
    out : the user's choice; other files in it are left alone
    default : the name of a fresh folder where the user chose none
    taken_by : the files by which an earlier result is known; they are only replaced with ``replace``
    hint : what to do where there is an earlier result
    """
    from errata.storage import make_folder  # imports NumPy, too slow for --help

    if out is None:
        return fresh_folder(talk, default)
    if out.exists() and not out.is_dir():
        raise ErrataError(f"{out} is a file; --out expects a folder. Choose another name.")
    taken = [name for name in taken_by if (out / name).exists()]
    if taken and not replace:
        raise ErrataError(
            f"{out} already holds an earlier result ({', '.join(taken)}), and nothing is overwritten unasked. {hint}"
        )
    new = [folder for folder in (out, *out.parents) if not folder.exists()]
    make_folder(out)
    talk.made.extend(reversed(new))
    _try_to_write(out)
    return out


def output_file(out: Path, endings: tuple[str, ...], *, force: bool = False) -> Path:
    """The file to write, tried: its ending is one of ``endings``, its folder can be written, nothing is overwritten."""
    if not out.name.endswith(endings):
        raise ErrataError(f"{out}: the ending says the format, and must be one of {', '.join(endings)}.")
    if out.is_dir():
        raise ErrataError(f"{out} is a folder; --out expects a file.")
    if out.exists() and not force:
        raise ErrataError(f"{out} exists, and nothing is overwritten unasked. Choose another --out, or use --force.")
    if not out.parent.is_dir():
        raise ErrataError(f"The folder {out.parent} does not exist. Make it, or choose another --out.")
    _try_to_write(out.parent)
    return out


def _try_to_write(folder: Path) -> None:
    try:
        handle, name = tempfile.mkstemp(prefix=".errata-", dir=folder)
        os.close(handle)
        os.unlink(name)
    except OSError as error:
        raise ErrataError(
            f"The folder {folder} can't be written to: {error.strerror}. Choose another --out, or change its "
            "permissions."
        ) from error
