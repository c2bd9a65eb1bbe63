from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from errata.cards import Card
from errata.errors import DataError, LedgerError, LoadError, ParameterError
from errata.parts import Batch, System, Views
from errata.testing.problems import batches, make_problem
from errata.testing.training import fit, quiet


class Plain(System):
    """Cross-entropy, and a record of what the optimiser did."""

    card = Card("plain", "Plain", "classification", (), (), "for a test", "tests:Plain")

    def training_step(self, batch: Batch) -> Tensor:
        logits = self.model(self.views.weak(batch.x))
        self.observe(batch.index, logits)
        return nn.functional.cross_entropy(logits, batch.y)


class Other(Plain):
    card = Card("other", "Other", "classification", (), (), "for a test", "tests:Other")
    settled = ("belief_decay",)

    def __init__(self, *args: Any, strength: float = 2.0, weight_decay: float = 0.0, **training: Any) -> None:
        super().__init__(*args, weight_decay=weight_decay, belief_decay=0.9, **training)
        self.strength = strength


def plain(n: int = 4, k: int = 3, **training: Any) -> Plain:
    torch.manual_seed(0)
    return Plain(nn.Linear(2, k), k, n, **training)


class TestBelief:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])

    def test_it_is_the_mean_of_all_predictions(self) -> None:
        system = plain()
        system.observe(torch.tensor([3, 1]), self.logits)
        new = system.observe(torch.tensor([3, 1]), -self.logits)
        expected = (self.logits.softmax(1) + (-self.logits).softmax(1)) / 2
        torch.testing.assert_close(new, expected)
        torch.testing.assert_close(system.belief_in(torch.tensor([3, 1])), expected)
        assert system.visits.values.tolist() == [0, 2, 0, 2]

    def test_or_their_moving_average_told_as_probabilities(self) -> None:
        system = plain(belief_decay=0.9)
        for _ in range(2):
            new = system.observe(torch.tensor([0, 2]), self.logits)
        torch.testing.assert_close(new, self.logits.softmax(1) * (1 - 0.9**2))
        torch.testing.assert_close(system.belief_in(torch.tensor([0, 2])), self.logits.softmax(1))

    @pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
    def test_half_precision_logits_are_turned_into_probabilities_in_float32(self, kind: torch.dtype) -> None:
        new = plain().observe(torch.tensor([0, 1]), self.logits.to(kind))
        assert new.dtype == torch.float32
        assert ((new.sum(1) - 1).abs() < 1e-6).all()

    def test_probabilities_will_do(self) -> None:
        p = self.logits.softmax(1)
        torch.testing.assert_close(plain().observe(torch.tensor([0, 1]), probabilities=p), p)
        with pytest.raises(ParameterError, match="logits or probabilities"):
            plain().observe(torch.tensor([0, 1]))

    @pytest.mark.parametrize("topk", [None, 2])
    def test_trust_proposals_and_ledger(self, topk: int | None) -> None:
        system = plain(belief_topk=topk)
        system.observe(torch.tensor([3, 1]), torch.tensor([[3.0, 0.0, -9.0], [0.0, 1.0, -9.0]]))
        trust = system.trust(torch.tensor([0, 0, 1, 1]))
        assert trust.isnan().tolist() == [True, False, True, False]
        p = torch.tensor([[3.0, 0.0], [0.0, 1.0]]).softmax(1)
        torch.testing.assert_close(trust[[3, 1]], torch.stack([p[0, 1], p[1, 0]]), atol=1e-3, rtol=0)
        assert system.proposals().isnan().any(1).tolist() == [True, False, True, False]
        ledger = system.ledger([0, 0, 1, 1], classes=["a", "b", "c"], meta={"seed": 3}, index=[10, 11, 12, 13])
        assert ledger.proposed.tolist() == [0, 1, 1, 0]  # rows without belief keep their label
        assert ledger.issue.tolist() == [False, True, False, True]
        assert ledger.meta == {"method": "plain", "seed": 3}
        assert list(ledger.table.index) == [10, 11, 12, 13]

    def test_a_row_without_a_label_gets_a_proposal_and_no_trust(self) -> None:
        system = plain(n=2)
        system.observe(torch.tensor([0, 1]), self.logits)
        ledger = system.ledger(np.array([-1, 2]))
        assert ledger.proposed[0] == 0
        assert np.isnan(ledger.trust[0])
        assert not ledger.issue[0]

    def test_trust_and_ledger_over_more_rows_than_a_chunk(self) -> None:
        n = 65_536 + 3
        system = plain(n=n)
        rows = torch.arange(n)
        system.observe(rows, torch.eye(3)[rows % 3] * 4)
        ledger = system.ledger(rows % 3)
        assert (ledger.proposed == (rows % 3).numpy()).all()
        assert ledger.trust.min() > 0.9

    def test_another_number_of_labels_is_told(self) -> None:
        with pytest.raises(LedgerError, match=r"4 samples.*\(3,\)"):
            plain().ledger([0, 1, 2])


