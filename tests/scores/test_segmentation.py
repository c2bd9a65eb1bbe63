import numpy as np
import pytest

from errata.errors import DataError
from errata.scores.segmentation import ClassSums, contradicted, own_probability, regions, softmin


def test_softmin_goes_from_mean_to_minimum_and_takes_no_notice_of_unlabelled_pixels():
    own = np.array([0.2, 0.9, np.nan, 0.7], dtype=np.float32)
    assert softmin(own, 1e-4) == pytest.approx(0.2)
    assert softmin(own, 1e4) == pytest.approx(0.6, abs=1e-3)
    assert softmin(own) < 0.25
    assert np.isnan(softmin(np.array([np.nan])))
    weights = np.exp((1 - np.array([0.2, 0.9, 0.7])) / 0.1)
    assert softmin(own) == pytest.approx((weights * [0.2, 0.9, 0.7]).sum() / weights.sum(), rel=1e-5)


def test_thresholds_are_means_over_all_images():
    rng = np.random.default_rng(0)
    masks = rng.integers(-1, 3, (5, 4, 4))
    probs = rng.dirichlet(np.ones(4), (5, 4, 4)).transpose(0, 3, 1, 2)
    sums = ClassSums(4)
    for mask, p in zip(masks, probs):
        sums.add(mask, own_probability(mask, p))
    for k in range(3):
        assert sums.thresholds[k] == pytest.approx(probs[:, k][masks == k].mean(), rel=1e-5)
    assert sums.thresholds[3] > 1


def test_contradicted_pixels_against_a_loop():
    rng = np.random.default_rng(1)
    mask = rng.integers(-1, 3, (6, 7))
    probs = rng.dirichlet(np.ones(3), (6, 7)).transpose(2, 0, 1)
    thresholds = np.array([0.4, 0.5, 0.6])
    found = contradicted(mask, probs, thresholds)
    for i, j in np.ndindex(mask.shape):
        sure = [k for k in range(3) if probs[k, i, j] >= thresholds[k]]
        best = max(sure, key=lambda k: probs[k, i, j]) if sure else -1
        assert found[i, j] == (best if best != mask[i, j] and mask[i, j] >= 0 else -1)


def test_regions_are_connected_and_of_one_pair_of_classes():
    mask = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]])
    proposed = np.array([[1, 2, 0, 0], [1, -1, -1, 0], [-1, 1, -1, -1]])
    own = np.full(mask.shape, 0.1)
    own[0, 0] = 0.4
    found = regions(mask, proposed, own)
    assert [(r.given, r.proposed, r.pixels) for r in found] == [(0, 1, 3), (1, 0, 3), (0, 2, 1)]
    assert found[0].trust == pytest.approx(0.2)
    assert (found[1].x0, found[1].y0, found[1].x1, found[1].y1) == (2, 0, 4, 2)
    assert len(regions(mask, proposed, own, least=2)) == 2
    assert regions(mask, np.full(mask.shape, -1), own) == []


def test_sizes_and_classes_must_fit():
    with pytest.raises(DataError, match=r"\(2, 2\) pixels and the probabilities \(2, 3\)"):
        own_probability(np.zeros((2, 2), int), np.zeros((2, 2, 3)))
    with pytest.raises(DataError, match=r"class 255 at pixel \[0, 1\]"):
        own_probability(np.array([[0, 255]]), np.zeros((2, 1, 2)))
