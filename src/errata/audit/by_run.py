"""Finding wrong labels with a model that was trained elsewhere: a run judges rows that it has never seen.

A model that learned from other rows is evidence of its own about these labels: nothing of theirs is in it, so no
cross-validation is needed. Where probabilities are given too, which other models made, both are heard: each is
calibrated on the given labels by one temperature, and their logarithms are averaged, a model counting the more, the
better it foretells the labels. Models that err apart correct each other; what both doubt is seldom right. What the
run's network sees of the rows (the input of its last layer) lets their neighbours speak as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.align import align
from errata.audit.confident import confident, require_two_classes
from errata.audit.crossval import SMALLEST, temper
from errata.audit.progress import Progress, Show
from errata.errors import DataError, LoadError, ParameterError
from errata.labels import MISSING, ClassLabels

if TYPE_CHECKING:
    from errata.data import Data
    from errata.engine.run import Run
    from errata.ledger import Ledger

__all__ = ["Seen", "audit", "load_run", "pool", "read_for", "skill", "tempered", "view"]

AT_ONCE = 512


def audit(
    source: Any,
    y: Any = None,
    *,
    run: str | Path | Run,
    label: Any = None,
    pred_probs: Any = None,
    classes: Sequence[Any] | None = None,
    model: Any = "auto",
    seed: int = 0,
    device: str = "auto",
    progress: Show = True,
    **reading: Any,
) -> Ledger:
    """Find the labels that a model trained on other rows contradicts.

    Parameters
    ----------
    source, y, label : as in ``errata.audit``; rows that the run has **not** been trained on. By default the label's
        column is the one trained on.
    run : the folder of a run of ``errata train``, or a ``Run``; or a list of them, whose probabilities are pooled
    pred_probs : (N, K) out-of-sample probabilities of another model, to be heard as well
    classes : the names of the columns of ``pred_probs``, where they can't be told from the labels
    model : where the run was trained on a network of your own, a network of the same build; else "auto"
    seed : of the neighbours' draws
    device, progress : as in ``errata.audit``
    **reading : options of ``errata.read``

    Returns
    -------
    Ledger
        as that of the method "ensemble"; with ``vouched``, from the pooled probabilities

    Raises
    ------
    ParameterError
        where the run was trained on this very source
    UnknownNameError
        where a label is none of the classes trained on

    Examples
    --------
    >>> import errata
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(600, 2)) + 5.0 * (np.arange(600) % 2)[:, None]
    >>> y = np.arange(600) % 2
    >>> run = errata.train(x[:300], y[:300], system="ce", device="cpu", progress=False)
    >>> given = y[300:].copy()
    >>> given[[7, 40]] = 1 - given[[7, 40]]
    >>> ledger = errata.audit(x[300:], given, run=run, progress=False)
    >>> sorted(ledger.issues(budget=2).index)
    [7, 40]
    """
    from errata.audit.ensemble import as_opinion, by_neighbours, combine
    from errata.audit.neighbours import neighbours
    from errata.audit.vouching import vouch

    runs = [load_run(one, model, device) for one in (run if isinstance(run, (list, tuple)) else [run])]
    data = _read(runs[0], source, y, label, reading)
    for one in runs:
        _require_other_rows(one, data)
    labels, given = _labels(data, runs[0], pred_probs, classes)
    require_two_classes(labels)
    sources, embeddings = [] if given is None else [tempered(given, labels)], None
    with Progress(progress, "predicting with the run", float(len(runs))) as bar:
        for one in runs:
            seen = view(one, data, bar.advance)
            sources.append(tempered(seen.probabilities[:, _columns(one, labels)], labels))
            embeddings = seen.embeddings if embeddings is None else embeddings
    probs = pool(sources, [skill(labels.codes, source) for source in sources])
    first = confident(labels, probs, index=data.rows)
    opinions = [as_opinion("confident", first)]
    if embeddings is not None:
        opinions.append(by_neighbours(neighbours(labels, embeddings, seed=seed, index=data.rows)))
    ledger = combine(labels, opinions, index=data.rows)
    what = " and ".join([*(["the probabilities given"] if given is not None else []), *map(_name, runs)])
    ledger.meta.update({**data.origin, "kind": data.kind, "probabilities": what, "seed": seed})
    ledger.data = data
    own = first.columns["self_confidence"]
    ledger.vouched = lambda: vouch(ledger.given, probs, ledger.order, joint_rate=ledger.noise.rate, own=own)
    return ledger


# -- the run -----------------------------------------------------------------------------------------------------------


def load_run(run: Any, model: Any = "auto", device: str = "auto") -> Run:
    """The run in a folder, or the one given.

    Raises
    ------
    LoadError
        where it has not finished
    ParameterError
        where it is no run
    """
    from errata.engine.run import Run

    if isinstance(run, (str, Path)):
        loaded = Run.load(run, model=None if isinstance(model, str) else model, device=device)
    else:
        loaded = run
    if not isinstance(loaded, Run):
        raise ParameterError(f"run must be the folder of a training run, or a Run; got {type(run).__name__}.")
    if isinstance(run, (str, Path)) and loaded.about.get("finished") is False:
        raise LoadError(f"The run in {run} has not finished.")
    return loaded


@dataclass
class Seen:
    """What a run makes of rows.

    Attributes
    ----------
    probabilities : (N, K) float32, in the order of the run's classes; the mean of an image and its mirror image where
        the run was trained with mirrored ones
    embeddings : (N, D) float32, what the network's last layer takes in; None where it has none
    """

    probabilities: np.ndarray
    embeddings: np.ndarray | None


def view(run: Run, data: Data, advance: Any = lambda share: None) -> Seen:
    """Probabilities and embeddings of all rows, in one pass over them.

    Examples
    --------
    >>> import errata
    >>> x, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    >>> run = errata.train(x, y, system="ce", epochs=1, device="cpu", progress=False)
    >>> seen = view(run, errata.read(x[:7]))
    >>> seen.probabilities.shape, seen.embeddings.shape
    ((7, 2), (7, 256))
    """
    import torch
    from torch import nn

    from errata.engine.evaluation import pieces
    from errata.engine.fit import resolve_device
    from errata.engine.precision import computing

    system, place = run.system, resolve_device(run.device)
    inputs = run.encoder.encode(data)
    mirrored = bool(getattr(run.encoder.views(), "flip", False))
    probs = np.empty((len(inputs), len(run.classes)), dtype=np.float32)
    parts: list[np.ndarray] = []
    seen: list[torch.Tensor] = []
    linear = [layer for layer in system.model.modules() if isinstance(layer, nn.Linear)]
    hook = linear[-1].register_forward_pre_hook(lambda _, got: seen.append(got[0].flatten(1))) if linear else None
    home, mode = system.device, system.training
    system.to(place).eval()
    try:
        with torch.no_grad(), computing(system, run.about.get("precision"), place):
            for start, part in pieces(inputs, AT_ONCE):
                seen.clear()
                looks = [part.to(place)] + ([part.to(place).flip(-1)] if mirrored else [])
                found = torch.stack([system.probabilities(system(look)) for look in looks])
                probs[start : start + len(part)] = found.mean(0).float().cpu().numpy()
                if seen:
                    parts.append(torch.stack([s.float() for s in seen]).mean(0).cpu().numpy())
                advance(len(part) / len(inputs))
    finally:
        system.to(home).train(mode)
        if hook is not None:
            hook.remove()
    return Seen(probs, np.concatenate(parts) if parts else None)


def read_for(
    run: Any, source: Any, label: Any = None, device: str = "auto", y: Any = None, **reading: Any
) -> tuple[Run, Data]:
    """A run, and data with labels as it reads them: the same columns, the same kinds, the same image size."""
    loaded = load_run(run, device=device)
    return loaded, _read(loaded, source, y, label, reading)


def _read(run: Run, source: Any, y: Any, label: Any, reading: dict[str, Any]) -> Data:
    from errata.data import Data

    if y is not None and label is not None:
        raise ParameterError("Labels are given twice, as an array and as label=; give them once.")
    named = isinstance(source, (str, Path)) or hasattr(source, "columns")
    if y is None and label is None and named and not isinstance(source, Data):
        label = run.about.get("label")
    data = run._read(source, label if y is None else y, reading)
    if data.labels is None:
        raise DataError(f"{data.source} has no labels to check; name their column with label=, or give an array.")
    return data


def _require_other_rows(run: Run, data: Data) -> None:
    """Refuse the file that the run was trained on; what lies in memory has no name to compare."""
    own, other = run.about.get("source"), data.origin.get("source")
    if own is not None and own == other and Path(str(own)).exists():
        raise ParameterError(
            f"The run was trained on {own}, the very data to be checked: it has learned these labels, wrong ones too. "
            "Give rows that it has not seen; or take the ledger in the run's own folder; or cross-validate "
            "(errata.audit without run=)."
        )


def _name(run: Run) -> str:
    return f"a run of {run.about.get('system')} on {run.about.get('source', 'data')}"


# -- probabilities -----------------------------------------------------------------------------------------------------


def _labels(data: Data, run: Run, pred_probs: Any, classes: Any) -> tuple[ClassLabels, np.ndarray | None]:
    codes = run._codes(data.require_labels())  # says which label the run does not know
    if pred_probs is None:
        return ClassLabels(codes, list(run.classes)), None
    labels, probs = align(data.labels, pred_probs, classes, name=data.label_name or "labels")
    return labels, np.asarray(probs, dtype=np.float32)


def _columns(run: Run, labels: ClassLabels) -> list[int]:
    """The run's column of each class."""
    place = {str(name): k for k, name in enumerate(run.classes)}
    unknown = [name for name in labels.classes if str(name) not in place]
    if unknown:
        raise DataError(
            f"The run does not know the class {unknown[0]!r}; it was trained on {', '.join(map(str, run.classes[:8]))}."
            " All classes of the labels, and of pred_probs, must be known to it."
        )
    return [place[str(name)] for name in labels.classes]


