"""The nearest rows of a few suspicious ones, with their labels: why a label looks wrong, for people to see.

Only a sample of the data is searched, and nothing at all where even that would take long: the report must be quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from errata.errors import ErrataError
from errata.labels import MISSING

if TYPE_CHECKING:
    from errata.data import Data
    from errata.ledger import Ledger

__all__ = ["Alike", "describe_pictures", "nearest"]

MOST_ROWS = 20_000
MOST_PICTURES = 6_000
MOST_LETTERS = 2_500_000
"""Characters of all texts that are searched together."""

LONGEST_TEXT = 1_000
MOST_CELLS = 20_000_000
"""Numbers that the features of the sample may have together."""

LEAST_ALIKE = 0.05
SAME = 0.9999
SIDE = 32  # pixels that pictures are brought to, at most
GRID, DIRECTIONS = 4, 8


@dataclass(frozen=True)
class Alike:
    """A row that is near to another.

    Parameters
    ----------
    position : where it is in the ledger
    same : whether it is the same as far as can be seen
    """

    position: int
    same: bool


def nearest(ledger: Ledger, positions: np.ndarray, count: int = 5) -> list[list[Alike]]:
    """The labelled rows that are most like the given ones.

    Parameters
    ----------
    ledger : with its ``data``
    positions : (M,) positions in the ledger
    count : how many for each, at most

    Returns
    -------
    list of M lists, the nearest first; empty ones where the data are not at hand, or looking would take long

    Examples
    --------
    >>> import errata
    >>> data = errata.read(["a good film", "a good film!", "a bad book", "one bad book"], label=["+", "-", "-", "-"])
    >>> ledger = errata.Ledger.from_labels(data.labels, data.labels.codes, [0.1, 0.2, 0.9, 0.9])
    >>> ledger.data = data
    >>> [[row.position for row in found] for found in nearest(ledger, np.array([0, 2]), 1)]
    [[1], [3]]
    """
    nothing: list[list[Alike]] = [[] for _ in positions]
    data = ledger.data
    if data is None or len(data) != len(ledger) or not len(positions) or data.kind not in ("tabular", "text", "image"):
        return nothing  # of a graph's node, its picture shows what is near
    labelled = np.flatnonzero(ledger.given != MISSING)
    most = MOST_PICTURES if data.kind == "image" else MOST_ROWS
    rng = np.random.default_rng(0)  # the same page for the same ledger
    sample = labelled if len(labelled) <= most else np.sort(rng.choice(labelled, most, replace=False))
    try:
        likeness = _likeness(data, positions, sample, rng)
    except (ErrataError, OSError):  # the source has changed or gone since
        return nothing
    if likeness is None:
        return nothing
    found, near = likeness
    near[positions[:, None] == found[None, :]] = -np.inf  # a row is no reason for itself
    return [_best(row, found, count) for row in near]


def _best(near: np.ndarray, found: np.ndarray, count: int) -> list[Alike]:
    count = min(count, len(near))
    if count == 0:
        return []
    some = np.argpartition(-near, count - 1)[:count]
    some = some[np.lexsort((some, -near[some]))]
    return [Alike(int(found[i]), bool(near[i] > SAME)) for i in some if near[i] > LEAST_ALIKE]


def _likeness(
    data: Data, positions: np.ndarray, sample: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """The sample that was searched, and (M, sample) how much alike, 1 for the same; None where it would take long."""
    if data.kind == "text":
        return _of_texts(data, positions, sample, rng)
    both = np.concatenate([positions, sample])
    if data.kind == "image":
        return _of_pictures(data, positions, sample, both)
    width = data.array.shape[1] if data.array is not None else 4 * max(1, len(data.features))
    if width * len(both) > MOST_CELLS:
        return None
    from errata.data import encoder_for

    part = data.subset(both)
    features = encoder_for(part).fit(part).encode(part)
    if not hasattr(features, "numpy") or features.ndim != 2 or features.numel() > 5 * MOST_CELLS:
        return None
    values = np.ascontiguousarray(features.numpy(), dtype=np.float32)
    return sample, _closeness(values[: len(positions)], values[len(positions) :])


def _of_texts(
    data: Data, positions: np.ndarray, sample: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    from errata.audit.predictors import bag_of_words

    some = data.subset(sample[:: max(1, len(sample) // 200)]).texts()
    length = np.mean([min(len(text), LONGEST_TEXT) for text in some]) if some else 1.0
    most = int(MOST_LETTERS / max(1.0, float(length)))
    if len(sample) > most:
        sample = np.sort(rng.choice(sample, most, replace=False))
    texts = data.subset(np.concatenate([positions, sample])).texts()
    bags = bag_of_words([text[:LONGEST_TEXT] for text in texts])
    return sample, np.asarray((bags[: len(positions)] @ bags[len(positions) :].T).todense(), dtype=np.float32)


def _of_pictures(
    data: Data, positions: np.ndarray, sample: np.ndarray, both: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    pixels = None if data.images is None else data.images.pixels(data.rows[both])
    if pixels is None:
        return None  # to decode thousands of files takes too long
    features = describe_pictures(pixels)
    return sample, features[: len(positions)] @ features[len(positions) :].T


def describe_pictures(pixels: np.ndarray) -> np.ndarray:
    """What pictures look like, roughly: edges by direction and colours, in a grid of 4 by 4 places.

    Parameters
    ----------
    pixels : (N, C, H, W) of any number type

    Returns
    -------
    (N, D) float32, rows of length one

    References
    ----------
    N. Dalal, B. Triggs, Histograms of oriented gradients for human detection, CVPR 2005.
    """
    small = _shrunk(pixels)
    places = _places(small.shape[2:])
    colours = _sums(small.reshape(-1, *small.shape[2:]), places, GRID * GRID).reshape(len(small), -1)
    grey = small.mean(axis=1)
    down, across = np.gradient(grey, axis=(1, 2)) if min(grey.shape[1:]) > 1 else (np.zeros_like(grey),) * 2
    strength = np.hypot(down, across)
    direction = (np.arctan2(down, across) % np.float32(np.pi)) * np.float32(DIRECTIONS / np.pi)
    bins = np.minimum(direction.astype(np.int32), DIRECTIONS - 1)
    edges = _sums(strength, places * DIRECTIONS + bins, GRID * GRID * DIRECTIONS)
    colours = colours - colours.mean(axis=1, keepdims=True)
    joined = np.concatenate([_unit(np.sqrt(edges)), 0.7 * _unit(colours)], axis=1)
    return _unit(joined - joined.mean(axis=0)).astype(np.float32)


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    """(N, C, h, w) float32, sides at most about ``SIDE``, by leaving out pixels; at most three channels."""
    step = max(1, pixels.shape[2] // SIDE), max(1, pixels.shape[3] // SIDE)
    return pixels[:, :3, :: step[0], :: step[1]].astype(np.float32)


def _places(shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) int32: in which of the grid's places a pixel is."""
    down, across = (np.arange(side) * GRID // side for side in shape)
    return (down[:, None] * GRID + across[None, :]).astype(np.int32)


def _sums(values: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """(N, size) sums of the values (N, h, w) by place."""
    n = len(values)
    at = np.arange(n, dtype=np.int64)[:, None, None] * size + places
    return np.bincount(at.ravel(), weights=values.ravel(), minlength=n * size).reshape(n, size)


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def _closeness(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(M, N) from 0 to 1, falling with the distance; 1 where nothing differs."""
    squares = (some**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None, :] - 2 * some @ others.T
    scale = max(float(np.median(squares)), 1e-12)
    return np.exp(-np.maximum(squares, 0.0) / scale).astype(np.float32)
