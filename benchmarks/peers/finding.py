"""Which rows are wrong? errata beside cleanlab and SimiFeat (Docta's), from the same probabilities and embeddings.

Every method orders the rows of a set with known errors; told are the average precision of its order, and the share of
errors among its first n rows, n being the number of errors there are ("precision at n").

- cleanlab 2.9 (in a process of its own interpreter): every score, plain and adjusted, and every filter rule, with its
  issues first, each ordered by each score. "best of cleanlab" is the best of all these *for that set and seed*, chosen
  with hindsight, which no user could.
- SimiFeat-V and -R: this project's reimplementation of what Docta does, ordered by the share of rounds that flag a row.
- errata: confident, neighbours, the ensemble from one pass (the same probabilities and embeddings as all others have),
  the ensemble with its second pass (trained once more), and dynamics.

The ensemble's two constants (the share of self-confidence, the half weight of neighbours) were chosen on other draws
(seeds 10 and 11) of TREC, CIFAR-10N and breast cancer, never on the checked rows.

Sets: CIFAR-10N (people's labels; a subset of the rows), the human-checked rows of the 20news and CIFAR-10 test sets
(an error: fewer than 3 of 5 people chose the given label; never used but for the figures), and digits and TREC with
planted noise that depends on the instance.

    python -m venv /tmp/cleanlab && /tmp/cleanlab/bin/pip install "cleanlab==2.9.*"
    python benchmarks/peers/finding.py --cleanlab-python /tmp/cleanlab/bin/python
    python benchmarks/peers/finding.py --sets digits trec --seeds 1 --dry ...   # nothing recorded
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("ERRATA_DATA", ROOT.parent / "shared" / "data"))
RATES = (0.1, 0.3)
COMPONENTS = 128


@dataclass
class Problem:
    """A set with known errors."""

    name: str
    seed: int
    given: np.ndarray
    wrong: np.ndarray
    features: np.ndarray
    probs: np.ndarray | None = None
    data: Any = None
    checked: np.ndarray | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def score(self, trust: np.ndarray) -> dict[str, float]:
        """Average precision and precision at the number of errors of an order by rising trust."""
        from sklearn.metrics import average_precision_score, roc_auc_score

        rows = np.ones(len(self.given), dtype=bool) if self.checked is None else self.checked
        wrong, doubt = self.wrong[rows], -np.nan_to_num(np.asarray(trust, dtype=np.float64)[rows], nan=1e9)
        first = np.argsort(-doubt, kind="stable")[: int(wrong.sum())]
        return {
            "average_precision": float(average_precision_score(wrong, doubt)),
            "precision_at_n": float(wrong[first].mean()),
            "auroc": float(roc_auc_score(wrong, doubt)),
        }


def seeds_of(args: argparse.Namespace) -> range:
    """The seeds that were asked for: so many from 0 on, or these."""
    return args.seeds if isinstance(args.seeds, range) else range(args.seeds)


# -- sets --------------------------------------------------------------------------------------------------------------


def pictures(column: Any) -> np.ndarray:
    """(N, 32, 32, 3) uint8 of encoded pictures."""
    from PIL import Image

    return np.stack([np.asarray(Image.open(io.BytesIO(cell.as_py())).convert("RGB")) for cell in column])


def components(x: Any, number: int = COMPONENTS) -> np.ndarray:
    """The main components of features, each dense column standardised first."""
    from sklearn.decomposition import TruncatedSVD

    x = x if hasattr(x, "tocsr") else (x - x.mean(0)) / (x.std(0) + 1e-6)
    return np.asarray(TruncatedSVD(min(number, min(x.shape) - 1), random_state=0).fit_transform(x), dtype=np.float32)


def cifar10n(args: argparse.Namespace) -> Iterator[Problem]:
    """Labels of people on a random subset of CIFAR-10, another one for each seed."""
    import pyarrow.parquet as pq
    from _patches import patch_features

    table = pq.read_table(DATA / "cifar10n_train.parquet")
    for seed in seeds_of(args):
        rows = np.sort(np.random.default_rng(seed).permutation(table.num_rows)[: args.rows])
        part = table.take(rows)
        x = components(patch_features(pictures(part["image"]), seed=seed))
        true = part["true_label"].to_numpy()
        for column in ("aggregate_label", "random_label1", "worst_label"):
            given = part[column].to_numpy().astype(np.int64)
            yield Problem(f"cifar10n {column.split('_')[0]}", seed, given, given != true, x)


def cifar10_test(args: argparse.Namespace) -> Iterator[Problem]:
    """The checked rows of CIFAR-10's test set, among a subset of all its rows."""
    import pyarrow.parquet as pq
    from _patches import patch_features

    table = pq.read_table(DATA / "cifar10_test.parquet")
    votes = np.array(table["check_votes"].to_pylist())
    for seed in seeds_of(args):
        mixed = np.random.default_rng(seed).permutation(table.num_rows)
        rows = np.unique(np.concatenate([np.flatnonzero(votes[:, 0] >= 0), mixed[: args.rows]]))
        part, vote = table.take(rows), votes[rows]
        x = components(patch_features(pictures(part["image"]), seed=seed))
        probs = np.array(part["crossval_probs"].to_pylist(), dtype=np.float32)
        given = part["label"].to_numpy().astype(np.int64)
        yield Problem(
            "cifar10_test", seed, given, vote[:, 0] < 3, x, probs / probs.sum(1, keepdims=True), None, vote[:, 0] >= 0
        )


