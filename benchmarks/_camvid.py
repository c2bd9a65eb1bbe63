"""CamVid, small: frames of some drives with merged classes, a drive held out for the test, masks drawn badly."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from errata.noise import erode_or_dilate

SIZE = (36, 48)
CLASSES = ("background", "road", "tree", "car")
# sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, cyclist; 11 is void
MERGED = np.array([0, 0, 0, 1, 1, 2, 0, 0, 3, 0, 0, 255], dtype=np.uint8)
TEST_DRIVE = "Seq05VD"
ROOT = Path(__file__).resolve().parents[1]


def archive() -> Path:
    """Where the frames are: in ``ERRATA_DATA``, else ``../shared/data``."""
    folder = Path(os.environ.get("ERRATA_DATA", ROOT.parent / "shared" / "data"))
    return folder / "seg" / "camvid_240x180.zip"


def frames(drives: str, every: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, H, W) uint8 and right masks (N, H, W) uint8: of the test drive, or of all others."""
    images, masks = [], []
    with zipfile.ZipFile(archive()) as opened:
        names = sorted(n for n in opened.namelist() if "/label/" in n and n.endswith(".png"))
        chosen = [n for n in names if (TEST_DRIVE in n) == (drives == "test")][::every]
        for name in chosen:
            mask = Image.open(io.BytesIO(opened.read(name)))
            picture = name.replace("/label/", "/image/").removesuffix("png") + "jpg"
            image = Image.open(io.BytesIO(opened.read(picture))).convert("RGB")
            images.append(np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR)).transpose(2, 0, 1))
            masks.append(MERGED[np.asarray(mask.resize(size[::-1], Image.Resampling.NEAREST))])
    return np.stack(images), np.stack(masks)


def noisy(masks: np.ndarray, seed: int) -> np.ndarray:
    """The masks as they are given: every image's classes shrunk or grown, as in ADELE's medical experiments."""
    return erode_or_dilate(masks, len(CLASSES), seed=seed)
