"""Which kind of source a path is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from errata.correct.archives import Archive
from errata.correct.delimited import Delimited
from errata.correct.folders import Folder
from errata.correct.hugging import HuggingFace
from errata.correct.jsonlines import JsonLines
from errata.correct.parquet import Parquet
from errata.correct.source import Source
from errata.data.huggingface import is_saved_dataset
from errata.errors import DataError, ParameterError

__all__ = ["FILES", "check_ending", "ending_of", "open_source"]

FILES: dict[str, type[Source]] = {
    ending: kind for kind in (Delimited, JsonLines, Parquet, Archive) for ending in kind.endings
}
"""Files by their ending; of the text formats also with ``.gz``."""


def ending_of(path: Path) -> str:
    """The format that a name tells.

    Examples
    --------
    >>> ending_of(Path("a.CSV.gz"))
    '.csv'
    """
    return Path(path.name.lower().removesuffix(".gz")).suffix


def open_source(path: Path, label: str | None, reading: Mapping[str, Any], known: list[Any]) -> Source:
    """Open a data set for correcting.

    Parameters
    ----------
    path : a file, a folder of images by class, or a folder of a Hugging Face dataset
    label : the label's column; by default the only one named like one
    reading : the options of ``errata.read`` that it was read with
    known : the ledger's classes

    Raises
    ------
    DataError
        where it is of no such kind, or damaged
    """
    if path.is_dir():
        kind: type[Source] = HuggingFace if is_saved_dataset(path) else Folder
    elif ending_of(path) in FILES:
        kind = FILES[ending_of(path)]
    else:
        raise DataError(
            f"{path}: its ending says no format that is corrected; expected {', '.join(FILES)}, or a folder."
        )
    return kind(path, label, reading, known)  # type: ignore[arg-type]


def check_ending(out: Path, source: Path) -> None:
    """Refuse a copy whose name says another format than the source's."""
    if source.is_dir():
        return
    zipped, kind = out.suffix.lower() == ".gz", FILES.get(ending_of(source))
    if ending_of(out) != ending_of(source) or (
        zipped and kind is not None and not issubclass(kind, (Delimited, JsonLines))
    ):
        raise ParameterError(
            f"The copy has the format of its source: {source.name} can't become {out.name}. Let --out end in "
            f"{ending_of(source)}."
        )
