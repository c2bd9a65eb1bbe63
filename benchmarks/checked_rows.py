"""The human-checked rows of CIFAR-10's test set, with a network trained on the training images as further evidence.

Two parts, in this order, so that the votes have no say in how the evidence is combined:

``--choose`` compares ways to combine cleanlab's cross-validated probabilities with a run's, on test rows that were
**not** checked: each image's label is replaced by that of one person who looked at it (CIFAR-10H), and what differs
from the published label counts as wrong. Told is the average precision over all rows, and among those where cleanlab's
model contradicts the label, which is how the checked rows were chosen.

Without it, what ``errata.audit(test, run=..., pred_probs=...)`` does is scored once by the votes of five people (an
error: fewer than three chose the given label), beside all of cleanlab's scores, with intervals from drawing the checked
rows anew; and the same runs judge CIFAR-10N's labels of the rows that they held out, whose truth is known. The networks
are trained by the command that stands in each run's folder, such as

    errata train cifar10n_train.parquet --label true_label --system ce --model resnet9 --epochs 5 --batch-size 256 \\
        --set lr=0.2 --set scheduler=one-cycle --precision bf16-mixed --validation 0.1 --seed 100 --out RUN
    python benchmarks/checked_rows.py --choose --runs RUN [RUN ...]
    python benchmarks/checked_rows.py --cleanlab-python /tmp/cleanlab/bin/python --runs RUN [RUN ...]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

import errata
from _record import write_result
from errata.audit import by_run
from errata.audit.confident import confident
from errata.audit.ensemble import as_opinion
from errata.labels import ClassLabels

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
from _problems import DATA, Problem, pictures
from finding import cleanlab_side

DRAWS = 3
BOOTSTRAPS = 1000
TEST = DATA / "cifar10_test.parquet"


@dataclass
class Test:
    """CIFAR-10's test set: published labels, cleanlab's probabilities, how many people gave each class, the votes."""

    given: np.ndarray
    probs: np.ndarray
    people: np.ndarray
    votes: np.ndarray

    @classmethod
    def read(cls) -> Test:
        """All 10,000 rows; a vote of -1 where nobody was asked."""
        import pyarrow.parquet as pq

        table = pq.read_table(TEST, columns=["label", "crossval_probs", "human_counts", "check_votes"])
        probs = np.array(table["crossval_probs"].to_pylist(), dtype=np.float32)
        return cls(
            table["label"].to_numpy().astype(np.int64),
            probs / probs.sum(1, keepdims=True),
            np.array(table["human_counts"].to_pylist(), dtype=np.float64),
            np.array(table["check_votes"].to_pylist()),
        )


# -- which combination -------------------------------------------------------------------------------------------------


def candidates(given: np.ndarray, probs: np.ndarray, seen: by_run.Seen) -> dict[str, np.ndarray]:
    """Orders of the rows by rising trust, from the two sources alone and together."""
    labels = ClassLabels(given, list(range(probs.shape[1])))
    rows = np.arange(len(given))
    run, near = seen.probabilities, by_run.votes(labels, seen.embeddings)
    a, b = (by_run.pool([p], by_run.pool_weights(given, [p])) for p in (probs, run))
    three = [probs, run, near]
    pools = {
        "mean of probabilities, each tempered": (a + b) / 2,
        "mean of logarithms": by_run.pool([probs, run], [0.5, 0.5]),
        "mean of logarithms, each tempered": by_run.pool([a, b], [0.5, 0.5]),
        "sum of logarithms, weights by likelihood": by_run.pool(three[:2], by_run.pool_weights(given, three[:2])),
        "the same with neighbours": by_run.pool(three, by_run.pool_weights(given, three)),
    }
    found: dict[str, np.ndarray] = {}
    places = {}
    for name, p in {
        "cleanlab's probabilities": probs,
        "the run": run,
        "neighbours in the run's embedding": near,
        **pools,
    }.items():
        ledger = confident(labels, p)
        places[name] = as_opinion("confident", ledger).places
        found[f"{name}: self-confidence"] = p[rows, given]
        found[f"{name}: margin"] = ledger.columns["normalized_margin"]
        found[f"{name}: both"] = places[name]
    found["mean of ranks: both"] = places["cleanlab's probabilities"] + places["the run"]
    return found


def choose(test: Test, seen: Sequence[by_run.Seen]) -> dict[str, dict[str, float]]:
    """Mean average precision of each candidate over draws and runs, on rows that nobody checked."""
    rows = np.flatnonzero(test.votes[:, 0] < 0)
    found: dict[str, dict[str, list[float]]] = {}
    for number, one in enumerate(seen):
        for draw in range(DRAWS):
            rng = np.random.default_rng([100 + number, draw])
            chance = np.cumsum(test.people / test.people.sum(1, keepdims=True), axis=1)
            given = (rng.random((len(chance), 1)) > chance).sum(1).clip(max=9)
            wrong = (given != test.given)[rows]
            doubted = (test.probs.argmax(1) != given)[rows]
            for name, order in candidates(given, test.probs, one).items():
                doubt = -order[rows]
                own = found.setdefault(name, {"all rows": [], "doubted rows": []})
                own["all rows"].append(average_precision_score(wrong, doubt))
                own["doubted rows"].append(average_precision_score(wrong[doubted], doubt[doubted]))
    return {name: {key: float(np.mean(values)) for key, values in own.items()} for name, own in found.items()}


# -- the votes ---------------------------------------------------------------------------------------------------------


def scores(wrong: np.ndarray, trust: np.ndarray) -> dict[str, Any]:
    """Average precision and AUROC on the checked rows, each with a 90 % interval from drawing them anew."""
    doubt = -np.asarray(trust, dtype=np.float64)
    rng, drawn = np.random.default_rng(0), []
    for _ in range(BOOTSTRAPS):
        rows = rng.integers(0, len(wrong), len(wrong))
        drawn.append((average_precision_score(wrong[rows], doubt[rows]), roc_auc_score(wrong[rows], doubt[rows])))
    low, high = np.quantile(np.array(drawn), [0.05, 0.95], axis=0)
    return {
        "average_precision": float(average_precision_score(wrong, doubt)),
        "auroc": float(roc_auc_score(wrong, doubt)),
        "average_precision_90": [float(low[0]), float(high[0])],
        "auroc_90": [float(low[1]), float(high[1])],
    }


def judge(test: Test, runs: dict[str, by_run.Seen], python: str) -> dict[str, dict[str, Any]]:
    """Every order's figures on the checked rows."""
    checked = test.votes[:, 0] >= 0
    wrong = test.votes[checked, 0] < 3
    problem = Problem("cifar10_test", 0, test.given, test.votes[:, 0] < 3, test.probs, test.probs, None, checked)
    found: dict[str, dict[str, Any]] = cleanlab_side(problem, python)
    labels = ClassLabels(test.given, list(range(10)))
    alone = confident(labels, test.probs)
    found["errata, probabilities alone"] = scores(wrong, alone.trust[checked])
    found["cleanlab normalized_margin"] |= scores(wrong, alone.columns["normalized_margin"][checked])
    said = {name: [seen.probabilities, by_run.votes(labels, seen.embeddings)] for name, seen in runs.items()}
    if len(said) > 1:
        said["all runs"] = [source for own in list(said.values()) for source in own]
    for name, own in said.items():
        for more, sources in {"": own, " and probabilities": [test.probs, *own]}.items():
            ledger = by_run.from_sources(labels, sources)  # what errata.audit(run=..., pred_probs=...) makes of them
            found[f"errata, {name}{more}"] = {**scores(wrong, ledger.trust[checked]), "weights": ledger.meta["weights"]}
            print(name + more, found[f"errata, {name}{more}"], flush=True)
    return found


