"""ERASE against a graph attention network trained by cross-entropy: Cora with planted noise, and with GPT-3.5's labels.

The labels of test nodes are used for the reported accuracy of the last epoch only; there is no validation set.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.metrics import average_precision_score

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from _trials import Trials, Verdict, main

import errata
from errata import noise
from errata.data.graphs import GraphData, read

DATA = Path(os.environ.get("ERRATA_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "graphs"
CLASSES = 7
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "gnn-ce": ("gnn-ce", {"epochs": 100}),
    "erase": ("erase", {"epochs": 60}),
    "erase without denoising": ("erase", {"epochs": 60, "denoise": False}),
    "erase without prototypes": ("erase", {"epochs": 60, "beta": 1.0}),
    "erase without propagation in training": ("erase", {"epochs": 60, "propagate_semantic": False}),
}
SCORES = {
    "accuracy": "test accuracy, last epoch",
    "given_right": "training labels right as given",
    "corrected_right": "training labels right in the ledger",
    "average_precision": "average precision of the ledger's trust",
}


def planted(kind: str, seed: int) -> tuple[GraphData, np.ndarray]:
    """Cora's public split with 40 % noise on the 140 training labels, and all true labels."""
    arrays = np.load(DATA / "cora.npz", allow_pickle=False)
    true, train = arrays["y"].astype(np.int64), arrays["train_index"]
    given = true.copy()
    if kind == "asymmetric":  # each class has one partner, drawn for it
        rng = np.random.default_rng([seed, 7])
        partner = {c: int(rng.choice(np.delete(np.arange(CLASSES), c))) for c in range(CLASSES)}
        given[train] = noise.asymmetric(true[train], 0.4, partner, CLASSES, seed=seed)
    else:
        given[train] = noise.symmetric(true[train], 0.4, CLASSES, seed=seed)
    return _graph(arrays, given, train, arrays["test_index"]), true


def from_a_language_model(seed: int) -> tuple[GraphData, np.ndarray]:
    """Half of the nodes that GPT-3.5 has labelled, with its labels; the other nodes are for the test."""
    arrays = np.load(DATA / "cora_llm.npz", allow_pickle=False)
    true, said = arrays["y"].astype(np.int64), arrays["llm_label"].astype(np.int64)
    labelled = np.random.default_rng([seed, 8]).permutation(np.flatnonzero(said >= 0))
    train = np.sort(labelled[: len(labelled) // 2])
    given = true.copy()
    given[train] = said[train]
    return _graph(arrays, given, train, np.setdiff1d(np.arange(len(true)), train)), true


def _graph(arrays: Any, given: np.ndarray, train: np.ndarray, test: np.ndarray) -> GraphData:
    x = csr_matrix((arrays["x_data"], arrays["x_indices"], arrays["x_indptr"]), shape=tuple(arrays["x_shape"]))
    every = np.arange(len(given))
    return read(
        SimpleNamespace(
            x=x.toarray(),
            edge_index=arrays["edge_index"],
            y=given,
            train_mask=np.isin(every, train),
            test_mask=np.isin(every, test),
        )
    )


def _measured(data: GraphData, true: np.ndarray, arm: str, seed: int, device: str) -> dict[str, Any]:
    slug, settings = ARMS[arm]
    run = errata.train(data, system=slug, seed=seed, device=device, progress=False, **settings)
    train = np.flatnonzero(data.given >= 0)
    wrong = (data.given != true)[train]
    return {
        "accuracy": run.metrics["test_accuracy"],
        "given_right": float(1 - wrong.mean()),
        "corrected_right": float((run.ledger.proposed == true)[train].mean()),
        "average_precision": float(average_precision_score(wrong, 1 - run.ledger.trust[train])),
        "epochs": run.metrics["epochs"],
    }


def asymmetric(arm: str, seed: int, device: str) -> dict[str, Any]:
    return _measured(*planted("asymmetric", seed), arm, seed, device)


def symmetric(arm: str, seed: int, device: str) -> dict[str, Any]:
    return _measured(*planted("symmetric", seed), arm, seed, device)


def language_model(arm: str, seed: int, device: str) -> dict[str, Any]:
    return _measured(*from_a_language_model(seed), arm, seed, device)


SETTINGS = {"arms": ARMS, "network": "two layers of graph attention, 8 heads of 32", "split": "Planetoid's, 20 a class"}
CLAIMS = [
    (
        Trials(
            "erase",
            says="Cora, 40 % asymmetric noise on the 140 training labels: each class is taken for one other",
            measure=asymmetric,
            arms=["gnn-ce", "erase"],
            scores=SCORES,
            settings=SETTINGS,
        ),
        [Verdict("erase", "gnn-ce", "accuracy", margin=12.0)],
    ),
    (
        Trials(
            "erase-symmetric",
            says="Cora, 40 % symmetric noise on the 140 training labels",
            measure=symmetric,
            arms=["gnn-ce", "erase"],
            scores=SCORES,
            settings=SETTINGS,
        ),
        [Verdict("erase", "gnn-ce", "accuracy", margin=5.0)],
    ),
    (
        Trials(
            "erase-language-model",
            says="Cora with the labels that GPT-3.5 gave: half of the nodes that it labelled are trained on, with them",
            measure=language_model,
            arms=["gnn-ce", "erase"],
            scores=SCORES,
            settings={**SETTINGS, "split": "half of the 2,414 labelled nodes, drawn; all others are for the test"},
        ),
        [Verdict("erase", "gnn-ce", "accuracy", margin=0.0)],
    ),
    (
        Trials(
            "erase-ablations",
            says="Cora, the same asymmetric noise: ERASE with one part left out",
            measure=asymmetric,
            arms=[arm for arm in ARMS if "without" in arm],
            scores=SCORES,
            settings=SETTINGS,
        ),
        [],
    ),
]

if __name__ == "__main__":
    main(*CLAIMS)
