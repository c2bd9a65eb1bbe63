"""How a training goes, whatever is trained: what the rooms of all kinds of tasks check, claim and begin alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from errata import systems
from errata.engine.fit import Fitted, check_settings, fit
from errata.engine.run import FILES
from errata.engine.task import Task
from errata.errors import ParameterError, UnknownNameError
from errata.parts import System
from errata.storage import claim_folder, write_json

__all__ = ["Conduct", "announce", "check_choices", "settings_of", "split_named", "system_class"]

Kind = TypeVar("Kind", bound=System)


@dataclass(frozen=True)
class Conduct:
    """The parameters of ``errata.train`` that say nothing of data, system or network.

    Parameters
    ----------
    validation, select, seed, device, devices, precision, out, resume, progress, deterministic : see ``errata.train``
    """

    validation: float = 0.0
    select: str = "last"
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    precision: str | int | None = None
    out: str | Path | None = None
    resume: bool = False
    progress: bool = True
    deterministic: bool = True

    def check(self, epochs: int | None) -> None:
        """Say what makes no sense, before anything is read."""
        check_choices(self.validation, self.select, self.seed)
        check_settings(
            1 if epochs is None else epochs, self.device, self.devices, self.precision, self.resume, self.out
        )

    def claim(self) -> Path | None:
        """Make the folder of the run; None where it has none."""
        return claim_folder(self.out, self.resume, taken_by=FILES)

    def fit(self, task: Task, folder: Path | None) -> Fitted:
        """Train what is ready to start."""
        return self.fit_system(
            task.system,
            task.batches,
            folder,
            epochs=task.recipe.epochs,
            validation=task.held_batches,
            identity=task.identity,
        )

    def fit_system(
        self,
        system: System,
        batches: Any,
        folder: Path | None,
        *,
        epochs: int,
        validation: Any,
        identity: dict[str, Any],
    ) -> Fitted:
        """Train a system on batches; see ``errata.engine.fit.fit``."""
        return fit(
            system,
            batches,
            epochs=epochs,
            validation=validation,
            seed=self.seed,
            device=self.device,
            devices=self.devices,
            precision=self.precision,
            out=folder,
            resume=self.resume,
            identity=identity,
            progress=self.progress,
            deterministic=self.deterministic,
        )


def check_choices(validation: float, select: str, seed: int) -> None:
    """Say what of ``train``'s own parameters makes no sense."""
    if not 0 <= validation <= 0.9:
        raise ParameterError(f"validation must be a share of the labels in [0, 0.9]; got {validation!r}.")
    if select not in ("last", "best"):
        raise UnknownNameError("way to select the epoch", select, ("last", "best"))
    if select == "best" and validation == 0:
        raise ParameterError("select='best' needs held-out labels to choose by: give validation=0.1, say.")
    if isinstance(seed, bool) or int(seed) != seed or seed < 0:
        raise ParameterError(f"seed must be a whole number, 0 or more; got {seed!r}.")


def announce(folder: Path | None, about: Mapping[str, Any]) -> None:
    """Say that a run has begun here; a description that is there already stays until the run is finished."""
    if folder is not None and not (folder / "run.json").exists():
        write_json(folder / "run.json", {**about, "finished": False})


# -- which system, and what is told to it -----------------------------------------------------------------------------


def system_class(system: Any, base: type[Kind], expected: str) -> type[Kind]:
    """The class of a system that is named, or given.

    Raises
    ------
    ParameterError
        where it is of another kind; ``expected`` says what was expected, up to "; got ..."
    """
    found = systems.load(system) if isinstance(system, str) else system
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ParameterError(f"{expected}; got {system!r}.")
    return found


def settings_of(kind: type[System]) -> list[str]:
    """The names of the hyper-parameters that a user may give."""
    return [name for name in kind.hyperparameters() if name != "views"]


def split_named(rest: Mapping[str, Any], kind: type[System], *others: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Tell a system's hyper-parameters from other options.

    Parameters
    ----------
    rest : what was given, by name
    others : the names of each group of other options; an earlier group goes before a later one, and all before the
        hyper-parameters

    Returns
    -------
    the options of each group, and the hyper-parameters last

    Raises
    ------
    UnknownNameError
        for a name that is none of them
    """
    own = settings_of(kind)
    groups = [*others, own]
    found: tuple[dict[str, Any], ...] = tuple({} for _ in groups)
    for name, value in rest.items():
        place = next((i for i, names in enumerate(groups) if name in names), None)
        if place is None:
            known = [*own, *(option for names in reversed(others) for option in names)]
            raise UnknownNameError(f"hyper-parameter of '{kind.card.slug}'", name, known)
        found[place][name] = value
    return found
