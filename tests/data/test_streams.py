"""Streams are read one event at a time, whatever the file, and say what is wrong with it and where."""

from __future__ import annotations

import gzip
import itertools
import json

import numpy as np
import pandas as pd
import pytest

from errata.data.streams import Events, open_events
from errata.errors import DataError, ParameterError, UnknownNameError

EVENTS = [
    ({"size": 1.5, "colour": "red"}, {"a": True, "b": False}),
    ({"size": None, "colour": "blau, grün"}, {"a": False, "b": True}),
    ({"size": -2.0, "colour": None}, {"a": True}),
]
CSV = 'size,colour,a,b\n1.5,red,1,0\n,"blau, grün",0,1\n-2,,yes,\n'


def write(path, text):
    data = text.encode("utf-8")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["e.csv", "e.csv.gz"])
@pytest.mark.parametrize("label", ["a,b", ["a", "b"], 2, "2", "last:2"])
def test_a_table_as_text(tmp_path, name, label):
    stream = open_events(write(tmp_path / name, CSV), label)
    assert list(stream) == EVENTS
    assert list(stream) == EVENTS  # from the beginning again
    assert stream.labels == ("a", "b")
    assert "2 labels (a, b)" in stream.describe()[0]


def test_other_separators_a_mark_and_no_header(tmp_path):
    assert list(open_events(write(tmp_path / "e.tsv", "\ufeffx\tl\n1\t1\n"), "l")) == [({"x": 1.0}, {"l": True})]
    stream = open_events(write(tmp_path / "e.csv", "3;0\n"), "last:1", separator=";", header=False)
    assert list(stream) == [({"column 1": 3.0}, {"column 2": False})]


def test_labels_may_be_the_first_columns_or_named_by_an_xml(tmp_path):
    path = write(tmp_path / "e.csv", "a,b,x\n1,0,5\n")
    assert list(open_events(path, -2)) == [({"x": 5.0}, {"a": True, "b": False})]
    xml = write(tmp_path / "e.xml", '<labels xmlns="http://mulan.sourceforge.net/labels"><label name="b"/></labels>')
    assert list(open_events(path, str(xml))) == [({"a": 1.0, "x": 5.0}, {"b": False})]
    assert list(open_events(path, xml)) == list(open_events(path, str(xml)))


def test_json_lines_with_lists_of_labels(tmp_path):
    rows = [{"x": 1, "tags": ["a"]}, {"x": 2, "tags": ["b", "a"]}, {"x": 3, "tags": []}, {"x": 4}]
    path = write(tmp_path / "e.jsonl", "\n".join(json.dumps(row) for row in rows) + "\n\n")
    stream = open_events(path, "tags")
    assert stream.labels is None
    told = [y for _, y in stream]
    assert told == [{"a": True}, {"a": True, "b": True}, {"a": False, "b": False}, {}]
    assert [x for x, _ in stream] == [{"x": 1}, {"x": 2}, {"x": 3}, {"x": 4}]


@pytest.mark.parametrize("separator", ["|", ";"])
def test_a_column_of_texts_with_several_labels(tmp_path, separator):
    path = write(tmp_path / "e.csv", f"x,tags\n1,red{separator}blue\n2,\n3,green\n")
    assert [y for _, y in open_events(path, "tags")] == [
        {"red": True, "blue": True},
        {},
        {"red": False, "blue": False, "green": True},
    ]


def test_parquet_and_tables(tmp_path):
    frame = pd.DataFrame({"x": [1.0, np.nan], "name": ["é", None], "l": [True, False], "tags": [["p", "q"], ["q"]]})
    path = tmp_path / "e.parquet"
    frame.to_parquet(path)
    for source in (path, frame):
        stream = open_events(source, "l")
        assert stream.length == 2
        with pytest.raises(DataError, match="row 0: the feature 'tags' holds"):
            list(stream)
    frame = frame.drop(columns="tags")
    frame.to_parquet(path)
    wanted = [({"x": 1.0, "name": "é"}, {"l": True}), ({"x": None, "name": None}, {"l": False})]
    assert list(open_events(path, "l")) == list(open_events(frame, "l")) == wanted


