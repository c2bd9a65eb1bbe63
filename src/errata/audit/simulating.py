"""What a budget would have bought: every rule's errors caught, where the truth of a ledger's rows is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.audit.queueing import RULES, Known, known_of
from errata.charts import Chart
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.systems.budget.reannotation_budget import (
    Curve,
    agreement,
    budget_curve,
    budget_rows,
    f1_curve,
    selection_jaccard,
)

__all__ = ["BUDGETS", "Simulation", "simulate"]

BUDGETS = (0.05, 0.1, 0.2)
"""The budgets that a simulation tells of, as shares of the rows."""

_POINTS = 100  # of a curve in a chart


@dataclass(frozen=True)
class Simulation:
    """What each rule would have found, where the truth is known.

    Parameters
    ----------
    curves : by rule, over the rows whose given and true label are known
    is_error : (n,) of these rows
    table : a record for each rule and budget: rule, budget (share), rows, caught, recall, precision, agreement, novelty
        (Jaccard of the errors caught with those of the first rule), f1 (mean of the models' F1 against labels mended so
        far)
    chart : errors caught against the budget
    """

    curves: dict[str, Curve]
    is_error: np.ndarray
    table: list[dict[str, Any]]
    chart: Chart

    @property
    def errors(self) -> int:
        """Wrong labels in all."""
        return int(self.is_error.sum())


def simulate(
    ledger: Ledger,
    truth: Any,
    rules: Sequence[str] | None = None,
    *,
    budgets: Sequence[float] = BUDGETS,
    exclude: Any = None,
    ties: str = "trust",
    seed: int = 0,
    **what: Any,
) -> Simulation:
    """What each rule would have found, had its first rows been looked at.

    Parameters
    ----------
    ledger : of an audit or a training, which has not seen the truth
    truth : (N,) the true labels: names of the ledger's classes, or their codes; None or -1 where they aren't known
    rules : by default all that what is known allows
    budgets : shares of the rows, in (0, 1]
    exclude : a class that means "none of them", left out of F1
    ties, seed : as of ``enqueue``
    **what : hierarchy, models, pred_probs, aliases, missing, power, as of ``enqueue``

    Raises
    ------
    DataError
        where no row has both labels, or the truth has another length or other classes
    """
    true = _codes(truth, ledger)
    rows = np.flatnonzero((ledger.given != MISSING) & (true != MISSING))
    if not len(rows):
        raise DataError("No row has both a given and a true label, so nothing can be simulated.")
    for share in budgets:
        if not 0 < share <= 1:
            raise ParameterError(f"budgets are shares of the rows, in (0, 1]; got {share!r}.")
    known = known_of(ledger, rows, seed=seed, **what)
    wrong = known.given != true[rows]
    breaker = None if ties == "order" else 1.0 - known.trust.astype(np.float64)
    curves = {name: budget_curve(RULES[name][0](known), wrong, breaker) for name in _possible(rules, known)}
    table = _table(curves, wrong, known, true[rows], budgets, _class(exclude, ledger))
    return Simulation(curves, wrong, table, _chart(curves, wrong, ledger))


def _possible(rules: Sequence[str] | None, known: Known) -> list[str]:
    if rules is not None:
        for name in rules:
            if name not in RULES:
                raise UnknownNameError("rule", name, RULES)
        return list(rules)
    named = list(RULES)
    if any(v.pred_probs is None for v in known.votes):
        named = [name for name in named if name not in ("divergence", "entropy", "margin")]
    if len(known.votes) < 2:
        named = [name for name in named if name not in ("divergence", "votes")]
    return [name for name in named if name != "opinion" or known.another is not None]


def _table(
    curves: Mapping[str, Curve],
    wrong: np.ndarray,
    known: Known,
    true: np.ndarray,
    budgets: Sequence[float],
    exclude: int | None,
) -> list[dict[str, Any]]:
    first = next(iter(curves.values()))
    votes = known.predictions
    records = []
    for name, curve in curves.items():
        f1 = np.mean([f1_curve(known.given, true, one, curve.order, exclude) for one in votes.T], axis=0)
        for share in budgets:
            n = budget_rows(f"{100 * share}%", len(wrong))
            caught = curve.caught_rows(n, wrong)
            records.append(
                {
                    "rule": name,
                    "budget": share,
                    "rows": n,
                    "caught": len(caught),
                    "recall": curve.recall(n),
                    "precision": curve.efficiency(n),
                    "agreement": agreement(true, votes, caught),
                    "novelty": 1.0 - selection_jaccard(caught, first.caught_rows(n, wrong)),
                    "f1": float(f1[n]),
                }
            )
    return records


def _chart(curves: Mapping[str, Curve], wrong: np.ndarray, ledger: Ledger) -> Chart:
    n, errors = len(wrong), int(wrong.sum())
    at = np.unique(np.linspace(0, n, _POINTS + 1).astype(np.int64))
    series: dict[str, Any] = {name: (100 * at / n, curve.caught[at]) for name, curve in curves.items()}
    series["the best there can be"] = ([0.0, 100 * errors / n, 100.0], [0.0, errors, errors])
    ten = budget_rows("10%", n)
    best = max((name for name in curves), key=lambda name: curves[name].caught[ten])
    says = (
        f"Of {n:,} {ledger.kind.rows} {errors:,} have a wrong label. With a tenth of them looked at, '{best}' has met "
        f"{int(curves[best].caught[ten]):,} of these errors, the most of all rules; a random tenth holds "
        f"{errors * ten / n:,.0f}."
    )
    return Chart("What a budget buys", says, series, x=f"{ledger.kind.rows} looked at, in percent", y="errors caught")


def _codes(truth: Any, ledger: Ledger) -> np.ndarray:
    values = np.asarray(truth)
    if values.shape != (len(ledger),):
        raise DataError(f"Expected a true label for each of {len(ledger):,} rows; got shape {values.shape}.")
    place = {str(c): i for i, c in enumerate(ledger.classes)}
    if values.dtype.kind in "iu" and not {str(v) for v in np.unique(values).tolist()} & set(place):
        if len(values) and (values.min() < MISSING or values.max() >= len(ledger.classes)):
            raise DataError(
                f"True labels as codes must lie in [-1, {len(ledger.classes) - 1}]; they run to {values.max()}."
            )
        return values.astype(np.int64)
    named, at = np.unique(
        np.array(["" if v is None or v != v else str(v) for v in values.tolist()]), return_inverse=True
    )
    lost = [name for name in named if name not in place and name not in ("", "-1")]
    if lost:
        raise UnknownNameError(
            "class", lost[0], ledger.classes, "The truth must be in the words of the ledger's labels."
        )
    return np.array([place.get(name, MISSING) for name in named], dtype=np.int64)[at]


def _class(name: Any, ledger: Ledger) -> int | None:
    if name is None:
        return None
    place = {str(c): i for i, c in enumerate(ledger.classes)}
    if str(name) not in place:
        raise UnknownNameError("class", name, ledger.classes)
    return place[str(name)]
