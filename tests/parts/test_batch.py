from __future__ import annotations

import numpy as np
import pytest
import torch

from errata.errors import DataError
from errata.parts import Batch, as_batch


class Marked(Batch):
    """A batch of a subclass."""


def test_what_a_loader_gives_becomes_a_batch() -> None:
    index, x, y = torch.tensor([3, 1], dtype=torch.int32), torch.zeros(2, 4), torch.tensor([1, 0], dtype=torch.uint8)
    for given in ((index, x, y), [index, x, y], Batch(index, x, y), (index.numpy(), x, np.array([1, 0]))):
        batch = as_batch(given)
        assert batch.index.tolist() == [3, 1]
        assert batch.y.tolist() == [1, 0]
        assert batch.index.dtype == batch.y.dtype == torch.int64
        assert batch.x is x


def test_a_subclass_stays_one() -> None:
    assert type(as_batch(Marked(torch.tensor([0]), None, torch.tensor([0])))) is Marked


def test_pairs_will_do_where_row_numbers_are_not_needed() -> None:
    pair = (torch.zeros(2, 4), torch.tensor([1, 0]))
    assert as_batch(pair, indexed=False).index.tolist() == [-1, -1]
    with pytest.raises(DataError, match=r"tuple of 2.*IndexedDataset"):
        as_batch(pair)


@pytest.mark.parametrize("odd", [torch.zeros(3), {"x": 1}, (1, 2, 3, 4), 5])
def test_anything_else_is_refused(odd: object) -> None:
    with pytest.raises(DataError, match="index, x, y"):
        as_batch(odd, indexed=False)


def test_labels_must_be_one_integer_each() -> None:
    with pytest.raises(DataError, match="y must be one integer"):
        as_batch((torch.tensor([0]), torch.zeros(1), torch.tensor([[1, 0]])))
    with pytest.raises(DataError, match="index must be one integer"):
        as_batch((torch.tensor([0.0]), torch.zeros(1), torch.tensor([1])))
