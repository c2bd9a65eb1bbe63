from __future__ import annotations

import pytest
import torch

from errata.parts import class_prototypes, cosine_scores


def test_prototypes_are_class_means():
    z, labels = torch.randn(30, 4), torch.arange(30) % 3
    torch.testing.assert_close(class_prototypes(z, labels, 3), torch.stack([z[labels == c].mean(0) for c in range(3)]))


def test_a_class_without_a_row_keeps_its_previous_prototype():
    previous = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert class_prototypes(torch.zeros(1, 2), torch.tensor([0]), 2, previous).tolist() == [[0, 0], [3, 4]]


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_cosines_do_not_depend_on_length(size):
    z = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    found = cosine_scores(z * size, torch.tensor([[1.0, 0.0], [-5.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.6, -0.6], [0.0, 0.0]]))
