import numpy as np
import pytest

from errata.errors import DataError, UnknownNameError
from errata.scores.multilabel import combine, self_confidence

TRUST = np.array([[0.9, 0.2, 0.7], [1.0, 1.0, np.nan], [np.nan, np.nan, np.nan]])


def test_trust_in_labels_that_are_there_and_that_are_not():
    given = np.array([[1, 0], [-1, 1]], dtype=np.int8)
    found = self_confidence(given, np.array([[0.3, 0.3], [0.5, 1.0]]))
    np.testing.assert_allclose(found, [[0.3, 0.7], [np.nan, 1.0]])
    with pytest.raises(DataError, match=r"row 1, column 0 is 1\.5"):
        self_confidence(given, np.array([[0.3, 0.3], [1.5, 1.0]]))
    with pytest.raises(DataError, match="one shape"):
        self_confidence(given, np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("way", "first"),
    [("product", 0.126), ("min", 0.2), ("average", 0.6), ("ema", 0.8 * 0.2 + 0.2 * (0.8 * 0.7 + 0.2 * 0.9))],
)
def test_ways_to_combine(way, first):
    found = combine(TRUST, way)
    assert found[0] == pytest.approx(first)
    assert found[1] == 1
    assert np.isnan(found[2])
    order = combine(TRUST[:1, ::-1], way)
    assert order[0] == pytest.approx(first)


def test_a_moving_average_of_weight_one_is_the_worst_part():
    assert combine(TRUST, "ema", weight=1.0)[0] == 0.2
    with pytest.raises(UnknownNameError, match="Did you mean 'product'"):
        combine(TRUST, "prod")
