"""Finding wrong labels by several methods at once: what two ways of looking agree on is seldom an accident."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from errata.audit import neighbours as by_likeness
from errata.audit.confident import confident, require_two_classes
from errata.audit.crossval import CrossValidated, cross_validate
from errata.audit.folds import folds_of, groups_of
from errata.audit.predictors import Without, predictor_for
from errata.audit.progress import Show
from errata.audit.vouching import vouched_for
from errata.labels import MISSING, ClassLabels
from errata.ledger import Ledger
from errata.scores.ensemble import like, mixture_share, rank_average

__all__ = ["Opinion", "as_opinion", "audit", "by_neighbours", "combine", "from_signals", "weighed"]


SELF_CONFIDENCE = 0.75
"""The share of self-confidence in confident learning's places; the margin has the rest."""

FLOOR = 0.05
"""Votes beside those of the neighbours, shared by all classes: nobody's label has probability 0."""


@dataclass
class Opinion:
    """What one method says.

    Parameters
    ----------
    name : of the method; its places become the column ``<name>_place``
    ledger : its own
    score : (N,) rising with the trust, NaN without a label; by default the ledger's trust
    weight : of its places in the average, 0 or more; see ``weighed``
    """

    name: str
    ledger: Ledger
    score: np.ndarray | None = None
    weight: float = 1.0

    @property
    def places(self) -> np.ndarray:
        """(N,) in (0, 1): the share of rows that this method trusts less."""
        return rank_average([self.ledger.trust if self.score is None else self.score])


def audit(
    data: Any,
    *,
    model: Any = "auto",
    folds: int = 5,
    seed: int = 0,
    device: str = "auto",
    progress: Show = False,
    embeddings: Any = None,
    second_pass: bool | None = None,
    groups: Any = None,
    jobs: int | None = None,
    out: Any = None,
    **training: Any,
) -> Ledger:
    """Find wrong labels by confident learning, by neighbours and, where a network is trained, by its dynamics.

    Parameters
    ----------
    data : what ``errata.read`` returned, with labels
    model : what is cross-validated, as in ``errata.audit``
    groups : (N,) rows of one group stay in one fold; or the name of their column
    folds, seed, device, progress, jobs : as in ``errata.audit``
    out : a folder that keeps finished folds; not used for images without ``embeddings``
    embeddings : (N, D) numbers or the path of a ``.npy`` file, for the neighbours; by default features by the kind of
        data, and of networks what their last layer sees of the rows they were not trained on
    second_pass : cross-validate once more without the rows that the first pass flags, which muddle the models; by
        default where no network is trained
    **training : options of a network's training

    Returns
    -------
    Ledger
        trust has the order of the mean of the methods' ranks, and the distribution of confident learning's trust
    """
    labels = data.require_labels()
    require_two_classes(labels)
    predictor = predictor_for(data, model, seed, device, training)
    network = hasattr(predictor, "keep_embeddings")
    if network and embeddings is None and data.kind == "image":
        predictor.keep_embeddings, out = True, None  # what the networks saw is not kept with the folds
    groups = groups_of(data, groups)
    how = {"folds": folds, "seed": seed, "progress": progress, "groups": groups, "jobs": jobs, "out": out}
    twice = not network if second_pass is None else second_pass
    opinions, found = _confident(data, labels, predictor, twice, how)
    opinions = weighed([*opinions, by_neighbours(_alike(data, labels, predictor, embeddings, seed, device, how))])
    if network:
        opinions.append(_learning(data, model, seed, device, progress, training))
    ledger = combine(labels, opinions, index=data.rows)
    ledger.meta.update({**data.origin, "kind": data.kind, "model": predictor.description, "folds": folds, "seed": seed})
    ledger.meta.update({"probabilities": found.description, "notes": found.notes})
    ledger.data = data
    return vouched_for(ledger, found.pred_probs)


def from_signals(
    labels: ClassLabels, pred_probs: np.ndarray, embeddings: Any, *, seed: int = 0, index: np.ndarray | None = None
) -> Ledger:
    """The ensemble of what is at hand already: out-of-sample probabilities and embeddings. Nothing is trained.

    Parameters
    ----------
    labels : N labels with K classes
    pred_probs : (N, K), the columns in the order of the classes
    embeddings : (N, D) numbers in which distance means something, or the path of a ``.npy`` file
    seed : of the neighbours' draws
    index : (N,) row numbers in the data

    Raises
    ------
    DataError
        where numbers of rows differ
    """
    x = by_likeness.given_embeddings(embeddings, len(labels))
    opinions = [
        as_opinion("confident", confident(labels, pred_probs, index=index)),
        by_neighbours(by_likeness.neighbours(labels, x, seed=seed, index=index)),
    ]
    return vouched_for(combine(labels, weighed(opinions), index=index), pred_probs)


