"""The student's own behaviour, and the theory: full-data teachers help, and the more the less is kept."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from errata.errors import ParameterError
from errata.parts import Batch
from errata.systems.compression.kd_pruning import KnowledgeDistillation, RecordedTraining, ridge, student_ridge


def batch(n: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(torch.arange(n), torch.randn(n, 4, generator=generator), torch.randint(3, (n,), generator=generator))


def student(**options: object) -> KnowledgeDistillation:
    torch.manual_seed(1)
    return KnowledgeDistillation(nn.Linear(4, 3), 3, 6, **options)


def test_with_full_weight_the_labels_do_not_matter() -> None:
    b = batch()
    teacher = nn.Linear(4, 3)
    one = student(alpha=1.0, teacher=teacher).training_step(b)
    other = student(alpha=1.0, teacher=teacher).training_step(Batch(b.index, b.x, (b.y + 1) % 3))
    assert torch.equal(one, other)


def test_the_cache_gives_what_the_teacher_gives() -> None:
    b, teacher = batch(), nn.Linear(4, 3)
    online = student(alpha=0.5, teacher=teacher)
    cached = student(alpha=0.5, cached=True)
    cached.remember(teacher(b.x).detach().log_softmax(1))  # logarithms of probabilities serve as logits
    assert torch.allclose(online.training_step(b), cached.training_step(b), atol=1e-6)


def test_the_teacher_is_no_part_of_the_student() -> None:
    teacher = nn.Linear(4, 3)
    made = student(teacher=teacher)
    assert made.teacher is teacher
    assert len(list(made.parameters())) == 2
    assert not [name for name in made.state_dict() if "teacher" in name]
    made.training_step(batch()).backward()
    assert teacher.weight.grad is None
    assert copy.deepcopy(made).teacher is not teacher
    made.double()
    assert teacher.weight.dtype == torch.float64


def test_a_student_without_a_teacher_says_so() -> None:
    with pytest.raises(ParameterError, match="teacher"):
        student().training_step(batch())
    with pytest.raises(ParameterError, match="cached=True"):
        student().remember(torch.zeros(6, 3))
    student(alpha=0.0).training_step(batch())


@pytest.mark.parametrize("options", [{"alpha": -0.1}, {"alpha": 1.1}, {"alpha": "auto"}, {"tau": 0.0}])
def test_bad_parameters_are_refused(options: dict) -> None:
    with pytest.raises(ParameterError):
        student(**options)


def test_recording_changes_nothing_of_the_training() -> None:
    b = batch()
    losses = []
    for record in (True, False):
        torch.manual_seed(0)
        made = RecordedTraining(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), 3, 6, record=record)
        losses.append(made.training_step(b))
    assert torch.equal(*losses)


def simulated(f: float, draws: int = 200) -> dict[str, float]:
    """Mean squared error of the parameters over draws; d = 20, n = 400, lam = 5, unit noise."""
    generator = torch.Generator().manual_seed(0)
    d, n, lam = 20, 400, 5.0
    total = dict.fromkeys(("alone", "small", "third", "full"), 0.0)
    for _ in range(draws):
        theta = torch.randn(d, generator=generator, dtype=torch.float64)
        x = torch.randn(d, n, generator=generator, dtype=torch.float64)
        y = x.T @ theta + torch.randn(n, generator=generator, dtype=torch.float64)
        kept = int(f * n)
        found = {"alone": ridge(x[:, :kept], y[:kept], lam)}
        for name, share in (("small", f), ("third", 0.3), ("full", 1.0)):
            part = max(kept, int(share * n))
            teacher = ridge(x[:, :part], y[:part], lam)
            found[name] = student_ridge(x[:, :kept], y[:kept], teacher, alpha=1.0, lam=lam)
        for name, value in found.items():
            total[name] += float((value - theta).square().sum()) / draws
    return total


def test_theory_the_more_the_teacher_has_seen_the_better() -> None:
    error = simulated(0.1)
    assert error["full"] < error["third"] < error["small"]
    assert error["full"] < error["alone"]


def test_theory_on_all_the_data_the_teacher_only_shrinks() -> None:
    error = simulated(1.0)
    assert error["alone"] < error["full"]
