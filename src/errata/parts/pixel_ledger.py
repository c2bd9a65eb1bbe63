"""A ledger of masks: a row per image, and beneath it a row per region where the network contradicts the given mask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from errata.items import item_ledger, parts_table
from errata.ledger import Ledger
from errata.scores.segmentation import Region, regions, softmin

__all__ = ["BELIEVED", "SMALLEST_REGION", "SMALLEST_SHARE", "Piece", "ledger_of_pixels"]

SMALLEST_REGION, SMALLEST_SHARE = 10, 0.001  # of an image's pixels; the larger of the two
BELIEVED = 0.5  # a region whose given class is believed less than this is an issue


class Piece(NamedTuple):
    """What is known of one image.

    Attributes
    ----------
    mask : (H, W) int, the given classes, negative where there is none
    own : (H, W) float, how far each given class is believed, in [0, 1]; None where nothing is known of the image
    proposed : (H, W) int, the classes that it should have
    """

    mask: NDArray[np.integer]
    own: NDArray[np.floating] | None
    proposed: NDArray[np.integer] | None


def ledger_of_pixels(
    pieces: Iterable[Piece],
    names: Sequence[Any],
    *,
    least: int | None = None,
    meta: Mapping[str, Any] | None = None,
    columns: Mapping[str, Any] | None = None,
    **more: Any,
) -> Ledger:
    """The ledger of images, taken in one by one.

    Parameters
    ----------
    pieces : for each image
    names : of the K classes
    least : pixels of a region; by default 10, or a thousandth of the image if that is more
    meta, columns, more : see ``errata.Ledger``

    Returns
    -------
    Ledger
        ``trust`` in an image is a mean over its pixels that the least believed rule. It is an issue where it has a
        region that is believed less than a half. Columns ``regions`` and ``wrong_pixels`` (their share of the labelled
        pixels); ``parts`` as of ``errata.audit(task="segmentation")``.

    Examples
    --------
    >>> mask = np.zeros((4, 8), dtype=int)
    >>> proposed = np.where(np.arange(8) < 4, 1, 0) * np.ones((4, 1), dtype=int)
    >>> ledger = ledger_of_pixels([Piece(mask, np.where(proposed, 0.2, 0.9), proposed)], ["road", "car"])
    >>> ledger.parts[["row", "given", "proposed", "trust", "issue", "pixels"]]
       row given proposed  trust  issue  pixels
    0    0  road      car    0.2   True      16
    """
    trust, wrong, labelled = [], [], []
    found: list[tuple[int, Region]] = []
    size: tuple[int, ...] = ()
    for row, (mask, own, proposed) in enumerate(pieces):
        size = mask.shape
        labelled.append(int((mask >= 0).sum()))
        if own is None or proposed is None or not labelled[-1]:
            trust.append(np.nan)
            wrong.append(0)
            continue
        own = np.where(mask >= 0, own, np.float32(np.nan))
        trust.append(float(np.clip(softmin(own), 0, 1)))
        other = np.where((proposed != mask) & (mask >= 0) & (proposed < len(names)), proposed, -1).astype(np.int64)
        smallest = max(SMALLEST_REGION, int(SMALLEST_SHARE * mask.size)) if least is None else least
        own_regions = regions(mask, other, own, least=smallest)
        wrong.append(sum(r.pixels for r in own_regions if r.trust < BELIEVED))
        found += [(row, region) for region in own_regions]
    meta = {"mask_size": list(size), **dict(meta or {})}
    return _ledger(found, np.array(trust), np.array(wrong), np.array(labelled), names, meta, columns, more)


def _ledger(
    found: list[tuple[int, Region]],
    trust: NDArray[np.floating],
    wrong: NDArray[np.integer],
    labelled: NDArray[np.integer],
    names: Sequence[Any],
    meta: Mapping[str, Any] | None,
    columns: Mapping[str, Any] | None,
    more: dict[str, Any],
) -> Ledger:
    rows = np.array([row for row, _ in found], dtype=np.int64)
    numbers: dict[str, NDArray[Any]] = {
        what: np.array([getattr(region, what) for _, region in found], dtype=np.int64)
        for what in ("given", "proposed", "x0", "y0", "x1", "y1", "pixels")
    }
    numbers["runs"] = np.array([region.runs for _, region in found], dtype=object)
    belief = np.clip(np.array([region.trust for _, region in found], dtype=np.float64), 0, 1)
    issue = belief < BELIEVED
    words = np.array([*(str(name) for name in names), ""], dtype=object)[:-1]
    index = more.get("index")
    numbered = rows if index is None else np.asarray(index)[rows]
    given, proposed = words[numbers.pop("given")], words[numbers.pop("proposed")]
    counts = np.bincount(rows[issue], minlength=len(trust))
    told = {
        "task": "segmentation",
        "label_names": [str(name) for name in names],
        "pixel_noise_rate": round(float(wrong.sum() / max(1, labelled.sum())), 6),
    }
    return item_ledger(
        trust,
        counts > 0,
        columns={"regions": counts, "wrong_pixels": wrong / np.maximum(labelled, 1), **dict(columns or {})},
        meta={**told, **dict(meta or {})},
        parts=parts_table(numbered, given, proposed, belief, issue, numbers),
        **more,
    )
