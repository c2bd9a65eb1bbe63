"""Several people's labels per item: a consensus, how sure it is, who is reliable, and what to ask once more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.earlier_votes import Earlier, read_earlier
from errata.audit.progress import Progress, Show
from errata.errors import DataError
from errata.labels import MISSING, ClassLabels
from errata.ledger import Ledger, Noise
from errata.scores import annotators as scores
from errata.scores.late_votes import brought_up_to_date

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["audit"]


def audit(
    annotations: Any,
    *,
    item: str = "item",
    annotator: str = "annotator",
    label: str | None = None,
    aggregate: str = "dawid-skene",
    earlier: Any = None,
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
    earlier : the ledger of an audit by "majority" or "dawid-skene", or its folder; ``annotations`` then holds only the
        labels given since, also of new items, by new people, of new classes. Only items with new labels are judged
        again; how sure a consensus is (its temperature) is taken from the earlier audit.
    classes : the class names, where more exist than occur
    seed : of "mace"
    progress : see ``errata.audit``

    Returns
    -------
    Ledger
        A row per item, in the order in which the items first occur. ``given`` is what most people said, ``proposed``
        the consensus of the model, ``trust`` its probability of the majority's label. Columns: ``item``, ``opinions``
        (how many), ``agreement`` (share of pairs that agree; NaN for one opinion), ``consensus_probability``,
        ``probabilities`` (K, of the classes) and ``another_opinion``, in [0, 1]: what one more label is expected to
        tell (1: all that can be told; ``errata queue`` asks in its order). An item whose labels are all missing has
        none. ``parts`` has a row per opinion, with ``annotator``; its trust is the consensus' probability of it.
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
    table = _read(annotations, item, annotator, "label" if label is None else label, classes, earlier)
    votes = table.votes
    counts = scores.vote_counts(votes)
    given = scores.majority_label(counts)
    known = given != MISSING
    aggregate = aggregate if table.before is None else table.before.aggregate
    with Progress(progress, f"consensus of {votes.num_annotators:,} annotators ({aggregate})", total=1) as bar:
        probabilities, temperature = _consensus(table, aggregate, seed)
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
            "probabilities": probabilities.astype(np.float32),
        },
        meta={
            "task": "annotations",
            "method": "annotations",
            "aggregate": aggregate,
            "temperature": temperature,
            **table.origin,
            "annotations": len(votes.item),
            "agreement": _rounded(scores.krippendorff_alpha(counts)),
            "annotators": _people(table, counts, probabilities),
            "notes": table.notes,
        },
        parts=_opinions(table, probabilities, proposed),
    )


def _consensus(table: _Table, aggregate: str, seed: int) -> tuple[np.ndarray, float]:
    """(N, K) and the temperature that is in it: from all votes, or from those that are new and what was known."""
    votes, before = table.votes, table.before
    if before is not None and aggregate == "dawid-skene":
        # the earlier probabilities as the model had them, before they were tempered
        sharp = scores.tempered(before.probabilities, 1 / before.temperature)
        found = brought_up_to_date(votes, table.late, sharp)
        touched = np.unique(votes.item[table.late])
        probabilities = before.probabilities.copy()
        probabilities[touched] = scores.tempered(found[touched], before.temperature)
        return probabilities, before.temperature
    found = scores.consensus(votes, aggregate, seed=seed, temper=False)
    temperature = 1.0 if aggregate == "majority" else scores.vote_temperature(votes, found)
    return scores.tempered(found, temperature), temperature


def _opinions(table: _Table, probabilities: np.ndarray, proposed: np.ndarray) -> pd.DataFrame:
    """A finer row per opinion: who said what of which item, and how probable the consensus finds it."""
    import pandas as pd

    votes = table.votes
    trust = probabilities[votes.item, votes.label].astype(np.float32)
    rank = np.empty(len(trust), dtype=np.int64)
    rank[np.argsort(trust, kind="stable")] = np.arange(len(trust))
    names = pd.Index(table.classes)
    return pd.DataFrame(
        {
            "row": votes.item,
            "annotator": pd.Categorical.from_codes(votes.annotator, categories=pd.Index(table.people)),
            "given": pd.Categorical.from_codes(votes.label, categories=names),
            "proposed": pd.Categorical.from_codes(proposed[votes.item], categories=names),
            "trust": trust,
            "issue": votes.label != proposed[votes.item],
            "rank": rank,
        }
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
    """The votes with the names behind their codes; which of them came late, and what was known before they did."""

    votes: scores.Votes
    items: np.ndarray
    people: list[Any]
    classes: list[Any]
    notes: list[str]
    origin: dict[str, Any]
    late: np.ndarray
    before: Earlier | None = None


def _read(
    annotations: Any, item: str, annotator: str, label: str, classes: Sequence[Any] | None, earlier: Any
) -> _Table:
    from errata.data.plain import column_values, read_plain

    before = None if earlier is None else read_earlier(earlier)
    content = read_plain(annotations)
    values = column_values(content, item, "column of items")
    items, item_names = _codes(values, item, content.source, None if before is None else before.items)
    values = column_values(content, annotator, "column of annotators")
    people, names = _codes(values, annotator, content.source, None if before is None else before.people)
    values = column_values(content, label, "column of labels")
    labels = ClassLabels.encode(values, _classes(values, classes, before), name=label)
    codes = labels.codes
    late = np.ones(len(codes), dtype=bool)
    if before is not None:
        items, people, codes = (np.concatenate(pair) for pair in zip(before.votes, (items, people, codes)))
        late = np.arange(len(codes)) >= len(before.votes[0])
        before = before.widened(len(item_names), len(labels.classes))
    kept, notes = _kept(items, people, codes)
    votes = scores.Votes(items[kept], people[kept], codes[kept], len(item_names), len(names), len(labels.classes))
    _require_several(votes, names.tolist(), labels)
    origin = {"source": content.source, "label": label}
    if isinstance(annotations, (str, os.PathLike)):
        origin["source_path"] = os.path.abspath(os.path.expanduser(annotations))
    if before is not None:
        notes.append(f"{int(late[kept].sum()):,} new labels were added to {int((~late[kept]).sum()):,} earlier ones.")
    return _Table(votes, item_names, names.tolist(), labels.classes, notes, origin, late[kept], before)


def _classes(values: np.ndarray, classes: Sequence[Any] | None, before: Earlier | None) -> Sequence[Any] | None:
    """The classes in the order of the earlier audit, new ones behind them."""
    if before is None:
        return classes
    found = list(classes or ClassLabels.encode(values, name="label").classes)
    return [*before.classes, *(c for c in found if c not in set(before.classes))]


def _codes(
    values: np.ndarray, name: str, source: str, before: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Codes in the order of first appearance, after those that were there before, and what they stand for."""
    import pandas as pd

    fixed = 0 if before is None else len(before)
    codes, found = pd.factorize(pd.Series(values) if before is None else pd.Series([*before.tolist(), *values]))
    codes = codes[fixed:]
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
