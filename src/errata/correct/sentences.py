"""Correcting files of sentences: CoNLL, where only the label's column of a changed token becomes other bytes, and JSON
lines, where only the list of labels of a changed sentence does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from errata.correct.itemwise import GONE, ItemSource
from errata.correct.jsonlines import spans
from errata.correct.source import Difference
from errata.correct.streams import writing
from errata.data.conll import COMMENT, LABELS, START, read_sentences
from errata.data.delimited_rows import open_bytes
from errata.errors import DataError

__all__ = ["ConllFile", "SentenceLines"]


class ConllFile(ItemSource):
    """A token and its columns per line, an empty line between sentences; also gzipped.

    Parameters
    ----------
    path : the file
    reading : the options ``label``, ``token`` and ``separator`` of ``errata.data.conll.read_sentences``
    """

    def __init__(self, path: Path, reading: Mapping[str, Any]) -> None:
        super().__init__(path, reading)
        self.column = int(self.reading["label"]) if self.reading.get("label") is not None else -1
        self.separator = self.reading.get("separator")

    def again(self, out: Path) -> Any:
        return read_sentences(out, self.reading.get("label"), **_without(self.reading, "label"))

    def write(self, edits: Mapping[int, Any], out: Path | None, differences: list[Difference] | None) -> None:
        with writing(out) as write:
            for sentence, place, number, line in self._lines():
                new = self._line(line, edits.get(sentence), place)
                if new != line and differences is not None:
                    shown = line.decode("utf-8").removesuffix("\n")
                    after = None if new is None else new.decode("utf-8").removesuffix("\n")
                    differences.append(Difference(sentence, number, shown, after, line.endswith(b"\n")))
                if new is not None:
                    write(new)

    def _lines(self) -> Iterator[tuple[int, int, int, bytes]]:
        """(sentence, token's place in it or -1, line's number, bytes); the empty lines behind a sentence are its own,
        comments belong to the sentence that follows them."""
        sentence, place, inside = -1, -1, False
        waiting: list[tuple[int, bytes]] = []
        with open_bytes(self.path) as file:
            for number, raw in enumerate(file, start=1):
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                fields = self._fields(text)
                if not fields or fields[0] == START:
                    for earlier, comment in waiting:
                        yield -2, -1, earlier, comment
                    inside, waiting = False, []
                    yield (sentence if not fields else -2), -1, number, raw
                elif COMMENT.match(text):
                    waiting.append((number, raw))
                else:
                    sentence, place = (sentence, place + 1) if inside else (sentence + 1, 0)
                    inside = True
                    for earlier, comment in waiting:
                        yield sentence, -1, earlier, comment
                    waiting = []
                    yield sentence, place, number, raw
        for number, raw in waiting:
            yield -2, -1, number, raw

    def _fields(self, line: str) -> list[str]:
        if not line.strip():
            return []
        return line.split(self.separator or "\t") if self.separator or "\t" in line else line.split()

    def _line(self, line: bytes, new: Any, place: int) -> bytes | None:
        if new is GONE:
            return None
        if new is None or place < 0:
            return line
        text = line.decode("utf-8")
        body = text.rstrip("\r\n")
        start, stop = _field(body, self.separator, self.column)
        word = "" if new[place] is None else str(new[place])
        if word == body[start:stop].strip() or (not word and start == stop):
            return line
        if not word or any(blank in word for blank in " \t\r\n"):
            raise DataError(f"{self.path}: the label {word!r} can't stand in a column of a CoNLL file.")
        old = body[start:stop]
        padded = old.replace(old.strip(), word, 1) if old.strip() else word
        return (body[:start] + padded + text[stop:]).encode("utf-8")


def _field(line: str, separator: str | None, column: int) -> tuple[int, int]:
    """Where a column of a line begins and ends."""
    mark = separator or ("\t" if "\t" in line else None)
    found: list[tuple[int, int]] = []
    at = 0
    if mark is not None:
        for field in line.split(mark):
            found.append((at, at + len(field)))
            at += len(field) + len(mark)
    else:
        for word in line.split():
            at = line.index(word, at)
            found.append((at, at + len(word)))
            at += len(word)
    return found[column]


def _without(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != name}


class SentenceLines(ItemSource):
    """A JSON object with tokens and labels per line; parameters as of ``ConllFile``."""

    def again(self, out: Path) -> Any:
        return read_sentences(out, self.reading.get("label"), **_without(self.reading, "label"))

    def write(self, edits: Mapping[int, Any], out: Path | None, differences: list[Difference] | None) -> None:
        row = -1
        with open_bytes(self.path) as file, writing(out) as write:
            for number, line in enumerate(file, start=1):
                row += bool(line.strip())
                if not line.strip() or row not in edits:
                    write(line)
                    continue
                new = None if edits[row] is GONE else self._relabelled(line, edits[row])
                if differences is not None:
                    shown = line.decode("utf-8").removesuffix("\n")
                    after = None if new is None else new.decode("utf-8").removesuffix("\n")
                    differences.append(Difference(row, number, shown, after, line.endswith(b"\n")))
                if new is not None:
                    write(new)

    def _relabelled(self, line: bytes, labels: Sequence[Any]) -> bytes:
        text = line.decode("utf-8")
        places = spans(text)
        wanted = self.reading.get("label")
        name = next(name for name in ([wanted] if wanted is not None else LABELS) if name in places)
        start, stop = places[name]
        old, at, parts = json.loads(text[start:stop]), start + 1, []
        decoder = json.JSONDecoder()
        for before, new in zip(old, labels):
            first = at + len(text[at:stop]) - len(text[at:stop].lstrip(" \t,"))
            _, end = decoder.raw_decode(text, first)
            parts.append(text[at:first])
            parts.append(text[first:end] if before == new else json.dumps(new, ensure_ascii=False))
            at = end
        return (text[: start + 1] + "".join(parts) + text[at:]).encode("utf-8")
