"""How the ensemble's weights were chosen: on sets and draws that ``finding.py`` does not record.

Compared are orders that need probabilities alone, and weights of the places by neighbours beside those by
probabilities, from one pass, and with a second one trained without the rows that the first flags. Sets: digits, MNIST's
training images, AG news, SST-2, Banking77 and SemEval with noise of three kinds, CIFAR-10N (other rows than are
recorded), and test images of CIFAR-10 that nobody checked, labelled by one person of those who looked at each
(CIFAR-10H), with cleanlab's probabilities and an embedding of patches, which is much the poorer source. Seeds 50 and
51.

    python benchmarks/peers/finding_rule.py
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _patches import patch_features
from _problems import DATA, Problem, cifar10n, components, pictures

from _record import write_result
from errata.audit.by_run import pool, pool_weights, votes
from errata.audit.confident import confident
from errata.audit.crossval import cross_validate
from errata.audit.ensemble import Opinion, as_opinion, by_neighbours, weighed
from errata.audit.neighbours import neighbours
from errata.audit.predictors import EstimatorFolds, Without, auto, bag_of_words
from errata.audit.trust import sharpness
from errata.data import read
from errata.labels import ClassLabels
from errata.ledger import Ledger
from errata.noise import asymmetric, instance_dependent, symmetric
from errata.scores.confident import entropy_weighted
from errata.scores.ensemble import rank_average

SEEDS = (50, 51)
ROWS = 2500


def some(n: int, most: int, seed: int) -> np.ndarray:
    """Rows of a random subset."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])