def news(args: argparse.Namespace) -> Iterator[Problem]:
    """The checked rows of 20news; there are probabilities only, so their logarithms are the embedding."""
    folder = DATA / "label_errors"
    given = load_single(folder / "20news_test_set_labels.npz").astype(np.int64)
    probs = load_single(folder / "20news_test_set_probs.npz").astype(np.float64)
    probs /= probs.sum(1, keepdims=True)
    with gzip.open(folder / "20news_test_set_mturk.json.gz") as file:
        checks = json.load(file)
    votes = np.full(len(given), -1)
    for entry in checks:
        votes[int(entry["id"])] = int(entry["mturk"]["given"])
    logs = np.log(np.clip(probs, 1e-6, 1))
    yield Problem("20news", 0, given, votes < 3, logs - logs.mean(1, keepdims=True), probs, None, votes >= 0)


def load_single(path: Path) -> np.ndarray:
    """The only array of an .npz file."""
    with np.load(path) as arrays:
        return arrays[arrays.files[0]]


def digits(args: argparse.Namespace) -> Iterator[Problem]:
    """scikit-learn's digits as a table."""
    from sklearn.datasets import load_digits

    from errata.data import read
    from errata.noise import instance_dependent

    x, y = load_digits(return_X_y=True)
    for seed in seeds_of(args):
        for rate in RATES:
            given = instance_dependent(x, y, rate, 10, seed=seed)
            yield Problem(f"digits {rate}", seed, given, given != y, x / 16.0, data=read(x, given))


def trec(args: argparse.Namespace) -> Iterator[Problem]:
    """Questions of six kinds."""
    from errata.audit.predictors import bag_of_words
    from errata.data import read
    from errata.noise import instance_dependent

    with gzip.open(DATA / "text" / "trec" / "TREC.train.gz", "rt", encoding="latin-1") as file:
        kinds, texts = zip(*(line.strip().split(" ", 1) for line in file))
    y = np.unique([kind.split(":")[0] for kind in kinds], return_inverse=True)[1]
    words = components(bag_of_words(list(texts)), 200)
    for seed in seeds_of(args):
        for rate in RATES:
            given = instance_dependent(words[:, :50], y, rate, 6, seed=seed)
            yield Problem(f"trec {rate}", seed, given, given != y, words, data=read(list(texts), given))


SOURCES = {"cifar10n": cifar10n, "cifar10_test": cifar10_test, "20news": news, "digits": digits, "trec": trec}


# -- methods -----------------------------------------------------------------------------------------------------------