# -- people's labels of which the truth is known -----------------------------------------------------------------------

LENGTHS = (0.1, 0.3, 0.6, 1.0, 1.5)
"""Of the lists whose stated precision is compared with the real one, as shares of the number of wrong labels."""


def noisy(runs: Sequence[Any]) -> list[dict[str, Any]]:
    """CIFAR-10N's labels of the rows that each run held out, judged by it: what is found, and what is stated of it."""
    import pyarrow.parquet as pq

    table = pq.read_table(DATA / "cifar10n_train.parquet")
    found = []
    for run in runs:
        rows = np.flatnonzero(run.ledger.columns["held_out"])
        part = table.take(rows)
        x, true = pictures(part["image"]).transpose(0, 3, 1, 2), part["true_label"].to_numpy()
        seen = by_run.view(run, errata.read(np.ascontiguousarray(x)))
        for column in ("aggregate_label", "random_label1", "worst_label"):
            codes = part[column].to_numpy()
            wrong = codes != true
            labels = ClassLabels(codes.astype(np.int64), list(range(10)))
            ledger = by_run.from_sources(labels, [seen.probabilities, by_run.votes(labels, seen.embeddings)])
            listed = [max(1, round(share * wrong.sum())) for share in LENGTHS]
            stated = [ledger.vouched.at(n) for n in listed]
            real = [float(wrong[ledger.order[:n]].mean()) for n in listed]
            found.append(
                {
                    "labels": column,
                    "seed": run.about["seed"],
                    "rows": len(rows),
                    "wrong": float(wrong.mean()),
                    "average_precision": float(average_precision_score(wrong, -ledger.trust)),
                    "flagged": int(ledger.issue.sum()),
                    "precision": float(wrong[ledger.issue].mean()),
                    "recall": float(ledger.issue[wrong].mean()),
                    "wrong_estimated": float(ledger.vouched.errors / len(rows)),
                    "lists": [
                        {"n": n, "real": r, "stated": s["precision"], "low": s["low"], "high": s["high"]}
                        for n, r, s in zip(listed, real, stated)
                    ],
                }
            )
            print(found[-1], flush=True)
    return found


