"""What to look at with a budget: a ledger's rows in the order of a rule.

A rule scores every row from the ledger (trust), from what models predict (entropy, margin, disagreement, divergence),
from how far their predictions are from the given label in a tree of labels (gd, ld, ratio), or from what one more
person's opinion would tell (opinion). The row with the highest score is looked at first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.audit.opinions import Votes, votes_from, votes_of
from errata.charts import Chart
from errata.data.hierarchy_files import read_hierarchy
from errata.errors import ParameterError, UnknownNameError
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.scores import query
from errata.scores.tree import Distances
from errata.systems.budget.reannotation_budget import (
    ReannotationBudget,
    budget_rows,
    rank_rows,
)

__all__ = ["RULES", "Known", "enqueue", "known_of", "rule_scores"]

_POINTS = 100  # of a curve in a chart
_ANOTHER = "another_opinion"  # the column of an audit of several people's labels


@dataclass(frozen=True)
class Known:
    """What rules may look at, of some rows: given codes and trust (n,), models, the tree of the classes."""

    given: np.ndarray
    trust: np.ndarray
    votes: list[Votes]
    distances: Distances
    power: float
    seed: int
    another: np.ndarray | None = None

    @property
    def opinion(self) -> np.ndarray:
        """(n,) what one more opinion would tell: of the audit of several people's labels only."""
        if self.another is None:
            raise ParameterError(
                "The rule 'opinion' needs the audit of several people's labels (errata audit VOTES --annotations); "
                "this ledger has no column 'another_opinion'. The nearest for other ledgers is 'trust'."
            )
        return self.another

    @property
    def predictions(self) -> np.ndarray:
        return np.stack([v.predictions for v in self.votes], axis=1)

    @property
    def confidence(self) -> np.ndarray:
        return np.stack([v.confidence for v in self.votes], axis=1)

    @property
    def pred_probs(self) -> np.ndarray:
        found = []
        for vote in self.votes:
            if vote.pred_probs is None:
                raise ParameterError(
                    f"This rule needs all probabilities, and of {vote.name} only the proposals are known. Give them as "
                    ".npy files of (N, K): pred_probs= (--pred-probs FILE, one for each model)."
                )
            found.append(vote.pred_probs)
        return np.stack(found)

    def strategy(self, name: str) -> np.ndarray:
        rule = ReannotationBudget(name, power=self.power, seed=self.seed)
        return rule.score(self.given, self.predictions, self.distances, self.confidence)


def _disagreement(known: Known) -> np.ndarray:
    return query.disagreement_score(known.given, known.predictions)


RULES: dict[str, tuple[Callable[[Known], np.ndarray], str]] = {
    "gd": (lambda k: k.strategy("gd"), "edges in the tree between the given label and the predictions"),
    "ld": (lambda k: k.strategy("ld"), "edges up to the common ancestor of the given label and the predictions"),
    "ratio": (lambda k: k.strategy("ratio"), "the same as a share of the label's depth, times confidence ** power"),
    "confidence": (lambda k: k.strategy("confidence"), "how sure the models are that it is another label"),
    "disagreement": (_disagreement, "the share of models that predict another label"),
    "votes": (
        lambda k: query.vote_entropy(k.predictions, len(k.distances.depth)),
        "how far the models' votes are spread (vote entropy)",
    ),
    "divergence": (lambda k: query.kl_score(k.pred_probs), "how far the models' probabilities differ (mean KL)"),
    "entropy": (lambda k: query.entropy_score(k.pred_probs), "the entropy of the mean prediction"),
    "margin": (lambda k: query.margin_score(k.pred_probs), "how little the best class leads"),
    "opinion": (lambda k: k.opinion, "what one more person's opinion is expected to tell"),
    "trust": (lambda k: query.trust_score(k.trust), "1 less the ledger's trust in the label"),
    "random": (lambda k: query.random_score(len(k.given), seed=k.seed), "chance"),
}
"""The rules, with what their score is in words."""


