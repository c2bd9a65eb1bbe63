import numpy as np
import pytest

from errata.errors import UnknownNameError
from errata.scores.tokens import WAYS, sentence_trust

OFFSETS = np.array([0, 3, 3, 4, 6])
TRUST = np.array([0.9, 0.2, np.nan, np.nan, 0.5, 0.6])


@pytest.mark.parametrize("way", WAYS)
def test_sentences_without_a_label_are_not_judged(way):
    found = sentence_trust(TRUST, OFFSETS, way)
    assert np.isnan(found[[1, 2]]).all()
    assert found[0] < found[3] or way == "product"


def test_each_way_on_numbers_worked_out_by_hand():
    np.testing.assert_allclose(sentence_trust(TRUST, OFFSETS, "min")[[0, 3]], [0.2, 0.5])
    np.testing.assert_allclose(sentence_trust(TRUST, OFFSETS, "product")[[0, 3]], [0.18, 0.3])
    soft = sentence_trust(TRUST, OFFSETS, "softmin", temperature=0.1)
    weights = np.exp([-5.0, -6.0])
    assert soft[3] == pytest.approx((weights * [0.5, 0.6]).sum() / weights.sum())
    assert sentence_trust(TRUST, OFFSETS, "softmin", temperature=1e-3)[0] == pytest.approx(0.2)
    assert sentence_trust(np.array([0.0, 1.0]), np.array([0, 2]), "product")[0] == 0
    assert len(sentence_trust(np.empty(0), np.array([0]))) == 0
    with pytest.raises(UnknownNameError):
        sentence_trust(TRUST, OFFSETS, "mean")