def table_of_noisy(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A row for each set of labels, means over the runs."""
    rows = []
    for labels in dict.fromkeys(one["labels"] for one in found):
        own = [one for one in found if one["labels"] == labels]
        lists = [part for one in own for part in one["lists"]]
        over = max(part["stated"] - part["real"] for part in lists)
        held = np.mean([part["low"] <= part["real"] <= part["high"] for part in lists])
        means = {key: np.mean([one[key] for one in own]) for key in own[0] if key not in ("labels", "lists")}
        rows.append(
            [
                labels,
                *(f"{100 * means[key]:.1f}" for key in ("wrong", "wrong_estimated")),
                f"{means['average_precision']:.3f}",
                *(f"{100 * means[key]:.0f}" for key in ("precision", "recall")),
                f"{100 * over:+.1f}",
                f"{100 * held:.0f}",
            ]
        )
    return {
        "title": "People's labels of CIFAR-10 (CIFAR-10N) on rows that a run held out, judged by it",
        "columns": [
            "labels",
            "wrong, %",
            "estimated, %",
            "average precision",
            "precision of the flagged, %",
            "recall, %",
            "stated precision too high by at most",
            "interval holds the truth, %",
        ],
        "rows": rows,
        "note": f"Means of {len(found) // len(rows)} runs, {found[0]['rows']:,} rows each; the runs learned the "
        "published labels of other rows. Lists of 10, 30, 60, 100 and 150 % of the number of wrong labels.",
    }


# -- what is written ---------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    parser.add_argument("--choose", action="store_true", help="compare combinations on rows that nobody checked")
    parser.add_argument("--cleanlab-python", default=sys.executable, help="interpreter that has cleanlab 2.9")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    options = parser.parse_args()
    test = Test.read()
    runs = [by_run.load_run(folder, device="cpu") for folder in options.runs]
    data = by_run.read_for(runs[0], TEST, "label", image_column="image")[1]
    seen = [by_run.view(run, data) for run in runs]
    about = [
        {
            "command": run.about["command"],
            "model": run.about["model"],
            "seconds": run.metrics["seconds"],
            "validation_accuracy": run.metrics.get("validation_accuracy"),
            "test_accuracy": float((one.probabilities.argmax(1) == test.given).mean()),
        }
        for run, one in zip(runs, seen)
    ]
    names = [f"run {run.about['seed']}" for run in runs]
    payload: dict[str, Any] = {"runs": about}
    if options.choose:
        payload["candidates"] = choose(test, seen)
        payload["tables"] = [table_of_candidates(payload["candidates"], len(runs))]
    else:
        payload["methods"] = judge(test, dict(zip(names, seen)), options.cleanlab_python)
        payload["noisy"] = noisy(runs)
        payload["tables"] = [table_of_votes(payload["methods"], about), table_of_noisy(payload["noisy"])]
    for row in payload["tables"][0]["rows"]:
        print(*row, sep="\t")
    if not options.dry:
        print(write_result("checked_rows_rule" if options.choose else "checked_rows", payload))


def table_of_candidates(found: dict[str, dict[str, float]], runs: int) -> dict[str, Any]:
    """Every candidate, the best over all rows first."""
    order = sorted(found, key=lambda name: -found[name]["all rows"])
    return {
        "title": "Ways to combine two sources, average precision on CIFAR-10 test rows that nobody checked",
        "columns": ["combination", "all rows", "rows that cleanlab's model doubts"],
        "rows": [[name, *(f"{found[name][key]:.3f}" for key in ("all rows", "doubted rows"))] for name in order],
        "note": "Labels: one person's, drawn from CIFAR-10H; wrong where the published label differs. Means of "
        f"{DRAWS} draws for each of {runs} runs. Both: three quarters the rank of self-confidence, one the margin's.",
    }


def table_of_votes(found: dict[str, dict[str, Any]], about: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """errata's orders, and cleanlab's three scores and the best of all its orders."""
    theirs = {name: row for name, row in found.items() if name.startswith("cleanlab ")}
    best = max(theirs, key=lambda name: theirs[name]["average_precision"])
    shown = {f"{best} (its best, by hindsight)": theirs[best]}
    shown |= {n: theirs[n] for n in ("cleanlab self_confidence", "cleanlab normalized_margin") if n != best}
    shown |= {name: row for name, row in found.items() if not name.startswith("cleanlab ")}
    rows = []
    for name, row in shown.items():
        cells = []
        for key in ("average_precision", "auroc"):
            between = row.get(f"{key}_90")
            cells += [f"{row[key]:.3f}", "-" if between is None else f"{between[0]:.3f} to {between[1]:.3f}"]
        rows.append([name, *cells])
    right = ", ".join(f"{100 * one['test_accuracy']:.1f}" for one in about)
    return {
        "title": "The 275 checked rows of CIFAR-10's test set, 54 of them wrong",
        "columns": ["order", "average precision", "90 % interval", "AUROC", "90 % interval"],
        "rows": rows,
        "note": f"Accuracy of the runs on the test set: {right} %. Intervals by drawing the checked rows anew.",
    }


if __name__ == "__main__":
    main()
