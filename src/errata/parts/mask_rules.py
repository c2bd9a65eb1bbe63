"""Which pixels of a mask a confident prediction may change (Liu et al. 2022, arXiv 2110.03740)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["IGNORED", "merge_labels", "merge_labels_medical", "update_labels_voc"]

IGNORED = 255


def _present(label: NDArray[np.integer], classes: int) -> NDArray[np.bool_]:
    """(B, 256) bool, which classes occur in which image."""
    found = np.zeros((len(label), max(256, classes)), dtype=bool)
    found[np.arange(len(label))[:, None], label.reshape(len(label), -1)] = True
    return found


def _allowed(best: NDArray[np.integer], table: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(B, H, W) bool, whether the class of each pixel is marked in its image's line of ``table`` (B, 256)."""
    return table[np.arange(len(best))[:, None, None], best]


def merge_labels(
    label: NDArray[np.integer],
    best: NDArray[np.integer],
    confident: NDArray[np.bool_],
    on: Sequence[int],
    *,
    logic_255: bool = False,
    class_constraint: bool = True,
    background: int = 0,
) -> NDArray[np.uint8]:
    """The medical rule: both the old and the new class must be switched on, or the background.

    Parameters
    ----------
    label : (B, H, W) int, the masks as they stand
    best : (B, H, W) int, the predicted classes
    confident : (B, H, W) bool, whether a prediction is sure enough
    on : the classes that are switched on, without the background
    logic_255 : where the prediction says background and the mask does not, ignore the pixel from now on
    class_constraint : no class that the image's mask does not have, but for the background

    Returns
    -------
    (B, H, W) uint8; images without a class of ``on`` as they were

    Examples
    --------
    >>> label, best = np.array([[[1, 1, 0, 2]]]), np.array([[[0, 2, 1, 0]]])
    >>> merge_labels(label, best, np.ones((1, 1, 4), dtype=bool), on=[1]).tolist()
    [[[0, 1, 1, 2]]]
    """
    label, best = np.asarray(label).astype(np.uint8), np.asarray(best).astype(np.uint8)
    present = _present(label, 256)
    listed = np.zeros(256, dtype=bool)
    listed[[background, *on]] = True
    change = confident & listed[label] & listed[best]
    if class_constraint:
        change &= (best == background) | _allowed(best, present)
    new = np.where(change, best, label)
    if logic_255:
        new = np.where((label != background) & (best == background), np.uint8(IGNORED), new)
    considered: NDArray[np.bool_] = np.asarray(present[:, list(on)].any(1), dtype=bool)
    return np.where(considered[:, None, None], new, label)


def merge_labels_medical(
    label: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    on: Sequence[int],
    *,
    conf_threshold: float = 0.7,
    conf_threshold_bg: float = 0.7,
    **rules: Any,
) -> NDArray[np.uint8]:
    """``merge_labels`` from probabilities (B, C, H, W): sure where a foreground class is above ``conf_threshold``, or
    the background above ``conf_threshold_bg``."""
    confident = (probabilities[:, 1:].max(1) > conf_threshold) | (probabilities[:, 0] > conf_threshold_bg)
    return merge_labels(label, probabilities.argmax(1), confident, on, **rules)


def update_labels_voc(
    label: NDArray[np.integer],
    best: NDArray[np.integer],
    top: NDArray[np.floating],
    update_classes: Sequence[int],
    mask_threshold: float = 0.8,
    background: int = 0,
) -> NDArray[np.uint8]:
    """The VOC rule: the new class must be switched on, the old one need not.

    Parameters
    ----------
    label : (B, H, W) int, the masks as they stand
    best, top : (B, H, W) the predicted classes, and their probabilities
    update_classes : U, the classes that are switched on, and the background
    mask_threshold : a prediction must be surer than this

    Returns
    -------
    (B, H, W) uint8. An image stays as it is if it has none of the foreground classes of U (but is not all background),
    or if it would lose more than half of its foreground and be background for more than 95 %.

    Examples
    --------
    >>> update_labels_voc([[[1, 1, 2, 0]]], np.array([[[2, 1, 2, 3]]]), np.full((1, 1, 4), 0.9), [0, 2]).tolist()
    [[[2, 1, 2, 0]]]
    """
    label, best = np.asarray(label).astype(np.uint8), np.asarray(best).astype(np.uint8)
    present = _present(label, 256)
    foreground = np.ones(256, dtype=bool)
    foreground[[background, IGNORED]] = False
    listed = np.zeros(256, dtype=bool)
    listed[list(update_classes)] = True
    empty = ~present[:, foreground].any(1)
    considered: NDArray[np.bool_] = np.asarray(empty | present[:, listed & foreground].any(1))
    allowed = _allowed(best, present) | np.asarray(empty)[:, None, None]
    change = (label != best) & (best != IGNORED) & (np.asarray(top) > mask_threshold) & allowed & listed[best]
    new = np.where(change, best, label)
    before, after = ((mask != background).sum((1, 2)) for mask in (label, new))
    vanishes = (after < 0.5 * before) & (1 - after / label[0].size > 0.95)
    return np.where((considered & ~vanishes)[:, None, None], new, label)
