"""What else is wrong with a data set: one file per kind of finding, and ``look``, which asks them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.findings import classes, columns, drift, duplicates, leakage, outliers
from errata.audit.findings.evidence import gather
from errata.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from errata.findings import Finding
    from errata.ledger import Ledger

__all__ = ["look"]


def look(
    data: Any,
    ledger: Ledger,
    pred_probs: Any = None,
    features: Any = None,
    seed: int = 0,
    *,
    test: Any = None,
    test_features: Any = None,
) -> list[Finding]:
    """Look for duplicates, outliers, leakage, imbalance, useless columns and drift.

    Parameters
    ----------
    data : what the ledger was made from: ``errata.read(...)`` of it, or anything that takes; None where only features
        or probabilities are at hand
    ledger : its rows are those of ``data``; it gets the columns ``outlier_score`` and ``duplicate_group`` (the number
        of the group of equal or nearly equal rows that a row is in, -1 for none)
    pred_probs : (N, K) probabilities, used as features where there are no better ones
    features : (N, D) embeddings or other features in which distance means something; by default made from the data:
        standardised numbers and categories, the main directions of words, small pictures
    seed : of samples and permutations
    test : a second data set, whose rows must not be in the first; anything that ``errata.read`` takes
    test_features : its features, where ``features`` are given

    Returns
    -------
    list of Finding, the gravest first
        Names: "exact_duplicates", "near_duplicates", "conflicting_duplicates", "outliers", "rare_classes",
        "empty_classes", "class_imbalance", "leakage", "constant_features", "missing_values", "drift". What was not
        found is not in the list. Above 5,000 rows, distances for outliers and drift are measured to a random sample of
        so many, which the sentence says.

    Raises
    ------
    DataError
        where numbers of rows differ

    Examples
    --------
    >>> import errata
    >>> data = errata.read(["good film", "bad film", "good film", "bad book"], label=["+", "-", "-", "-"])
    >>> ledger = errata.Ledger.from_labels(data.labels, data.labels.codes, [0.9] * 4)
    >>> for found in look(data, ledger):
    ...     print(found.name, found.count, found.rows)
    conflicting_duplicates 2 [0 2]
    exact_duplicates 2 [0 2]
    rare_classes 2 [0 1 2 3]
    """
    data = _read(data, ledger)
    second = None if test is None else _read(test, None, like=data)
    evidence = gather(data, second, features, test_features, pred_probs, len(ledger), seed)
    found = [
        *duplicates.find(evidence, ledger),
        *leakage.find(evidence, ledger, second),
        *outliers.find(evidence, ledger, seed),
        *drift.find(evidence, ledger, seed),
        *classes.find(ledger),
        *columns.find(data, ledger),
    ]
    return [found[i] for i in np.argsort([-finding.severity for finding in found], kind="stable")]


def _read(source: Any, ledger: Ledger | None, like: Any = None) -> Any:
    if source is None:
        return None
    from errata.data import Data, read

    if isinstance(source, Data):
        data = source
    elif like is not None:
        data = _read_second(source, like)
    else:
        data = read(source)
    if ledger is not None and len(data) != len(ledger):
        raise DataError(
            f"The ledger has {len(ledger):,} rows and {data.source} has {len(data):,}; they must be the same rows."
        )
    return data


def _read_second(source: Any, like: Any) -> Any:
    """With the first data set's label, if it has that column, so that it is not taken for a feature."""
    from errata.data import read

    options = {**like.reading, "labels_only": True}
    if not (like.named and like.label_name):
        return read(source, **options)
    try:
        return read(source, like.label_name, **options)
    except (UnknownNameError, DataError):  # it has no such column, or no columns at all
        return read(source, False, **options)
