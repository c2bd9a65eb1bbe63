"""Boxes around objects: overlooked, badly located, of the wrong class; each image by itself, with fixed thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "Judged", "Thresholds", "doubles", "image_trust", "impossible", "iou", "judge_image", "odd_shapes"]

KINDS = ("fine", "badly located", "swapped", "overlooked", "unsupported", "twice", "odd")
"""What may be said of a box. "Unsupported" means that no prediction comes near, and is no issue; "twice" that another
box stands in its place, "odd" that its shape or place can't be meant: these two need no predictions."""

FINE, LOCATED, SWAPPED, OVERLOOKED, UNSUPPORTED, TWICE, ODD = range(7)
ODD_TRUST = 0.2
"""Trust in a box of an odd shape, at most."""
_THIN = 2.0  # pixels that a side has, at least
_OUTSIDE = 0.02  # of a picture's side, that a box may reach beyond it
_FEW = 20  # boxes of a class that can't tell what is usual
_FAR, _FACTOR = 6.0, 4.0  # deviations from the median, and times it, from where a side is odd


@dataclass(frozen=True)
class Thresholds:
    """From where a prediction counts.

    Parameters
    ----------
    overlap : intersection over union from which two boxes are of the same object, in (0, 1]
    sure : score from which a prediction is believed
    near : intersection over union from which a prediction has to do with a given box at all
    issue : trust below which a box is an issue
    unsupported : trust in a given box that no prediction comes near: detectors overlook things too

    Examples
    --------
    >>> Thresholds(sure=0.7).sure
    0.7
    """

    overlap: float = 0.5
    sure: float = 0.5
    near: float = 0.1
    issue: float = 0.5
    unsupported: float = 0.5


@dataclass(frozen=True, eq=False)
class Judged:
    """What is found of one image: first its given boxes, in order, then those predicted ones that were overlooked.

    Parameters
    ----------
    kind : (P,) int into ``KINDS``
    trust : (P,) float64 in [0, 1]
    given : (P,) int64, which given box; -1 for an overlooked one
    predicted : (P,) int64, the prediction it is compared with; -1 where there is none
    """

    kind: NDArray[np.int64]
    trust: NDArray[np.float64]
    given: NDArray[np.int64]
    predicted: NDArray[np.int64]


