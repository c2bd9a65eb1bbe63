"""Part-dependent noise: the rate, the dependence on features, and memory that stays bounded."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errata import noise
from errata.errors import DataError, ParameterError
from errata.noise import instance


def blobs(n=4000, size=12, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, size)).astype(np.float32), rng.integers(classes, size=n)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.integers(0, 10**6))
def test_the_mean_rate_is_the_asked_one(rate, seed):
    x, y = blobs()
    noisy = noise.instance_dependent(x, y, rate, 4, seed=seed)
    assert abs((noisy != y).mean() - rate) <= 5 * np.sqrt(rate * (1 - rate) / len(y)) + 1e-9


def test_flip_rates_have_mean_and_spread_and_stay_in_the_unit_interval():
    for rate in (0.02, 0.1, 0.4, 0.9):
        q = instance._flip_rates(rate, 0.1, 200_000, np.random.default_rng(0))
        assert ((q >= 0) & (q <= 1)).all()
        assert abs(q.mean() - rate) < 1e-3
    assert abs(instance._flip_rates(0.5, 0.1, 200_000, np.random.default_rng(0)).std() - 0.1) < 1e-3


def test_flip_probabilities_by_hand():
    scores = np.array([[5.0, np.log(2), 0.0], [0.0, 0.0, 0.0]])
    found = noise.flip_probabilities(scores, [0, 2], [0.3, 1.0])
    np.testing.assert_allclose(found, [[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]])
    assert scores[0, 0] == 5.0  # the input is not written to


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.integers(1, 30), st.floats(1, 1e4), st.integers(0, 10**6))
def test_flip_probabilities_are_distributions(classes, rows, scale, seed):
    rng = np.random.default_rng(seed)
    y, q = rng.integers(classes, size=rows), rng.random(rows)
    found = noise.flip_probabilities(rng.normal(size=(rows, classes)) * scale, y, q)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found[np.arange(rows), y], 1 - q)
    assert (found >= 0).all()


def test_like_samples_are_mistaken_alike_and_unlike_ones_are_not():
    two = np.random.default_rng(1).normal(size=(2, 20))
    x, y = np.repeat(two, 3000, axis=0), np.zeros(6000, dtype=int)
    noisy = noise.instance_dependent(x, y, 0.5, 6, seed=0)
    halves = [noisy[s : s + 1500] for s in (0, 1500, 3000, 4500)]
    first, again, second, _ = (np.bincount(h, minlength=6) / 1500 for h in halves)
    assert np.abs(first - again).sum() < 0.1
    assert np.abs(first - second).sum() > 0.5


def test_the_same_instance_is_mistaken_differently_in_different_classes():
    x = np.repeat(np.random.default_rng(1).normal(size=(2, 20)), 2000, axis=0)
    y = np.tile([0, 1], 2000)
    noisy = noise.instance_dependent(x, y, 1.0, 6, seed=0)
    of_first = np.arange(4000) < 2000
    zero, one = (np.bincount(noisy[of_first & (y == c)], minlength=6)[2:] / 1000 for c in (0, 1))
    assert np.abs(zero - one).sum() > 0.3


def test_the_unit_of_a_feature_does_not_matter():
    x, y = blobs()
    scaled = x.astype(np.float64) * np.geomspace(1e-3, 1e3, x.shape[1]) + 7
    first = noise.instance_dependent(x, y, 0.4, 4, seed=0)
    assert (first == noise.instance_dependent(scaled, y, 0.4, 4, seed=0)).mean() > 0.999
    assert (first != noise.instance_dependent(scaled, y, 0.4, 4, seed=0, standardize=False)).mean() > 0.1


def test_shape_dtype_missing_and_determinism():
    x, y = blobs(500)
    y = y.astype(np.int16)
    y[::7] = -1
    noisy = noise.instance_dependent(x, y, 0.4, 4, seed=0)
    assert noisy.dtype == np.int16
    assert (noisy[::7] == -1).all()
    images = x.reshape(500, 3, 2, 2)
    assert (noisy == noise.instance_dependent(images, y, 0.4, 4, seed=0)).all()
    assert (noisy == noise.instance_dependent(np.asfortranarray(images), y, 0.4, 4, seed=0)).all()
    assert (noisy != noise.instance_dependent(images, y, 0.4, 4, seed=1)).any()


def test_tensors_and_memory_maps_give_the_same_noise(tmp_path):
    import torch

    x, y = blobs(500)
    np.save(tmp_path / "x.npy", x)
    expected = noise.instance_dependent(x, y, 0.4, 4, seed=0)
    mapped = noise.instance_dependent(np.load(tmp_path / "x.npy", mmap_mode="r"), y, 0.4, 4, seed=0)
    tensors = noise.instance_dependent(torch.from_numpy(x), torch.from_numpy(y), 0.4, 4, seed=0)
    assert (mapped == expected).all()
    assert isinstance(tensors, torch.Tensor)
    assert (tensors.numpy() == expected).all()
    noise.instance_dependent(torch.from_numpy(x).bfloat16(), y, 0.4, 4, seed=0)


def test_the_noise_does_not_depend_on_how_it_was_cut_into_rows(monkeypatch):
    x, y = blobs(600, 50)
    expected = noise.instance_dependent(x, y, 0.4, 4, seed=0)
    monkeypatch.setattr(instance, "_BLOCK", 400)  # 50 features are one slab of 100; 8 rows at a time
    assert (noise.instance_dependent(x, y, 0.4, 4, seed=0) == expected).all()


def test_many_slabs_of_features_keep_the_rate_and_the_dependence(monkeypatch):
    monkeypatch.setattr(instance, "_BLOCK", 64)  # 50 features in slabs of 16
    x = np.repeat(np.random.default_rng(1).normal(size=(2, 50)), 1000, axis=0)
    noisy = noise.instance_dependent(x, np.zeros(2000, dtype=int), 0.5, 4, seed=0)
    assert abs((noisy != 0).mean() - 0.5) < 0.06
    first, second = (np.bincount(n, minlength=4) for n in (noisy[:1000], noisy[1000:]))
    assert np.abs(first - second).sum() > 200


def test_memory_beyond_the_input_is_bounded():
    x = np.zeros((20_000, 3072), dtype=np.uint8)  # 61 MB; as float32 it would be 246 MB
    x[:, :50] = np.random.default_rng(0).integers(256, size=(20_000, 50))
    y = np.arange(20_000) % 10
    tracemalloc.start()
    noisy = noise.instance_dependent(x, y, 0.3, 10, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert abs((noisy != y).mean() - 0.3) < 0.02
    assert peak < 150e6


def test_global_generators_are_left_alone():
    before = np.random.get_state()[1].copy()
    x, y = blobs(100)
    noise.instance_dependent(x, y, 0.5, 4, seed=0)
    assert (np.random.get_state()[1] == before).all()


def test_constant_and_no_features():
    y = np.arange(4000) % 4
    for x in (np.full((4000, 3), 5.0), np.zeros((4000, 0))):
        noisy = noise.instance_dependent(x, y, 0.6, 4, seed=0)
        assert abs((noisy != y).mean() - 0.6) < 0.05
    assert len(noise.instance_dependent(np.zeros((0, 3)), np.zeros(0, dtype=int), 0.5, 4, seed=0)) == 0


@pytest.mark.parametrize("standardize", [True, False])
def test_features_that_are_no_numbers_are_named(standardize):
    x, y = blobs(50)
    x[7, 3] = np.nan
    with pytest.raises(DataError, match=r"row 7, feature 3 holds nan"):
        noise.instance_dependent(x, y, 0.5, 4, seed=0, standardize=standardize)


def test_bad_input_is_refused():
    x, y = blobs(50)
    with pytest.raises(DataError, match="features and labels must have one row per sample each, got 49 and 50"):
        noise.instance_dependent(x[:49], y, 0.5, 4, seed=0)
    with pytest.raises(DataError, match=r"got shape .* dtype <U1"):
        noise.instance_dependent(np.full((50, 2), "a"), y, 0.5, 4, seed=0)
    with pytest.raises(ParameterError, match="std must be a number >= 0, got -1"):
        noise.instance_dependent(x, y, 0.5, 4, seed=0, std=-1)
    with pytest.raises(DataError, match=r"row \d+ holds 3"):
        noise.instance_dependent(x, y, 0.5, 3, seed=0)
    with pytest.raises(DataError, match="row 1 holds -1"):
        noise.flip_probabilities(np.zeros((2, 3)), [0, -1], [0.1, 0.1])


def test_sparse_features_are_told_how():
    from scipy.sparse import csr_matrix

    with pytest.raises(DataError, match="dense array"):
        noise.instance_dependent(csr_matrix(np.eye(3)), [0, 1, 2], 0.5, 3, seed=0)