def tempered(probs: np.ndarray, labels: ClassLabels) -> np.ndarray:
    """A copy of probabilities (N, K), calibrated on the given labels by one temperature."""
    found = np.array(probs, dtype=np.float32)
    temper(found, labels.codes)
    return found


def skill(codes: np.ndarray, probs: np.ndarray) -> float:
    """The log-odds with which a model foretells the given labels, against a guess; never below 0.

    Examples
    --------
    >>> round(skill(np.array([0, 1, 1, 0]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])), 2)
    1.1
    """
    known = np.flatnonzero(codes != MISSING)
    right = min(float((probs[known].argmax(1) == codes[known]).mean()), 1.0 - 0.5 / max(1, len(known)))
    return max(0.0, float(np.log(max(right, 1e-12) / (1.0 - right)) + np.log(probs.shape[1] - 1)))


def pool(sources: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Several models' calibrated probabilities as one: the weighted mean of their logarithms.

    Parameters
    ----------
    sources : each (N, K), rows sum to 1
    weights : 0 or more, of each source; all equal where all are 0

    Returns
    -------
    (N, K) float32, rows sum to 1

    References
    ----------
    Genest, Zidek, "Combining probability distributions: a critique and an annotated bibliography", Statistical Science
    1986: the logarithmic opinion pool.

    Examples
    --------
    >>> pool([np.array([[0.9, 0.1]]), np.array([[0.1, 0.9]])], [1.0, 1.0]).round(2)
    array([[0.5, 0.5]], dtype=float32)
    """
    share = np.asarray(weights, dtype=np.float64)
    share = np.full(len(sources), 1.0) if not share.any() else share
    logs = sum(w * np.log(np.clip(p, SMALLEST, 1.0)) for w, p in zip(share / share.sum(), sources, strict=True))
    found = np.exp(logs - np.max(logs, axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float32)
