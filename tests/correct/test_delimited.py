"""Text tables: the label's field of a decided row becomes another, and no other byte."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import errata
from errata.correct.apply import apply_to_file
from errata.errors import DataError, LedgerError
from errata.ledger import Ledger

CLASSES = ["a", "b c", "é,;|x", 'q"q']
WORDS = st.text(alphabet='ab";,|\n\r é漢', max_size=6)
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def field(text: str, quoted: bool, separator: str) -> str:
    """A field as some program might write it."""
    if quoted or any(mark in text for mark in (separator, '"', "\n", "\r")):
        return '"' + text.replace('"', '""') + '"'
    return text


@st.composite
def tables(draw):
    """The pieces of a file and the decisions: a row is its code, its fields, its line's end and blank lines behind."""
    separator = draw(st.sampled_from([",", ";", "|"]))
    width = draw(st.integers(1, 4))
    place = draw(st.integers(0, width - 1))
    rows = []
    for _ in range(draw(st.integers(1, 7))):
        code = draw(st.integers(-1, len(CLASSES) - 1))
        cells = [field(draw(WORDS), draw(st.booleans()), separator) for _ in range(width)]
        name = CLASSES[code] if code >= 0 else ""
        cells[place] = field(name, draw(st.booleans()) or (width == 1 and not name), separator)
        end = draw(LINE_ENDS)
        rows.append((code, cells, end, end * draw(st.integers(0, 2))))
    decisions = [draw(st.sampled_from([None, "drop", 0, 1, 2, 3])) for _ in rows]
    last_end = draw(st.booleans())
    return separator, width, place, rows, decisions, draw(st.sampled_from(["", "\ufeff"])), draw(LINE_ENDS), last_end


def written(table, decisions) -> bytes:
    """The file, with the decisions carried out by hand."""
    separator, width, place, rows, _, bom, header_end, last_end = table
    names = ["label" if i == place else f"c{i}" for i in range(width)]
    text = bom + separator.join(names) + header_end
    for i, ((_, cells, end, blank), decision) in enumerate(zip(rows, decisions)):
        if decision != "drop":
            cells = list(cells)
            if decision is not None:
                cells[place] = field(CLASSES[decision], cells[place].startswith('"'), separator)
            text += separator.join(cells) + (end if last_end or i < len(rows) - 1 else "")
        if last_end or i < len(rows) - 1:
            text += blank
    return text.encode("utf-8")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(tables())
def test_only_decided_labels_change_byte_for_byte(tmp_path, carry_out, table):
    separator, _, _, rows, decisions = table[:5]
    codes = np.array([row[0] for row in rows])
    if (codes < 0).all() or all(d == "drop" or (d is None and c < 0) for d, c in zip(decisions, codes)):
        return  # without a single label there is no label's column
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes(written(table, [None] * len(rows)))
    ledger = Ledger(codes, codes, np.where(codes < 0, np.nan, 0.5), classes=CLASSES, meta={"source": str(source)})
    table_of = [
        (row, "drop") if d == "drop" else (row, "relabel", CLASSES[d])
        for row, d in enumerate(decisions)
        if d is not None
    ]
    carry_out(ledger, table_of, source, out, "label", separator=separator)
    expected = [None if d == c else d for d, c in zip(decisions, codes)]
    assert out.read_bytes() == written(table, expected)
    if "drop" not in decisions:
        carry_out(ledger, table_of, out, tmp_path / "again.csv", "label", separator=separator)
        assert (tmp_path / "again.csv").read_bytes() == out.read_bytes()


def test_the_corrected_file_reads_with_the_corrected_labels(reviews, ledger_for, tmp_path):
    ledger = ledger_for(reviews, "stars")
    decisions = [(0, "relabel", "1"), (3, "relabel", 5), (4, "relabel", 5), (5, "drop")]
    outcome = apply_to_file(ledger, decisions, tmp_path / "clean.csv")
    assert outcome.counts == {"relabelled": 2, "filled": 1, "dropped": 1, "left_in": 0, "kept": 0}
    data = errata.read(tmp_path / "clean.csv", "stars")
    assert data.labels.names().tolist() == [1, 1, 5, 5, 5]
    before, after = reviews.read_bytes(), (tmp_path / "clean.csv").read_bytes()
    assert after == before.replace(b'really",5', b'really",1').replace('漢",,4'.encode(), '漢",5,4'.encode()).replace(
        b'last,"1"', b'last,"5"'
    ).replace(b'more,5,"6"\r\n', b"")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "gbk", "shift_jis"])
