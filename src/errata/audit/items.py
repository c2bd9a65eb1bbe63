"""Ledgers whose items have no single class, and the pictures that belong to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errata.data.picture_folders import pictures_and_labels
from errata.errors import DataError, ParameterError
from errata.items import CLASSES, KEPT, item_ledger, parts_table, rank_parts

if TYPE_CHECKING:
    from errata.data import Data

__all__ = [
    "CLASSES",
    "KEPT",
    "item_ledger",
    "labels_and_pictures",
    "parts_table",
    "pictures_of",
    "rank_parts",
    "refuse_training",
]


def labels_and_pictures(source: Any, others: Sequence[Any], images: Any, what: str) -> tuple[Any, Any]:
    """The masks or boxes, and the pictures where they were given, from the arguments of an audit.

    Parameters
    ----------
    source : the labels; or the pictures, where ``others`` has the labels; or a folder that holds both
    others, images : further arguments for labels, and for pictures; None where they were not given
    what : "masks" or "boxes", for the message

    Raises
    ------
    ParameterError
        where the labels are not given just once, or the pictures twice

    Examples
    --------
    >>> labels_and_pictures("images", [None, "masks"], None, "masks")
    ('masks', 'images')
    """
    given = [labels for labels in others if labels is not None]
    both = pictures_and_labels(source) if not given and images is None else None
    if both is not None:
        return both[1], both[0]
    if source is not None and given and images is not None:
        raise ParameterError("The pictures are given twice, as the source and as images=; give them once.")
    if source is not None:
        given, images = (given, source) if given else ([source], images)
    if len(given) != 1:
        raise ParameterError(
            f"Give the {what} once, with the pictures (errata.audit('images/', label={what!r}, ...)) or with what a "
            f"model of your own predicts: errata.audit({what}, pred_probs=predicted, ...)."
        )
    return given[0], images


def refuse_training(given: Mapping[str, Any]) -> None:
    """Say that an option of training, which is not None, has no use where predictions are given.

    Raises
    ------
    ParameterError
        for the first one
    """
    for name, value in given.items():
        if value is not None:
            raise ParameterError(f"{name} is an option of the cross-validation; with predictions nothing is trained.")


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
