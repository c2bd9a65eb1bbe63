"""Sets with known errors: those that ``finding.py`` records, and others on which methods are chosen."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(os.environ.get("ERRATA_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
RATES = (0.1, 0.3)
COMPONENTS = 128
FIRST_SEED = 100


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
    """The seeds that were asked for: these, or so many from 100 on."""
    return args.seeds if isinstance(args.seeds, range) else range(FIRST_SEED, FIRST_SEED + args.seeds)


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
    """The checked rows of CIFAR-10's test set, among all its rows."""
    import pyarrow.parquet as pq
    from _patches import patch_features

    table = pq.read_table(DATA / "cifar10_test.parquet")
    vote = np.array(table["check_votes"].to_pylist())[:, 0]
    seed = seeds_of(args)[0]
    x = components(patch_features(pictures(table["image"]), seed=seed))
    probs = np.array(table["crossval_probs"].to_pylist(), dtype=np.float32)
    given = table["label"].to_numpy().astype(np.int64)
    yield Problem("cifar10_test", seed, given, vote < 3, x, probs / probs.sum(1, keepdims=True), None, vote >= 0)


def mnist_test(args: argparse.Namespace) -> Iterator[Problem]:
    """The checked rows of MNIST's test set, among all its rows; the pixels' main components are the embedding."""
    with np.load(DATA / "mnist" / "test.npz") as arrays:
        x, given, index, probs = (arrays[name] for name in ("X", "y", "index", "cleanlab_probs"))
    place = {int(number): row for row, number in enumerate(index)}
    votes = np.full(len(given), -1)
    with gzip.open(DATA / "mnist" / "mturk.json.gz", "rt") as file:
        for entry in json.load(file):
            votes[place[entry["id"]]] = entry["mturk"]["given"]
    embedding, given = components(x.reshape(len(x), -1) / 255.0), given.astype(np.int64)
    probs = probs / probs.sum(1, keepdims=True)
    yield Problem("mnist_test", seeds_of(args)[0], given, votes < 3, embedding, probs, None, votes >= 0)


def news(args: argparse.Namespace) -> Iterator[Problem]:
    """The checked rows of 20news; there are probabilities only, so their logarithms stand for an embedding."""
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
    yield Problem(
        "20news", seeds_of(args)[0], given, votes < 3, logs - logs.mean(1, keepdims=True), probs, None, votes >= 0
    )


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


SOURCES: dict[str, Callable[[argparse.Namespace], Iterator[Problem]]] = {
    "cifar10n": cifar10n,
    "cifar10_test": cifar10_test,
    "mnist_test": mnist_test,
    "20news": news,
    "digits": digits,
    "trec": trec,
}
