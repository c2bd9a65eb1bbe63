"""Cross-entropy against torch's, and the two gradients of the focal loss."""

from __future__ import annotations

import pytest
import torch

from errata.errors import ParameterError
from errata.losses import FocalLoss
from errata.losses.functional import cross_entropy, focal_loss


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(5, 4, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.tensor([0, 3, 1, -100, 2])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_is_torchs(batch: tuple[torch.Tensor, torch.Tensor], reduction: str) -> None:
    expected = torch.nn.functional.cross_entropy(*batch, reduction=reduction)
    torch.testing.assert_close(cross_entropy(*batch, reduction=reduction), expected)


def test_cross_entropy_to_a_distribution_is_torchs(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    target = torch.rand(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).softmax(1)
    torch.testing.assert_close(cross_entropy(batch[0], target), torch.nn.functional.cross_entropy(batch[0], target))


def test_without_focus_it_is_cross_entropy(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.testing.assert_close(focal_loss(*batch, gamma=0.0), cross_entropy(*batch))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_factor_is_a_constant_in_the_gradient_unless_asked_for(batch, gamma: float) -> None:
    logits, target = batch
    p = logits.softmax(1).gather(1, target.clamp_min(0)[:, None])[:, 0]
    held = ((1 - p).detach() ** gamma * -p.log())[target >= 0].mean()
    whole = ((1 - p) ** gamma * -p.log())[target >= 0].mean()
    for expected, detach in ((held, True), (whole, False)):
        value = focal_loss(logits, target, gamma=gamma, detach_factor=detach)
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(
            torch.autograd.grad(value, logits)[0], torch.autograd.grad(expected, logits, retain_graph=True)[0]
        )


def test_soft_targets_of_the_focal_loss_are_an_expectation() -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0]])
    each = torch.stack([focal_loss(logits, torch.tensor([k])) for k in range(3)])
    target = torch.tensor([[0.2, 0.5, 0.3]])
    torch.testing.assert_close(focal_loss(logits, target), (each * target[0]).sum())


def test_a_negative_exponent_is_refused() -> None:
    with pytest.raises(ParameterError, match="gamma"):
        FocalLoss(gamma=-1)
    with pytest.raises(ParameterError, match="gamma"):
        focal_loss(torch.zeros(1, 2), torch.tensor([0]), gamma=-1)