def ag_news() -> tuple[list[str], list[str]]:
    """Titles and first lines of news of four kinds."""
    with gzip.open(DATA / "text/ag_news/test.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return [f"{row[1]} {row[2]}" for row in rows], [row[0] for row in rows]


def sst2() -> tuple[list[str], list[str]]:
    """Sentences of film reviews."""
    with gzip.open(DATA / "text/sst2/train.tsv.gz", "rt", encoding="utf-8") as file:
        texts, kinds = zip(*(line.rstrip("\n").split("\t") for line in file))
    return list(texts), list(kinds)


def banking77() -> tuple[list[str], list[str]]:
    """Questions to a bank, of 77 kinds."""
    with gzip.open(DATA / "text/banking77/train.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return [row[0] for row in rows], [row[1] for row in rows]


def semeval() -> tuple[list[str], list[str]]:
    """Sentences with a relation, without its direction."""
    with gzip.open(DATA / "relations/semeval2010_TRAIN_FILE.TXT.gz", "rt", encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    starts = range(0, len(lines) - 3, 4)
    texts = [lines[i].split("\t", 1)[1].strip('"') for i in starts]
    return texts, [lines[i + 1].split("(")[0] for i in starts]


def planted(name: str, x: Any, embedding: np.ndarray, y: np.ndarray, seed: int) -> Iterator[Problem]:
    """Labels with noise of three kinds."""
    k, features = int(y.max()) + 1, embedding[:, :64]
    kinds = {
        "symmetric": symmetric(y, 0.2, k, seed=seed),
        "instance 0.1": instance_dependent(features, y, 0.1, k, seed=seed),
        "instance 0.3": instance_dependent(features, y, 0.3, k, seed=seed),
    }
    if k > 2:
        kinds["pair"] = asymmetric(y, 0.2, "pair", num_classes=k, seed=seed)
    for kind, given in kinds.items():
        data = None if name == "mnist" else read(x, given)
        yield Problem(f"{name}, {kind}", seed, given, given != y, embedding, data=data)


def people(seed: int) -> Problem:
    """Test images of CIFAR-10 that nobody checked, each with one person's label."""
    import pyarrow.parquet as pq

    table = pq.read_table(DATA / "cifar10_test.parquet")
    free = np.flatnonzero(np.array(table["check_votes"].to_pylist())[:, 0] < 0)
    part = table.take(free[some(len(free), 4000, seed)])
    probs = np.array(part["crossval_probs"].to_pylist(), dtype=np.float32)
    counts = np.array(part["human_counts"].to_pylist(), dtype=np.float64)
    chance = np.cumsum(counts / counts.sum(1, keepdims=True), axis=1)
    given = (np.random.default_rng(seed).random((len(chance), 1)) > chance).sum(1).clip(max=9)
    x = components(patch_features(pictures(part["image"]), seed=seed))
    wrong = given != part["label"].to_numpy()
    return Problem("CIFAR-10H", seed, given, wrong, x, probs / probs.sum(1, keepdims=True))


def problems() -> Iterator[Problem]:
    """All of them."""
    from sklearn.datasets import load_digits

    with np.load(DATA / "mnist" / "train.npz") as arrays:
        images, digits = arrays["X"], arrays["y"].astype(np.int64)
    for seed in SEEDS:
        yield people(seed)
        yield from cifar10n(argparse.Namespace(seeds=range(seed, seed + 1), rows=2000))
        x, y = load_digits(return_X_y=True)
        yield from planted("digits", x / 16.0, x / 16.0, y, seed)
        rows = some(len(digits), 2000, seed)
        embedding = components(images[rows].reshape(len(rows), -1) / 255.0)
        yield from planted("mnist", embedding, embedding, digits[rows], seed)
        for load in (ag_news, sst2, banking77, semeval):
            texts, kinds = load()
            rows = some(len(texts), ROWS, seed)
            own = [texts[i] for i in rows]
            y = np.unique(np.array(kinds)[rows], return_inverse=True)[1]
            yield from planted(load.__name__, own, components(bag_of_words(own), 200), y, seed)


def before(opinions: list[Opinion]) -> list[float]:
    """The log-odds of each method's predictions being the given labels, against a guess; of neighbours a half."""
    weights = []
    for opinion in opinions:
        margin = opinion.ledger.columns["neighbour_margin" if opinion.name == "neighbours" else "normalized_margin"]
        right = min(float((margin > 0.5).mean()), 1 - 0.5 / len(margin))
        odds = np.log(max(right, 1e-12) / (1 - right)) + np.log(len(opinion.ledger.classes) - 1)
        weights.append(max(0.0, float(odds)) * (0.5 if opinion.name == "neighbours" else 1.0))
    return weights


def by_probabilities(problem: Problem, probs: np.ndarray, ledger: Ledger) -> dict[str, np.ndarray]:
    """Orders that need probabilities alone."""
    sure, margin = ledger.columns["self_confidence"], ledger.columns["normalized_margin"]
    entropy = entropy_weighted(problem.given, probs)
    tempered = pool([probs], pool_weights(problem.given, [probs]))
    sharp = pool([probs], [sharpness(problem.given, probs)])
    rows = np.arange(len(probs))
    return {
        "probabilities alone: self-confidence": sure,
        "probabilities alone: margin": margin,
        "probabilities alone: confidence-weighted entropy": entropy,
        "probabilities alone: self-confidence three parts, margin one": rank_average([sure, margin], [0.75, 0.25]),
        "probabilities alone: self-confidence and entropy": rank_average([sure, entropy]),
        "probabilities alone: self-confidence, tempered": tempered[rows, problem.given],
        "probabilities alone: self-confidence, sharpened": sharp[rows, problem.given],
    }


def look(problem: Problem) -> dict[str, float]:
    """The average precision of each candidate."""
    from sklearn.linear_model import LogisticRegression

    labels = ClassLabels(problem.given, list(range(int(problem.given.max()) + 1)))
    opinions = []
    if problem.probs is None:
        model = LogisticRegression(C=0.05, max_iter=200)
        folds: Any = EstimatorFolds(model, problem.features, labels, seed=problem.seed)
        folds = folds if problem.data is None else auto(problem.data, problem.seed)
        probs = cross_validate(labels, folds, seed=problem.seed, jobs=1).pred_probs
        first = confident(labels, probs)
        again = cross_validate(labels, Without(folds, first.issue, labels), seed=problem.seed, jobs=1).pred_probs
        opinions.append(as_opinion("confident_again", confident(labels, again)))
    else:
        probs = problem.probs
        first = confident(labels, probs)
    near = neighbours(labels, problem.features, seed=problem.seed)
    pooled = pool_weights(labels.codes, [probs, votes(labels, problem.features)])
    share = float(pooled[0] / pooled.sum())
    one = [as_opinion("confident", first), by_neighbours(near)]
    two = [one[0], *opinions, one[1]]
    orders = by_probabilities(problem, probs, first)
    for name, all_of in (("one pass", one), ("two passes", two)):
        mixed = [o.weight for o in weighed(all_of)]
        weights = {
            "log-odds, neighbours half (before)": before(all_of),
            "equal": [1.0] * len(all_of),
            "weights of the logarithmic pool": [share, *[1.0] * (len(all_of) - 2), 1 - share],
            "shares of the mixture": mixed,
        }
        if name == "two passes":
            weights["shares of the mixture, a second pass as the first"] = [*[mixed[0]] * (len(all_of) - 1), mixed[-1]]
        for rule, values in weights.items():
            orders[f"{name}: {rule}"] = rank_average([o.places for o in all_of], values)
    return {name: problem.score(order)["average_precision"] for name, order in orders.items()}


def main() -> None:
    """Compare, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="record nothing")
    args = parser.parse_args()
    records = []
    for problem in problems():
        records.append({"set": problem.name, "seed": problem.seed, "found": look(replace(problem))})
        print(records[-1]["set"], records[-1]["seed"], flush=True)
    families = list(dict.fromkeys(record["set"].split(",")[0].split(" ")[0] for record in records))
    names = list(dict.fromkeys(name for record in records for name in record["found"]))
    rows = []
    for name in names:
        means = []
        for family in families:
            own = [r["found"] for r in records if r["set"].split(",")[0].split(" ")[0] == family]
            means.append(float(np.mean([found[name] for found in own])))
        rows.append([name, *(f"{100 * m:.1f}" for m in means), f"{100 * np.mean(means):.1f}"])
    table = {
        "title": "How much neighbours count beside probabilities: chosen on these sets",
        "columns": ["places weighed by", *families, "mean"],
        "rows": rows,
        "note": f"Average precision in percent; seeds {SEEDS[0]} and {SEEDS[1]}. CIFAR-10H has no second pass.",
    }
    print("\n".join("  ".join(row) for row in rows))
    if not args.dry:
        write_result("finding_rule", {"tables": [table], "records": records})


if __name__ == "__main__":
    main()
