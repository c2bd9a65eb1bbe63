"""CamVid, small: frames of some drives with merged classes, a drive held out for the test."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "cyclist")
VOID = 255
TEST_DRIVE = "Seq05VD"
ROOT = Path(__file__).resolve().parents[1]


def archive() -> Path:
    """Where the frames are: in ``ERRATA_DATA``, else ``../shared/data``."""
    folder = Path(os.environ.get("ERRATA_DATA", ROOT.parent / "shared" / "data"))
    return folder / "seg" / "camvid_240x180.zip"


def merged(groups: Sequence[str]) -> np.ndarray:
    """(12,) uint8, the new class of each of CamVid's: group g is g + 1, all else is background, 0; void stays void.

    ``groups`` name CamVid's classes, several of a group joined by ``+``: ``["road+pavement", "car"]``.
    """
    table = np.zeros(len(NAMES) + 1, dtype=np.uint8)
    table[len(NAMES)] = VOID
    for number, group in enumerate(groups, start=1):
        table[[NAMES.index(name) for name in group.split("+")]] = number
    return table


def frames(drives: str, every: int, size: tuple[int, int], groups: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, H, W) uint8 and right masks (N, H, W) uint8: of the test drive, or of all others ("train")."""
    table = merged(groups)
    images, masks = [], []
    with zipfile.ZipFile(archive()) as opened:
        names = sorted(n for n in opened.namelist() if "/label/" in n and n.endswith(".png"))
        chosen = [n for n in names if (TEST_DRIVE in n) == (drives == "test")][::every]
        for name in chosen:
            mask = Image.open(io.BytesIO(opened.read(name)))
            picture = name.replace("/label/", "/image/").removesuffix("png") + "jpg"
            image = Image.open(io.BytesIO(opened.read(picture))).convert("RGB")
            images.append(np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR)).transpose(2, 0, 1))
            masks.append(table[np.asarray(mask.resize(size[::-1], Image.Resampling.NEAREST))])
    return np.stack(images), np.stack(masks)