ARFF = "@relation r\n@attribute w numeric\n@attribute v {0,1}\n@attribute l {0,1}\n@attribute m {0,1}\n@data\n"


def test_a_sparse_arff_row_has_its_zeros(tmp_path):
    path = write(tmp_path / "e.arff.gz", ARFF + "{0 2.5,3 1}\n{}\n")
    stream = open_events(path, "2")
    assert list(stream) == [
        ({"w": 2.5, "v": 0.0}, {"l": False, "m": True}),
        ({"w": 0.0, "v": 0.0}, {"l": False, "m": False}),
    ]
    dense = write(tmp_path / "d.arff", ARFF + "?,1,1,?\n")
    assert list(open_events(dense, "l,m")) == [({"w": None, "v": 1}, {"l": True})]


def test_pairs_of_any_kind():
    assert list(open_events(EVENTS)) == EVENTS
    assert open_events(EVENTS).length == 3
    assert list(open_events(iter(EVENTS))) == EVENTS
    stream = open_events(EVENTS)
    assert isinstance(stream, Events)
    assert open_events(stream) is stream


def test_nothing_is_read_before_it_is_needed(tmp_path):
    path = write(tmp_path / "e.csv", "x,l\n" + "1,0\n" * 300 + "1,maybe\n")
    assert len(list(itertools.islice(open_events(path, "l"), 300))) == 300
    with pytest.raises(DataError, match=r"row 302: expected 0 or 1 .* for the label 'l'; found 'maybe'"):
        list(open_events(path, "l"))


@pytest.mark.parametrize(
    ("name", "text", "label", "error", "says"),
    [
        ("e.csv", "", "l", DataError, "empty"),
        ("e.csv", "x,l\n", "l", DataError, "no rows"),
        ("e.csv", "x,l\n1,0\n1\n", "l", DataError, "line 3: expected 2 fields, as in the header; found 1"),
        ("e.csv", "x,l\n1,0\n", None, ParameterError, "Which columns .* are labels"),
        ("e.csv", "x,l\n1,0\n", "k", UnknownNameError, "no column named 'k'"),
        ("e.csv", "x,l\n1,0\n", 2, DataError, "2 of them can't be labels"),
        ("e.csv", "x,l\n1,0\n", "x,l", DataError, "all 2 columns are labels"),
        ("e.jsonl", '{"x": 1, "l": 0}\nnot json\n', "l", DataError, "line 2: this is no JSON"),
        ("e.jsonl", "[1, 2]\n", "l", DataError, "line 1: expected an object per line"),
        ("e.arff", ARFF + "1,1,1,1\n1,1,1\n", 2, DataError, "line 8"),
        ("e.txt", "x", "l", DataError, "ending that is not known"),
        ("e.parquet", "no parquet", "l", DataError, "damaged or not a Parquet file"),
        ("e.csv.gz", None, "l", DataError, "can't be read"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, name, text, label, error, says):
    path = tmp_path / name
    path.write_bytes(b"no gzip") if text is None else write(path, text)
    with pytest.raises(error, match=says):
        list(open_events(path, label))


@pytest.mark.parametrize("pairs", [[1], [({"a": 1}, "word")], [({"a": 1}, 5)], [("a", {})]])
def test_odd_pairs_are_refused_with_their_number(pairs):
    with pytest.raises(DataError, match="Event 0: expected"):
        list(open_events(pairs))


def test_what_is_no_stream_is_refused(tmp_path):
    with pytest.raises(DataError, match="not there"):
        open_events(tmp_path / "none.csv", "l")
    with pytest.raises(DataError, match="a folder, not a stream"):
        open_events(tmp_path, "l")
    with pytest.raises(ParameterError, match="got int"):
        open_events(5)


def test_mulan_sets_have_their_labels(shared_data):
    stream = open_events(shared_data / "multilabel" / "enron-train.arff.gz", 53)
    for x, y in itertools.islice(stream, 50):
        assert len(y) == 53
        assert len(x) == 1001
        assert any(x.values())
