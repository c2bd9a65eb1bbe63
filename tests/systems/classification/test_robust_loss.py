from __future__ import annotations

import pytest
import torch
from torch import nn

from errata import losses
from errata.errors import ParameterError, UnknownNameError
from errata.parts import Batch
from errata.systems.classification.robust_loss import RobustLossTraining
from errata.testing.problems import batches, make_problem
from errata.testing.training import fit

BATCH = Batch(torch.tensor([0, 1]), torch.rand(2, 2), torch.tensor([0, 2]))


@pytest.mark.parametrize("name", [n for n in losses.names() if not n.startswith("ogc")])
def test_every_named_loss_is_what_is_trained(name: str) -> None:
    torch.manual_seed(0)
    system = RobustLossTraining(nn.Linear(2, 3), 3, 2, loss=name)
    expected = losses.get(name)(system.model(BATCH.x), BATCH.y)
    torch.testing.assert_close(system.training_step(BATCH), expected)


def test_parameters_reach_the_loss() -> None:
    system = RobustLossTraining(nn.Linear(2, 3), 3, 2, loss="gce", loss_params={"q": 1.0})
    expected = losses.MeanAbsoluteError()(system.model(BATCH.x), BATCH.y)
    torch.testing.assert_close(system.training_step(BATCH), expected)
    with pytest.raises(UnknownNameError, match="tau"):
        RobustLossTraining(nn.Linear(2, 3), 3, 2, loss="gce", loss_params={"tau": 1.0})


class Learned(nn.Module):
    """A loss with a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(logits * self.scale, target)


def test_a_module_is_used_as_it_is_and_its_weights_are_learned() -> None:
    problem = make_problem()
    loss = Learned()
    system = RobustLossTraining(problem.network(), 3, len(problem), loss=loss)
    assert system.loss is loss
    fit(system, batches(problem))
    assert loss.scale.item() != 1.0
    assert [k for k in system.state_dict() if "scale" in k] == ["loss.scale"]


def test_an_unknown_loss_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'gce'"):
        RobustLossTraining(nn.Linear(2, 3), 3, 2, loss="gcee")


def test_losses_that_need_more_are_sent_to_their_systems() -> None:
    with pytest.raises(ParameterError, match="system 'ogc'"):
        RobustLossTraining(nn.Linear(2, 3), 3, 2, loss="ogc-fl")
    with pytest.raises(ParameterError, match="system 'anl'"):
        RobustLossTraining(nn.Linear(2, 3), 3, 2, loss="anl-ce", loss_params={"delta": 1e-5})
    with pytest.raises(ParameterError, match="loss_params"):
        RobustLossTraining(nn.Linear(2, 3), 3, 2, loss=nn.CrossEntropyLoss(), loss_params={"q": 1})
