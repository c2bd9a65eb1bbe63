"""Labels of tokens as spans of a sentence, and back: what other tools show and give back.

A span is a run of tokens with one type. In the usual chunk codes (IOB1, IOB2, BIOES, BILOU) the type stands behind the
prefix; labels without prefixes, such as parts of speech, are types themselves, and equal neighbours make one span.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from errata.errors import DataError

__all__ = ["Code", "Span"]

_PREFIXED = re.compile(r"([BIOESLU])-(.+)$", re.DOTALL)
OUTSIDE = "O"


class Span(NamedTuple):
    """Tokens ``start`` to ``stop`` (the first behind it), of a type."""

    start: int
    stop: int
    type: str


class Code:
    """How labels of tokens code spans; found out from the labels that occur.

    Parameters
    ----------
    names : the labels that occur, text or whole numbers
    sentences : sentences of labels, to tell IOB1 from IOB2 by

    Attributes
    ----------
    name : "IOB2", "IOB1", "BIOES", "BILOU", "IO", or "" where labels are types themselves
    types : the types of spans, in the order of ``names``

    Examples
    --------
    >>> code = Code(["B-LOC", "I-LOC", "O"])
    >>> code.spans(["O", "B-LOC", "I-LOC", "B-LOC"])
    [Span(start=1, stop=3, type='LOC'), Span(start=3, stop=4, type='LOC')]
    >>> code.labels([Span(0, 2, "LOC")], ["O", "B-LOC", "O"])
    ['B-LOC', 'I-LOC', 'O']
    """

    def __init__(self, names: Sequence[Any], sentences: Iterable[Sequence[Any]] = ()) -> None:
        self._by_word = {str(name): name for name in names if name is not None}
        inside = [word for word in self._by_word if word != OUTSIDE]
        found = [_PREFIXED.match(word) for word in inside]
        self.prefixed = bool(inside) and all(found)
        self.outside: Any = self._by_word.get(OUTSIDE)
        if self.prefixed:
            self.types = list(dict.fromkeys(m.group(2) for m in found if m))
            self.name = _name({m.group(1) for m in found if m}, sentences, self)
        else:
            self.types, self.name = inside, ""

    def split(self, label: Any) -> tuple[str, str]:
        """A label's prefix and type; of "O" and of none both are empty."""
        if label is None or label == self.outside:
            return "", ""
        match = _PREFIXED.match(str(label)) if self.prefixed else None
        return (match.group(1), match.group(2)) if match else ("", str(label))

    def spans(self, labels: Sequence[Any]) -> list[Span]:
        """The spans of a sentence; sequences that the code does not allow are read as conlleval does."""
        found: list[Span] = []
        start, kind, ended = -1, "", True
        for place, label in enumerate([*labels, None]):
            prefix, new = self.split(label)
            begins = bool(new) and (not kind or ended or new != kind or prefix in ("B", "S", "U"))
            if kind and (begins or not new):
                found.append(Span(start, place, kind))
                kind = ""
            if begins:
                start, kind = place, new
            ended = prefix in ("E", "L", "S", "U")
        return found

    def labels(self, spans: Iterable[Span], before: Sequence[Any]) -> list[Any]:
        """The labels of a sentence with these spans.

        Spans that were there before keep their labels as they were, and so do tokens without a label; all else is coded
        anew.

        Parameters
        ----------
        spans : in any order
        before : the labels as they were

        Raises
        ------
        DataError
            where spans overlap, lie outside the sentence, or leave a token without a label that needs one
        """
        known = set(self.spans(before))
        new: list[Any] = [None if label is None else self.outside for label in before]
        taken = [False] * len(before)
        kind_before = ""
        for span in sorted(spans):
            if not 0 <= span.start < span.stop <= len(before):
                raise DataError(f"expected spans within {len(before)} tokens; found {span.start} to {span.stop}")
            if any(taken[span.start : span.stop]):
                raise DataError("expected spans that do not overlap: a token has one label")
            touches = span.start > 0 and taken[span.start - 1] and kind_before == span.type
            places = range(span.start, span.stop)
            for place in places:
                taken[place] = True
                keeps = span in known and not (touches and self.split(before[span.start])[0] == "I")
                new[place] = before[place] if keeps else self._coded(span, place, touches)
            kind_before = span.type
        if self.outside is None:
            bare = next((i for i, label in enumerate(before) if label is not None and not taken[i]), None)
            if bare is not None:
                raise DataError(f"expected a label for every token; token {bare} has none any more")
        return new

    def _coded(self, span: Span, place: int, touches: bool) -> Any:
        if not self.prefixed:
            return self._by_word.get(span.type, span.type)
        first, last = place == span.start, place == span.stop - 1
        if self.name in ("BIOES", "BILOU"):
            single, end = ("S", "E") if self.name == "BIOES" else ("U", "L")
            prefix = single if first and last else "B" if first else end if last else "I"
        elif self.name == "IO":
            prefix = "I"
        else:
            prefix = "B" if first and (self.name == "IOB2" or touches) else "I"
        return f"{prefix}-{span.type}"


def _name(prefixes: set[str], sentences: Iterable[Sequence[Any]], code: Code) -> str:
    if prefixes & {"E", "S"}:
        return "BIOES"
    if prefixes & {"L", "U"}:
        return "BILOU"
    if "B" not in prefixes:
        return "IO"
    begins = {"B": 0, "I": 0}
    for labels in sentences:
        last = ""
        for label in labels:
            prefix, kind = code.split(label)
            if kind and kind != last:
                begins[prefix if prefix == "B" else "I"] += 1
            last = kind
    return "IOB1" if begins["I"] > begins["B"] else "IOB2"
