"""Parquet, JSON lines, data frames."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from errata.data import read
from errata.errors import DataError, UnknownNameError


def parquet(path, table, metadata=None):
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, path)
    return path


# -- Parquet ----------------------------------------------------------------------------------------------------------


def test_class_names_in_the_metadata_name_the_codes(tmp_path):
    table = pa.table({"n": [0.5, 1.5, 2.5, 3.5], "label": pa.array([2, 0, -1, None], pa.int8())})
    data = read(parquet(tmp_path / "a.parquet", table, {"classes": "cat,dog,eel"}))
    assert data.labels.classes == ["cat", "dog", "eel"]
    assert data.labels.codes.tolist() == [2, 0, -1, -1]
    told = " ".join(data.describe())
    assert "2 rows have no label" in told
    assert "Classes without a single row: dog" in told


def test_class_names_that_do_not_fit_are_left_alone(tmp_path):
    table = pa.table({"n": [0.5, 1.5, 2.5], "label": [0, 1, 7]})
    assert read(parquet(tmp_path / "a.parquet", table, {"classes": "cat,dog"})).labels.classes == [0, 1, 7]
    words = pa.table({"n": [0.5, 1.5, 2.5], "label": ["x", "y", "x"]})
    assert read(parquet(tmp_path / "b.parquet", words, {"classes": "cat,dog"})).labels.classes == ["x", "y"]


def test_hugging_face_metadata_of_one_column_names_its_classes_only(tmp_path):
    info = {"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}, "n": {"_type": "Value"}}}}
    table = pa.table({"n": [0.5, 1.5, 2.5], "label": [0, 1, 1], "y2": [1, 0, 1]})
    path = parquet(tmp_path / "a.parquet", table, {"huggingface": json.dumps(info)})
    assert read(path).labels.classes == ["neg", "pos"]
    assert read(path, "y2").labels.classes == [0, 1]
    damaged = parquet(tmp_path / "b.parquet", table, {"huggingface": "{not json"})
    assert read(damaged).labels.classes == [0, 1]


def test_the_users_class_names_win(tmp_path):
    table = pa.table({"n": [0.5, 1.5, 2.5], "label": [0, 1, 1]})
    path = parquet(tmp_path / "a.parquet", table, {"classes": "cat,dog"})
    assert read(path, classes=["no", "yes"]).labels.classes == ["no", "yes"]
    words = parquet(tmp_path / "b.parquet", pa.table({"n": [0.5, 1.5], "label": ["yes", "no"]}))
    assert read(words, classes=["yes", "no", "maybe"]).labels.codes.tolist() == [0, 1]
    with pytest.raises(UnknownNameError, match=r"class named 'yes'.*'label', row 0"):
        read(words, classes=["no", "maybe"])


def test_labels_of_every_type(tmp_path):
    cases = {
        "ints": (pa.array([3, 1, 3]), [1, 3]),
        "bools": (pa.array([True, False, True]), [False, True]),
        "words": (pa.array(["b", "a", "b"]), ["a", "b"]),
        "coded": (pa.array(["b", "a", "b"]).dictionary_encode(), ["a", "b"]),
        "whole floats": (pa.array([1.0, 2.0, None]), [1, 2]),
        "gaps": (pa.array([None, True, False]), [False, True]),
    }
    for name, (values, classes) in cases.items():
        path = parquet(tmp_path / f"{name}.parquet", pa.table({"n": [0.5, 1.5, 2.5], "label": values}))
        assert read(path).labels.classes == classes, name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([None, None], pa.string()), "no label at all"),
        (pa.array([[1], [2]]), "one class per row"),
        (pa.array([0.5, 1.5]), "not whole"),
        (pa.array([float("nan"), float("nan")]), "no label at all"),
    ],
)
def test_labels_that_are_none(tmp_path, values, message):
    path = parquet(tmp_path / "a.parquet", pa.table({"n": [0.5, 1.5], "label": values}))
    with pytest.raises(DataError, match=message):
        read(path)


def test_broken_parquet_files_are_told(tmp_path):
    path = parquet(tmp_path / "a.parquet", pa.table({"n": [1.5], "label": [0]}))
    (tmp_path / "cut.parquet").write_bytes(path.read_bytes()[:-20])
    (tmp_path / "empty.parquet").write_bytes(b"")
    parquet(tmp_path / "norows.parquet", pa.table({"n": pa.array([], pa.float64()), "label": pa.array([], pa.int8())}))
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["label", "label"])
    parquet(tmp_path / "twice.parquet", twice)
    for name, message in [
        ("cut", "damaged"),
        ("empty", "is empty"),
        ("norows", "no rows"),
        ("twice", "more than one column named 'label'"),
    ]:
        with pytest.raises(DataError, match=message):
            read(tmp_path / f"{name}.parquet")


# -- JSON lines -------------------------------------------------------------------------------------------------------


def test_json_lines_of_mixed_and_nested_values(tmp_path, monkeypatch):
    from errata.data import tables

    monkeypatch.setattr(tables, "ROWS", 3)  # several blocks
    rows = [{"text": f"This is ünïcode text {i}", "n": i if i < 5 else i / 2, "label": i % 2 == 0} for i in range(10)]
    rows[4]["extra"] = {"a": [1, 2]}
    rows[7]["extra"] = "word"
    rows[2]["n"] = None
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress("\n\n".join(json.dumps(r, ensure_ascii=False) for r in rows).encode()))
    data = read(path)
    assert len(data) == 10
    assert data.labels.classes == [False, True]
    assert data.texts()[3] == "This is ünïcode text 3"
    assert data.column("n").to_pylist() == [0, 1, None, 3, 4, 2.5, 3, 3.5, 4, 4.5]
    assert data.column("extra").to_pylist()[4] == '{"a": [1, 2]}'
    assert any("Nested values in extra" in line for line in data.describe())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty"),
        (b'{"a": 1, "label": 2}\n{"a": 1,\n', "line 2: expected a JSON object"),
        (b'{"a": 1}\n[1, 2]\n', "line 2: .* found a list"),
        (b'{"a": 1, "a": 2}\n', "line 1: .*the name 'a' occurs twice"),
        (b'{"a": "caf\xe9"}\n', "line 1 has the byte 0xE9"),
        (b"[" * 100_000, "line 1"),
    ],
)
def test_broken_json_lines_are_told(tmp_path, text, message):
    path = tmp_path / "a.jsonl"
    path.write_bytes(text)
    with pytest.raises(DataError, match=message):
        read(path)


def test_whole_numbers_beyond_64_bits_are_words(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"id": {10**25 + i % 3}, "label": {i % 2}}}\n' for i in range(12)))
    assert read(path).columns[0].kind == "category"


# -- data frames ------------------------------------------------------------------------------------------------------


def test_a_data_frame_of_every_kind_of_column():
    n = 40
    frame = pd.DataFrame(
        {
            "number": np.arange(n) % 7 + 0.5,
            "integer": pd.array([1, None, 3, 4] * 10, dtype="Int64"),
            "flag": [True, False] * 20,
            "coded": pd.Categorical(["x", "y", "z", None] * 10),
            "mixed": [1, "a", None, 2.5] * 10,
            "when": pd.date_range("2020-01-01", periods=n),
            "day": [f"2021-03-{i % 28 + 1:02d}" for i in range(n)],
            "constant": 1,
            "nothing": None,
            "key": [f"u{i:05d}" for i in range(n)],
            5: np.arange(n),
            "label": ["p", "q"] * 20,
        },
        index=pd.RangeIndex(100, 100 + n),
    )
    data = read(frame)
    found = {c.name: c.kind for c in data.columns}
    assert found == {
        "number": "number",
        "integer": "number",
        "flag": "category",
        "coded": "category",
        "mixed": "category",
        "when": "ignored",
        "day": "ignored",
        "constant": "ignored",
        "nothing": "ignored",
        "key": "ignored",
        "5": "ignored",
        "label": "category",
    }
    notes = {c.name: c.note for c in data.columns}
    assert "dates" in notes["when"]
    assert "same value" in notes["constant"]
    assert "empty" in notes["nothing"]
    assert "identifier" in notes["key"]
    assert "counts the rows" in notes["5"]
    assert data.rows.tolist() == list(range(n))


def test_wrong_data_frames_are_told():
    with pytest.raises(DataError, match="more than one column named 'a'"):
        read(pd.DataFrame([[1, 2, 3]], columns=["a", "a", "label"]))
    with pytest.raises(DataError, match="no rows"):
        read(pd.DataFrame({"a": [], "label": []}))
    with pytest.raises(DataError, match="is empty"):
        read(pd.DataFrame())
    with pytest.raises(DataError, match=r"Column 'a' holds inf in row 1; expected finite"):
        read(pd.DataFrame({"a": [1.0, np.inf, 2.0], "label": [0, 1, 0]}))
    with pytest.raises(DataError, match="row 2 holds 'x'"):
        read(pd.DataFrame({"a": ["1", "NA", "x"], "label": [0, 1, 0]}), kinds={"a": "number"})
    with pytest.raises(DataError, match="no column but the label"):
        read(pd.DataFrame({"label": [0, 1, 0]}))


def test_a_mapping_and_an_arrow_table_are_tables_too():
    columns = {"a": [1.5, 2.5, 3.5], "label": ["x", "y", "x"]}
    assert read(columns).labels.classes == ["x", "y"]
    assert read(pa.table(columns)).column("a").to_pylist() == [1.5, 2.5, 3.5]
    with pytest.raises(DataError, match="one length"):
        read({"a": [1], "label": [1, 2]})


def test_unusual_arrow_types_are_read():
    columns = {
        "view": pa.array(["some words to read", "more words to read", "and a third text here"], pa.string_view()),
        "half": pa.array(np.array([0.5, 1.5, 2.5], dtype=np.float16)),
        "decimal": pa.array([1, 2, 4], pa.decimal128(8, 2)),
        "clock": pa.array([1, 2, 3], pa.time32("s")),
        "label": pa.array(["a", "b", "a"], pa.large_string()),
    }
    data = read(pa.table(columns))
    assert data.texts()[2] == "and a third text here"
    numbers = read(pa.table(columns), features=["half", "decimal"], kinds={"clock": "number"})
    assert [c.kind for c in numbers.features] == ["number", "number"]
    clock = read(pa.table(columns), features=["clock"])
    assert [c.kind for c in clock.features] == ["number"]


def test_a_kind_that_a_column_can_not_have_is_told():
    table = pa.table({"x": [[1, 2], [3, 4]], "n": [1.5, 2.5], "label": [0, 1]})
    for kind in ("number", "category", "text"):
        with pytest.raises(DataError, match=r"'x' .* no number, category or text"):
            read(table, kinds={"x": kind})
    with pytest.raises(DataError, match="can't be images"):
        read(table, kinds={"x": "image"})
    with pytest.raises(DataError, match=r"'x' .* can't be a feature"):
        read(table, features=["x"])


def test_classes_that_differ_in_capitals_only_are_pointed_out():
    data = read(pd.DataFrame({"n": [1.5, 2.5, 3.5], "label": ["Cat", "cat", "dog"]}))
    assert any("'Cat' and 'cat'" in line for line in data.describe())
