"""A label for each token of a sentence: a JSON list of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from errata.data.conll import Sentences
from errata.errors import DataError
from errata.forms.form import TAKE, Form, Part, flagged_parts, listed
from errata.forms.spans import Code, Span
from errata.ledger import Ledger

__all__ = ["TokensForm"]

SAMPLE = 2000  # sentences that tell how spans are coded


class TokensForm(Form):
    """Labels of tokens; a label is a list with one for each token, None where there is none.

    Parameters
    ----------
    ledger : of ``errata.audit(task="tokens")``
    sentences : the tokens and labels, as they stand in the data

    Examples
    --------
    >>> import errata
    >>> from errata.data.conll import read_sentences
    >>> tokens, labels = [["in", "Rome"], ["to", "Rome"]] * 10, [["O", "LOC"], ["O", "LOC"]] * 10
    >>> labels[3] = ["O", "O"]
    >>> ledger = errata.audit(tokens, labels, task="tokens", folds=4, progress=False)
    >>> form = TokensForm(ledger, read_sentences(tokens, labels))
    >>> form.given(3), form.text(3, form.proposed(3))
    (['O', 'O'], '["O", "LOC"]')
    """

    task = "tokens"

    def __init__(self, ledger: Ledger, sentences: Sentences) -> None:
        super().__init__(ledger)
        self.sentences = sentences
        labels = ledger.meta.get("label_names") or []
        self._by_word = {str(name): name for name in labels}
        self.code = Code(labels, (self.of(sentences, i) for i in range(min(SAMPLE, len(sentences)))))
        self.names = self.code.types

    def of(self, labels: Sentences, number: int) -> list[Any]:
        start, stop = labels.offsets[number : number + 2]
        if labels.labels is None:
            return [None] * int(stop - start)
        return list(labels.labels[start:stop])

    def tokens(self, position: int) -> list[str]:
        """The tokens of an item's sentence."""
        number = self._number(position)
        start, stop = self.sentences.offsets[number : number + 2]
        return [str(token) for token in self.sentences.tokens[start:stop]]

    def _number(self, position: int) -> int:
        row = self.row(position)
        if row >= len(self.sentences):
            raise DataError(f"expected {row + 1:,} sentences or more in {self.sentences.source}")
        return row

    def given(self, position: int) -> list[Any]:
        return self.of(self.sentences, self._number(position))

    def doubts(self, position: int) -> list[Part]:
        tokens, given = self.tokens(position), self.given(position)
        some = [(place, word) for place, word in self._of_row(position) if place < len(tokens)]
        return [Part(f"token {place}, {tokens[place]}", _word(given[place]), str(word)) for place, word in some]

    def taken(self, position: int, choices: Sequence[str]) -> list[Any]:
        """Entities that lose or gain a token are coded anew: no I- is left without its B-."""
        given = self.given(position)
        new = list(given)
        some = [(place, word) for place, word in self._of_row(position) if place < len(new)]
        for (place, word), choice in zip(some, choices):
            if choice:
                name = str(word) if choice == TAKE else choice
                if name not in self._by_word:
                    raise DataError(f"expected one of the labels {', '.join(self.part_names[:5])}; found {name!r}")
                new[place] = self._by_word[name]
        return self.code.labels(self.code.spans(new), given) if self.code.prefixed and new != given else new

    @property
    def part_names(self) -> list[str]:
        return list(self._by_word)

    def _of_row(self, position: int) -> list[tuple[int, Any]]:
        return [(int(place), word) for place, word in self._flagged.get(self.ledger.index[position], [])]

    @cached_property
    def _flagged(self) -> dict[Any, list[tuple[Any, ...]]]:
        return flagged_parts(self.ledger, ["position", "proposed"])

    def text(self, position: int, label: Sequence[Any]) -> str:
        return json.dumps([_plain(one) for one in label], ensure_ascii=False)

    def read(self, position: int, text: str) -> list[Any]:
        labels, count = listed(text, "labels, one for each token"), len(self.tokens(position))
        if len(labels) != count:
            raise DataError(f"expected a JSON list of {count} labels, one for each token; found {text[:60]!r}")
        if any(not isinstance(one, (str, int, type(None))) or one == "" for one in labels):
            raise DataError(f"expected labels as texts, or null for none; found {text[:60]!r}")
        return [None if one is None else self._by_word.get(str(one), one) for one in labels]

    def same(self, one: Sequence[Any], other: Sequence[Any]) -> bool:
        return [_word(a) for a in one] == [_word(b) for b in other]

    def parts(self, position: int, old: Sequence[Any], new: Sequence[Any]) -> list[Part]:
        tokens = self.tokens(position)
        return [
            Part(f"token {place}, {tokens[place]}", _word(a), _word(b))
            for place, (a, b) in enumerate(zip(old, new))
            if _word(a) != _word(b)
        ]

    def fits(self, position: int, label: Sequence[Any]) -> bool:
        count = self.ledger.columns.get("tokens")
        if count is not None and int(count[position]) != len(label):
            return False
        rows, places, words = self._known
        row = self.ledger.index[position]
        some = slice(*(int(np.searchsorted(rows, row, side=side)) for side in ("left", "right")))
        return all(_word(label[place]) == word for place, word in zip(places[some].tolist(), words[some].tolist()))

    @cached_property
    def _known(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the ledger remembers of the given labels, row after row: all, or of the most suspicious million tokens.

        Arrays, as there may be so many: row, place of the token, label as text.
        """
        if self.ledger.parts is None:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=object)
        table = self.ledger.parts
        rows = table["row"].to_numpy()
        order = np.argsort(rows, kind="stable")
        words = table["given"].astype(str).to_numpy(dtype=object)
        return rows[order], table["position"].to_numpy()[order], words[order]

    def unknown(self, label: Sequence[Any]) -> str | None:
        types = set(self.code.types)
        for one in label:
            kind = self.code.split(one)[1]
            if kind and kind not in types:
                return str(one)
        return None

    # -- as spans -----------------------------------------------------------------------------------------------------

    def shapes(self, position: int, label: Sequence[Any]) -> list[dict[str, Any]]:
        """The spans: ``label``, their type, and ``tokens``, the first and the first behind."""
        return [{"label": span.type, "tokens": [span.start, span.stop]} for span in self.code.spans(label)]

    def of_shapes(self, position: int, shapes: Sequence[Any]) -> list[Any]:
        return self.code.labels([_span(shape) for shape in shapes], self.given(position))

    def sentence(self, position: int) -> str:
        """The tokens joined by blanks: the text that places in characters are counted in."""
        return " ".join(self.tokens(position))

    def characters(self, position: int, label: Sequence[Any]) -> list[tuple[int, int, str]]:
        """The spans of a label as (start, end, type) in the characters of ``sentence``."""
        begins, ends = self._edges(position)
        return [(begins[s.start], ends[s.stop - 1], s.type) for s in self.code.spans(label)]

    def of_characters(self, position: int, spans: Sequence[tuple[int, int, str]]) -> list[Any]:
        """The label with these spans; a span that cuts a token takes it whole.

        Raises
        ------
        DataError
            where a span has no token, or two have the same
        """
        begins, ends = self._edges(position)
        found = []
        for start, end, kind in spans:
            inside = [i for i, (a, b) in enumerate(zip(begins, ends)) if a < end and start < b]
            if not inside:
                raise DataError(f"expected spans with at least one token; found characters {start} to {end}")
            found.append(Span(inside[0], inside[-1] + 1, kind))
        return self.code.labels(found, self.given(position))

    def _edges(self, position: int) -> tuple[list[int], list[int]]:
        lengths = [len(token) for token in self.tokens(position)]
        ends = (np.cumsum([n + 1 for n in lengths]) - 1).tolist()
        return [end - n for end, n in zip(ends, lengths)], ends


def _span(shape: Any) -> Span:
    told = repr(shape)[:60]
    name, places = (shape.get("label"), shape.get("tokens")) if isinstance(shape, dict) else (None, None)
    if not isinstance(name, str) or not name:
        raise DataError(f"expected a span: an object with 'label' and 'tokens'; found {told}")
    if not isinstance(places, list) or len(places) != 2 or not all(type(place) is int for place in places):
        raise DataError(f"expected the first token and the first behind in 'tokens'; found {told}")
    return Span(places[0], places[1], name)


def _word(label: Any) -> str:
    return "" if label is None else str(label)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
