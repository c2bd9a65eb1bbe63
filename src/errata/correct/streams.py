"""Bytes of text files in pieces: read, and written, gzipped where the name says so, in any encoding."""

from __future__ import annotations

import codecs
import gzip
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from errata.data.delimited_rows import open_bytes
from errata.errors import DataError

__all__ = ["Encoding", "pieces", "writing"]

PIECE = 4 << 20  # bytes read at a time


class Encoding:
    """An encoding, and how text in it is worked on as bytes.

    Where every ASCII character is one byte that stands for nothing else (UTF-8, Latin-1, ...), the bytes are worked on
    as they are. Else (UTF-16, GBK, ...) the text is brought to UTF-8 on the way in and back on the way out, and it is
    made sure that it comes back as the same bytes.

    Parameters
    ----------
    name : as Python knows it
    path : the file; UTF-16's byte order is read from its first bytes

    Examples
    --------
    >>> Encoding("latin-1").inner, Encoding("gbk").inner
    ('latin-1', 'utf-8')
    """

    def __init__(self, name: str, path: Path | None = None) -> None:
        self.name = name
        standard = codecs.lookup(name).name
        if standard == "utf-8-sig":
            self.name = "utf-8"  # the mark at the beginning is no part of the words
        elif standard in ("utf-16", "utf-32") and path is not None:
            with open_bytes(path) as file:
                self.name = standard + ("-be" if file.read(2) in (b"\xfe\xff", b"\0\0") else "-le")
        self.plain = _is_plain(self.name)
        self.inner = self.name if self.plain else "utf-8"

    def encode(self, word: str) -> bytes:
        """A word as the bytes that are worked on.

        Raises
        ------
        DataError
            where the encoding has not all of its characters
        """
        try:
            word.encode(self.name)
            return word.encode(self.inner)
        except UnicodeEncodeError as error:
            raise DataError(
                f"The label {word!r} can't be written as {self.name}: {error.object[error.start]!r} is not in it. "
                "Convert the data to UTF-8 first."
            ) from error

    def decode(self, piece: bytes) -> str:
        """The bytes that are worked on as text, for people."""
        return piece.decode(self.inner, "replace")


def _is_plain(name: str) -> bool:
    if codecs.lookup(name).name == "utf-8":
        return True
    lower, every = bytes(range(128)), bytes(range(256))
    return lower.decode(name, "replace") == lower.decode("ascii") and len(every.decode(name, "replace")) == 256


def pieces(path: Path, encoding: Encoding, size: Callable[[], int] = lambda: PIECE) -> Iterator[bytes]:
    """A file's text in the inner encoding, piece by piece.

    Raises
    ------
    DataError
        where the file is damaged, or its text would not come back as the same bytes
    """
    try:
        with open_bytes(path) as file:
            raw = iter(lambda: file.read(size()), b"")
            yield from raw if encoding.plain else _recoded(raw, encoding, path)
    except (OSError, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}. Fetch or pack it again.") from error


def _recoded(raw: Iterator[bytes], encoding: Encoding, path: Path) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding.name)()
    pending = b""
    for piece in itertools.chain(raw, [b""]):
        try:
            text = decoder.decode(piece, final=not piece)
            back = text.encode(encoding.name)
        except UnicodeError as error:
            raise DataError(f"{path} is not {encoding.name.upper()} text: {error}. Convert it to UTF-8.") from error
        pending += piece
        if not pending.startswith(back):
            raise DataError(
                f"{path}: its {encoding.name} text can't be kept byte for byte, for it spells one character in several "
                "ways. Convert it to UTF-8 first."
            )
        pending = pending[len(back) :]
        yield text.encode("utf-8")


@contextmanager
def writing(out: Path | None, encoding: Encoding | None = None) -> Iterator[Callable[[bytes], Any]]:
    """A function that writes pieces of text in the inner encoding to a file; None: nowhere."""
    if out is None:
        yield len
        return
    with open(out, "wb") as raw:
        if out.suffix.lower() == ".gz":  # without name and time, so that the same content gives the same file
            with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as packed:
                yield _encoded(packed, encoding)
        else:
            yield _encoded(raw, encoding)


def _encoded(file: IO[bytes] | gzip.GzipFile, encoding: Encoding | None) -> Callable[[bytes], Any]:
    if encoding is None or encoding.plain:
        return file.write
    name = encoding.name
    decoder = codecs.getincrementaldecoder("utf-8")()
    return lambda piece: file.write(decoder.decode(piece).encode(name))
