"""Claim: with models trained on the noisy labels, GD and LD catch far more errors than chance at every budget.

And, as the authors' own logs say when they are counted again: against counting disagreements GD gains little, mostly in
putting errors that are far in the tree first, and against the models' confidence nothing.
"""

import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from claims import _budgets
from claims._trials import Trials, Verdict, main
from errata.audit.queueing import RULES
from errata.audit.simulating import simulate
from errata.ledger import Ledger

ARMS = ("random", *(rule for rule in RULES if rule not in ("random", "opinion")))
SCORES = {
    "recall_5": "errors caught at 5 %",
    "recall_10": "errors caught at 10 %",
    "recall_20": "errors caught at 20 %",
    "precision_5": "wrong among the first 5 %",
    "far_5": "far errors among those caught at 5 %",
}
SETTINGS = {
    "semeval": "SemEval-2010 task 8, 4,000 sentences, 15 % of the labels wrong (half of them to the other direction)",
    "fewrel": "FewRel, 16 relations in the tree of 623, 4,000 sentences, 15 % of the labels wrong",
    "trec": "TREC, 3,000 questions with coarse:fine labels, 15 % of the labels wrong (half within the coarse label)",
    "cifar10n": "CIFAR-10N, 3,000 images, one person's labels as they are (real mistakes)",
}


@cache
def loaded(name: str, seed: int):
    """The setting's rows and its models' predictions: the same for every rule."""
    return getattr(_budgets, name)(seed)


def measuring(name: str):
    """The measurement of one setting."""

    def measure(arm: str, seed: int, device: str) -> dict[str, object]:
        noisy = loaded(name, seed)
        mean = sum(noisy.pred_probs) / len(noisy.pred_probs)
        trust = mean[range(len(mean)), noisy.given]
        ledger = Ledger(noisy.given, mean.argmax(1), trust, classes=noisy.classes)
        what = {"hierarchy": noisy.hierarchy, "aliases": noisy.aliases, "missing": noisy.missing}
        done = simulate(ledger, noisy.true, [arm], pred_probs=noisy.pred_probs, ties="order", seed=seed, **what)
        found: dict[str, object] = {"rows": len(mean), "errors": done.errors}
        for share, record in zip((5, 10, 20), done.table):
            found[f"recall_{share}"] = record["recall"]
        found["precision_5"] = done.table[0]["precision"]
        caught = done.curves[arm].caught_rows(done.table[0]["rows"], done.is_error)
        found["far_5"] = float(noisy.far[caught].mean()) if len(caught) else None
        found["f1_20"] = done.table[2]["f1"]
        return found

    return measure


if __name__ == "__main__":
    main(
        *(
            (
                Trials(
                    f"reannotation-budget-{name}",
                    f"{says}; five cheap models, out of fold",
                    measuring(name),
                    ARMS,
                    SCORES,
                    {"folds": _budgets.FOLDS, "ties": "order"},
                ),
                [
                    Verdict("gd", "random", "recall_5", 4.0),
                    Verdict("gd", "random", "recall_10", 8.0),
                    Verdict("gd", "random", "recall_20", 12.0),
                    Verdict("ld", "random", "recall_10", 8.0),
                    Verdict("gd", "disagreement", "far_5", 10.0),
                ],
            )
            for name, says in SETTINGS.items()
        )
    )
