"""A finished training: its ledger, its figures, a model that predicts; on disk a folder that can be loaded again."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from errata import systems
from errata.engine.callbacks import weights_of
from errata.engine.checkpoints import load_tensors, save_tensors
from errata.engine.evaluation import predict_proba, scores
from errata.engine.fit import resolve_device
from errata.errors import LoadError, ParameterError, UnknownNameError
from errata.kinds import kind_of
from errata.ledger import Ledger
from errata.parts import System
from errata.storage import make_folder, write_json

__all__ = ["FILES", "Run", "versions"]

FORMAT = 1
FILES = ("run.json", "model.pt", "metrics.json", "ledger.parquet", "summary.json", "report.html", "checkpoints")
"""What a run's folder holds, beside ``logs``; a folder that has one of them is taken."""


@dataclass
class Run:
    """What ``errata.train`` returns.

    Attributes
    ----------
    ledger : the label errors found, over every row of the data
    metrics : figures of the training, all against the given labels, right or wrong; see ``errata.train``
    history : a record per epoch
    system : the trained system
    encoder : turns data into what the system takes
    classes : the K class names; column k of ``predict_proba`` is class k
    about : everything needed to build the run again, in plain JSON types
    device : where predictions are computed: "auto", "cpu", "cuda", ...
    weights : where labels were held out, the weights of the "last" epoch and of the "best" by those labels; kept in
        memory only, see ``select``
    """

    system: System
    encoder: Any
    classes: list[Any]
    ledger: Ledger
    metrics: dict[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    device: str = "auto"
    weights: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return (
            f"<Run: {self.system.card.slug} on {self.about.get('source', 'data')}, "
            f"{self.metrics.get('epochs')} epochs, {len(self.ledger):,} rows, {int(self.ledger.issue.sum()):,} issues>"
        )

    # -- prediction ---------------------------------------------------------------------------------------------------

    def predict(self, source: Any, **reading: Any) -> np.ndarray:
        """The class of each row of ``source``: (N,) class names.

        Parameters
        ----------
        source : whatever ``errata.train`` takes: a file, a folder, a table, an array, ``Data``; labels aren't needed
        reading : further options of ``errata.read``

        Raises
        ------
        DataError
            where columns that the run was trained on are missing, or the data are of another kind
        """
        return self._names(self.predict_proba(source, **reading).argmax(1))

    def predict_proba(self, source: Any, **reading: Any) -> np.ndarray:
        """(N, K) float32 class probabilities of each row of ``source``; see ``predict``."""
        return self._probabilities(self._read(source, False, reading))

    def evaluate(self, source: Any, label: Any = None, **reading: Any) -> dict[str, float]:
        """Measure the predictions against the labels of ``source``, which should be data not trained on.

        Parameters
        ----------
        source : as for ``predict``
        label : the column of the labels, or an array of them; by default the column trained on

        Returns
        -------
        dict with accuracy, balanced_accuracy, macro_f1, log_loss, ece (15 bins) and rows; also kept in
        ``metrics["evaluation"]``

        Raises
        ------
        DataError
            where there are no labels
        UnknownNameError
            where a label is none of the classes trained on
        """
        from errata.data import Data

        own = isinstance(source, Data) and source.labels is not None  # read already, by whatever name
        if label is None and not own and (isinstance(source, (str, Path)) or hasattr(source, "columns")):
            label = self.about.get("label")
        data = self._read(source, label, reading)
        codes = self._codes(data.require_labels(min_classes=1))
        known = codes >= 0
        found = scores(codes[known], self._probabilities(data)[known])
        self.metrics["evaluation"] = found
        return found

    def _read(self, source: Any, label: Any, reading: Mapping[str, Any]) -> Any:
        from errata import data

        if isinstance(source, data.Data):  # as it was read
            return data.read(source, label)
        options = {**self.about.get("reading", {}), "classes": None, **self.encoder.reading()}
        return data.read(source, label, **{**options, **reading})

    def _probabilities(self, data: Any) -> np.ndarray:
        inputs = self.encoder.encode(data)
        place, precision = resolve_device(self.device), self.about.get("precision")
        return predict_proba(self.system, inputs, device=place, precision=precision)

    def _names(self, codes: np.ndarray) -> np.ndarray:
        same = len({type(c) for c in self.classes}) == 1
        return np.asarray(self.classes, dtype=None if same else object)[codes]

    def _codes(self, labels: Any) -> np.ndarray:
        place = {c: i for i, c in enumerate(self.classes)} | {str(c): i for i, c in enumerate(self.classes)}
        unknown = [c for c, n in zip(labels.classes, labels.counts) if n and c not in place and str(c) not in place]
        if unknown:
            raise UnknownNameError("class", unknown[0], self.classes, "The run was trained on these classes only.")
        lookup = np.array([place.get(c, place.get(str(c), -1)) for c in labels.classes] + [-1], dtype=np.int64)
        return lookup[labels.codes]

    def select(self, which: str) -> Run:
        """Predict with the weights of the last epoch, or of the one that was best on the held-out labels.

        Parameters
        ----------
        which : "last" or "best"

        Returns
        -------
        Run
            this one; ``save`` keeps the weights selected, and the ledger stays what the whole training has learned

        Raises
        ------
        ParameterError
            where no labels were held out (``validation=0.1``), or the run was loaded, with the weights selected then
        """
        if which not in ("last", "best"):
            raise UnknownNameError("way to select the epoch", which, ("last", "best"))
        now = self.metrics.get("selected", "last")
        if which != now and which not in self.weights:
            raise ParameterError(
                f"This run has the weights of the {now} epoch only. Train with validation=0.1, say, and select before "
                "saving: select='best' (--select best on the command line)."
            )
        if which != now:
            self.system.load_state_dict(self.weights[which], strict=False)  # all but the per-sample memories
            self.metrics["selected"] = self.about["select"] = which
        return self

    # -- on disk ------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path, *, report: bool = True) -> Path:
        """Write model, description, metrics and ledger into a folder; each file whole or not at all.

        ``model.pt`` holds what prediction needs; a value per training sample is only in ``checkpoints/``.
        """
        place = make_folder(Path(folder))
        save_tensors(weights_of(self.system), place / "model.pt")
        self.save_metrics(place)
        self.ledger.save(place, report=report)
        write_json(place / "run.json", {**self.about, "finished": True})
        return place

    def save_metrics(self, folder: str | Path) -> None:
        """Write ``metrics.json`` alone into a run's folder, after ``evaluate`` has added to it."""
        write_json(Path(folder) / "metrics.json", {**self.metrics, "history": self.history})

    @classmethod
    def build_system(cls, about: Mapping[str, Any], network: nn.Module) -> System:
        """The system that ``about`` describes, around a network; rooms of other kinds have their own."""
        return _system(about, network)

    @classmethod
    def load(cls, folder: str | Path, model: nn.Module | None = None, device: str = "auto") -> Run:
        """Load a run saved by ``save`` or ``errata.train(..., out=folder)``.

        Parameters
        ----------
        folder : the run's folder
        model : where the run was trained on a network of your own, a network of the same build; its weights are loaded
        device : where to predict

        Raises
        ------
        LoadError
            where there is no finished run, a file is damaged, or ``model`` is needed or does not fit
        """
        from errata import data

        place = Path(folder)
        about = read_about(place)
        room = kind_of(about.get("task")).load_room()
        if room is not None and cls is Run:
            return room.load(place, model=model, device=device)
        if not about.get("finished"):
            raise LoadError(
                f"The run in {place} has not finished. Finish it with train(..., out={str(place)!r}, "
                f"resume=True), or the same `errata train` command with --out {place} --resume."
            )
        network = _model(about, model, place)
        system = cls.build_system(about, network)
        state = load_tensors(place / "model.pt")
        load_state(system, state, place)
        figures = read_json(place / "metrics.json")
        encoder = data.encoder_from_spec(about["encoder"])
        system.views = encoder.views(augment=bool(about.get("augment", True)))
        system.eval()
        history = figures.pop("history", [])
        return cls(system, encoder, list(about["classes"]), Ledger.load(place), figures, history, about, device)


def versions() -> dict[str, str]:
    """What the run was made with."""
    import errata

    return {"errata": errata.__version__, "torch": torch.__version__, "python": platform.python_version()}


def read_about(folder: Path) -> dict[str, Any]:
    """The description of the run in ``folder``.

    Raises
    ------
    LoadError
        where there is none, or it is not errata's
    """
    file = folder / "run.json"
    if not file.exists():
        raise LoadError(f"There is no run in {folder}: no {file.name}. `errata train SOURCE --out DIR` makes one.")
    about = read_json(file)
    if not isinstance(about, dict) or not {"format", "system", "classes"} <= set(about):
        raise LoadError(f"{file} is damaged, or not errata's: it does not say which system was trained. Train again.")
    if about["format"] > FORMAT:
        raise LoadError(
            f"{file} was written by a newer errata (format {about['format']}; this one reads up to {FORMAT}). "
            "Upgrade with: pip install --upgrade errata"
        )
    return about


def read_json(file: Path) -> Any:
    """One of a run's JSON files; ``LoadError`` where it is missing or damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LoadError(f"{file} can't be read as JSON: {error}. Train again, or bring the file back.") from error


def _model(about: Mapping[str, Any], model: nn.Module | None, place: Path) -> nn.Module:
    spec = about.get("model")
    if model is not None:
        return model
    if not isinstance(spec, Mapping) or "name" not in spec:
        raise LoadError(
            f"The run in {place} was trained on a network of your own ({spec}), which errata can't build. "
            "Give one of the same build: Run.load(folder, model=YourNetwork(...))."
        )
    from errata import models

    return models.from_spec(spec)


def _system(about: Mapping[str, Any], network: nn.Module) -> System:
    kind = systems.load(about["system"])
    known = kind.hyperparameters()
    settings = {k: v for k, v in about.get("hyperparameters", {}).items() if k in known}
    # one sample: the memories of the samples trained on are not needed to predict
    return kind(network, num_classes=len(about["classes"]), num_samples=1, **settings)


def load_state(system: System, state: Any, place: Path) -> None:
    """Put saved weights into a system.

    Raises
    ------
    LoadError
        where they don't fit, with what differs
    """
    if not isinstance(state, dict):
        raise LoadError(f"{place / 'model.pt'} is not a state dict saved by errata.")
    wanted = weights_of(system)
    for name in wanted.keys() & state.keys():
        own, saved = (tuple(getattr(tensors[name], "shape", ())) for tensors in (wanted, state))
        if own != saved:
            raise LoadError(
                f"The model does not fit the weights in {place / 'model.pt'}: '{name}' has shape {own}, the saved one "
                f"{saved}. Give the network that the run was trained on: model=..."
            )
    system.load_state_dict(state, strict=False)
    missing, unexpected = [k for k in wanted if k not in state], [k for k in state if k not in wanted]
    if missing or unexpected:
        raise LoadError(
            f"The model does not fit the weights in {place / 'model.pt'}: {len(missing)} parameters are missing "
            f"there ({', '.join(missing[:3]) or 'none'}), {len(unexpected)} are not in the model "
            f"({', '.join(unexpected[:3]) or 'none'}). Give the network that the run was trained on: model=..."
        )