def iou(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (A, B) intersection over union of boxes (A, 4) and (B, 4), as x0, y0, x1, y1.

    Examples
    --------
    >>> iou(np.array([[0.0, 0, 2, 2]]), np.array([[0.0, 0, 2, 1], [5, 5, 6, 6]]))
    array([[0.5, 0. ]])
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    area = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    return both / (area[0][:, None] + area[1][None, :] - both)


def judge_image(
    boxes: NDArray[np.floating],
    labels: NDArray[np.integer],
    predicted_boxes: NDArray[np.floating],
    predicted_labels: NDArray[np.integer],
    scores: NDArray[np.floating],
    thresholds: Thresholds | None = None,
) -> Judged:
    """Compare the given boxes of one image with the predicted ones.

    A given box is *swapped* if a sure prediction of another class overlaps it, and outweighs (score times overlap) all
    predictions of its own class: trust is 1 less the difference. Else it is compared with the heaviest sure prediction
    of its class that is near: trust is the overlap, and where that is too small the box is *badly located*. Where no
    sure prediction is near it is *unsupported*, with a trust of one half (``thresholds.unsupported``) and more the more
    there is of an unsure one. A sure prediction that overlaps no given box, and that no given box was compared with,
    was *overlooked*: trust in that nothing is there is 1 less its score, made larger by what overlaps a little.

    Parameters
    ----------
    boxes : (G, 4) float, x0, y0, x1, y1
    labels : (G,) int
    predicted_boxes : (P, 4) float
    predicted_labels : (P,) int
    scores : (P,) float in [0, 1]
    thresholds : the usual ones by default

    Examples
    --------
    >>> given, seen = np.array([[0.0, 0, 10, 10]]), np.array([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    >>> found = judge_image(given, np.array([0]), seen, np.array([1, 0]), np.array([0.9, 0.8]))
    >>> [KINDS[kind] for kind in found.kind], found.trust.round(2)
    (['swapped', 'overlooked'], array([0.1, 0.2]))
    """
    t = thresholds or Thresholds()
    overlap = iou(boxes, predicted_boxes)
    weight = overlap * scores
    same = labels[:, None] == predicted_labels[None, :]
    sure = scores >= t.sure
    found = _judge_given(overlap, weight, same, sure, t)
    free = sure & (overlap.max(axis=0, initial=0.0) < t.overlap)
    free[found.predicted[found.predicted >= 0]] = False
    rows = _without_doubles(np.flatnonzero(free), predicted_boxes, scores, t.overlap)
    little = overlap[:, rows].max(axis=0, initial=0.0)
    return Judged(
        np.concatenate([found.kind, np.full(len(rows), OVERLOOKED)]),
        np.concatenate([found.trust, 1.0 - scores[rows] * (1.0 - little)]),
        np.concatenate([found.given, np.full(len(rows), -1)]),
        np.concatenate([found.predicted, rows]),
    )


def _judge_given(
    overlap: NDArray[np.float64],
    weight: NDArray[np.float64],
    same: NDArray[np.bool_],
    sure: NDArray[np.bool_],
    t: Thresholds,
) -> Judged:
    own = np.where(same, weight, 0.0)
    other = np.where(~same & sure & (overlap >= t.overlap), weight, 0.0)
    near = np.where(same & sure & (overlap >= t.near), weight, 0.0)
    count = len(overlap)
    if not overlap.shape[1]:
        nothing = np.full(count, -1)
        return Judged(np.full(count, UNSUPPORTED), np.full(count, t.unsupported), np.arange(count), nothing)
    rows = np.arange(count)
    swapped = other.max(axis=1) > own.max(axis=1)
    compared = ~swapped & (near.max(axis=1) > 0)
    best = np.where(swapped, other.argmax(axis=1), near.argmax(axis=1))
    located = overlap[rows, best]
    trust = t.unsupported + (1 - t.unsupported) * own.max(axis=1)
    trust = np.where(compared, located, trust)
    trust = np.where(swapped, 1.0 - (other.max(axis=1) - own.max(axis=1)), trust)
    kind = np.where(compared, np.where(located < t.overlap, LOCATED, FINE), UNSUPPORTED)
    return Judged(np.where(swapped, SWAPPED, kind), trust, rows, np.where(swapped | compared, best, -1))


def _without_doubles(
    rows: NDArray[np.intp], boxes: NDArray[np.floating], scores: NDArray[np.floating], overlap: float
) -> NDArray[np.intp]:
    """Of predictions of one object only the surest, the surest object first."""
    kept: list[int] = []
    for row in rows[np.argsort(-scores[rows], kind="stable")].tolist():
        if not kept or iou(boxes[[row]], boxes[kept]).max() < overlap:
            kept.append(row)
    return np.array(kept, dtype=np.intp)


def image_trust(trust: NDArray[np.floating], temperature: float = 0.1) -> float:
    """Return the trust in an image's boxes: a mean that the low ones dominate; 1 where there is nothing to judge.

    Examples
    --------
    >>> image_trust(np.array([0.9, 0.1])) < 0.11, image_trust(np.array([]))
    (True, 1.0)
    """
    if not len(trust):
        return 1.0
    weights = np.exp((trust.min() - trust) / temperature)
    return float((weights * trust).sum() / weights.sum())


def doubles(boxes: NDArray[np.floating], trust: NDArray[np.floating], overlap: float = 0.8) -> NDArray[np.float64]:
    """Return (G,) how far a box covers one that is trusted more, of the same image; 0 where it is below ``overlap``.

    Of boxes trusted alike the later one is the double, so that one is always left.

    Parameters
    ----------
    boxes : (G, 4) float, x0, y0, x1, y1
    trust : (G,)
    overlap : intersection over union from which two boxes are of one object, in (0, 1]

    Examples
    --------
    >>> doubles(np.array([[0.0, 0, 10, 10], [5, 5, 9, 9], [0, 0, 10, 10]]), np.array([0.9, 0.9, 0.9]))
    array([0., 0., 1.])
    """
    found = np.zeros(len(boxes))
    order = np.argsort(-trust, kind="stable")
    shared = iou(boxes, boxes)
    left: list[int] = []
    for row in order.tolist():
        most = shared[row, left].max(initial=0.0)
        if most >= overlap:
            found[row] = most
        else:
            left.append(row)
    return found


def impossible(boxes: NDArray[np.floating], sizes: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return (B,) whether a box is thinner than two pixels, or reaches out of its picture by a fiftieth of a side.

    Parameters
    ----------
    boxes : (B, 4) float, x0, y0, x1, y1 in pixels
    sizes : (B, 2) width and height of each box's picture

    Examples
    --------
    >>> impossible(np.array([[0.0, 0, 9, 1], [0, 0, 9, 9], [95, 0, 120, 9]]), np.full((3, 2), 100))
    array([ True, False,  True])
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    beyond = np.maximum(-boxes[:, :2], boxes[:, 2:] - sizes)
    far = (beyond - np.maximum(_THIN, _OUTSIDE * sizes)).max(axis=1) > 0
    return far | (sides.min(axis=1) < _THIN)


def odd_shapes(boxes: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return (B,) whether a side of a box is four times as long or as short as its class's usually are.

    And further off than six deviations (from the median, of logarithms). Of a class with fewer than twenty boxes
    nothing is known.

    Parameters
    ----------
    boxes : (B, 4) float, x0, y0, x1, y1 in pixels
    labels : (B,) int

    Examples
    --------
    >>> boxes = np.tile([[0.0, 0, 10, 12]], (30, 1))
    >>> boxes[3, 2] = 90
    >>> np.flatnonzero(odd_shapes(boxes, np.zeros(30, dtype=int)))
    array([3])
    """
    odd = np.zeros(len(boxes), dtype=bool)
    logs = np.log(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-9))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < _FEW:
            continue
        away = np.abs(logs[rows] - np.median(logs[rows], axis=0))
        usual = 1.4826 * np.median(away, axis=0)
        odd[rows] |= ((away > _FAR * usual) & (away > np.log(_FACTOR))).any(axis=1)
    return odd
