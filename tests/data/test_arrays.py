"""Arrays, lists of texts, .npz and .npy files."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch

from errata.data import encoder_for, read
from errata.errors import DataError, UnknownNameError


def encoded(data):
    return encoder_for(data).fit(data).encode(data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.uint8, bool])
def test_features_of_any_type_become_standard_floats(dtype):
    x = np.random.default_rng(0).integers(0, 2, (20, 3)).astype(dtype)
    data = read(x, [0, 1] * 10)
    z = encoded(data)
    assert (data.kind, z.dtype, tuple(z.shape)) == ("tabular", torch.float32, (20, 3))
    assert torch.allclose(z.mean(0), torch.zeros(3), atol=1e-6)
    assert torch.allclose(z.std(0, unbiased=False), torch.ones(3), atol=1e-5)
    assert data.labels.classes == [0, 1]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 9, 8), (4, 1, 9, 8)),
        ((4, 3, 9, 8), (4, 3, 9, 8)),
        ((4, 9, 8, 3), (4, 3, 9, 8)),
        ((4, 9, 8, 1), (4, 1, 9, 8)),
        ((4, 5, 9, 8), (4, 5, 9, 8)),
        ((4, 1, 8, 3), (4, 1, 8, 3)),
    ],
)
def test_images_of_any_layout_have_their_channels_first(shape, expected):
    values = np.arange(np.prod(shape)).reshape(shape) % 251
    data = read(values.astype(np.uint8), [0, 1, 0, 1])
    pixels = encoded(data)
    assert data.kind == "image"
    assert (tuple(pixels.shape), pixels.dtype) == (expected, torch.uint8)
    assert pixels[1].sum() == values[1].sum()
    assert encoded(read(values, [0, 1, 0, 1])).dtype == torch.uint8  # int64 of 0 to 255
    assert encoded(read(values / 250.0)).dtype == torch.float32


def test_tensors_and_lists_are_arrays():
    x = torch.randn(6, 2, requires_grad=True)
    assert torch.equal(encoded(read(x)), encoded(read(x.detach().numpy())))
    assert torch.equal(encoded(read(x.tolist())), encoded(read(x.detach().double())))
    assert encoded(read(torch.randn(3, 2, dtype=torch.bfloat16))).dtype == torch.float32


def test_texts_of_any_container():
    texts = ["good film", "bad film", None]
    for source in (texts, tuple(texts), np.array(texts, dtype=object), np.array(["good film", "bad film", ""])):
        data = read(source, ["+", "-", "+"])
        assert data.kind == "text"
        assert data.texts() == ["good film", "bad film", ""]
    assert read(["lone \ud800 surrogate"]).texts() == ["lone ? surrogate"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.array([[1.0, 2.0], [np.nan, 1.0]]), r"holds nan in row 1, column 0"),
        (np.array([[1.0, 2.0], [3.0, -np.inf]]), r"holds -inf in row 1, column 1"),
        (np.full((3, 2, 4, 4), np.nan), "holds nan in row 0, place 0, 0, 0"),
        (np.zeros(4), r"float64 of shape \(4,\).*reshape"),
        (np.zeros((0, 3)), "is empty"),
        (np.zeros((3, 0)), "nothing in it"),
        ([], "is empty"),
        (np.zeros((2, 2), dtype=complex), "complex"),
        ([[1.0], [1.0, 2.0]], "different lengths"),
        (np.array([["a", 1.0], ["b", 2.0]], dtype=object), "DataFrame"),
        (scipy.sparse.eye(3).tocsr(), "sparse"),
        (["text", 5], "row 1 holds 5"),
        (5, "got int"),
        (iter([1, 2]), "iterated over"),
    ],
)
def test_arrays_that_will_not_do_are_told(source, message):
    with pytest.raises(DataError, match=message):
        read(source)


def test_a_sum_that_overflows_is_not_taken_for_infinity():
    x = np.full((3, 2), 1e308)
    x[1] = -1e308
    assert len(read(x)) == 3


def test_labels_of_another_length_are_told():
    with pytest.raises(DataError, match="each of the 3 rows of the array; got 2"):
        read(np.zeros((3, 2)), [0, 1])
    with pytest.raises(DataError, match="no columns"):
        read(np.zeros((3, 2)), "label")


def test_a_memory_mapped_file_is_not_copied(tmp_path, monkeypatch):
    from errata.data import encoders

    monkeypatch.setattr(encoders, "STANDARD_LIMIT", 100)
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, (500, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    data = read(tmp_path / "x.npy", rng.integers(0, 2, 500))
    encoder = encoder_for(data).fit(data)
    z = encoder.encode(data)
    assert np.array_equal(z.numpy(), x)
    assert np.shares_memory(z.numpy(), data.array)
    views = encoder.views()
    assert torch.allclose(views.plain(z).mean(0), torch.zeros(4), atol=1e-5)
    assert torch.allclose(views.weak(z), (z - x.mean(0)) / x.std(0), atol=1e-4)


# -- files ------------------------------------------------------------------------------------------------------------


def test_an_archive_of_inputs_and_labels(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 3)), np.array(["a", "b", "c"] * 3)
    np.savez(tmp_path / "a.npz", X=x, y=y, index=np.arange(9))
    data = read(tmp_path / "a.npz")
    assert (data.kind, data.label_name, data.labels.classes) == ("tabular", "y", ["a", "b", "c"])
    assert any("'index'" in line for line in data.describe())
    np.savez_compressed(tmp_path / "b.npz", photos=(x * 9).astype(np.uint8)[:, :, None], truth=y, given=y[::-1])
    other = read(tmp_path / "b.npz", "truth", features="photos")
    assert other.kind == "image"
    assert other.select_label("given").labels.codes.tolist() == other.labels.codes[::-1].tolist()
    with pytest.raises(UnknownNameError, match="Did you mean 'truth'"):
        read(tmp_path / "b.npz", "thruth")
    assert read(tmp_path / "a.npz", False).labels is None


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"X": np.zeros((3, 2)), "y": [0, 1]}, {}, "'X' has 3 rows and the labels 'y' 2"),
        ({"X": np.zeros((3, 2)), "z": [0, 1, 0]}, {}, r"Which array .* labels\? .*z \(3,\)"),
        ({"X": np.zeros((3, 2)), "y": [0, 1, 0], "label": [0, 1, 0]}, {}, "several"),
        ({"a": np.zeros((3, 2)), "b": np.ones((3, 2)), "y": [0, 1, 0]}, {}, "Which array .* inputs"),
        ({"y": [0, 1, 0]}, {}, "Which array .* inputs"),
        ({"X": np.full((3, 2), np.nan), "y": [0, 1, 0]}, {}, "nan in row 0"),
        ({"X": np.array([{"a": 1}, None, 2], dtype=object), "y": [0, 1, 0]}, {}, "unpickling"),
        ({}, {}, "no arrays"),
    ],
)
def test_archives_that_will_not_do_are_told(tmp_path, arrays, options, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.npz", **options)


def test_a_pickle_in_disguise_is_not_opened(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    for name in ("a.npz", "a.npy"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(DataError, match=r"Python objects|damaged"):
            read(tmp_path / name)
    np.save(tmp_path / "b.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="unpickling"):
        read(tmp_path / "b.npy")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_damaged_files_are_told(tmp_path, name):
    x = np.random.default_rng(0).normal(size=(500, 4))
    if name == "a.npz":
        np.savez_compressed(tmp_path / name, X=x, y=np.zeros(500, dtype=int))
    else:
        np.save(tmp_path / name, x)
    whole = (tmp_path / name).read_bytes()
    for broken in (b"", whole[: len(whole) // 2], whole[:300] + bytes(200) + whole[500:]):
        (tmp_path / name).write_bytes(broken)
        if name == "a.npy" and len(broken) == len(whole):
            continue  # other numbers, but numbers
        with pytest.raises(DataError, match=r"damaged|Python objects|no NumPy"):
            read(tmp_path / name)
