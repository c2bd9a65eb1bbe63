"""Texts as rows of token ids: hashed words and pairs of words, so that no vocabulary has to be kept or shared.

Only distinct words are hashed, one by one (BLAKE2, the same on every machine); everything per text is done on arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from errata.data.data import Data
from errata.data.encoders import Encoder
from errata.errors import DataError, ParameterError

__all__ = ["TextEncoder", "hash_texts", "tokenize"]

CHUNK = 50_000  # texts at a time
LONGEST = 512  # ids of a text that are kept at most, by default
FEWEST, MOST = 1 << 12, 1 << 16  # buckets chosen by default
_NO_WORD = r"([^\p{L}\p{M}\p{N}\s'’_])"
_SINGLE = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"


def tokenize(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Cut texts into lower-case words; punctuation, and letters of scripts without spaces, stand alone.

    Parameters
    ----------
    texts : N texts

    Returns
    -------
    offsets : (N + 1,) int64; text i has the tokens offsets[i] to offsets[i + 1]
    codes : (tokens,) int64 into ``words``
    words : the distinct tokens

    Examples
    --------
    >>> offsets, codes, words = tokenize(["Good, good!", "日本"])
    >>> [[words[c] for c in codes[a:b]] for a, b in zip(offsets, offsets[1:])]
    [['good', ',', 'good', '!'], ['日', '本']]
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = pa.array(texts, pa.large_string())
    array = pc.utf8_lower(pc.utf8_normalize(array, "NFKC"))
    array = pc.replace_substring_regex(array, _NO_WORD, r" \1 ")
    array = pc.replace_substring_regex(array, _SINGLE, r" \1 ")
    lists = pc.utf8_split_whitespace(array)
    offsets = lists.offsets.to_numpy().astype(np.int64)
    tokens = lists.flatten().dictionary_encode()
    codes, words = tokens.indices.to_numpy().astype(np.int64), tokens.dictionary.to_pylist()
    # splitting leaves empty strings at the ends: take them out
    empty = words.index("") if "" in words else -1
    keep = codes != empty
    before = np.append(0, np.cumsum(keep))
    return before[offsets - offsets[0]], codes[keep], words


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _mix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A hash of an ordered pair of hashes."""
    mixed = first * np.uint64(0x9E3779B97F4A7C15) + second
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    return mixed ^ (mixed >> np.uint64(32))


