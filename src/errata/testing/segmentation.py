"""The law for systems that learn masks: what ``errata.testing.law`` asks, of labels that are a class per pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from errata.parts import Batch, PixelSystem, Views
from errata.testing.failure import demand
from errata.testing.problems import CLASSES, Problem, SealedBatch, batches, ordinary_loader
from errata.testing.ranks import run_on_ranks
from errata.testing.steps import SaveAt, copies_agree, finite_in_bfloat16, moves_and_predicts, resumed, same_twice
from errata.testing.training import build, check_stored_as_given, fit, quiet, same_state

__all__ = ["checks", "make_masks"]

SIDE, TOLERANCE = 12, 1e-6


class _Small(nn.Module):
    """Two convolutions for images of any size."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Dropout(dropout))
        self.classifier = nn.Conv2d(8, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.body(x))


class _ByteViews(Views):
    """Images stored as bytes: a system that goes past its views gives its network bytes, which no layer takes."""

    def plain(self, x: Any) -> Any:
        return x.to(torch.get_default_dtype()) / 64 - 2


def make_masks(n: int = 20, *, dropout: float = 0.0, only: int | None = None) -> Problem:
    """Images of coloured rectangles on grey with their masks, some pixels ignored; always the same.

    Examples
    --------
    >>> problem = make_masks(4)
    >>> problem.x.shape, problem.y.shape, sorted(problem.y.unique().tolist())
    (torch.Size([4, 3, 12, 12]), torch.Size([4, 12, 12]), [0, 1, 2, 255])
    """
    random = torch.Generator().manual_seed(11)
    y = torch.zeros(n, SIDE, SIDE, dtype=torch.int64)
    for row in range(n):
        top, left = (int(v) for v in torch.randint(1, 6, (2,), generator=random))
        y[row, top : top + 5, left : left + 6] = 1 + row % 2 if only is None else only
    colours = torch.tensor([[120, 120, 120], [250, 20, 20], [20, 20, 250]])
    x = colours[y].permute(0, 3, 1, 2) + 15 * torch.randn(n, 3, SIDE, SIDE, generator=random)
    y[::3, 0, :4] = 255
    return Problem(x.clamp(0, 255).to(torch.uint8), y, lambda: _Small(dropout), _ByteViews())


