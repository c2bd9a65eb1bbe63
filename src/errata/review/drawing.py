"""What a person needs to draw: the picture or the tokens, and what lies on them, given, proposed and his own."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import numpy as np

from errata.errors import DataError, ErrataError
from errata.forms import DRAWN, Form
from errata.forms.boxes import BoxesForm
from errata.forms.masks import MasksForm
from errata.forms.tokens import TokensForm
from errata.ledger import Ledger
from errata.review.content import Look

__all__ = ["DrawnContent", "can_draw", "sheet"]

ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)
"""What a camera notes of how it was held, and where width and height are exchanged."""


class DrawnContent:
    """The pictures of boxes and masks, with both labels drawn on them; used as a ``Content``.

    Parameters
    ----------
    ledger, folder : the ledger, and where it lies
    form : of its labels
    """

    def __init__(self, ledger: Ledger, folder: Path, form: Form) -> None:
        from errata.forms.pictures import pictures_for

        self._ledger, self._form = ledger, form
        self._pictures: Any = None
        self.done = threading.Event()
        self.done.set()
        self.state, self.said = "missing", "Only the places in words can be shown: the pictures are not known."
        try:
            self._pictures = pictures_for(ledger, folder)
        except ErrataError as error:
            self.said = f"Only the places in words can be shown: {error}"
        if self._pictures is not None and self._pictures.images is not None:
            self.state, self.said = "ready", f"Rows are shown from {self._pictures.source}."
        if isinstance(form, BoxesForm):
            form.measure = self.size

    def begin(self) -> None:
        """Nothing is left to be read."""

    def look(self, position: int) -> Look:
        """A picture with its name."""
        name = str(self._ledger.columns["image"][position])
        return Look(picture=self.state == "ready", values={"file": name})

    def picture(self, position: int, side: int, plain: bool = False) -> bytes | None:
        """The picture with what is given in red and what is proposed in green; None where it can't be read.

        Parameters
        ----------
        plain : without anything on it
        """
        from errata.forms.pictures import drawn

        if self.state != "ready":
            return None
        with contextlib.suppress(DataError, OSError):
            png = self._pictures.images.thumbnail(int(self._pictures.rows[position]), side)
            return png if plain else drawn(self._form, position, png)
        return None

    def size(self, position: int) -> tuple[int, int]:
        """Width and height of a picture as it is shown; (0, 0) where it can't be read."""
        from errata.data.images import open_image

        if self.state != "ready":
            return 0, 0
        images, number = self._pictures.images, int(self._pictures.rows[position])
        if images.given:
            return int(images.array.shape[3]), int(images.array.shape[2])
        with contextlib.suppress(DataError, OSError):
            image = open_image(images.source(number))
            width, height = image.size
            return (height, width) if image.getexif().get(ORIENTATION, 1) in SIDEWAYS else (width, height)
        return 0, 0


def can_draw(form: Form | None, look: Look) -> str:
    """The kind of what can be drawn on a row: "tokens", "boxes", "segmentation"; "" where nothing can."""
    if form is None or form.task not in DRAWN or not (look.picture or form.task == "tokens"):
        return ""
    return form.task


def sheet(form: Form, position: int, own: str | None = None) -> dict[str, Any]:
    """All that the page's script needs to let a person draw, in JSON's types.

    Parameters
    ----------
    form : of the ledger's labels
    position : of the row
    own : the text of what this reviewer decided on it last

    Returns
    -------
    dict : ``task``, ``names`` (what can be drawn), ``given``, ``proposed`` and ``own`` (None where there is none) as
        ``Form.shapes`` tells them, ``classless`` (whether a place may have no name), and

        - of boxes ``size``, how far the picture reaches in the unit of the boxes, and ``pixels``, its own size;
        - of a mask ``size``, and ``mask``, the classes of its pixels as they are given, row after row, as runs: class,
          length, class, length, ...;
        - of tokens ``tokens``
    """
    found: dict[str, Any] = {"task": form.task, "names": form.names, "classless": True}
    labels = {"given": form.given(position), "proposed": form.proposed(position), "own": _own(form, position, own)}
    if isinstance(form, BoxesForm):
        pixels = (0, 0) if form.measure is None else form.measure(position)
        found |= {"size": form.size(position), "pixels": pixels}
    elif isinstance(form, MasksForm):
        height, width = labels["given"].shape
        found |= {"size": (width, height), "mask": _runs(labels["given"]), "classless": form.void is not None}
    elif isinstance(form, TokensForm):
        found |= {"tokens": form.tokens(position), "classless": form.code.outside is not None}
    for name, label in labels.items():
        found[name] = None if label is None else form.shapes(position, label)
    return found


def _own(form: Form, position: int, text: str | None) -> Any:
    if text is not None:
        with contextlib.suppress(DataError):  # decided elsewhere, on other data
            return form.read(position, text)
    return None


def _runs(mask: np.ndarray) -> list[int]:
    """Class, length, class, length, ... of the pixels, row after row.

    Examples
    --------
    >>> _runs(np.array([[0, 0], [0, 2]]))
    [0, 3, 2, 1]
    """
    flat = mask.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.append(starts, len(flat)))
    return np.column_stack([flat[starts].astype(np.int64), lengths]).ravel().tolist()
