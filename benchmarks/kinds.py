"""How well audits of other kinds of labels find what is wrong: several people's labels, tokens, several labels an
item, numbers, masks and boxes.

Real errors where the data have them (people's votes against the truth, distant against clean entity labels); elsewhere
errors are planted, with five seeds. ``python benchmarks/kinds.py`` writes ``benchmarks/results/kinds.json``; cases that
are named are measured anew, the others kept. Scores are average precisions of ``1 - trust`` in finding what is truly
wrong, beside the share that is: what a random order gets.
No truth reaches an audit, but for the boxes' detector, which is simulated.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import sys
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

sys.path.insert(0, str(Path(__file__).resolve().parent))

import errata
from _record import COMMIT, RESULTS, read_result, write_result

DATA = Path(os.environ.get("ERRATA_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SEEDS = range(100, 105)
Row = dict[str, Any]


def found(wrong: np.ndarray, trust: np.ndarray, flagged: np.ndarray) -> Row:
    """Average precision, the share that is wrong, and precision and recall of what was flagged."""
    return {
        "average_precision": float(average_precision_score(wrong, 1 - np.nan_to_num(trust, nan=1.0))),
        "wrong": float(wrong.mean()),
        "flagged_precision": float(wrong[flagged].mean()) if flagged.any() else 0.0,
        "flagged_recall": float(flagged[wrong].mean()),
    }


# -- several people's labels ------------------------------------------------------------------------------------------


def crowd(name: str, aggregate: str) -> Callable[[int], Row]:
    """Real votes: is the majority wrong, and does trust know? Is the consensus as sure as it is right?"""

    def measure(seed: int) -> Row:
        votes = pd.read_csv(DATA / "crowd" / f"{name}_answer.csv.gz")
        truth = pd.read_csv(DATA / "crowd" / f"{name}_truth.csv.gz").set_index("question")["truth"]
        ledger = errata.audit(
            annotations=votes,
            item="question",
            annotator="worker",
            label="answer",
            aggregate=aggregate,
            seed=seed,
            progress=False,
        )
        table = ledger.table
        true = table["item"].map(truth)
        known = true.notna().to_numpy()
        right = (table["proposed"].astype(int) == true).to_numpy()[known]
        wrong = (table["given"].astype(int) != true).to_numpy()[known]
        sure = table["consensus_probability"].to_numpy()[known]
        return {
            **found(wrong, ledger.trust[known], ledger.issue[known]),
            "consensus_accuracy": float(right.mean()),
            "majority_accuracy": float(1 - wrong.mean()),
            "consensus_stated": float(sure.mean()),
        }

    return measure


# -- tokens -----------------------------------------------------------------------------------------------------------


def _sentences(name: str) -> tuple[list[list[str]], list[list[str]]]:
    words: list[list[str]] = [[]]
    tags: list[list[str]] = [[]]
    with gzip.open(DATA / "text" / "african" / name, "rt", encoding="utf-8") as lines:
        for line in lines:
            parts = line.split()
            if len(parts) < 2:
                words, tags = ([*words, []], [*tags, []]) if words[-1] else (words, tags)
                continue
            words[-1].append(parts[0])
            tags[-1].append(parts[1])
    return [w for w in words if w], [t for t in tags if t]


def tokens(seed: int) -> Row:
    """Hausa named entities: labels by rules, the truth by people, of the same tokens."""
    words, clean = _sentences("hausa_ner_train_clean.tsv.gz")
    same, distant = _sentences("hausa_ner_train_clean_noisy_labels.tsv.gz")
    if [len(w) for w in words] != [len(w) for w in same]:
        raise SystemExit("the clean and the distant file are not of the same tokens")
    ledger = errata.audit(words, distant, task="tokens", seed=seed, progress=False)
    true = np.array([tag for tags in clean for tag in tags])
    given = np.array([tag for tags in distant for tag in tags])
    starts = np.concatenate([[0], np.cumsum([len(w) for w in words])[:-1]])
    place = starts[ledger.parts["row"]] + ledger.parts["position"].to_numpy()
    wrong = (true != given)[place]
    parts = ledger.parts
    return found(wrong, parts["trust"].to_numpy(), parts["issue"].to_numpy(bool))


# -- several labels per item ------------------------------------------------------------------------------------------


def multilabel(name: str, rate: float) -> Callable[[int], Row]:
    """A MULAN set with a share of its given labels left out, and as many put where they don't belong."""

    def measure(seed: int) -> Row:
        from errata.data import read_arff

        with zipfile.ZipFile(DATA / "multilabel" / "label_lists.zip") as lists:
            listed = next(n for n in lists.namelist() if Path(n).name.startswith(name) and n.endswith(".xml"))
            labels = [
                node.attrib["name"]
                for node in ElementTree.fromstring(lists.read(listed)).iter()
                if "name" in node.attrib
            ]
        data = read_arff(DATA / "multilabel" / f"{name}-train.arff.gz", labels)
        x = data.X.toarray() if hasattr(data.X, "toarray") else data.X
        rng = np.random.default_rng(seed)
        given = data.Y.copy()
        ones, zeros = np.flatnonzero(given.ravel() == 1), np.flatnonzero(given.ravel() == 0)
        count = int(rate * len(ones))
        flipped = np.concatenate([rng.choice(ones, count, replace=False), rng.choice(zeros, count, replace=False)])
        given.ravel()[flipped] ^= 1
        ledger = errata.audit(x, labels=given, classes=data.label_names, task="multilabel", seed=seed, progress=False)
        parts = ledger.parts
        column = {label: i for i, label in enumerate(data.label_names)}
        where = parts["row"].to_numpy() * len(column) + parts["label"].map(column).to_numpy()
        wrong = np.isin(where, flipped)
        return found(wrong, parts["trust"].to_numpy(), parts["issue"].to_numpy(bool))

    return measure


