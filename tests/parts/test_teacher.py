from __future__ import annotations

import pytest
import torch
from torch import nn

from errata.errors import ParameterError
from errata.parts import EMATeacher, fresh_copy


def normed() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


class TestEMATeacher:
    def test_weights_are_the_running_average(self) -> None:
        student = nn.Linear(2, 1)
        teacher = EMATeacher(student, decay=0.9)
        expected = student.weight.detach().clone()
        for step in range(4):
            with torch.no_grad():
                student.weight.fill_(float(step))
            decay = None if step < 2 else 0.5
            teacher.update(student, decay)
            expected = expected * (decay or 0.9) + step * (1 - (decay or 0.9))
        torch.testing.assert_close(teacher.model.weight.detach(), expected)

    def test_it_neither_gives_nor_takes_gradients(self) -> None:
        teacher = EMATeacher(normed())
        assert not any(p.requires_grad for p in teacher.parameters())
        assert not teacher(torch.rand(4, 3)).requires_grad

    def test_the_student_is_not_shared(self) -> None:
        student = normed()
        teacher = EMATeacher(student)
        with torch.no_grad():
            student[0].weight.zero_()
        assert teacher.model[0].weight.any()
        assert student[0].weight.requires_grad

    def test_in_training_mode_it_stays_there_and_keeps_its_own_statistics(self) -> None:
        student, x = normed(), torch.rand(8, 3)
        teacher = EMATeacher(student, train_mode=True).eval()
        student.train()(x + 5)
        teacher.update(student)
        assert teacher.model[1].training
        assert not torch.equal(teacher.model[1].running_mean, student[1].running_mean)
        by_batch = teacher(x)
        assert torch.allclose(by_batch, teacher(x))  # by the batch's statistics, whatever the running ones are now

    def test_otherwise_it_follows_and_takes_the_students_statistics_over(self) -> None:
        student, x = normed(), torch.rand(8, 3)
        teacher = EMATeacher(student).eval()
        student.train()(x + 5)
        teacher.update(student)
        assert not teacher.model[1].training
        assert torch.equal(teacher.model[1].running_mean, student[1].running_mean)

    @pytest.mark.parametrize("decay", [-0.1, 1.1])
    def test_decay_is_checked(self, decay: float) -> None:
        with pytest.raises(ParameterError, match="decay"):
            EMATeacher(nn.Linear(1, 1), decay)


class Scaled(nn.Module):
    """A layer with a rule of its own for its first weights."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.inner.bias, 7.0)


class TestFreshCopy:
    def test_weights_are_new_and_the_first_network_is_left_alone(self) -> None:
        model = nn.Sequential(normed(), nn.MultiheadAttention(2, 1), nn.EmbeddingBag(5, 2))
        before = {k: v.clone() for k, v in model.state_dict().items()}
        other = fresh_copy(model, seed=3)
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        drawn = [k for k, v in before.items() if v.ndim > 1]
        assert drawn
        assert not any(torch.equal(other.state_dict()[k], before[k]) for k in drawn)

    def test_running_statistics_start_afresh(self) -> None:
        model = normed()
        model(torch.rand(8, 3))
        assert not fresh_copy(model, seed=0)[1].running_mean.any()

    def test_a_networks_own_rule_has_the_last_word(self) -> None:
        model = nn.Sequential(Scaled())
        with torch.no_grad():
            model[0].inner.bias.zero_()
        assert fresh_copy(model, seed=0)[0].inner.bias.tolist() == [7.0] * 4

    def test_a_seed_decides_and_leaves_the_global_generator_alone(self) -> None:
        model, before = normed(), torch.get_rng_state()
        first, second, third = fresh_copy(model, 1), fresh_copy(model, 1), fresh_copy(model, 2)
        assert torch.equal(first[0].weight, second[0].weight)
        assert not torch.equal(first[0].weight, third[0].weight)
        assert torch.equal(before, torch.get_rng_state())

    def test_without_a_seed_it_draws_as_any_network_does(self) -> None:
        model = normed()
        torch.manual_seed(5)
        first = fresh_copy(model)
        second = fresh_copy(model)
        torch.manual_seed(5)
        assert torch.equal(first[0].weight, fresh_copy(model)[0].weight)
        assert not torch.equal(first[0].weight, second[0].weight)

    def test_a_network_that_cannot_be_drawn_anew_is_told(self) -> None:
        model = nn.Module()
        model.weight = nn.Parameter(torch.zeros(2))
        with pytest.raises(ParameterError, match="reset_parameters"):
            fresh_copy(model)