def test_every_encoding_stays(tmp_path, ledger_for, encoding):
    word = "été" if encoding in ("latin-1", "cp1252") else "表|漢" if encoding in ("gbk", "shift_jis") else "漢é"
    text = f"x,label\r\n{word},yes\r\n{word} 2,no\r\n\r\nz,yes\r\n"
    source, out = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_bytes(text.encode(encoding))
    ledger = ledger_for(source, "label", encoding=encoding)
    apply_to_file(ledger, [(1, "relabel", "yes"), (2, "drop")], out)
    assert out.read_bytes() == text.replace("no", "yes").replace("z,yes\r\n", "").encode(encoding)


def test_a_class_that_the_encoding_has_not_is_told(tmp_path, ledger_for):
    source = tmp_path / "a.csv"
    source.write_bytes("x,label\né,ja\nb,nein\n".encode("latin-1"))
    ledger = ledger_for(source, "label", encoding="latin-1")
    with pytest.raises(DataError, match="'漢' can't be written as latin-1"):
        apply_to_file(ledger, [(0, "relabel", "漢")], tmp_path / "b.csv", new_classes=True)
    assert not (tmp_path / "b.csv").exists()


def test_gzip_goes_in_and_out_and_gives_the_same_file_twice(reviews, ledger_for, tmp_path):
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(reviews.read_bytes()))
    ledger = ledger_for(packed, "stars")
    apply_to_file(ledger, [(0, "relabel", 1)], tmp_path / "one.csv.gz")
    apply_to_file(ledger, [(0, "relabel", 1)], tmp_path / "two.csv.gz")
    apply_to_file(ledger, [(0, "relabel", 1)], tmp_path / "plain.csv")
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()
    expected = reviews.read_bytes().replace(b'really",5', b'really",1')
    assert gzip.decompress((tmp_path / "one.csv.gz").read_bytes()) == expected == (tmp_path / "plain.csv").read_bytes()


def test_tab_separated_text_with_bare_quotation_marks(tmp_path, ledger_for):
    source = tmp_path / "a.tsv"
    source.write_bytes(b'text\tlabel\n"open\tyes\n5" nail\tno\n"\tno\n')
    ledger = ledger_for(source)
    apply_to_file(ledger, [(0, "relabel", "no"), (2, "relabel", "yes")], tmp_path / "b.tsv")
    assert (tmp_path / "b.tsv").read_bytes() == b'text\tlabel\n"open\tno\n5" nail\tno\n"\tyes\n'
    with pytest.raises(DataError, match="fields are not quoted"):
        apply_to_file(ledger, [(0, "relabel", "a\tb")], tmp_path / "c.tsv", new_classes=True)


