"""The baseline: what counts in its loss."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from errata.errors import ParameterError, UnknownNameError
from errata.parts import Batch
from errata.systems.multilabel.bce import BinaryCrossEntropy, asymmetric_loss

X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([[1, 0], [-1, 1], [-1, -1], [0, 1]])


def step(**options):
    torch.manual_seed(0)
    system = BinaryCrossEntropy(torch.nn.Linear(3, 2), num_classes=2, num_samples=4, **options)
    return system.training_step(Batch(torch.arange(4), X, Y)), system.model(X)


def test_unknown_labels_are_left_out():
    loss, logits = step()
    known = Y >= 0
    expected = F.binary_cross_entropy_with_logits(logits[known], Y[known].float())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_or_taken_for_negative():
    loss, logits = step(unknown="negative")
    expected = F.binary_cross_entropy_with_logits(logits, (Y == 1).float())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_asymmetric_loss_is_cross_entropy_without_its_parameters():
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    target = torch.randint(0, 2, (5, 3), generator=torch.Generator().manual_seed(2))
    plain = F.binary_cross_entropy_with_logits(logits, target.float(), reduction="none")
    torch.testing.assert_close(asymmetric_loss(logits, target, 0.0, 0.0, 0.0), plain)
    assert (asymmetric_loss(logits, target) <= plain + 1e-7).all()
    assert asymmetric_loss(torch.tensor([[-5.0]]), torch.tensor([[0]])).item() == 0  # an easy negative counts nothing
    assert step(loss="asl")[0] < step()[0]


def test_parameters_out_of_range():
    for odd in ({"unknown": "positive"}, {"loss": "mse"}):
        with pytest.raises(UnknownNameError):
            step(**odd)
    for odd in ({"clip": 1.0}, {"gamma_neg": -1.0}):
        with pytest.raises(ParameterError, match=next(iter(odd))):
            step(loss="asl", **odd)
