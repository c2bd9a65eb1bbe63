"""Whole numbers of rows from confident counts."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from errata.scores.counts import at_least_one_correct, calibrate, prune_quota, round_rows

square = st.integers(2, 6).flatmap(lambda k: arrays(np.int64, (k, k), elements=st.integers(0, 40)))


@settings(max_examples=150, deadline=None)
@given(arrays(np.float64, (3, 7), elements=st.floats(0, 500)))
def test_rounding_keeps_the_totals(matrix):
    rounded = round_rows(matrix)
    np.testing.assert_array_equal(rounded.sum(axis=1), matrix.sum(axis=1).round())
    assert (np.abs(rounded - matrix) <= 1).all()


def test_the_largest_remainders_go_up_and_the_smallest_down():
    assert round_rows(np.array([[2.3, 2.4, 2.3], [1.7, 1.6, 1.7]])).tolist() == [[2, 3, 2], [2, 1, 2]]


@settings(max_examples=150, deadline=None)
@given(square, st.integers(0, 2**32 - 1))
def test_calibration_gives_every_class_its_rows(pairs, seed):
    pairs = at_least_one_correct(pairs)
    counts = np.random.default_rng(seed).integers(0, 1000, len(pairs))
    counts[0] += 1
    calibrated = calibrate(pairs, counts)
    np.testing.assert_array_equal(calibrated.sum(axis=1), counts)
    shares = pairs / pairs.sum(axis=1, keepdims=True) * counts[:, None]
    assert (np.abs(calibrated - shares) <= 1 + 1e-9).all()


def test_calibration_to_the_last_bit():
    """Shares of exactly one half fall as they do in cleanlab 2.9.0, whose result this is."""
    calibrated = calibrate(np.array([[1, 4, 3], [2, 2, 5], [0, 4, 1]]), np.array([1, 6, 11]))
    assert calibrated.tolist() == [[0, 1, 0], [1, 2, 3], [0, 9, 2]]


@settings(max_examples=150, deadline=None)
@given(square)
def test_quota_leaves_every_class_a_row_and_prunes_no_more_than_counted(pairs):
    quota = prune_quota(pairs)
    assert (quota.diagonal() == np.maximum(pairs.diagonal(), 1)).all()
    off = ~np.eye(len(pairs), dtype=bool)
    assert (quota[off] >= 0).all()
    assert (quota[off] <= pairs[off]).all()
    enough = pairs.diagonal() >= 1
    assert (quota[enough] == pairs[enough]).all()
