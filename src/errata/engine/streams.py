"""Streams: every event is predicted, measured, written down, and then learned.

A stream that was stopped is resumed by reading it again and passing by the events before the last snapshot, which holds
the ledger's rows and the model (``parts.streams.state``; nothing is pickled). A model that can't be stored that way, as
River's own, learns the events before the snapshot once more: the same events and the same seed give the same model, so
the end is what it would have been. A checksum over the events tells a stream that has changed.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from errata import systems
from errata.charts import Chart
from errata.data.streams import Events, open_events
from errata.engine.stream_progress import Readout
from errata.engine.stream_rows import Rows
from errata.engine.stream_run import MODEL, StreamRun, load, predict_table
from errata.engine.stream_steps import ask, replay, summed
from errata.errors import DataError, ErrataError, LoadError, ParameterError, UnknownNameError
from errata.parts.streams.prequential import Prequential
from errata.storage import claim_folder, write_json

__all__ = ["FILES", "StreamRun", "load", "predict_table", "read", "run", "train"]

FILES = ("run.json", "metrics.json", "ledger.parquet", "summary.json", "report.html", "snapshot.npz", MODEL)
"""What a folder of a stream holds; one that has any of them is taken."""

SNAPSHOT = "snapshot.npz"
FORMAT = 1
POINT_EVERY = 50  # events between two points of the charts
READING = ("separator", "encoding", "header")

read = open_events


def run(
    stream: Any,
    model: Any,
    *,
    label: Any = None,
    events: int | None = None,
    window: int = 500,
    warmup: int = 100,
    out: str | Path | None = None,
    resume: bool = False,
    snapshot_every: float = 60.0,
    progress: bool = True,
    about: Mapping[str, Any] | None = None,
) -> StreamRun:
    """Let any multi-label classifier of River's kind go through a stream: predict, measure, then learn.

    Parameters
    ----------
    stream : a path, a table, or pairs of features and labels; see ``errata.data.streams.open_events``
    model : has ``predict_one`` and ``learn_one``, and for the ledger's trust ``predict_proba_one``; it learns in place
    label : which columns are labels, where ``stream`` is a path or a table
    events : stop after so many
    window : events that the figures of "lately" are over
    warmup : events at the beginning for which the ledger says nothing
    out : a folder for ledger, report, metrics and the snapshot; it must not hold a run already
    resume : go on in ``out`` where a run of the same stream was stopped; ``model`` must be as new
    snapshot_every : seconds between two snapshots
    progress : show one line with the figures
    about : what else to remember of the run, in JSON's types

    Returns
    -------
    StreamRun

    Raises
    ------
    DataError
        where the stream is empty or damaged
    LoadError
        where ``resume`` finds a snapshot of other events or of another run
    ErrataError
        where ``out`` is taken

    Examples
    --------
    >>> import errata
    >>> rng = np.random.default_rng(0)
    >>> def events():
    ...     for a in rng.random(300):
    ...         yield {"a": float(a)}, {"high": bool(a > 0.5), "low": bool(a < 0.5)}
    >>> done = run(events(), errata.system("ihomer")(seed=0), progress=False)
    >>> len(done.ledger), done.metrics["subset_accuracy"] > 0.9
    (300, True)
    """
    source = open_events(stream, label)
    if window < 1 or warmup < 0 or (events is not None and events < 1):
        raise ParameterError(
            f"Expected window and events of 1 or more, warmup of 0 or more; got {window}, {events}, {warmup}."
        )
    folder = _claim(out, resume)
    told = {"format": FORMAT, "source": source.source, "label": _plain(source.label), **(about or {})}
    state = _State(source, model, window, warmup, told, folder)
    readout = Readout(progress, events if source.length is None else min(source.length, events or source.length))
    flow = iter(source)
    try:
        if resume and folder is not None and (folder / SNAPSHOT).exists():
            state.resume(flow, readout)
        elif folder is not None:
            write_json(folder / "run.json", {**told, "classes": [], "finished": False})
        _go(flow, state, events, readout, snapshot_every)
    except KeyboardInterrupt:
        state.snapshot()
        raise
    finally:
        readout.close()
    if not len(state.rows):
        raise DataError(f"{source.source} has no events; expected one at least.")
    done = state.finish()
    if folder is not None:
        done.save(folder)
        (folder / SNAPSHOT).unlink(missing_ok=True)
    return done


def _go(flow: Any, state: _State, events: int | None, readout: Readout, snapshot_every: float) -> None:
    saved = time.monotonic()
    readout.restart(state.position)
    left = None if events is None else max(0, events - state.position)
    for x, y in islice(flow, left):
        state.step(x, y)
        if state.position % 16 == 0:
            if readout.due():
                readout.tell(state.position, "", state.shown())
            if time.monotonic() - saved >= snapshot_every:
                state.snapshot()
                saved = time.monotonic()


class _State:
    """A stream under way."""

    def __init__(
        self, source: Events, model: Any, window: int, warmup: int, about: dict[str, Any], folder: Path | None
    ) -> None:
        self.source, self.model, self.about, self.folder = source, model, about, folder
        self.seen = Prequential(window)
        self.rows = Rows(warmup)
        self.history: list[dict[str, Any]] = []
        self.position = self.checksum = 0
        self.seconds = 0.0
        self._begun = time.perf_counter()

    def step(self, x: dict[str, Any], y: dict[str, bool]) -> None:
        """Predict, measure, write down, learn."""
        said, p = ask(self.model, x)
        missed = self.seen.update(y, said)
        self.rows.add(y, p, missed)
        if y:
            self.model.learn_one(x, y)
        self.checksum = summed(self.checksum, self.position, x, y)
        self.position += 1
        if self.position % POINT_EVERY == 0:
            self._point()

    def _point(self) -> None:
        lately, whole = self.seen.lately(), self.seen.figures()
        self.history.append(
            {
                "event": self.position,
                **{f"{name}_lately": round(value, 6) for name, value in lately.items()},
                **{name: round(whole[name], 6) for name in ("subset_accuracy", "micro_f1")},
                "clusters": _clusters(self.model),
            }
        )

    def shown(self) -> dict[str, Any]:
        """What the line shows."""
        lately = self.seen.lately()
        clusters = _clusters(self.model)
        figures: dict[str, Any] = {"sets right": lately["subset_accuracy"], "micro-F1": lately["micro_f1"]}
        return figures if clusters is None else {**figures, "clusters": clusters}

    # -- stopping and going on ----------------------------------------------------------------------------------------

    def snapshot(self) -> None:
        """Write what is needed to go on from here."""
        if self.folder is None or not self.position:
            return
        more = {
            "about": self.about,
            "position": self.position,
            "checksum": self.checksum,
            "history": self.history,
            "seen": self.seen.state(),
            "seconds": self.seconds + time.perf_counter() - self._begun,
        }
        stored = self.model.state() if hasattr(self.model, "state") else None
        self.rows.save(self.folder / SNAPSHOT, more, stored)

    def resume(self, flow: Any, readout: Readout) -> None:
        """Take over a snapshot's rows and model; where the model is not in it, it learns the events before it again."""
        assert self.folder is not None  # the caller has looked; said for type checkers
        file = self.folder / SNAPSHOT
        rows, more, stored = Rows.load(file)
        for name in ("system", "label", "hyperparameters"):
            if more["about"].get(name) != self.about.get(name):
                raise LoadError(
                    f"{file} is of another run: its {name} was {more['about'].get(name)!r}, now it is "
                    f"{self.about.get(name)!r}. Give the same, or another folder."
                )
        rows.warmup = self.rows.warmup
        self.seen = Prequential.restored(more["seen"])
        self.seconds = float(more["seconds"])
        learner = self.model
        if stored is not None and hasattr(learner, "restore") and learner.restore(*stored):
            learner = None
        replay(flow, learner, more["position"], more["checksum"], readout)
        self.rows, self.history = rows, more["history"]
        self.position, self.checksum = more["position"], more["checksum"]
        self._begun = time.perf_counter()

    def finish(self) -> StreamRun:
        """The run, with ledger and charts."""
        seconds = self.seconds + time.perf_counter() - self._begun
        metrics: dict[str, Any] = {"events": self.position, **self.seen.figures()}
        metrics |= {"labels": len(self.rows.labels), "seconds": round(seconds, 3)}
        metrics["events_per_second"] = round(self.position / max(seconds, 1e-9), 1)
        if not self.history or self.history[-1]["event"] != self.position:
            self._point()
        clusters = getattr(self.model, "clusters", None)
        if clusters is not None:
            metrics["clusters"] = len(clusters)
        path = Path(self.source.source).expanduser()
        about = {
            "source_path": str(path.resolve()) if path.is_file() else None,
            **self.about,
            "classes": list(self.rows.labels),
            "events": self.position,
            "checksum": self.checksum,
            "clusters": None if clusters is None else [[str(name) for name in cluster] for cluster in clusters],
        }
        meta = {name: about[name] for name in ("source", "source_path", "label", "clusters") if about.get(name)}
        meta |= {"task": "streams", "method": "prequential", "system": about.get("system"), "seed": about.get("seed")}
        meta["notes"] = [
            "Each event was predicted before it was learned; trust is the probability that its labels are right "
            f"together, by that prediction. Of the first {self.rows.warmup:,} events nothing is said."
        ]
        return StreamRun(self.rows.ledger(meta, _charts(self.history)), metrics, self.history, about, self.model)


