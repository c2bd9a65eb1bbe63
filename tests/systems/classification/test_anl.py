from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from errata.errors import ParameterError
from errata.losses import functional
from errata.parts import Batch
from errata.systems.classification.anl import ActiveNegativeTraining, add_l1_gradient, entropy_regularizer
from errata.testing.problems import batches, make_problem
from errata.testing.training import fit

BATCH = Batch(
    torch.tensor([0, 1, 2]), torch.randn(3, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 2, 1])
)


@pytest.mark.parametrize("active", ["nce", "nfl"])
@pytest.mark.parametrize("lamb", [0.0, 2.0])
def test_a_step_is_the_loss_without_its_l1_term(active: str, lamb: float) -> None:
    torch.manual_seed(0)
    system = ActiveNegativeTraining(nn.Linear(2, 3), 3, 3, active=active, alpha=2.0, beta=3.0, lamb=lamb)
    expected = functional.active_negative(system.model(BATCH.x), BATCH.y, active=active, alpha=2.0, beta=3.0, lamb=lamb)
    torch.testing.assert_close(system.training_step(BATCH), expected)


def test_entropy_regulariser() -> None:
    uniform = torch.eye(4, dtype=torch.float64) * 30
    assert float(entropy_regularizer(uniform)) == pytest.approx(0.0, abs=1e-6)
    assert float(entropy_regularizer(uniform[:1])) == pytest.approx(math.log(4), abs=1e-4)
    logits = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(entropy_regularizer(logits), functional.batch_entropy_regularizer(logits))
    assert entropy_regularizer(logits.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("clip", [None, 0.5])
def test_the_l1_gradient_is_what_l1_in_the_loss_gives(clip: float | None) -> None:
    """One step in a Trainer against one by hand, with the norm in the loss and clipping after it."""
    problem = make_problem()
    torch.manual_seed(0)
    system = ActiveNegativeTraining(
        problem.network(), 3, len(problem), delta=0.05, gradient_clip=clip, momentum=0.0, lr=0.1
    )
    by_hand = problem.network()
    by_hand.load_state_dict(system.model.state_dict())
    batch = batches(problem)[0]
    weights = list(by_hand.parameters())
    loss = functional.active_negative(by_hand(batch.x), batch.y, delta=0.05, parameters=weights)
    loss.backward()
    if clip is not None:
        assert nn.utils.clip_grad_norm_(weights, clip) > clip
    torch.optim.SGD(weights, lr=0.1).step()
    fit(system, [batch], max_steps=1)
    for ours, theirs in zip(system.model.parameters(), weights, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_delta_zero_adds_nothing_and_weights_without_gradient_are_left_alone() -> None:
    frozen, moving = torch.ones(2), torch.tensor([-2.0, 0.0])
    moving.grad = torch.zeros(2)
    add_l1_gradient([frozen, moving], 0.5)
    assert frozen.grad is None
    assert moving.grad.tolist() == [-0.5, 0.0]
    add_l1_gradient([frozen], 0.5)
    system = ActiveNegativeTraining(nn.Linear(2, 3), 3, 3, delta=0.0, scheduler="constant")
    system.training_step(BATCH).backward()
    before = system.model.weight.grad.clone()
    system.on_before_optimizer_step(system.configure_optimizers())
    assert torch.equal(before, system.model.weight.grad)


def test_weight_decay_is_off_unless_asked_for() -> None:
    system = ActiveNegativeTraining(nn.Linear(2, 3), 3, 3, scheduler="constant")
    assert system.configure_optimizers().defaults["weight_decay"] == 0.0
    assert ActiveNegativeTraining.hyperparameters()["weight_decay"] == 0.0
    assert ActiveNegativeTraining.hyperparameters()["gradient_clip"] == 5.0


@pytest.mark.parametrize("wrong", [{"active": "ce"}, {"alpha": -1.0}, {"delta": -1e-5}, {"lamb": float("nan")}])
def test_values_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        ActiveNegativeTraining(nn.Linear(2, 3), 3, 3, **wrong)
