"""The room of systems that tell inputs unlike the training data: classes are learned, and a scale for what is foreign.

Training is that of classification. Then the scores of the rows held out say what is usual, and the run's ledger says of
each row whether it is in- or out-of-distribution. Any other run of classification can be asked in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from errata.engine.detectors import FEATURES, METHODS, Detector, fit_detectors, load_detector, settings_of
from errata.engine.fit import resolve_device
from errata.engine.ood_ledger import ood_ledger
from errata.engine.run import Run
from errata.errors import DataError, ErrataError, LoadError, ParameterError
from errata.ledger import Ledger

__all__ = ["OODRun", "detector_of", "load", "read", "train"]

HELD_OUT = 0.1
Advance = Callable[[float], None] | None


def read(source: Any, label: Any = None, **options: Any) -> Any:
    """What ``errata.read`` gives: images, with their classes."""
    from errata.data import read as read_any

    return read_any(source, label, **options)


def train(
    source: Any,
    y: Any = None,
    *,
    method: str = "energy",
    quantile: float = 0.95,
    validation: float = HELD_OUT,
    **options: Any,
) -> OODRun:
    """Train a classifier that also tells what is unlike its data; called by ``errata.train`` for systems of this kind.

    Parameters
    ----------
    source, y : see ``errata.train``; images with classes
    method : the score that fills the ledger: "energy", "msp", "maxlogit", "uniform", "odin", "mahalanobis" or "knn"
    quantile : the share of held-out rows that stay below the threshold, in (0, 1)
    validation : the share of rows held out, in (0, 0.9]; the scale of the scores is taken from them
    **options : those of ``errata.train``: ``system``, ``epochs``, ``seed``, ``out``, hyper-parameters ...

    Returns
    -------
    OODRun
        its ledger has a row per image: in- or out-of-distribution, with the score
    """
    from errata.engine import training

    if not 0 < validation <= 0.9:
        raise ParameterError(
            f"validation must be a share in (0, 0.9]: the scale of the scores is taken from what is held out; got "
            f"{validation!r}."
        )
    if method not in METHODS or not 0 < quantile < 1:
        settings_of(method, {}, None)  # type: ignore[arg-type]  # tells the nearest name
        raise ParameterError(f"quantile must be in (0, 1); got {quantile!r}.")
    told = training.filled({**options, "validation": validation})
    run, folder = training.train_classes(source, y, **told)
    made = OODRun.of(run, method, quantile, seed=told["seed"])
    if folder is not None:
        made.save(folder)
    return made


def load(folder: str | Path, model: Any = None, device: str = "auto") -> OODRun:
    """Load such a run; see ``Run.load``."""
    run = cast(OODRun, OODRun.load(folder, model=model, device=device))
    for method in METHODS:
        kept = load_detector(Path(folder), method, run.system)
        if kept is not None:
            run.detectors[method] = kept
    return run


class OODRun(Run):
    """A run that can say of new data whether they are like those that it was trained on.

    Attributes
    ----------
    detectors : by the name of the score
    class_ledger : what the training has learned of the class labels, as after any other system; not kept on disk

    Examples
    --------
    >>> import errata
    >>> rng = np.random.default_rng(0)
    >>> x = rng.integers(0, 90, (40, 1, 8, 8), dtype=np.uint8)
    >>> x[20:, :, :4] += 120
    >>> run = errata.train(x, [0] * 20 + [1] * 20, system="oest", epochs=2, device="cpu", progress=False)
    >>> sorted(set(run.ledger.table["given"])), run.score(x[:3]).shape
    (['in-distribution'], (3,))
    """

    class_ledger: Ledger | None = None

    @property
    def detectors(self) -> dict[str, Detector]:
        """The detectors at hand, by the name of the score."""
        return self.__dict__.setdefault("_detectors", {})

    @classmethod
    def of(cls, run: Run, method: str = "energy", quantile: float = 0.95, *, seed: int = 0) -> OODRun:
        """Fit every score that suits these data to a classification run that held rows out, and make its ledger."""
        about = {**run.about, "task": "ood", "method": method, "quantile": quantile}
        made = cls(
            run.system, run.encoder, run.classes, run.ledger, run.metrics, run.history, about, run.device, run.weights
        )
        made.class_ledger = run.ledger
        made.detectors.update(_fitted(made, {name: {} for name in METHODS}, quantile=quantile, seed=seed))
        made._fill(method)
        return made

    def score(self, source: Any, method: str | None = None, **reading: Any) -> np.ndarray:
        """(N,) float64 scores of new data; larger = less like the data trained on.

        Parameters
        ----------
        source : whatever ``errata.train`` takes; labels aren't needed
        method : the score; by default the one that the run was trained with
        reading : further options of ``errata.read``
        """
        detector = detector_of(self, method or self.about.get("method", "energy"))
        inputs = self.encoder.encode(self._read(source, False, reading))
        return detector.score(self.system, inputs, device=resolve_device(self.device))

    def select(self, which: str) -> OODRun:
        before = self.metrics.get("selected", "last")
        super().select(which)
        if which != before:  # of other weights
            quantile = self.about.get("quantile", 0.95)
            self.detectors.update(_fitted(self, {name: {} for name in METHODS}, quantile=quantile))
            self._fill(self.about.get("method", "energy"))
        return self

    def _fill(self, method: str) -> None:
        labels = self.class_ledger
        assert labels is not None  # `of` has set it, and only a trained run selects
        data, detector = labels.data, self.detectors[method]
        inputs = self.encoder.encode(data)
        scores = detector.score(self.system, inputs, device=resolve_device(self.device))
        columns: dict[str, Any] = {
            "class": np.array([str(c) for c in labels.classes], dtype=object)[labels.given],
            "proposed_class": np.array([str(c) for c in labels.classes], dtype=object)[labels.proposed],
            "class_trust": labels.trust,
            **{name: values for name, values in labels.columns.items() if name == "held_out"},
        }
        columns["class"][labels.given < 0] = None
        kept = {name: value for name, value in labels.meta.items() if name not in ("method", "task")}
        self.ledger = ood_ledger(detector, scores, data, columns, {**kept, "system": self.system.card.slug})
        self.metrics |= {
            "issues": int(self.ledger.issue.sum()),
            "noise_rate": self.ledger.noise.rate,
            "score": method,
            "threshold": detector.threshold,
        }

    def save(self, folder: str | Path, *, report: bool = True) -> Path:
        place = super().save(folder, report=report)
        for detector in self.detectors.values():
            detector.save(place, self.system)
        return place


# -- detectors of any run ---------------------------------------------------------------------------------------------


def detector_of(
    run: Run,
    method: str = "energy",
    *,
    folder: Path | None = None,
    reference: Any = None,
    quantile: float = 0.95,
    seed: int = 0,
    advance: Advance = None,
    **settings: Any,
) -> Detector:
    """A detector for a trained run: the one kept with it, or one made now from the data that it was trained on.

    Parameters
    ----------
    run : of classification, or of a system of this kind
    method, settings : the score; see ``errata.engine.detectors.METHODS``
    folder : the run's, where detectors are looked for and kept
    reference : data of the kind trained on, with labels, that were not trained on; by default the rows held out
    quantile : in (0, 1), of the threshold
    seed : of the choice of embeddings for "knn", and of the halves of ``reference``
    advance : is told of shares of the work that are done

    Raises
    ------
    LoadError
        where the training data are needed, and are not where they were
    """
    own = settings_of(method, settings, run.system)
    if not 0 < quantile < 1:
        raise ParameterError(f"quantile must be in (0, 1); got {quantile!r}.")
    kept = run.detectors.get(method) if isinstance(run, OODRun) else None
    if kept is None and folder is not None:
        kept = load_detector(folder, method, run.system)
    if kept is not None and reference is None and all(own[k] in (None, kept.settings[k]) for k in own):
        return replace(kept, quantile=quantile)
    more: dict[str, Any] = {"quantile": quantile, "seed": seed, "advance": advance}
    if reference is None:
        made = _fitted(run, {method: settings}, **more)[method]
        if folder is not None and not settings:
            made.save(folder, run.system)
        return made
    return _fitted_to(run, reference, {method: settings}, **more)[method]


def _fitted(run: Run, methods: Mapping[str, Mapping[str, Any]], **more: Any) -> dict[str, Detector]:
    """Detectors from the data that the run was trained on; those that do not suit them are left out of several."""
    labels = getattr(run, "class_ledger", None) or run.ledger
    data = labels.data if labels.data is not None else _training_data(run, labels)
    codes = data.labels.codes
    held = np.asarray(labels.columns.get("held_out", np.zeros(len(codes), dtype=bool)), dtype=bool)
    learned, labelled = ~held & (codes >= 0), codes >= 0
    kept = held if held.any() else labelled
    inputs = {
        name: run.encoder.encode(data.subset(np.flatnonzero(rows)))
        for name, rows in {"held": kept, "learned": learned}.items()
    }
    common = {"held_out": bool(held.any()), "device": resolve_device(run.device), **more}
    found: dict[str, Detector] = {}
    for method, settings in methods.items():
        try:
            found |= fit_detectors(
                run.system, {method: settings}, inputs["held"], inputs["learned"], codes[learned], **common
            )
        except (DataError, ParameterError):
            if len(methods) == 1:
                raise
    return found


def _fitted_to(
    run: Run, reference: Any, methods: Mapping[str, Mapping[str, Any]], seed: int = 0, **more: Any
) -> dict[str, Detector]:
    """Detectors from data that the run was not trained on; where they must stand for the usual too, from halves."""
    label = run.about.get("label") if isinstance(reference, (str, Path)) else None
    data = run._read(reference, label, {})
    rows = np.random.default_rng([seed, 0xD]).permutation(len(data))
    half = len(rows) // 2 if any(method in FEATURES for method in methods) else 0
    codes = run._codes(data.require_labels(min_classes=1)) if half else None
    first, rest = np.sort(rows[:half]), np.sort(rows[half:])
    if codes is not None:
        first = first[codes[first] >= 0]
    learned = run.encoder.encode(data.subset(first)) if half else None
    held = run.encoder.encode(data.subset(rest))
    labels = codes[first] if codes is not None else None
    return fit_detectors(
        run.system, methods, held, learned, labels, device=resolve_device(run.device), seed=seed, **more
    )


def _training_data(run: Run, ledger: Ledger) -> Any:
    """The data that a run from disk was trained on, read again."""
    told = run.about
    advice = "Give data of the same kind that it was not trained on: reference=... (--reference on the command line)."
    try:
        data = run._read(str(told.get("source_path") or told["source"]), told.get("label"), {})
        data.require_labels()
    except (ErrataError, OSError, KeyError) as error:
        raise LoadError(
            f"The data that the run was trained on ({told.get('source', 'not told')}) can't be read, and the scale of "
            f"the scores is taken from them: {error} {advice}"
        ) from error
    if len(data) != len(ledger):
        raise LoadError(
            f"{told['source']} has {len(data):,} rows, and the run was trained when it had {len(ledger):,}. {advice}"
        )
    return data
