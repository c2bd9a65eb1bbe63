from __future__ import annotations

import pytest
import torch

from errata.errors import UnknownNameError
from errata.parts.optimizers import build_optimizer, build_scheduler


def weights() -> list[torch.Tensor]:
    return [torch.zeros(1, requires_grad=True)]


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_by_name(name: str, kind: type) -> None:
    optimizer = build_optimizer(name, weights(), lr=0.3, momentum=0.8, weight_decay=0.1)
    assert type(optimizer) is kind
    assert optimizer.defaults["lr"] == 0.3
    assert optimizer.defaults["weight_decay"] == 0.1
    assert optimizer.defaults.get("momentum", 0.8) == 0.8


def rates(name: str, steps: int, milestones: tuple[float, ...] = ()) -> list[float]:
    optimizer = build_optimizer("sgd", weights(), lr=1.0, momentum=0.0, weight_decay=0.0)
    scheduler = build_scheduler(name, optimizer, steps=steps, milestones=milestones)
    found = []
    for _ in range(steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_cosine_falls_to_zero() -> None:
    assert rates("cosine", 4) == pytest.approx([1.0, 0.8535534, 0.5, 0.1464466, 0.0])


def test_step_cuts_tenfold_at_its_milestones() -> None:
    assert rates("step", 6, (1 / 3, 2 / 3)) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 0.01])


def test_unknown_names_are_told() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'adamw'"):
        build_optimizer("adamww", weights(), lr=1, momentum=0, weight_decay=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'cosine'"):
        rates("cosin", 3)
