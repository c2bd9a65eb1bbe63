from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import errata
from errata.data import Passes
from errata.errors import ParameterError
from errata.parts import Batch, SampleMemory, Views
from errata.systems.classification.elr import (
    EarlyLearningRegularization,
    EarlyLearningRegularizationPlus,
    clamped_softmax,
    ema_momentum,
    loss_elr,
    loss_elr_plus,
    reweighted_labels,
    sigmoid_rampup,
)
from errata.testing.problems import batches, make_problem
from errata.testing.training import fit


def random_case(seed: int = 0, b: int = 5, k: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(b, k, generator=random, dtype=torch.float64)
    labels = torch.randint(k, (b,), generator=random)
    target = 0.9 * torch.rand(b, k, generator=random, dtype=torch.float64).softmax(1)
    return logits.requires_grad_(), labels, target


class TestEquations:
    def test_lambda_zero_is_cross_entropy(self) -> None:
        logits, labels, target = random_case()
        assert torch.equal(loss_elr(logits, labels, target, 0.0), F.cross_entropy(logits, labels, reduction="none"))

    @given(st.integers(0, 1000), st.floats(0, 10))
    def test_the_regulariser_is_bounded(self, seed: int, lambda_: float) -> None:
        logits, labels, target = random_case(seed)
        extra = loss_elr(10 * logits, labels, target, lambda_) - F.cross_entropy(10 * logits, labels, reduction="none")
        assert (extra <= 1e-9).all()
        assert (extra >= lambda_ * math.log(1e-4) - 1e-6).all()

    def test_gradient_is_the_papers(self) -> None:
        logits, labels, target = random_case()
        loss_elr(logits, labels, target, 3.0).sum().backward()
        p = logits.detach().softmax(1)
        inner = (p * target).sum(1, keepdim=True)
        # g_c = p_c / (1 - <p, t>) * sum_k (t_k - t_c) p_k
        g = p / (1 - inner) * (inner - target * p.sum(1, keepdim=True))
        expected = p - F.one_hot(labels, 4) + 3.0 * g
        torch.testing.assert_close(logits.grad, expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(logits.grad.sum(1), torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-12)

    def test_no_gradient_reaches_the_target(self) -> None:
        logits, labels, target = random_case()
        target.requires_grad_()
        loss_elr(logits, labels, target, 3.0).sum().backward()
        assert target.grad is None

    def test_elr_plus_without_mixing_is_elr(self) -> None:
        logits, labels, target = random_case()
        one_hot = F.one_hot(labels, 4).double()
        torch.testing.assert_close(
            loss_elr_plus(logits, one_hot, target, 3.0), loss_elr(logits, labels, target, 3.0), rtol=1e-12, atol=0
        )

    @pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("size", [50.0, 1e4])
    def test_certain_predictions_stay_finite_in_any_precision(self, kind: torch.dtype, size: float) -> None:
        logits = torch.tensor([[size, 0.0, 0.0], [0.0, size, 0.0]], dtype=kind, requires_grad=True)
        # a target of half precision may sum to a little more than one
        target = torch.tensor([[1.0005, 0.0, 0.0], [0.0, 1.0005, 0.0]])
        loss = loss_elr(logits, torch.tensor([0, 2]), target, 3.0)
        loss.sum().backward()
        assert loss.dtype == torch.float32
        assert loss.isfinite().all()
        assert logits.grad.isfinite().all()

    def test_clamped_softmax(self) -> None:
        p = clamped_softmax(torch.tensor([[30.0, 0.0]], dtype=torch.float64))
        assert p.tolist() == [[1 - 1e-4, 1e-4]]

    def test_reweighted_labels(self) -> None:
        labels = torch.tensor([[0.7, 0.3, 0.0], [1.0, 0.0, 0.0], [0.6, 0.4, 0.0]])
        q = torch.tensor([[0.1, 0.7, 0.2], [0.0, 0.5, 0.5], [1e-40, 0.0, 0.0]])
        new = reweighted_labels(labels, q)
        torch.testing.assert_close(new[0], torch.tensor([0.07, 0.21, 0.0]) / 0.28)
        assert new[1].tolist() == [1.0, 0.0, 0.0]  # the targets leave nothing: it stays
        assert new.isfinite().all()

    def test_ramps(self) -> None:
        assert sigmoid_rampup(0, 100) == pytest.approx(math.exp(-5))
        assert sigmoid_rampup(50, 100) == pytest.approx(math.exp(-1.25))
        assert sigmoid_rampup(100, 100) == sigmoid_rampup(1000, 100) == sigmoid_rampup(0, 0) == 1.0
        assert ema_momentum(9, 0.997, True, 100) == pytest.approx(0.997 * math.exp(-5 * 0.9**2))
        assert [ema_momentum(s, 0.9, False, 0) for s in (1, 3, 1000)] == pytest.approx([0.5, 0.75, 0.9])


class TestELR:
    def test_the_target_holds_the_current_prediction_before_the_loss_is_taken(self) -> None:
        torch.manual_seed(0)
        system = EarlyLearningRegularization(nn.Linear(2, 3), 3, 5, beta=0.6, lambda_=2.0)
        batch = Batch(torch.tensor([4, 1]), torch.rand(2, 2), torch.tensor([0, 2]))
        logits = system.model(batch.x)
        target = 0.4 * logits.softmax(1).detach()
        expected = loss_elr(logits, batch.y, target, 2.0).mean()
        torch.testing.assert_close(system.training_step(batch), expected)
        torch.testing.assert_close(system.belief.read(batch.index), target)

    def test_rows_sum_to_one_minus_beta_to_the_visits(self) -> None:
        problem = make_problem()
        system = EarlyLearningRegularization(problem.network(), 3, len(problem), beta=0.6)
        fit(system, batches(problem), epochs=3)
        torch.testing.assert_close(system.belief.values.sum(1), torch.full((30,), 1 - 0.6**3))

    def test_beta_one_keeps_no_target_and_is_cross_entropy(self) -> None:
        problem = make_problem()
        system = EarlyLearningRegularization(problem.network(), 3, len(problem), beta=1.0)
        batch = batches(problem)[0]
        expected = F.cross_entropy(system.model(batch.x), batch.y)
        torch.testing.assert_close(system.training_step(batch), expected)

    def test_a_wrong_label_is_flagged(self) -> None:
        problem = make_problem(n=60)
        problem.x = torch.eye(3, 6)[problem.y] + 0.1 * torch.rand(60, 6, generator=torch.Generator().manual_seed(0))
        problem.y[:6] = (problem.y[:6] + 1) % 3
        torch.manual_seed(0)
        system = EarlyLearningRegularization(problem.network(), 3, len(problem), lr=0.1)
        fit(system, batches(problem, 20), epochs=15)
        ledger = system.ledger(problem.y)
        assert set(ledger.issues().index) == set(range(6))

    def test_many_classes_keep_a_few_entries(self) -> None:
        problem = make_problem()
        system = EarlyLearningRegularization(problem.network(), 3, len(problem), belief_topk=1)
        _, losses = fit(system, batches(problem), epochs=3)
        assert losses.all_finite()
        assert system.belief.state_dict()["values"].dtype == torch.float16

    @pytest.mark.parametrize("wrong", [{"beta": 1.2}, {"lambda_": -1.0}, {"lambda_": float("nan")}])
    def test_values_that_make_no_sense(self, wrong: dict[str, float]) -> None:
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            EarlyLearningRegularization(nn.Linear(1, 2), 2, 3, **wrong)


class Recorded(nn.Module):
    """A linear network that keeps what it was shown, and says how often it was trained and averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)
        self.seen: list[tuple[bool, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((self.training, x.detach().clone()))
        return self.norm(self.layer(x))


def plus(**options: object) -> EarlyLearningRegularizationPlus:
    torch.manual_seed(0)
    return EarlyLearningRegularizationPlus(Recorded(), 3, 6, **options)


class TestELRPlus:
    batch = Batch(
        torch.tensor([4, 1, 0]), torch.rand(3, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 2, 1])
    )

    def test_each_network_learns_mixed_inputs_and_the_others_teacher_sees_them_unmixed(self) -> None:
        system = plus()
        system.training_step(self.batch)
        for student, teacher in (
            (system.model, system.second_teacher.model),
            (system.second_model, system.teacher.model),
        ):
            ((_, mixed),) = student.seen
            ((training, unmixed),) = teacher.seen
            assert not torch.equal(mixed, self.batch.x)
            assert torch.equal(unmixed, self.batch.x)
            assert training
        assert not torch.equal(system.model.seen[0][1], system.second_model.seen[0][1])  # each its own mixing

    def test_loss_and_targets_are_the_two_networks_own(self) -> None:
        system = plus(mixup_alpha=0, lambda_=2.0, beta=0.6)
        loss = system.training_step(self.batch)
        expected = torch.zeros(())
        for student, teacher, memory in (
            (system.model, system.second_teacher, system.belief),
            (system.second_model, system.teacher, system.second_belief),
        ):
            target = 0.4 * teacher(self.batch.x).softmax(1)
            torch.testing.assert_close(memory.read(self.batch.index), target)
            expected = expected + loss_elr(student(self.batch.x), self.batch.y, target, 2.0).mean()
        torch.testing.assert_close(loss, expected)

    def test_gradients_of_the_sum_are_each_networks_own(self) -> None:
        system = plus(mixup_alpha=0)
        system.training_step(self.batch).backward()
        second = [p.grad.clone() for p in system.second_model.parameters()]
        system.zero_grad()
        other = plus(mixup_alpha=0)
        with torch.no_grad():
            other.model.layer.weight.mul_(3)  # the first network is another one, its averaged copy is the same
        other.training_step(self.batch).backward()
        for before, after in zip(second, other.second_model.parameters(), strict=True):
            torch.testing.assert_close(before, after.grad)
        assert all(p.grad is None for p in system.teacher.parameters())

    def test_teachers_follow_after_each_step_of_the_optimiser(self) -> None:
        problem = make_problem()
        system = EarlyLearningRegularizationPlus(
            problem.network(), 3, len(problem), ema_update=False, ema_alpha=1.0, scheduler="constant"
        )
        started = system.teacher.model[0].weight.clone()
        weights = [started]
        original = system.update_teachers

        def recording() -> None:
            weights.append(system.model[0].weight.detach().clone())
            original()
            assert system.steps == [len(weights) - 1] * 2

        system.update_teachers = recording  # type: ignore[method-assign]
        fit(system, batches(problem), epochs=2, accumulate_grad_batches=2)
        assert len(weights) == 1 + 4  # 4 batches an epoch, two of them a step
        torch.testing.assert_close(system.teacher.model[0].weight, torch.stack(weights).mean(0))  # the plain mean

    def test_an_epoch_trains_one_network_whole_and_then_the_other(self) -> None:
        problem = make_problem()
        system = EarlyLearningRegularizationPlus(
            problem.network(), 3, len(problem), scheduler="constant", ema_update=False, weight_decay=0.1
        )
        seen: list[list[Tensor]] = []

        class Watch(pl.Callback):
            def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
                networks = (system.model, system.second_model, system.teacher.model, system.second_teacher.model)
                seen.append([network[0].weight.detach().clone() for network in networks])

        fit(system, Passes(batches(problem), 2), epochs=2, callbacks=[Watch()])
        assert len(seen) == 2 * 2 * 4  # 4 batches, for each of two networks, in each of two epochs
        for before, after, step in zip(seen, seen[1:], range(1, 16)):
            first, second = ((0, 2), (1, 3)) if step // 4 % 2 == 0 else ((1, 3), (0, 2))
            assert all(not torch.equal(before[i], after[i]) for i in first), step
            assert all(torch.equal(before[i], after[i]) for i in second), step  # no step, no decay, no averaging
        assert system.steps == [8, 8]

    def test_train_makes_the_passes_and_a_resumed_run_ends_the_same(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(60, 4)).astype("float32"), rng.integers(0, 2, 60)
        options = {"system": "elr-plus", "batch_size": 16, "device": "cpu", "progress": False, "ema_step": 8}
        whole = errata.train(x, y, epochs=4, **options)
        assert whole.system.steps == [16, 16]
        errata.train(x, y, epochs=2, out=tmp_path, scheduler="constant", **options)
        resumed = errata.train(x, y, epochs=4, out=tmp_path, resume=True, scheduler="constant", **options)
        straight = errata.train(x, y, epochs=4, scheduler="constant", **options)
        assert resumed.system.steps == [16, 16]
        np.testing.assert_array_equal(resumed.predict_proba(x), straight.predict_proba(x))
        np.testing.assert_array_equal(resumed.ledger.trust, straight.ledger.trust)

    def test_turns_by_batches_go_over_the_data_once(self) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(32, 4)).astype("float32"), rng.integers(0, 2, 32)
        run = errata.train(x, y, system="elr-plus", turns="batches", epochs=1, batch_size=16, progress=False)
        assert run.system.steps == [2, 2]
        assert plus(turns="batches").passes == 1
        assert plus().passes == 2

    def test_the_second_network_starts_elsewhere_and_the_seed_decides_where(self) -> None:
        first, second = plus(), plus()
        assert torch.equal(first.second_model.layer.weight, second.second_model.layer.weight)
        assert not torch.equal(first.second_model.layer.weight, first.model.layer.weight)
        torch.manual_seed(1)
        third = EarlyLearningRegularizationPlus(Recorded(), 3, 6)
        assert not torch.equal(first.second_model.layer.weight, third.second_model.layer.weight)

    def test_a_second_network_may_be_given_but_not_the_first_twice(self) -> None:
        network = Recorded()
        assert plus(second_model=network).second_model is network
        with pytest.raises(ParameterError, match="second_model"):
            EarlyLearningRegularizationPlus(network, 3, 6, second_model=network)

    def test_prediction_is_the_mean_of_both_networks_logits(self) -> None:
        system = plus().eval()
        expected = (system.model(self.batch.x) + system.second_model(self.batch.x)) / 2
        torch.testing.assert_close(system(self.batch.x), expected)

    def test_the_ledger_is_the_mean_of_both_targets(self) -> None:
        system = plus(beta=0.5)
        rows = torch.tensor([0, 1])
        system.observe(rows, probabilities=torch.tensor([[0.8, 0.2, 0.0], [0.0, 1.0, 0.0]]))
        system.second_belief.ema(rows, torch.tensor([[0.2, 0.8, 0.0], [0.0, 0.0, 1.0]]), 0.5)
        torch.testing.assert_close(system.proposals()[:2], torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]))
        assert system.trust(torch.zeros(6, dtype=torch.int64)).isnan().tolist() == [False] * 2 + [True] * 4

    def test_labels_are_reweighted_for_a_hundred_classes_or_when_asked_for(self) -> None:
        assert not plus()._reweights
        assert plus(reweight_labels=True)._reweights
        for asked, done in (("auto", True), (False, False)):
            system = EarlyLearningRegularizationPlus(nn.Linear(1, 100), 100, 2, reweight_labels=asked)
            assert system._reweights is done
        batch = self.batch
        plain, weighted = plus(mixup_alpha=5.0), plus(mixup_alpha=5.0, reweight_labels=True)
        assert not torch.equal(plain.training_step(batch), weighted.training_step(batch))

    def test_tokens_are_not_mixed_and_a_warning_says_so_once(self) -> None:
        problem = make_problem("text")
        system = EarlyLearningRegularizationPlus(problem.network(), 3, len(problem))
        with pytest.warns(UserWarning, match="can't be mixed"):
            system.training_step(batches(problem)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            system.training_step(batches(problem)[0])
            silent = EarlyLearningRegularizationPlus(problem.network(), 3, len(problem), mixup_alpha=0)
            silent.training_step(batches(problem)[0])

    def test_lengths_may_be_shares_of_the_training(self) -> None:
        problem = make_problem()
        system = EarlyLearningRegularizationPlus(problem.network(), 3, len(problem), ema_step=0.5, coef_step=12)
        fit(system, batches(problem), epochs=3)
        assert system._steps(system.ema_step) == 6
        assert system._steps(system.coef_step) == 12

    def test_each_network_gets_its_own_weak_view(self) -> None:
        class Noise(Views):
            def weak(self, x: Tensor) -> Tensor:
                return x + torch.rand(())

        system = plus(views=Noise(), mixup_alpha=0)
        system.training_step(self.batch)
        assert torch.equal(system.model.seen[0][1], system.second_teacher.model.seen[0][1])
        assert not torch.equal(system.model.seen[0][1], system.second_model.seen[0][1])

    @pytest.mark.parametrize(
        "wrong",
        [
            {"turns": "days"},
            {"ema_alpha": 1.5},
            {"mixup_alpha": -1},
            {"ema_step": -1},
            {"coef_step": -2},
            {"reweight_labels": "yes"},
        ],
    )
    def test_values_that_make_no_sense(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            plus(**wrong)


def test_the_memories_of_the_plus_system_lie_in_the_state_dict() -> None:
    names = [n for n, m in plus().named_modules() if isinstance(m, SampleMemory)]
    assert names == ["belief", "visits", "second_belief"]
    assert {f"{n}.values" for n in names} <= set(plus().state_dict())
