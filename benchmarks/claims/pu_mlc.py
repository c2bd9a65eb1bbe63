"""PU-MLC against binary cross-entropy that takes what is not noted for negative, on MULAN sets with hidden positives.

Two ways to know little. "Missing": each positive is noted with a chance of 10 %, and everything else stands there as 0.
"Partial": each entry, 0 or 1, is known with a chance of 10 %, and the others are known to be unknown.
"""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from _trials import Trials, Verdict, main

import errata
from errata.data import read_arff

DATA = Path(os.environ.get("ERRATA_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "multilabel"
SETS = ("emotions", "yeast", "enron")
KNOWN = 0.1
EPOCHS = 30

ARMS: dict[str, dict[str, Any]] = {
    "bce-negative": {"system": "bce", "unknown": "negative"},
    "bce-known": {"system": "bce", "unknown": "ignore"},
    "asl-negative": {"system": "bce", "unknown": "negative", "loss": "asl"},
    "pu-mlc": {"system": "pu-mlc"},
}


@cache
def load(name: str) -> tuple[Any, Any]:
    """The training and the test part of a set."""
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(io.BytesIO((DATA / "label_lists.zip").read_bytes())) as z,
    ):
        listed = z.extract(f"{name}.xml", folder)
        train, test = (read_arff(DATA / f"{name}-{part}.arff.gz", listed) for part in ("train", "test"))
    return train, test


def dense(parts: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Features of both parts; numbers standardised by the training part, words of sparse files as they are."""
    x, z = (part.X.toarray() if hasattr(part.X, "toarray") else part.X for part in parts)
    if hasattr(parts[0].X, "toarray"):
        return x, z
    mean, std = x.mean(0), x.std(0) + 1e-6
    return (x - mean) / std, (z - mean) / std


def hidden(y: np.ndarray, how: str, seed: int) -> np.ndarray:
    """The labels that are left to learn from."""
    known = np.random.default_rng([seed, 17]).random(y.shape) < KNOWN
    return np.where((y == 1) & known, 1, 0) if how == "missing" else np.where(known, y, -1)


def measure(how: str, arm: str, seed: int, device: str) -> dict[str, Any]:
    """Mean average precision on the test part of each set, after the last epoch."""
    found: dict[str, Any] = {}
    for name in SETS:
        parts = load(name)
        x, z = dense(parts)
        labels = hidden(parts[0].Y, how, seed)
        run = errata.train(x, labels, epochs=EPOCHS, seed=seed, device=device, progress=False, **ARMS[arm])
        scores = run.evaluate(z, parts[1].Y)
        found[name] = scores["map"]
        found[f"{name}_ranking_loss"] = scores["ranking_loss"]
    return {**found, "mean": float(np.mean([found[name] for name in SETS]))}


def missing(arm: str, seed: int, device: str) -> dict[str, Any]:
    """Positives are missing among the negatives."""
    return measure("missing", arm, seed, device)


def partial(arm: str, seed: int, device: str) -> dict[str, Any]:
    """Most entries are unknown, and known to be."""
    return measure("partial", arm, seed, device)


SETTINGS = {"known": KNOWN, "epochs": EPOCHS, "arms": ARMS, "network": "MLP of two hidden layers of 256", "sets": SETS}
WORDS = {"mean": "mean of the sets", **{name: name for name in SETS}}

MISSING = Trials(
    "pu-mlc",
    says="MULAN sets: 10 % of the positives are noted, all else stands as absent; mAP on the test part",
    measure=missing,
    arms=["bce-negative", "asl-negative", "pu-mlc"],
    scores=WORDS,
    settings=SETTINGS,
    note="Means of the average precision of each label; last epoch.",
)
PARTIAL = Trials(
    "pu-mlc-partial",
    says="MULAN sets of which 10 % of the entries are known, the others known to be unknown: mAP on the test part",
    measure=partial,
    arms=["bce-negative", "bce-known", "pu-mlc"],
    scores=WORDS,
    settings=SETTINGS,
    note="Means of the average precision of each label; last epoch.",
)

if __name__ == "__main__":
    main(
        (MISSING, [Verdict("pu-mlc", "bce-negative", "mean", margin=1.5)]),
        (PARTIAL, [Verdict("pu-mlc", "bce-negative", "mean", margin=1.5)]),
    )
