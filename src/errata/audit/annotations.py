"""Several people's labels per item: a consensus, how sure it is, who is reliable, and what to ask once more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.audit.progress import Progress, Show
from errata.errors import DataError
from errata.labels import MISSING, ClassLabels
from errata.ledger import Ledger, Noise
from errata.scores import annotators as scores

__all__ = ["audit"]


def audit(
    annotations: Any,
    *,
    item: str = "item",
    annotator: str = "annotator",
    label: str | None = None,
    aggregate: str = "dawid-skene",
    classes: Sequence[Any] | None = None,
    seed: int = 0,
    progress: Show = True,
) -> Ledger:
    """Bring several people's labels of the same items to one, and say how far it can be trusted.

    Parameters
    ----------
    annotations : a table with a row per label that somebody gave: a DataFrame, a mapping of columns, or the path of a
        .csv, .tsv, .jsonl (also .gz) or .parquet file
    item, annotator, label : its columns; "label" by default
    aggregate : how the consensus comes about: "majority", "dawid-skene", "glad", "mace" (see
        ``errata.scores.annotators.consensus``); all but "majority" need the extra ``crowd``
    classes : the class names, where more exist than occur
    seed : of "mace"
    progress : see ``errata.audit``

    Returns
    -------
    Ledger
        A row per item, in the order in which the items first occur. ``given`` is what most people said, ``proposed``
        the consensus of the model, ``trust`` its probability of the majority's label. Columns: ``item``, ``opinions``
        (how many), ``agreement`` (share of pairs that agree; NaN for one opinion), ``consensus_probability``, and
        ``another_opinion``, in [0, 1]: what one more label is expected to tell (1: all that can be told). An item whose
        labels are all missing has none.
        ``meta["annotators"]`` is a list with a dict per person: ``annotator``, ``labels``, ``quality`` (how probably
        the person's labels are right, judged on items that others labelled too), ``agreement`` (with the other votes).

    Raises
    ------
    DataError
        where an item or annotator is missing in a row, or there are fewer than two annotators or classes
    UnknownNameError
        for a column or an aggregate that does not exist; the nearest is told
    MissingExtraError
        where crowd-kit is needed and not installed

    Examples
    --------
    >>> table = {"item": ["a", "a", "a", "b", "b"], "annotator": [1, 2, 3, 1, 2], "label": ["x", "x", "y", "y", "y"]}
    >>> ledger = audit(table, aggregate="majority")
    >>> ledger.table[["item", "given", "opinions", "another_opinion"]].round(2)
      item given  opinions  another_opinion
    0    a     x         3             0.19
    1    b     y         2             0.10
    """
    table = _read(annotations, item, annotator, "label" if label is None else label, classes)
    votes = table.votes
    counts = scores.vote_counts(votes)
    given = scores.majority_label(counts)
    known = given != MISSING
    with Progress(progress, f"consensus of {votes.num_annotators:,} annotators ({aggregate})", total=1) as bar:
        probabilities = scores.consensus(votes, aggregate, seed=seed)
        bar.advance()
    proposed = _proposed(given, probabilities)
    confusion = scores.confusion_of_annotators(votes, probabilities)
    trust = np.where(known, probabilities[np.arange(len(given)), given], np.nan)
    return Ledger(
        given,
        proposed,
        np.clip(trust, 0.0, 1.0),
        classes=table.classes,
        noise=_noise(given, probabilities),
        columns={
            "item": table.items,
            "opinions": counts.sum(axis=1),
            "agreement": scores.agreement(counts),
            "consensus_probability": np.where(known, probabilities.max(axis=1), np.nan),
            "another_opinion": np.where(known, scores.value_of_another(probabilities, confusion), 1.0),
        },
        meta={
            "method": "annotations",
            "aggregate": aggregate,
            **table.origin,
            "annotations": len(votes.item),
            "agreement": _rounded(scores.krippendorff_alpha(counts)),
            "annotators": _people(table, counts, probabilities),
            "notes": table.notes,
        },
    )


def _proposed(given: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(N,) the most probable label, of equally probable ones that which was given; -1 without an opinion."""
    proposed = np.where(given != MISSING, probabilities.argmax(axis=1), MISSING)
    rows = np.flatnonzero(given != MISSING)
    tie = probabilities[rows, given[rows]] >= probabilities[rows].max(axis=1)
    proposed[rows[tie]] = given[rows[tie]]
    return proposed


@dataclass(frozen=True)
class _Table:
    """The votes with the names behind their codes."""

    votes: scores.Votes
    items: np.ndarray
    people: list[Any]
    classes: list[Any]
    notes: list[str]
    origin: dict[str, Any]


def _read(annotations: Any, item: str, annotator: str, label: str, classes: Sequence[Any] | None) -> _Table:
    from errata.data.plain import column_values, read_plain

    content = read_plain(annotations)
    items, item_names = _codes(column_values(content, item, "column of items"), item, content.source)
    people, names = _codes(column_values(content, annotator, "column of annotators"), annotator, content.source)
    labels = ClassLabels.encode(column_values(content, label, "column of labels"), classes, name=label)
    kept, notes = _kept(items, people, labels.codes)
    votes = scores.Votes(
        items[kept], people[kept], labels.codes[kept], len(item_names), len(names), len(labels.classes)
    )
    _require_several(votes, names.tolist(), labels)
    origin = {"source": content.source, "label": label}
    if isinstance(annotations, (str, os.PathLike)):
        origin["source_path"] = os.path.abspath(os.path.expanduser(annotations))
    return _Table(votes, item_names, names.tolist(), labels.classes, notes, origin)


def _codes(values: np.ndarray, name: str, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes in the order of first appearance, and what they stand for."""
    import pandas as pd

    codes, found = pd.factorize(pd.Series(values))
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise DataError(
            f"{source}: row {row} has nothing in the column '{name}' ({int((codes < 0).sum()):,} such rows in all). "
            "Every label must say which item it belongs to and who gave it; fill the column, or leave the rows out."
        )
    names = np.asarray(found)
    return codes.astype(np.int64), names if names.dtype.kind in "iub" else np.asarray(names, dtype=object)


def _kept(items: np.ndarray, people: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The rows that count: with a label, and each person's label of an item once."""
    notes = []
    present = labels != MISSING
    if not present.all():
        notes.append(f"{int((~present).sum()):,} rows without a label were left out.")
    rows = np.flatnonzero(present)
    order = rows[np.lexsort((rows, labels[rows], people[rows], items[rows]))]
    same_pair = (items[order][1:] == items[order][:-1]) & (people[order][1:] == people[order][:-1])
    repeated = np.append(False, same_pair & (labels[order][1:] == labels[order][:-1])) if len(order) else same_pair
    if repeated.any():
        notes.append(f"{int(repeated.sum()):,} labels that a person gave an item a second time were counted once.")
    changed = int(same_pair.sum()) - int(repeated.sum())
    if changed:
        notes.append(f"{changed:,} times a person gave an item another label than before; all of them were counted.")
    return np.sort(order[~repeated]), notes


def _require_several(votes: scores.Votes, names: list[Any], labels: ClassLabels) -> None:
    people = np.unique(votes.annotator)
    if len(people) < 2:
        raise DataError(
            f"Expected labels by at least two annotators; all {len(votes.item):,} are by {names[people[0]]!r}. "
            "With one label per item use errata.audit(source, label=...)."
        )
    if len(np.unique(votes.label)) < 2:
        raise DataError(
            f"Expected labels of at least two classes; all {len(votes.item):,} are {labels.classes[votes.label[0]]!r}. "
            "There is nothing to disagree about."
        )


def _noise(given: np.ndarray, probabilities: np.ndarray) -> Noise:
    """How the majority's labels and the true ones go together, as far as the consensus knows."""
    k = probabilities.shape[1]
    joint = np.zeros((k, k))
    for code in range(k):
        joint[:, code] = probabilities[given == code].sum(axis=0)
    return Noise(joint / max(joint.sum(), 1e-12))


def _people(table: _Table, counts: np.ndarray, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """What is known of each person, the one with the most labels first."""
    votes = table.votes
    labels = np.bincount(votes.annotator, minlength=votes.num_annotators)
    quality = scores.annotator_quality(votes, probabilities)
    others = counts.sum(axis=1)[votes.item] - 1
    same = counts[votes.item, votes.label] - 1
    pairs = np.bincount(votes.annotator, weights=others, minlength=votes.num_annotators)
    agreeing = np.bincount(votes.annotator, weights=same, minlength=votes.num_annotators)
    share = np.divide(agreeing, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return [
        {
            "annotator": table.people[a],
            "labels": int(labels[a]),
            "quality": _rounded(quality[a]),
            "agreement": _rounded(share[a]),
        }
        for a in np.argsort(-labels, kind="stable").tolist()
    ]


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