# -- numbers ----------------------------------------------------------------------------------------------------------


def numbers(seed: int) -> Row:
    """scikit-learn's diabetes data; a tenth of the numbers are swapped among each other."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(y), len(y) // 10, replace=False)
    given = y.copy()
    given[rows] = y[np.roll(rows, 1)]
    wrong = given != y
    ledger = errata.audit(x, given, task="regression", seed=seed, progress=False)
    return found(wrong, ledger.trust, ledger.issue)


# -- masks ------------------------------------------------------------------------------------------------------------

FRAME = (60, 45)
VOID = 11


def camvid(per_drive: int, every: int = 5, size: tuple[int, int] = FRAME) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames (N, H, W, 3), masks (N, H, W), and the drive of each frame; the size is (W, H)."""
    from PIL import Image

    with zipfile.ZipFile(DATA / "seg" / "camvid_240x180.zip") as archive:
        names = sorted(n for n in archive.namelist() if "/image/" in n)
        drives = [Path(n).name.split("_")[0][:4] for n in names]
        chosen = [
            n
            for drive in sorted(set(drives))
            for n in [n for n, d in zip(names, drives) if d == drive][::every][:per_drive]
        ]
        frames, masks = [], []
        for name in chosen:
            frames.append(np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB").resize(size)))
            label = name.replace("/image/", "/label/")[:-4] + ".png"
            masks.append(np.asarray(Image.open(io.BytesIO(archive.read(label))).resize(size, Image.Resampling.NEAREST)))
    return np.stack(frames), np.stack(masks), np.array([Path(n).name.split("_")[0][:4] for n in chosen])


def _pixel_features(frames: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    scaled = frames.astype(np.float32) / 255
    blurred = [ndimage.gaussian_filter(scaled, (0, s, s, 0)) for s in (1, 3, 8)]
    edges = ndimage.gaussian_gradient_magnitude(scaled.mean(-1), (0, 1, 1))[..., None]
    height, width = frames.shape[1:3]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    place = np.broadcast_to(np.stack([y / height, x / width], -1), (*frames.shape[:3], 2))
    return np.concatenate([scaled, *blurred, edges, place], axis=-1)


def planted_masks(true: np.ndarray, rng: np.random.Generator, least: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Masks of which in a fifth a region of ``least`` pixels or more has another class; and which masks those are."""
    from scipy import ndimage

    given = true.copy()
    spoilt = rng.choice(len(given), len(given) // 5, replace=False)
    for image in spoilt:
        kinds = [c for c in np.unique(given[image]) if c != VOID]
        regions = [
            (c, r, part) for c in kinds for part, n in [ndimage.label(given[image] == c)] for r in range(1, n + 1)
        ]
        large = [(c, part == r) for c, r, part in regions if (part == r).sum() >= least]
        kind, where = large[rng.integers(len(large))]
        given[image][where] = rng.choice([c for c in range(VOID) if c != kind])
    return given, np.isin(np.arange(len(given)), spoilt)


def masks(seed: int) -> Row:
    """CamVid: in a fifth of the frames a region is given another class; trees on colours judge, cross-validated."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import KFold

    frames, true, _ = camvid(30)
    features = _pixel_features(frames)
    rng = np.random.default_rng(seed)
    given, wrong = planted_masks(true, rng)
    probs = np.full((len(given), VOID, *given.shape[1:]), 1e-6, dtype=np.float32)
    for train, test in KFold(3, shuffle=True, random_state=seed).split(given):
        known = given[train] != VOID
        some = rng.permutation(int(known.sum()))[:40_000]
        forest = RandomForestClassifier(60, min_samples_leaf=5, n_jobs=1, random_state=seed)
        forest.fit(features[train][known][some], given[train][known][some])
        predicted = forest.predict_proba(features[test].reshape(-1, features.shape[-1]))
        shaped = predicted.reshape(len(test), *given.shape[1:], -1).transpose(0, 3, 1, 2)
        probs[np.ix_(test, forest.classes_)] = shaped
    ledger = errata.audit(given, pred_probs=probs, ignore=VOID, task="segmentation", progress=False)
    return found(wrong, ledger.trust, ledger.issue)


# -- boxes ------------------------------------------------------------------------------------------------------------


CELLS = ("Platelets", "RBC", "WBC")


def blood_cells() -> list[tuple[str, np.ndarray, list[str]]]:
    """The name of each image that has boxes, their corners and kinds."""
    found = []
    with zipfile.ZipFile(DATA / "detection" / "bccd.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".xml")):
            tree = ElementTree.fromstring(archive.read(name))
            true = [
                ([float(o.find("bndbox").find(k).text) for k in ("xmin", "ymin", "xmax", "ymax")], o.find("name").text)
                for o in tree.iter("object")
            ]
            true = [(c, kind) for c, kind in true if c[0] < c[2] and c[1] < c[3]]  # two of the data's have no area
            if true:
                found.append((Path(name).stem, np.array([c for c, _ in true]), [k for _, k in true]))
    return found


def boxes(seed: int) -> Row:
    """Blood cells: given boxes left out, moved or swapped; a simulated detector that misses and invents some."""
    rng = np.random.default_rng(seed)
    given, seen, wrong = [], [], []
    for _, corners, kinds in blood_cells():
        seen.append(detected(corners, kinds, rng))
        spoilt = rng.random() < 0.2
        given.append(_spoilt(corners, kinds, rng) if spoilt else {"boxes": corners, "labels": kinds})
        wrong.append(spoilt)
    ledger = errata.audit(given, predictions=seen, task="boxes", classes=list(CELLS), progress=False)
    return found(np.array(wrong), ledger.trust, ledger.issue)


def detected(corners: np.ndarray, kinds: list[str], rng: np.random.Generator) -> dict[str, Any]:
    """What a fair detector would have seen: nine boxes of ten, a little off, and now and then one that isn't there."""
    hit = rng.random(len(corners)) < 0.9
    size = np.tile(corners[:, 2:] - corners[:, :2], 2)
    near = corners + 0.05 * size * rng.normal(size=corners.shape)
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 2)
    ghosts = rng.poisson(0.5)
    where = rng.uniform(0, 300, (ghosts, 2))
    return {
        "boxes": np.concatenate([near[hit], np.concatenate([where, where + 60], axis=1)]),
        "labels": [k for k, h in zip(kinds, hit) if h] + list(rng.choice(CELLS, ghosts)),
        "scores": np.concatenate([rng.beta(8, 2, int(hit.sum())), rng.beta(2, 5, ghosts)]),
    }


def _spoilt(corners: np.ndarray, kinds: list[str], rng: np.random.Generator) -> dict[str, Any]:
    which, how = rng.integers(len(corners)), rng.integers(3)
    corners, kinds = corners.copy(), list(kinds)
    if how == 0 and len(corners) > 1:
        return {"boxes": np.delete(corners, which, axis=0), "labels": kinds[:which] + kinds[which + 1 :]}
    if how == 1:
        corners[which] += 0.7 * (corners[which, 2] - corners[which, 0])
    else:
        kinds[which] = rng.choice([k for k in CELLS if k != kinds[which]])
    return {"boxes": corners, "labels": kinds}


# -- all of them ------------------------------------------------------------------------------------------------------

CASES: dict[str, tuple[str, Callable[[int], Row], bool]] = {
    **{
        f"{name}, {how}": (f"votes of people ({name}), consensus by {how}", crowd(name, how), False)
        for name in ("duck", "product")
        for how in ("majority", "dawid-skene", "glad", "mace")
    },
    "tokens": ("Hausa entities, labels by rules", tokens, False),
    "yeast": ("MULAN yeast, a tenth of the labels moved", multilabel("yeast", 0.1), True),
    "emotions": ("MULAN emotions, a tenth of the labels moved", multilabel("emotions", 0.1), True),
    "numbers": ("diabetes, a tenth of the numbers swapped", numbers, True),
    "masks": ("CamVid, a region of a fifth of the frames", masks, True),
    "boxes": ("blood cells, one box of a fifth of the images; simulated detector", boxes, True),
}
"""By name: what it is, the measurement of a seed, and whether seeds differ (real votes are what they are)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    options = parser.parse_args()
    kept = (RESULTS / "kinds.json").exists() and options.cases != list(CASES)
    results = read_result("kinds")["result"]["cases"] if kept else {}
    for name in options.cases:
        says, measure, seeded = CASES[name]
        cells = []
        for seed in SEEDS if seeded else [0]:
            started = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                cells.append({"seed": seed, **measure(seed), "seconds": round(time.perf_counter() - started, 1)})
        scores = {k: [c[k] for c in cells] for k in cells[0] if k not in ("seed", "seconds")}
        mean = {k: float(np.mean(v)) for k, v in scores.items()}
        spread = {k: float(np.std(v, ddof=1)) if len(v) > 1 else None for k, v in scores.items()}
        results[name] = {"says": says, "cells": cells, "mean": mean, "sd": spread, **COMMIT}
        print(f"{name}: " + ", ".join(f"{k} {v:.3f}" for k, v in mean.items()), flush=True)
    write_result("kinds", {"cases": results, "tables": tables(results)}, command="python benchmarks/kinds.py")


def tables(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What the documents show."""

    def shown(about: dict[str, Any], score: str) -> str | None:
        if score not in about["mean"]:
            return None
        spread = about["sd"][score]
        return f"{100 * about['mean'][score]:.1f}" + (f" ± {100 * spread:.1f}" if spread is not None else "")

    columns = {
        "average_precision": "average precision",
        "wrong": "wrong",
        "flagged_precision": "precision of the flagged",
        "flagged_recall": "recall of the flagged",
    }
    crowds = {
        "consensus_accuracy": "consensus right",
        "consensus_stated": "stated",
        "majority_accuracy": "majority right",
    }
    people = {name: about for name, about in results.items() if "consensus_accuracy" in about["mean"]}
    return [
        {
            "title": "Finding what is wrong",
            "columns": ["", *columns.values()],
            "rows": [[a["says"], *(shown(a, c) for c in columns)] for n, a in results.items() if n not in people],
            "note": "In percent; five seeds where errors are planted. A random order has the precision `wrong`.",
        },
        {
            "title": "Several people's labels of the same items",
            "columns": ["", *crowds.values(), columns["average_precision"]],
            "rows": [[a["says"], *(shown(a, c) for c in (*crowds, "average_precision"))] for a in people.values()],
            "note": "In percent. The last column: how well trust finds the items whose majority is wrong.",
        },
    ]


if __name__ == "__main__":
    main()
