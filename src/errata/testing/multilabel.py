"""The law for systems that learn several labels per sample: what ``law`` asks, of labels (B, L) that may be unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from errata.parts import MultiLabelSystem, System
from errata.parts.multilabel import mean_average_precision
from errata.testing import law
from errata.testing.distributed import check_two_ranks
from errata.testing.failure import demand
from errata.testing.problems import CLASSES, KINDS, SEVERAL, batches, make_problem, ordinary_loader
from errata.testing.training import build, fit, ledger_of, quiet

__all__ = ["checks"]

USUAL = f"{SEVERAL}tabular"


def checks(kind: type[System], options: dict[str, Any]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the checks, as (name, function without arguments); see ``errata.testing.check_system``."""
    yield "is_a_multi_label_system", partial(check_base, kind)
    yield "parameters_stored_as_given", partial(law.check_parameters, kind, options, USUAL)
    for modality in KINDS:
        yield f"step_on_{modality}", partial(law.check_step, kind, options, f"{SEVERAL}{modality}")
    several: dict[str, Callable[..., None]] = {
        "ledger_filled_for_every_row": law.check_ledger,
        "checkpoint_and_resume": law.check_resume,
        "two_ranks_equal_one": check_two_ranks,
        "plain_trainer_and_ordinary_dataloader": check_ordinary_loader,
        "mixed_precision": law.check_mixed_precision,
        "odd_last_batch": law.check_odd_last_batch,
        "label_missing_from_a_batch": check_missing_label,
        "nothing_known_of_a_label": check_unknown_label,
        "no_truth_read": law.check_no_truth,
        "learns": check_learns,
        "same_seed_same_result": law.check_deterministic,
        "copies_and_pickles": law.check_copies,
    }
    for name, check in several.items():
        yield name, partial(check, kind, options, USUAL)


def check_base(kind: type[System]) -> None:
    """It has the base whose labels, predictions and ledger are those of several labels."""
    demand(issubclass(kind, MultiLabelSystem), f"{kind.__name__} must be a subclass of errata.parts.MultiLabelSystem.")


def check_ordinary_loader(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """It trains in a plain Trainer on an ordinary shuffled DataLoader, and validates and predicts there."""
    problem = make_problem(modality)
    system = build(kind, problem, options)
    trainer, losses = fit(system, ordinary_loader(problem, shuffle=True), epochs=2)
    demand(losses.all_finite(), "A loss is not finite.")
    ledger_of(system, problem)
    with quiet(3):
        found = trainer.validate(system, ordinary_loader(problem), verbose=False)[0]
        predicted = torch.cat(trainer.predict(system, ordinary_loader(problem)))
    demand(0 <= found.get("val_map", -1) <= 1, f"Validation must log val_map in [0, 1]; it logged {found}.")
    demand(
        tuple(predicted.shape) == (len(problem), CLASSES) and bool(((predicted >= 0) & (predicted <= 1)).all()),
        f"predict_step must give a probability for each label, (B, L); got {tuple(predicted.shape)}.",
    )


def check_missing_label(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """A batch may lack a label: here samples that have it are kept together."""
    problem = make_problem(modality)
    system = build(kind, problem, options)
    order = problem.y[:, 0].argsort(stable=True)
    _, losses = fit(system, batches(problem, size=10, order=order), epochs=2)
    demand(losses.all_finite(), "Where no sample of a batch has a label, a loss is not finite.")
    ledger_of(system, problem)


def check_unknown_label(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """Nothing may be known of a label at all, nor of a sample."""
    problem = make_problem(modality)
    problem.y[:, 2] = -1
    problem.y[:4] = -1
    system = build(kind, problem, options)
    _, losses = fit(system, batches(problem, size=4), epochs=2)
    demand(losses.all_finite(), "Where nothing is known of a label, or of a whole batch, a loss is not finite.")
    parts: Any = system.ledger(problem.y).parts
    demand(len(parts[parts["given"] >= 0]) == int((problem.y >= 0).sum()), "Parts must be the known pairs.")


def check_learns(kind: type[System], options: dict[str, Any], modality: str) -> None:
    """On an easy problem with right labels, a third of the samples with an unknown one, it ranks well."""
    problem = make_problem(modality, n=60)
    system = build(kind, problem, {"lr": 0.02, **options})
    fit(system, batches(problem, size=20), epochs=30)
    with torch.no_grad():
        found = float(mean_average_precision(system.eval()(problem.x).sigmoid(), problem.y))
    demand(found >= 0.9, f"After 30 epochs on an easy problem its mean average precision is {found:.0%}.")
