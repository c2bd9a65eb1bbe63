"""Ledgers whose items have no single class: tokens, masks, boxes, numbers; and the parts beneath them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from errata.ledger import Ledger

__all__ = ["CLASSES", "KEPT", "item_ledger", "parts_table", "rank_parts"]

CLASSES = ("as labelled", "to correct")
"""The classes of such a ledger: every item is given as labelled, and proposed to be corrected where it is an issue."""

KEPT = 1_000_000
"""Parts that a ledger holds at most, the most suspicious ones."""


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
) -> Ledger:
    """A ledger over items that are right or to be corrected as a whole.

    Parameters
    ----------
    trust : (N,) float in [0, 1], the chance that everything about the item's label is right; NaN where it has none
    issue : (N,) bool
    rate : the estimated share of wrong items, in [0, 1]; by default the share of issues
    columns, index, meta, parts : see ``errata.Ledger``; columns "given" and "proposed" stand for the labels
    unlabelled : (N,) bool, items without a label; by default where trust is NaN

    Examples
    --------
    >>> item_ledger([0.9, 0.2], [False, True]).table
             given     proposed  trust  issue  rank
    0  as labelled  as labelled    0.9  False     1
    1  as labelled   to correct    0.2   True     0
    """
    from errata.ledger import Ledger

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
