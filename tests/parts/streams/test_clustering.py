"""Clusters of labels are a partition at any time; what belongs together is found; forgetting forgets."""

from __future__ import annotations

import math
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.errors import ParameterError, UnknownNameError
from errata.parts.streams.bounds import decide, odac_bound
from errata.parts.streams.clustering import LabelClusters
from errata.parts.streams.cooccurrence import JaccardCounts, jaccard_distances, spread_of
from errata.parts.streams.repair import repair_small

OPTIONS = [{}, {"window": 15}, {"decay": 0.9}, {"window": 10, "decay": 0.95}, {"statistics": "pearson"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), labels=st.integers(1, 7), later=st.integers(0, 3))
def test_it_is_always_a_partition(options, seed, labels, later):
    rng = np.random.default_rng(seed)
    clusters = LabelClusters(n_min=5, **options)
    clusters.add_labels(range(labels))
    for t in range(60):
        if t == 30:
            clusters.add_labels(range(labels, labels + later), beside=[0])
            labels += later
        clusters.learn(np.flatnonzero(rng.random(labels) < rng.random()).tolist())
        assert sorted(chain.from_iterable(clusters.partition())) == list(range(labels))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_counts_by_marginals_are_the_counts(seed):
    y = np.random.default_rng(seed).random((40, 5)) < 0.4
    counts = JaccardCounts(5)
    for row in y:
        counts.add(np.flatnonzero(row).tolist())
    both = (y[:, :, None] & y[:, None, :]).sum(0)
    either = (y[:, :, None] | y[:, None, :]).sum(0)
    wanted = 1.0 - np.divide(both, either, out=np.zeros((5, 5)), where=either > 0)
    np.testing.assert_array_equal(jaccard_distances(counts.both), wanted)


def test_a_window_holds_the_counts_of_its_events_only():
    rng = np.random.default_rng(0)
    events = [np.flatnonzero(rng.random(4) < 0.5).tolist() for _ in range(50)]
    windowed, fresh = LabelClusters(n_min=1000, window=20), LabelClusters(n_min=1000)
    for clusters, seen in ((windowed, events), (fresh, events[-20:])):
        clusters.add_labels(range(4))
        for event in seen:
            clusters.learn(event)
    np.testing.assert_array_equal(windowed.root.counts.both, fresh.root.counts.both)
    assert windowed.mass(windowed.root) == fresh.mass(fresh.root) == 20


@pytest.mark.parametrize("window", [None, 20])
def test_decayed_counts_are_sums_of_falling_weights(monkeypatch, window):
    monkeypatch.setattr("errata.parts.streams.clustering.HEAVY", 5.0)  # so that they are scaled back often
    rng = np.random.default_rng(0)
    y = rng.random((50, 3)) < 0.5
    clusters = LabelClusters(n_min=1000, decay=0.9, window=window)
    clusters.add_labels(range(3))
    for row in y:
        clusters.learn(np.flatnonzero(row).tolist())
    weights = 0.9 ** np.arange(49, -1, -1.0)
    if window:
        weights[:-window] = 0
    wanted = np.einsum("t,ti,tj->ij", weights, y.astype(float), y.astype(float))
    np.testing.assert_allclose(clusters.root.counts.both / clusters._weight, wanted, atol=1e-9)
    assert clusters.mass(clusters.root) == pytest.approx(weights.sum())


def test_groups_that_always_come_together_are_found():
    rng = np.random.default_rng(0)
    groups = [[0, 3, 6], [1, 4], [2, 5, 7, 8]]
    clusters = LabelClusters(n_min=100)
    clusters.add_labels(range(9))
    for _ in range(1000):
        clusters.learn(sorted(chain.from_iterable(g for g in groups if rng.random() < 0.4)))
    assert clusters.partition() == sorted(groups)


def test_a_merge_brings_back_the_parents_labels():
    clusters = LabelClusters(n_min=50)
    clusters.add_labels(range(4))
    for t in range(50):
        clusters.learn([[0, 1], [2, 3], [], [0, 1, 2, 3]][t % 4])
    assert clusters.partition() == [[0, 1], [2, 3]]
    changed = False
    for t in range(50):  # now 0 and 1 never come together, further apart than anything before the split
        changed = clusters.learn([[0], [1], [2, 3]][t % 3])
    assert changed
    assert clusters.partition() == [[0, 1, 2, 3]]
    assert clusters.mass(clusters.root) == 0


def test_one_label_never_splits_nor_do_two():
    rng = np.random.default_rng(0)
    for labels in (1, 2):
        clusters = LabelClusters(n_min=1)
        clusters.add_labels(range(labels))
        assert not any(clusters.learn(np.flatnonzero(rng.random(labels) < 0.5).tolist()) for _ in range(50))


