"""Ledgers whose items have no single class (several labels, tokens, masks, boxes, numbers), and the parts beneath."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.labels import MISSING
from errata.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CLASSES",
    "KEPT",
    "MOST_SETS",
    "NONE",
    "item_ledger",
    "parts_table",
    "rank_parts",
    "set_names",
    "sets_ledger",
]

CLASSES = ("as labelled", "to correct")
"""The classes of such a ledger: every item is given as labelled, and proposed to be corrected where it is an issue."""

KEPT = 1_000_000
"""Parts that a ledger holds at most, the most suspicious ones."""

NONE = "none"
"""What a set without a label is called."""

MOST_SETS = 100
"""With more different sets of labels than this they are no classes of the ledger any more, only text in its columns."""


def item_ledger(
    trust: Any,
    issue: Any,
    *,
    rate: float | None = None,
    columns: Mapping[str, Any] | None = None,
    index: Any = None,
    meta: Mapping[str, Any] | None = None,
    parts: pd.DataFrame | None = None,
    unlabelled: Any = None,
    **more: Any,
) -> Ledger:
    """A ledger over items that are right or to be corrected as a whole.

    Parameters
    ----------
    trust : (N,) float in [0, 1], the chance that everything about the item's label is right; NaN where it has none
    issue : (N,) bool
    rate : the estimated share of wrong items, in [0, 1]; by default the share of issues
    columns, index, meta, parts : see ``errata.Ledger``; columns "given" and "proposed" stand for the labels
    unlabelled : (N,) bool, items without a label; by default where trust is NaN
    more : see ``errata.Ledger``

    Examples
    --------
    >>> item_ledger([0.9, 0.2], [False, True]).table
             given     proposed  trust  issue  rank
    0  as labelled  as labelled    0.9  False     1
    1  as labelled   to correct    0.2   True     0
    """
    trust = np.asarray(trust, dtype=np.float32)
    bare = np.isnan(trust) if unlabelled is None else np.asarray(unlabelled, dtype=bool)
    issue = np.asarray(issue, dtype=bool) & ~bare
    labelled = max(1, int((~bare).sum()))
    wrong = float(issue.sum()) / labelled if rate is None else min(max(float(rate), 0.0), 1.0)
    return Ledger(
        np.where(bare, -1, 0),
        np.where(bare, -1, issue.astype(np.int32)),
        trust,
        classes=list(CLASSES),
        issue=issue,
        noise=np.array([[1.0 - wrong, 0.0], [wrong, 0.0]]),
        columns=columns,
        index=index,
        meta=meta,
        parts=parts,
        **more,
    )


def rank_parts(trust: np.ndarray, issue: np.ndarray) -> np.ndarray:
    """(P,) int64: 0 for the most suspicious; issues before the rest, each by rising trust, the earlier one of equals.

    Examples
    --------
    >>> rank_parts(np.array([0.5, 0.1, 0.2]), np.array([True, False, True]))
    array([1, 2, 0])
    """
    order = np.argsort(np.nan_to_num(trust, nan=1.0) + np.where(issue, 0.0, 2.0), kind="stable")
    rank = np.empty(len(trust), dtype=np.int64)
    rank[order] = np.arange(len(trust))
    return rank


def parts_table(
    row: Any,
    given: Any,
    proposed: Any,
    trust: Any,
    issue: Any,
    more: Mapping[str, Any] | Sequence[tuple[str, Any]] = (),
    most: int = KEPT,
) -> pd.DataFrame:
    """The parts of a ledger as a table; above ``most`` of them only the most suspicious are kept, in their own order.

    Parameters
    ----------
    row : (P,) index value of the item in the ledger
    given, proposed : (P,) the labels, as text or numbers
    trust, issue : (P,) float in [0, 1], and bool
    more : further columns by name

    Examples
    --------
    >>> parts_table([0, 0], ["a", "b"], ["a", "a"], [0.9, 0.1], [False, True], {"token": ["x", "y"]})
       row given proposed  trust  issue  rank token
    0    0     a        a    0.9  False     1     x
    1    0     b        a    0.1   True     0     y
    """
    import pandas as pd

    trust, issue = np.asarray(trust, dtype=np.float32), np.asarray(issue, dtype=bool)
    rank = rank_parts(trust, issue)
    columns = {
        "row": np.asarray(row, dtype=np.int64),
        "given": given,
        "proposed": proposed,
        "trust": trust,
        "issue": issue,
        "rank": rank,
        **dict(more),
    }
    if len(rank) > most:
        kept = np.flatnonzero(rank < most)
        columns = {name: np.asarray(values)[kept] for name, values in columns.items()}
    return pd.DataFrame(columns)


def set_names(matrix: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(N,) what each row's set of labels is called: "a, b", or "none".

    Examples
    --------
    >>> set_names(np.array([[1, 1], [0, 0]]), ["a", "b"])
    array(['a, b', 'none'], dtype=object)
    """
    rows, which = np.unique(matrix == 1, axis=0, return_inverse=True)
    words = np.empty(len(rows), dtype=object)
    words[:] = [", ".join(names[i] for i in np.flatnonzero(row).tolist()) or NONE for row in rows]
    return words[which.ravel()]


