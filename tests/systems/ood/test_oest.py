"""OEST and OEST*: the identities of their losses as the systems use them, and that they do what they are for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from errata.errors import DataError, ErrataError, ParameterError
from errata.losses import functional as losses
from errata.parts import Batch
from errata.scores.ood import energy_score
from errata.systems.ood.oest import OEST, OESTStar
from errata.testing.problems import batches, make_problem
from errata.testing.training import build, fit


def some_logits(seed: int, rows: int = 5) -> torch.Tensor:
    z = torch.randn(rows, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return z.requires_grad_()


def system(kind: type = OEST, **options: object):
    torch.manual_seed(0)
    return kind(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4)), 4, 6, **options)


class TestTheLosses:
    def test_the_barrier_of_equal_energies(self) -> None:
        z, other = some_logits(0), some_logits(0)
        star = system(OESTStar, alpha=0.3, beta=2.0)
        loss = star.outside_loss(z, other)
        inner, outer = torch.autograd.grad(loss, (z, other))
        assert loss.item() == pytest.approx(0.3 * torch.tensor(2.0).log().item())
        # dE/df sums to -1 over the classes, so the sum over a row is minus the slope at its energy
        torch.testing.assert_close(inner.sum(1), torch.full((5,), -0.3 / (2 * 2.0 * 5)).double())
        torch.testing.assert_close(outer.sum(1), torch.full((5,), 0.3 / (2 * 2.0 * 5)).double())

    @pytest.mark.parametrize("reduction", ["paired", "of_means", "all_pairs"])
    def test_one_constant_added_to_all_logits_changes_nothing(self, reduction: str) -> None:
        z, pd, star = some_logits(1), some_logits(2), system(OESTStar, reduction=reduction)
        torch.testing.assert_close(star.outside_loss(z + 3, pd + 3), star.outside_loss(z, pd))

    def test_the_gradient_of_a_pair_is_bounded(self) -> None:
        z, pd = some_logits(3), (some_logits(4) * 50).detach().requires_grad_()
        loss = system(OESTStar, alpha=0.2, beta=0.5).outside_loss(z, pd)
        for gradient in torch.autograd.grad(loss, (z, pd)):
            assert (gradient.norm(dim=1) * 5 <= 0.2 / 0.5 + 1e-9).all()

    def test_without_weight_it_is_cross_entropy(self) -> None:
        batch = Batch(torch.arange(6), torch.randn(6, 3, 8, 8), torch.arange(6) % 4)
        for plain in (system(OESTStar, alpha=0.0), system(OEST, weight=0.0)):
            own = nn.functional.cross_entropy(plain.model(batch.x), batch.y)
            torch.testing.assert_close(plain.training_step(batch), own)

    def test_energies_on_their_sides_cost_nothing_and_pull_nowhere(self) -> None:
        z, pd = some_logits(5), some_logits(6)
        highest = energy_score(z).max().item()
        bounded = system(m_in=highest, m_out=highest)
        loss = bounded.outside_loss(z, (pd - 100).detach().requires_grad_())
        assert loss.item() == 0
        assert torch.autograd.grad(loss, z)[0].abs().max() == 0

    def test_each_loss_has_its_own_weight_by_default(self) -> None:
        z, pd = some_logits(7), some_logits(8)
        exposed = system(loss="outlier-exposure")
        torch.testing.assert_close(exposed.outside_loss(z, pd), losses.outlier_exposure(z, pd, weight=0.5))
        bounded = system(m_in=-3, m_out=-1)
        torch.testing.assert_close(
            bounded.outside_loss(z, pd), losses.energy_bounded(z, pd, weight=0.1, m_in=-3, m_out=-1)
        )


def test_images_and_transforms_pass_the_network_together() -> None:
    seen: list[torch.Size] = []

    class Watched(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.shape)
            return super().forward(x)

    watched = OEST(nn.Sequential(nn.Flatten(), Watched(192, 4)), 4, 6)
    watched.training_step(Batch(torch.arange(6), torch.randn(6, 3, 8, 8), torch.arange(6) % 4))
    assert seen == [torch.Size([12, 192])]


@pytest.mark.parametrize(
    ("kind", "with_it", "without"),
    [(OEST, {}, {"weight": 0.0}), (OESTStar, {"alpha": 2.0, "beta": 2.0}, {"alpha": 0.0})],
)
def test_the_energies_of_images_and_transforms_come_apart(kind: type, with_it: dict, without: dict) -> None:
    def gap(options: dict) -> float:
        problem = make_problem("image", n=60)
        made = build(kind, problem, {"lr": 0.05, "pd_transforms": "cutout", "pd_cutout": 1.0, **options})
        fit(made, batches(problem, size=20), epochs=30)
        x = problem.views.plain(problem.x)
        with torch.no_grad():
            inside, outside = made.model(x), made.model(made.transforms(x, made.random))
        return float((energy_score(outside) - energy_score(inside)).mean())

    assert gap(with_it) > gap(without) + 0.5


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (OEST, {"loss": "entropy"}),
        (OEST, {"weight": -1}),
        (OEST, {"m_in": 1, "m_out": 0}),
        (OEST, {"pd_transforms": "rotate,swirl"}),
        (OEST, {"temperature": 0}),
        (OESTStar, {"alpha": -0.1}),
        (OESTStar, {"beta": 0}),
        (OESTStar, {"reduction": "sum"}),
    ],
)
def test_what_makes_no_sense_is_refused(kind: type, wrong: dict) -> None:
    with pytest.raises(ErrataError):
        system(kind, **wrong)


def test_tables_are_refused_with_a_reason() -> None:
    made = OEST(nn.Linear(5, 4), 4, 6)
    with pytest.raises(DataError, match=r"images \(B, C, H, W\)"):
        made.training_step(Batch(torch.arange(6), torch.randn(6, 5), torch.arange(6) % 4))


def test_margins_are_named_when_they_are_crossed() -> None:
    with pytest.raises(ParameterError, match="m_in must not lie above m_out"):
        system(m_in=-1, m_out=-2)
