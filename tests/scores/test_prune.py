"""The largest margins of each pair, from a stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.scores import _prune
from errata.scores._prune import TopMargins


def expected_rows(quota, least, pairs, margins, rows):
    kept = set()
    for pair, number in enumerate(quota):
        mine = [(-m, r) for p, m, r in zip(pairs, margins, rows) if p == pair and m >= least[pair]]
        kept |= {(pair, r) for _, r in sorted(mine)[:number]}
    return kept


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_pairs=st.integers(1, 6),
    parts=st.integers(1, 5),
    levels=st.sampled_from([3, 1000]),
    dtype=st.sampled_from([np.float32, np.float64]),
    least=st.sampled_from([-np.inf, -0.25, 0.1]),
    buffer=st.sampled_from([0, 10, 1000]),
)
def test_keeps_what_sorting_everything_would(seed, num_pairs, parts, levels, dtype, least, buffer):
    """Ties (few levels), negative margins, zero quotas, and buffers that settle often."""
    rng = np.random.default_rng(seed)
    quota = rng.integers(0, 8, num_pairs)
    floor = np.full(num_pairs, least, dtype)
    top = TopMargins(quota, floor.copy())
    top._limit = buffer
    seen = []
    for part in range(parts):
        size = int(rng.integers(0, 30))
        pairs = rng.integers(0, num_pairs, size)
        margins = (rng.integers(-levels, levels + 1, size) / levels).astype(dtype)
        rows = 1000 * part + rng.permutation(size)
        offered = margins >= floor[pairs]
        seen.append((pairs[offered], margins[offered], rows[offered]))
        top.add(*seen[-1])
    pairs, rows = top.finish()
    expected = expected_rows(quota, floor, *(np.concatenate(column) for column in zip(*seen)))
    assert len(pairs) == len(expected)  # none twice
    assert set(zip(pairs.tolist(), rows.tolist())) == expected


def test_least_rises_to_the_last_that_is_kept():
    top = TopMargins(np.array([2, 2]), np.zeros(2, np.float32))
    top.add(np.zeros(4, np.int64), np.array([0.1, 0.4, 0.3, 0.2], np.float32), np.arange(4))
    top.settle()
    assert top.least.tolist() == pytest.approx([0.3, 0])


def test_what_is_held_stays_bounded(monkeypatch):
    monkeypatch.setattr(_prune, "_LEAST_BUFFER", 50)
    top = TopMargins(np.array([5]), np.array([-np.inf]))
    rng = np.random.default_rng(0)
    for start in range(0, 10_000, 20):
        top.add(np.zeros(20, np.int64), rng.random(20), np.arange(start, start + 20))
        assert sum(len(part[0]) for part in top._parts) <= 50
