"""Tables as text: what comes back is what was written, and every broken file is told with its place."""

from __future__ import annotations

import csv
import gzip
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errata.data import read
from errata.data.delimited import read_delimited
from errata.errors import DataError, ParameterError, UnknownNameError

fields = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
words = st.text("aé日\"',;\t\n\r x1", max_size=6)


def written(folder: Path, text: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(st.tuples(fields | words, fields | words), min_size=1, max_size=8), separator=st.sampled_from(",;\t|")
)
def test_odd_strings_survive_a_round_trip_through_csv(tmp_path, rows, separator):
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("word: it", "text"), *rows])
    path = written(tmp_path, buffer.getvalue())
    table = read_delimited(path, separator=separator, choose=lambda names: ("text", names)).table
    back = table["text"].cast("string").to_pylist()
    assert back == [second for _, second in rows]  # the label's column keeps its words whatever they are


def test_a_file_of_many_blocks_reads_as_one_of_few(tmp_path, monkeypatch):
    from errata.data import delimited_rows

    lines = [f'{i},{i / 7},"text ""{i}"", with\nbreak",{"ab"[i % 2]},{"" if i % 3 else i}' for i in range(2000)]
    path = written(tmp_path, "n,x,t,c,gap\n" + "\n".join(lines))
    whole = read_delimited(path).table
    monkeypatch.setattr(delimited_rows, "BLOCK", 700)
    cut = read_delimited(path).table
    assert cut.column("n").num_chunks > 20
    assert whole.to_pandas().astype(str).equals(cut.to_pandas().astype(str))
    assert cut["t"][17].as_py() == 'text "17", with\nbreak'
    assert cut["gap"].null_count == 2000 - 667


def test_a_row_longer_than_a_block_is_read(tmp_path, monkeypatch):
    from errata.data import delimited_rows

    monkeypatch.setattr(delimited_rows, "BLOCK", 1000)
    path = written(tmp_path, "text,label\n" + "short,a\n" * 500 + "x" * 9000 + ",b\n" + "short,a\n" * 5)
    table = read_delimited(path).table
    assert table.num_rows == 506
    assert len(table["text"][500].as_py()) == 9000


def test_a_column_that_turns_out_to_be_words_keeps_every_word(tmp_path, monkeypatch):
    from errata.data import delimited_rows

    monkeypatch.setattr(delimited_rows, "BLOCK", 256)
    values = ["1.50", "NA", "2"] * 200 + ["two"]
    path = written(tmp_path, "v,n\n" + "".join(f"{v},{i}\n" for i, v in enumerate(values)))
    table = read_delimited(path).table
    assert table["v"].cast("string").to_pylist() == values  # not 1.5, and NA is a word among words
    assert table["n"].to_pylist() == list(range(601))


def test_words_that_stand_for_nothing_are_words_in_texts_and_labels(tmp_path):
    rows = "".join(
        f"{t},{c}\n"
        for t, c in [("NA is a place", "NA"), ("None of it was good", "None"), ("null and void it is", "a")] * 4
    )
    data = read(written(tmp_path, "text,label\n" + rows))
    assert data.labels.classes == ["NA", "None", "a"]
    assert data.texts()[:2] == ["NA is a place", "None of it was good"]


def test_missing_words_are_gaps_among_numbers(tmp_path):
    data = read(written(tmp_path, "n,label\n" + "1,a\nNA,b\n,a\n2.5,b\nnull,a\n"))
    assert (data.columns[0].kind, data.columns[0].missing) == ("number", 3)
    assert any("missing in 'n' (3)" in line for line in data.describe())


def test_numbers_with_leading_zeros_and_hex_are_names(tmp_path):
    data = read(written(tmp_path, "zip,hex,label\n" + "01234,0x1F,a\n04321,0x2F,b\n" * 12))
    assert [c.kind for c in data.columns[:2]] == ["category", "category"]