def errata_side(problem: Problem, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Every method of errata, and SimiFeat; sets ``problem.probs`` where the set brings none."""
    from sklearn.linear_model import LogisticRegression

    from errata.audit.confident import confident
    from errata.audit.crossval import cross_validate
    from errata.audit.ensemble import as_opinion, by_neighbours, combine
    from errata.audit.neighbours import neighbours
    from errata.audit.predictors import EstimatorFolds, Without, auto
    from errata.labels import ClassLabels
    from errata.scores.neighbours import consensus, nearest, share_right, solve_consensus
    from errata.scores.simifeat import simifeat

    found: dict[str, dict[str, float]] = {}
    classes = int(problem.given.max()) + 1 if problem.probs is None else problem.probs.shape[1]
    labels = ClassLabels(problem.given, list(range(classes)))
    predictor: Any = None
    if problem.probs is None:
        begun = time.process_time()
        model = LogisticRegression(C=0.05, max_iter=200)
        predictor = (
            auto(problem.data, problem.seed)
            if problem.data is not None
            else EstimatorFolds(model, problem.features, labels, seed=problem.seed)
        )
        problem.probs = cross_validate(labels, predictor, seed=problem.seed, jobs=1).pred_probs
        problem.notes["cross_validation_seconds"] = time.process_time() - begun
    alone = confident(labels, problem.probs)
    found["confident, by self-confidence"] = problem.score(alone.columns["self_confidence"])
    found["confident, by margin"] = problem.score(alone.columns["normalized_margin"])
    near = neighbours(labels, problem.features, seed=problem.seed)
    found["neighbours"] = problem.score(near.trust)
    graph = nearest(problem.features, 18)
    transition, prior = solve_consensus(*consensus(graph.index, problem.given, classes))
    right = share_right(transition, prior, np.bincount(problem.given, minlength=classes) / len(labels))
    for rule in ("vote", "rank"):
        flags = simifeat(graph, problem.given, rule=rule, right=right, seed=problem.seed)
        found[f"SimiFeat-{rule[0].upper()} (reimplemented)"] = problem.score(-flags.flagged)
    opinions = [as_opinion("confident", alone), by_neighbours(near)]
    found["ensemble, one pass"] = problem.score(combine(labels, opinions).trust)
    problem.notes["noise_rate"] = {"true": float(problem.wrong.mean()) if problem.checked is None else None}
    problem.notes["noise_rate"].update({"confident": alone.noise.rate, "neighbours": near.noise.rate})
    if predictor is not None and alone.issue.any():
        again = cross_validate(labels, Without(predictor, alone.issue, labels), seed=problem.seed, jobs=1)
        second = confident(labels, again.pred_probs)
        opinions.insert(1, as_opinion("confident_again", second))
        found["ensemble"] = problem.score(combine(labels, opinions).trust)
        problem.notes["noise_rate"]["ensemble"] = second.noise.rate
    if problem.checked is None:
        found.update(networks(problem, args))
    return found


def networks(problem: Problem, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Dynamics, and for some seeds confident learning with the same network cross-validated, with CPU seconds."""
    import errata
    from errata.data import read

    data = problem.data if problem.data is not None else read(problem.features, problem.given)
    begun = time.process_time()
    ledger = errata.audit(data, method="dynamics", seed=problem.seed, device="cpu", progress=False)
    found = {"dynamics": problem.score(ledger.trust)}
    problem.notes["noise_rate"]["dynamics"] = ledger.noise.rate
    problem.notes["dynamics_seconds"] = time.process_time() - begun
    if problem.seed < args.network_seeds:
        name = "text_bag" if data.kind == "text" else "mlp"
        begun = time.process_time()
        ledger = errata.audit(data, model=name, seed=problem.seed, device="cpu", progress=False)
        problem.notes["network_cross_validated_seconds"] = time.process_time() - begun
        found["network cross-validated, by self-confidence"] = problem.score(ledger.columns["self_confidence"])
        found["network cross-validated, by margin"] = problem.score(ledger.columns["normalized_margin"])
    return found


def cleanlab_side(problem: Problem, python: str) -> dict[str, dict[str, float]]:
    """Every score and rule of cleanlab on the same labels and probabilities, in its own interpreter."""
    with tempfile.TemporaryDirectory(prefix="finding-") as name:
        np.savez(Path(name) / "in.npz", given=problem.given, probs=problem.probs)
        done = subprocess.run([python, __file__, "--cleanlab", name], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"cleanlab failed; is it installed for {python}? {done.stderr[-600:]}")
        with np.load(Path(name) / "out.npz") as arrays:
            return {f"cleanlab {key}": problem.score(arrays[key]) for key in arrays.files}


def run_cleanlab(folder: Path) -> None:
    """What runs in cleanlab's interpreter: an order of the rows for each score, and for each rule by each score."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    with np.load(folder / "in.npz") as arrays:
        given, probs = arrays["given"], arrays["probs"]
    scores = {}
    for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        scores[method] = get_label_quality_scores(given, probs, method=method)
        if method != "confidence_weighted_entropy":
            scores[f"{method} adjusted"] = get_label_quality_scores(given, probs, method=method, adjust_pred_probs=True)
    orders = dict(scores)
    rules = ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given")
    for rule in rules:
        issues = find_label_issues(given, probs, filter_by=rule, n_jobs=1)
        orders.update({f"{rule}, {name}": score + np.where(issues, 0.0, 2.0) for name, score in scores.items()})
    np.savez(folder / "out.npz", **orders)


# -- comparison --------------------------------------------------------------------------------------------------------


def measure(problem: Problem, args: argparse.Namespace) -> dict[str, Any]:
    """One set and seed: every method's figures."""
    ours = errata_side(problem, args)
    theirs = cleanlab_side(problem, args.cleanlab_python)
    best = max(theirs, key=lambda name: theirs[name]["average_precision"])
    record = {
        "set": problem.name,
        "seed": problem.seed,
        "rows": len(problem.given),
        "checked": None if problem.checked is None else int(problem.checked.sum()),
        "errors": int(problem.wrong.sum() if problem.checked is None else problem.wrong[problem.checked].sum()),
        "best_of_cleanlab": best,
        "methods": {**ours, **theirs, "best of cleanlab": theirs[best]},
        **problem.notes,
    }
    shown = {name: ours[name]["average_precision"] for name in ours}
    told = ", ".join(f"{name} {value:.3f}" for name, value in shown.items())
    top = theirs[best]["average_precision"]
    print(f"{problem.name}, seed {problem.seed}: best of cleanlab {top:.3f} ({best}); {told}")
    return record


def summary(records: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Means over seeds, for each set, method and figure; and over sets as "mean of sets" where a method has all."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name in dict.fromkeys(r["set"] for r in records):
        of_set = [r["methods"] for r in records if r["set"] == name]
        result[name] = {
            method: {key: float(np.mean([m[method][key] for m in of_set])) for key in of_set[0][method]}
            for method in of_set[0]
            if all(method in m for m in of_set)
        }
    everywhere = [m for m in next(iter(result.values())) if all(m in methods for methods in result.values())]
    result["mean of sets"] = {
        method: {
            key: float(np.mean([methods[method][key] for methods in result.values()]))
            for key in ("average_precision", "precision_at_n", "auroc")
        }
        for method in everywhere
    }
    return result


def print_summary(means: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print average precision (precision at n) of what is not one of cleanlab's many orders."""
    for name, methods in means.items():
        print(f"\n{name}")
        for method, row in methods.items():
            if not method.startswith("cleanlab ") or method in CLEANLAB_SHOWN:
                print(
                    f"  {method:42} {row['average_precision']:.3f}  ({row['precision_at_n']:.3f})  {row['auroc']:.3f}"
                )


CLEANLAB_SHOWN = ("cleanlab self_confidence", "cleanlab normalized_margin", "cleanlab confidence_weighted_entropy")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cleanlab-python", default=sys.executable, help="interpreter that has cleanlab 2.9")
    parser.add_argument("--sets", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--rows", type=int, default=2500, help="of CIFAR-10N and CIFAR-10's test set")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--network-seeds", type=int, default=1, help="seeds for which a network is cross-validated too")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    parser.add_argument("--cleanlab", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print, record."""
    args = parse()
    if args.cleanlab:
        run_cleanlab(args.cleanlab)
        return
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from _record import write_result

    begun, records = time.process_time(), []
    for name in args.sets:
        for problem in SOURCES[name](args):
            records.append(measure(problem, args))
    means = summary(records)
    print_summary(means)
    print(f"\n{time.process_time() - begun:.0f} CPU seconds")
    if not args.dry:
        settings = {"rows": args.rows, "seeds": args.seeds, "sets": args.sets}
        print(f"written: {write_result('finding', {**settings, 'records': records, 'summary': means})}")


if __name__ == "__main__":
    main()
