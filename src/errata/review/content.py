"""What a row holds, read again from the ledger's source: the text, the picture, the values of the table.

The source is read in the background, so that the page is there at once. Where it is gone, or has changed since the
ledger was made, nothing is shown but row numbers: to decide on the wrong row's picture would be worse than on none.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.rows import SINGLE
from errata.audit.shards import read_rows
from errata.errors import DataError, ErrataError
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.review.speaking import LONGEST, MOST_LETTERS, MOST_TEXTS, Piece, Speaking
from errata.storage import source_path

if TYPE_CHECKING:
    from errata.data import Data

__all__ = ["Content", "Look"]

TEXT = 20_000  # characters of a text that are shown
VALUE = 2_000  # characters of a value in a table
PAUSE = 0.01  # seconds, again and again, in which pages are answered while words are weighed
SOON = 3_000  # rows up to which words are weighed before the first row is shown: it takes a fraction of a second


@dataclass(frozen=True)
class Look:
    """A row to look at; nothing in it is escaped.

    Parameters
    ----------
    text : the text, where the row is one
    cut : how many characters of it are left out
    picture : whether there is a picture
    values : the row's values by column, where there are columns besides the label and the text
    pieces : the text in pieces, with the words marked that speak for the proposed or for the given class, or the
        tokens whose labels look wrong
    tokens : whether it is tokens that are marked
    """

    text: str | None = None
    cut: int = 0
    picture: bool = False
    values: dict[str, str] | None = None
    pieces: tuple[Piece, ...] = ()
    tokens: bool = False


class Content:
    """The rows' content.

    Parameters
    ----------
    ledger : tells the source, in its ``meta``
    folder : the ledger's folder; a relative source is also looked for there
    data : where given, the data themselves: anything that ``errata.read`` takes
    marks : whether to learn which words speak for which class, to be marked in texts

    Attributes
    ----------
    state : "reading", "ready" or "missing"
    said : a sentence on it, for people
    """

    def __init__(self, ledger: Ledger, folder: Path, data: Any = None, *, marks: bool = True) -> None:
        self._ledger, self._folder, self._given, self._marks = ledger, folder, data, marks
        self._data: Data | None = None
        self._rows = np.empty(0, dtype=np.int64)
        self._speaking: Speaking | None = None
        self._suspects = _suspects(ledger)
        self.state = "reading"
        self.said = "The data are still being read; rows show their content as soon as that is done."
        self.done = threading.Event()

    def begin(self) -> None:
        """Read in the background."""
        threading.Thread(target=self.read, name="errata-review-reading", daemon=True).start()

    def read(self) -> None:
        """Read now. Whatever goes wrong is said in ``said``, never raised."""
        try:
            data = self._read()
            self._rows = _places(self._ledger, data)
            self._light = _without_pictures(data)
            if len(data) <= SOON:
                self._learn(data)
            self._data, self.state, self.said = data, "ready", f"Rows are shown from {data.source}."
        except ErrataError as error:
            self.state, self.said = "missing", f"Only row numbers can be shown: {error}"
        except Exception as error:  # a reader's own failure must not end the review
            self.state, self.said = "missing", f"Only row numbers can be shown: reading failed ({error})."
        finally:
            self.done.set()
        if self._data is not None and self._speaking is None:
            self._learn(self._data)

    def _learn(self, data: Data) -> None:
        with contextlib.suppress(Exception):  # marked words are a help; without them the review goes on
            self._speaking = self._listen(data)

    def _listen(self, data: Data) -> Speaking | None:
        """Learn which words speak for which class, from rows that do not look wrong; None where there are no texts."""
        ledger = self._ledger
        if not self._marks or data.kind != "text" or len(ledger.classes) < 2:
            return None
        trusted = np.flatnonzero((ledger.given != MISSING) & ~ledger.issue)
        rng = np.random.default_rng(0)
        if len(trusted) > MOST_TEXTS:
            trusted = np.sort(rng.choice(trusted, MOST_TEXTS, replace=False))
        texts = data.subset(self._rows[trusted]).texts()
        letters = np.cumsum([min(len(text), LONGEST) for text in texts])
        enough = int(np.searchsorted(letters, MOST_LETTERS)) if len(texts) else 0
        if not enough:
            return None
        pause = (lambda: None) if self.state == "reading" and len(data) <= SOON else (lambda: time.sleep(PAUSE))
        return Speaking(texts[:enough], ledger.given[trusted[:enough]], len(ledger.classes), pause)

    def look(self, position: int) -> Look:
        """What there is to see of a row of the ledger; an empty look where nothing can be shown."""
        if self._data is None:
            return Look()
        place = int(self._rows[position])
        preview = self._light.preview(place)
        text = preview.text
        elsewhere = {self._data.label_name}
        if text is not None:
            elsewhere |= {column.name for column in self._data.features if column.kind == "text"}
        shown = {name: _words(value) for name, value in (preview.row or {}).items() if name not in elsewhere}
        if self._data.kind == "image" and self._data.table is None:
            shown = {"file": _name(self._data, place)}
        cut = max(0, len(text) - TEXT) if text is not None else 0
        pieces: tuple[Piece, ...] = ()
        if text and self._suspects is not None:
            pieces = _marked(text[:TEXT], self._suspects.get(self._ledger.index[position], set()))
        elif text and self._speaking is not None:
            given, proposed = int(self._ledger.given[position]), int(self._ledger.proposed[position])
            pieces = tuple(self._speaking.pieces(text[:TEXT], given, proposed))
        return Look(
            None if text is None else text[:TEXT],
            cut,
            self._data.kind == "image",
            shown or None,
            pieces,
            self._suspects is not None,
        )

    def picture(self, position: int, side: int, plain: bool = False) -> bytes | None:
        """A row's picture as PNG, at most ``side`` pixels wide and high; None where none can be read.

        Parameters
        ----------
        plain : nothing is ever drawn on it here; see ``drawing.DrawnContent``
        """
        if self._data is None or self._data.images is None:
            return None
        try:
            return self._data.images.thumbnail(int(self._data.rows[self._rows[position]]), side)
        except (DataError, OSError):
            return None

    @property
    def kind(self) -> str:
        """What the rows are: "text", "image" or "tabular"; "" where the data are not there (yet)."""
        return "" if self._data is None else self._data.kind

    def file(self, position: int) -> tuple[str, Path | None]:
        """A picture's name, below the source's folder where it lies in one, and its file, where it has one."""
        if self._data is None or self._data.images is None:
            return "", None
        number = int(self._data.rows[self._rows[position]])
        path = None if self._data.images.given else self._data.images.source(number)
        if not isinstance(path, Path):
            return "", None
        top = Path(os.path.expanduser(self._data.source)).absolute()
        absolute = path.absolute()
        return (absolute.relative_to(top).as_posix() if absolute.is_relative_to(top) else path.name), path

    def size(self, position: int) -> tuple[int, int]:
        """Width and height of a row's picture; (0, 0) where it can't be read."""
        from errata.data.images import open_image

        path = self.file(position)[1]
        if path is None:
            return 0, 0
        try:
            with open_image(path) as image:
                return image.size
        except (DataError, OSError):
            return 0, 0

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self) -> Data:
        from errata.data import Data, read
        from errata.data.graphs import read as read_graph

        if isinstance(self._given, Data):
            return self._given
        about = {**_about(self._folder), **self._ledger.meta}
        label = about.get("label", about.get("label_name"))
        reading = dict(about["reading"]) if isinstance(about.get("reading"), dict) else {}
        reading.setdefault("memory", 0)  # pictures are decoded when they are looked at
        if self._given is not None:
            return _read_labelled(read, self._given, label, reading)
        source = about.get("source")
        if not isinstance(source, str) or not source:
            raise DataError("the ledger does not say from which data it was made.")
        if "shards" in about:
            return read_rows(about)
        place = source_path(about, self._folder)
        if place is not None and about.get("task") == "tokens":
            return _read_sentences(place, self._ledger)
        if place is not None and about.get("task") in ("multilabel", "regression"):
            return read(place, False, **reading)  # the labels are no classes, and the ledger holds them
        if place is not None and about.get("task") == "graphs":
            del reading["memory"]
            return _read_labelled(read_graph, place, label, reading)
        if place is not None:
            return _read_labelled(read, place, label, reading)
        raise DataError(
            f"the data, {source}, are no longer there. Put them back, or start the review in the folder in which the "
            "ledger was made."
        )


def _about(folder: Path) -> dict[str, Any]:
    """How a training's data were read, where the ledger is a training's."""
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _read_labelled(read: Any, source: Any, label: Any, reading: dict[str, Any]) -> Data:
    """With its labels if they can be found, so that they can be compared with the ledger's."""
    known = label if isinstance(label, str) else None
    try:
        return read(source, known, **reading)
    except DataError:
        if known is not None:
            raise
        return read(source, False, **reading)


