"""Audits of masks and of boxes that nobody has predicted anything for: how well, how long, how much memory.

Errors are planted in real data, three seeds; the audit gets pictures and labels, trains its own networks and has the
defaults in all but what the tables say. Beside it stand, on the same errors, what the other way gives: for masks
probabilities by a forest on colours that the benchmark ``kinds`` brings; for boxes the predictions of a simulated
detector that saw the truth. Every audit runs in a process of its own, whose time and memory are told.

    python benchmarks/unaided.py                    # an hour or two of one core
    python benchmarks/unaided.py boxes              # these cases anew, the others kept
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import errata
import kinds
from _record import COMMIT, RESULTS, read_result, write_result

Row = dict[str, Any]
SEEDS = (100, 101, 102)
SWAPPED = 0.05  # of the cells


# -- masks ------------------------------------------------------------------------------------------------------------


def of_masks(size: tuple[int, int], per_drive: int, every: int, by_drive: bool = False) -> Callable[[int], Row]:
    """CamVid: a fifth of the frames has a region of another class."""

    def measure(seed: int) -> Row:
        frames, true, drives = kinds.camvid(per_drive, every, size)
        least = 40 * size[0] * size[1] // (kinds.FRAME[0] * kinds.FRAME[1])
        given, wrong = kinds.planted_masks(true, np.random.default_rng(seed), least)
        how: dict[str, Any] = {"groups": drives, "folds": len(np.unique(drives))} if by_drive else {}
        own = {"ignore": kinds.VOID, "precision": "auto", "seed": seed, "progress": False}
        begun = start()
        ledger = errata.audit(frames, given, task="segmentation", **own, **how)
        spent = since(begun)
        return {**kinds.found(wrong, ledger.trust, ledger.issue), **_regions(ledger, given, true), **spent}

    return measure


def _regions(ledger: Any, given: np.ndarray, true: np.ndarray) -> Row:
    """Of the pixels in flagged regions the share that is wrong, and of the wrong pixels the share that lies in one."""
    from errata.scores.runs import area_of

    flagged = np.zeros(given.shape, dtype=bool)
    parts = ledger.parts[ledger.parts["issue"]]
    for row, x0, y0, x1, y1, runs in parts[["row", "x0", "y0", "x1", "y1", "runs"]].itertuples(index=False):
        flagged[row, y0:y1, x0:x1] |= area_of([int(n) for n in runs.split()], y1 - y0, x1 - x0)
    wrong = given != true
    hit = float((flagged & wrong).sum())
    return {"pixel_precision": hit / max(1, int(flagged.sum())), "pixel_recall": hit / max(1, int(wrong.sum()))}


def by_forest(seed: int) -> Row:
    """The same frames and errors, judged by probabilities that are brought."""
    begun = start()
    found = kinds.masks(seed)
    return {**found, **since(begun)}


# -- boxes ------------------------------------------------------------------------------------------------------------


def cells(seed: int) -> tuple[list[Row], np.ndarray, np.random.Generator]:
    """The boxes of the blood cells, of which a part has another class; and which boxes those are."""
    rng = np.random.default_rng(seed)
    true = kinds.blood_cells()
    total = sum(len(names) for _, _, names in true)
    wrong = np.zeros(total, dtype=bool)
    wrong[rng.choice(total, round(SWAPPED * total), replace=False)] = True
    given, number = [], 0
    for _, corners, names in true:
        labels = []
        for name in names:
            labels.append(rng.choice([k for k in kinds.CELLS if k != name]) if wrong[number] else name)
            number += 1
        given.append({"boxes": corners, "labels": labels})
    return given, wrong, rng


def of_boxes(seed: int) -> Row:
    """What the boxes show, cross-validated."""
    from PIL import Image

    given, wrong, _ = cells(seed)
    pictures = []
    with zipfile.ZipFile(kinds.DATA / "detection" / "bccd.zip") as archive:
        place = {Path(name).stem: name for name in archive.namelist() if name.endswith(".jpg")}
        for name, _, _ in kinds.blood_cells():
            pictures.append(np.asarray(Image.open(io.BytesIO(archive.read(place[name]))).convert("RGB")))
    own = {"classes": list(kinds.CELLS), "precision": "auto", "seed": seed, "progress": False}
    images = np.stack(pictures)
    begun = start()
    ledger = errata.audit(images, given, task="boxes", **own)
    return {**_swapped(ledger, wrong), **since(begun), "other_kinds": _others(ledger)}


def by_detector(seed: int) -> Row:
    """The same boxes beside the predictions of a simulated detector, which saw the right ones."""
    given, wrong, rng = cells(seed)
    seen = [kinds.detected(corners, names, rng) for _, corners, names in kinds.blood_cells()]
    begun = start()
    ledger = errata.audit(given, predictions=seen, task="boxes", classes=list(kinds.CELLS), progress=False)
    return {**_swapped(ledger, wrong), **since(begun), "other_kinds": _others(ledger)}


def _swapped(ledger: Any, wrong: np.ndarray) -> Row:
    """Of the given boxes: are those of a wrong class trusted least, and those flagged as swapped wrong?"""
    parts = ledger.parts[ledger.parts["given"] != ""].sort_values("row", kind="stable")
    if len(parts) != len(wrong):
        raise SystemExit("the ledger's parts are not the given boxes")
    flagged = (parts["issue"] & (parts["kind"] == "swapped")).to_numpy(bool)
    return kinds.found(wrong, parts["trust"].to_numpy(), flagged)


def _others(ledger: Any) -> dict[str, int]:
    flagged = ledger.parts[ledger.parts["issue"] & (ledger.parts["kind"] != "swapped")]
    return {str(kind): int(count) for kind, count in flagged["kind"].value_counts().items()}


# -- all of them ------------------------------------------------------------------------------------------------------


def start() -> tuple[float, float, float]:
    """When an audit begins: clock, processor time, and the memory that was filled before, in megabytes."""
    return time.perf_counter(), time.process_time(), _peak()


def since(begun: tuple[float, float, float]) -> Row:
    """What it took."""
    return {
        "seconds": round(time.perf_counter() - begun[0], 1),
        "processor_seconds": round(time.process_time() - begun[1], 1),
        "peak_mb": round(_peak()),
        "peak_before_mb": round(begun[2]),
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


CASES: dict[str, tuple[str, Callable[[int], Row], tuple[int, ...]]] = {
    "masks": ("106 frames, 60 x 45: stretches of frames", of_masks(kinds.FRAME, 30, 5), SEEDS),
    "masks by drive": ("the same, a drive in each fold", of_masks(kinds.FRAME, 30, 5, by_drive=True), SEEDS),
    "masks by a forest": ("the same, a forest's probabilities brought (mixed folds)", by_forest, SEEDS),
    "all masks": ("all 701 frames, 60 x 45: stretches of frames", of_masks(kinds.FRAME, 1000, 1), SEEDS[:1]),
    "boxes": ("what 4,886 boxes show, cross-validated", of_boxes, SEEDS),
    "boxes by a detector": ("the same, a simulated detector’s predictions brought", by_detector, SEEDS),
}
"""By name: what it is, the measurement of a seed, and the seeds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--cell", type=int, help="measure this seed of one case, and print it")
    options = parser.parse_args()
    if options.cell is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            print(json.dumps(CASES[options.cases[0]][1](options.cell), default=float))
        return
    for name in options.cases:
        says, _, seeds = CASES[name]
        rows = []
        for seed in seeds:
            done = subprocess.run(
                [sys.executable, __file__, name, "--cell", str(seed)], check=True, capture_output=True, text=True
            )
            rows.append({"seed": seed, **json.loads(done.stdout.splitlines()[-1])})
            print(name, rows[-1], flush=True)
        # read only now: another case may have been written meanwhile
        results = read_result("unaided")["result"]["cases"] if (RESULTS / "unaided.json").exists() else {}
        results[name] = {"says": says, "cells": rows, **COMMIT}
        ordered = {case: results[case] for case in CASES if case in results}
        write_result("unaided", {"cases": ordered, "tables": tables(ordered)}, command="python benchmarks/unaided.py")


