"""Which rows of new data are unlike those that a network was trained on (out of distribution)."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.by_run import load_run
from errata.audit.progress import Progress, Show
from errata.errors import UnknownNameError

if TYPE_CHECKING:
    from errata.engine.run import Run
    from errata.ledger import Ledger

__all__ = ["audit"]


def audit(
    source: Any,
    *,
    run: str | Path | Run,
    method: str = "energy",
    reference: Any = None,
    quantile: float = 0.95,
    model: Any = "auto",
    temperature: float | None = None,
    epsilon: float | None = None,
    k: int | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Show = True,
    **reading: Any,
) -> Ledger:
    """Score new data against a training run, and flag what is unlike the data that it was trained on.

    Parameters
    ----------
    source : whatever ``errata.train`` takes; labels aren't needed, and not looked at
    run : the folder of a run of ``errata train``, or a ``Run``; of any system that learns classes
    method : "energy", "msp" (the largest probability), "maxlogit", "uniform" (for networks trained with outlier
        exposure), "odin", "mahalanobis" or "knn"
    reference : data of the kind trained on, with labels, that were not trained on; by default the rows that the run
        held out, which are read again from where they were
    quantile : the share of the usual rows that are not flagged, in (0, 1)
    model : where the run was trained on a network of your own, a network of the same build; else "auto"
    seed : of what is drawn at random: the halves of ``reference``, the embeddings for "knn"
    device, progress : see ``errata.audit``
    temperature : of "energy" (1 by default) and "odin" (1000), > 0
    epsilon : of "odin" (0.0014) and "mahalanobis" (0), how far inputs are moved towards what the network thinks of
        them, 0 or more: in units of images in [0, 1], of features in units of their deviation
    k : of "knn", which neighbour's distance counts; by default 50, or a twentieth of the rows where that is less
    **reading : options of ``errata.read``

    Returns
    -------
    Ledger
        given "in-distribution", proposed "out-of-distribution" where the score is above the threshold, with the columns
        ``score``, ``predicted`` and ``confidence``; trust is the probability that the row is of the data

    Examples
    --------
    >>> import errata
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(300, 2)) + 6.0 * (np.arange(300) % 2)[:, None]
    >>> run = errata.train(x, np.arange(300) % 2, system="ce", validation=0.2, device="cpu", progress=False)
    >>> new = np.array([[0.0, 0.3], [6.2, 5.5], [-40.0, 60.0]])
    >>> ledger = errata.audit(new, task="ood", run=run, method="knn", progress=False)
    >>> ledger.table["proposed"].tolist()
    ['in-distribution', 'in-distribution', 'out-of-distribution']
    """
    from errata.engine.fit import resolve_device
    from errata.engine.ood import detector_of
    from errata.engine.ood_ledger import ood_ledger

    _check_reading(reading)
    settings = {"temperature": temperature, "epsilon": epsilon, "k": k}
    own = {name: value for name, value in settings.items() if value is not None}
    folder = Path(run) if isinstance(run, (str, Path)) else None
    trained = load_run(run, model, device)
    data = trained._read(source, False, reading)
    with Progress(progress, "learning what is usual", 1.0) as bar:
        detector = detector_of(
            trained,
            method,
            folder=folder,
            reference=reference,
            quantile=quantile,
            seed=seed,
            advance=bar.advance,
            **own,
        )
    inputs = trained.encoder.encode(data)
    with Progress(progress, "scoring", 1.0) as bar:
        scores = detector.score(trained.system, inputs, device=resolve_device(trained.device), advance=bar.advance)
    probabilities = trained._probabilities(data)
    columns = {
        "predicted": np.array([str(c) for c in trained.classes], dtype=object)[probabilities.argmax(1)],
        "confidence": probabilities.max(1),
    }
    told = {"run": str(folder) if folder is not None else "a run at hand", "system": trained.system.card.slug}
    return ood_ledger(detector, scores, data, columns, {**data.origin, **told, "seed": seed})


def _check_reading(reading: dict[str, Any]) -> None:
    from errata.data import read

    known = [p.name for p in inspect.signature(read).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for name in reading:
        if name not in known:
            own = [name for name, p in inspect.signature(audit).parameters.items() if p.kind is p.KEYWORD_ONLY]
            raise UnknownNameError("option of scoring data against a run", name, [*own, *known])
