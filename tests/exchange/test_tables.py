"""Tables of decisions."""

from __future__ import annotations

import pytest

from errata.errors import DataError
from errata.exchange import Answer, read_answers
from errata.exchange.tables import write_answers


def read(folder, tmp_path, text):
    (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_answers(folder, tmp_path / "t.csv", "csv", reviewer="me")


def test_lines_with_an_action_decide(texts, tmp_path):
    found = read(
        texts,
        tmp_path,
        '\ufeffRow, Action ,label,note\n2,RELABEL,pos,ok\n\n0,keep,neg,\n5,,neg,\n1,skip\n3, drop ,,"two\nlines"\n',
    )
    assert found == [
        Answer(2, "relabel", "pos", "me", "", "ok"),
        Answer(0, "keep", None, "me"),
        Answer(1, "skip", None, "me"),
        Answer(3, "drop", None, "me", "", "two\nlines"),
    ]


def test_to_relabel_as_what_it_is_already_is_to_keep(texts, tmp_path):
    assert read(texts, tmp_path, "row,action,label\n0,relabel,neg\n")[0].action == "keep"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"line 1: expected the columns row, action, label; found \[\]"),
        ("row;action\n1;keep\n", "line 1: expected the columns"),
        ("row,action\n1,burn\n", "line 2: expected an action .*; found 'burn'"),
        ("row,action\none,keep\n", "line 2: expected a row of the ledger; found 'one'"),
        ("row,action,label\n0,relabel,\n", "line 2: expected one of the classes neg, pos; found ''"),
        ('row,action\n1,"keep\n', "line 2: expected a CSV table"),
        (b"row,action\n\xe9,keep\n", "expected text in UTF-8"),
    ],
)
def test_what_is_not_as_expected_is_told_by_line(texts, tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        read(texts, tmp_path, text)


def test_decisions_alone_are_written_and_read(texts, tmp_path):
    answers = [Answer(2, "relabel", "pos", "ann, b", "2026", 'say "so"'), Answer(5, "drop", None, "ann", "2026", "")]
    write_answers(answers, tmp_path / "t.csv")
    assert read_answers(texts, tmp_path / "t.csv", "csv") == answers
