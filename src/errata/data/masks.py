"""Masks of images and the probabilities of their pixels, image by image: arrays, mapped files, folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from errata.data.told import reason
from errata.errors import DataError

__all__ = ["Stack", "digest", "open_masks", "open_pixel_probabilities"]

PICTURES = (".png", ".bmp", ".tif", ".tiff", ".gif")  # what keeps every pixel's number


@dataclass(frozen=True, eq=False)
class Stack:
    """An array for each image, read when it is asked for.

    Parameters
    ----------
    names : of the images
    read : from an image's number to its array
    source : where they are
    """

    names: list[str]
    read: Callable[[int], np.ndarray]
    source: str

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> np.ndarray:
        return self.read(number)


def open_masks(source: Any) -> Stack:
    """The masks (H, W) of images, with the class of each pixel as a whole number.

    Parameters
    ----------
    source : (N, H, W) array or tensor, memory-mapped or not; a list of (H, W) arrays; a ``.npy`` file of (N, H, W),
        which is memory-mapped; a folder of a ``.png`` or ``.npy`` file for each image, in the order of their names; a
        ``Stack`` is handed back

    Raises
    ------
    DataError
        where it is none of these, or a mask holds anything but whole numbers

    Examples
    --------
    >>> masks = open_masks(np.zeros((2, 4, 4), dtype=np.uint8))
    >>> len(masks), masks[1].shape
    (2, (4, 4))
    """
    return source if isinstance(source, Stack) else _open(source, 2, "masks", _check_mask)


def open_pixel_probabilities(source: Any, names: list[str]) -> Stack:
    """The probabilities (K, H, W) of the classes of each image's pixels.

    Parameters
    ----------
    source : (N, K, H, W) array, memory-mapped or not; a list of (K, H, W) arrays; a ``.npy`` file of (N, K, H, W); a
        folder of a ``.npy`` file for each image, named as its mask is
    names : of the images

    Raises
    ------
    DataError
        where it is none of these, or an image has no probabilities
    """
    stack = _open(source, 3, "pred_probs", _check_probabilities)
    if stack.names == names or not _is_folder(source):
        if len(stack) != len(names):
            raise DataError(f"There are {len(names):,} masks and probabilities of {len(stack):,} images.")
        return stack
    place = {Path(name).stem: i for i, name in enumerate(stack.names)}
    missing = [name for name in names if Path(name).stem not in place]
    if missing:
        raise DataError(
            f"{stack.source} has no .npy file for {len(missing):,} of the masks, such as {missing[0]}; name the files "
            "as the masks are named."
        )
    order = [place[Path(name).stem] for name in names]
    return Stack(names, lambda number: stack[order[number]], stack.source)


def _is_folder(source: Any) -> bool:
    return isinstance(source, (str, os.PathLike)) and Path(source).expanduser().is_dir()


def digest(mask: np.ndarray) -> str:
    """What a mask holds, in 16 letters: to notice that it was changed.

    Examples
    --------
    >>> digest(np.zeros((1, 2), dtype=np.uint8)) == digest(np.zeros((1, 2), dtype=np.int64))
    True
    """
    seen = hashlib.blake2b(repr(mask.shape).encode(), digest_size=8)
    seen.update(np.ascontiguousarray(mask, dtype="<i4").tobytes())
    return seen.hexdigest()


def _open(source: Any, sides: int, what: str, check: Callable[[np.ndarray, str], np.ndarray]) -> Stack:
    if isinstance(source, (str, os.PathLike)):
        path = Path(source).expanduser()
        if path.is_dir():
            return _folder(path, sides, what, check)
        if not path.exists():
            raise DataError(f"{what}: there is no folder or file {path}.")
        return _array(_load(path, what), sides, what, str(path), check)
    if hasattr(source, "detach"):
        source = source.detach().cpu().numpy()
    if isinstance(source, (list, tuple)):
        arrays = [np.asarray(one) for one in source]
        names = [str(i) for i in range(len(arrays))]
        return Stack(names, lambda i: _sided(arrays[i], sides, f"{what}, image {i}", check), f"the list of {what}")
    return _array(np.asanyarray(source), sides, what, what, check)


def _array(array: np.ndarray, sides: int, what: str, source: str, check: Any) -> Stack:
    if array.ndim != sides + 1 or 0 in array.shape:
        expected = "(N, H, W)" if sides == 2 else "(N, K, H, W)"
        raise DataError(f"{what}: expected an array of shape {expected}; got {array.shape}.")
    names = [str(i) for i in range(len(array))]
    return Stack(names, lambda i: _sided(array[i], sides, f"{what}, image {i}", check), source)


def _sided(array: np.ndarray, sides: int, where: str, check: Any) -> np.ndarray:
    if array.ndim != sides or 0 in array.shape:
        expected = "(H, W), the class of each pixel" if sides == 2 else "(K, H, W), a probability of each class"
        raise DataError(f"{where}: expected an array of shape {expected}; got {array.shape}.")
    return check(array, where)


def _load(path: Path, what: str) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{what}: {path} is not a .npy file of numbers ({reason(error)}).") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{what}: {path} holds several arrays; save one with numpy.save.")
    return array


def _folder(path: Path, sides: int, what: str, check: Any) -> Stack:
    endings = (".npy", *PICTURES) if sides == 2 else (".npy",)
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in endings and not f.name.startswith("."))
    if not files:
        raise DataError(f"{path} holds no file named {', '.join(endings)}; expected one for each image.")

    def read(number: int) -> np.ndarray:
        file = files[number]
        array = _load(file, what) if file.suffix.lower() == ".npy" else _picture(file)
        return _sided(array, sides, str(file), check)

    return Stack([file.name for file in files], read, str(path))


def _picture(file: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(file) as image:
            array = np.asarray(image)  # of a palette image, the numbers of the colours
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{file} can't be read as a picture ({reason(error)}).") from error
    if array.ndim == 3:
        raise DataError(
            f"{file} is a picture with {array.shape[2]} channels; a mask has one, the number of each pixel's class. "
            "Give each colour a number first."
        )
    return array


def _check_mask(array: np.ndarray, where: str) -> np.ndarray:
    if array.dtype.kind == "f":
        rounded = np.asarray(array).round()
        if not (rounded == array).all():
            raise DataError(f"{where}: a mask must hold whole numbers, the classes of the pixels; got {array.dtype}.")
        array = rounded
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: a mask must hold whole numbers, the classes of the pixels; got {array.dtype}.")
    return np.asarray(array).astype(np.int64)


def _check_probabilities(array: np.ndarray, where: str) -> np.ndarray:
    if array.dtype.kind != "f":
        raise DataError(f"{where}: probabilities must be floating point numbers; got {array.dtype}.")
    values = np.asarray(array, dtype=np.float32)
    low, total = values.min(), values.sum(axis=0)
    if not (low >= -1e-6 and np.abs(total - 1).max() <= 0.01):
        raise DataError(
            f"{where}: the probabilities of the classes must be at least 0 and sum to 1 at every pixel; the least is "
            f"{low:.4g}, sums go from {total.min():.4g} to {total.max():.4g}. Apply softmax over the classes if these "
            "are scores."
        )
    return values
