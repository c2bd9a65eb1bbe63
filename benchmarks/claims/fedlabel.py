"""FedLabel against federated averaging of the few labels, and against labelling by one model only.

On real images of MNIST over uneven clients; on the Gaussian classes of its dossier; and on scikit-learn's digits with
almost no labels, where pseudo-labels are known to hurt.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _trials import Trials, Verdict, main

from errata.data import read
from errata.engine.federated import train

DATA = Path(os.environ.get("ERRATA_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))

ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "fedavg, all labels": ("fedavg", {"labelled": None}),
    "fedavg, few labels": ("fedavg", {}),
    "fedavg + fixmatch": ("fedavg", {"pseudo_labels": "fixmatch"}),
    "local only": ("fedlabel", {"teacher": "local", "lambda0": 0.0}),
    "global only": ("fedlabel", {"teacher": "global", "lambda0": 0.0}),
    "fedlabel, lambda0 = 0": ("fedlabel", {"lambda0": 0.0}),
    "fedlabel": ("fedlabel", {}),
}

MNIST = {
    "rows": 2000,
    "test_rows": 2000,
    "clients": 10,
    "fraction": 0.5,
    "alpha": 0.3,
    "labelled": 0.1,
    "rounds": 15,
    "tau": 20,
    "tau_prime": 20,
    "batch_size": 16,
    "eta": 0.05,
    "beta": 0.4,
    "lambda0": 1.0,
    "randaugment": [1, 10],
    "model": "mlp",
}
GAUSSIAN = {
    "classes": 8,
    "dimensions": 40,
    "norm_of_means": 3.0,
    "rows": 1200,
    "test_rows": 1200,
    "clients": 20,
    "fraction": 0.25,
    "alpha": 0.3,
    "labelled": 0.1,
    "rounds": 20,
    "tau": 20,
    "tau_prime": 20,
    "batch_size": 16,
    "eta": 0.1,
    "beta": 0.4,
    "lambda0": 1.0,
    "noise": 0.5,
    "model": "linear",
}
DIGITS = {
    "clients": 20,
    "fraction": 0.25,
    "alpha": 0.3,
    "labelled": 0.03,
    "rounds": 30,
    "tau": 20,
    "tau_prime": 20,
    "batch_size": 16,
    "eta": 0.1,
    "beta": 0.4,
    "lambda0": 1.0,
    "noise": 0.5,
    "model": "mlp",
}

FEDERATION = ("clients", "fraction", "alpha", "labelled", "rounds")
COMMON = ("tau", "batch_size", "eta", "noise")
OWN = ("tau_prime", "beta", "lambda0")


def mnist(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images of MNIST's training and test files, another draw for each seed."""
    rng = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    for name, rows in (("train", MNIST["rows"]), ("test", MNIST["test_rows"])):
        with np.load(DATA / "mnist" / f"{name}.npz") as file:
            chosen = rng.permutation(len(file["y"]))[:rows]
            parts += [file["X"][chosen], file["y"][chosen].astype(np.int64)]
    return parts[0], parts[1], parts[2], parts[3]


def gaussian(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The dossier's classes: means of norm 3 in 40 dimensions, unit noise."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(GAUSSIAN["classes"], GAUSSIAN["dimensions"]))
    means *= GAUSSIAN["norm_of_means"] / np.linalg.norm(means, axis=1, keepdims=True)
    y = rng.integers(GAUSSIAN["classes"], size=GAUSSIAN["rows"] + GAUSSIAN["test_rows"])
    x = means[y] + rng.normal(size=(len(y), GAUSSIAN["dimensions"]))
    n = GAUSSIAN["rows"]
    return x[:n], y[:n], x[n:], y[n:]


def digits(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """scikit-learn's digits, 1300 to train on."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    return x[order[:1300]], y[order[:1300]], x[order[1300:]], y[order[1300:]]


def measured(setting: Mapping[str, Any], data: Any, arm: str, seed: int, device: str) -> dict[str, Any]:
    """One arm: the accuracy of the last round's global model on test data that nobody trained or chose by."""
    slug, changes = ARMS[arm]
    x, y, test_x, test_y = data(seed)
    options = {name: setting[name] for name in FEDERATION}
    options |= {name: setting[name] for name in (*COMMON, *(OWN if slug == "fedlabel" else ())) if name in setting}
    options |= changes
    if slug == "fedavg" and "pseudo_labels" not in changes:
        options.pop("noise", None)
    run = train(
        x,
        y,
        test=read(test_x, test_y),
        system=slug,
        model={"name": "mlp", "hidden": []} if setting["model"] == "linear" else setting["model"],
        seed=seed,
        device=device if device != "auto" else "cpu",
        progress=False,
        **options,
    )
    last = run.history[-1]
    return {
        "accuracy": last["test_accuracy"],
        "pass_rate": last["pass_rate"],
        "local_share": last["local_share"],
        "bytes_up": last["bytes_up"],
        "bytes_down": last["bytes_down"],
        "course": [round(record["test_accuracy"], 4) for record in run.history],
    }


def _trials(
    name: str, says: str, setting: dict[str, Any], data: Any, note: str = "", arms: Sequence[str] = tuple(ARMS)
) -> Trials:
    return Trials(
        name,
        says=says,
        measure=lambda arm, seed, device: measured(setting, data, arm, seed, device),
        arms=list(arms),
        scores={"accuracy": "test accuracy, last round"},
        settings=setting,
        note=note,
    )


CLAIMS = [
    (
        _trials(
            "fedlabel",
            "MNIST, 2,000 images over 10 uneven clients (Dirichlet .3), a tenth of the labels, 5 clients a round, 15 "
            "rounds; mlp",
            MNIST,
            mnist,
            arms=["fedavg, few labels", "fedlabel", "local only", "global only"],
        ),
        [
            Verdict("fedlabel", "fedavg, few labels", "accuracy", margin=2.0),
            Verdict("fedlabel", "global only", "accuracy", margin=2.0),
            Verdict("fedlabel", "local only", "accuracy", margin=-1.0),
        ],
    ),
    (
        _trials(
            "fedlabel-gaussian",
            "Eight Gaussian classes in 40 dimensions, 1,200 rows over 20 uneven clients (Dirichlet .3), a tenth of the "
            "labels, 5 clients a round, 20 rounds; a linear model",
            GAUSSIAN,
            gaussian,
            arms=[
                "fedavg, all labels",
                "fedavg, few labels",
                "fedavg + fixmatch",
                "fedlabel",
                "local only",
                "global only",
            ],
        ),
        [
            Verdict("fedlabel", "fedavg, few labels", "accuracy", margin=5.0),
            Verdict("fedlabel", "global only", "accuracy", margin=3.0),
            Verdict("fedlabel", "local only", "accuracy", margin=-1.0),
        ],
    ),
    (
        _trials(
            "fedlabel-digits",
            "scikit-learn's digits, 1,300 images over 20 uneven clients with 3 % of the labels, 5 clients a round, 30 "
            "rounds; mlp: almost no labels, where pseudo-labels are expected to hurt",
            DIGITS,
            digits,
            "Expected is the opposite of a gain: FedLabel behind plain averaging.",
            ["fedavg, few labels", "fedlabel"],
        ),
        [Verdict("fedavg, few labels", "fedlabel", "accuracy", margin=0.0)],
    ),
]

if __name__ == "__main__":
    named = [claim for claim in CLAIMS if claim[0].name in sys.argv]  # one of them alone, or all
    sys.argv = [word for word in sys.argv if word not in {claim[0].name for claim in CLAIMS}]
    main(*(named or CLAIMS))
