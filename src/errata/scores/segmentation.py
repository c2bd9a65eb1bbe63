"""The classes of pixels: which regions of a mask the probabilities contradict, and how far a mask can be trusted.

Everything works on one image at a time; what has to be known of all of them first is a sum per class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from errata.errors import DataError
from errata.scores.runs import runs_of

__all__ = ["ClassSums", "Region", "contradicted", "evidence", "ordinary", "own_probability", "regions", "softmin"]

_NEVER = 2.0  # a threshold that no probability reaches
_LEAST = 1e-3  # odds beyond a thousand to one are not believed
_FEW = 10  # images that can't tell what is usual
_LOW, _MIDDLE = 0.1, 0.5  # shares of the images that tell it: the upper half may be full of errors


def own_probability(mask: NDArray[np.integer], probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return (H, W) the probability of each pixel's class; NaN where the mask is negative (not labelled).

    Parameters
    ----------
    mask : (H, W) int in [0, K), or negative
    probabilities : (K, H, W) float

    Raises
    ------
    DataError
        If sizes differ, or a class has no probability.

    Examples
    --------
    >>> own_probability(np.array([[0, 1]]), np.array([[[0.75, 0.5]], [[0.25, 0.5]]]))
    array([[0.75, 0.5 ]], dtype=float32)
    """
    if probabilities.shape[1:] != mask.shape:
        raise DataError(f"The mask has {mask.shape} pixels and the probabilities {probabilities.shape[1:]}.")
    if mask.max(initial=-1) >= len(probabilities):
        place = np.argwhere(mask >= len(probabilities))[0].tolist()
        raise DataError(
            f"The mask has the class {mask[tuple(place)]} at pixel {place}, and there are probabilities of classes 0 "
            f"to {len(probabilities) - 1} only. Name a class that means nothing with ignore=."
        )
    own = np.take_along_axis(probabilities, np.maximum(mask, 0)[None], axis=0)[0].astype(np.float32)
    return np.where(mask >= 0, own, np.float32(np.nan))


def softmin(own: NDArray[np.floating], temperature: float = 0.1) -> float:
    """Return the trust in a mask: a mean of its pixels' probabilities that the low ones dominate; NaN without pixels.

    The weights are ``exp((1 - p) / temperature)``: with 0.1, a pixel of probability 0 weighs as much as 22,000 sure
    ones. The result depends on this image alone.

    Examples
    --------
    >>> round(softmin(np.array([0.9, 0.9, 0.9, 0.1])), 3), softmin(np.array([0.9, 0.9]))
    (0.101, 0.9)
    """
    values = own[~np.isnan(own)].astype(np.float64)
    if not len(values):
        return float("nan")
    weights = np.exp((values.min() - values) / temperature)
    return float((weights * values).sum() / weights.sum())


class ClassSums:
    """Sums over all images that the classes' thresholds follow from.

    Parameters
    ----------
    classes : K

    Examples
    --------
    >>> sums = ClassSums(2)
    >>> sums.add(np.array([[0, 0, 1]]), np.array([[0.5, 1.0, 0.75]], dtype=np.float32))
    >>> sums.thresholds
    array([0.75, 0.75])
    """

    def __init__(self, classes: int) -> None:
        self.total = np.zeros(classes)
        self.count = np.zeros(classes, dtype=np.int64)

    def add(self, mask: NDArray[np.integer], own: NDArray[np.floating]) -> None:
        """Count one image's pixels."""
        kept = mask >= 0
        self.count += np.bincount(mask[kept], minlength=len(self.count))
        self.total += np.bincount(mask[kept], weights=own[kept], minlength=len(self.total))

    @property
    def thresholds(self) -> NDArray[np.float64]:
        """(K,) from where a class counts as confident: its mean probability at its own pixels; out of reach if it has
        none."""
        return np.where(self.count > 0, self.total / np.maximum(self.count, 1), _NEVER)


