"""The trainings behind one call with "kd-pruning": the teacher, trials of its weight, the student."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from errata.engine.evaluation import predict_proba
from errata.engine.fit import fit, resolve_device
from errata.engine.outcome import describe, finish
from errata.engine.pruning import RECORDED, Choice, choose_rows, last_features, network_scores, some_of
from errata.engine.run import Run, read_about
from errata.engine.task import Task, prepare
from errata.errors import DataError, LoadError, ParameterError
from errata.labels import MISSING, ClassLabels
from errata.parts import System, fresh_copy
from errata.storage import write_json
from errata.systems.compression.kd_pruning import KnowledgeDistillation, RecordedTraining

__all__ = ["ALPHAS", "LITTLE", "TEACHER", "Distilling", "Work"]

ALPHAS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Weights of the teacher that ``alpha="auto"`` tries."""

LITTLE = 0.3
"""Up to this share kept, "auto" is 1 without trying."""

TEACHER = "teacher"
"""The sub-folder of the teacher's run."""

HELD, MOST_HELD = 0.1, 2_000  # of the rows, for the choice of alpha
_SMALLEST = 1e-7


@dataclass(frozen=True)
class Distilling:
    """How a student learns from its teacher, and what was tried to find it out."""

    alpha: float
    tau: float
    cached: bool | str
    tried: dict[str, float] = field(default_factory=dict)


