from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from errata.errors import DataError, ParameterError
from errata.losses import HierarchicalCrossEntropy
from errata.losses.functional import distillation, hierarchical_cross_entropy, knowledge_distillation
from errata.scores.tree import Distances


def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    return student.requires_grad_(), teacher, torch.randint(5, (6,), generator=generator)


def test_no_weight_is_cross_entropy_and_full_weight_knows_no_labels() -> None:
    student, teacher, y = problem()
    assert torch.allclose(knowledge_distillation(student, teacher, y, alpha=0.0).loss, F.cross_entropy(student, y))
    one = knowledge_distillation(student, teacher, y, alpha=1.0).loss
    assert torch.equal(one, knowledge_distillation(student, teacher, y.flip(0), alpha=1.0).loss)


def test_a_teacher_that_says_the_same_pulls_nowhere() -> None:
    student, _, _ = problem()
    (gradient,) = torch.autograd.grad(distillation(student, student.detach() + 3.0), student)
    assert float(gradient.abs().max()) < 1e-12


def test_a_hot_teacher_compares_centred_logits() -> None:
    student, teacher, _ = problem()
    (gradient,) = torch.autograd.grad(distillation(student, teacher, tau=1e4, reduction="sum"), student)
    centred = [z - z.mean(1, keepdim=True) for z in (student.detach(), teacher)]
    assert torch.allclose(gradient, (centred[0] - centred[1]) / 5, rtol=1e-3, atol=1e-6)


def test_half_precision_is_computed_in_single() -> None:
    student, teacher, y = problem()
    found = knowledge_distillation(student.detach().bfloat16(), teacher.bfloat16(), y)
    assert found.loss.dtype == torch.float32


def test_bad_input_is_told() -> None:
    student, teacher, y = problem()
    with pytest.raises(DataError, match=r"\(B, K\)"):
        distillation(student, teacher[:, :3])
    with pytest.raises(ParameterError, match="tau"):
        distillation(student, teacher, tau=0.0)
    with pytest.raises(ParameterError, match="alpha"):
        knowledge_distillation(student, teacher, y, alpha=1.5)


def test_hierarchical_loss_is_cross_entropy_of_the_errors_on_a_flat_tree() -> None:
    student, _, y = problem()
    flat = torch.as_tensor(Distances.flat(5).graph)
    found = hierarchical_cross_entropy(student, y, flat, reduction="none")
    ce = F.cross_entropy(student, y, reduction="none")
    wrong = student.argmax(1) != y
    assert torch.allclose(found, torch.where(wrong, ce, 0.0))
    assert torch.allclose(HierarchicalCrossEntropy(flat)(student, y), found.mean())


def test_hierarchical_loss_tells_wrong_tables() -> None:
    student, _, y = problem()
    with pytest.raises(DataError, match="5 classes"):
        hierarchical_cross_entropy(student, y, torch.zeros(3, 3))
