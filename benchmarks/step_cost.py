"""What a training step of each system costs beside plain cross-entropy; of each multi-label system beside binary
cross-entropy.

One process, one network architecture, synthetic images of CIFAR's size. The systems take turns step by step, so that
whatever else the machine does falls on all of them alike; the ratio is taken within each turn, and its median told. A
step is views, forward, loss, backward, the hook before the optimiser, gradient clipping, the optimiser and the
averaging of weights; not data reading, which ``batching.py`` measures. Every so many steps OGC fits its threshold: that
is timed apart and shared out over those steps.

    python benchmarks/step_cost.py                                  # CPU, some minutes
    python benchmarks/step_cost.py --device cuda --turns 200        # GPU
    python benchmarks/step_cost.py --task multilabel
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from _record import write_result
from errata import models, systems
from errata.data import ImageViews
from errata.parts import Batch, MultiLabelSystem, System

SYSTEMS = {  # the plain one first
    "classification": ("ce", "robust-loss", "ogc", "anl", "elr", "elr-plus"),
    "multilabel": ("bce", "pu-mlc"),
}
ROWS = 50_000
CLASSES = {"classification": 10, "multilabel": 20}
# of a step of plain cross-entropy; elr-plus trains two networks, whose plain cost is twice that
TARGETS = {"robust-loss": 1.10, "ogc": 1.10, "anl": 1.10, "elr": 1.10, "elr-plus": 2 * 2 * 1.10}
# pu-mlc goes through the network a second time, with half a batch of mixed samples, and back from both
TARGETS |= {"pu-mlc": 1.5 * 1.10}


class Trained:
    """A system with its optimiser, and what a Trainer does in a step."""

    def __init__(self, slug: str, model: str, classes: int, device: str, half: bool) -> None:
        torch.manual_seed(0)
        network = models.build(model, classes, input_shape=(3, 32, 32))
        views = ImageViews(mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26))
        self.system: System = systems.load(slug)(network, classes, ROWS, views=views, scheduler="constant", lr=0.01)
        self.system.to(device).train()
        self.optimizer = self.system.configure_optimizers()
        self.autocast = torch.autocast(device.split(":")[0], torch.bfloat16, enabled=half)
        self.steps = 0

    def step(self, batch: Batch) -> None:
        """One step on a batch that is on the device already."""
        system, optimizer = self.system, self.optimizer
        self.steps += 1
        system.on_train_batch_start(batch, self.steps)
        with self.autocast:
            loss = system.training_step(batch)
        optimizer.zero_grad()
        system.backward(loss)
        system.on_before_optimizer_step(optimizer)
        if system.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], system.gradient_clip)
        optimizer.step()
        if hasattr(system, "update_teachers"):
            system.update_teachers()
        if isinstance(system, MultiLabelSystem) and system.averaged is not None:
            system.averaged.update(system.model, system.ema)


def timed(work: Any, device: str) -> float:
    """Seconds of a call, until the device is done with it."""
    if device != "cpu":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def refit_seconds(trained: Trained, device: str) -> float:
    """What OGC's choice of a threshold costs, per step."""
    criterion: Any = trained.system.criterion
    random = torch.Generator().manual_seed(0)
    h = torch.cat([torch.rand(2500, generator=random), 3 + 2 * torch.rand(1596, generator=random)])
    criterion.push(h[torch.randperm(len(h), generator=random)])
    return statistics.median(timed(lambda: criterion.refit(0.01), device) for _ in range(7)) / criterion.time_frame


def measure(model: str, options: argparse.Namespace) -> dict[str, Any]:
    """All systems on one architecture, in turns."""
    device = options.device
    random = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (options.batch, 3, 32, 32), generator=random, dtype=torch.uint8).to(device)
    slugs, classes = SYSTEMS[options.task], CLASSES[options.task]
    if options.task == "multilabel":  # one label in ten is noted
        y = torch.where(torch.rand(options.batch, classes, generator=random) < 0.1, 1, -1).to(device)
    else:
        y = torch.randint(classes, (options.batch,), generator=random).to(device)
    trained = {slug: Trained(slug, model, classes, device, options.precision == "bf16") for slug in slugs}
    seconds: dict[str, list[float]] = {slug: [] for slug in slugs}
    for turn in range(-options.warm_up, options.turns):
        first = turn % len(slugs)
        batch = Batch(torch.randperm(ROWS, generator=random)[: options.batch].to(device), x, y)
        for slug in slugs[first:] + slugs[:first]:
            spent = timed(partial(trained[slug].step, batch), device)
            if turn >= 0:
                seconds[slug].append(spent)
    shared = {"ogc": refit_seconds(trained["ogc"], device)} if "ogc" in trained else {}
    result = {}
    for slug in slugs:
        extra = shared.get(slug, 0.0)
        ratios = [(own + extra) / plain for own, plain in zip(seconds[slug], seconds[slugs[0]], strict=True)]
        result[slug] = {
            "median_seconds": statistics.median(seconds[slug]) + extra,
            "ratio_to_plain": statistics.median(ratios),
            "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
            "refit_seconds_per_step": extra,
            "target": TARGETS.get(slug),
            "seconds": [round(s, 6) for s in seconds[slug]],
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(SYSTEMS), default="classification")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--models", nargs="+", default=["small_cnn", "resnet18"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--turns", type=int, default=12, help="steps of each system that are timed")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before that")
    parser.add_argument("--precision", choices=["32", "bf16"], default="32")
    parser.add_argument("--threads", type=int, default=0, help="of torch on the CPU; 0 leaves torch's own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    found = {model: measure(model, options) for model in options.models}
    for model, result in found.items():
        print(f"\n{model}, batch {options.batch}, {options.device}, {options.precision}")
        for slug, row in result.items():
            low, high = row["ratio_quartiles"]
            target = f"at most {row['target']:.2f}" if row["target"] else "the baseline"
            print(
                f"  {slug:12s} {1000 * row['median_seconds']:9.1f} ms   {row['ratio_to_plain']:.3f} of plain "
                f"(quartiles {low:.3f}, {high:.3f})   {target}"
            )
    name = "step_cost" if options.task == "classification" else f"step_cost_{options.task}"
    name += "" if options.device == "cpu" else "_gpu"
    name += "_bf16" if options.precision == "bf16" else ""
    settings = {
        **vars(options),
        "rows": ROWS,
        "classes": CLASSES[options.task],
        "threads_used": torch.get_num_threads(),
    }
    path = write_result(name, {"settings": settings, "models": found})
    print(f"\n{path}")


if __name__ == "__main__":
    main()
