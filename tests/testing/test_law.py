"""A law that nothing breaks is no law: each system here does one thing wrong, and the check for it must say so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errata import systems
from errata.cards import Card
from errata.parts import Batch, Mix, SampleMemory, System
from errata.testing import CheckFailure, check_system

HERE = __name__


def card(slug: str, attribute: str) -> Card:
    return Card(slug, "For a test", "classification", (), (), "for a test", f"{HERE}:{attribute}")


class Fine(System):
    """A system that keeps the law: the others are this one with a mistake."""

    card = card("fine", "Fine")

    def training_step(self, batch: Batch) -> Tensor:
        logits = self.model(self.views.weak(batch.x))
        self.observe(batch.index, logits)
        return self.loss_of(logits, batch)

    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.y)


class KeepsPlainBuffer(Fine):
    """DDP overwrites it with rank 0's."""

    def __init__(self, *args: Any, **training: Any) -> None:
        super().__init__(*args, **training)
        self.register_buffer("targets", torch.zeros(self.num_samples, self.num_classes))

    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        self.targets[batch.index] += logits.detach().softmax(1).to(self.targets)
        return F.cross_entropy(logits, batch.y) - (logits * self.targets[batch.index]).mean()


class KeepsList(Fine):
    """It isn't in the checkpoint."""

    def __init__(self, *args: Any, **training: Any) -> None:
        super().__init__(*args, **training)
        self.targets = [torch.zeros(self.num_classes)] * self.num_samples

    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        for row, p in zip(batch.index.tolist(), logits.detach().softmax(1), strict=True):
            self.targets[row] = 0.5 * self.targets[row] + p
        target = torch.stack([self.targets[row] for row in batch.index.tolist()])
        return F.cross_entropy(logits, batch.y) - (logits * target).mean()


class ForgetsShares(Fine):
    """Ranks with fewer rows count as much as those with more."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        pass


class LooksAtItsShareOnly(Fine):
    """A term over the batch, computed over this rank's part of it."""

    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.y) + (logits.softmax(1).mean(0) ** 2).sum()


class MixesAtRandom(Fine):
    """Partners and weight from the global generator, which isn't the same on the ranks of a real run."""

    def training_step(self, batch: Batch) -> Tensor:
        torch.rand(torch.distributed.get_rank() if torch.distributed.is_initialized() else 0)
        mix = Mix.draw(batch.x, 1.0)
        logits = self.model(mix(batch.x))
        self.observe(batch.index, logits)
        return F.cross_entropy(logits, mix(F.one_hot(batch.y, self.num_classes).to(logits)))


class Renames(Fine):
    """A parameter that isn't found under its name."""

    def __init__(self, *args: Any, strength: float = 1.0, **training: Any) -> None:
        super().__init__(*args, **training)
        self.power = strength


class Rounds(Fine):
    """A parameter that isn't kept as it was given."""

    def __init__(self, *args: Any, strength: float = 1.0, **training: Any) -> None:
        super().__init__(*args, **training)
        self.strength = round(strength)


class Observes(Fine):
    """No, it doesn't."""

    def training_step(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self.model(self.views.weak(batch.x)), batch.y)


class TrustsTooMuch(Fine):
    def trust(self, given: Tensor) -> Tensor:
        return super().trust(given).nan_to_num(0.0) * 0 + torch.nan


class GoesPastItsViews(Fine):
    def training_step(self, batch: Batch) -> Tensor:
        logits = self.model(batch.x)
        self.observe(batch.index, logits)
        return F.cross_entropy(logits, batch.y)


class MovesNothing(Fine):
    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        return 0 * logits.sum()


class LearnsNothing(Fine):
    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        return -F.cross_entropy(logits, batch.y).clamp(max=3)


class Overflows(Fine):
    """1 - p is 0 in half precision long before it is in float32."""

    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        p = (20 * logits).float().softmax(1).to(logits.dtype).clamp(1e-4, 1 - 1e-4)
        return F.cross_entropy(logits, batch.y) + (1 - p).log().mean()


class NormalisesOverTheBatch(Fine):
    """A batch of one has no spread."""

    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        losses = F.cross_entropy(logits, batch.y, reduction="none")
        return (losses / losses.std()).mean()


class AveragesByClass(Fine):
    """A class that isn't there has no mean."""

    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        losses = F.cross_entropy(logits, batch.y, reduction="none")
        return torch.stack([losses[batch.y == k].mean() for k in range(self.num_classes)]).mean()


class Cheats(Fine):
    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.truth)


class CheatsByTheDataSet(Fine):
    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        data = self.trainer.train_dataloader.dataset
        return F.cross_entropy(logits, batch.y if isinstance(data, list) else data.truth[batch.index])


