"""What cutting a batch costs, as a share of a training step of a CIFAR ResNet-18.

Images of CIFAR's number and size (synthetic: their content does not matter here), a batch of 128. Batch and step take
turns, as in training, so that a batch is cut with the caches as the step left them, and whatever else the machine does
falls on both. Three ways are measured: slices of a tensor in memory, slices of a memory-mapped file, and, to compare,
torch's DataLoader over single samples with its default collate. A step is the views, forward, loss, backward and SGD;
on a GPU a batch's cost includes its way to the device.

    python benchmarks/batching.py                       # CPU, some minutes
    python benchmarks/batching.py --device cuda --turns 300
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from _record import write_result
from errata import models, systems
from errata.data import Batches, ImageViews, IndexedDataset
from errata.parts import Batch

TARGET = 0.05
CLASSES = 10


def ways(rows: int, batch: int, folder: Path) -> dict[str, Callable[[], Any]]:
    """What gives batches, by name; each call starts an epoch."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (rows, 3, 32, 32), dtype=np.uint8)
    y = torch.from_numpy(rng.integers(0, CLASSES, rows))
    np.save(folder / "x.npy", x)
    tensor = torch.from_numpy(x)
    samples = IndexedDataset(TensorDataset(tensor, y))
    return {
        "tensor": lambda: Batches(tensor, y, batch_size=batch),
        "memory-mapped": lambda: Batches(np.load(folder / "x.npy", mmap_mode="r"), y, batch_size=batch),
        "DataLoader of samples": lambda: DataLoader(samples, batch_size=batch, shuffle=True),
    }


def forever(make: Callable[[], Any]) -> Iterator[Batch]:
    """Batches without end; the start of an epoch counts for the batch that waits for it."""
    while True:
        yield from make()


class Step:
    """A training step of plain cross-entropy."""

    def __init__(self, rows: int, device: str, half: bool) -> None:
        torch.manual_seed(0)
        network = models.build("resnet18", CLASSES, input_shape=(3, 32, 32))
        views = ImageViews(mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26))
        self.system = systems.load("ce")(network, CLASSES, rows, views=views, scheduler="constant", lr=0.01)
        self.system.to(device).train()
        self.optimizer = self.system.configure_optimizers()
        self.autocast = torch.autocast(device.split(":")[0], torch.bfloat16, enabled=half)

    def __call__(self, batch: Batch) -> None:
        with self.autocast:
            loss = self.system.training_step(batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of batches and steps, for each way, in turns."""
    device = options.device
    step = Step(options.rows, device, options.precision == "bf16")
    with tempfile.TemporaryDirectory() as folder:
        sources = {name: forever(make) for name, make in ways(options.rows, options.batch, Path(folder)).items()}
        cut: dict[str, list[float]] = {name: [] for name in sources}
        steps: list[float] = []
        for turn in range(-options.warm_up, options.turns):
            for name, source in sources.items():
                begun = time.perf_counter()
                batch = Batch(*(part.to(device) for part in next(source)))
                wait(device)
                between = time.perf_counter()
                step(batch)
                wait(device)
                if turn >= 0:
                    cut[name].append(between - begun)
                    steps.append(time.perf_counter() - between)
    whole = statistics.median(steps)
    found = {
        name: {
            "median_seconds": statistics.median(seconds),
            "share_of_step": statistics.median(seconds) / whole,
            "mean_share_of_step": statistics.mean(seconds) / statistics.mean(steps),
            "seconds": [round(s, 7) for s in seconds],
        }
        for name, seconds in cut.items()
    }
    return {"step_median_seconds": whole, "step_seconds": [round(s, 6) for s in steps], "ways": found}


def wait(device: str) -> None:
    """Until the device is done."""
    if device != "cpu":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--turns", type=int, default=10, help="batches and steps of each way that are timed")
    parser.add_argument("--warm-up", type=int, default=1)
    parser.add_argument("--precision", choices=["32", "bf16"], default="32")
    options = parser.parse_args()
    found = measure(options)
    print(f"a step of {options.batch} rows: {1000 * found['step_median_seconds']:.2f} ms on {options.device}")
    for name, row in found["ways"].items():
        print(f"  {name:22s} {1000 * row['median_seconds']:8.3f} ms   {row['share_of_step']:.2%} of a step")
    settings = {name.replace("-", "_"): value for name, value in vars(options).items()}
    name = "batching" if options.device == "cpu" else f"batching-{options.device.split(':')[0]}"
    device = torch.cuda.get_device_name(options.device) if options.device != "cpu" else None
    payload = {"settings": {**settings, "threads": torch.get_num_threads(), "device_name": device}, "target": TARGET}
    print(write_result(name, {**payload, **found}))


if __name__ == "__main__":
    main()
