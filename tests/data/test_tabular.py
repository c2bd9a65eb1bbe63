"""Tables as numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from errata.data import TabularEncoder, read
from errata.errors import DataError, ParameterError, UnknownNameError

TRAIN = pd.DataFrame(
    {
        "n": [1.0, 3.0, None, 5.0, 100.0],
        "whole": [1, 2, 3, 4, 6],
        "c": ["a", "b", "a", None, "c"],
        "flag": [True, False, True, True, False],
    }
)


def test_numbers_are_filled_marked_and_standardised():
    data = read(TRAIN, False)
    encoder = TabularEncoder().fit(data)
    x = encoder.encode(data).numpy()
    by_name = dict(zip(encoder.names, x.T, strict=True))
    filled = np.array([1.0, 3.0, 4.0, 5.0, 100.0])  # the median
    assert np.allclose(by_name["n"], (filled - filled.mean()) / filled.std(), atol=1e-6)
    assert by_name["n is missing"].tolist() == [0, 0, 1, 0, 0]
    assert "whole is missing" not in by_name
    assert np.allclose(by_name["whole"].mean(), 0, atol=1e-6)
    assert by_name["c = a"].tolist() == [1, 0, 1, 0, 0]
    assert by_name["c is other"].tolist() == [0] * 5
    assert by_name["flag = True"].tolist() == [1, 0, 1, 1, 0]
    assert encoder.input_shape == (x.shape[1],)


def test_new_gaps_and_new_words_are_met_without_surprise():
    encoder = TabularEncoder().fit(read(TRAIN, False))
    new = pd.DataFrame({"flag": [False, True], "c": ["new", "b"], "whole": [None, 3], "n": ["NA", "3"]})
    x = encoder.encode(read(new, False, **encoder.reading()))
    by_name = dict(zip(encoder.names, x.T.tolist(), strict=True))
    assert by_name["c is other"] == [1, 0]
    assert by_name["n is missing"] == [1, 0]
    assert by_name["whole"][0] == pytest.approx((3 - 3.2) / np.std([1, 2, 3, 4, 6]), abs=1e-6)  # the median
    assert by_name["flag = False"] == [1, 0]


def test_the_rarest_categories_are_other():
    words = ["a"] * 5 + ["b"] * 3 + ["c"] * 2 + ["d"]
    data = read(pd.DataFrame({"w": words}), False)
    encoder = TabularEncoder(max_categories=2).fit(data)
    assert encoder.names == ["w = a", "w = b", "w is other"]
    assert encoder.encode(data).sum(0).tolist() == [5, 3, 3]
    assert torch.equal(encoder.encode(data).sum(1), torch.ones(11))


def test_categories_are_the_same_however_a_file_stores_them(tmp_path):
    values = [1, 2, 1, 3, 2, 1]
    frame = pd.DataFrame({"c": values})
    encoder = TabularEncoder().fit(read(frame, False, kinds={"c": "category"}))
    for other in (frame.astype(float), frame.astype(str), frame.astype("category")):
        data = read(other, False, kinds={"c": "category"})
        assert torch.equal(encoder.encode(data), encoder.encode(read(frame, False, kinds={"c": "category"})))


def test_columns_that_are_not_there_are_told():
    encoder = TabularEncoder().fit(read(TRAIN, False))
    with pytest.raises(UnknownNameError, match=r"Did you mean 'flags'.*trained on it"):
        encoder.encode(read(TRAIN.rename(columns={"flag": "flags"}), False))
    with pytest.raises(DataError, match="array without names"):
        encoder.encode(read(np.zeros((3, 4))))
    with pytest.raises(ParameterError, match="max_categories"):
        TabularEncoder(max_categories=0)
    with pytest.raises(DataError, match="no rows"):
        TabularEncoder().fit(read(TRAIN, False).subset([]))


def test_dates_and_booleans_can_be_numbers():
    frame = pd.DataFrame({"when": pd.date_range("2020-01-01", periods=4), "flag": [True, False, True, True]})
    data = read(frame, False, kinds={"when": "number", "flag": "number"})
    x = TabularEncoder().fit(data).encode(data)
    assert np.allclose(x[:, 0], (np.arange(4) - 1.5) / np.std(np.arange(4)), atol=1e-5)
    assert x[0, 1] == x[2, 1] != x[1, 1]
