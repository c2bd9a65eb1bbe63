"""What ADELE costs beside plain pixel-wise cross-entropy: a training step, and a pass of corrections; in one run.

One process, one network, synthetic images with masks. The systems take turns step by step, so that whatever else the
machine does falls on all of them alike; the ratio is taken within each turn, and its median told. A correction pass is
timed for each variant on all images, and told beside an epoch of the baseline's steps over the same images.

    python benchmarks/segmentation_cost.py                     # CPU, a minute
    python benchmarks/segmentation_cost.py --device cuda --width 64 --side 256 --turns 50
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from _record import write_result
from errata import systems
from errata.models import UNet
from errata.parts import Batch

CLASSES = 5
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "seg-ce": ("seg-ce", {}),
    "adele, correction alone": ("adele", {"scales": (1.0,)}),
    "adele, medical": ("adele", {}),
    "adele, voc": ("adele", {"variant": "voc"}),
}
AREA = 1 + 0.7**2 + 1.5**2  # of the three scales, in images: what three passes should cost


def timed(work: Any, device: str) -> float:
    """Seconds of a call, until the device is done with it."""
    if device != "cpu":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


class Trained:
    """A system with its optimiser, on batches that are on the device already."""

    def __init__(self, arm: str, options: argparse.Namespace, batches: list[Batch]) -> None:
        slug, settings = ARMS[arm]
        torch.manual_seed(0)
        network = UNet(CLASSES, width=options.width)
        n = sum(len(b.index) for b in batches)
        self.system = systems.load(slug)(network, CLASSES, n, scheduler="constant", **settings).to(options.device)
        self.optimizer = self.system.configure_optimizers()
        self.batches = batches
        self.turn = 0

    def step(self) -> None:
        """Views, forward, loss, evidence, backward, optimiser."""
        batch = self.batches[self.turn % len(self.batches)]
        self.turn += 1
        self.system.train()
        loss = self.system.training_step(batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def correct(self) -> None:
        """A correction of all images that were seen, with every foreground class switched on."""
        due = list(range(1, CLASSES))
        if self.system.variant == "voc":
            self.system._correct_by_predicting(due, 9, self.batches)
        else:
            self.system._correct_from_memory(due)


def make(options: argparse.Namespace) -> list[Batch]:
    rng = np.random.default_rng(0)
    shape = (options.batch * options.batches, options.side, options.side)
    masks = np.zeros(shape, dtype=np.int64)
    for mask in masks:
        for c in range(1, CLASSES):
            y, x = rng.integers(0, options.side * 2 // 3, 2)
            mask[y : y + options.side // 3, x : x + options.side // 3] = c
    images = (masks[:, None] + rng.normal(0, 0.5, (len(masks), 3, *shape[1:]))).astype(np.float32)
    x, y = torch.from_numpy(images).to(options.device), torch.from_numpy(masks).to(options.device)
    rows = torch.arange(len(masks), device=options.device).split(options.batch)
    return [Batch(part, x[part], y[part]) for part in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--batches", type=int, default=4, help="batches of an epoch")
    parser.add_argument("--side", type=int, default=64, help="pixels of an image's side")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--turns", type=int, default=8, help="steps of each system that are timed")
    options = parser.parse_args()
    batches = make(options)
    arms = {arm: Trained(arm, options, batches) for arm in ARMS}
    for trained in arms.values():  # warm, and every image seen once
        for _ in batches:
            trained.step()
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    passes: dict[str, list[float]] = {arm: [] for arm in arms if arm != "seg-ce"}
    for turn in range(options.turns):
        for arm, trained in arms.items():
            seconds[arm].append(timed(trained.step, options.device))
        for arm in passes if turn % 3 == 0 else ():
            passes[arm].append(timed(arms[arm].correct, options.device))
    rows, found = [], {}
    for arm, own in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(own, seconds["seg-ce"]))
        epoch = statistics.median(seconds["seg-ce"]) * len(batches)
        share = statistics.median(passes[arm]) / epoch if arm in passes else None
        found[arm] = {"step_seconds": statistics.median(own), "ratio": ratio, "correction_of_epoch": share}
        rows.append(
            [arm, f"{1000 * statistics.median(own):.0f}", f"{ratio:.2f}", "-" if share is None else f"{share:.2f}"]
        )
        print(rows[-1])
    table = {
        "title": "What a step and a correction of all masks cost",
        "columns": ["", "a step, ms", "times a step of seg-ce", "a correction, in epochs of seg-ce"],
        "rows": rows,
        "note": f"The pixels of three scales are {AREA:.2f} times those of one. {options.turns} steps each, in turns; "
        f"{options.side} x {options.side} pixels, a U-Net of width {options.width}, batches of {options.batch}.",
    }
    name = "segmentation_cost" if options.device == "cpu" else "segmentation_cost_gpu"
    print(write_result(name, {"settings": vars(options), "area_of_scales": AREA, "arms": found, "tables": [table]}))


if __name__ == "__main__":
    main()
