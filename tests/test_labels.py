"""Labels of any type become codes and class names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from errata.errors import DataError, UnknownNameError
from errata.labels import MISSING, ClassLabels


@pytest.mark.parametrize(
    ("values", "codes", "classes"),
    [
        ([3, 1, 2, 1], [2, 0, 1, 0], [1, 2, 3]),
        ([1.0, float("nan"), 2.0], [0, MISSING, 1], [1, 2]),
        (["b", None, "a", ""], [1, MISSING, 0, MISSING], ["a", "b"]),
        ([True, False], [1, 0], [False, True]),
        ([2, None, 3], [0, MISSING, 1], [2, 3]),
        (np.array(["x", "y"]), [0, 1], ["x", "y"]),
        (pd.Series([1, None], dtype="Int64"), [0, MISSING], [1]),
        (pd.Series(["a", "b"], dtype="category"), [0, 1], ["a", "b"]),
        (torch.tensor([5, 5, 7]), [0, 0, 1], [5, 7]),
        (["none", "NA", "null"], [1, 0, 2], ["NA", "none", "null"]),
        (np.array([[1], [0]]), [1, 0], [0, 1]),
        (["größe", "爱", "größe"], [0, 1, 0], ["größe", "爱"]),
    ],
)
def test_encode(values, codes, classes):
    labels = ClassLabels.encode(values)
    assert labels.codes.tolist() == codes
    assert labels.classes == classes


@given(st.lists(st.one_of(st.none(), st.text(min_size=1, max_size=3)), min_size=1, max_size=30))
def test_names_give_back_what_came(values):
    known = [v for v in values if v is not None and v not in ("", " ", "nan", "NaN")]
    if not known:
        with pytest.raises(DataError, match="no label at all"):
            ClassLabels.encode(values)
        return
    names = ClassLabels.encode(values).names()
    assert [v for v in names if v is not None] == known


def test_given_classes_set_the_order_and_refuse_others():
    labels = ClassLabels.encode(["dog", "cat"], classes=["dog", "cat", "cow"])
    assert labels.codes.tolist() == [0, 1]
    assert labels.rare() == {"dog": 1, "cat": 1, "cow": 0}
    with pytest.raises(UnknownNameError, match=r"'cta'.*Did you mean 'cat'.*row 1"):
        ClassLabels.encode(["dog", "cta"], classes=["dog", "cat"])


def test_numbers_that_are_no_classes_are_refused_with_their_row():
    with pytest.raises(DataError, match=r"0\.5 in row 1"):
        ClassLabels.encode([1.0, 0.5, 2.0])


def test_all_missing_and_wrong_shapes_are_refused():
    with pytest.raises(DataError, match="2 rows, every one missing"):
        ClassLabels.encode([None, None])
    with pytest.raises(DataError, match="one label per row"):
        ClassLabels.encode(np.zeros((3, 2)))
    with pytest.raises(DataError, match="holds lists, such as"):
        ClassLabels.encode([[0, 1], [1, 0, 2]])


def test_counts_leave_out_missing_ones():
    labels = ClassLabels.encode(["a", None, "a", "b"])
    assert labels.missing == 1
    assert labels.counts.tolist() == [2, 1]