def sets_ledger(
    matrix: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
    *,
    trust: np.ndarray,
    issue: np.ndarray,
    item_trust: np.ndarray,
    suggest: bool = False,
    index: np.ndarray | None = None,
    meta: Mapping[str, Any] | None = None,
    columns: Mapping[str, Any] | None = None,
    **more: Any,
) -> Ledger:
    """A ledger over items with several labels, and their (item, label) pairs as its parts.

    Parameters
    ----------
    matrix : (N, L) int: 1 given, 0 given not to apply, -1 not known
    probabilities : (N, L) float in [0, 1], that the label applies; NaN where nothing is known
    names : of the L labels
    trust, issue : (N, L) of the given labels; trust is NaN where none is given
    item_trust : (N,) how far an item's labels are trusted together
    suggest : also list unknown labels that are proposed among the parts, with -1 as what is given
    index : (N,) the items' numbers in the data; by default 0 .. N-1
    meta, columns, more : see ``errata.Ledger``

    Returns
    -------
    Ledger
        A row per item; its classes are the sets of labels that occur, as "a, b" or "none" (above 100 different sets
        they stand in the columns ``given`` and ``proposed`` instead). Columns: ``wrong_labels``, how many are issues.
        ``parts`` has a row per item and known label, with the column ``label``; given and proposed are 1 and 0.

    Examples
    --------
    >>> given, p = np.array([[1, 0], [-1, 0]]), np.array([[0.9, 0.8], [0.7, 0.1]])
    >>> trust = np.where(given == 1, p, 1 - p)
    >>> ledger = sets_ledger(given, p, ["a", "b"], trust=np.where(given < 0, np.nan, trust), issue=trust < 0.5,
    ...                      item_trust=trust.min(axis=1))
    >>> ledger.table[["given", "proposed", "wrong_labels"]]
      given proposed  wrong_labels
    0     a     a, b             1
    1  none        a             0
    """
    unknown = matrix == MISSING
    issue = issue & ~unknown
    with np.errstate(invalid="ignore"):
        applies = probabilities > 0.5
    proposed = np.where(unknown, applies, np.where(issue, 1 - matrix, matrix)).astype(np.int8)
    index = np.arange(len(matrix)) if index is None else np.asarray(index)
    rows, places = np.nonzero(~unknown | applies if suggest else ~unknown)
    pairs = {"label": np.asarray(names, dtype=object)[places]}
    told = [values[rows, places] for values in (matrix, proposed, trust, issue)]
    parts = parts_table(index[rows], told[0], told[1], told[2], told[3], pairs)
    common = {"index": index, "meta": meta, "parts": parts, **more}
    given_sets, proposed_sets = set_names(matrix, names), set_names(proposed, names)
    bare, wrong = unknown.all(axis=1), issue.any(axis=1)
    columns = {"wrong_labels": issue.sum(axis=1), **(columns or {})}
    sets = sorted({*given_sets[~bare], *proposed_sets})
    if len(sets) > MOST_SETS:
        columns = {"given": np.where(bare, "", given_sets), "proposed": proposed_sets, **columns}
        return item_ledger(item_trust, wrong, columns=columns, **common)
    place = {name: i for i, name in enumerate(sets)}
    given = np.array([MISSING if b else place[name] for name, b in zip(given_sets, bare)], dtype=np.int64)
    codes = np.array([place[name] for name in proposed_sets], dtype=np.int64)
    return Ledger(given, codes, item_trust, classes=sets, issue=wrong, columns=columns, **common)
