"""What a column is taken for."""

from __future__ import annotations

import pyarrow as pa
import pytest

from errata.data.kinds import guess_kind

LONG = [f"This is a sentence about the number {i}, and a long one." for i in range(30)]
CASES = {
    "floats": ("x", [0.5, 1.5, None], "number"),
    "few integers": ("rooms", [1, 2, 2, 3], "number"),
    "a year": ("year", [1999, 2001, 2001], "number"),
    "booleans": ("flag", [True, False, None], "category"),
    "words": ("city", ["Rome", "Oslo", "Rome", "Oslo", ""], "category"),
    "phrases that repeat": ("status", ["not at all", "a little bit", "very much so"] * 20, "category"),
    "sentences": ("x", LONG, "text"),
    "short texts, by name": ("comment", ["great", "too bad", "so so", "never again"], "text"),
    "two-word names, all different": ("who", [f"Ann{i} Smith{i}" for i in range(30)], "text"),
    "one-word names, all different": ("who", [f"Ann{i}" for i in range(30)], "ignored"),
    "counting integers": ("x", list(range(12)), "ignored"),
    "counting from one": ("x", list(range(1, 12)), "ignored"),
    "distinct integers of another name": ("weight", [i * i for i in range(30)], "number"),
    "distinct integers named id": ("user_id", [i * i + 5 for i in range(30)], "ignored"),
    "a width is no id": ("width", [i * i + 5 for i in range(30)], "number"),
    "dates": ("when", ["2020-01-05", "2021-12-31 10:30", None], "ignored"),
    "German dates": ("when", ["05.01.2020", "31.12.2021"], "ignored"),
    "one value": ("x", ["a", "a", None], "ignored"),
    "nothing": ("x", [None, None], "ignored"),
    "only spaces": ("x", ["", " ", None], "ignored"),
    "nested": ("x", [[1, 2], [3]], "ignored"),
    "bytes that are no picture": ("x", [b"abc", b"def"], "ignored"),
    "bytes of a picture": ("x", [b"\x89PNG\r\n\x1a\n123", None], "image"),
    "Hugging Face's pictures": ("x", [{"bytes": b"\xff\xd8\xff1", "path": None}], "image"),
    "paths of pictures that don't exist": ("x", [f"a{i}.png" for i in range(30)], "ignored"),
}


@pytest.mark.parametrize("case", CASES)
def test_kinds(case, tmp_path):
    name, values, expected = CASES[case]
    column = pa.chunked_array([pa.array(values)])
    columns = [column, column.dictionary_encode()] if pa.types.is_string(column.type) else [column]
    for values_as_stored in columns:
        guess = guess_kind(name, values_as_stored, tmp_path)
        assert guess.kind == expected
        assert guess.missing == sum(v is None or (isinstance(v, str) and not v.strip()) for v in values)
        assert (guess.note != "") == (expected == "ignored")


def test_paths_of_pictures_that_exist(tmp_path):
    (tmp_path / "a1.png").write_bytes(b"x")
    column = pa.chunked_array([["a0.png", "a1.png", None]])
    assert guess_kind("x", column, tmp_path).kind == "image"
    assert guess_kind("x", column, None).kind != "image"


def test_long_columns_are_judged_by_their_beginning(monkeypatch):
    from errata.data import kinds

    monkeypatch.setattr(kinds, "COUNTED", 50)
    monkeypatch.setattr(kinds, "LOOKED_AT", 20)
    words = pa.chunked_array([["a", "b"] * 100])
    assert guess_kind("x", words).kind == "category"
    assert guess_kind("x", words.dictionary_encode()).distinct == 2
    assert guess_kind("x", pa.chunked_array([["a"] * 200])).kind == "ignored"
    assert guess_kind("x", pa.chunked_array([["a"] * 199 + ["b"]])).distinct == 2
    assert guess_kind("x", pa.chunked_array([list(range(200))])).kind == "ignored"
    assert guess_kind("x", pa.chunked_array([[i / 3 for i in range(200)]])).distinct is None