def _read_sentences(source: Path, ledger: Ledger) -> Data:
    """The sentences of a file with a label per token, as texts, if they are still as long as they were."""
    from errata.data import read
    from errata.data.conll import read_sentences

    reading = dict(ledger.meta.get("reading") or {})
    sentences = read_sentences(str(source), reading.pop("label", None), **reading)
    lengths = np.diff(sentences.offsets)
    known = ledger.columns.get("tokens")
    fewer = len(ledger) > 0 and int(ledger.index.max()) >= len(sentences)
    if fewer or (known is not None and not np.array_equal(lengths[ledger.index], known)):
        raise DataError(f"{source} has changed since the ledger was made. Audit the data again.")
    data = read(sentences.texts(), False)
    data.source = str(source)
    return data


def _suspects(ledger: Ledger) -> dict[Any, set[int]] | None:
    """The places of the tokens that look wrong, by row; None where the finer rows are no tokens."""
    if ledger.parts is None or not {"position", "token"} <= set(ledger.parts.columns):
        return None
    wrong = ledger.parts[ledger.parts["issue"].to_numpy(dtype=bool)]
    found: dict[Any, set[int]] = {}
    for row, place in zip(wrong["row"].tolist(), wrong["position"].tolist()):
        found.setdefault(row, set()).add(int(place))
    return found


