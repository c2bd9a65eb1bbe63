"""Finding wrong labels by what is alike: no model has to be trained where features are at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from errata.audit.confident import require_two_classes
from errata.audit.progress import Progress, Show
from errata.audit.trust import shifted_odds
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.labels import MISSING, ClassLabels
from errata.ledger import Ledger, Noise
from errata.scores.consensus import MOST_CLASSES
from errata.scores.neighbours import Neighbours, agreement, consensus, nearest, share_right, solve_consensus
from errata.scores.simifeat import RULES, simifeat

__all__ = ["audit", "embedded", "neighbours"]

VOTERS = 20
"""Neighbours whose labels make the trust."""

K = 10
"""Rows that vote in a round of SimiFeat, the row itself included."""

SLOPE = 2.0
"""Power of the odds of the votes: neighbours are chosen by likeness and err together less than their number says."""

COMPONENTS = 200  # of words, after which little is left
PIXEL_COMPONENTS = 100
FARTHEST = 5.0  # standard deviations: one wild number must not make all else alike


def audit(
    data: Any,
    *,
    model: Any = "auto",
    folds: int = 5,
    seed: int = 0,
    device: str = "auto",
    progress: Show = False,
    embeddings: Any = None,
    flag_by: str = "vote",
    k: int = K,
    **training: Any,
) -> Ledger:
    """Find the labels that a row's neighbours contradict.

    Parameters
    ----------
    data : what ``errata.read`` returned, with labels
    model : what makes the features, where they are not given: "auto" (of texts the main components of their words, of
        tables the standardised numbers, of images a small network trained on one half of the rows and shown the other,
        and the reverse); "pca" (main components of pixels or numbers, nothing trained); the name of a model
        of ``errata.models``, trained by halves too; or a trained network, taken as it is
    folds : not used; the halves are two
    seed, device, progress : as in ``errata.audit``
    embeddings : (N, D) numbers, or the path of a ``.npy`` file of them: nothing is trained then
    flag_by : which rows are issues: "vote" (SimiFeat-V) or "rank" (SimiFeat-R)
    k : rows that vote in SimiFeat, the row itself included; 3 or more
    **training : ``epochs``, ``batch_size`` and hyper-parameters, where a network is trained

    Returns
    -------
    Ledger
        with the columns ``agreement`` (share of the neighbours' votes for the given label), ``neighbour_margin``,
        ``simifeat`` (share of the rounds that flagged the row) and ``nearest`` (number of the most similar row)
    """
    labels = data.require_labels()
    require_two_classes(labels)
    with Progress(progress, "features and neighbours", total=2.0) as bar:
        x, within, what = embedded(data, model, embeddings, seed, device, bar.advance, training)
        ledger = neighbours(
            labels, x, within=within, flag_by=flag_by, k=k, seed=seed, index=data.rows, advance=bar.advance
        )
    ledger.meta.update({**data.origin, "kind": data.kind, "model": what, "seed": seed})
    ledger.data = data
    return ledger


def neighbours(
    labels: ClassLabels,
    features: np.ndarray,
    *,
    within: np.ndarray | None = None,
    flag_by: str = "vote",
    k: int = K,
    seed: int = 0,
    index: np.ndarray | None = None,
    advance: Callable[[float], None] | None = None,
) -> Ledger:
    """The ledger of labels and features; see :func:`audit`.

    Parameters
    ----------
    labels : N labels of K classes
    features : (N, D) numbers
    within : (N,) int, rows are compared with rows of the same number only
    flag_by, k, seed : see :func:`audit`
    index : (N,) row numbers in the data

    Examples
    --------
    >>> angle = np.r_[np.linspace(0, 0.2, 12), np.linspace(1.3, 1.5, 12)]
    >>> given = ["low"] * 12 + ["high"] * 12
    >>> given[3] = "high"
    >>> ledger = neighbours(ClassLabels.encode(given), np.c_[np.cos(angle), np.sin(angle)])
    >>> ledger.issues()[["given", "proposed"]]
      given proposed
    3  high      low
    """
    if flag_by not in RULES:
        raise UnknownNameError("way to flag rows (flag_by)", flag_by, RULES)
    codes = labels.codes
    places = np.arange(len(codes)) if index is None else np.asarray(index)
    drawn = max(VOTERS, int(1.5 * k / 0.9) + 2)  # SimiFeat passes over the rows that a round leaves out
    graph = nearest(features, drawn, among=codes != MISSING, within=within, advance=advance)
    votes = agreement(graph, codes, k=VOTERS)
    noise, right = _noise(graph, codes, votes.predicted, len(labels.classes))
    found = simifeat(graph, codes, rule=flag_by, k=k, right=right, seed=seed)
    proposed = np.where(found.issues, found.proposed, codes)
    alone = found.issues & (proposed == codes)  # flagged by rank, though its own label leads: the rival is proposed
    proposed[alone] = _rivals(graph, codes, np.flatnonzero(alone))
    proposed[codes == MISSING] = votes.predicted[codes == MISSING]
    margin = np.where(codes == MISSING, np.float32(np.nan), votes.margin).astype(np.float32)
    return Ledger(
        codes,
        proposed,
        shifted_odds(margin, noise.rate, slope=SLOPE),
        classes=labels.classes,
        issue=found.issues & (proposed != codes) & (proposed != MISSING),
        noise=noise,
        columns={
            "agreement": votes.own,
            "neighbour_margin": margin,
            "simifeat": found.flagged,
            "nearest": places[graph.index[:, 0]],
        },
        index=index,
        meta={"method": "neighbours", "flag_by": flag_by, "neighbours": VOTERS, "k": k},
    )


def _noise(graph: Neighbours, codes: np.ndarray, predicted: np.ndarray, classes: int) -> tuple[Noise, np.ndarray]:
    """The noise, and the share of right labels of each given class: by HOC, or of very many classes by counting."""
    known = codes != MISSING
    given = np.bincount(codes[known], minlength=classes) / known.sum()
    if classes <= MOST_CLASSES:
        transition, prior = solve_consensus(*consensus(graph.index, codes, classes))
        return Noise(transition * prior[:, None]), share_right(transition, prior, given)
    both = known & (predicted != MISSING)
    right = np.bincount(codes[both & (predicted == codes)], minlength=classes) / np.maximum(
        1, np.bincount(codes[both], minlength=classes)
    )
    pairs = np.bincount(predicted[both].astype(np.int64) * classes + codes[both], minlength=classes**2)
    return Noise(pairs.reshape(classes, classes) / max(1, pairs.sum())), right


def _rivals(graph: Neighbours, codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """For some rows the label of the most similar row that has another one than they; their own where there is none."""
    labels = codes[graph.index[rows]]
    other = (labels != codes[rows][:, None]) & (labels != MISSING)
    first = other.argmax(axis=1)
    return np.where(other.any(axis=1), labels[np.arange(len(rows)), first], codes[rows])


# -- features ---------------------------------------------------------------------------------------------------------


def embedded(
    data: Any,
    model: Any,
    embeddings: Any,
    seed: int,
    device: str,
    advance: Callable[[float], None],
    training: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Features (N, D) of the data; the parts within which they can be compared, where there are such; what they are."""
    import torch

    if embeddings is not None:
        return given_embeddings(embeddings, len(data.rows)), None, "embeddings as given"
    if isinstance(model, torch.nn.Module):
        return _of_network(data, model, seed, device)
    if not isinstance(model, str):
        raise ParameterError(
            "For method 'neighbours' model must be 'auto', 'pca', the name of a model, or a trained torch.nn.Module; "
            f"got {type(model).__name__}. Features of another kind go into embeddings=."
        )
    if model == "pca" or (model == "auto" and data.kind != "image"):
        if training:
            raise UnknownNameError(
                "option of method 'neighbours'", next(iter(training)), ["embeddings", "flag_by", "k"]
            )
        advance(1.0)
        return _plain(data, seed, components=model == "pca")
    return _by_halves(data, model, seed, device, advance, training)


def given_embeddings(embeddings: Any, rows: int) -> np.ndarray:
    """Embeddings as an array (N, D), from one, a tensor or the path of a ``.npy`` file; of as many rows as there are.

    Raises
    ------
    DataError
        where they are not that, or not numbers
    """
    if isinstance(embeddings, (str, os.PathLike)):
        path = Path(embeddings)
        if not path.exists():
            raise DataError(f"There is no file {path}; embeddings is a .npy file or an array (N, D).")
        try:
            embeddings = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise DataError(f"{path} is not a .npy file of numbers ({error}). Save it with numpy.save.") from error
    elif hasattr(embeddings, "detach"):
        embeddings = embeddings.detach().float().cpu().numpy()
    table = np.asarray(embeddings)
    if table.ndim != 2 or len(table) != rows:
        raise DataError(
            f"Expected embeddings of shape ({rows:,}, D), a row for each row of the data; got {table.shape}."
        )
    return table


def _plain(data: Any, seed: int, components: bool) -> tuple[np.ndarray, None, str]:
    """Features that nothing is trained for."""
    from errata.audit.predictors import bag_of_words, features_of

    if data.kind == "text":
        words = bag_of_words(data.texts())
        return _main_components(words, COMPONENTS, seed), None, "main components of words and pairs of words"
    x = np.asarray(features_of(data), dtype=np.float32)
    if data.kind == "image" or components:
        return _main_components(x - x.mean(axis=0), PIXEL_COMPONENTS, seed), None, "main components"
    return np.clip(x, -FARTHEST, FARTHEST), None, "standardised columns"


def _main_components(x: Any, most: int, seed: int) -> np.ndarray:
    from sklearn.decomposition import TruncatedSVD

    number = min(most, min(x.shape) - 1)
    if number < 2:
        return np.asarray(x.toarray() if hasattr(x, "toarray") else x, dtype=np.float32)
    return np.asarray(TruncatedSVD(number, random_state=seed).fit_transform(x), dtype=np.float32)


def _of_network(data: Any, model: Any, seed: int, device: str) -> tuple[np.ndarray, None, str]:
    from errata import systems
    from errata.audit.networks import NetworkFolds

    folds = NetworkFolds(data, model, seed=seed, device=device)
    system = systems.load("ce")(model, len(folds.labels.classes), 1, views=folds.encoder.views())
    return folds.embed(system, np.arange(len(data.rows))), None, f"last layer of {type(model).__name__}"


def _by_halves(
    data: Any, model: str, seed: int, device: str, advance: Callable[[float], None], training: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray, str]:
    """Each half seen by a network trained on the other: what the features tell of a row does not come from its label.

    The spaces of two networks have nothing in common, so rows are compared within their half only.
    """
    from errata.audit.crossval import fold_of
    from errata.audit.networks import NetworkFolds

    options = {name: training[name] for name in ("epochs", "batch_size", "precision") if name in training}
    settings = {name: value for name, value in training.items() if name not in options}
    folds = NetworkFolds(data, model, settings=settings, seed=seed, device=device, **options)
    codes = folds.labels.codes
    half = fold_of(codes, 2, seed)
    parts = []
    for number in range(2):
        system = folds.train(
            np.flatnonzero((half != number) & (codes != MISSING)), number, lambda share: advance(share / 2)
        )
        parts.append(folds.embed(system, np.flatnonzero(half == number)))
    x = np.empty((len(codes), parts[0].shape[1]), dtype=np.float32)
    for number, part in enumerate(parts):
        x[half == number] = part - part.mean(axis=0)
    return x, half, f"last layer of {folds.description}, each half seen by one trained on the other"
