"""Areas of pixels as the lengths of their runs, row after row: first how many are outside, then inside, and so on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from errata.errors import DataError

__all__ = ["area_of", "cut", "runs_of"]


def runs_of(area: NDArray[np.bool_]) -> list[int]:
    """The lengths of the runs of an area (H, W); the first is of pixels outside, and may be 0.

    Examples
    --------
    >>> runs_of(np.array([[False, True], [True, False]]))
    [1, 2, 1]
    """
    flat = np.asarray(area, dtype=bool).ravel()
    if not len(flat):
        return [0]
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [len(flat)]])
    lengths = np.diff(edges).tolist()
    return [0, *lengths] if flat[0] else lengths


def area_of(runs: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """The area (H, W) that runs tell.

    Raises
    ------
    DataError
        where they are not of so many pixels

    Examples
    --------
    >>> area_of([1, 2, 1], 2, 2).astype(int).tolist()
    [[0, 1], [1, 0]]
    """
    try:
        lengths = np.asarray(runs, dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"expected the lengths of runs as whole numbers; found {str(runs)[:60]!r}") from error
    odd = lengths.ndim != 1 or (len(lengths) and not 0 <= lengths.min() <= lengths.max() <= height * width)
    if odd or int(lengths.sum()) != height * width:  # each on its own first: a sum may overflow
        raise DataError(f"expected runs of {width} x {height} pixels together; found {str(runs)[:60]}")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(height, width)


def cut(area: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The box x0, y0, x1, y1 around an area, x1 and y1 just outside; zeros where it is empty.

    Examples
    --------
    >>> cut(np.array([[False, False], [False, True]]))
    (1, 1, 2, 2)
    """
    rows, columns = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
