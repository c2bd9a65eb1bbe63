"""The pictures that boxes and masks lie on, and how both look on them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.data.overlay import GIVEN, PROPOSED, overlay_png
from errata.forms.boxes import Box, BoxesForm
from errata.forms.form import Form
from errata.forms.masks import MasksForm
from errata.ledger import Ledger
from errata.storage import source_path

if TYPE_CHECKING:
    from errata.data import Data

__all__ = ["drawn", "pictures_for"]

SIDE = 480  # pixels of the longer side of a picture with boxes, at least


def pictures_for(ledger: Ledger, folder: Path | None = None, images: Any = None) -> Data | None:
    """The pictures of a ledger's boxes or masks, in the order of its rows; None where nobody knows where they are.

    Parameters
    ----------
    ledger, folder : the ledger, and where it lies
    images : the pictures, where the ledger does not tell where they are

    Raises
    ------
    DataError
        where they do not belong to the ledger
    """
    from errata.audit.items import pictures_of

    told = ledger.meta
    place: Any = images
    if place is None and "images_path" in told:
        place = source_path({"source_path": told["images_path"]}, folder)
    if place is None and "mask" in ledger.columns:  # a network was trained: its source is the pictures
        place = source_path(told, folder)
    if place is None:
        return None
    return pictures_of(place, [Path(str(name)).name for name in ledger.columns["image"]], "images with boxes or masks")


def drawn(form: Form, position: int, png: bytes) -> bytes:
    """A row's picture with its label as it is given (red) and as it is proposed (green), as a PNG.

    Parameters
    ----------
    png : the picture itself, in any format that can be opened
    """
    from PIL import Image

    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB")
    if isinstance(form, MasksForm):
        return _masks(form, position, image)
    if isinstance(form, BoxesForm):
        return _boxes(form, position, image)
    return png


def _masks(form: MasksForm, position: int, image: Any) -> bytes:
    given, proposed = form.given(position), form.proposed(position)
    height, width = given.shape
    pixels = np.asarray(image.resize((width, height)))
    return overlay_png(pixels, given, None if form.same(given, proposed) else proposed, form.names)


def _boxes(form: BoxesForm, position: int, image: Any) -> bytes:
    from PIL import Image, ImageDraw

    width, height = form.boxes.size(form.row(position))
    if form.boxes.shares or not width:
        width, height = (1, 1) if form.boxes.shares else image.size
    times = max(1, -(-SIDE // max(image.size)))
    large = image.resize((image.width * times, image.height * times), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(large)
    given, proposed = form.given(position), form.proposed(position)
    scale = (large.width / width, large.height / height)
    for boxes, colour, others in ((given, GIVEN, proposed), (proposed, PROPOSED, given)):
        for box in boxes:
            same = box in others
            if not same or colour == GIVEN:
                _box(draw, box, scale, (90, 90, 90) if same else colour)
    buffer = io.BytesIO()
    large.save(buffer, "PNG")
    return buffer.getvalue()


def _box(draw: Any, box: Box, scale: tuple[float, float], colour: tuple[int, int, int]) -> None:
    """A box and its class; what is proposed a little inside, so that it can lie on what is given."""
    inside = 3 if colour == PROPOSED else 0
    x0, y0, x1, y1 = (v * s for v, s in zip(box.corners, (*scale, *scale)))
    if x1 - x0 > 2 * inside + 2 and y1 - y0 > 2 * inside + 2:
        x0, y0, x1, y1 = x0 + inside, y0 + inside, x1 - inside, y1 - inside
    draw.rectangle([x0, y0, x1, y1], outline=colour, width=2)
    text = box.label.encode("latin-1", "replace").decode("latin-1")
    left, top = x0 + 3, y1 - 14 if inside else y0 + 2
    draw.rectangle([left - 1, top, left + draw.textlength(text) + 1, top + 11], fill=(255, 255, 255))
    draw.text((left, top), text, fill=colour)
