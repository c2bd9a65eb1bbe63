"""Wrong masks on purpose: objects drawn too small or too large, as tired people and weak labellers draw them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errata.errors import DataError, ParameterError

__all__ = ["erode_or_dilate", "resized_morphology"]

TARGET = 1000  # pixels that an object is brought to before it is eroded or dilated


def resized_morphology(
    inside: NDArray[np.bool_], iterations: int, *, erode: bool, target: int = TARGET
) -> NDArray[np.bool_]:
    """Erode or dilate one class's pixels with a 3 x 3 square, after the image was resized so that they are ``target``.

    The same number of iterations thus changes small objects and large ones by the same share.

    Parameters
    ----------
    inside : (H, W) bool
    iterations : 1 or more
    erode : shrink; else grow
    target : pixels of the class after the resize, 1 or more

    Examples
    --------
    >>> square = np.zeros((20, 20), dtype=bool)
    >>> square[5:15, 5:15] = True
    >>> smaller, larger = (int(resized_morphology(square, 2, erode=e).sum()) for e in (True, False))
    >>> smaller < 100 < larger
    True
    """
    from scipy import ndimage

    area = int(inside.sum())
    if area == 0:
        return inside.copy()
    ratio = (target / area) ** 0.5
    sides = tuple(max(1, round(side * ratio)) for side in inside.shape)
    resized = _resize(inside, sides)
    square = np.ones((3, 3), dtype=bool)
    if erode:
        changed = ndimage.binary_erosion(resized, square, iterations, border_value=1)
    else:
        changed = ndimage.binary_dilation(resized, square, iterations)
    return _resize(changed, inside.shape)


def _resize(inside: NDArray[np.bool_], sides: Sequence[int]) -> NDArray[np.bool_]:
    from scipy import ndimage

    zoom = [new / old for new, old in zip(sides, inside.shape)]
    return ndimage.zoom(inside.astype(np.float32), zoom, order=1, mode="nearest", grid_mode=True) >= 0.5


def erode_or_dilate(
    masks: Any,
    num_classes: int,
    *,
    seed: int,
    share: float = 1.0,
    iterations: tuple[int, int] = (2, 4),
    background: int = 0,
    target: int = TARGET,
    per_class: bool = False,
) -> NDArray[np.uint8]:
    """Draw every class of an image too small, or too large: the noise of ADELE's medical experiments.

    Of each image it is drawn whether its classes shrink (what they leave becomes background) or grow (into the
    background only), and by how much.

    Parameters
    ----------
    masks : (N, H, W) int, or N masks (H, W) of one size; 255 is left as it is
    num_classes : C, the background among them
    seed : of the draws
    share : of the images that are changed, in [0, 1]
    iterations : the least and the greatest number of erosions or dilations by 3 x 3
    background : the class that objects stand on
    target : pixels that a class is brought to before, 1 or more; see ``resized_morphology``
    per_class : draw anew for each class of an image

    Returns
    -------
    (N, H, W) uint8

    Raises
    ------
    DataError, ParameterError
        where masks or settings make no sense

    Examples
    --------
    >>> mask = np.zeros((1, 32, 32), dtype=np.uint8)
    >>> mask[0, 8:24, 8:24] = 1
    >>> noisy = erode_or_dilate(mask, 2, seed=0)
    >>> int((noisy != mask).sum()) > 20, bool(np.isin(noisy, [0, 1]).all())
    (True, True)

    References
    ----------
    Liu et al., Adaptive Early-Learning Correction for Segmentation from Noisy Annotations, CVPR 2022, arXiv 2110.03740.
    """
    given = _stacked(masks, num_classes)
    low, high = iterations
    if not 1 <= low <= high:
        raise ParameterError(f"iterations must be (least, greatest) with 1 <= least <= greatest; got {iterations!r}.")
    if not 0 <= share <= 1:
        raise ParameterError(f"share must be in [0, 1]; got {share!r}.")
    if target < 1:
        raise ParameterError(f"target must be 1 or more pixels; got {target!r}.")
    rng = np.random.default_rng(seed)
    noisy = given.copy()
    chosen = np.sort(rng.permutation(len(given))[: round(share * len(given))])
    for row in chosen:
        erode, times = bool(rng.random() < 0.5), int(rng.integers(low, high + 1))
        for c in np.unique(given[row]):
            if c in (background, 255):
                continue
            if per_class:
                erode, times = bool(rng.random() < 0.5), int(rng.integers(low, high + 1))
            inside = noisy[row] == c
            changed = resized_morphology(inside, times, erode=erode, target=target)
            if erode:
                noisy[row][inside & ~changed] = background
            else:
                noisy[row][changed & (noisy[row] == background)] = c
    return noisy


def _stacked(masks: Any, num_classes: int) -> NDArray[np.uint8]:
    if hasattr(masks, "detach"):
        masks = masks.detach().cpu().numpy()
    if not hasattr(masks, "ndim") and isinstance(masks, Iterable):
        masks = np.stack([np.asarray(mask) for mask in masks])
    array = np.asarray(masks)
    if array.ndim != 3 or array.dtype.kind not in "iub":
        raise DataError(f"masks must be (N, H, W) whole numbers; got {array.dtype} {array.shape}.")
    odd = (array != 255) & ((array < 0) | (array >= num_classes))
    if odd.any():
        place = np.argwhere(odd)[0].tolist()
        raise DataError(
            f"masks must hold the classes 0 to {num_classes - 1}, or 255 for none; image {place[0]} has "
            f"{array[tuple(place)]} at {place[1:]}."
        )
    return array.astype(np.uint8)
