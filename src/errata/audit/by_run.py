"""Finding wrong labels with a model that was trained elsewhere: a run judges rows that it has never seen.

A model that learned from other rows is evidence of its own about these labels: nothing of theirs is in it, so no
cross-validation is needed. Where probabilities are given too, which other models made, all are heard: the logarithms of
their probabilities are added up, each with a weight of its own, and the weights are those that make the given labels
most probable. That calibrates a single source (its weight is one over a temperature), and it leaves a source out that
adds nothing. Wrong labels are few among the right ones, or nothing could be found; and no weight knows which they are.

What a run says is two sources: its probabilities, and the labels of the rows that its network takes for similar (the
inputs of its last layer); the latter adapt to rows that the network was not trained on.

A run that has learned what people say who looked again is a case of its own: ``errata.audit.second_look``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit import second_look
from errata.audit.align import align
from errata.audit.confident import confident, require_two_classes
from errata.audit.crossval import SMALLEST
from errata.audit.progress import Progress, Show
from errata.errors import DataError, LoadError, ParameterError
from errata.labels import MISSING, ClassLabels
from errata.scores.neighbours import nearest

if TYPE_CHECKING:
    from errata.data import Data
    from errata.engine.run import Run
    from errata.ledger import Ledger

__all__ = [
    "Seen",
    "audit",
    "from_sources",
    "load_run",
    "pool",
    "pool_weights",
    "read_for",
    "view",
    "votes",
]

AT_ONCE = 512
CHUNK = 65_536
SAMPLE = 20_000
"""Rows that the weights are found from."""
MOST_WEIGHT = 10.0
VOTERS = 20
MOST_ALIKE = 200_000
"""Rows above which nobody's neighbours are looked for: every row is compared with every other."""


