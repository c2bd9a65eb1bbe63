"""Is the stated precision of an audit's list right? Against planted and human truth, without the audit seeing it.

For each data set and seed, at lists of 10, 30, 60, 100 and 150 % of the number of wrong labels: the stated precision,
its interval, and the real one. On human-checked test sets only the checked rows of the list count as the truth.

    python benchmarks/claims/vouching.py                 # digits and TREC with planted noise, Hausa, checked test sets
    python benchmarks/claims/vouching.py --cifar 8000    # and so many images of CIFAR-10N, three label sets
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import errata
from _record import write_result
from claims._measure import FIRST_SEED
from claims._settings import DATA, SETTINGS, cifar10n

KINDS = ("symmetric", "pair", "instance")
RATES = (0.1, 0.2, 0.4)
LENGTHS = (0.1, 0.3, 0.6, 1.0, 1.5)
LEAST = 20


@dataclass(frozen=True)
class Case:
    """Given labels of a data set and which of them are wrong, or only known of some rows."""

    name: str
    group: str
    source: Any
    given: np.ndarray
    wrong: np.ndarray
    known: np.ndarray | None = None
    probs: np.ndarray | None = None


def planted(seeds: int) -> Iterator[Case]:
    """Digits and TREC with three kinds of noise at three rates."""
    for name in ("digits-symmetric-0.4", "trec-symmetric-0.4"):
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            task = SETTINGS[name].load(seed)
            features = task.x if name.startswith("digits") else _embedded(task.x)
            for kind in KINDS:
                for rate in RATES:
                    given = _noisy(kind, rate, features, task.true, task.num_classes, seed)
                    told = f"{name.split('-')[0]}, {kind} noise"
                    yield Case(f"{told}, {rate}, seed {seed}", told, task.x, given, given != task.true)


def human(cifar: int) -> Iterator[Case]:
    """Hausa titles; CIFAR-10N."""
    task = SETTINGS["hausa"].load(0)
    yield Case("Hausa titles, keyword rules", "Hausa titles", task.x, task.given, task.given != task.true)
    if not cifar:
        return
    train = errata.read(DATA / "cifar10n_train.parquet", label="true_label")
    size = {"pixels": 16, "rows": cifar, "test_rows": 10, "model": "", "augment": False}
    size |= {"epochs": 0, "batch_size": 0, "lr": 0.0}
    task = cifar10n("worst", size)(FIRST_SEED)
    rows = np.sort(np.random.default_rng(FIRST_SEED).permutation(len(train))[:cifar])
    for column in ("aggregate_label", "random_label1", "worst_label"):
        given = train.select_label(column).labels.codes[rows]
        yield Case(f"CIFAR-10N {column}", "CIFAR-10N", task.x, given, given != task.true)


def checked() -> Iterator[Case]:
    """Test sets of which people checked the most doubtful rows, with the probabilities that came with them."""
    import pandas as pd

    cifar = pd.read_parquet(DATA / "cifar10_test.parquet", columns=["label", "crossval_probs", "check_votes"])
    votes, given = np.stack(cifar["check_votes"]), cifar["label"].to_numpy()
    probs = np.stack(cifar["crossval_probs"]).astype(np.float32)
    known = votes[:, 0] >= 0
    yield Case("CIFAR-10 test, checked", "CIFAR-10 test, checked", None, given, known & (votes[:, 0] < 3), known, probs)
    mnist = np.load(DATA / "mnist" / "test.npz")
    known, wrong = np.zeros((2, len(mnist["y"])), dtype=bool)
    place = {int(number): row for row, number in enumerate(mnist["index"])}
    with gzip.open(DATA / "mnist" / "mturk.json.gz", "rt") as file:
        for entry in json.load(file):
            row = place[entry["id"]]
            known[row], wrong[row] = True, entry["mturk"]["given"] < 3
    given, probs = mnist["y"].astype(int), mnist["cleanlab_probs"]
    yield Case("MNIST test, checked", "MNIST test, checked", None, given, wrong, known, probs)


def _noisy(kind: str, rate: float, features: np.ndarray, y: np.ndarray, k: int, seed: int) -> np.ndarray:
    if kind == "symmetric":
        return errata.noise.symmetric(y, rate, k, seed=seed)
    if kind == "pair":
        return errata.noise.asymmetric(y, rate, "pair", num_classes=k, seed=seed)
    return errata.noise.instance_dependent(features, y, rate, k, seed=seed)


def _embedded(texts: list[str]) -> np.ndarray:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(min_df=2).fit_transform(texts)
    return TruncatedSVD(50, random_state=0).fit_transform(words).astype(np.float32)


def look(case: Case, seed: int) -> dict[str, Any]:
    """Audit one case and compare what is stated with what is so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if case.probs is not None:
            ledger = errata.audit(labels=case.given, pred_probs=case.probs)
        else:
            ledger = errata.audit(case.source, case.given, seed=seed, device="cpu", progress=False)
    stated = ledger.vouched
    known = np.ones(len(case.given), dtype=bool) if case.known is None else case.known
    errors = int(case.wrong.sum())
    lengths = []
    for share in LENGTHS:
        n = max(LEAST, round(share * errors))
        head = ledger.order[:n]
        real = float(case.wrong[head][known[head]].mean())
        lengths.append({"n": n, "checked": int(known[head].sum()), "real": real, **stated.at(n)})
    rate = None if case.known is not None else float(case.wrong.mean())
    return {
        "case": case.name,
        "group": case.group,
        "wrong": rate,
        "stated_wrong": stated.errors / len(case.given),
        "joint_wrong": ledger.noise.rate,
        "lengths": lengths,
    }