def checks(kind: type[Any], options: dict[str, Any]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the checks as (name, function without arguments); see ``errata.testing.check_system``."""
    found: dict[str, Callable[..., None]] = {
        "parameters_stored_as_given": check_parameters,
        "step_on_images": check_step,
        "ledger_filled_for_every_image": check_ledger,
        "checkpoint_and_resume": check_resume,
        "two_ranks_equal_one": check_two_ranks,
        "plain_trainer_and_ordinary_dataloader": check_ordinary_loader,
        "mixed_precision": check_mixed_precision,
        "odd_last_batch": check_odd_last_batch,
        "class_missing_from_a_batch": check_missing_class,
        "no_truth_read": check_no_truth,
        "learns": check_learns,
        "same_seed_same_result": check_deterministic,
        "copies_and_pickles": check_copies,
        "state_in_files_equals_state_in_memory": check_files,
    }
    for name, check in found.items():
        yield name, partial(check, kind, options)


def whole_ledger(system: PixelSystem, problem: Problem) -> Any:
    """The system's ledger over the problem, checked to be whole."""
    ledger = system.ledger(problem.y)
    demand(len(ledger) == len(problem), f"The ledger has {len(ledger)} rows for {len(problem)} images.")
    demand(bool(((ledger.trust >= 0) & (ledger.trust <= 1)).all()), "trust must lie in [0, 1] for every image.")
    demand(ledger.meta.get("method") == system.card.slug, "The ledger must say which system filled it: meta['method'].")
    demand(ledger.meta.get("task") == "segmentation", "The ledger must say its kind: meta['task'].")
    demand(ledger.parts is not None, "A ledger of masks must have its regions in `parts`.")
    proposals = system.proposals()
    expected = (len(problem), SIDE, SIDE)
    demand(tuple(proposals.shape) == expected, f"proposals() must be masks {expected}; got {tuple(proposals.shape)}.")
    demand(bool((proposals < CLASSES).all()), "proposals() must be classes.")
    return ledger


def check_parameters(kind: type[Any], options: dict[str, Any]) -> None:
    """Every parameter is an attribute of its name that holds what was given."""
    check_stored_as_given(kind, options, make_masks(4), build)


def check_step(kind: type[Any], options: dict[str, Any]) -> None:
    """A step gives a finite scalar loss and moves the weights; prediction gives logits per pixel."""
    problem = make_masks()
    system = build(kind, problem, {"weight_decay": 0.0, **options})
    moves_and_predicts(system, batches(problem), problem.x, (len(problem), CLASSES, SIDE, SIDE), "")


def check_ledger(kind: type[Any], options: dict[str, Any]) -> None:
    """After an epoch every image has trust in [0, 1]; regions lie in their images."""
    problem = make_masks()
    system = build(kind, problem, options)
    fit(system, batches(problem))
    whole_ledger(system, problem)
    parts: Any = system.ledger(problem.y, least=1).parts
    demand(bool((parts["given"] != parts["proposed"]).all()), "A region must propose another class than the given one.")
    demand(bool((parts["x1"] <= SIDE).all() and (parts["y1"] <= SIDE).all()), "Regions lie outside of their images.")


def check_resume(kind: type[Any], options: dict[str, Any]) -> None:
    """Resumed from a checkpoint of the second of four epochs, it ends as if never interrupted, bit for bit."""
    problem = make_masks(dropout=0.2)
    hint = "What a system keeps must be in its state dict (PixelEvidence, MaskStore, Kept)."
    whole, again = resumed(lambda seed: build(kind, problem, options, seed), batches(problem), hint)
    left, right = whole_ledger(whole, problem), whole_ledger(again, problem)
    demand((left.trust == right.trust).all(), "The resumed training ends with another trust in the ledger.")
    demand(left.parts.equals(right.parts), "The resumed training ends with other regions in the ledger.")


def check_ordinary_loader(kind: type[Any], options: dict[str, Any]) -> None:
    """It trains in a plain Trainer on an ordinary shuffled DataLoader, and validates and predicts there."""
    problem = make_masks()
    system = build(kind, problem, options)
    trainer, losses = fit(system, ordinary_loader(problem, shuffle=True), epochs=3)
    demand(losses.all_finite(), "A loss is not finite.")
    whole_ledger(system, problem)
    with quiet(3):
        trainer.validate(system, ordinary_loader(problem), verbose=False)
        figures = dict(trainer.callback_metrics)
        predicted = trainer.predict(system, ordinary_loader(problem)) or []
    demand("val_loss" in figures and "val_miou" in figures, "Validation must log val_loss and val_miou.")
    rows = sum(len(part) for part in predicted)
    demand(rows == len(problem), f"Prediction gave {rows} of {len(problem)} images.")


def check_mixed_precision(kind: type[Any], options: dict[str, Any]) -> None:
    """In bf16 its losses and what it keeps stay finite."""
    problem = make_masks()
    system = build(kind, problem, options)
    finite_in_bfloat16(system, batches(problem), epochs=3)
    whole_ledger(system, problem)


def check_odd_last_batch(kind: type[Any], options: dict[str, Any]) -> None:
    """The last batch may be smaller than the others, down to a single image."""
    problem = make_masks(9)
    system = build(kind, problem, options)
    _, losses = fit(system, batches(problem, size=8), epochs=2)
    demand(losses.all_finite(), "With 9 images in batches of 8 a loss is not finite.")
    whole_ledger(system, problem)


def check_missing_class(kind: type[Any], options: dict[str, Any]) -> None:
    """Batches, and all of the data, may lack a class; an image may have no labelled pixel."""
    problem = make_masks(only=2)
    problem.y[4] = 255
    system = build(kind, problem, options)
    _, losses = fit(system, batches(problem, size=1), epochs=2)
    demand(losses.all_finite(), "With images of one class a loss is not finite.")
    ledger = system.ledger(problem.y)
    demand(ledger.given[4] == -1, "An image without a labelled pixel has no label in the ledger.")


def check_no_truth(kind: type[Any], options: dict[str, Any]) -> None:
    """It trains on batches and a data set whose ``truth`` raises when it is read."""
    problem = make_masks()
    system = build(kind, problem, options)
    fit(system, batches(problem))
    fit(system, ordinary_loader(problem))
    whole_ledger(system, problem)


def check_learns(kind: type[Any], options: dict[str, Any]) -> None:
    """On an easy problem with right masks it predicts far better than always background."""
    problem = make_masks(30)
    system = build(kind, problem, {"optimizer": "adam", "lr": 0.03, **options})
    fit(system, batches(problem, size=10), epochs=15)
    with torch.no_grad():
        right = system.eval()(problem.x).argmax(1) == problem.y
    share = float(right[(problem.y > 0) & (problem.y < 255)].float().mean())
    demand(share >= 0.75, f"After 15 epochs on an easy problem it is right on {share:.0%} of the objects' pixels.")


def check_deterministic(kind: type[Any], options: dict[str, Any]) -> None:
    """The same seed gives the same weights and memories, bit for bit."""
    problem = make_masks(dropout=0.2)
    same_twice(lambda seed: build(kind, problem, options, seed), batches(problem), epochs=3)


def check_copies(kind: type[Any], options: dict[str, Any]) -> None:
    """Deep copies and pickles of a trained system hold the same and predict the same."""
    problem = make_masks()
    system = build(kind, problem, options)
    fit(system, batches(problem))
    copies_agree(system, problem.x)


def check_files(kind: type[Any], options: dict[str, Any]) -> None:
    """Kept in files, what it knows of pixels is the same, and goes on from where a checkpoint stands."""
    problem = make_masks(dropout=0.2)
    data = batches(problem)
    alone = build(kind, problem, options)
    fit(alone, data, epochs=4)
    expected = whole_ledger(alone, problem)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "third.ckpt"
        system = build(kind, problem, options)
        system.keep_in(folder, (SIDE, SIDE))
        fit(system, data, epochs=4, callbacks=[SaveAt(path, epoch=2)])
        for how, found in {
            "in files": system,
            "resumed in files": _resumed(kind, problem, options, folder, path),
        }.items():
            ledger = whole_ledger(found, problem)
            demand((ledger.trust == expected.trust).all(), f"Kept {how}, the ledger has another trust.")
            demand(ledger.parts.equals(expected.parts), f"Kept {how}, the ledger has other regions.")


def _resumed(kind: type[Any], problem: Problem, options: dict[str, Any], folder: str, path: Path) -> Any:
    """A second process that finds the files as the first one left them, later than the checkpoint."""
    system = build(kind, problem, options, seed=98)
    system.keep_in(folder, (SIDE, SIDE))
    fit(system, batches(problem), epochs=4, seed=97, ckpt_path=path)
    return system


# -- two ranks --------------------------------------------------------------------------------------------------------


def check_two_ranks(kind: type[Any], options: dict[str, Any]) -> None:
    """Lightning's ddp on two gloo ranks: weights, memories and ledger equal one process's, N of N images."""
    problem = make_masks(15)
    alone = build(kind, problem, options)
    fit(alone, batches(problem, 6), epochs=3, precision="64-true")
    expected = whole_ledger(alone, problem)
    with TemporaryDirectory() as folder:
        run_on_ranks(train_share, kind, options, folder, modules=[kind.__module__])
        states = [torch.load(Path(folder) / f"state{rank}.pt", weights_only=True) for rank in (0, 1)]
    for rank, state in enumerate(states):
        same_state(
            alone.state_dict(),
            state,
            TOLERANCE,
            f"Rank {rank} of two does not end where one process does on the same global batches. What is computed over "
            "a batch must be computed over the global batch (global_mean, all_reduce_sum).",
        )
    restored = build(kind, problem, options, seed=99)
    restored.load_state_dict(states[0])
    ledger = whole_ledger(restored, problem)
    worst = float(abs(ledger.trust - expected.trust).max())
    demand(worst <= 1e-3, f"The ledger from rank 0's state differs from one process's by {worst:.3g} in trust.")


def train_share(kind: type[Any], options: dict[str, Any], folder: str) -> None:
    """What each rank does: train on its contiguous share of every global batch, and save where it ends."""
    from lightning.pytorch.plugins.environments import TorchElasticEnvironment
    from lightning.pytorch.strategies import DDPStrategy

    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    problem = make_masks(15)
    system = build(kind, problem, options)
    shares = [_share(batch, rank, world) for batch in batches(problem, 6)]
    strategy = DDPStrategy(cluster_environment=TorchElasticEnvironment(), process_group_backend="gloo")
    fit(system, shares, epochs=3, devices=world, strategy=strategy, precision="64-true")
    torch.save(system.state_dict(), Path(folder) / f"state{rank}.pt")


def _share(batch: Batch, rank: int, world: int) -> Batch:
    # one image more than half to the first rank: shares are uneven also where a batch is even
    cuts = [0, len(batch.y) // world + 1, len(batch.y)]
    own = slice(cuts[rank], cuts[rank + 1])
    return SealedBatch(batch.index[own], batch.x[own], batch.y[own])
