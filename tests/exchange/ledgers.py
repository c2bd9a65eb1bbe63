"""Ledgers of every kind of labels that is no class, over small data in files; the same whenever they are made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

import errata

SENTENCES = [
    "Ada/B-PER lives/O in/O Rome/B-LOC",
    "Ben/B-PER Low/I-PER met/O Ada/B-PER",
    "Rome/B-LOC is/O old/O",
    "🎉/O Eve/B-PER saw/O New/B-LOC York/I-LOC",
    "Eve/B-PER left/O Rome/B-LOC",
]
WRONG = {(7, "Rome"): "O", (13, "York"): "O"}
"""Tokens that are labelled wrongly: (sentence, token) to the label that they have."""

COLOURS = ("ground", "red", "blue")


def split(sentence: str) -> list[tuple[str, str]]:
    return [(word, label) for word, label in (token.rsplit("/", 1) for token in sentence.split())]


def tokens(folder: Path, ending: str = ".conll") -> Path:
    """Forty sentences; rows 7 and 13 look wrong."""
    name = folder / f"ner{ending}"
    lines = []
    truth = []
    for i in range(40):
        pairs = [(word, WRONG.get((i, word), label)) for word, label in split(SENTENCES[i % 5])]
        truth += [label for _, label in split(SENTENCES[i % 5])]
        if ending == ".jsonl":
            told = {"id": i, "tokens": [w for w, _ in pairs], "labels": [one for _, one in pairs], "more": "x"}
            lines.append(json.dumps(told, ensure_ascii=False) + "\n")
        else:
            lines += [f"{word}\tX\t{label}\n" for word, label in pairs] + ["\n"]
    name.write_text("".join(lines), encoding="utf-8")
    classes = sorted(set(truth))
    probs = np.where(np.array(truth)[:, None] == np.array(classes), 0.95, 0.05 / (len(classes) - 1))
    ledger = errata.audit(str(name), task="tokens", pred_probs=probs, classes=classes, progress=False)
    return ledger.save(folder / f"ner{ending}-audit", report=False)


def pictures(folder: Path, n: int = 12) -> Path:
    """Pictures of 40 x 30 pixels with a red and a blue rectangle."""
    place = folder / "images"
    place.mkdir(exist_ok=True)
    for i in range(n):
        pixels = np.full((30, 40, 3), 200, dtype=np.uint8)
        pixels[5:15, 5:15] = (200, 40, 40)
        pixels[18:28, 20:35] = (40, 40, 200)
        Image.fromarray(pixels).save(place / f"{i:02}.png")
    return place


TRUE = ((1, "red", [5, 5, 10, 10]), (7, "blue", [20, 18, 15, 10]))


def boxes(folder: Path) -> Path:
    """COCO; in image 3 a box is missing, in 5 the class is another, in 8 a box lies elsewhere."""
    images = [{"id": 100 + i, "file_name": f"{i:02}.png", "width": 40, "height": 30} for i in range(12)]
    given, seen = [], []
    for i in range(12):
        for number, name, box in TRUE:
            seen.append({"image_id": 100 + i, "category_id": number, "bbox": box, "score": 0.9})
            if i == 3 and name == "blue":
                continue
            one = {"id": len(given) + 1, "image_id": 100 + i, "category_id": 7 if (i, name) == (5, "red") else number}
            where = [7, 7, 11, 11] if (i, name) == (8, "red") else box
            given.append({**one, "bbox": where, "area": where[2] * where[3], "iscrowd": 0, "note": f"box {len(given)}"})
    categories = [{"id": 1, "name": "red"}, {"id": 7, "name": "blue"}]
    content = {"info": {"year": 2026}, "images": images, "annotations": given, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    (folder / "seen.json").write_text(json.dumps(seen), encoding="utf-8")
    ledger = errata.audit(
        str(folder / "boxes.json"),
        predictions=str(folder / "seen.json"),
        task="boxes",
        images=str(pictures(folder)),
        progress=False,
    )
    return ledger.save(folder / "boxes-audit", report=False)


def yolo(folder: Path) -> Path:
    """YOLO's files of the same images; in image 5 a class is another."""
    for place in ("yolo", "yseen"):
        (folder / place).mkdir()
    (folder / "yolo" / "classes.txt").write_text("red\nblue\n")
    for i in range(12):
        lines = ["0 0.25 0.333333 0.25 0.333333", "1 0.6875 0.766667 0.375 0.333333"]
        (folder / "yseen" / f"{i:02}.txt").write_text("".join(f"{line} 0.9\n" for line in lines))
        lines[0] = f"1{lines[0][1:]}" if i == 5 else lines[0]
        (folder / "yolo" / f"{i:02}.txt").write_text("\n".join(lines) + "\n")
    ledger = errata.audit(
        str(folder / "yolo"), predictions=str(folder / "yseen"), task="boxes", images=str(pictures(folder))
    )
    return ledger.save(folder / "yolo-audit", report=False)


