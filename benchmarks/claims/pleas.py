"""PLeaS against the plain average, Git Re-Basin, regression without permutation, RegMean, and both networks together.

Two networks from different beginnings learn MNIST, each on its own part of it: both know all classes, but each sees few
images of five of them. (``pleas_other_classes.py``: each knows five classes only.) The inputs to merge on are training
images of both, without labels. A perceptron, a residual network and a vision transformer; all small.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _trials import Trials, Verdict, main
from torch import Tensor, nn

from errata import models
from errata.engine.randomness import isolated_randomness
from errata.systems.merging.baselines import LogitEnsemble, git_rebasin, regmean, simple_average
from errata.systems.merging.pleas import pleas

DATA = Path(os.environ.get("ERRATA_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "mnist"

TRAINED_ON, TESTED_ON = 3000, 2000  # images of 12 x 12
SMALL_SHARE = 0.1  # of the other five classes, where both networks know all
BATCH = 32  # of the training
MERGED_ON = 8  # batches of 128 inputs
SETTINGS: dict[str, dict[str, Any]] = {
    "mlp": {"model": "mlp", "options": {"hidden": [64, 64]}, "epochs": 15, "lr": 2e-3},
    "resnet": {"model": "resnet", "options": {"depths": [1, 1], "width": 8}, "epochs": 8, "lr": 5e-3},
    "transformer": {
        "model": "patch_transformer",
        "options": {"patch": 3, "dim": 32, "depth": 2, "heads": 4, "hidden": 64},
        "epochs": 10,
        "lr": 3e-3,
    },
}
SCORES = {"mlp": "perceptron", "resnet": "residual network", "transformer": "vision transformer"}
ARMS = {
    "first network alone": "",
    "second network alone": "",
    "plain average": "average",
    "Git Re-Basin": "rebasin",
    "permutation by activations": "permuted",
    "least squares without permutation": "unpermuted",
    "RegMean": "regmean",
    "PLeaS 1x": 1.0,
    "PLeaS 1.2x": 1.2,
    "PLeaS 2x": 2.0,
    "both networks (ensemble)": "ensemble",
}


@cache
def _data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    found = []
    for name in ("train", "test"):
        with np.load(DATA / f"{name}.npz") as file:
            images, labels = file["X"], file["y"]
        x = torch.from_numpy(images).float()[:, None] / 255
        found += [
            nn.functional.avg_pool2d(x[..., 2:26, 2:26], 2) / 0.3 - 0.4,
            torch.from_numpy(labels.astype(np.int64)),
        ]
    return found[0], found[1], found[2][:TESTED_ON], found[3][:TESTED_ON]


def _network(architecture: str, classes: int, seed: int) -> nn.Module:
    about = SETTINGS[architecture]
    if about["model"] == "resnet":
        with isolated_randomness(seed):
            return models.ResNet(classes, 1, **about["options"])
    return models.build(about["model"], classes, (1, 12, 12), seed=seed, **about["options"])


def _trained(architecture: str, x: Tensor, y: Tensor, classes: int, seed: int) -> nn.Module:
    about = SETTINGS[architecture]
    network = _network(architecture, classes, seed)
    with isolated_randomness(seed):
        steps = about["epochs"] * -(-len(x) // BATCH)
        optimizer = torch.optim.AdamW(network.parameters(), lr=about["lr"], weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, about["lr"], total_steps=steps)
        for _ in range(about["epochs"]):
            for rows in torch.randperm(len(x)).split(BATCH):
                loss = nn.functional.cross_entropy(network(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return network.eval()


@cache
def _pair(architecture: str, seed: int, apart: bool) -> tuple[list[nn.Module], list[Tensor], Any]:
    """Two networks, the inputs that each was trained on, and their classes where these differ."""
    x, y, _, _ = _data()
    rng = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(x), generator=rng)[:TRAINED_ON]
    order = torch.randperm(10, generator=rng)
    mine = torch.isin(y[rows], order[:5])
    keep = torch.rand(len(rows), generator=rng) < SMALL_SHARE
    sides = [rows[mine], rows[~mine]] if apart else [rows[mine | keep], rows[~mine | keep]]
    if apart:
        halves = [sorted(order[:5].tolist()), sorted(order[5:].tolist())]
        targets = [torch.tensor([half.index(int(c)) for c in y[s]]) for half, s in zip(halves, sides)]
        classes: Any = tuple(halves)
    else:
        targets, classes = [y[s] for s in sides], None
    count = 5 if apart else 10
    networks = [
        _trained(architecture, x[s], t, count, 2 * seed + side) for side, (s, t) in enumerate(zip(sides, targets))
    ]
    return networks, [x[s] for s in sides], classes


def _merged(arm: Any, networks: Sequence[nn.Module], inputs: Sequence[Tensor], classes: Any, seed: int) -> nn.Module:
    a, b = networks
    rng = torch.Generator().manual_seed(seed)
    both = torch.cat(list(inputs))
    batches = list(both[torch.randperm(len(both), generator=rng)].split(128))[:MERGED_ON]
    own = [list(x[torch.randperm(len(x), generator=rng)].split(128))[:MERGED_ON] for x in inputs]
    common: dict[str, Any] = {"classes": classes}
    makers: dict[Any, Callable[[], nn.Module]] = {
        "average": lambda: simple_average(a, b, batches, **common),
        "rebasin": lambda: git_rebasin(a, b, batches, seed=seed, **common),
        "permuted": lambda: pleas(a, b, batches, solver="none", seed=seed, **common).model,
        "unpermuted": lambda: pleas(a, b, batches, matching="identity", seed=seed, **common).model,
        "regmean": lambda: regmean(a, b, *own, seed=seed, **common),
        "ensemble": lambda: LogitEnsemble(a, b, classes),
    }
    if isinstance(arm, float):
        return pleas(a, b, batches, budget=arm, seed=seed, **common).model
    return makers[arm]()


def _accuracy(network: nn.Module, names: Sequence[int]) -> float:
    _, _, x, y = _data()
    told = torch.tensor(list(names))
    with torch.no_grad():
        answers = torch.cat([network.eval()(part).argmax(1) for part in x.split(500)])
    return float((told[answers] == y).float().mean())


def measure_on(apart: bool) -> Callable[[str, int, str], dict[str, float]]:
    def measure(arm: str, seed: int, device: str) -> dict[str, float]:
        found = {}
        for architecture in SETTINGS:
            networks, inputs, classes = _pair(architecture, seed, apart)
            names = list(range(10)) if classes is None else [*classes[0], *classes[1]]
            if ARMS[arm] == "":
                side = int(arm.startswith("second"))
                found[architecture] = _accuracy(networks[side], names if classes is None else classes[side])
            else:
                found[architecture] = _accuracy(_merged(ARMS[arm], networks, inputs, classes, seed), names)
        return found

    return measure


WORDS = (
    "MNIST, 3,000 images of 12 x 12 pixels for two networks from different beginnings; accuracy over all ten classes"
)
SAME = Trials(
    "pleas",
    says=f"{WORDS}; each sees a tenth of the images of the other's five classes",
    measure=measure_on(False),
    arms=list(ARMS),
    scores=SCORES,
    settings=SETTINGS,
)


def verdicts() -> list[Verdict]:
    found = []
    for score in SCORES:
        found += [
            Verdict("PLeaS 1x", "plain average", score, margin=5.0),
            Verdict("PLeaS 1x", "Git Re-Basin", score, margin=1.0),
            Verdict("PLeaS 1x", "least squares without permutation", score),
            Verdict("PLeaS 2x", "both networks (ensemble)", score, margin=-1.0),
        ]
    return found


if __name__ == "__main__":
    main((SAME, verdicts()))
