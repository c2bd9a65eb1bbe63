"""Correcting the labels of ARFF files: only the values that change become other bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from errata.correct.itemwise import GONE, ItemSource
from errata.correct.source import Difference
from errata.correct.streams import writing
from errata.data.arff import read_arff
from errata.data.arff_lines import ENTRY, TOKEN, Attribute, open_arff
from errata.data.delimited_rows import open_bytes
from errata.data.multilabel import MISSING, truth
from errata.errors import DataError
from errata.forms.sets import SetsForm
from errata.ledger import Ledger

__all__ = ["ArffFile", "ArffSets"]


class ArffSets(SetsForm):
    """Sets of labels as an ARFF file has them.

    Parameters
    ----------
    ledger : of ``errata.audit(task="multilabel")``
    matrix : (N, L) int, 1, 0, or -1 where not known
    """

    def __init__(self, ledger: Ledger, matrix: np.ndarray) -> None:
        super().__init__(ledger)
        self.matrix = matrix

    def of(self, labels: np.ndarray, number: int) -> list[str]:
        return [name for name, value in zip(self.names, labels[number].tolist()) if value == 1]

    def given(self, position: int) -> list[str]:
        return self.of(self.matrix, self.row(position))

    def fits(self, position: int, label: Sequence[str]) -> bool:
        return self.same(label, super().given(position))


class ArffFile(ItemSource):
    """An ARFF file, dense or sparse, plain or gzipped.

    Parameters
    ----------
    path : the file
    names : of its labels
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.names = list(names)
        header = open_arff(path)[0]
        self.places = {one.name: place for place, one in enumerate(header.attributes)}
        self.attributes = [header.attributes[self.places[name]] for name in self.names]
        self.width = len(header.attributes)
        super().__init__(path)

    def again(self, out: Path) -> np.ndarray:
        return read_arff(out, self.names).Y

    def write(self, edits: Mapping[int, Any], out: Path | None, differences: list[Difference] | None) -> None:
        row, data = -1, False
        with open_bytes(self.path) as file, writing(out) as write:
            for number, line in enumerate(file, start=1):
                text, codec = _decoded(line)
                body = text.strip().removeprefix("\ufeff")
                if not data or not body or body.startswith("%"):
                    data = data or body.lower().startswith("@data")
                    write(line)
                    continue
                row += 1
                label = edits.get(row)
                new = None if label is GONE else line if label is None else self._line(text, row, label).encode(codec)
                if new != line and differences is not None:
                    after = None if new is None else new.decode(codec).removesuffix("\n")
                    differences.append(Difference(row, number, text.removesuffix("\n"), after, line.endswith(b"\n")))
                if new is not None:
                    write(new)

    def _line(self, text: str, row: int, label: Sequence[str]) -> str:
        """A row with the values of other labels."""
        values: dict[int, str] = {}
        for name, attribute, now in zip(self.names, self.attributes, self.labels[row].tolist()):
            wanted = int(name in label)
            if now != wanted and not (now == MISSING and not wanted):
                values[self.places[name]] = _spelled(attribute, wanted)
        start = len(text) - len(text.lstrip())
        if text[start] == "{":
            return _sparse(text, start, values)
        spans = _spans(text.rstrip("\r\n"), start, self.width)
        for place in sorted(values, reverse=True):
            first, last = spans[place]
            text = text[:first] + values[place] + text[last:]
        return text


def _decoded(line: bytes) -> tuple[str, str]:
    try:
        return line.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return line.decode("latin-1"), "latin-1"


def _spelled(attribute: Attribute, wanted: int) -> str:
    """0 or 1 as the attribute has it."""
    if attribute.kind == "numeric":
        return str(wanted)
    return next((value for value in attribute.values if truth(value) == wanted), str(wanted))


def _spans(text: str, start: int, width: int) -> list[tuple[int, int]]:
    """Where the values of a dense row are."""
    found = []
    if "," not in text and width > 1:
        at = start
        for word in text[start:].split():
            at = text.index(word, at)
            found.append((at, at + len(word)))
            at += len(word)
        return found
    at = start
    while len(found) < width:
        token = TOKEN.match(text, at)
        if token is None:
            raise DataError(f"expected {width} values in a row; found {text[:40]!r}")
        found.append(token.span(1))
        at = token.end()
    return found


def _sparse(text: str, start: int, values: Mapping[int, str]) -> str:
    """A sparse row with other values; places rise, as Weka wants them to."""
    close = text.index("}", start) if "'" not in text and '"' not in text else text.rstrip().rindex("}")
    at, entries = start + 1, []
    while at < close and text[at:close].strip():
        entry = ENTRY.match(text[:close], at)
        if entry is None:
            raise DataError(f"expected 'place value' in a sparse row; found {text[at : at + 40]!r}")
        entries.append((int(entry[1]), *entry.span(2)))
        at = entry.end()
    written = {place for place, _, _ in entries}
    changes = [(first, last, values[place]) for place, first, last in entries if place in values]
    for place in sorted(set(values) - written):
        behind = [last for other, _, last in entries if other < place]
        if behind:
            changes.append(
                (behind[-1], behind[-1], f", {place} {values[place]}" if ", " in text else f",{place} {values[place]}")
            )
        else:
            changes.append((start + 1, start + 1, f"{place} {values[place]}{',' if entries else ''}"))
    for order in sorted(range(len(changes)), key=lambda i: (changes[i][0], i), reverse=True):
        first, last, new = changes[order]
        text = text[:first] + new + text[last:]
    return text