class TestParameters:
    def test_hyperparameters_are_the_systems_own_first_and_without_what_it_settles(self) -> None:
        found = Other.hyperparameters()
        assert next(iter(found)) == "strength"
        assert found["weight_decay"] == 0.0
        assert found["lr"] == System.hyperparameters()["lr"]
        assert "belief_decay" not in found
        assert "belief_decay" in System.hyperparameters()

    @pytest.mark.parametrize("wrong", [{"belief_decay": 1.5}, {"belief_topk": 9}])
    def test_values_that_make_no_sense(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ParameterError, match=next(iter(wrong)).replace("belief_topk", "topk")):
            plain(**wrong)
        with pytest.raises(ParameterError, match="num_classes"):
            plain(k=1)

    def test_a_system_must_define_its_step(self) -> None:
        with pytest.raises(TypeError, match="training_step"):
            System(nn.Linear(1, 2), 2, 3).training_step(None)

    def test_a_callable_makes_the_optimiser_and_the_schedule(self) -> None:
        problem = make_problem()
        system = Plain(
            problem.network(),
            3,
            len(problem),
            optimizer=lambda parameters: torch.optim.RMSprop(parameters, lr=0.5),
            scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1),
        )
        trainer, _ = fit(system, batches(problem), epochs=2)
        assert isinstance(trainer.optimizers[0], torch.optim.RMSprop)
        assert system.learning_rate == pytest.approx(0.005)  # by epochs

    def test_frozen_weights_stay_out_of_the_optimiser(self) -> None:
        system = plain(scheduler="constant")
        system.model.bias.requires_grad_(False)
        optimizer = system.configure_optimizers()
        assert [p.shape for p in optimizer.param_groups[0]["params"]] == [(3, 2)]


