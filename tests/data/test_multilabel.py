import numpy as np
import pandas as pd
import pytest

from errata.data.multilabel import as_matrix, from_lists, set_names, split_text
from errata.errors import DataError


def test_zeros_and_ones_of_any_type():
    expected = [[1, 0], [-1, 1]]
    for values in (
        [[1, 0], [None, 1]],
        [[True, False], [None, True]],
        np.array([[1.0, 0.0], [np.nan, 1.0]]),
        np.array([["yes", "no"], ["", "1"]]),
        pd.DataFrame([[1, 0], [-1, 1]]).to_numpy(),
    ):
        found = as_matrix(values)
        assert found.tolist() == expected
        assert found.dtype == np.int8
    with pytest.raises(DataError, match=r"row 1, column 0 holds 0\.5"):
        as_matrix(np.array([[1.0, 0.0], [0.5, 1.0]]))
    with pytest.raises(DataError, match=r"shape \(N, L\)"):
        as_matrix([1, 0])


@pytest.mark.parametrize(
    ("values", "separator", "expected"),
    [
        (["a|b", "a"], None, [["a", "b"], ["a"]]),
        (["a, b;c"], None, [["a, b", "c"]]),
        (["a, b", ""], None, [["a", "b"], []]),
        (["a/b"], "/", [["a", "b"]]),
        (['["a, b", "c"]', "[]"], None, [["a, b", "c"], []]),
        ([["a"], None, float("nan"), ("b", "c")], None, [["a"], None, None, ["b", "c"]]),
        ([3], None, [["3"]]),
    ],
)
def test_lists_and_texts(values, separator, expected):
    assert split_text(values, separator) == expected


def test_sets_have_names_in_the_order_of_the_labels():
    matrix, names = from_lists([["b", "a"], ["b"], [], None], classes=["b", "a", "c"])
    assert names == ["b", "a", "c"]
    assert set_names(matrix, names).tolist() == ["b, a", "b", "none", "none"]
    with pytest.raises(DataError, match="every list is empty"):
        from_lists([[], []])