def masks(folder: Path) -> Path:
    """Masks of the same images, 255 is none; in image 4 the blue area is called red, in 9 the red one is ground."""
    place = folder / "masks"
    place.mkdir()
    truth = []
    for i in range(12):
        mask = np.zeros((30, 40), dtype=np.uint8)
        mask[5:15, 5:15], mask[18:28, 20:35], mask[:1] = 1, 2, 255
        truth.append(np.where(mask == 255, 0, mask))
        if i == 4:
            mask[18:28, 20:35] = 1
        if i == 9:
            mask[6:14, 6:14] = 0
        Image.fromarray(mask).save(place / f"{i:02}.png")
    probs = np.where(np.stack([np.stack(truth) == c for c in range(3)], axis=1), 0.9, 0.05)
    ledger = errata.audit(
        str(pictures(folder)),
        label=str(place),
        pred_probs=probs,
        classes=COLOURS,
        ignore=255,
        task="segmentation",
        progress=False,
    )
    return ledger.save(folder / "masks-audit", report=False)


def numbers(folder: Path) -> Path:
    """Prices in a CSV file; rows 11 and 12 look wrong."""
    rooms, age = np.arange(40) % 8 + 1, np.arange(40) * 7 % 90
    usual = 50.0 * rooms - 0.5 * age
    prices = usual + np.array([0.5, -1.25, 0.75, 0.0])[np.arange(40) % 4]
    prices[11], prices[12] = 3689.25, 17.5
    lines = [f'{r},{a},"x, {i}",{p:g}\r\n' for i, (r, a, p) in enumerate(zip(rooms, age, prices))]
    (folder / "houses.csv").write_text("rooms,age,name,price\r\n" + "".join(lines), newline="")
    ledger = errata.audit(
        str(folder / "houses.csv"), label="price", predictions=usual, task="regression", progress=False
    )
    return ledger.save(folder / "houses-audit", report=False)


def sets(folder: Path, form: str = "columns") -> Path:
    """Labels fast and loud of songs, in columns of 0 and 1 or in a column of lists; rows 7 and 9 look wrong."""
    tempo, volume = np.arange(40) % 5 - 2, np.arange(40) % 7 - 3
    true = np.column_stack([tempo > 0, volume > 0]).astype(int)
    given = true.copy()
    given[7, 1], given[9, 0] = 1 - true[7, 1], 1 - true[9, 0]
    probs = np.where(true == 1, 0.95, 0.04)
    labels = ["fast", "loud"]
    if form == "columns":
        lines = [f"{t},{v},{a},{b}\n" for t, v, (a, b) in zip(tempo, volume, given)]
        (folder / "songs.csv").write_text("tempo,volume,fast,loud\n" + "".join(lines))
        place, label = folder / "songs.csv", labels
    elif form == "text":
        words = ["; ".join(name for name, yes in zip(labels, row) if yes) for row in given]
        lines = [f"{t},{v},{w}\n" for t, v, w in zip(tempo, volume, words)]
        (folder / "tags.csv").write_text("tempo,volume,tags\n" + "".join(lines))
        place, label = folder / "tags.csv", "tags"
    else:
        rows = [
            {"tempo": int(t), "tags": [n for n, yes in zip(labels, row) if yes], "volume": int(v)}
            for t, v, row in zip(tempo, volume, given)
        ]
        (folder / "tags.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        place, label = folder / "tags.jsonl", "tags"
    ledger = errata.audit(str(place), label=label, pred_probs=probs, classes=labels, task="multilabel", progress=False)
    return ledger.save(folder / f"{place.stem}{place.suffix}-audit", report=False)


ALL = {"tokens": tokens, "boxes": boxes, "masks": masks, "numbers": numbers, "sets": sets}
