"""What a stream leaves behind: its ledger, its figures and its model, on disk and again from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from errata import systems
from errata.data.streams import Events, label_columns, open_events, open_features
from errata.engine.stream_progress import Readout
from errata.engine.stream_steps import ask, replay
from errata.errors import DataError, LoadError
from errata.ledger import Ledger
from errata.parts.streams import state
from errata.storage import make_folder, write_json

__all__ = ["MODEL", "StreamRun", "load", "predict_table"]

MODEL = "model.npz"
SHOWN = 6  # names that a message gives as examples


@dataclass
class StreamRun:
    """What a stream has left: its ledger, its figures, and the model as it is after the last event.

    Attributes
    ----------
    ledger : a row per event; parts are the pairs of event and label that look wrong
    metrics : prequential figures over the whole stream
    history : the figures over time
    about : how it was made, in plain JSON types
    model : the model; None in a run that was loaded, until ``rebuild``
    folder : where it was loaded from
    """

    ledger: Ledger
    metrics: dict[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    model: Any = None
    folder: Path | None = None

    def __repr__(self) -> str:
        what = f"{self.about.get('system')} on {self.about.get('source')}"
        right = self.metrics.get("subset_accuracy", 0.0)
        return f"<StreamRun: {what}, {len(self.ledger):,} events, {right:.3f} of the label sets right>"

    @property
    def classes(self) -> list[str]:
        """The names of the labels."""
        return [str(name) for name in self.about.get("classes", [])]

    # -- predicting ---------------------------------------------------------------------------------------------------

    def rebuild(self, *, progress: bool = False) -> Any:
        """The model: of a loaded run from the folder, or where it could not be stored by reading its stream once more.

        Raises
        ------
        LoadError
            where the stored model is damaged; or there is none, and the stream isn't there any more, or is another one
        """
        if self.model is None:
            self.model = self._stored() or self._learned_again(progress)
        return self.model

    def _fresh(self) -> Any:
        return systems.load(self.about["system"])(**self.about.get("hyperparameters", {}))

    def _stored(self) -> Any:
        if self.folder is None or not (self.folder / MODEL).exists():
            return None
        told, arrays = state.read(self.folder / MODEL)
        model = self._fresh()
        model.restore(told, arrays, exactly=False)
        return model

    def _learned_again(self, progress: bool) -> Any:
        about = self.about
        if not about.get("source_path") or not Path(about["source_path"]).exists():
            raise LoadError(
                f"This run has no {MODEL}; its model is made again from its events, and {about.get('source')} is not "
                "there any more. Bring the file back, or keep run.model of the Python call."
            )
        stream = open_events(about["source_path"], about.get("label"), **about.get("reading", {}))
        model, readout = self._fresh(), Readout(progress, about["events"])
        try:
            replay(iter(stream), model, about["events"], about["checksum"], readout)
        finally:
            readout.close()
        return model

    def predict(self, source: Any, **reading: Any) -> list[list[str]]:
        """The labels of each event of ``source`` as names; nothing is learned.

        Parameters
        ----------
        source : whatever ``errata.data.streams.open_events`` takes, or features alone; labels need not be there, and
            are not looked at
        reading : separator, encoding, header; by default as in the run

        Raises
        ------
        DataError
            where the events have none of the features that were learned from
        """
        return [[str(name) for name, there in said.items() if there] for said, _ in self._asked(source, reading)]

    def predict_proba(self, source: Any, **reading: Any) -> np.ndarray:
        """(N, L) float32: for each event the probability of each label, in the order of ``classes``."""
        rows = [[p.get(name, 0.0) for name in self.classes] for _, p in self._asked(source, reading)]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), len(self.classes))

    def _asked(self, source: Any, reading: Mapping[str, Any]) -> Iterator[tuple[Mapping[Any, bool], dict[Any, float]]]:
        model = self.rebuild()
        for x, _ in self.events(source, **reading):
            yield ask(model, x)

    def events(self, source: Any, **reading: Any) -> Events:
        """``source`` as events to predict: read as the run's were, without the columns that hold labels."""
        if isinstance(source, Events):
            return open_features(source)
        labels = label_columns(self.about.get("label"), self.classes)
        return open_features(source, labels, **{**self.about.get("reading", {}), **reading})

    def missing(self, events: Events) -> list[str]:
        """The features of the run that the first event lacks.

        Raises
        ------
        DataError
            where it lacks all
        """
        known = [str(name) for name in getattr(self.rebuild(), "features", [])]
        first = next(iter(events), None)
        if first is None or not known or not events.again:
            return []
        there = {str(name) for name in first[0]}
        lacking = [name for name in known if name not in there]
        if len(lacking) == len(known):
            raise DataError(
                f"{events.source} has none of the {len(known):,} features that the run was learned from, such as "
                f"{_some(known)}; found {_some(sorted(there)) or 'none'}. Expected columns of the same names."
            )
        return lacking

    # -- on disk ------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path, *, report: bool = True) -> Path:
        """Write description, metrics, ledger, and the model where it can be stored without pickling it, into a folder;
        each file whole or not at all."""
        place = make_folder(Path(folder))
        write_json(place / "metrics.json", {**self.metrics, "history": self.history})
        self.ledger.save(place, report=report)
        model = self.model if self.model is not None else self._stored()
        stored = model.state() if hasattr(model, "state") else None
        if stored is not None:
            state.write(place / MODEL, *stored)
        write_json(place / "run.json", {**self.about, "finished": True})
        return place