@dataclass
class Work:
    """The trainings of one call."""

    data: Any
    choice: Choice
    model: Any
    preparing: dict[str, Any]
    fitting: dict[str, Any]
    folder: Path | None
    reading: dict[str, Any]

    def teach(self, model: Any, early: int) -> Run:
        """Train the teacher on all labelled rows, in the folder's ``teacher``; or load it where that is done."""
        place = None if self.folder is None else self.folder / TEACHER
        network = fresh_copy(model, self.preparing["seed"]) if isinstance(model, nn.Module) else model
        task = self._prepare(self.data, RecordedTraining, network, {"early": early})
        about = self._about(task, TEACHER)
        done = None if place is None else _finished(place, about, network)
        if done is not None:
            return done
        fitted = fit(
            task.system, task.batches, epochs=task.recipe.epochs, out=place, identity=task.identity, **self.fitting
        )
        run = finish(task, fitted, about, "last", self.fitting["device"])
        recorded = task.system.recorder.scores()
        for name in (*RECORDED, "mean_loss"):
            run.ledger.columns[name] = _spread(recorded[name], task.trained, len(self.data))
        if place is not None:
            run.save(place)
        return run

    def choose(self, master: Run | None) -> tuple[np.ndarray, np.ndarray]:
        """(m,) positions of the rows that are kept, and (N,) their score."""
        codes = self.data.labels.codes
        labelled = np.flatnonzero(codes != MISSING)
        scores: dict[str, np.ndarray] = {}
        choice = self.choice
        if not isinstance(choice.score, str):
            own = np.asarray(choice.score)
            choice = replace(choice, score=own[labelled] if len(own) == len(codes) else own)
        elif choice.needs_record:
            scores = _recorded(master, labelled, len(self.data), choice)
        elif choice.needs_teacher and master is not None:
            inputs = master.encoder.encode(self.data)
            device = resolve_device(self.fitting["device"])
            if choice.score in ("entropy", "least_confidence"):
                scores = network_scores(predict_proba(master.system, inputs, device=device)[labelled])
            kept, values = choose_rows(
                choice, codes[labelled], scores, lambda: last_features(master.system, inputs, labelled, device)
            )
            return labelled[kept], _spread(values, labelled, len(codes))
        kept, values = choose_rows(choice, codes[labelled], scores)
        return labelled[kept], _spread(values, labelled, len(codes))

    def choose_alpha(self, master: Run | None, kept: np.ndarray, how: Distilling, equal: str) -> Distilling:
        """Try every weight on the kept rows but those of a random tenth, and take the best by that tenth's labels."""
        codes = self.data.labels.codes
        labelled = np.flatnonzero(codes != MISSING)
        held = np.random.default_rng([self.preparing["seed"], 0xA1]).permutation(labelled)
        held = np.sort(held[: min(MOST_HELD, max(2, round(HELD * len(labelled))))])
        file = None if self.folder is None else self.folder / "alpha.json"
        tried = _tried(file) if self.fitting["resume"] else {}
        some = np.setdiff1d(kept, held, assume_unique=True)
        if len(np.unique(codes[some])) < 2:
            return how
        for alpha in ALPHAS:
            if str(alpha) in tried:
                continue
            task = self._student_task(master, some, replace(how, alpha=alpha), fresh=True)
            options = {**self.fitting, "resume": False}
            fit(task.system, task.batches, epochs=self._epochs(task, equal), identity=task.identity, **options)
            device = resolve_device(self.fitting["device"])
            predicted = predict_proba(task.system, some_of(task.inputs, held), device=device)
            tried[str(alpha)] = float((predicted.argmax(1) == codes[held]).mean())
            if file is not None:
                write_json(file, tried)
        best = max(tried.values())
        # of equal ones the highest: the labels that judge are noisy, and reward who repeats their noise
        return replace(how, alpha=max(float(a) for a, right in tried.items() if right == best), tried=tried)

    def student(
        self, master: Run | None, kept: np.ndarray, how: Distilling | None, equal: str, pruning: dict[str, Any]
    ) -> Run:
        """Train the student on the kept rows; its ledger is the student's own still."""
        task = self._student_task(master, kept, how, fresh=False)
        epochs = self._epochs(task, equal)
        task.recipe = replace(task.recipe, epochs=epochs)
        about = self._about(task, "student")
        about["pruning"] = {**pruning, "kept": len(kept), "distilled": how is not None}
        if how is not None:
            about["pruning"] |= {"alpha": how.alpha, "tau": how.tau, "tried": how.tried}
        if self.folder is not None and not (self.folder / "run.json").exists():
            write_json(self.folder / "run.json", {**about, "finished": False})
        fitted = fit(task.system, task.batches, epochs=epochs, out=self.folder, identity=task.identity, **self.fitting)
        run = finish(task, fitted, about, "last", self.fitting["device"])
        return run

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _student_task(self, master: Run | None, kept: np.ndarray, how: Distilling | None, *, fresh: bool) -> Task:
        masked = _masked(self.data, kept)
        model = (
            fresh_copy(self.model, self.preparing["seed"])
            if fresh and isinstance(self.model, nn.Module)
            else self.model
        )
        if how is None or master is None:
            return self._prepare(masked, KnowledgeDistillation, model, {"alpha": 0.0})
        own = {"alpha": how.alpha, "tau": how.tau}
        cached = how.cached if isinstance(how.cached, bool) else not self._augmented(master)
        if cached or how.alpha == 0:
            task = self._prepare(masked, KnowledgeDistillation, model, {**own, "cached": how.alpha > 0})
            if how.alpha > 0:
                soft = master.predict_proba(self.data)[task.trained]
                task.system.remember(torch.from_numpy(np.log(np.maximum(soft, _SMALLEST))))
            return task
        task = self._prepare(masked, KnowledgeDistillation, model, {**own, "teacher": master.system})
        if task.encoder.spec() != master.encoder.spec():
            raise ParameterError("This teacher encodes the data in another way than the student; use cached=True.")
        return task

    def _augmented(self, master: Run) -> bool:
        """Whether views differ from the plain inputs, and the teacher can see them as the student does."""
        if self.data.kind != "image" or not self.preparing["augment"]:
            return False
        return master.encoder.spec() == _encoder_spec(self.data, self.model)

    def _prepare(self, data: Any, kind: type[System], model: Any, settings: dict[str, Any]) -> Task:
        options = {**self.preparing, "settings": {**self.preparing["settings"], **settings}}
        return prepare(data, kind, model=model, validation=0.0, **options)

    def _epochs(self, task: Task, equal: str) -> int:
        if equal == "epochs":
            return task.recipe.epochs
        n = int((self.data.labels.codes != MISSING).sum())
        whole = _recipe(self.data.kind, n, self.preparing)
        steps = whole.epochs * math.ceil(n / whole.batch_size)
        return max(1, math.ceil(steps / len(task.batches)))

    def _about(self, task: Task, role: str) -> dict[str, Any]:
        told = {"validation": 0.0, "select": "last", "augment": self.preparing["augment"]}
        about = describe(task, seed=self.preparing["seed"], reading=self.reading, **told)
        for name in ("teacher", "cached"):  # of the training only; whoever predicts needs neither
            about["hyperparameters"].pop(name, None)
        about["data"] = task.identity["data"]
        return {**about, "task": "compression"} if role == "student" else about