def audit(
    source: Any,
    y: Any = None,
    *,
    run: str | Path | Run,
    label: Any = None,
    pred_probs: Any = None,
    classes: Sequence[Any] | None = None,
    given_column: str | None = None,
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
    given_column : where the run was trained on better labels, such as those of people who looked again: the column of
        its data with the labels that had been given before, made like those to be checked. How the two differ says
        which classes are taken for one another. Not with ``pred_probs``.
    model : where the run was trained on a network of your own, a network of the same build; else "auto"
    seed : not used; nothing is drawn at random
    device, progress : as in ``errata.audit``
    **reading : options of ``errata.read``

    Returns
    -------
    Ledger
        as that of the method "ensemble"; with ``vouched``, from the pooled probabilities

    Raises
    ------
    ParameterError
        where the run was trained on this very source; for ``given_column`` where its data can't be read any more
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
    runs = [load_run(one, model, device) for one in (run if isinstance(run, (list, tuple)) else [run])]
    data = _read(runs[0], source, y, label, reading)
    for one in runs:
        _require_other_rows(one, data)
    labels, given = _labels(data, runs[0], pred_probs, classes)
    require_two_classes(labels)
    if given_column is not None and given is not None:
        raise ParameterError("With given_column= the run alone judges; leave out given_column= or pred_probs=.")
    slips = None if given_column is None else second_look.slips_of(runs, given_column, labels.classes)
    sources = [] if given is None else [given]
    with Progress(progress, "predicting with the run", float(len(runs))) as bar:
        for one in runs:
            seen = view(one, data, bar.advance)
            sources.append(seen.probabilities[:, _columns(one, labels)])
            if slips is None and seen.embeddings is not None and len(labels) <= MOST_ALIKE:
                sources.append(votes(labels, seen.embeddings))
    if slips is None:
        ledger = from_sources(labels, sources, index=data.rows)
    else:
        probs = pool(sources, np.full(len(sources), 1.0 / len(sources)))
        ledger = second_look.from_slips(labels, probs, slips, index=data.rows)
        ledger.meta["given_column"] = given_column
    what = " and ".join([*(["the probabilities given"] if given is not None else []), *map(_name, runs)])
    ledger.meta.update({**data.origin, "kind": data.kind, "probabilities": what})
    ledger.data = data
    return ledger


def from_sources(labels: ClassLabels, sources: Sequence[np.ndarray], *, index: np.ndarray | None = None) -> Ledger:
    """The ledger of labels and what several sources say of them, each (N, K) out-of-sample probabilities.

    Examples
    --------
    >>> labels = ClassLabels(np.arange(60) % 2, ["a", "b"])
    >>> probs = np.eye(2)[np.arange(60) % 2] * 0.8 + 0.1
    >>> probs[7] = [0.9, 0.1]
    >>> from_sources(labels, [probs, probs]).issues()[["given", "proposed"]]
      given proposed
    7     b        a
    """
    from errata.audit.ensemble import as_opinion, combine
    from errata.audit.vouching import vouch

    weights = pool_weights(labels.codes, sources)
    probs = pool(sources, weights)
    first = confident(labels, probs, index=index)
    ledger = combine(labels, [as_opinion("confident", first)], index=index)
    ledger.meta.update({"method": "run", "weights": [round(float(w), 4) for w in weights]})
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
    probabilities : (N, K) float32, in the order of the run's classes; of images the mean of an image and its mirror
        image, where the run was trained with mirrored ones
    embeddings : (N, D) float32, what the network's last layer takes in; None where it has none
    """

    probabilities: np.ndarray
    embeddings: np.ndarray | None


def view(run: Run, data: Data, advance: Callable[[float], None] = lambda share: None) -> Seen:
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
    from torch import nn

    from errata.engine.evaluation import pieces, predict_proba
    from errata.engine.fit import resolve_device

    how: dict[str, Any] = {"device": resolve_device(run.device), "precision": run.about.get("precision")}
    inputs = run.encoder.encode(data)
    mirrored = bool(getattr(run.encoder.views(), "flip", False))
    linear = [layer for layer in run.system.model.modules() if isinstance(layer, nn.Linear)]
    looks: list[Any] = []
    hook = linear[-1].register_forward_pre_hook(lambda _, got: looks.append(got[0].flatten(1))) if linear else None
    probs, parts = np.empty((len(inputs), len(run.classes)), dtype=np.float32), []
    try:
        for start, part in pieces(inputs, AT_ONCE):
            looks.clear()
            rows = slice(start, start + len(part))
            probs[rows] = predict_proba(run.system, part, **how)
            if mirrored:  # a label does not depend on left and right, and two looks are better than one
                probs[rows] = (probs[rows] + predict_proba(run.system, part.flip(-1), **how)) / 2
            if looks:
                parts.append(sum(look.float() for look in looks).cpu().numpy() / len(looks))
            advance(len(part) / len(inputs))
    finally:
        if hook is not None:
            hook.remove()
    return Seen(probs, np.concatenate(parts) if parts else None)


def votes(labels: ClassLabels, embeddings: np.ndarray) -> np.ndarray:
    """(N, K) float32, the shares of the classes among the labels of the most similar rows, the row itself not counted.

    Examples
    --------
    >>> angle = np.r_[np.linspace(0, 0.2, 30), np.linspace(1.3, 1.5, 30)]
    >>> given = ClassLabels.encode(["low"] * 30 + ["high"] * 30)
    >>> votes(given, np.c_[np.cos(angle), np.sin(angle)])[0].round(2)
    array([0.02, 0.98], dtype=float32)
    """
    classes = len(labels.classes)
    graph = nearest(embeddings, VOTERS, among=labels.codes != MISSING)
    cells = np.arange(len(labels))[:, None] * classes + labels.codes[graph.index]
    there = graph.similarity != 0  # where rows are few, a row's own number fills the places left
    counts = np.bincount(cells[there], minlength=len(labels) * classes).reshape(len(labels), classes)
    found = (counts + 1.0 / classes) / (counts.sum(axis=1, keepdims=True) + 1.0)
    return np.asarray(found, dtype=np.float32)


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


def pool_weights(codes: np.ndarray, sources: Sequence[np.ndarray]) -> np.ndarray:
    """The weights of several models' log-probabilities that make the given labels most probable, none below 0.

    Parameters
    ----------
    codes : (N,) given labels in [0, K), -1 where missing
    sources : S arrays (N, K), out-of-sample probabilities

    Returns
    -------
    (S,) float64 in [0, 10]; of a single source one over its temperature, of a source that adds nothing 0

    References
    ----------
    Genest, Zidek, "Combining probability distributions: a critique and an annotated bibliography", Statistical Science
    1986: the logarithmic opinion pool; its weights by likelihood, as in stacking (Wolpert 1992).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> codes = rng.integers(0, 2, 1000)
    >>> known = np.where(rng.random(1000) < 0.9, codes, 1 - codes)  # right in nine of ten
    >>> knows, guesses = np.where(np.eye(2)[known] > 0, 0.9, 0.1), rng.dirichlet([1.0, 1.0], 1000)
    >>> knowing, guessing = pool_weights(codes, [knows, guesses])
    >>> bool(0.9 < knowing < 1.2), bool(guessing < 0.15)
    (True, True)
    """
    from scipy.optimize import minimize

    rows = np.flatnonzero(codes != MISSING)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(np.int64))]
    logs = np.stack([np.log(np.clip(p[rows].astype(np.float64), SMALLEST, 1.0)) for p in sources])  # (S, n, K)
    own = logs[:, np.arange(len(rows)), codes[rows]]  # (S, n)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        total = np.tensordot(weights, logs, axes=1)
        top = total.max(axis=1, keepdims=True)
        chance = np.exp(total - top)
        mass = chance.sum(axis=1, keepdims=True)
        value = (np.log(mass[:, 0]) + top[:, 0] - weights @ own).mean()
        expected = np.einsum("nk,snk->sn", chance / mass, logs)
        return float(value), (expected - own).mean(axis=1)

    start = np.full(len(sources), 1.0 / len(sources))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, MOST_WEIGHT)] * len(sources))
    return np.asarray(found.x if found.x.any() else start)


def pool(sources: Sequence[np.ndarray], weights: Any) -> np.ndarray:
    """Several models' probabilities as one, by the weighted sum of their logarithms.

    Parameters
    ----------
    sources : S arrays (N, K)
    weights : (S,) 0 or more

    Returns
    -------
    (N, K) float32, rows sum to 1

    Examples
    --------
    >>> pool([np.array([[0.9, 0.1]]), np.array([[0.1, 0.9]])], [1.0, 1.0]).round(2)
    array([[0.5, 0.5]], dtype=float32)
    """
    found = np.empty(sources[0].shape, dtype=np.float32)
    for start in range(0, len(found), CHUNK):
        part = slice(start, start + CHUNK)
        logs = sum(w * np.log(np.clip(p[part], SMALLEST, 1.0)) for w, p in zip(weights, sources, strict=True))
        odds = np.exp(logs - np.max(logs, axis=1, keepdims=True))
        found[part] = odds / odds.sum(axis=1, keepdims=True)
    return found