def test_the_bound_falls_with_the_root_of_n():
    assert odac_bound(0.9, 100) == pytest.approx(2 * odac_bound(0.9, 400))
    assert math.isclose(odac_bound(0.5, 8), math.sqrt(math.log(2) / 16))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5))
def test_decisions_are_symmetric(error, alternate, bound):
    swapped = {"swap": "prune", "prune": "swap", "keep": "keep"}
    assert decide(alternate, error, bound) == swapped[decide(error, alternate, bound)]


@given(st.integers(2, 9), st.integers(0, 100))
def test_the_furthest_pair_is_the_first_of_equals(size, seed):
    d = np.random.default_rng(seed).integers(0, 3, size=(size, size)).astype(float)
    d = np.maximum(d, d.T)
    pairs = [(d[i, j], i, j) for i in range(size) for j in range(i + 1, size)]
    largest = max(value for value, _, _ in pairs)
    found = spread_of(d)
    assert (found.d1, *found.pivots) == next(p for p in pairs if p[0] == largest)
    assert found.d2 == (sorted(v for v, _, _ in pairs)[-2] if len(pairs) > 1 else None)


@st.composite
def leaves(draw):
    """Leaves of a random binary tree, with their paths, over the numbers from 0."""
    paths = [()]
    for _ in range(draw(st.integers(0, 6))):
        path = paths.pop(draw(st.integers(0, len(paths) - 1)))
        paths += [(*path, 0), (*path, 1)]
    sizes = [draw(st.integers(1, 4)) for _ in paths]
    numbers = iter(range(sum(sizes)))
    return [([next(numbers) for _ in range(size)], path) for size, path in zip(sizes, paths, strict=True)]


@given(leaves(), st.integers(0, 6))
def test_repair_loses_no_label_and_only_joins(clusters, smallest):
    repaired = repair_small(clusters, smallest)
    assert sorted(chain.from_iterable(repaired)) == sorted(chain.from_iterable(labels for labels, _ in clusters))
    for labels, _ in clusters:
        assert any(set(labels) <= set(joined) for joined in repaired)
    if all(len(labels) >= smallest for labels, _ in clusters):
        assert repaired == sorted(labels for labels, _ in clusters)


def test_small_clusters_join_their_sibling_then_one_joined_before():
    assert repair_small([([0], (0, 0)), ([1], (0, 1)), ([2, 3], (1,))], 2) == [[0, 1], [2, 3]]
    assert repair_small([([0], (0,)), ([1, 2, 3], (1, 0)), ([4, 5], (1, 1))], 2) == [[0], [1, 2, 3], [4, 5]]
    deep = [([0], (0, 0)), ([1], (0, 1, 0)), ([2], (0, 1, 1)), ([3, 4], (1,))]
    assert repair_small(deep, 2) == [[0, 1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("leaves", "wanted"),
    [
        (
            {"00": [1, 3, 8, 9, 10, 12], "01": [2, 4, 5], "10": [6, 13], "11": [7, 11, 14]},
            [[1, 2, 3, 4, 5, 8, 9, 10, 12], [6, 7, 11, 13, 14]],
        ),
        (
            {"000": [3, 8, 10, 12], "001": [1, 9], "010": [2, 4], "011": [5], "10": [6, 13], "11": [7, 11, 14]},
            [[1, 3, 8, 9, 10, 12], [2, 4, 5], [6, 7, 11, 13, 14]],
        ),
        (
            {"000": [3, 8, 10, 12], "001": [1, 9], "01": [2, 4, 5], "10": [6, 13], "11": [7, 11, 14]},
            [[1, 3, 8, 9, 10, 12], [2, 4, 5, 6, 7, 11, 13, 14]],
        ),
        (
            {
                "0000": [10, 12],
                "0001": [3, 8],
                "001": [1, 9],
                "010": [2, 4],
                "011": [5],
                "10": [6, 13],
                "11": [7, 11, 14],
            },
            [[1, 2, 4, 5, 9], [3, 8, 10, 12], [6, 7, 11, 13, 14]],
        ),
    ],
)
def test_repair_does_what_the_authors_notebook_shows(leaves, wanted):
    """Its printed outputs on yeast, with clusters of at least 4 labels; none of them loses a label."""
    clusters = [(labels, tuple(int(step) for step in path)) for path, labels in leaves.items()]
    assert repair_small(clusters, 4) == wanted


@pytest.mark.parametrize(
    "options",
    [{"n_min": 0}, {"confidence_level": 1.0}, {"decay": 0.0}, {"window": 0}, {"statistics": "pearson", "window": 5}],
)
def test_senseless_options_are_refused(options):
    with pytest.raises(ParameterError, match=r"must be|leave"):
        LabelClusters(**options)


def test_an_unknown_statistic_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'jaccard'"):
        LabelClusters(statistics="jacard")
