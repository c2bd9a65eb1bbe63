"""Encoders of arrays and images, and what they have in common."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from errata.data import ImageViews, encoder_for, encoder_from_spec, read
from errata.errors import DataError, LoadError, ParameterError, UnknownNameError

RNG = np.random.default_rng(0)
SOURCES = {
    "array": (RNG.normal(3, 2, (30, 4)), None),
    "images": (RNG.integers(0, 256, (30, 3, 8, 8), dtype=np.uint8), None),
    "floats": (RNG.random((30, 2, 8, 8)), None),
    "texts": ([f"text {i} of {i % 7} words" for i in range(30)], None),
    "table": (
        pd.DataFrame({"n": [1.5, None, 3.0] * 10, "c": ["a", "b", None] * 10, "f": [True, False, True] * 10}),
        False,
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_an_encoder_made_again_from_its_description_encodes_the_same(kind):
    data = read(*SOURCES[kind])
    encoder = encoder_for(data).fit(data)
    spec = json.loads(json.dumps(encoder.spec()))
    again = encoder_from_spec(spec)
    x = encoder.encode(data)
    assert torch.equal(again.encode(data), x)
    assert again.input_shape == encoder.input_shape == tuple(x.shape[1:])
    assert again.reading() == encoder.reading()
    plain = [e.views(augment=False).plain(x) for e in (encoder, again)]
    assert torch.equal(*plain)
    assert torch.equal(encoder.views().plain(x), plain[0])
    part = data.subset([7, 3])
    assert torch.equal(encoder.encode(part), x[[7, 3]])


@pytest.mark.parametrize("kind", SOURCES)
def test_an_encoder_learns_from_the_rows_it_is_given_only(kind):
    data = read(*SOURCES[kind])
    half = data.subset(np.arange(15))
    encoder = encoder_for(half).fit(half)
    assert encoder.encode(data).shape[0] == 30
    if kind == "array":
        assert torch.allclose(encoder.encode(half).mean(0), torch.zeros(4), atol=1e-6)
    with pytest.raises(DataError, match=r"Expected .* as in training; .* was read as"):
        encoder.encode(read(["a text"]) if kind != "texts" else read(np.zeros((3, 2))))


def test_damaged_descriptions_are_told():
    for spec in ({}, {"name": "magic"}, None):
        with pytest.raises(LoadError, match="expected one of array, image, tabular, text"):
            encoder_from_spec(spec)
    with pytest.raises(LoadError, match="damaged"):
        encoder_from_spec({"name": "text"})


def test_large_numbers_lose_nothing_before_they_are_standardised():
    x = 1.6e9 + np.arange(10.0)[:, None] * [1.0, 1e-3]
    data = read(np.concatenate([x, np.full((10, 1), 7e8)], axis=1))
    z = encoder_for(data).fit(data).encode(data)
    expected = (np.arange(10) - 4.5) / np.std(np.arange(10))
    assert np.allclose(z[:, 0], expected, atol=1e-5)
    assert np.allclose(z[:, 1], expected, atol=1e-2)
    assert (z[:, 2] == 0).all()


def test_a_wrong_number_of_features_is_told():
    data = read(np.zeros((4, 3)))
    with pytest.raises(DataError, match="Expected 3 features, as in training; the array has 2"):
        encoder_for(data).fit(data).encode(read(np.zeros((4, 2))))


def test_an_arrays_model_takes_a_table_of_as_many_numbers():
    data = read(np.array([[0.0, 2.0], [2.0, 4.0]]))
    encoder = encoder_for(data).fit(data)
    table = read(pd.DataFrame({"a": [0.0, 2.0], "b": [2.0, 4.0]}), False)
    assert torch.equal(encoder.encode(table), encoder.encode(data))


def test_image_views_follow_the_training_images():
    data = read(RNG.integers(0, 256, (50, 3, 16, 16), dtype=np.uint8))
    encoder = encoder_for(data).fit(data)
    views = encoder.views()
    assert isinstance(views, ImageViews)
    assert (views.pad, views.flip) == (2, True)
    plain = views.plain(encoder.encode(data))
    assert torch.allclose(plain.mean((0, 2, 3)), torch.zeros(3), atol=1e-3)
    assert torch.allclose(plain.std((0, 2, 3)), torch.ones(3), atol=1e-3)
    calm = encoder.views(augment=False)
    for view in (calm.weak, calm.strong):
        assert torch.equal(view(encoder.encode(data)), plain)
    grey = read(np.zeros((4, 28, 28), dtype=np.uint8))
    assert encoder_for(grey).fit(grey).views().flip is False
    assert encoder.views(pad=0, flip=False).pad == 0
    with pytest.raises(UnknownNameError, match="Did you mean 'cutout'"):
        encoder.views(cutuot=0.1)


def test_options_that_do_not_fit_are_told():
    with pytest.raises(ParameterError, match="buckets"):
        encoder_for(read(np.zeros((2, 2))), buckets=5)
    with pytest.raises(UnknownNameError):
        encoder_for(read(np.zeros((2, 2)))).fit(read(np.ones((2, 2)))).views(flip=True)


def test_eight_bit_and_float_images_do_not_mix_silently():
    eight, floats = read(*SOURCES["images"]), read(SOURCES["images"][0] / np.float32(255))
    by_floats = encoder_for(floats).fit(floats)
    assert torch.allclose(by_floats.encode(eight), by_floats.encode(floats), atol=1e-6)
    by_eight = encoder_for(eight).fit(eight)
    with pytest.raises(DataError, match="uint8"):
        by_eight.encode(floats)


def test_more_rows_than_are_read_at_a_time_are_standardised():
    array = np.random.default_rng(0).normal(3, 2, size=(70_000, 2)).astype(np.float32)
    data = read(array)
    encoded = encoder_for(data).fit(data).encode(data)
    assert np.asarray(encoded).mean(0) == pytest.approx([0, 0], abs=1e-3)
