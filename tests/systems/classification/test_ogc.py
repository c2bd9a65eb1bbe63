from __future__ import annotations

import pytest
import torch
from torch import nn

from errata import losses
from errata.errors import ParameterError
from errata.parts import Batch
from errata.systems.classification.ogc import OptimizedGradientClippingTraining as OGC
from errata.testing.problems import batches, make_problem
from errata.testing.training import fit


def test_a_step_is_the_losses_with_the_current_learning_rate() -> None:
    problem = make_problem(n=60)
    torch.manual_seed(0)
    system = OGC(problem.network(), 3, len(problem), time_frame=1, queue_size=30, lr=0.3, epsilon=4.0)
    loss = losses.OptimizedGradientClipping(queue_size=30, time_frame=1, epsilon=4.0)
    for batch in batches(problem, 15):
        expected = loss(system.model(batch.x), batch.y, lr=0.3)
        torch.testing.assert_close(system.training_step(batch), expected)
    assert float(system.criterion.threshold) == float(loss.threshold) > 1e-7


def test_clipping_tightens_as_the_learning_rate_falls() -> None:
    thresholds = []
    for lr in (0.1, 0.001):
        torch.manual_seed(0)
        system = OGC(nn.Linear(2, 3), 3, 60, time_frame=1, queue_size=60, lr=lr)
        random = torch.Generator().manual_seed(1)
        x = 3 * torch.randn(60, 2, generator=random)
        system.training_step(Batch(torch.arange(60), x, torch.randint(3, (60,), generator=random)))
        thresholds.append(float(system.criterion.threshold))
    assert thresholds[0] < thresholds[1]


def test_it_follows_the_trainers_schedule() -> None:
    problem, rates = make_problem(), []
    system = OGC(problem.network(), 3, len(problem), lr=0.4)
    original = system.criterion.forward
    system.criterion.forward = lambda *a, lr, h: (rates.append(lr), original(*a, lr=lr, h=h))[1]  # type: ignore
    fit(system, batches(problem), epochs=2)
    assert rates[0] == 0.4
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.05


def test_the_queue_is_never_longer_than_the_data() -> None:
    assert OGC(nn.Linear(1, 2), 2, 100).criterion.queue_size == 100
    assert OGC(nn.Linear(1, 2), 2, 100).queue_size == 4096
    assert OGC(nn.Linear(1, 2), 2, 10_000).criterion.queue_size == 4096
    with pytest.raises(ParameterError, match="queue_size"):
        OGC(nn.Linear(1, 2), 2, 100, queue_size=1)


def test_the_queue_and_the_threshold_lie_in_the_state_dict() -> None:
    problem = make_problem()
    system = OGC(problem.network(), 3, len(problem), time_frame=2)
    fit(system, batches(problem), epochs=3)
    other = OGC(problem.network(), 3, len(problem), time_frame=2)
    other.load_state_dict(system.state_dict())
    assert other.criterion.threshold == system.criterion.threshold > 1e-7
    assert torch.equal(other.criterion.history(), system.criterion.history())


@pytest.mark.parametrize("base", ["fl", "gce"])
def test_other_base_losses(base: str) -> None:
    problem = make_problem()
    system = OGC(problem.network(), 3, len(problem), base_loss=base, max_threshold=0.9, time_frame=2)
    _, values = fit(system, batches(problem), epochs=3)
    assert values.all_finite()
    assert system.criterion.base_loss == base
    assert float(system.criterion.threshold) <= 0.9


def test_what_is_passed_on_is_checked_by_the_loss() -> None:
    with pytest.raises(ParameterError, match="base_loss"):
        OGC(nn.Linear(1, 2), 2, 100, base_loss="mse")
