from __future__ import annotations

import torch
from torch import nn

from errata.parts import Batch
from errata.systems.classification.ce import CrossEntropyTraining


def test_a_step_is_cross_entropy_and_fills_the_belief() -> None:
    torch.manual_seed(0)
    system = CrossEntropyTraining(nn.Linear(2, 3), 3, 4)
    batch = Batch(torch.tensor([3, 0]), torch.rand(2, 2), torch.tensor([1, 2]))
    logits = system.model(batch.x)
    torch.testing.assert_close(system.training_step(batch), nn.functional.cross_entropy(logits, batch.y))
    torch.testing.assert_close(system.belief.read(batch.index), logits.softmax(1).detach())