def _marked(text: str, suspects: set[int]) -> tuple[Piece, ...]:
    """A sentence, tokens joined by blanks, with some of them marked."""
    pieces: list[Piece] = []
    for place, token in enumerate(text.split(" ")):
        blank = " " if place else ""
        if place in suspects:
            pieces += [Piece(blank), Piece(token, "given", 3)] if blank else [Piece(token, "given", 3)]
        else:
            pieces.append(Piece(blank + token))
    return tuple(pieces)


def _places(ledger: Ledger, data: Data) -> np.ndarray:
    """(N,) where each row of the ledger is in the data.

    Raises
    ------
    DataError
        where a row is not there, or its label is another than when the ledger was made
    """
    if ledger.index.dtype.kind not in "iu":
        raise DataError(f"the ledger's rows have names, such as '{ledger.index[0]}', and no numbers in {data.source}.")
    rising = np.argsort(data.rows, kind="stable")
    at = np.minimum(np.searchsorted(data.rows, ledger.index, sorter=rising), max(0, len(data) - 1))
    places = rising[at] if len(data) else np.zeros(len(ledger), dtype=np.int64)
    gone = int((data.rows[places] != ledger.index).sum()) if len(data) else len(ledger)
    changed = f"{data.source} has changed since the ledger was made"
    if gone:
        raise DataError(f"{changed}: {gone:,} of the {len(ledger):,} rows are no longer there. Audit the data again.")
    if data.labels is not None and list(ledger.classes) != SINGLE:  # numbers, boxes and the like are no classes
        code_of = {str(c): code for code, c in enumerate(ledger.classes)}
        lookup = np.array([*(code_of.get(str(c), -2) for c in data.labels.classes), -1])
        codes = getattr(data, "given", data.labels.codes)  # of a graph, the labels that are trained on
        other = lookup[codes[places]] != ledger.given
        if other.any():
            first = ledger.index[np.flatnonzero(other)[0]]
            raise DataError(
                f"{changed}: {int(other.sum()):,} rows have another label than it says, the first in row {first}. "
                "Audit the data again."
            )
    return places


def _without_pictures(data: Data) -> Data:
    """The same data whose previews take no time for pictures, which the page asks for on their own."""
    light = copy.copy(data)
    if data.kind == "image":
        light.images = None
    return light


def _name(data: Data, place: int) -> str:
    return "" if data.images is None else data.images.name(int(data.rows[place]))


def _words(value: Any) -> str:
    """A value for people to read."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= VALUE else f"{text[:VALUE]} ... ({len(text) - VALUE:,} more characters)"
