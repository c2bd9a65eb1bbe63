"""One law for all systems: what a training system must do to serve the ledger, any Trainer, and any machine."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from errata import systems
from errata.cards import Card
from errata.errors import UnknownNameError
from errata.parts import System, Views
from errata.testing.distributed import check_two_ranks
from errata.testing.failure import CheckFailure, demand
from errata.testing.problems import CLASSES, KINDS, batches, make_problem, ordinary_loader
from errata.testing.steps import copies_agree, finite_in_bfloat16, moves_and_predicts, resumed, same_twice
from errata.testing.training import build, check_stored_as_given, fit, ledger_of, quiet

__all__ = ["check_system"]

Check = Callable[[], None]

LAWS: dict[str, str] = {
    "compression": "errata.testing.compression",
    "graphs": "errata.testing.graphs",
    "segmentation": "errata.testing.segmentation",
    "multilabel": "errata.testing.multilabel",
}
"""Kinds of task whose labels are no classes, or whose systems need more than a network: the module whose
``checks(kind, options)`` yields this law for them."""


def check_system(
    system: type[System] | str, *, modalities: Sequence[str] = KINDS, **options: Any
) -> Iterator[tuple[str, Check]]:
    """Yield the checks that every training system must pass, as (name, function without arguments).

    Parameters
    ----------
    system : the class, or the slug of a registered one. A class must stand at the top of a file.
    modalities : the kinds of data that the system claims, out of "tabular", "image" and "text"; what is checked on one
        kind only is checked on tabular data, or on the first of these where they aren't among them
    options : hyper-parameters for the constructor, such as a short period so that something happens in a short training

    Yields
    ------
    name, check : the check raises ``CheckFailure`` with what is wrong; an error of the system's own passes through

    Examples
    --------
    >>> [name for name, check in check_system("ce", modalities=["text"])][:3]
    ['card', 'parameters_stored_as_given', 'step_on_text']
    >>> dict(check_system("ce"))["class_missing_from_a_batch"]()
    """
    kind = systems.load(system) if isinstance(system, str) else system
    yield "card", partial(check_card, kind)
    if kind.card.task in LAWS:
        yield from importlib.import_module(LAWS[kind.card.task]).checks(kind, options)
        return
    yield from class_checks(kind, options, modalities)


def class_checks(
    kind: type[System], options: dict[str, Any], modalities: Sequence[str] = KINDS
) -> Iterator[tuple[str, Check]]:
    """The law of systems whose labels are classes, but for the card."""
    usual = KINDS[0] if KINDS[0] in modalities else modalities[0]
    yield "parameters_stored_as_given", partial(check_parameters, kind, options, usual)
    for modality in modalities:
        yield f"step_on_{modality}", partial(check_step, kind, options, modality)
    checks: dict[str, Callable[..., None]] = {
        "ledger_filled_for_every_row": check_ledger,
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
    }
    for name, check in checks.items():
        yield name, partial(check, kind, options, usual)


def check_card(kind: type[System]) -> None:
    """It has a card of its own, which finds it again, and which is the registered one if its slug is registered."""
    card: Any = vars(kind).get("card")
    demand(isinstance(card, Card), f"{kind.__name__} has no card of its own; set `card = Card(...)` in the class.")
    try:
        found = card.load()
    except (ImportError, AttributeError) as error:
        raise CheckFailure(f"The card of '{card.slug}' names {card.path}, which can't be imported: {error}") from error
    demand(found is kind, f"The card of '{card.slug}' names {card.path}, which is {found}, not {kind}.")
    try:
        registered = systems.card(card.slug)
    except UnknownNameError:
        return  # of somebody's own, not registered: that is allowed
    demand(registered == card, f"The registry has another card for '{card.slug}' than the class carries.")


def check_parameters(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """Every parameter is an attribute of its name that holds what was given."""
    last = check_stored_as_given(kind, options, make_problem(modality), build)
    demand(
        last is None or isinstance(last.views, Views), "Without views given, `views` must be the identity `Views()`."
    )


def check_step(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """A step on one kind of data gives a finite scalar loss and moves the weights."""
    problem = make_problem(modality)
    system = build(kind, problem, {"weight_decay": 0.0, **options})
    moves_and_predicts(system, batches(problem), problem.x, (len(problem), CLASSES), f" on {modality} data")


def check_ledger(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """After an epoch every row has trust in [0, 1] and a proposed class."""
    problem = make_problem(modality)
    system = build(kind, problem, options)
    fit(system, batches(problem))
    ledger = ledger_of(system, problem)
    demand(bool(((ledger.trust >= 0) & (ledger.trust <= 1)).all()), "trust must lie in [0, 1].")
    demand(ledger.meta.get("method") == kind.card.slug, "The ledger must say which system filled it: meta['method'].")


def check_resume(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """Resumed from a checkpoint of the second of four epochs, it ends as if never interrupted, bit for bit."""
    problem = make_problem(modality, dropout=0.2)
    hint = (
        "What a system keeps must be in its state dict (SampleMemory, buffers), and its randomness from torch's global "
        "generator or a SharedRandom."
    )
    whole, again = resumed(lambda seed: build(kind, problem, options, seed), batches(problem), hint)
    left, right = ledger_of(whole, problem), ledger_of(again, problem)
    demand((left.trust == right.trust).all(), "The resumed training ends with another trust in the ledger.")
    demand((left.proposed == right.proposed).all(), "The resumed training ends with other proposals in the ledger.")


def check_ordinary_loader(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """It trains in a plain Trainer on an ordinary shuffled DataLoader, and validates and predicts there."""
    problem = make_problem(modality)
    system = build(kind, problem, options)
    trainer, losses = fit(system, ordinary_loader(problem, shuffle=True), epochs=2)
    demand(losses.all_finite(), "A loss is not finite.")
    ledger_of(system, problem)
    with quiet(3):
        trainer.validate(system, ordinary_loader(problem), verbose=False)
        predicted = torch.cat(trainer.predict(system, ordinary_loader(problem)))
    demand(
        tuple(predicted.shape) == (len(problem), CLASSES) and bool(((predicted.sum(1) - 1).abs() < 1e-4).all()),
        f"predict_step must give probabilities (B, K); got {tuple(predicted.shape)}.",
    )


def check_mixed_precision(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """In bfloat16 mixed precision losses, weights, memories and ledger stay finite."""
    problem = make_problem(modality)
    system = build(kind, problem, options)
    finite_in_bfloat16(system, batches(problem))
    ledger_of(system, problem)


def check_odd_last_batch(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """The last batch may be smaller than the others, down to a single sample."""
    for n in (17, 21):
        problem = make_problem(modality, n=n)
        system = build(kind, problem, options)
        _, losses = fit(system, batches(problem, size=8), epochs=2)
        demand(losses.all_finite(), f"With {n} samples in batches of 8 a loss is not finite.")
        ledger_of(system, problem)


def check_missing_class(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """A batch may lack classes: here each holds one class only."""
    problem = make_problem(modality)
    system = build(kind, problem, options)
    _, losses = fit(system, batches(problem, size=10, order=problem.y.argsort(stable=True)), epochs=2)
    demand(losses.all_finite(), "With one class in each batch a loss is not finite.")
    ledger_of(system, problem)


def check_no_truth(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """It trains on batches and a data set whose ``truth`` raises when it is read."""
    problem = make_problem(modality)
    system = build(kind, problem, options)
    fit(system, batches(problem))
    fit(system, ordinary_loader(problem))
    ledger_of(system, problem)


def check_learns(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """On an easy problem with right labels it predicts far better than chance."""
    problem = make_problem(modality, n=60)
    system = build(kind, problem, {"lr": 0.1, **options})
    fit(system, batches(problem, size=20), epochs=15)
    with torch.no_grad():
        right = float((system.eval()(problem.x).argmax(1) == problem.y).float().mean())
    demand(right >= 0.75, f"After 15 epochs on an easy problem it is right on {right:.0%} of the training set.")


def check_deterministic(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """The same seed gives the same weights and memories, bit for bit."""
    problem = make_problem(modality, dropout=0.2)
    same_twice(lambda seed: build(kind, problem, options, seed), batches(problem))


def check_copies(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """Deep copies and pickles of a trained system hold the same and predict the same."""
    problem = make_problem(modality)
    system = build(kind, problem, options)
    fit(system, batches(problem))
    copies_agree(system, problem.x)
