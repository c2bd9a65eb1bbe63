from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.errors import DataError, ParameterError
from errata.scores import selection


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 120), st.floats(0.02, 1.0), st.floats(0.0, 0.5), st.integers(0, 50))
def test_strata_spend_the_budget_unless_the_pool_is_smaller(n: int, keep: float, cut: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    margin, score = rng.normal(size=(2, n))
    count = selection.kept_count(keep, n)
    found = selection.strata(margin, score, cut=cut, count=count)
    assert found.selected.sum() == min(count, len(found.pool))
    assert (found.selected <= found.counts).all()
    assert found.counts.sum() == len(found.pool) == n - int(cut * n)
    kept = selection.keep_coverage(margin, score, cut=cut, count=count, seed=seed)
    assert len(np.unique(kept)) == found.selected.sum()
    assert set(kept) <= set(found.pool)


def test_the_mislabelled_are_cut_by_their_margin() -> None:
    margin = np.arange(100.0)
    kept = selection.keep_coverage(margin, np.ones(100), cut=0.3, count=70)
    assert kept.tolist() == list(range(30, 100))


def test_infinite_scores_lie_in_the_hardest_stratum() -> None:
    found = selection.strata(np.zeros(4), [0.0, 1.0, 2.0, np.inf], cut=0, count=4, num_strata=2)
    assert found.counts.tolist() == [1, 3] or found.counts.tolist() == [2, 2]
    assert found.stratum[3] == 1


@pytest.mark.parametrize("shift", [0.0, 100.0, -7.5])
def test_moderate_keeps_the_same_when_all_are_shifted(shift: float) -> None:
    values = np.random.default_rng(0).normal(size=41)
    assert (selection.keep_middle(values + shift, 0.4) == selection.keep_middle(values, 0.4)).all()


def test_everything_is_kept_with_a_share_of_one() -> None:
    values = np.random.default_rng(0).normal(size=33)
    everything = list(range(33))
    assert selection.keep_middle(values, 1.0).tolist() == everything
    assert selection.keep_highest(values, 33).tolist() == everything
    assert selection.keep_random(33, selection.kept_count(1.0, 33), seed=1).tolist() == everything
    assert selection.herding(values[:, None], 33).tolist() == everything
    assert selection.k_center(values[:, None], 33).tolist() == everything


def test_herding_follows_the_mean_better_than_chance() -> None:
    h = np.random.default_rng(0).normal(size=(300, 5))
    kept = selection.herding(h, 20)
    chance = [np.linalg.norm(h[selection.keep_random(300, 20, seed=s)].mean(0) - h.mean(0)) for s in range(20)]
    assert len(kept) == 20
    assert np.linalg.norm(h[kept].mean(0) - h.mean(0)) < min(chance)


def test_k_center_covers_better_than_chance() -> None:
    h = np.random.default_rng(0).normal(size=(300, 3))

    def radius(rows: np.ndarray) -> float:
        return float(np.linalg.norm(h[:, None] - h[rows][None], axis=2).min(1).max())

    assert radius(selection.k_center(h, 20)) < min(radius(selection.keep_random(300, 20, seed=s)) for s in range(20))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.data())
def test_quotas_of_classes_add_up(labels: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(labels)))
    quota = selection.within_classes(labels, count)
    assert sum(quota.values()) == count
    assert all(0 <= q <= labels.count(one) for one, q in quota.items())


def test_bad_input_is_told() -> None:
    with pytest.raises(ParameterError, match="keep"):
        selection.kept_count(0.0, 5)
    with pytest.raises(ParameterError, match="keep"):
        selection.kept_count(1.5, 5)
    with pytest.raises(DataError, match="Sample 1"):
        selection.keep_highest([0.0, np.nan], 1)
    with pytest.raises(ParameterError, match="cut"):
        selection.strata([0.0], [0.0], cut=1.0, count=1)
    with pytest.raises(DataError, match="each sample"):
        selection.strata([0.0], [0.0, 1.0], cut=0.0, count=1)
