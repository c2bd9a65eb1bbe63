"""Merging two networks, measured: what the claims of PLeaS share.

Two networks from different beginnings learn one data set, each on its own part: either both know all classes, but each
sees a tenth of the images of the other's five; or each knows five classes only. The inputs to merge on are training
images of both, without labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from _trials import Trials, Verdict
from torch import Tensor, nn

from errata import models
from errata.engine.randomness import isolated_randomness
from errata.systems.merging.baselines import LogitEnsemble, git_rebasin, regmean, simple_average
from errata.systems.merging.pleas import pleas

SMALL_SHARE = 0.1  # of the other five classes, where both networks know all
BATCH = 32  # of the training
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
Images = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Setting:
    """One data set with the networks for it.

    Parameters
    ----------
    name, says : in file names, and in words
    load : -> training images (N, 1, S, S) and labels, test images and labels
    networks : for each of ``SCORES`` its build, options, epochs and learning rate
    trained_on : images for both networks together
    batches : of 128 inputs, to merge on
    """

    name: str
    says: str
    load: Callable[[], Images]
    networks: Mapping[str, Mapping[str, Any]]
    trained_on: int
    batches: int

    def trials(self) -> list[tuple[Trials, list[Verdict]]]:
        """The same classes, and others."""
        found = []
        for apart, suffix, how in (
            (False, "", "each sees a tenth of the images of the other's five classes"),
            (True, "-other-classes", "each knows its own five classes only; their answers are put side by side"),
        ):
            trials = Trials(
                f"{self.name}{suffix}",
                says=f"{self.says}, two networks from different beginnings; {how}. Accuracy over all ten classes",
                measure=_measure(self, apart),
                arms=list(ARMS),
                scores=SCORES,
                settings={"networks": dict(self.networks), "trained_on": self.trained_on, "batches": self.batches},
            )
            found.append((trials, _verdicts()))
        return found


def networks(patch: int) -> dict[str, dict[str, Any]]:
    """The three builds; the transformer sees squares of so many pixels a side."""
    seen = {"patch": patch, "dim": 32, "depth": 2, "heads": 4, "hidden": 64}
    return {
        "mlp": {"model": "mlp", "options": {"hidden": [64, 64]}, "epochs": 15, "lr": 2e-3},
        "resnet": {"model": "resnet", "options": {"depths": [1, 1], "width": 8}, "epochs": 8, "lr": 5e-3},
        "transformer": {"model": "patch_transformer", "options": seen, "epochs": 10, "lr": 3e-3},
    }


def _verdicts() -> list[Verdict]:
    found = []
    for score in SCORES:
        found += [
            Verdict("PLeaS 1x", "plain average", score, margin=5.0),
            Verdict("PLeaS 1x", "Git Re-Basin", score, margin=1.0),
            Verdict("PLeaS 1x", "least squares without permutation", score),
            Verdict("PLeaS 2x", "both networks (ensemble)", score, margin=-1.0),
        ]
    return found


def _measure(setting: Setting, apart: bool) -> Callable[[str, int, str], dict[str, float]]:
    def measure(arm: str, seed: int, device: str) -> dict[str, float]:
        found = {}
        for architecture in setting.networks:
            networks, inputs, classes = _pair(setting, architecture, seed, apart)
            names = list(range(10)) if classes is None else [*classes[0], *classes[1]]
            if ARMS[arm] == "":
                side = int(arm.startswith("second"))
                names = names if classes is None else classes[side]
                found[architecture] = _accuracy(setting, networks[side], names)
            else:
                merged = _merged(setting, ARMS[arm], networks, inputs, classes, seed)
                found[architecture] = _accuracy(setting, merged, names)
        return found

    return measure


@cache
def _pair(setting: Setting, architecture: str, seed: int, apart: bool) -> tuple[list[nn.Module], list[Tensor], Any]:
    """Two networks, the inputs that each was trained on, and their classes where these differ."""
    x, y, _, _ = setting.load()
    rng = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(x), generator=rng)[: setting.trained_on]
    order = torch.randperm(10, generator=rng)
    mine = torch.isin(y[rows], order[:5])
    keep = torch.rand(len(rows), generator=rng) < SMALL_SHARE
    sides = [rows[mine], rows[~mine]] if apart else [rows[mine | keep], rows[~mine | keep]]
    classes: Any = None
    targets = [y[s] for s in sides]
    if apart:
        classes = tuple(sorted(half.tolist()) for half in (order[:5], order[5:]))
        targets = [torch.tensor([half.index(int(c)) for c in t]) for half, t in zip(classes, targets)]
    networks = [
        _trained(setting.networks[architecture], x[s], t, 5 if apart else 10, 2 * seed + side)
        for side, (s, t) in enumerate(zip(sides, targets))
    ]
    return networks, [x[s] for s in sides], classes


def _trained(about: Mapping[str, Any], x: Tensor, y: Tensor, classes: int, seed: int) -> nn.Module:
    with isolated_randomness(seed):
        if about["model"] == "resnet":
            network: nn.Module = models.ResNet(classes, 1, **about["options"])
        else:
            network = models.build(about["model"], classes, tuple(x.shape[1:]), seed=seed, **about["options"])
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


def _merged(
    setting: Setting, arm: Any, networks: Sequence[nn.Module], inputs: Sequence[Tensor], classes: Any, seed: int
) -> nn.Module:
    a, b = networks
    rng = torch.Generator().manual_seed(seed)

    def batches_of(x: Tensor) -> list[Tensor]:
        return list(x[torch.randperm(len(x), generator=rng)].split(128))[: setting.batches]

    batches = batches_of(torch.cat(list(inputs)))
    common: dict[str, Any] = {"classes": classes}
    makers: dict[Any, Callable[[], nn.Module]] = {
        "average": lambda: simple_average(a, b, batches, **common),
        "rebasin": lambda: git_rebasin(a, b, batches, seed=seed, **common),
        "permuted": lambda: pleas(a, b, batches, solver="none", seed=seed, **common).model,
        "unpermuted": lambda: pleas(a, b, batches, matching="identity", seed=seed, **common).model,
        "regmean": lambda: regmean(a, b, *(batches_of(x) for x in inputs), seed=seed, **common),
        "ensemble": lambda: LogitEnsemble(a, b, classes),
    }
    if isinstance(arm, float):
        return pleas(a, b, batches, budget=arm, seed=seed, **common).model
    return makers[arm]()


def _accuracy(setting: Setting, network: nn.Module, names: Sequence[int]) -> float:
    _, _, x, y = setting.load()
    with torch.no_grad():
        answers = torch.cat([network.eval()(part).argmax(1) for part in x.split(500)])
    return float((torch.tensor(list(names))[answers] == y).float().mean())
