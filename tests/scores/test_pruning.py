from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.errors import DataError
from errata.scores import pruning


def epochs(e: int = 7, n: int = 20, c: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(e, n, c, generator=generator, dtype=torch.float64)
    return logits, torch.randint(c, (n,), generator=generator)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(2, 5), st.integers(0, 99))
def test_bounds(e: int, n: int, c: int, seed: int) -> None:
    logits, labels = epochs(e, n, c, seed)
    el2n, forgotten = pruning.el2n(logits, labels), pruning.forgetting(logits, labels)
    assert bool(((el2n >= 0) & (el2n <= 2**0.5)).all())
    finite = forgotten[forgotten.isfinite()]
    assert bool((finite <= e // 2).all())
    assert bool((pruning.accumulated_margin(logits, labels).abs() <= e).all())
    features = torch.randn(n, 3, dtype=torch.float64)
    assert bool((pruning.grand(logits[0], features, labels) >= pruning.error_norm(logits[0], labels)).all())
    assert bool((pruning.area_under_margin(torch.zeros_like(logits), labels) == 0).all())


def test_scores_follow_their_samples() -> None:
    logits, labels = epochs()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    for score in (
        pruning.el2n,
        pruning.forgetting,
        pruning.correctness,
        pruning.area_under_margin,
        pruning.accumulated_margin,
    ):
        assert torch.allclose(score(logits[:, order], labels[order]), score(logits, labels)[order], rtol=1e-12)


def test_never_learned_is_the_hardest_unless_one_says_so() -> None:
    logits = torch.tensor([[[0.0, 1.0]], [[0.0, 1.0]]])
    assert pruning.forgetting(logits, [0]).item() == float("inf")
    assert pruning.forgetting(logits, [0], never=0).item() == 0


def test_grand_is_the_gradient_of_the_last_layer() -> None:
    torch.manual_seed(0)
    layer, h, y = torch.nn.Linear(3, 4).double(), torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    expected = []
    for i in range(5):
        loss = torch.nn.functional.cross_entropy(layer(h[i : i + 1]), y[i : i + 1], reduction="sum")
        grads = torch.autograd.grad(loss, list(layer.parameters()))
        expected.append(float(torch.cat([g.flatten() for g in grads]).norm()))
    assert np.allclose(pruning.grand(layer(h).detach(), h, y), expected)


def test_moderate_distances_are_zero_at_the_median() -> None:
    distance = pruning.moderate_distance([[0.0, 0], [1, 1], [2, 2]], [0, 0, 0])
    assert distance[1] == 0
    assert distance[0] == pytest.approx(2**0.5)


def test_uncertainty_is_highest_for_a_flat_prediction() -> None:
    z = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    assert pruning.prediction_entropy(z).argmax() == 0
    assert pruning.least_confidence(z).tolist()[0] == 0.5


@pytest.mark.parametrize(
    ("logits", "labels", "says"),
    [
        ([[[0.0, 1.0]]], [0, 1], "a label for each"),
        ([[[0.0, 1.0]]], [2], r"\[0, 2\)"),
        ([[0.0, 1.0]], [0], "over epochs"),
    ],
)
def test_bad_input_is_told(logits: list, labels: list, says: str) -> None:
    with pytest.raises(DataError, match=says):
        pruning.correctness(logits, labels)


def test_memorization_needs_two_tables_of_one_shape() -> None:
    with pytest.raises(DataError, match="runs by samples"):
        pruning.memorization([[1, 0]], [[1]])