def hash_texts(
    texts: Sequence[str], buckets: int, *, ngrams: int = 2, chars: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Ids of words, of pairs of neighbouring words, and of pieces of words.

    Parameters
    ----------
    texts : N texts
    buckets : ids lie in [1, buckets]
    ngrams : 1 for words alone, 2 for words and pairs
    chars : (shortest, longest) length of pieces of words; None for none

    Returns
    -------
    offsets : (N + 1,) int64
    ids : (M,) int32; text i has ids offsets[i] to offsets[i + 1], in the order of the text

    Examples
    --------
    >>> offsets, ids = hash_texts(["a b", "b"], 1000)
    >>> offsets, bool(ids[2] == ids[3])
    (array([0, 3, 4]), True)
    """
    offsets, codes, words = tokenize(texts)
    hashes = np.array([_hash(word) for word in words], dtype=np.uint64)
    own = hashes[codes] if len(codes) else np.empty(0, dtype=np.uint64)
    text_of = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    position = np.arange(len(codes))
    parts = [(text_of, position, np.zeros(len(codes), dtype=np.int64), own)]
    if ngrams == 2 and len(codes) > 1:
        joined = np.flatnonzero(text_of[:-1] == text_of[1:])
        parts.append(
            (
                text_of[joined],
                position[joined],
                np.ones(len(joined), dtype=np.int64),
                _mix(own[joined], own[joined + 1]),
            )
        )
    if chars is not None and len(codes):
        parts.append(_pieces(words, codes, text_of, position, chars))
    text, place, rank, value = (np.concatenate(column) for column in zip(*parts))
    order = np.lexsort((rank, place)) if len(parts) > 1 else slice(None)  # places rise over all texts
    ids = (value % np.uint64(buckets)).astype(np.int32) + 1
    counts = np.bincount(text, minlength=len(offsets) - 1)
    return np.append(0, np.cumsum(counts)), ids[order]


def _pieces(
    words: list[str], codes: np.ndarray, text_of: np.ndarray, position: np.ndarray, chars: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The pieces of every word, found once for each distinct word."""
    pieces = [[_hash("#" + p) for p in _cut(f"<{word}>", *chars)] for word in words]
    counts = np.array([len(p) for p in pieces])
    flat = np.array([h for p in pieces for h in p], dtype=np.uint64)
    starts = np.append(0, np.cumsum(counts))[:-1]
    repeats = counts[codes]
    within = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    value = flat[np.repeat(starts[codes], repeats) + within]
    return np.repeat(text_of, repeats), np.repeat(position, repeats), within + 2, value


def _cut(word: str, shortest: int, longest: int) -> list[str]:
    return [word[i : i + n] for n in range(shortest, longest + 1) for i in range(len(word) - n + 1) if n < len(word)]


def _parts(data: Data) -> Iterator[tuple[int, list[str]]]:
    """The texts, so many at a time that their Python objects don't fill the memory."""
    for start in range(0, len(data), CHUNK):
        yield start, data.subset(np.arange(start, min(start + CHUNK, len(data)))).texts()


class TextEncoder(Encoder):
    """Texts as (N, L) int32 ids of hashed words and pairs of words; 0 fills up short texts.

    Parameters
    ----------
    buckets : how many different ids; chosen from the training texts by default (a power of two, 4,096 to 65,536)
    ngrams : 1 for words alone, 2 for words and pairs of neighbouring words
    chars : (shortest, longest) of pieces of words, such as (3, 5), which help with misspellings and rich inflection;
        None for none
    max_len : L, ids kept of a text; by default what 99 % of the training texts need, 512 at most. The end is cut.

    Examples
    --------
    >>> from errata.data import read
    >>> data = read(["a good film", "bad"])
    >>> encoder = TextEncoder(buckets=1000).fit(data)
    >>> encoder.encode(data).shape, encoder.vocabulary
    (torch.Size([2, 5]), 1001)
    """

    kind = "text"
    name = "text"

    def __init__(
        self,
        *,
        buckets: int | None = None,
        ngrams: int = 2,
        chars: tuple[int, int] | None = None,
        max_len: int | None = None,
    ) -> None:
        if buckets is not None and not 2 <= buckets < 2**31:
            raise ParameterError(f"buckets must be in [2, 2**31); got {buckets!r}.")
        if ngrams not in (1, 2):
            raise ParameterError(f"ngrams must be 1 or 2; got {ngrams!r}.")
        if chars is not None and not 1 <= chars[0] <= chars[1]:
            raise ParameterError(f"chars must be (shortest, longest) with 1 <= shortest <= longest; got {chars!r}.")
        if max_len is not None and max_len < 1:
            raise ParameterError(f"max_len must be 1 or more; got {max_len!r}.")
        self.buckets = buckets
        self.ngrams = ngrams
        self.chars = None if chars is None else (int(chars[0]), int(chars[1]))
        self.max_len = max_len
        self.columns: list[str] = []

    def fit(self, data: Data) -> TextEncoder:
        self._check(data)
        if len(data) == 0:
            raise DataError(f"{data.source} has no texts to learn an encoding from.")
        lengths, seen = [], np.empty(0, dtype=np.int32)
        for _, texts in _parts(data):
            offsets, ids = hash_texts(texts, 2**30, ngrams=self.ngrams, chars=self.chars)
            lengths.append(np.diff(offsets))
            if self.buckets is None and len(seen) < MOST:
                seen = np.union1d(seen, ids)
        needed = int(np.ceil(np.percentile(np.concatenate(lengths), 99)))
        self.length = self.max_len or max(1, min(LONGEST, needed))
        self.size = self.buckets or min(MOST, max(FEWEST, 1 << int(len(seen) - 1).bit_length()))
        self.input_shape = (self.length,)
        self.columns = [c.name for c in data.features] if data.named else []
        return self

    @property
    def vocabulary(self) -> int:
        """How many different ids there are, with the 0 that fills up: what an embedding must have rows for."""
        return self.size + 1

    def encode(self, data: Data) -> torch.Tensor:
        self._check(data)
        out = np.zeros((len(data), self.length), dtype=np.int32)
        for start, texts in _parts(data):
            offsets, ids = hash_texts(texts, self.size, ngrams=self.ngrams, chars=self.chars)
            lengths = np.minimum(np.diff(offsets), self.length)
            filled = np.arange(self.length) < lengths[:, None]
            source = offsets[:-1, None] + np.arange(self.length)
            out[start : start + len(texts)][filled] = ids[source[filled]]
        return torch.from_numpy(out)

    def reading(self) -> dict[str, Any]:
        return {"text": self.columns} if self.columns else {}

    def spec(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "columns": self.columns,
            "buckets": self.size,
            "ngrams": self.ngrams,
            "chars": None if self.chars is None else list(self.chars),
            "max_len": self.length,
        }

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> TextEncoder:
        chars = None if spec["chars"] is None else (spec["chars"][0], spec["chars"][1])
        encoder = cls(buckets=spec["buckets"], ngrams=spec["ngrams"], chars=chars, max_len=spec["max_len"])
        encoder.size, encoder.length = int(spec["buckets"]), int(spec["max_len"])
        encoder.input_shape = (encoder.length,)
        encoder.columns = [str(name) for name in spec["columns"]]
        return encoder
