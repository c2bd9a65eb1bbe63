"""Claim: a random tenth with distillation beats a random tenth without it by 8 points or more where labels are wrong.

And: the hard scores without distillation collapse under label noise, random with distillation is within 2 points of any
score with it, and the teacher's weight matters the more the less is kept. One teacher for each seed serves all arms;
students of the digits have as many steps as the teacher, those of CIFAR-10N as many epochs.
"""

import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from claims._settings import cifar10n
from claims._trials import Trials, Verdict, main
from errata import models, noise
from errata.data import read
from errata.engine import compression

NOISE = 0.15
HIDDEN = 128  # the network of the dossier's experiment: 64-128-10
DIGITS = {"epochs": 30, "batch_size": 60, "equal": "steps", "lr": 0.02, "weight_decay": 5e-4}  # lr: kd_pruning_rate.py
CIFAR = {"model": "small_cnn", "epochs": 12, "batch_size": 64, "lr": 0.05, "augment": False, "score": "random"}
SMALL = {"pixels": 16, "rows": 2_000, "test_rows": 2_000, "model": "small_cnn"} | {"epochs": 12, "batch_size": 64}
SMALL |= {"lr": 0.05, "augment": False}

# arm: (score, easy end, weight of the teacher; None for no teacher)
ARMS = {
    "random": ("random", False, None),
    "random + KD 0.5": ("random", False, 0.5),
    "random + KD": ("random", False, 1.0),
    "el2n": ("el2n", False, None),
    "el2n + KD": ("el2n", False, 1.0),
    "easy el2n": ("el2n", True, None),
    "forgetting + KD": ("forgetting", False, 1.0),
    "aum + KD": ("aum", False, 1.0),
    "coverage + KD": ("coverage", False, 1.0),
}
FEW = ("random", "random + KD", "el2n", "el2n + KD", "coverage + KD")
MAIN = ("random", "random + KD 0.5", "random + KD", "el2n", "el2n + KD")
OTHERS = ("random + KD", "easy el2n", "forgetting + KD", "aum + KD", "coverage + KD")
KEEPS = (0.05, 0.1, 0.25, 0.5, 1.0)


@cache
def digits(seed: int):
    """1,200 digits with 15 % uniform noise, and 597 clean ones to test on."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    x = (x / 16.0).astype(np.float32)
    train, test = order[:1200], order[1200:]
    given = noise.symmetric(y[train], NOISE, 10, seed=seed)
    return x[train], given, x[test], y[test]


def small_network(seed: int):
    """A network of its own for every training: 64-128-10."""
    return models.build("mlp", 10, (64,), hidden=(HIDDEN,), seed=seed)


@cache
def images(kind: str, seed: int):
    """2,000 images of CIFAR-10 at 16 pixels with the people's worst labels, or with the right ones."""
    task = cifar10n("worst", SMALL)(seed)
    given = task.given if kind == "worst" else task.true
    return task.x.numpy(), given, task.x_test.numpy(), task.y_test


@cache
def teacher(name: str, seed: int):
    """A teacher of all samples, whose training has recorded the scores; and what takes its test data."""
    on_digits = name in ("digits", "scores")
    x, given, x_test, y_test = digits(seed) if on_digits else images(name, seed)
    options = DIGITS if on_digits else CIFAR
    data = read(x, given)
    own = {"model": small_network(seed)} if on_digits else {}
    how = {**options, **own, "score": "random"}
    run = compression.train(data, keep=1.0, alpha=0.0, seed=seed, progress=False, **how)
    return data, run.teacher, read(x_test, y_test), options


def accuracy(name: str, seed: int, device: str, keep: float, arm: str) -> dict[str, object]:
    """Test accuracy of a student."""
    data, master, test, options = teacher(name, seed)
    score, easy, alpha = ARMS[arm]
    how = {"distill": False} if alpha is None else {"alpha": alpha}
    own = {"model": small_network(seed)} if name in ("digits", "scores") else {}
    chosen = {**options, **own, "score": score, "easy": easy, **how}
    run = compression.train(data, keep=keep, teacher=master, seed=seed, device=device, progress=False, **chosen)
    return {
        "accuracy": run.evaluate(test)["accuracy"],
        "teacher": master.evaluate(test)["accuracy"],
        "student_seconds": run.metrics["seconds"],
    }


def pruned(name: str, keep: float):
    """The measurement of one setting at one share."""

    def measure(arm: str, seed: int, device: str) -> dict[str, object]:
        return accuracy(name, seed, device, keep, arm)

    return measure


def gain_of_weight(arm: str, seed: int, device: str) -> dict[str, object]:
    """What the teacher alone gives over half a teacher, by the share kept."""
    keep = float(arm.removeprefix("keep "))
    one, half = (accuracy("digits", seed, device, keep, a)["accuracy"] for a in ("random + KD", "random + KD 0.5"))
    return {"gain": one - half, "full": one, "half": half}


SCORES = {"accuracy": "test accuracy", "teacher": "its teacher"}
NOISY = "scikit-learn's digits, 1,200 with 15 % uniform noise; an MLP, 600 steps for every training"
IMAGES = "CIFAR-10N, 2,000 images of 16 pixels, the people's worst labels (40 % wrong); a small CNN, 12 epochs"


def trials(name: str, keep: float, arms, says: str, settings) -> Trials:
    """One setting."""
    title = f"kd-pruning-{name}-{keep:g}"
    return Trials(title, f"{says}; {keep:.0%} kept", pruned(name, keep), arms, SCORES, {"keep": keep, **settings})


if __name__ == "__main__":
    few = [Verdict("random + KD", "random", "accuracy", 8.0), Verdict("random", "el2n", "accuracy", 8.0)]
    near = [Verdict("random + KD", arm, "accuracy", -2.0) for arm in OTHERS if arm.endswith("+ KD")]
    main(
        (trials("digits", 0.1, MAIN, NOISY, DIGITS), [*few, Verdict("random + KD", "el2n + KD", "accuracy", -2.0)]),
        (
            Trials(
                "kd-pruning-alpha",
                f"{NOISY}; what alpha = 1 gives over alpha = 0.5 with a random part",
                gain_of_weight,
                [f"keep {keep:g}" for keep in KEEPS],
                {"gain": "gain", "full": "accuracy with alpha = 1", "half": "accuracy with alpha = 0.5"},
                {"keeps": KEEPS, **DIGITS},
            ),
            [Verdict("keep 0.05", "keep 0.5", "gain", 2.0), Verdict("keep 0.05", "keep 1", "gain", 2.0)],
        ),
        (
            trials("worst", 0.1, FEW, IMAGES, CIFAR),
            [Verdict("random + KD", "random", "accuracy", 2.0), Verdict("random", "el2n", "accuracy", 2.0)],
        ),
        (trials("scores", 0.1, OTHERS, NOISY, DIGITS), near[1:]),
        (trials("digits", 0.5, FEW, NOISY, DIGITS), [Verdict("random + KD", "random", "accuracy", 2.0)]),
    )
