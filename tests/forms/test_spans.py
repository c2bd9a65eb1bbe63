"""Labels of tokens as spans, and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.errors import DataError
from errata.forms.spans import Code, Span

CODES = {
    "IOB2": ["O", "B-A", "I-A", "B-B", "I-B"],
    "BIOES": ["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "E-B", "S-B"],
    "BILOU": ["O", "B-A", "I-A", "L-A", "U-A", "B-B", "I-B", "L-B", "U-B"],
    "IO": ["O", "I-A", "I-B"],
    "": ["O", "A", "B"],
}


def disjoint(lengths):
    """Spans one after the other, from (gap, length, type)."""
    spans, at = [], 0
    for gap, length, kind in lengths:
        spans.append(Span(at + gap, at + gap + length, kind))
        at += gap + length
    return spans, at


PIECES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from("AB")), max_size=5)


@pytest.mark.parametrize("name", CODES)
@settings(deadline=None)
@given(PIECES)
def test_spans_come_back(name, pieces):
    code = Code(CODES[name])
    assert code.name == name
    assert code.types == ["A", "B"]
    spans, length = disjoint(pieces)
    before = ["O"] * (length + 1)
    assert code.spans(code.labels(spans, before)) == spans


@settings(deadline=None)
@given(st.lists(st.sampled_from(CODES["IOB2"]), max_size=12))
def test_what_nobody_changed_stays_however_odd_it_is(labels):
    code = Code(CODES["IOB2"])
    assert code.labels(code.spans(labels), labels) == labels


def test_iob1_is_told_by_its_sentences():
    sentences = [["I-A", "O", "I-A", "B-A"], ["O", "I-B", "I-B"]]
    code = Code(["O", "I-A", "B-A", "I-B"], sentences)
    assert code.name == "IOB1"
    assert code.spans(sentences[0]) == [Span(0, 1, "A"), Span(2, 3, "A"), Span(3, 4, "A")]
    assert code.labels([Span(0, 1, "A"), Span(1, 2, "A"), Span(2, 3, "B")], ["O"] * 4) == ["I-A", "B-A", "I-B", "O"]
    assert code.labels([Span(0, 1, "A"), Span(1, 2, "A")], ["O", "I-A"]) == ["I-A", "B-A"]  # else they would be one


def test_tokens_without_a_label_keep_none():
    code = Code(["O", "B-A"])
    assert code.labels([Span(1, 2, "A")], [None, "O", None]) == [None, "B-A", None]


def test_labels_that_are_numbers_stay_numbers():
    code = Code([0, 1, 2])
    assert code.labels([Span(0, 1, "2"), Span(1, 3, "0")], [1, 0, 0]) == [2, 0, 0]


@pytest.mark.parametrize(
    ("names", "spans", "said"),
    [
        (["O", "B-A"], [Span(0, 2, "A"), Span(1, 3, "A")], "do not overlap"),
        (["O", "B-A"], [Span(2, 4, "A")], "within 3 tokens"),
        (["NOUN", "VERB"], [Span(0, 1, "NOUN")], "token 1 has none"),
    ],
)
def test_what_can_not_be_coded_is_refused(names, spans, said):
    with pytest.raises(DataError, match=said):
        Code(names).labels(spans, [names[0]] * 3)