def _some(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def load(folder: str | Path, model: Any = None, device: str = "auto") -> StreamRun:
    """A run saved by ``run`` or ``train``; its model is read when it is needed, see ``StreamRun.rebuild``.

    Raises
    ------
    LoadError
        where there is none, it is damaged, or it has not finished
    """
    from errata.engine.run import read_about, read_json

    place = Path(folder)
    about = read_about(place)
    if not about.get("finished"):
        raise LoadError(f"The run in {place} has not finished. Finish it with the same command and --resume.")
    figures = read_json(place / "metrics.json")
    history = figures.pop("history", [])
    return StreamRun(Ledger.load(place), figures, history, about, model, place)


def predict_table(
    run: StreamRun, source: Any, *, every: bool = False, progress: bool = False, note: Any = None, **reading: Any
) -> tuple[Any, dict[str, int]]:
    """What ``errata predict`` writes and tells: a row per event, and how many events are predicted to have each label.

    Parameters
    ----------
    every : also the probability of each label, as p_NAME
    note : called with a sentence where features are missing

    Returns
    -------
    pyarrow.Table with row and labels (joined by "|"), and a dict from label to number, the most frequent first
    """
    import pyarrow as pa

    events = run.events(source, **reading)
    lacking = run.missing(events)
    if lacking and note is not None:
        note(f"{events.source} lacks {len(lacking):,} features of the run: {_some(lacking)}. They count as missing.")
    model, names = run.rebuild(progress=progress), run.classes
    told: list[str] = []
    chances: list[np.ndarray] = []
    counts = dict.fromkeys(names, 0)
    readout = Readout(progress, events.length)
    try:
        for number, (x, _) in enumerate(events, start=1):
            said, p = ask(model, x)
            there = [str(name) for name, yes in said.items() if yes]
            told.append("|".join(there))
            for name in there:
                counts[name] = counts.get(name, 0) + 1
            if every:
                chances.append(np.fromiter((p.get(name, 0.0) for name in names), np.float32, len(names)))
            if number % 16 == 0 and readout.due():
                readout.tell(number, "Predicted", {})
    finally:
        readout.close()
    if not told:
        raise DataError(f"{events.source} has no events; expected one at least.")
    columns = {"row": pa.array(np.arange(len(told))), "labels": pa.array(told, pa.string())}
    if every:
        matrix = np.stack(chances)
        columns |= {f"p_{name}": pa.array(matrix[:, i]) for i, name in enumerate(names)}
    return pa.table(columns), {name: n for name, n in sorted(counts.items(), key=lambda item: -item[1]) if n}
