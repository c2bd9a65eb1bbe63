import numpy as np
import pytest

import errata
from errata.audit import alike
from errata.audit.alike import describe_pictures, nearest
from errata.ledger import Ledger


def ledger_over(data):
    codes = data.labels.codes
    ledger = Ledger(codes, codes, np.full(len(codes), 0.5), classes=data.labels.classes)
    ledger.data = data
    return ledger


def test_rows_of_numbers_find_their_own_cloud_and_never_themselves():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (30, 5)), rng.normal(8, 1, (30, 5))])
    found = nearest(ledger_over(errata.read(x, label=[0] * 30 + [1] * 30)), np.arange(60), 5)
    for row, near in enumerate(found):
        assert len(near) == 5
        assert all((one.position < 30) == (row < 30) for one in near)
        assert row not in {one.position for one in near}


def test_the_nearest_is_the_truly_nearest():
    x = np.random.default_rng(1).normal(size=(80, 3))
    found = nearest(ledger_over(errata.read(x, label=[0, 1] * 40)), np.arange(80), 3)
    z = (x - x.mean(0)) / x.std(0)
    distance = np.linalg.norm(z[:, None] - z[None], axis=2) + np.diag(np.full(80, np.inf))
    for row, near in enumerate(found):
        shown = [one.position for one in near]
        assert shown == np.argsort(distance[row])[: len(shown)].tolist()


def test_the_same_is_called_the_same():
    data = errata.read(
        ["one and the same text here", "one and the same text here", "quite another text"], label=list("aab")
    )
    first = nearest(ledger_over(data), np.array([0]), 2)[0]
    assert [(one.position, one.same) for one in first] == [(1, True), (2, False)]


def test_pictures_of_one_form_are_near_whatever_their_brightness():
    rng = np.random.default_rng(0)
    rising, falling = np.triu(np.ones((32, 32))), np.triu(np.ones((32, 32)))[::-1]
    pictures = np.stack([f * rng.uniform(80, 200) for f in [rising] * 10 + [falling] * 10])[:, None]
    pictures = (pictures + rng.uniform(0, 20, pictures.shape)).astype(np.uint8)
    found = nearest(ledger_over(errata.read(pictures, label=["r"] * 10 + ["f"] * 10)), np.arange(20), 4)
    assert all((one.position < 10) == (row < 10) for row, near in enumerate(found) for one in near)


@pytest.mark.parametrize("shape", [(3, 1, 1, 1), (3, 3, 2, 5), (2, 4, 100, 70)])
def test_pictures_of_any_size_are_described(shape):
    features = describe_pictures(np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8))
    assert features.shape == (shape[0], 128 + 16 * min(3, shape[1]))
    assert np.isfinite(features).all()


def test_without_data_or_where_it_would_take_long_nothing_is_found(monkeypatch):
    data = errata.read(np.random.default_rng(0).normal(size=(20, 4)), label=[0, 1] * 10)
    ledger = ledger_over(data)
    assert all(nearest(ledger, np.arange(3)))
    monkeypatch.setattr(alike, "MOST_CELLS", 10)
    assert nearest(ledger, np.arange(3)) == [[], [], []]
    ledger.data = None
    assert nearest(ledger, np.arange(3)) == [[], [], []]


def test_only_labelled_rows_of_the_sample_are_searched(monkeypatch):
    x = np.arange(40, dtype=float)[:, None]
    data = errata.read(x, label=[0, 1] * 20)
    ledger = ledger_over(data)
    ledger.given = np.where(np.arange(40) == 6, -1, ledger.given)
    found = [one.position for one in nearest(ledger, np.array([5]), 3)[0]]
    assert found[0] == 4
    assert sorted(found[1:]) == [3, 7]  # 6 would be as near as 4
    monkeypatch.setattr(alike, "MOST_ROWS", 10)
    first = nearest(ledger, np.array([5]), 20)[0]
    assert len(first) <= 10
    assert first == nearest(ledger, np.array([5]), 20)[0]
