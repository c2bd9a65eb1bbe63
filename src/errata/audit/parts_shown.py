"""Finer rows as the report shows them: where they are, in words for people, and boxes upon their picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.errors import ErrataError
from errata.ledger import PARTS, UNSEEN

if TYPE_CHECKING:
    import pandas as pd

    from errata.ledger import Ledger

__all__ = ["boxes_png", "places", "single"]

GIVEN_BOX, SEEN_BOX = ("x0", "y0", "x1", "y1"), ("px0", "py0", "px1", "py1")
SIDE = 192  # pixels of the longer side of a picture with boxes
MOST_DRAWN = 12


def places(table: pd.DataFrame) -> pd.DataFrame:
    """What tells parts apart beside their labels, for people: boxes in one cell, and no column that is empty.

    Examples
    --------
    >>> import pandas as pd
    >>> parts = pd.DataFrame({"row": [3], "given": ["cat"], "kind": ["swapped"], "x0": [1.0], "y0": [2.0], "x1": [30]})
    >>> places(parts.assign(y1=9.0, px0=np.nan, py0=np.nan, px1=np.nan, py1=np.nan)).to_dict("records")
    [{'kind': 'swapped', 'box': '1, 2 to 30, 9'}]
    """
    shown = table.drop(columns=[name for name in ("row", *PARTS, *UNSEEN) if name in table.columns])
    for name, corners in (("box", GIVEN_BOX), ("box seen", SEEN_BOX)):
        if set(corners) <= set(shown.columns):
            lines = shown[list(corners)].to_numpy(dtype=np.float64)
            shown = shown.drop(columns=list(corners))
            shown[name] = [_box(line) for line in lines]
    return shown.dropna(axis="columns", how="all")


def single(value: Any) -> Any:
    """A cell of a table as Python has it; None where it is missing."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and np.isnan(value) else value


def _box(corners: np.ndarray) -> str | None:
    if np.isnan(corners).any():
        return None
    x0, y0, x1, y1 = (f"{value:.4g}" for value in corners)
    return f"{x0}, {y0} to {x1}, {y1}"


def boxes_png(ledger: Ledger, position: int) -> bytes | None:
    """A row's picture with its suspicious boxes: those given in red, where another is proposed that in green.

    None where the ledger has no boxes, or their picture can't be read.
    """
    parts, data = ledger.parts, ledger.data
    if parts is None or data is None or data.kind != "image" or not {*GIVEN_BOX, *SEEN_BOX} <= set(parts.columns):
        return None
    own = parts[(parts["row"] == ledger.index[position]) & parts["issue"]]
    try:
        return _drawn(data.images, int(data.rows[position]), own.to_dict("records"), bool(ledger.meta.get("shares")))
    except (ErrataError, OSError):
        return None


def _drawn(images: Any, row: int, lines: Sequence[Mapping[Any, Any]], shares: bool) -> bytes:
    from PIL import ImageDraw

    from errata.data.overlay import GIVEN, PROPOSED

    image = images.picture(row).convert("RGB")
    unit = (1.0, 1.0) if shares else image.size
    image.thumbnail((SIDE, SIDE))
    scale = np.tile(np.array(image.size) / unit, 2)
    draw = ImageDraw.Draw(image)
    for line in lines[:MOST_DRAWN]:
        for corners, colour in ((GIVEN_BOX, GIVEN), (SEEN_BOX, PROPOSED)):
            box = np.array([line[name] for name in corners], dtype=np.float64) * scale
            if np.isfinite(box).all():
                draw.rectangle(box.tolist(), outline=colour, width=2)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