def rule_scores(
    ledger: Ledger,
    rule: str,
    *,
    hierarchy: Any = None,
    models: Sequence[Any] = (),
    pred_probs: Sequence[Any] = (),
    aliases: Mapping[Any, Any] | None = None,
    missing: str = "error",
    power: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """(N,) the score of every row by a rule, NaN for rows without a label; parameters as of ``enqueue``."""
    if rule not in RULES:
        raise UnknownNameError("rule", rule, RULES)
    labelled = np.flatnonzero(ledger.given != MISSING)
    what: dict[str, Any] = {"hierarchy": hierarchy, "models": models, "pred_probs": pred_probs}
    known = known_of(ledger, labelled, aliases=aliases, missing=missing, power=power, seed=seed, **what)
    score = np.full(len(ledger), np.nan)
    score[labelled] = RULES[rule][0](known)
    return score


def enqueue(
    ledger: Ledger,
    budget: int | float | str = "5%",
    *,
    rule: str = "auto",
    hierarchy: Any = None,
    models: Sequence[Any] = (),
    pred_probs: Sequence[Any] = (),
    aliases: Mapping[Any, Any] | None = None,
    missing: str = "error",
    ties: str = "trust",
    power: float = 0.0,
    seed: int = 0,
) -> Ledger:
    """A ledger whose rows have their place in the queue.

    Parameters
    ----------
    ledger : of an audit or a training
    budget : rows that can be looked at: a number, or a share such as "5%" of the labelled rows
    rule : one of ``RULES``; "auto" is "gd" with a hierarchy, else "opinion" for several people's labels, and else
        "trust"
    hierarchy : of the labels, as ``errata.data.read_hierarchy`` takes it; by default a flat one, in which it only
        counts whether labels differ
    models : further opinions of the same rows: ledgers, runs, or their folders; the ledger's own proposals are the
        first
    pred_probs : (N, K) probabilities of models, or .npy files of them; where given, they stand in place of the ledger's
        own proposals
    aliases : labels to nodes of the hierarchy, where they are called otherwise
    missing : "error", or "root": labels that are not in the hierarchy stand beside it
    ties : what goes first among equal scores: the least "trust", or the "order" of the data, as in the paper
    power : of the confidence in the rule "ratio"
    seed : of the rule "random"

    Returns
    -------
    Ledger
        a new one, with the columns ``place`` (0 for the first; rows without a label come last), ``queue_score`` and
        ``queued`` (within the budget), ``meta["queue"]`` and a chart of what the budget is expected to buy. Its own
        order, by suspicion, stays.

    Examples
    --------
    >>> ledger = Ledger([0, 1, 2], [0, 0, 0], [0.9, 0.4, 0.1], classes=["a:x", "a:y", "b:z"])
    >>> from errata.data import hierarchy_from_names
    >>> found = enqueue(ledger, 1, hierarchy=hierarchy_from_names(ledger.classes))
    >>> found.columns["place"], found.columns["queue_score"], found.columns["queued"]
    (array([2, 1, 0]), array([0., 2., 4.]), array([False, False,  True]))
    """
    if ties not in ("trust", "order"):
        raise ParameterError(f"ties must be 'trust' or 'order'; got {ties!r}.")
    chosen = rule if rule != "auto" else _usual(ledger, hierarchy)
    what: dict[str, Any] = {"hierarchy": hierarchy, "models": models, "pred_probs": pred_probs}
    what |= {"aliases": aliases, "missing": missing, "power": power, "seed": seed}
    score = rule_scores(ledger, chosen, **what)
    order = rank_rows(score, None if ties == "order" else 1.0 - ledger.trust.astype(np.float64))
    place = np.empty(len(ledger), dtype=np.int64)
    place[order] = np.arange(len(ledger))
    labelled = int((ledger.given != MISSING).sum())
    rows = budget_rows(budget, labelled) if labelled else 0
    own = [c for c in ledger.charts if c.title != _EXPECTED]
    about = {"rule": chosen, "score": RULES[chosen][1], "rows": rows, "budget": str(budget), "ties": ties, "seed": seed}
    made = Ledger(
        ledger.given,
        ledger.proposed,
        ledger.trust,
        classes=ledger.classes,
        issue=ledger.issue,
        noise=ledger._noise,
        columns={**ledger.columns, "place": place, "queue_score": score, "queued": (place < rows) & (score == score)},
        index=ledger.index,
        meta={"task": "budget", **ledger.meta, "queue": about},
        parts=ledger.parts,
        findings=ledger.findings,
        vouched=ledger._vouched,
        charts=[*own, _expected(ledger, order[:labelled], rows, chosen)],
    )
    made._order, made.data = ledger._order, ledger.data
    return made


def known_of(
    ledger: Ledger,
    rows: np.ndarray,
    *,
    hierarchy: Any = None,
    models: Sequence[Any] = (),
    pred_probs: Sequence[Any] = (),
    aliases: Mapping[Any, Any] | None = None,
    missing: str = "error",
    power: float = 0.0,
    seed: int = 0,
) -> Known:
    """What is known of some labelled rows of a ledger, by position; parameters as of ``enqueue``."""
    votes = [votes_from(one, ledger, f"model {i + 1}") for i, one in enumerate(pred_probs)] or [votes_of(ledger)]
    votes += [votes_from(one, ledger) for one in models]
    if hierarchy is None:
        tree = Distances.flat(len(ledger.classes))
    else:
        tree = read_hierarchy(hierarchy).distances(ledger.classes, aliases, missing=missing)
    given = ledger.given[rows].astype(np.int64)
    another = ledger.columns.get(_ANOTHER)
    another = None if another is None else np.asarray(another, dtype=np.float64)[rows]
    return Known(given, ledger.trust[rows], [v.of(rows) for v in votes], tree, power, seed, another)


def _usual(ledger: Ledger, hierarchy: Any) -> str:
    """The rule that fits what is known."""
    return "gd" if hierarchy is not None else "opinion" if _ANOTHER in ledger.columns else "trust"


# -- what it buys ------------------------------------------------------------------------------------------------------

_EXPECTED = "What the budget is expected to find"


def _expected(ledger: Ledger, order: np.ndarray, rows: int, rule: str) -> Chart:
    wrong = np.concatenate([[0.0], np.cumsum(1.0 - ledger.trust[order].astype(np.float64))])
    n = max(1, len(order))
    at = np.unique(np.linspace(0, len(order), _POINTS + 1).astype(np.int64))
    says = (
        f"By the ledger's own trust, the {rows:,} rows of the budget, in the order of the rule '{rule}', hold "
        f"{wrong[rows]:,.0f} of {wrong[-1]:,.0f} wrong labels; as many rows at random hold {wrong[-1] * rows / n:,.0f}."
    )
    series: dict[str, Any] = {rule: (at, wrong[at]), "at random": ([0, len(order)], [0.0, wrong[-1]])}
    return Chart(_EXPECTED, says, series, x=f"{ledger.kind.rows} looked at", y="wrong labels among them")
