"""What every format can do: tell its labels, say how a class is written there, and be written anew with edits."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.correct.plan import Edits
from errata.errors import DataError
from errata.labels import ClassLabels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Difference", "Order", "Source", "labels_in", "spellings"]


@dataclass(frozen=True)
class Difference:
    """A record of a text file before and after.

    Parameters
    ----------
    row : its number
    line : the line that it begins in, from 1
    before, after : its text without the line feed at its end; ``after`` is None where it is dropped
    ended : whether there was one; at the end of a file it may be missing
    """

    row: int
    line: int
    before: str
    after: str | None
    ended: bool = True


@dataclass
class Order:
    """What a source is to write.

    Parameters
    ----------
    edits : which rows change
    classes : the class names behind the codes
    soft : (n,) positions in the ledger to (n, K) probabilities; None where no columns of probabilities are wanted
    soft_names : their K names
    again : whether the source was corrected before, so that columns of these names are errata's own
    differences : where text formats list their changed records; None where nobody wants to know
    """

    edits: Edits
    classes: list[Any]
    soft: Callable[[np.ndarray], np.ndarray] | None = None
    soft_names: list[str] = field(default_factory=list)
    again: bool = False
    differences: list[Difference] | None = None

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """(n, K) the probabilities of some rows of the source, to six digits."""
        if self.soft is None or self.edits.positions is None:
            raise DataError("The probabilities of these rows are not known any more: correct the original again.")
        return self.soft(self.edits.positions[rows])

    def check_names(self, names: list[str], source: str) -> bool:
        """Whether the columns of probabilities are there already; an error where they are somebody else's."""
        there = [name for name in self.soft_names if name in names]
        if not there or self.soft is None:
            return False
        if self.again and len(there) == len(self.soft_names):
            return True
        raise DataError(
            f"{source} has a column '{there[0]}' already, where the probabilities should go; rename it, or leave "
            "--soft."
        )


class Source(ABC):
    """A data set as it lies on disk.

    Attributes
    ----------
    path : the file or folder
    label : the name of the label's column
    labels : the labels there
    ordered : whether a corrected copy keeps the order of the rows
    """

    ordered = True
    endings: tuple[str, ...] = ()
    speller: Callable[[Any], Any] | None = None
    """How a label is written that no row has yet, where it is no class: ``spell`` does it for classes."""

    def __init__(self, path: Path, label: str, labels: ClassLabels, spelled: Mapping[int, Any]) -> None:
        self.path = path
        self.label = label
        self.labels = labels
        self._spelled = {str(labels.classes[code]): raw for code, raw in spelled.items()}

    @property
    def name(self) -> str:
        """For messages."""
        return str(self.path)

    def raw(self, name: Any) -> Any:
        """How a class is written in this source: as most of its rows write it."""
        found = self._spelled.get(str(name))
        if found is None:
            found = self._spelled[str(name)] = self.spell(name) if self.speller is None else self.speller(name)
        return found

    @abstractmethod
    def spell(self, name: Any) -> Any:
        """How a class is written that no row has yet."""

    @abstractmethod
    def write(self, order: Order, out: Path | None) -> None:
        """Write a copy with the edits; None as ``out`` only tries."""

    @abstractmethod
    def frame(self) -> pd.DataFrame:
        """The rows as a table in memory; the label's column need not be in it."""

    @abstractmethod
    def read_back(self, out: Path, classes: list[Any]) -> ClassLabels | None:
        """The labels of a copy; None where the copy has been checked while it was written."""

    def copy(self, out: Path) -> None:
        """Write a copy without any change."""
        if self.path.is_dir():
            shutil.copytree(self.path, out)
        else:
            shutil.copyfile(self.path, out)

    def can_copy(self, out: Path) -> bool:
        """Whether a copy without changes is the file itself, byte for byte."""
        return self.path.is_dir() or (out.suffix.lower() == ".gz") == (self.path.suffix.lower() == ".gz")


def labels_in(values: Any, name: str, classes: Any, code_names: list[str] | None, known: list[Any]) -> ClassLabels:
    """A column's labels, in the way that ``errata.read`` takes them.

    Parameters
    ----------
    values : pyarrow.ChunkedArray
    name : the column's
    classes : as told to ``errata.read``, if they were; or what makes labels of the column, where they are no classes
    code_names : the class names as the file gives them
    known : the ledger's classes; where the labels are not among them but could be their numbers, they are taken so
    """
    from errata.data.content import labels_of

    if callable(classes):
        return classes(values)
    labels = labels_of(values, name, classes=classes, code_names=code_names)
    words = {str(one) for one in known}
    if classes is None and not any(str(one) in words for one in labels.classes):
        try:
            return labels_of(values, name, classes=known, code_names=None)
        except ValueError:  # then they aren't; the difference to the ledger is told with its row
            pass
    return labels


def spellings(values: Any, labels: ClassLabels) -> dict[int, Any]:
    """Class codes to the value that most of the class's rows have in a column.

    Examples
    --------
    >>> import pyarrow as pa
    >>> spellings(pa.chunked_array([["b ", "a", "b", "b"]]), ClassLabels(np.array([1, 0, 1, 1]), ["a", "b"]))
    {0: 'a', 1: 'b'}
    """
    import pyarrow as pa

    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    coded = coded.unify_dictionaries().combine_chunks()
    coded = coded.chunk(0) if isinstance(coded, pa.ChunkedArray) else coded
    places = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    there = places >= 0
    counts = np.bincount(places[there], minlength=len(coded.dictionary))
    codes = np.full(len(coded.dictionary), -1, dtype=np.int64)
    codes[places[there]] = labels.codes[there]
    found: dict[int, Any] = {}
    for place in np.argsort(-counts, kind="stable"):  # the most frequent first, of these the one that comes first
        if codes[place] >= 0 and counts[place]:
            found.setdefault(int(codes[place]), coded.dictionary[int(place)].as_py())
    return dict(sorted(found.items()))