def _clusters(model: Any) -> int | None:
    clusters = getattr(model, "clusters", None)
    return None if clusters is None else len(clusters)


def _charts(history: list[dict[str, Any]]) -> list[Chart]:
    at = [point["event"] for point in history]

    def series(name: str) -> tuple[list[int], list[Any]]:
        return at, [point[name] for point in history]

    found = [
        Chart(
            "Label sets predicted rightly, and micro-F1, over time",
            "Every event was predicted before it was learned. Lately: over the last events; in all: of all so far.",
            {
                "label sets right, lately": series("subset_accuracy_lately"),
                "label sets right, in all": series("subset_accuracy"),
                "micro-F1, lately": series("micro_f1_lately"),
                "micro-F1, in all": series("micro_f1"),
            },
            x="event",
            y="share",
        )
    ]
    if any(point["clusters"] is not None for point in history):
        says = "Labels that come together are learned together; clusters split and merge as the stream goes by."
        found.append(
            Chart("Clusters of labels over time", says, {"clusters": series("clusters")}, x="event", y="clusters")
        )
    return found


def _claim(out: str | Path | None, resume: bool) -> Path | None:
    if out is None:
        if resume:
            raise ParameterError("resume=True needs the folder of the earlier run: give out=...")
        return None
    stopped = (Path(out) / SNAPSHOT).exists()
    if resume and (Path(out) / "ledger.parquet").exists() and not stopped:
        raise ErrataError(f"The run in {out} is finished; there is nothing to resume. Choose another folder.")
    return claim_folder(out, resume, taken_by=FILES)


