"""A picture of an image with the outlines of two masks: the given one, and the proposed one."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["GIVEN", "PROPOSED", "outline", "overlay", "overlay_png"]

GIVEN, PROPOSED = (214, 58, 47), (31, 148, 92)
"""The colours of the report: what is given and doubted, what is proposed."""

SIDE = 320  # pixels of the longer side of the picture, at least
LINE = 14  # pixels of a line of letters
MOST_CHANGES = 3


def outline(mask: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(H, W) bool, the pixels of a mask (H, W) that have another class to the right or below.

    Examples
    --------
    >>> outline(np.array([[0, 0, 1], [0, 0, 1]])).astype(int).tolist()
    [[0, 1, 0], [0, 1, 0]]
    """
    edge = np.zeros(mask.shape, dtype=bool)
    edge[:, :-1] |= mask[:, 1:] != mask[:, :-1]
    edge[:-1] |= mask[1:] != mask[:-1]
    return edge


def overlay(
    image: NDArray[np.uint8], given: NDArray[np.integer], proposed: NDArray[np.integer] | None = None
) -> NDArray[np.uint8]:
    """The image, enlarged, with the outline of the given mask in red and of the proposed one in green.

    Parameters
    ----------
    image : (H, W, 3) uint8
    given, proposed : (H, W) int; where they differ, the image is tinted

    Returns
    -------
    (s H, s W, 3) uint8 with a whole number s

    Examples
    --------
    >>> picture = overlay(np.zeros((40, 80, 3), dtype=np.uint8), np.zeros((40, 80), int), np.ones((40, 80), int))
    >>> picture.shape
    (160, 320, 3)
    """
    times = max(1, -(-SIDE // max(image.shape[:2])))
    large = np.asarray(
        Image.fromarray(image).resize((image.shape[1] * times, image.shape[0] * times), Image.Resampling.BILINEAR)
    ).astype(np.float32)
    masks = [given] if proposed is None else [given, proposed]
    bigger = [mask.repeat(times, 0).repeat(times, 1) for mask in masks]
    if proposed is not None:
        differ = bigger[0] != bigger[1]
        large[differ] = 0.65 * large[differ] + 0.35 * np.array(PROPOSED)
    for mask, colour in zip(bigger, (GIVEN, PROPOSED)):
        large[outline(mask)] = colour
    return large.round().clip(0, 255).astype(np.uint8)


def overlay_png(
    image: NDArray[np.uint8],
    given: NDArray[np.integer],
    proposed: NDArray[np.integer] | None,
    classes: Sequence[str],
) -> bytes:
    """``overlay`` as a PNG, with lines beneath that say which changes are the largest.

    Examples
    --------
    >>> overlay_png(np.zeros((4, 4, 3), dtype=np.uint8), np.zeros((4, 4), int), None, ["a"])[:4]
    b'\\x89PNG'
    """
    picture = overlay(image, given, proposed)
    height, width = picture.shape[:2]
    lines = _caption(given, proposed, classes)
    sheet = Image.new("RGB", (width, height + LINE * len(lines) + 4), (255, 255, 255))
    sheet.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        shown = _plain(line)
        while len(shown) > 3 and draw.textlength(shown) > width - 8:
            shown = shown[:-4] + "..."
        draw.text((4, height + 2 + LINE * number), shown, fill=(60, 60, 60))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _caption(given: NDArray[np.integer], proposed: NDArray[np.integer] | None, classes: Sequence[str]) -> list[str]:
    """What the colours mean, and the largest changes by their pixels."""
    if proposed is None:
        return ["red: the given mask"]
    k = len(classes)
    counted = (given != proposed) & (given < k) & (proposed < k) & (given >= 0) & (proposed >= 0)
    pairs = np.bincount(given[counted].astype(np.int64) * k + proposed[counted], minlength=k * k)
    order = [int(pair) for pair in np.argsort(-pairs, kind="stable")[:MOST_CHANGES] if pairs[pair] > 0]
    told = ", ".join(f"{classes[pair // k]} > {classes[pair % k]} {pairs[pair]:,}" for pair in order)
    return ["red: the given mask, green: the proposed one", told or "no difference"]


def _plain(text: str) -> str:
    """What Pillow's built-in letters can show; other scripts become question marks."""
    return text.encode("latin-1", "replace").decode("latin-1")
