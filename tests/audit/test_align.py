import numpy as np
import pandas as pd
import pytest
import torch

from errata.audit.align import align, open_probabilities
from errata.errors import DataError, UnknownNameError


def uniform(rows, columns):
    return np.full((rows, columns), 1 / columns)


def test_integers_name_their_column_even_where_classes_are_unseen():
    labels, probs = align([0, 3, 3, 1], uniform(4, 5))
    assert labels.classes == [0, 1, 2, 3, 4]
    assert labels.codes.tolist() == [0, 3, 3, 1]
    assert probs.shape == (4, 5)


def test_words_stand_in_sorted_order():
    labels, _ = align(["pear", "apple", "fig", "apple"], uniform(4, 3))
    assert labels.classes == ["apple", "fig", "pear"]
    assert labels.codes.tolist() == [2, 0, 1, 0]


def test_integers_beyond_the_columns_are_sorted_where_their_number_fits():
    labels, _ = align([1, 5, 2, 4, 3], uniform(5, 5))
    assert labels.classes == [1, 2, 3, 4, 5]
    assert labels.codes.tolist() == [0, 4, 1, 3, 2]


@pytest.mark.parametrize("values", [[False, True, False], [False, False, False]])
def test_booleans_are_the_two_columns(values):
    labels, _ = align(values, uniform(3, 2))
    assert labels.classes == [False, True]
    assert labels.codes.tolist() == [int(v) for v in values]


def test_plus_and_minus_one_are_two_classes_not_a_missing_one():
    labels, _ = align([-1, 1, 1], uniform(3, 2))
    assert labels.classes == [-1, 1]
    assert labels.missing == 0


def test_minus_one_beside_columns_for_all_others_is_missing():
    labels, _ = align(np.array([-1, 0, 2, 1]), uniform(4, 3))
    assert labels.classes == [0, 1, 2]
    assert labels.codes.tolist() == [-1, 0, 2, 1]


@pytest.mark.parametrize("nothing", [None, float("nan"), ""])
def test_missing_words_stay_missing(nothing):
    labels, _ = align(["a", nothing, "b"], uniform(3, 2))
    assert labels.codes.tolist() == [0, -1, 1]


def test_float_labels_with_nan():
    labels, _ = align(np.array([0.0, np.nan, 2.0]), uniform(3, 3))
    assert labels.codes.tolist() == [0, -1, 2]


def test_classes_give_the_order_of_the_columns():
    labels, _ = align(["low", "high", "mid"], uniform(3, 4), classes=["low", "mid", "high", "top"])
    assert labels.codes.tolist() == [0, 2, 1]
    assert labels.classes == ["low", "mid", "high", "top"]


def test_a_dataframe_named_after_the_labels_needs_no_classes():
    frame = pd.DataFrame({"yes": [0.9, 0.2], "no": [0.1, 0.8]})
    labels, probs = align(["no", "yes"], frame)
    assert labels.classes == ["yes", "no"]
    assert labels.codes.tolist() == [1, 0]
    assert probs[1].tolist() == [0.2, 0.8]


def test_a_dataframe_with_other_names_is_taken_by_position():
    labels, _ = align(["no", "yes"], pd.DataFrame(uniform(2, 2), columns=["p0", "p1"]))
    assert labels.classes == ["no", "yes"]


def test_labels_and_probabilities_may_be_tensors():
    labels, probs = align(torch.tensor([0, 1]), torch.full((2, 2), 0.5, dtype=torch.bfloat16))
    assert labels.codes.tolist() == [0, 1]
    assert probs.dtype == np.float32


def test_a_file_is_mapped_not_read(tmp_path):
    np.save(tmp_path / "p.npy", uniform(3, 2).astype(np.float32))
    table = open_probabilities(str(tmp_path / "p.npy"))
    assert isinstance(table, np.memmap)
    assert table.dtype == np.float32


def test_an_array_is_not_copied():
    table = uniform(3, 2)
    assert open_probabilities(table) is table


@pytest.mark.parametrize(
    ("labels", "probs", "says"),
    [
        (["a", "b", "c"], uniform(3, 2), "More classes than columns"),
        (["a", "b", "a"], uniform(3, 4), "More columns than classes"),
        ([0, 1, 7], uniform(3, 4), r"\[0, 3\].*the largest is 7"),
        ([0, 1], uniform(3, 2), "2 rows and pred_probs has 3"),
        ([0, 1], np.array([0.2, 0.8]), r"column_stack\(\[1 - p, p\]\)"),
        ([0, 1], np.array([[0.2], [0.8]]), "two or more; got 1"),
        ([0, 1], np.zeros((2, 2, 2)), r"got \(2, 2, 2\)"),
        ([0, 1], [[0.5, 0.5], [0.1]], "can't be read"),
        ([0, 1], [["a", "b"], ["c", "d"]], "table of numbers"),
        ([0, 1], np.empty((0, 2)), "no rows"),
        ([0.5, 1.5], uniform(2, 2), "not whole"),
        (np.eye(2, dtype=int), uniform(2, 2), "argmax"),
        ([None, None], uniform(2, 2), "no label at all"),
        ([str(i) for i in range(11)], uniform(11, 11), "numbers written as text"),
        ([0, 1], "nowhere.npy", "no file nowhere.npy"),
    ],
)
def test_what_does_not_fit_is_told(labels, probs, says):
    with pytest.raises(DataError, match=says):
        align(labels, probs)


def test_classes_of_the_wrong_number_are_told():
    with pytest.raises(DataError, match="3 columns and classes names 2"):
        align(["a", "b"], uniform(2, 3), classes=["a", "b"])


def test_a_label_outside_of_classes_is_told_with_its_row():
    with pytest.raises(UnknownNameError, match=r"'dgo'.*Did you mean 'dog'.*row 1"):
        align(["cat", "dgo"], uniform(2, 2), classes=["cat", "dog"])


@pytest.mark.parametrize("content", [b"not numpy", b""])
def test_a_file_of_something_else_is_told(tmp_path, content):
    (tmp_path / "p.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"not a \.npy file"):
        align([0, 1], tmp_path / "p.npy")


def test_a_file_of_several_arrays_is_told(tmp_path):
    np.savez(tmp_path / "p.npz", a=uniform(2, 2))
    with pytest.raises(DataError, match="several arrays"):
        align([0, 1], tmp_path / "p.npz")