def test_spellings_stay_and_the_most_frequent_one_is_taken(tmp_path, ledger_for):
    source = tmp_path / "a.csv"
    source.write_bytes(b"x,label\na,+1\nb,1.0\nc,1.0\nd,2\ne, 2\n")
    ledger = ledger_for(source)
    assert ledger.classes == [1, 2]
    apply_to_file(ledger, [(3, "relabel", 1), (0, "relabel", 2)], tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_bytes() == b"x,label\na,2\nb,1.0\nc,1.0\nd,1.0\ne, 2\n"


def test_a_file_without_a_header(tmp_path, ledger_for):
    source = tmp_path / "a.csv"
    source.write_bytes(b"a,yes\nb,no\nc,no\n")
    ledger = ledger_for(source, "column 2", header=False)
    apply_to_file(ledger, [(0, "relabel", "no")], tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_bytes() == b"a,no\nb,no\nc,no\n"
    with pytest.raises(DataError, match="no header line"):
        apply_to_file(ledger, [], tmp_path / "c.csv", soft=True)


def test_a_large_file_goes_through_in_pieces(tmp_path, ledger_for, monkeypatch):
    monkeypatch.setattr("errata.correct.delimited.PIECE", 997)
    rng = np.random.default_rng(0)
    rows = [f'{i},"{"word " * int(rng.integers(0, 60))}""{i}""\n",{"yes" if i % 3 else "no"}\n' for i in range(2_000)]
    source, out = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text("n,text,label\n" + "".join(rows), newline="")
    ledger = ledger_for(source, "label")
    changed = sorted(rng.choice(2_000, 300, replace=False).tolist())
    apply_to_file(ledger, [(i, "relabel", "no") if i % 2 else (i, "drop") for i in changed], out)
    expected = list(rows)
    for i in changed:
        expected[i] = expected[i].replace(",yes\n", ",no\n") if i % 2 else ""
    assert out.read_text() == "n,text,label\n" + "".join(expected)


def test_many_rows_take_seconds_and_little_memory(tmp_path):
    import time
    import tracemalloc

    n = 200_000
    codes = np.arange(n) % 4
    source = tmp_path / "a.csv"
    source.write_text(
        "text,label\n" + "".join(f'"text ""{i}"", some words",class {c}\n' for i, c in enumerate(codes.tolist()))
    )
    ledger = Ledger(
        codes,
        (codes + 1) % 4,
        np.full(n, 0.1),
        classes=[f"class {c}" for c in range(4)],
        issue=codes == 0,
        meta={"source": str(source), "label": "label"},
    )
    tracemalloc.start()
    began = time.process_time()
    outcome = apply_to_file(ledger, "proposed", tmp_path / "b.csv", max_rows=1_000)
    seconds = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcome.counts["relabelled"] == 1_000
    assert seconds < 8
    assert (
        peak < 60e6
    )  # a piece of 4 MB with its line ends, and 8 bytes a row a few times over; the file's rows as objects are more


def test_a_label_column_that_is_another_is_told_with_its_rows(reviews, ledger_for, tmp_path):
    ledger = ledger_for(reviews, "stars")
    changed = tmp_path / "changed.csv"
    changed.write_bytes(reviews.read_bytes().replace(b"plain,1", b"plain,5"))
    with pytest.raises(LedgerError, match=r"1 labels differ .row 1 is '5', the ledger has '1'"):
        apply_to_file(ledger, [(0, "relabel", 1)], tmp_path / "b.csv", source=changed)
    shorter = tmp_path / "shorter.csv"
    shorter.write_bytes(reviews.read_bytes().replace(b'plain,1,""\r\n', b""))
    with pytest.raises(LedgerError, match="it has 5 rows, the ledger 6"):
        apply_to_file(ledger, [(0, "relabel", 1)], tmp_path / "b.csv", source=shorter)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["changed.csv", "reviews.csv", "shorter.csv"]


def test_an_empty_line_before_the_header_is_no_silent_shift(tmp_path):
    source = tmp_path / "a.csv"
    source.write_bytes(b"\nx,label\n1,a\n2,b\n")
    data = errata.read(source, "label")
    names = data.labels.names().tolist()
    ledger = Ledger(data.labels.codes, data.labels.codes, np.ones(len(data)), classes=data.labels.classes)
    out = tmp_path / "b.csv"
    last = len(data) - 1
    if names == ["a", "b"]:
        apply_to_file(ledger, [(last, "relabel", "a")], out, source=source, label="label")
        assert out.read_bytes() == b"\nx,label\n1,a\n2,a\n"
        return
    with pytest.raises(DataError, match="empty line before the header"):  # as long as the header is read as a row
        apply_to_file(ledger, [(last, "relabel", "a")], out, source=source, label="label")
    assert not out.exists()


def test_soft_columns_are_added_behind_each_row(reviews, ledger_for, tmp_path):
    ledger = ledger_for(reviews, "stars")
    out, again = tmp_path / "soft.csv", tmp_path / "again.csv"
    apply_to_file(ledger, [(0, "relabel", 1), (1, "keep"), (2, "drop")], out, soft=True)
    lines = out.read_bytes().decode().split("\r\n")
    assert lines[0] == '\ufefftext,stars,"n, o",p_1,p_5'
    assert lines[1] == '"good, really",1,1,1,0'
    assert lines[2] == 'plain,1,"",1,0'
    assert lines[3] == '"é 漢",,4,,'  # nothing is known of a row without label and decision
    assert lines[4] == 'last,"1",5,0.9,0.1'
    apply_to_file(ledger, [(0, "relabel", 1), (1, "keep"), (2, "drop")], again, source=out, soft=True)
    assert again.read_bytes() == out.read_bytes()


def test_a_column_where_probabilities_should_go_is_not_overwritten(tmp_path, ledger_for):
    source = tmp_path / "a.csv"
    source.write_bytes(b"x,label,p_a\n1,a,0.3\n2,b,0.4\n")
    with pytest.raises(DataError, match="has a column 'p_a' already"):
        apply_to_file(ledger_for(source, "label"), [(0, "relabel", "b")], tmp_path / "b.csv", soft=True)
    assert not (tmp_path / "b.csv").exists()