def summed(cases: list[dict[str, Any]]) -> list[list[str]]:
    """A row per group: how far off, and how often the interval holds the truth."""
    rows = []
    for group in dict.fromkeys(case["group"] for case in cases):
        own = [case for case in cases if case["group"] == group]
        points = [point for case in own for point in case["lengths"]]
        over = [point["precision"] - point["real"] for point in points]
        inside = [point["low"] <= point["real"] <= point["high"] for point in points]
        above = [point["low"] <= point["real"] for point in points]
        off = [abs(case["stated_wrong"] - case["wrong"]) for case in own if case["wrong"] is not None]
        joint = [abs(case["joint_wrong"] - case["wrong"]) for case in own if case["wrong"] is not None]
        rows.append(
            [
                group,
                str(len(own)),
                f"{100 * max(over):+.1f}",
                f"{100 * float(np.mean(over)):+.1f}",
                f"{100 * float(np.mean(inside)):.0f}",
                f"{100 * float(np.mean(above)):.0f}",
                f"{100 * max(off):.1f}" if off else "-",
                f"{100 * max(joint):.1f}" if joint else "-",
            ]
        )
    return rows


def main() -> None:
    """Look at all cases, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cifar", type=int, default=0, help="images of CIFAR-10N to look at; 0 for none")
    options = parser.parse_args()
    cases = []
    for make in (planted(options.seeds), human(options.cifar), checked()):
        for case in make:
            cases.append(look(case, FIRST_SEED))
            shown = " ".join(f"{p['real']:.2f}:{p['precision']:.2f}" for p in cases[-1]["lengths"])
            print(f"{case.name}: {cases[-1]['stated_wrong']:.3f} wrong; real:stated {shown}", flush=True)
    table = {
        "title": "The stated precision of an audit's list against the real one, in points",
        "columns": [
            "data",
            "cases",
            "overstated at most",
            "on average",
            "interval holds the truth, %",
            "its lower end does, %",
            "share of wrong labels off by at most",
            "the joint's",
        ],
        "rows": summed(cases),
        "note": "Lists of 10, 30, 60, 100 and 150 % of the number of wrong labels; of checked sets, the checked rows.",
    }
    write_result("claims-vouching", {"tables": [table], "cases": cases})


if __name__ == "__main__":
    main()
