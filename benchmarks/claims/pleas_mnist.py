"""PLeaS and its baselines on MNIST; see ``pleas.py``."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import torch
from _merging import Images, Setting, networks
from _trials import main
from torch import nn

DATA = Path(os.environ.get("ERRATA_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "mnist"
TESTED_ON = 2000


@cache
def mnist() -> Images:
    found = []
    for name in ("train", "test"):
        with np.load(DATA / f"{name}.npz") as file:
            images, labels = file["X"], file["y"]
        x = torch.from_numpy(images).float()[:, None, 2:26, 2:26] / 255
        found += [nn.functional.avg_pool2d(x, 2) / 0.3 - 0.4, torch.from_numpy(labels.astype(np.int64))]
    return found[0], found[1], found[2][:TESTED_ON], found[3][:TESTED_ON]


SETTING = Setting(
    "pleas-mnist",
    "MNIST, 3,000 images of 12 x 12 pixels",
    mnist,
    networks(patch=3),
    trained_on=3000,
    batches=8,
)

if __name__ == "__main__":
    main(*SETTING.trials())
