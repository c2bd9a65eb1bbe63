"""Records are found where Python's own reader of CSV finds them, whichever way they are found and however cut up."""

from __future__ import annotations

import csv
import io

from hypothesis import example, given
from hypothesis import strategies as st

from errata.correct.records import bounds, fields

TEXTS = st.text(alphabet='a";\n\r, é', max_size=40).map(str.encode)


def records_of(text: bytes, quoted: bool = True) -> list[bytes]:
    found = bounds(text, b",", quoted=quoted, final=True)
    return [text[start:stop] for start, stop in zip(found.starts.tolist(), found.stops.tolist())]


def read_by_python(text: bytes) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(text.decode(), newline="")) if row]


@given(TEXTS)
@example(b'"ab"c"d,"x\ny')
@example(b'a"b,"c""\nd"\r\n\r\re')
@example(b'"a\n')
def test_records_and_fields_are_those_of_pythons_reader(text):
    found = records_of(text)
    assert [len(fields(record, b",", quoted=True)) for record in found] == [len(row) for row in read_by_python(text)]
    for record, row in zip(found, read_by_python(text)):
        parts = [record[start:end] for start, end in fields(record, b",", quoted=True)]
        assert b",".join(parts) == record
        assert read_by_python(record) == [row]
        assert [read_by_python(part) or [[""]] for part in parts] == [[[value]] for value in row]


@given(TEXTS, st.integers(0, 40))
def test_a_text_cut_anywhere_has_the_same_records(text, cut):
    head, tail = text[:cut], text[cut:]
    first = bounds(head, b",", quoted=True, final=False)
    end = int(first.ends[-1]) if len(first.ends) else 0
    whole = [head[start:stop] for start, stop in zip(first.starts.tolist(), first.stops.tolist())]
    assert whole + records_of(head[end:] + tail) == records_of(text)


@given(TEXTS)
def test_what_lies_between_records_are_line_ends_only(text):
    found = bounds(text, b",", quoted=True, final=True)
    at = 0
    for start, stop, end in zip(found.starts.tolist(), found.stops.tolist(), found.ends.tolist()):
        assert set(text[at:start]) <= set(b"\r\n")
        assert text[stop:end] in (b"", b"\n", b"\r", b"\r\n")
        at = end
    assert set(text[at:]) <= set(b"\r\n")


def test_without_quoting_marks_are_characters():
    assert records_of(b'"a\nb"\n', quoted=False) == [b'"a', b'b"']
    assert fields(b'"a,b"', b",", quoted=False) == [(0, 2), (3, 5)]
