import numpy as np
import pytest

from errata.errors import DataError
from errata.scores.outliers import drift, knn_distance, outlier_score, sampled_neighbours


def test_neighbours_against_all_pairs():
    x = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    distance, row, searched = sampled_neighbours(x, k=7)
    apart = np.linalg.norm(x[:, None].astype(float) - x[None], axis=2) + np.diag([np.inf] * 400)
    assert len(searched) == 400
    np.testing.assert_allclose(distance, np.sort(apart, axis=1)[:, :7], atol=1e-3)
    np.testing.assert_allclose(np.take_along_axis(apart, row, axis=1), distance, atol=1e-3)


def test_an_offset_of_all_rows_does_not_matter():
    x = np.random.default_rng(0).integers(-1000, 1000, (300, 4)).astype(np.float32)
    one, two = sampled_neighbours(x, k=3), sampled_neighbours(x + 100_000, k=3)
    np.testing.assert_allclose(one[0], two[0], rtol=1e-3)


def test_a_sample_is_searched_where_there_are_many():
    x = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)
    _, row, searched = sampled_neighbours(x, k=3, references=100)
    assert len(searched) == 100
    assert set(row.ravel()) <= set(searched.tolist())
    assert (row != np.arange(500)[:, None]).all()
    again = sampled_neighbours(x, k=3, references=100)
    assert (again[1] == row).all()
    with pytest.raises(DataError, match=r"found \(1, 2\)"):
        sampled_neighbours(x[:1])


def test_a_far_row_stands_out_and_equal_rows_do_not():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 3)).astype(np.float32)
    x[17] = 12
    x[100:200] = x[100]
    score = outlier_score(knn_distance(sampled_neighbours(x)[0]))
    assert score.argmax() == 17
    assert score[17] > 5 > np.sort(score)[-2]
    assert score[100] < 0
    assert (outlier_score(np.zeros(3)) == -np.inf).all()


def test_drift_is_seen_and_chance_is_not():
    rng = np.random.default_rng(0)
    p_values = []
    for seed in range(20):
        x = rng.normal(size=(200, 3)).astype(np.float32)
        near = sampled_neighbours(x, k=5)[1]
        p_values.append(drift(np.column_stack([np.arange(200), near]), 200, seed=seed)[1])
    assert min(p_values) > 0.004
    assert np.mean(np.array(p_values) < 0.1) <= 0.3
    x[:, 0] += np.linspace(0, 3, 200)
    near = sampled_neighbours(x, k=5)[1]
    statistic, p = drift(np.column_stack([np.arange(200), near]), 200)
    assert p < 0.01
    assert statistic > 0.05
    assert drift(np.array([[0, 1]]), 2) == (0.0, 1.0)