class DrawsFromTheClock(Fine):
    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        random = torch.Generator()
        random.seed()
        return F.cross_entropy(logits, batch.y) * (0.5 + torch.rand(1, generator=random)[0])


class HoldsAFunction(Fine):
    def __init__(self, *args: Any, **training: Any) -> None:
        super().__init__(*args, **training)
        self.weigh = lambda losses: losses


class SharesOneMemory(Fine):
    """All systems of this class write into the same memory, so the second training isn't the first."""

    shared = SampleMemory(1000)

    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        self.shared.add(batch.index)
        return F.cross_entropy(logits, batch.y) * self.shared.read(batch.index).mean()


BROKEN = [
    (KeepsPlainBuffer, "two_ranks_equal_one", "SampleMemory"),
    (KeepsList, "checkpoint_and_resume", "state dict"),
    (ForgetsShares, "two_ranks_equal_one", "global batch"),
    (LooksAtItsShareOnly, "two_ranks_equal_one", "global batch"),
    (MixesAtRandom, "two_ranks_equal_one", "global batch"),
    (Renames, "parameters_stored_as_given", "'strength' is not kept"),
    (Rounds, "parameters_stored_as_given", "'strength' was given as 0.5"),
    (Observes, "ledger_filled_for_every_row", "NaN in rows"),
    (Observes, "plain_trainer_and_ordinary_dataloader", "NaN in rows"),
    (TrustsTooMuch, "ledger_filled_for_every_row", "NaN in rows"),
    (MovesNothing, "step_on_tabular", "moves no weight"),
    (LearnsNothing, "learns", "easy problem"),
    (Overflows, "mixed_precision", "not finite"),
    (NormalisesOverTheBatch, "odd_last_batch", "not finite"),
    (AveragesByClass, "class_missing_from_a_batch", "not finite"),
    (Cheats, "no_truth_read", "batch.truth"),
    (CheatsByTheDataSet, "no_truth_read", "data set's truth"),
    (DrawsFromTheClock, "same_seed_same_result", "end differently"),
    (SharesOneMemory, "same_seed_same_result", "end differently"),
    (KeepsList, "card", "no card of its own"),
]


@pytest.mark.parametrize(("system", "name", "says"), BROKEN, ids=lambda v: getattr(v, "__name__", None))
def test_a_broken_system_fails_the_check_for_it(system: type[System], name: str, says: str) -> None:
    with pytest.raises(CheckFailure, match=says):
        dict(check_system(system))[name]()


def test_errors_of_the_systems_own_pass_through() -> None:
    with pytest.raises(RuntimeError, match="unsigned char"):
        dict(check_system(GoesPastItsViews))["step_on_image"]()
    with pytest.raises((AttributeError, TypeError), match=r"lambda|local"):
        dict(check_system(HoldsAFunction))["copies_and_pickles"]()


@pytest.mark.parametrize(("name", "check"), list(check_system(Fine)), ids=lambda v: v if isinstance(v, str) else "")
def test_a_system_of_somebody_elses_that_keeps_the_law_passes_all_of_it(name: str, check: Any) -> None:
    check()


def test_checks_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    dict(check_system(Fine))["ledger_filled_for_every_row"]()
    assert torch.equal(before, torch.get_rng_state())


def test_the_card_must_lead_back_to_the_class() -> None:
    class Elsewhere(Fine):
        card = Card("elsewhere", "E", "classification", (), (), "for a test", "errata.no_such_module:Elsewhere")

    with pytest.raises(CheckFailure, match=r"can't be imported"):
        dict(check_system(Elsewhere))["card"]()
    Elsewhere.card = card("fine", "Fine")
    with pytest.raises(CheckFailure, match="not <class"):
        dict(check_system(Elsewhere))["card"]()
    ce = systems.load("ce")
    Elsewhere.card = Card("ce", "Another", "classification", (), (), "for a test", ce.card.path)
    with pytest.raises(CheckFailure, match="not <class"):
        dict(check_system(Elsewhere))["card"]()


def test_options_reach_the_constructor_and_unknown_ones_are_told() -> None:
    assert [name for name, _ in check_system(Fine, modalities=["text"])].count("step_on_text") == 1
    assert "step_on_image" not in dict(check_system(Fine, modalities=["text"]))
    with pytest.raises(CheckFailure, match="no hyper-parameters named speed"):
        dict(check_system(Fine, speed=3))["parameters_stored_as_given"]()


def test_a_slug_will_do() -> None:
    assert dict(check_system("ce"))["card"].args == (systems.load("ce"),)


def test_a_network_is_kept_as_given() -> None:
    class Copies(Fine):
        def __init__(self, model: nn.Module, *args: Any, **training: Any) -> None:
            super().__init__(nn.Sequential(model), *args, **training)

    with pytest.raises(CheckFailure, match="`model`"):
        dict(check_system(Copies))["parameters_stored_as_given"]()