def test_labels_that_are_whole_numbers_are_integers(tmp_path):
    assert read(written(tmp_path, "n,label\n5,1\n6,0\n7, 1 \n")).labels.classes == [0, 1]
    assert read(written(tmp_path, "n,label\n5,1.0\n6,2.0\n7,\n")).labels.classes == [1, 2]
    assert read(written(tmp_path, "n,label\n5,01\n6,02\n7,01\n")).labels.classes == ["01", "02"]
    assert read(written(tmp_path, "n,label\n5,true\n6,false\n7,true\n")).labels.classes == ["false", "true"]


def test_labels_that_are_no_classes_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"not whole, such as .*1\.25.* in row 0"):
        read(written(tmp_path, "n,label\n5,1.25\n6,2.5\n"))
    with pytest.raises(DataError, match="300 different values in 300 labelled rows"):
        read(written(tmp_path, "n,label\n" + "".join(f"{i % 7},name{i}\n" for i in range(300))))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "a;b;label\n1;x, y;p\n2;z;q\n"),
        ("a.csv", "a\tb\tlabel\n1\tx, y\tp\n2\tz\tq\n"),
        ("a.csv", "a|b|label\n1|x, y|p\n2|z|q\n"),
        ("a.tsv", "a\tb\tlabel\n1\tx, y\tp\n2\tz\tq\n"),
        ("a.csv", 'a,b,label\n1,"x, y",p\n2,z,q\n'),
        ("a.csv", 'a,b,label\r\n1,"x, y",p\r\n\r\n2,z,q\r\n'),
        ("a.csv", '\ufeffa,b,label\n1,"x, y",p\n2,z,q'),
    ],
)
def test_separators_line_ends_and_byte_order_marks_are_found_out(tmp_path, name, text):
    path = written(tmp_path, text, name)
    table = read_delimited(path).table
    assert table.column_names == ["a", "b", "label"]
    assert table["b"].cast("string").to_pylist() == ["x, y", "z"]


def test_gzipped_files_and_other_encodings_are_read(tmp_path):
    text = "text,label\nGrüße aus Köln,gut\nBäh und pfui,schlecht\n"
    for name, blob, options in [
        ("a.csv.gz", gzip.compress(text.encode()), {}),
        ("b.csv", text.encode("latin-1"), {"encoding": "latin-1"}),
        ("c.csv", text.encode("utf-16"), {}),
        ("d.csv", b"\xef\xbb\xbf" + text.encode(), {}),
    ]:
        data = read(written(tmp_path, blob, name), **options)
        assert data.texts()[0] == "Grüße aus Köln", name
        assert data.labels.classes == ["gut", "schlecht"]


def test_decimal_commas_are_numbers_where_semicolons_separate(tmp_path):
    data = read(written(tmp_path, "price;label\n1,5;a\n-2,25;b\n3;a\n"))
    assert data.columns[0].kind == "number"
    assert data.column("price").to_pylist() == [1.5, -2.25, 3.0]


def test_quotation_marks_in_tab_separated_texts_are_kept(tmp_path):
    rows = "".join(f'"Never" again {i}\ta\n"unbalanced {i} it is\tb\nplain "quoted" word\ta\n' for i in range(5))
    data = read(written(tmp_path, "text\tlabel\n" + rows, "a.tsv"))
    assert len(data) == 15
    assert data.texts()[:3] == ['"Never" again 0', '"unbalanced 0 it is', 'plain "quoted" word']
    assert any("Quotation marks" in line for line in data.describe())


def test_files_without_a_header_get_numbered_columns(tmp_path):
    path = written(tmp_path, "what a film it is\t1\nno no and no\t0\n" * 3, "a.tsv")
    data = read(path, "column 2", header=False)
    assert len(data) == 6
    with pytest.raises(DataError, match="header=False"):
        read(path)


