"""A folder that holds pictures and their masks or boxes in two folders of its own, under the names that are usual."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["LABELS", "PICTURES", "pictures_and_labels"]

PICTURES = ("images", "image", "imgs", "img", "frames", "pictures", "photos", "jpegimages", "leftimg8bit")
LABELS = ("masks", "mask", "labels", "label", "annotations", "segmentationclass", "gtfine", "segmentation")


def pictures_and_labels(folder: Any) -> tuple[Path, Path] | None:
    """The two folders within ``folder``, such as ``images`` and ``masks``; None where it has not just one of each.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> for name in ("Images", "masks"):
    ...     (place / name).mkdir()
    >>> [found.name for found in pictures_and_labels(place)], pictures_and_labels(place / "masks")
    (['Images', 'masks'], None)
    """
    if not isinstance(folder, (str, os.PathLike)) or not Path(folder).expanduser().is_dir():
        return None
    within = [entry for entry in sorted(Path(folder).expanduser().iterdir()) if entry.is_dir()]
    found = [[entry for entry in within if entry.name.lower() in names] for names in (PICTURES, LABELS)]
    return (found[0][0], found[1][0]) if len(found[0]) == len(found[1]) == 1 else None