def _plain(label: Any) -> Any:
    return str(label) if isinstance(label, Path) else label


# -- the room of this kind --------------------------------------------------------------------------------------------


def train(
    source: Any,
    y: Any = None,
    *,
    label: Any = None,
    system: Any = "ihomer",
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    events: int | None = None,
    **rest: Any,
) -> StreamRun:
    """Let a system of this kind go through a stream; see ``run`` and ``errata.train``.

    Parameters
    ----------
    y : (N, L) of 0 and 1, where ``source`` is an array (N, D) or a table of features: its rows are the events
    **rest : options of reading (separator, encoding, header), and hyper-parameters of the system
    """
    kind = systems.load(system) if isinstance(system, str) else system
    known = [name for name in inspect.signature(kind).parameters if name != "seed"]
    for name in rest:
        if name not in known and name not in READING:
            raise UnknownNameError(f"hyper-parameter of '{kind.card.slug}'", name, [*known, *READING])
    reading = {name: value for name, value in rest.items() if name in READING}
    settings = {name: _tuples(value) for name, value in rest.items() if name not in READING}
    stream = open_events(source, label, **reading) if y is None else open_events(_rows_of(source, y))
    about = {
        "task": "streams",
        "system": kind.card.slug,
        "seed": seed,
        "hyperparameters": {**settings, "seed": seed},
        "reading": reading,
    }
    model = kind(**settings, seed=seed)
    return run(stream, model, events=events, out=out, resume=resume, progress=progress, about=about)


def _tuples(value: Any) -> Any:
    """Lists from a command line as the tuples that a model's parameters are."""
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def _rows_of(x: Any, y: Any) -> list[tuple[dict[str, Any], dict[str, bool]]]:
    names = [str(name) for name in getattr(x, "columns", [])]
    labels = [str(name) for name in getattr(y, "columns", [])]
    features, given = np.asarray(x), np.asarray(y)
    if features.ndim != 2 or given.ndim != 2 or len(features) != len(given):
        raise DataError(
            f"Expected features (N, D) and labels (N, L) of 0 and 1; got {features.shape} and {given.shape}."
        )
    names = names or [f"feature {i}" for i in range(features.shape[1])]
    labels = labels or [f"label {i}" for i in range(given.shape[1])]
    if not np.isin(given, (0, 1)).all():
        row, column = np.argwhere(~np.isin(given, (0, 1)))[0].tolist()
        raise DataError(f"Expected labels of 0 and 1; row {row}, column {column} holds {given[row, column]}.")
    rows = zip(features.tolist(), given.astype(bool).tolist(), strict=True)
    return [(dict(zip(names, a, strict=True)), dict(zip(labels, b, strict=True))) for a, b in rows]