# -- what is wrong is told with its place -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,label\n", "header line .* no rows"),
        ("a,label,a\n1,2,3\n", r"more than one column named 'a' \(columns 1, 3\)"),
        ("a,label\n1,x\n2\n3,y\n", r"line 3: expected 2 fields, .* found 1: '2'"),
        ("a,label\n1,x\n2,y,z\n", "line 3: expected 2 fields, .* found 3: '2,y,z'"),
        ('a,label\n1,"x\n2,y\n3,z\n', "never closed"),
        ('a,label,c\n1,"x\n2,y\n3,z\n', "lines 2 to 4.*quotation mark"),
        (b"a,label\nok,x\nna\xefve,y\n", "not UTF-8 text.*line 3, at byte 3: 0xEF"),
        (b"\x1f\x8b\x00garbage", "not UTF-8|damaged|can't be read"),
    ],
)
def test_broken_files_are_explained(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)


def test_the_line_of_a_mistake_far_down_is_right(tmp_path):
    rows = [f'{i},"two\nlines",x' for i in range(100_000)]
    rows[80_000] = "80000,only two"
    path = written(tmp_path, "n,text,label\n" + "\n".join(rows))
    with pytest.raises(DataError, match="line 160002: expected 3 fields"):
        read(path)
    rows[80_000] = "80000,café,x"
    path = written(tmp_path, ("n,text,label\n" + "\n".join(rows)).encode("latin-1"))
    with pytest.raises(DataError, match=r"line 160002, at byte 10: 0xE9.*latin-1"):
        read(path)


def test_a_damaged_gzip_file_is_told(tmp_path):
    blob = gzip.compress(b"a,label\n" + b"1,x\n" * 100_000)
    for broken in (blob[: len(blob) // 2], blob[:-6] + b"xxxxxx"):
        with pytest.raises(DataError, match=r"damaged|can't be read"):
            read(written(tmp_path, broken, "a.csv.gz"))


def test_wrong_options_are_told(tmp_path):
    path = written(tmp_path, "a,worst_label\n1,x\n2,y\n")
    with pytest.raises(UnknownNameError, match="Did you mean 'worst_label'"):
        read(path, "wrost_label")
    with pytest.raises(DataError, match="Its columns are: a, worst_label"):
        read(path)
    with pytest.raises(UnknownNameError, match="no column named 'b'"):
        read(path, "worst_label", features=["b"])
    with pytest.raises(ParameterError, match="encoding"):
        read(path, encoding="utf-99")
    with pytest.raises(ParameterError, match="separator"):
        read(path, separator="::")


def test_only_the_columns_in_use_are_kept(tmp_path):
    path = written(tmp_path, "a,b,c,label\n" + "".join(f"{i},{i * 2},{i * 3},{i % 2}\n" for i in range(9)))
    data = read(path, features=["b"])
    assert data.table.column_names == ["b", "label"]


PEAK = """
import resource, sys
from errata.data import read
import pandas, pyarrow, pyarrow.csv, pyarrow.compute, errata.data.roles
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = read(sys.argv[1])
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(data.table.num_rows, data.table.nbytes, (after - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures resident memory as Linux counts it")
def test_memory_holds_one_copy_of_the_data_and_not_the_file_besides(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "big.csv"
    vocabulary = [f"word{i}" for i in range(5000)]
    block = "".join(
        f"{i},{x:.6f},{'ab'[i % 2]},{' '.join(rng.choice(vocabulary, 12))}\n"
        for i, x in enumerate(rng.normal(size=4000))
    )
    with open(path, "w") as file:
        file.write("id,x,label,text\n")
        for _ in range(100):
            file.write(block)
    size = path.stat().st_size
    out = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True).stdout
    rows, held, peak = map(int, out.split())
    assert rows == 400_000
    assert size > 35e6
    assert held < 1.3 * size
    assert peak < 1.6 * size + 100e6  # one copy, the blocks in flight, and what the allocator keeps