def tables(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What the documents show."""

    def shown(cells: list[Row], score: str, scale: float = 100.0) -> str:
        values = scale * np.array([cell[score] for cell in cells])
        return f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")

    columns = {
        "average_precision": "average precision",
        "wrong": "wrong",
        "flagged_precision": "precision of the flagged",
        "flagged_recall": "recall of the flagged",
    }
    cost = ["minutes of a processor", "peak memory, MB (before)"]

    def row(about: dict[str, Any]) -> list[str]:
        cells = about["cells"]
        peak, before = (max(cell[name] for cell in cells) for name in ("peak_mb", "peak_before_mb"))
        minutes = shown(cells, "processor_seconds", 1 / 60)
        return [about["says"], *(shown(cells, c) for c in columns), minutes, f"{peak:,} ({before:,})"]

    return [
        {
            "title": title,
            "columns": ["", *columns.values(), *cost],
            "rows": [row(about) for name, about in results.items() if name.startswith(what) or name == f"all {what}"],
            "note": note,
        }
        for what, title, note in (
            ("masks", "CamVid: a fifth of the frames has a region of another class", MASKS_NOTE),
            ("boxes", "Blood cells: a twentieth of the boxes has another class", BOXES_NOTE),
        )
    ]


MASKS_NOTE = (
    "In percent, of frames; three seeds, one for all frames. A random order has the precision `wrong`. The networks "
    "trained in bfloat16 where the processor has it (`precision='auto'`), one thread. The memory is that of the whole "
    "process, before: what was imported and read."
)
BOXES_NOTE = "In percent, of boxes; three seeds. Flagged: as swapped."


if __name__ == "__main__":
    main()