def combine(labels: ClassLabels, opinions: list[Opinion], *, index: np.ndarray | None = None) -> Ledger:
    """One ledger of several opinions, the last pass of confident learning (or else the first opinion) as the scale.

    Parameters
    ----------
    labels : N labels
    opinions : one or more, of the same rows
    index : (N,) row numbers in the data

    Examples
    --------
    >>> labels = ClassLabels.encode(["cat", "cat", "dog", "dog"])
    >>> one = Ledger([0, 0, 1, 1], [0, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], classes=["cat", "dog"])
    >>> two = Ledger([0, 0, 1, 1], [0, 0, 0, 0], [0.9, 0.7, 0.4, 0.3], classes=["cat", "dog"])
    >>> combine(labels, [Opinion("one", one), Opinion("two", two)]).table[["proposed", "trust", "issue"]]
      proposed  trust  issue
    0      cat    0.9  False
    1      cat    0.8  False
    2      dog    0.7  False
    3      cat    0.1   True
    """
    scale = next((o for o in reversed(opinions) if o.name.startswith("confident")), opinions[0]).ledger
    places = {o.name: o.places for o in opinions}
    weights = [o.weight for o in opinions]
    mean = rank_average(list(places.values()), weights if any(weights) else None)
    known = labels.codes != MISSING
    mean[~known] = np.nan
    trust = like(mean, scale.trust[known])
    proposed, votes = _proposals(labels.codes, scale, opinions)
    # as many issues as the scale's, among those rows for which anybody has another label
    number = int(scale.issue.sum())
    candidates = np.flatnonzero(known & (proposed != labels.codes) & (proposed != MISSING))
    issue = np.zeros(len(labels), dtype=bool)
    issue[candidates[np.argsort(mean[candidates], kind="stable")[:number]]] = True
    columns: dict[str, np.ndarray] = {f"{name}_place": v.astype(np.float32) for name, v in places.items()}
    columns["methods"] = votes
    for opinion in opinions:
        columns.update({name: v for name, v in opinion.ledger.columns.items() if name not in columns})
    return Ledger(
        labels.codes,
        np.where(issue | ~known, proposed, labels.codes),
        trust,
        classes=labels.classes,
        issue=issue,
        noise=scale.noise,
        columns=columns,
        index=index,
        meta={"method": "ensemble", "methods": [o.name for o in opinions]},
    )


def _proposals(codes: np.ndarray, scale: Ledger, opinions: list[Opinion]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) another label of each row by the scale, or else by the first that has one; (N,) how many methods flag it."""
    proposed = scale.proposed.copy()
    votes = np.zeros(len(codes), dtype=np.int8)
    for opinion in opinions:
        votes += opinion.ledger.issue
        open_rows = ((proposed == codes) | (proposed == MISSING)) & (opinion.ledger.proposed != MISSING)
        proposed[open_rows] = opinion.ledger.proposed[open_rows]
    return proposed, votes


# -- the methods -------------------------------------------------------------------------------------------------------


def _confident(
    data: Any, labels: ClassLabels, predictor: Any, second_pass: bool, how: Mapping[str, Any]
) -> tuple[list[Opinion], CrossValidated]:
    found = cross_validate(labels, predictor, **how)
    first = confident(labels, found.pred_probs, index=data.rows)
    opinions = [as_opinion("confident", first)]
    if second_pass and first.issue.any():
        again = cross_validate(labels, Without(predictor, first.issue, labels), **how)
        opinions.append(as_opinion("confident_again", confident(labels, again.pred_probs, index=data.rows)))
    return opinions, found


def as_opinion(name: str, ledger: Ledger) -> Opinion:
    """The opinion of ``errata.audit.confident.confident``.

    Self-confidence sees what belongs to no class, the margin what belongs to another one. People's mistakes are rather
    of the first kind, heavy noise of the second; both count.
    """
    scores = [ledger.columns["self_confidence"], ledger.columns["normalized_margin"]]
    return Opinion(name, ledger, rank_average(scores, (SELF_CONFIDENCE, 1.0 - SELF_CONFIDENCE)))


def by_neighbours(ledger: Ledger) -> Opinion:
    """The opinion of ``errata.audit.neighbours.neighbours``."""
    return Opinion("neighbours", ledger)


def weighed(opinions: list[Opinion]) -> list[Opinion]:
    """How much the places of the first pass and of the neighbours count, together as much as any further training.

    Both look at the same rows with the same labels, so they share one vote: as much of it is the neighbours' as they
    have in the mixture of both methods' predictions that makes the given labels most probable. Where the probabilities
    are those of a good network and the embedding is poor, that is next to nothing.

    Parameters
    ----------
    opinions : the first is confident learning's, the last is the neighbours'
    """
    first, near = opinions[0], opinions[-1]
    votes = near.ledger.columns["agreement"].astype(np.float64)
    classes = max(2, len(first.ledger.classes))
    share = mixture_share(first.ledger.columns["self_confidence"], (votes + FLOOR / classes) / (1.0 + FLOOR))
    return [replace(first, weight=share), *opinions[1:-1], replace(near, weight=1.0 - share)]


def _alike(
    data: Any,
    labels: ClassLabels,
    predictor: Any,
    embeddings: Any,
    seed: int,
    device: str,
    how: Mapping[str, Any],
) -> Ledger:
    made = getattr(predictor, "embeddings", None)
    if made is not None:
        fold = folds_of(labels, how["folds"], seed, how["groups"])
        return by_likeness.neighbours(labels, _centred(made, fold), within=fold, seed=seed, index=data.rows)
    plain = "auto" if data.kind != "image" else "pca"
    x, within, _ = by_likeness.embedded(data, plain, embeddings, seed, device, lambda _: None, {})
    return by_likeness.neighbours(labels, x, within=within, seed=seed, index=data.rows)


def _centred(x: np.ndarray, fold: np.ndarray) -> np.ndarray:
    found = x.copy()
    for number in np.unique(fold):
        found[fold == number] -= found[fold == number].mean(axis=0)
    return found


def _learning(data: Any, model: Any, seed: int, device: str, progress: Show, training: Mapping[str, Any]) -> Opinion:
    """The same network watched while it trains."""
    from errata.audit import dynamics

    ledger = dynamics.audit(data, model=model, seed=seed, device=device, progress=progress, **training)
    return Opinion("dynamics", ledger, ledger.columns["learning_margin"])