def contradicted(
    mask: NDArray[np.integer], probabilities: NDArray[np.floating], thresholds: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return (H, W) the class that is confidently another one than given, -1 where there is none (confident learning).

    A class is confident at a pixel where its probability reaches its threshold; of several the most probable counts.

    Examples
    --------
    >>> probabilities = np.array([[[0.9, 0.1, 0.4]], [[0.1, 0.9, 0.6]]])
    >>> contradicted(np.array([[0, 0, 0]]), probabilities, np.array([0.8, 0.8]))
    array([[-1,  1, -1]])
    """
    reached = np.where(probabilities >= thresholds[:, None, None], probabilities, -1.0)
    best = reached.argmax(axis=0)
    sure = np.take_along_axis(reached, best[None], axis=0)[0] >= 0
    return np.where(sure & (best != mask) & (mask >= 0), best, -1)


@dataclass(frozen=True)
class Region:
    """Connected pixels of one given class that are confidently all of one other.

    Parameters
    ----------
    given, proposed : classes
    x0, y0, x1, y1 : the box around it, in pixels; x1 and y1 are just outside
    pixels : how many
    trust : mean probability of the given class, in [0, 1]
    evidence : how far that goes beyond chance, see :func:`evidence`; NaN where it was not asked for
    runs : where they are in the box, as the lengths of the runs outside and inside, row after row: "0 3 1 2"
    """

    given: int
    proposed: int
    x0: int
    y0: int
    x1: int
    y1: int
    pixels: int
    trust: float
    runs: str = ""
    evidence: float = float("nan")


def regions(
    mask: NDArray[np.integer],
    proposed: NDArray[np.integer],
    own: NDArray[np.floating],
    *,
    least: int = 1,
    likely: NDArray[np.floating] | None = None,
) -> list[Region]:
    """Find the connected regions of contradicted pixels, the largest first.

    Parameters
    ----------
    mask : (H, W) int, the given classes
    proposed : (H, W) int, as from :func:`contradicted`
    own : (H, W) float, as from :func:`own_probability`
    least : pixels of a region, at least
    likely : (H, W) float, the probability of each pixel's proposed class, for the regions' evidence

    Examples
    --------
    >>> mask, proposed = np.zeros((3, 3), int), np.array([[1, 1, -1], [-1, -1, -1], [-1, -1, 1]])
    >>> [(r.x0, r.y0, r.x1, r.y1, r.pixels) for r in regions(mask, proposed, np.full((3, 3), 0.2))]
    [(0, 0, 2, 1, 2), (2, 2, 3, 3, 1)]
    """
    from scipy import ndimage

    found = []
    wrong = proposed >= 0
    for pair in np.unique(np.column_stack([mask[wrong], proposed[wrong]]), axis=0) if wrong.any() else ():
        given, other = int(pair[0]), int(pair[1])
        numbered, count = ndimage.label((mask == given) & (proposed == other), structure=np.ones((3, 3)))
        sizes = np.bincount(numbered.ravel(), minlength=count + 1)
        boxes = ndimage.find_objects(numbered)
        for number in np.flatnonzero(sizes[1:] >= least) + 1:
            rows, columns = boxes[number - 1]
            inside = numbered[rows, columns] == number
            trust = float(own[rows, columns][inside].mean(dtype=np.float64))
            box = (columns.start, rows.start, columns.stop, rows.stop)
            runs = " ".join(map(str, runs_of(inside)))
            told = float("nan")
            if likely is not None:
                told = evidence(int(sizes[number]), trust, float(likely[rows, columns][inside].mean(dtype=np.float64)))
            found.append(Region(given, other, *box, int(sizes[number]), trust, runs, told))
    return sorted(found, key=lambda region: -region.pixels)


def evidence(pixels: int, given: float, proposed: float) -> float:
    """Return how much a region speaks against its class: the side of a square of its size, times its log odds.

    Neighbouring pixels say the same, so that a region counts by its side, not by its area.

    Parameters
    ----------
    pixels : of the region
    given, proposed : mean probabilities of the two classes there

    Examples
    --------
    >>> round(evidence(100, 0.1, 0.8), 1), evidence(100, 0.5, 0.4)
    (20.8, 0.0)
    """
    return float(np.sqrt(pixels) * max(0.0, np.log(max(proposed, _LEAST) / max(given, _LEAST))))


def ordinary(greatest: NDArray[np.floating], chance: float = 0.05) -> float:
    """Return the evidence that an image without any error has, at most, but by this chance.

    Predictions disagree with right masks too, along the edges of what they know badly. The greatest evidence of an
    image that comes of that follows Gumbel's law, as greatest values do; its two numbers are taken from the lower half
    of all images, so that errors in fewer than half of the images hardly move them. Of fewer than ten images nothing is
    known, and any evidence counts.

    Parameters
    ----------
    greatest : (N,) float, each image's greatest evidence, 0 where it has none
    chance : in (0, 1], that an image without an error has more

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> right = rng.gumbel(10, 4, 1000)
    >>> round(float((right > ordinary(right, 0.05)).mean()), 2)
    0.05
    """
    if len(greatest) < _FEW or chance >= 1:
        return 0.0
    low, middle = np.quantile(greatest, [_LOW, _MIDDLE])
    width = (middle - low) / (_gumbel(_MIDDLE) - _gumbel(_LOW))
    return max(0.0, float(middle + width * (_gumbel(1 - chance) - _gumbel(_MIDDLE))))


def _gumbel(share: float) -> float:
    """Where that share of the standard Gumbel law lies below."""
    return float(-np.log(-np.log(share)))
