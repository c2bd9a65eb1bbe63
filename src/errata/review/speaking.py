"""Which words of a text speak for the proposed class and which for the given one.

A light linear model over texts that do not look wrong: frequencies weighted by rarity (TF-IDF), and a weight per class
and word, the logarithm of how much more common the word is in the class than elsewhere (complement naive Bayes). It is
worked out in seconds, in the background; until then nothing is marked.

References
----------
J. Rennie, L. Shih, J. Teevan, D. Karger, Tackling the poor assumptions of naive Bayes text classifiers, ICML 2003.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.labels import MISSING

__all__ = ["Piece", "Speaking"]

MOST_TEXTS = 8_000
MOST_LETTERS = 4_000_000
LONGEST = 5_000  # characters of a text that is learned from
MOST_WORDS = 50_000
MOST_WEIGHTS = 20_000_000
SMOOTH = 0.5
MOST_MARKS = 24
LEAST = 0.35  # of the strongest word's weight
LEVELS = 3
BREATH = 50  # texts between pauses

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True)
class Piece:
    """A piece of a text.

    Parameters
    ----------
    text : the piece; joined, the pieces are the text
    side : "proposed" or "given", for which it speaks; "" for neither
    level : 1 to 3, how strongly; 0 for neither
    """

    text: str
    side: str = ""
    level: int = 0


class Speaking:
    """The weights of words.

    Parameters
    ----------
    texts : N texts
    codes : (N,) their classes, -1 where none is known
    num_classes : K
    pause : called now and then, to let others have the processor

    Examples
    --------
    >>> speaking = Speaking(["good film", "good book", "bad film", "bad book"], np.array([1, 1, 0, 0]), 2)
    >>> [(piece.text, piece.side) for piece in speaking.pieces("a bad, bad film", given=1, proposed=0)]
    [('a ', ''), ('bad', 'proposed'), (', ', ''), ('bad', 'proposed'), (' film', '')]
    """

    def __init__(
        self, texts: Sequence[str], codes: np.ndarray, num_classes: int, pause: Callable[[], None] = lambda: None
    ) -> None:
        import scipy.sparse as sp

        lists = []
        for start in range(0, len(texts), BREATH):
            lists += [_words(text[:LONGEST]) for text in texts[start : start + BREATH]]
            pause()
        self.vocabulary = _vocabulary(lists, min(MOST_WORDS, MOST_WEIGHTS // max(1, num_classes)), pause)
        pause()
        known = [[self.vocabulary[word] for word in words if word in self.vocabulary] for words in lists]
        pause()
        offsets = np.concatenate([[0], np.cumsum([len(words) for words in known])])
        ids = np.fromiter((i for words in known for i in words), dtype=np.int64, count=int(offsets[-1]))
        counts = sp.csr_matrix((np.ones(len(ids)), ids, offsets), shape=(len(texts), len(self.vocabulary)))
        counts.sum_duplicates()
        rarity = np.log((1.0 + len(texts)) / (1.0 + np.bincount(counts.indices, minlength=len(self.vocabulary)))) + 1.0
        counts.data = (1.0 + np.log(counts.data)) * rarity[counts.indices]
        length = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
        counts.data /= np.repeat(np.maximum(length, 1e-12), np.diff(counts.indptr))
        rows = np.flatnonzero(codes != MISSING)
        of_class = sp.csr_matrix((np.ones(len(rows)), (codes[rows], rows)), shape=(num_classes, len(texts)))
        self.weights = _weights(np.asarray(of_class.dot(counts).todense())).astype(np.float32)
        self.rarity = rarity.astype(np.float32)

    def pieces(self, text: str, given: int, proposed: int) -> list[Piece]:
        """The text in pieces, the words that speak for either class marked.

        Parameters
        ----------
        text : any text
        given, proposed : the codes of two classes
        """
        found = [(match, self.vocabulary.get(match.group().casefold())) for match in _WORD.finditer(text)]
        spans = [(match.start(), match.end(), word) for match, word in found if word is not None]
        if not spans or MISSING in (given, proposed) or given == proposed:
            return [Piece(text)]
        words = np.array([word for _, _, word in spans])
        speaks = (self.weights[proposed, words] - self.weights[given, words]) * self.rarity[words]
        distinct = np.unique(words, return_index=True)[1]
        strengths = np.sort(np.abs(speaks[distinct]))[::-1]
        least = max(LEAST * float(strengths[0]), float(strengths[min(MOST_MARKS, len(strengths)) - 1]), 1e-6)
        return _cut(text, spans, speaks, least, float(strengths[0]))


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _vocabulary(lists: Sequence[list[str]], most: int, pause: Callable[[], None]) -> dict[str, int]:
    """The words that stand in two texts or more, the most common first."""
    counts: dict[str, int] = {}
    for i, words in enumerate(lists):
        for word in set(words):
            counts[word] = counts.get(word, 0) + 1
        if i % (4 * BREATH) == 0:
            pause()
    common = sorted((word for word, n in counts.items() if n > 1), key=lambda word: (-counts[word], word))
    return {word: i for i, word in enumerate(common[:most])}


def _weights(totals: np.ndarray) -> np.ndarray:
    """(K, V) how much more common a word is in a class than in the others, as a logarithm."""
    others = totals.sum(axis=0) - totals

    def share(values: np.ndarray) -> np.ndarray:
        smooth = values + SMOOTH
        return np.log(smooth / smooth.sum(axis=1, keepdims=True))

    return share(totals) - share(others)


def _cut(text: str, spans: Sequence[tuple[int, int, int]], speaks: Any, least: float, most: float) -> list[Piece]:
    pieces, end = [], 0
    for (start, stop, _), strength in zip(spans, speaks.tolist()):
        if abs(strength) < least:
            continue
        if start > end:
            pieces.append(Piece(text[end:start]))
        level = 1 + min(LEVELS - 1, int(LEVELS * abs(strength) / most))
        pieces.append(Piece(text[start:stop], "proposed" if strength > 0 else "given", level))
        end = stop
    return pieces + ([Piece(text[end:])] if end < len(text) or not pieces else [])