def _finished(place: Path, about: Mapping[str, Any], model: Any) -> Run | None:
    """The teacher of an earlier call that was stopped later; None where it is not finished."""
    if not (place / "run.json").exists():
        return None
    told = read_about(place)
    if not told.get("finished"):
        return None
    for name in ("data", "model", "epochs", "batch_size", "seed", "hyperparameters"):
        if name in told and told[name] != about[name]:
            raise LoadError(
                f"The teacher in {place} belongs to another training: its {name} was {told[name]}, now it is "
                f"{about[name]}. Resume with the same data and settings, or choose another output folder."
            )
    return Run.load(place, model=model if isinstance(model, nn.Module) else None)


def _recorded(master: Run | None, labelled: np.ndarray, n: int, choice: Choice) -> dict[str, np.ndarray]:
    columns = {} if master is None or len(master.ledger) != n else master.ledger.columns
    wanted = "accumulated_margin" if choice.score == "coverage" else str(choice.score)
    if wanted not in columns:
        raise ParameterError(
            f"The score '{choice.score}' is recorded while a teacher is trained, and this teacher's run does not hold "
            "it. Let the teacher be trained here, or choose random, entropy, least_confidence, moderate, herding or "
            "k_center."
        )
    found = {wanted: columns[wanted][labelled]}
    if np.isnan(found[wanted]).any():
        raise ParameterError(
            f"'{wanted}' is not known of all samples (the network has no linear last layer, or samples were left out); "
            "choose another score."
        )
    return found


def _masked(data: Any, kept: np.ndarray) -> Any:
    """The same data in which only the kept rows have their labels: encoders still see every row."""
    codes = np.full(len(data), MISSING, dtype=data.labels.codes.dtype)
    codes[kept] = data.labels.codes[kept]
    if len(np.unique(codes[kept])) < 2:
        only = data.labels.classes[int(codes[kept[0]])]
        raise DataError(
            f"All {len(kept):,} samples that would be kept are of one class, '{only}'. Keep more of them, or give each "
            "class its share: class_balanced=True (--class-balanced)."
        )
    return data.with_labels(ClassLabels(codes, data.labels.classes), name=data.label_name or "label")


def _recipe(kind: str, n: int, preparing: Mapping[str, Any]) -> Any:
    from errata.engine.recipes import recipe_for

    chosen = recipe_for(kind, n)
    epochs, batch_size = (preparing[name] for name in ("epochs", "batch_size"))
    return replace(chosen, epochs=epochs or chosen.epochs, batch_size=batch_size or chosen.batch_size)


def _encoder_spec(data: Any, model: Any) -> Any:
    from errata.data import encoder_for, tokenizer_of

    return encoder_for(data, **tokenizer_of(model, data)).fit(data).spec()


def _spread(values: np.ndarray, rows: np.ndarray, total: int) -> np.ndarray:
    whole = np.full(total, np.nan, dtype=values.dtype if values.dtype.kind == "f" else np.float64)
    whole[rows] = values
    return whole


def _tried(file: Path | None) -> dict[str, float]:
    try:
        told = json.loads(file.read_text(encoding="utf-8")) if file is not None else {}
        return {str(a): float(right) for a, right in told.items() if float(a) in ALPHAS}
    except (OSError, ValueError, AttributeError):
        return {}
