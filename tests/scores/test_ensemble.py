import numpy as np
import pytest

from errata.errors import DataError, ParameterError
from errata.scores.ensemble import like, rank_average


def test_opinions_that_err_apart_are_better_together():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=3000)
    views = [truth + rng.normal(size=3000), np.exp(truth + rng.normal(size=3000)), truth + rng.normal(size=3000)]
    merged = np.corrcoef(rank_average(views), truth)[0, 1]
    assert merged > max(np.corrcoef(v, truth)[0, 1] for v in views) + 0.08


def test_units_do_not_matter_and_weights_do():
    a, b = np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])
    assert (rank_average([a, b]) == rank_average([np.exp(a), 100 * b])).all()
    assert (rank_average([a, b], [1, 0]) == rank_average([a])).all()
    assert (rank_average([a, b], [2, 1]) == rank_average([a, a, b])).all()


def test_a_method_that_is_silent_leaves_the_rest():
    found = rank_average([[0.1, 0.9, np.nan, np.nan], [0.2, 0.8, 0.5, np.nan]])
    assert found[2] == pytest.approx(0.5)
    assert np.isnan(found[3])


def test_a_borrowed_distribution_keeps_the_order():
    rng = np.random.default_rng(0)
    values, reference = rng.normal(size=500), rng.beta(8, 1, size=500)
    found = like(values, reference)
    assert (np.argsort(found, kind="stable") == np.argsort(values)).all()
    assert np.sort(found) == pytest.approx(np.sort(reference), abs=1e-6)
    assert np.isnan(like([1.0, np.nan], reference)[1])


@pytest.mark.parametrize(
    ("scores", "weights", "error"),
    [
        ([], None, DataError),
        ([[1.0], [1.0, 2.0]], None, DataError),
        ([[1.0]], [-1.0], ParameterError),
        ([[1.0]], [0.0], ParameterError),
        ([[1.0]], [1.0, 1.0], ParameterError),
    ],
)
def test_what_cannot_be_averaged_is_told(scores, weights, error):
    with pytest.raises(error):
        rank_average(scores, weights)
    with pytest.raises(DataError, match="no number"):
        like([1.0], [np.nan])
