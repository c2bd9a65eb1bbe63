"""Map-style torch datasets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from errata.data import encoder_for, loader, read
from errata.errors import DataError


class Pictures(Dataset):
    """As torchvision's: pictures, targets, class names."""

    classes = ["cat", "dog"]

    def __init__(self, n=6):
        self.targets = [i % 2 for i in range(n)]

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        return Image.new("RGB", (10 + i, 12), (i, 0, 0)), self.targets[i]


class Tensors(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        return torch.full((3, 4, 5), i / 8), np.int64(i % 3)


def test_a_tensor_dataset_is_its_tensors():
    x, y = torch.randn(10, 4), torch.arange(10) % 3
    data = read(TensorDataset(x, y))
    assert np.shares_memory(data.array, x.numpy())
    assert data.labels.codes.tolist() == y.tolist()


def test_pictures_are_decoded_and_classes_named():
    data = read(Pictures())
    assert data.labels.classes == ["cat", "dog"]
    assert data.images.shape == (3, 32, 32)
    assert data.images.array[:, 0, 5, 5].tolist() == list(range(6))
    assert data.preview(2).png.startswith(b"\x89PNG")


def test_tensors_are_stacked_or_read_batch_by_batch():
    kept, lazy = read(Tensors()), read(Tensors(), memory=100)
    assert kept.labels.codes.tolist() == lazy.labels.codes.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    encoder = encoder_for(lazy).fit(lazy)
    x = encoder.encode(lazy)
    assert isinstance(x, Dataset)
    assert torch.equal(torch.stack([x[i] for i in range(8)]), encoder.encode(kept))
    batch = next(iter(loader(x, torch.as_tensor(lazy.labels.codes), batch_size=3, shuffle=False)))
    assert (batch.x.shape, batch.y.tolist(), batch.index.tolist()) == ((3, 3, 4, 5), [0, 1, 2], [0, 1, 2])
    assert lazy.preview(3).png.startswith(b"\x89PNG")
    assert any("batch by batch" in line for line in lazy.describe())


def test_parts_and_unions_of_datasets():
    data = read(ConcatDataset([Subset(Tensors(), [3, 4]), Tensors()]))
    assert data.labels.codes.tolist() == [0, 1, 0, 1, 2, 0, 1, 2, 0, 1]


def test_lists_of_pairs_are_datasets():
    texts = read([("good film", "pos"), ("bad film", "neg")])
    assert (texts.texts(), texts.labels.classes) == (["good film", "bad film"], ["neg", "pos"])
    vectors = read([(np.ones(3), True), (np.zeros(3), False)])
    assert (vectors.kind, vectors.labels.classes) == ("tabular", [False, True])
    assert read([(1.0, 2.0), (3.0, 4.0)]).array.shape == (2, 2)  # rows of numbers, not pairs


def test_items_without_a_label():
    class Alone(Tensors):
        def __getitem__(self, i):
            return torch.ones(4) * i

    assert read(Alone(), False).array[3].tolist() == [3.0] * 4
    with pytest.raises(DataError, match=r"Expected items \(x, y\)"):
        read(Alone())


def test_datasets_that_will_not_do_are_told():
    class Stream(IterableDataset):
        def __iter__(self):
            yield from range(3)

    class Ragged(Tensors):
        def __getitem__(self, i):
            return torch.zeros(3 + i), 0

    with pytest.raises(DataError, match="iterated over"):
        read(Stream())
    with pytest.raises(DataError, match="item 0 has"):
        read(Ragged())
    with pytest.raises(DataError, match="is empty"):
        read(Subset(Tensors(), []))
    with pytest.raises(DataError, match="nan in row 2"):
        read([(np.ones(2), 0), (np.ones(2), 1), (np.array([np.nan, 1]), 0)])
