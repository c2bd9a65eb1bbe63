import numpy as np
import pytest

from errata.data.text import hash_texts
from errata.scores.duplicates import group_equal, groups_of_pairs, near_features, near_texts, nearest_distance


def test_groups_are_numbered_by_their_first_row_and_join_through_common_members():
    assert group_equal(np.array(["b", "a", "a", "c", "b"])).tolist() == [0, 1, 1, -1, 0]
    assert groups_of_pairs(np.array([[0, 3], [3, 5], [1, 4]]), 6).tolist() == [0, 1, -1, 0, 1, 0]
    assert groups_of_pairs(np.empty((0, 2), dtype=np.int64), 3).tolist() == [-1, -1, -1]


@pytest.mark.parametrize("width", [3, 40])
def test_near_rows_are_all_found_and_nothing_else(width):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, width)).astype(np.float32)
    copies = rng.choice(1000, 50, replace=False)
    x[1000:1050] = x[copies] + rng.normal(scale=1e-4, size=(50, width)).astype(np.float32)
    pairs, radius = near_features(x)
    apart = np.linalg.norm(x[:, None] - x[None], axis=2) if width == 3 else None
    assert {tuple(p) for p in pairs.tolist()} >= {(int(c), 1000 + i) for i, c in enumerate(copies)}
    assert (np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1) <= radius).all()
    if apart is not None:
        expected = np.argwhere(np.triu(apart <= radius, 1))
        assert {tuple(p) for p in pairs.tolist()} == {tuple(p) for p in expected.tolist()}
    else:
        assert len(pairs) == 50


def test_an_offset_of_all_rows_does_not_matter():
    x = np.random.default_rng(0).integers(-1000, 1000, (500, 4)).astype(np.float32)
    x[77] = x[33] + np.float32(0.5)
    assert near_features(x)[0].tolist() == near_features(x + 100_000)[0].tolist() == [[33, 77]]


def test_equal_rows_are_no_near_ones_and_a_mass_of_them_does_no_harm():
    x = np.repeat(np.arange(5, dtype=np.float32), 4000)[:, None]
    pairs, radius = near_features(x)
    assert len(pairs) == 0
    assert radius == pytest.approx(0.1)
    assert len(near_features(np.zeros((100, 3), dtype=np.float32))[0]) == 0
    assert len(near_features(np.zeros((2, 3), dtype=np.float32))[0]) == 0


def test_the_nearest_distance_against_all_pairs():
    x = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)
    apart = np.linalg.norm(x[:, None].astype(float) - x[None], axis=2) + np.diag([np.inf] * 300)
    np.testing.assert_allclose(np.sort(nearest_distance(x)), np.sort(apart.min(axis=1)), rtol=1e-3)


def test_texts_that_share_most_pieces():
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(500)]
    texts = [" ".join(rng.choice(words, 30)) for _ in range(300)]
    texts[100] = texts[5] + " more"
    texts[200] = texts[5].upper()
    texts[250] = ""
    texts[251] = ""
    offsets, ids = hash_texts(texts, 1 << 20)
    pairs = near_texts(offsets, ids)
    assert {tuple(p) for p in pairs.tolist()} == {(5, 100), (5, 200), (100, 200)}
    assert len(near_texts(np.array([0, 0, 0]), np.empty(0, dtype=np.int32))) == 0
