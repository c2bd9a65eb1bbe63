"""What training in bfloat16 saves on this processor: seconds of an epoch, and the accuracy that comes of it.

An epoch is timed by whole steps of ``errata.engine.fit`` (views, network, loss, optimiser) on CIFAR-10's images, in
processor time, both precisions in turn. "channels first" is what bfloat16 would cost without the layout that ``fit``
chooses. The accuracies are of a small CNN on a part of CIFAR-10 with its published labels, both from the same seeds.

    OMP_NUM_THREADS=1 python benchmarks/precision.py
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from _record import write_result
from errata import models, systems
from errata.data import Batches
from errata.data.views import ImageViews
from errata.engine import fit
from errata.engine.evaluation import predict_proba
from errata.engine.precision import has_bfloat16_units

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("ERRATA_DATA", ROOT.parent / "shared" / "data"))
STEPS = {"small_cnn": 8, "resnet9": 4, "resnet18": 2, "resnet34": 2}
BATCH, IMAGES, CLASSES = 128, 50_000, 10
WAYS = {"float32": "32-true", "bfloat16": "bf16-mixed", "bfloat16, channels first": "bf16-mixed"}


def pictures(file: str, label: str, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first images of one of the two files, (N, 3, 32, 32) uint8, and their labels."""
    import pyarrow.parquet as pq
    from PIL import Image

    table = pq.read_table(DATA / file, columns=["image", label]).slice(0, rows)
    images = [np.asarray(Image.open(io.BytesIO(cell.as_py())).convert("RGB")) for cell in table["image"]]
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return x, torch.from_numpy(table[label].to_numpy().astype(np.int64))


def trained(model: str, x: torch.Tensor, y: torch.Tensor, way: str, epochs: int, seed: int) -> Any:
    """A system after some epochs, and the processor time that these took."""
    network = models.build(model, CLASSES, (3, 32, 32), seed=seed)
    views = ImageViews(mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26))
    system = systems.load("ce")(network, CLASSES, len(y), views=views, lr=0.05)
    batches = Batches(x, y, batch_size=BATCH, seed=seed)
    as_it_is = mock.patch("errata.engine.fit.convolutions_by_channel", return_value=nullcontext())
    begun = time.process_time()
    with as_it_is if "first" in way else nullcontext():
        fit(system, batches, epochs=epochs, seed=seed, precision=WAYS[way], device="cpu", progress=False)
    return system, time.process_time() - begun


def speed(model: str, x: torch.Tensor, y: torch.Tensor, repeats: int) -> dict[str, Any]:
    """Seconds of an epoch of CIFAR-10 in each way, from few steps, in turn."""
    rows = STEPS[model] * BATCH
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(-1, repeats):
        for way in WAYS:
            if turn < 0 and model != "small_cnn":
                continue  # what is loaded once has been loaded
            _, spent = trained(model, x[:rows], y[:rows], way, 1, seed=0)
            if turn >= 0:
                seconds[way].append(spent * IMAGES / rows)
    ratios = [a / b for a, b in zip(seconds["float32"], seconds["bfloat16"], strict=True)]
    return {"seconds": seconds, "ratio": statistics.median(ratios), "steps": STEPS[model]}


def accuracies(seeds: int, rows: int, epochs: int) -> list[dict[str, float]]:
    """Test accuracy of the last epoch in both precisions."""
    x, y = pictures("cifar10n_train.parquet", "true_label", rows)
    new, truth = pictures("cifar10_test.parquet", "label", 2000)
    found = []
    for seed in range(100, 100 + seeds):
        right = {}
        for way in ("float32", "bfloat16"):
            system, _ = trained("small_cnn", x, y, way, epochs, seed)
            predicted = predict_proba(system, new, precision=WAYS[way]).argmax(1)
            right[way] = float((predicted == truth.numpy()).mean())
        found.append({"seed": seed, **right})
        print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=4000, help="trained on for the accuracies")
    parser.add_argument("--epochs", type=int, default=6, help="for the accuracies")
    parser.add_argument("--models", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--dry", action="store_true", help="record nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    x, y = pictures("cifar10n_train.parquet", "true_label", max(STEPS.values()) * BATCH)
    found = {}
    for model in options.models:
        found[model] = speed(model, x, y, options.repeats)
        print(model, {way: round(min(s)) for way, s in found[model]["seconds"].items()}, flush=True)
    right = accuracies(options.seeds, options.rows, options.epochs) if options.seeds else []
    rows = [
        [model, *(f"{statistics.median(f['seconds'][way]):,.0f}" for way in WAYS), f"{f['ratio']:.1f}"]
        for model, f in found.items()
    ]
    tables: list[dict[str, Any]] = [
        {
            "title": "Seconds of an epoch of 50,000 images of 32 x 32, by precision, on one core",
            "columns": ["network", *WAYS, "times faster"],
            "rows": rows,
            "note": f"Processor time, medians of {options.repeats} turns; an epoch is extrapolated from "
            f"{min(STEPS.values())} to {max(STEPS.values())} steps of {BATCH} images.",
        }
    ]
    if right:
        tables.append(
            {
                "title": f"Accuracy of the small CNN after {options.epochs} epochs of {options.rows:,} images, %",
                "columns": ["seed", "float32", "bfloat16"],
                "rows": [[r["seed"], f"{100 * r['float32']:.1f}", f"{100 * r['bfloat16']:.1f}"] for r in right],
                "note": "On 2,000 test images; the standard error of each is about one point.",
            }
        )
    payload = {
        "bfloat16_units": has_bfloat16_units("cpu"),
        "settings": vars(options),
        "models": found,
        "accuracies": right,
        "tables": tables,
    }
    if not options.dry:
        print(write_result("precision", payload))


if __name__ == "__main__":
    main()
