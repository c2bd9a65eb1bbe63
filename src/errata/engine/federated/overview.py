"""What a server can show: a row per client from their sums, and the federation's course round by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.items import item_ledger
from errata.charts import Chart

if TYPE_CHECKING:
    from errata.ledger import Ledger

__all__ = ["DOUBTED", "charts", "overview"]

DOUBTED = 0.5
"""A client is shown as an issue where the global model contradicts more than this share of its labels."""


def charts(history: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Accuracy, pseudo-labels and who gave them, and traffic, round by round."""
    rounds = [record["round"] for record in history]

    def line(name: str) -> tuple[list[int], list[float | None]]:
        return rounds, [record.get(name) for record in history]

    def known(**names: str) -> dict[str, tuple[list[int], list[float | None]]]:
        found = {words: line(name) for name, words in names.items()}
        return {words: points for words, points in found.items() if any(v is not None for v in points[1])}

    return [
        Chart(
            "Accuracy, round by round",
            "How often the global model is right on the server's test data after each round, and how often it agreed "
            "with the clients' own labels before it.",
            known(test_accuracy="on the test data", label_agreement="with the clients' labels"),
            x="round",
            y="share of rows",
        ),
        Chart(
            "Pseudo-labels, round by round",
            "The share of unlabelled rows that got a pseudo-label, and the share of those on which both models agree.",
            known(pass_rate="rows that passed", agreeing_share="of these, both models agree"),
            x="round",
            y="share of rows",
        ),
        Chart(
            "Who labels: the client's own model or the global one",
            "For how many of the unlabelled rows the client's own model was the surer of the two.",
            known(local_share="the client's own model"),
            x="round",
            y="share of rows",
        ),
        Chart(
            "Clients, round by round",
            "How many clients gave something usable in a round, and how many were chosen and did not.",
            known(clients="took part", failed="dropped out"),
            x="round",
            y="clients",
        ),
    ]


def overview(
    reports: Mapping[str, Mapping[str, float]], history: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]
) -> Ledger:
    """A ledger with a row per client: how far the global model believes its labels on the whole.

    Parameters
    ----------
    reports : by the client's name, its latest sums
    history : the rounds' records
    meta : of the ledger
    """
    names = sorted(reports)

    def column(name: str) -> np.ndarray:
        return np.array([float(reports[n].get(name, np.nan)) for n in names], dtype=np.float64)

    with np.errstate(invalid="ignore", divide="ignore"):
        labelled = column("labelled")
        trust = np.clip(column("label_trust") / labelled, 0, 1)
        contradicted = 1 - column("label_agreement") / labelled
    columns = {
        "client": np.array(names, dtype=str),
        "rows": np.nan_to_num(column("rows")).astype(np.int64),
        "labelled": np.nan_to_num(labelled).astype(np.int64),
        "contradicted": np.round(contradicted, 4),
        "passing": column("passing"),
        "chose_local": column("chose_local"),
    }
    columns = {
        name: values for name, values in columns.items() if values.dtype.kind != "f" or not np.isnan(values).all()
    }
    issue = np.nan_to_num(contradicted) > DOUBTED
    ledger = item_ledger(trust, issue, columns=columns, meta={**meta, "task": "clients"})
    ledger.charts = charts(history)
    return ledger