class TestTraining:
    def test_cosine_ends_at_zero_and_learning_rate_follows(self) -> None:
        problem, seen = make_problem(), []

        class Watch(pl.Callback):
            def on_train_batch_start(self, trainer: Any, module: Any, *rest: Any) -> None:
                seen.append(module.learning_rate)

        system = Plain(problem.network(), 3, len(problem), lr=0.2)
        assert system.learning_rate == 0.2
        fit(system, batches(problem, 10), epochs=2, callbacks=[Watch()])
        assert seen == sorted(seen, reverse=True)
        assert seen[0] == 0.2
        assert seen[3] == pytest.approx(0.1)
        assert system.learning_rate == pytest.approx(0.0, abs=1e-12)

    @pytest.mark.parametrize(("own", "trainers", "bound"), [(0.01, None, 0.01), (None, None, None), (5.0, 0.02, 0.02)])
    def test_gradient_clip_and_a_trainers_own_has_precedence(
        self, own: float | None, trainers: float | None, bound: float | None
    ) -> None:
        problem = make_problem()
        system = Plain(problem.network(), 3, len(problem), gradient_clip=own, momentum=0.0, weight_decay=0.0, lr=1.0)
        before = torch.cat([p.detach().flatten().clone() for p in system.model.parameters()])
        fit(system, batches(problem), max_steps=1, gradient_clip_val=trainers)
        moved = (torch.cat([p.detach().flatten() for p in system.model.parameters()]) - before).norm()
        assert float(moved) == pytest.approx(bound, rel=1e-3) if bound else float(moved) > 0.05

    def test_an_endless_training_needs_a_schedule_that_does_not_ask_its_length(self) -> None:
        problem = make_problem()
        system = Plain(problem.network(), 3, len(problem))
        with pytest.raises(ParameterError, match="scheduler='constant'"):
            fit(system, batches(problem), epochs=-1)

    def test_batches_without_row_numbers_are_told_how_to_get_them(self) -> None:
        problem = make_problem()
        system = Plain(problem.network(), 3, len(problem))
        pairs = DataLoader(TensorDataset(problem.x, problem.y), batch_size=8)
        with pytest.raises(DataError, match="IndexedDataset"):
            fit(system, pairs)
        with quiet(0):
            trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, barebones=False)
            (scores,) = trainer.validate(system, pairs, verbose=False)
            predicted = torch.cat(trainer.predict(system, DataLoader(problem.x, batch_size=8)))
        assert 0 <= scores["val_accuracy"] <= 1
        assert predicted.shape == (30, 3)

    def test_plain_triples_with_small_integers_will_do(self) -> None:
        problem = make_problem()
        triples = TensorDataset(torch.arange(30, dtype=torch.int32), problem.x, problem.y.to(torch.uint8))
        system = Plain(problem.network(), 3, len(problem))
        fit(system, DataLoader(triples, batch_size=7))
        assert system.visits.values.tolist() == [1] * 30

    def test_views_are_weak_in_training_and_plain_in_prediction(self) -> None:
        class Marked(Views):
            def plain(self, x: Tensor) -> Tensor:
                return x * 0

            def weak(self, x: Tensor) -> Tensor:
                return x * 0 + torch.inf

        problem = make_problem()
        system = Plain(problem.network(), 3, len(problem), views=Marked())
        assert system(problem.x).isfinite().all()
        assert system.training_step(batches(problem)[0]).isnan()


class TestCheckpoint:
    def test_one_of_another_system_is_refused(self, tmp_path: Path) -> None:
        problem = make_problem()
        trainer, _ = fit(Plain(problem.network(), 3, len(problem)), batches(problem))
        with quiet(0):
            trainer.save_checkpoint(tmp_path / "a.ckpt")
        with pytest.raises(LoadError, match=r"'plain'.*'other'"):
            fit(Other(problem.network(), 3, len(problem)), batches(problem), ckpt_path=tmp_path / "a.ckpt", epochs=2)

    def test_loading_one_for_prediction_leaves_the_global_generator_alone(self, tmp_path: Path) -> None:
        problem = make_problem()
        system = Plain(problem.network(), 3, len(problem))
        trainer, _ = fit(system, batches(problem))
        with quiet(0):
            trainer.save_checkpoint(tmp_path / "a.ckpt")
        network = problem.network()
        before = torch.get_rng_state()
        loaded = Plain.load_from_checkpoint(
            tmp_path / "a.ckpt", model=network, num_classes=3, num_samples=30, weights_only=True
        )
        assert torch.equal(loaded.proposals(), system.proposals())
        assert torch.equal(before, torch.get_rng_state())

    def test_it_holds_the_memory_of_a_top_k_belief(self, tmp_path: Path) -> None:
        problem = make_problem()
        system = Plain(problem.network(), 3, len(problem), belief_topk=1)
        trainer, _ = fit(system, batches(problem))
        with quiet(0):
            trainer.save_checkpoint(tmp_path / "a.ckpt")
        other = Plain(problem.network(), 3, len(problem), belief_topk=1)
        other.load_state_dict(torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"])
        assert torch.equal(system.proposals(), other.proposals())
