"""Data: parts of it, a look at it, and what it says of itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from errata.data import read
from errata.errors import DataError, UnknownNameError
from errata.labels import ClassLabels


@pytest.fixture
def table():
    return read(
        pd.DataFrame(
            {
                "n": [1.5, 2.5, None, 4.5] * 5,
                "c": ["a", "b", None, "c"] * 5,
                "label": ["x", "y", None, "z"] + ["x"] * 16,
            }
        )
    )


def test_what_is_missing_rare_and_unseen_is_counted_and_named(table):
    told = table.describe()
    assert told[0] == "the data frame: 20 rows, read as a table (data frame)."
    assert "Label: 'label', 3 classes: x (17), y (1), z (1)." in told
    assert "1 rows have no label." in told
    assert "Rare classes, too small to be checked well: y (1), z (1)." in told
    assert "Values are missing in 'n' (5); they are filled with the median, and marked." in told
    assert "Values are missing in 'c' (5); they are left empty." in told


def test_a_subset_shares_the_source_and_keeps_the_classes(table):
    part = table.subset([19, 1, 2])
    assert (len(part), part.rows.tolist(), part.table is table.table) == (3, [19, 1, 2], True)
    assert part.labels.names().tolist() == ["x", "y", None]
    assert part.labels.classes == ["x", "y", "z"]
    again = part.subset(np.array([False, True, True]))
    assert again.rows.tolist() == [1, 2]
    assert again.preview(1).row == {"n": None, "c": None, "label": None}
    assert len(table) == 20


def test_labels_can_be_replaced(table):
    new = table.with_labels([True, False] * 10, name="reviewed")
    assert (new.label_name, new.labels.classes) == ("reviewed", [False, True])
    assert table.labels.classes == ["x", "y", "z"]
    with pytest.raises(DataError, match="each of the 20 rows"):
        table.with_labels([1, 2])
    given = ClassLabels.encode(["a", "b"] * 10)
    assert table.with_labels(given).labels is given


def test_labels_are_required_in_words(table):
    assert table.require_labels() is table.labels
    with pytest.raises(DataError, match="has no labels; name their column"):
        read(np.zeros((3, 2))).require_labels()
    with pytest.raises(DataError, match=r"at least 2 classes.*hold only 1: 'x'"):
        table.subset([0, 5, 6]).require_labels()


def test_columns_are_given_by_name(table):
    assert table.column("c").to_pylist()[:2] == ["a", "b"]
    with pytest.raises(UnknownNameError, match=r"no column named 'labl'. Did you mean 'label'"):
        table.column("labl")
    with pytest.raises(DataError, match="holds no text"):
        table.texts()


def test_previews_of_texts_and_rows():
    texts = read(["first <b>text</b>", "second"], ["a", "b"])
    assert (texts.preview(0).kind, texts.preview(0).text) == ("text", "first <b>text</b>")
    assert texts.preview(1).row == {"text": "second"}
    array = read(np.arange(6).reshape(3, 2))
    assert array.preview(2).row == {"0": 4, "1": 5}


def test_it_says_briefly_what_it_is(table):
    assert repr(table) == "<Data: 20 rows of a table, 3 classes>"
    assert repr(read(["a b", "c d"])) == "<Data: 2 rows of text, no labels>"
    many = read(
        pd.DataFrame({f"x{i}": np.random.default_rng(i).normal(size=9) for i in range(40)} | {"y": [0, 1, 0] * 3})
    )
    assert any(line.endswith("and 28 more.") for line in many.describe())
