"""DDFA against clustering by likeness, on digits dealt out to domains in which they are differently frequent.

No label is used. In one setting each class is one digit, in the other two digits that have nothing in common but their
frequencies, as caterpillars and butterflies of one species. Accuracy is after the best matching of names.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from _settings import DATA
from _trials import Trials, Verdict, main
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from errata.data.domains import dirichlet_domains, split_into_domains
from errata.parts.matching import hungarian_relabel
from errata.systems.label_shift.lls import LatentLabelShift

SETTINGS = {
    "lls-digits": {"classes": 5, "digits": 1, "domains": 8, "alpha": 0.5, "max_condition": 8.0},
    "lls-pairs": {"classes": 3, "digits": 2, "domains": 5, "alpha": 0.5, "max_condition": 4.0},
}
SCORES = {"accuracy": "accuracy after matching", "proportions": "mean error of p(y given d)"}
ARMS = ["k-means of pixels", "k-means of p(d given x)", "ddfa, nmf", "ddfa, anchors"]
COMPONENTS = 40


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """MNIST's 10,000 training images as 14 x 14 pixels, flat, and their digits."""
    with np.load(DATA / "mnist" / "train.npz") as stored:
        x, y = stored["X"].astype(np.float32) / 255, stored["y"].astype(np.int64)
    return x.reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(len(x), -1), y


@cache
def fitted(name: str, seed: int) -> tuple[Any, ...]:
    """One draw of classes and domains, split in halves, and one domain classifier that all arms share."""
    told = SETTINGS[name]
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(10)[: told["classes"] * told["digits"]].reshape(told["classes"], -1)
    pixels, digit = digits()
    class_of = np.full(10, -1)
    for k, members in enumerate(chosen):
        class_of[members] = k
    own = np.flatnonzero(class_of[digit] >= 0)
    q = dirichlet_domains(told["domains"], told["classes"], told["alpha"], told["max_condition"], seed=seed)
    rows, domains = split_into_domains(class_of[digit[own]], q, seed=seed)
    rows = own[rows]
    x = PCA(COMPONENTS, random_state=seed).fit_transform(pixels[rows]).astype(np.float64)
    train = np.arange(len(rows)) % 3 > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        system = LatentLabelShift(told["classes"], random_state=seed).fit(x[train], domains[train])
        # of rows that the classifier has not seen, in both parts and for all arms
        g = {"train": system._unseen(x[train], domains[train]), "test": system.discriminator_.predict_proba(x[~train])}
    return x, domains, class_of[digit[rows]], train, g, q


def measuring(name: str) -> Callable[[str, int, str], dict[str, Any]]:
    """What one arm is measured by in one setting."""

    def measure(arm: str, seed: int, device: str) -> dict[str, Any]:
        x, domains, y, train, g, q = fitted(name, seed)
        k = SETTINGS[name]["classes"]
        if arm.startswith("k-means"):
            inputs = (x[train], x[~train]) if "pixels" in arm else (g["train"], g["test"])
            predicted = KMeans(k, n_init=5, random_state=seed).fit(inputs[0]).predict(inputs[1])
            return {"accuracy": hungarian_relabel(predicted, y[~train], k)[2], "rows": len(y)}
        system = LatentLabelShift(k, solver=arm.split(", ")[1].rstrip("s"), random_state=seed)
        system.fit_posterior(g["train"], domains[train])
        predicted = system.adjust(g["test"], domains[~train]).argmax(1)
        order, _, accuracy = hungarian_relabel(predicted, y[~train], k)
        missed = float(np.abs(system.p_y_given_d_ - q.T[order]).mean())
        return {"accuracy": accuracy, "proportions": missed, "rows": len(y), "condition": system.condition_}

    return measure


def trials(name: str, says: str) -> Trials:
    """The trials of one setting."""
    return Trials(
        name, says, measuring(name), ARMS, SCORES, {**SETTINGS[name], "components": COMPONENTS}, percent=False
    )


if __name__ == "__main__":
    main(
        (
            trials(
                "lls-digits", "MNIST without labels: 5 digits in 8 domains, Dirichlet(0.5), condition number up to 8"
            ),
            [
                Verdict("ddfa, anchors", "k-means of pixels", "accuracy", margin=0.1),
                Verdict("ddfa, anchors", "k-means of p(d given x)", "accuracy", margin=0.0),
                Verdict("ddfa, anchors", "ddfa, nmf", "accuracy", margin=-0.02),
            ],
        ),
        (
            trials(
                "lls-pairs", "MNIST without labels: 3 classes of two digits each in 5 domains, condition number up to 4"
            ),
            [
                Verdict("ddfa, anchors", "k-means of pixels", "accuracy", margin=0.2),
                Verdict("ddfa, anchors", "k-means of p(d given x)", "accuracy", margin=0.0),
                Verdict("ddfa, anchors", "ddfa, nmf", "accuracy", margin=-0.02),
            ],
        ),
        seeds=5,
    )
