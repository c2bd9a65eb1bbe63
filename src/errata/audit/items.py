"""Ledgers whose items have no single class, and the pictures that belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errata.errors import DataError
from errata.items import CLASSES, KEPT, item_ledger, parts_table, rank_parts

if TYPE_CHECKING:
    from errata.data import Data

__all__ = ["CLASSES", "KEPT", "item_ledger", "parts_table", "pictures_of", "rank_parts"]


def pictures_of(images: Any, names: Sequence[str], what: str) -> Data:
    """The pictures that belong to masks or boxes: by the names of their files, where they fit, or else in their order.

    Parameters
    ----------
    images : anything that ``errata.read`` takes
    names : of the masks or of the images that the boxes are in; endings do not matter
    what : "masks" or "boxes of", for the message

    Raises
    ------
    DataError
        where there is another number of pictures, and their names don't say which are meant

    Examples
    --------
    >>> import numpy as np
    >>> len(pictures_of(np.zeros((2, 4, 4, 3), dtype=np.uint8), ["a", "b"], "masks"))
    2
    """
    from errata.data import read

    data = read(images, False)
    place: dict[str, int] = {}
    if data.images is not None:
        place = {Path(data.images.name(int(row))).stem: i for i, row in enumerate(data.rows)}
    wanted = [Path(name).stem for name in names]
    if all(name in place for name in wanted):
        return data.subset([place[name] for name in wanted])
    if len(data) != len(names):
        raise DataError(
            f"There are {len(names):,} {what} and {len(data):,} pictures; give one for each, in the same order or with "
            "the same names."
        )
    return data
