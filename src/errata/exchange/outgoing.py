"""The rows of a ledger as they go out: with what there is to see of them, and their labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.errors import DataError, ErrataError
from errata.exchange.items import Answer, Item, Picture, Whole
from errata.forms.boxes import BoxesForm
from errata.forms.form import Form
from errata.forms.masks import MasksForm
from errata.forms.pictures import pictures_for
from errata.forms.tokens import TokensForm
from errata.labels import MISSING
from errata.ledger import Ledger

if TYPE_CHECKING:
    from errata.data import Data
    from errata.review.content import Content

__all__ = ["View", "recorded"]

SIDE = 1024  # pixels of a picture that has no file


class View:
    """What there is to see of a ledger's rows.

    Parameters
    ----------
    ledger, folder : the ledger, and where it lies
    form : of labels that are no classes
    data : the data, where the ledger does not tell where they are
    images : the pictures of boxes or masks, where it does not tell that
    """

    def __init__(self, ledger: Ledger, folder: Path, form: Form | None, data: Any = None, images: Any = None) -> None:
        self.ledger, self.form = ledger, form
        self.pictured = isinstance(form, (BoxesForm, MasksForm))
        self._content: Content | None = None
        self._pictures: Data | None = None
        if self.pictured:
            self._pictures = pictures_for(ledger, folder, images)
        elif not isinstance(form, TokensForm):
            self._content = _content(ledger, folder, data)

    @property
    def kind(self) -> str:
        """What the rows are: "text", "image", "tabular"; "" where that is not known."""
        if self.pictured:
            return "image"
        if isinstance(self.form, TokensForm):
            return "text"
        return "" if self._content is None else self._content.kind

    def row(self, position: int) -> int | str:
        """What a row is called."""
        value = self.ledger.index[position]
        return value.item() if isinstance(value, np.generic) else value

    def items(self, positions: list[int], answers: dict[int | str, tuple[Answer, ...]]) -> Iterator[Item]:
        """Some rows, in this order."""
        for position in positions:
            row, trust = self.row(position), float(self.ledger.trust[position])
            whole = self._whole(position)
            given, proposed = self._labels(position, whole)
            text, values = self._seen(position)
            yield Item(
                row,
                given,
                proposed,
                None if math.isnan(trust) else round(trust, 6),
                text,
                self.picture(position),
                values,
                answers.get(row, ()),
                whole,
            )

    def _whole(self, position: int) -> Whole | None:
        if self.form is None:
            return None
        return Whole(self.form, position, self.form.given(position), self.form.proposed(position))

    def _labels(self, position: int, whole: Whole | None) -> tuple[str | None, str | None]:
        ledger = self.ledger
        if whole is None:
            names = [str(name) for name in ledger.classes]
            codes = int(ledger.given[position]), int(ledger.proposed[position])
            given, proposed = (None if code == MISSING else names[code] for code in codes)
            return given, proposed
        form = whole.form
        given = None if isinstance(form, MasksForm) else form.text(position, whole.given)
        return given, form.text(position, whole.proposed)

    def _seen(self, position: int) -> tuple[str | None, dict[str, str]]:
        if isinstance(self.form, TokensForm):
            return self.form.sentence(position), {}
        look = None if self._content is None else self._content.look(position)
        return (None, {}) if look is None else (look.text, dict(look.values or {}))

    # -- pictures -----------------------------------------------------------------------------------------------------

    def picture(self, position: int) -> Picture | None:
        """A row's picture; of boxes and masks at least its name and size."""
        if not self.pictured:
            return self._own_picture(position)
        name, width, height = self._size(position)
        if self._pictures is None or self._pictures.images is None:
            return Picture(name, None, None, width, height)
        number = int(self._pictures.rows[position])
        path = None if self._pictures.images.given else self._pictures.images.source(number)
        if isinstance(path, Path):
            found = _below(path, self._pictures.source)
            return Picture(found, path, None, *((width, height) if width else _size_of(path)))
        png = self._pictures.images.thumbnail(number, max(width, height) or SIDE)
        return Picture(f"row-{self.row(position)}.png", None, png, *((width, height) if width else _png_size(png)))

    def _size(self, position: int) -> tuple[str, int, int]:
        """The name that the labels give a picture, and its width and height, or zeros."""
        if isinstance(self.form, BoxesForm):
            return self.form.image(position), *self.form.boxes.size(self.form.row(position))
        if isinstance(self.form, MasksForm):
            height, width = self.form.given(position).shape
            return self.form.file(position), width, height
        return "", 0, 0

    def _own_picture(self, position: int) -> Picture | None:
        content = self._content
        if content is None or not content.look(position).picture:
            return None
        name, path = content.file(position)
        if path is not None:
            width, height = content.size(position)
            return Picture(name, path, None, width, height)
        png = content.picture(position, SIDE)
        return None if png is None else Picture(f"row-{self.row(position)}.png", None, png, *_png_size(png))

    def picture_rows(self) -> dict[str, Any]:
        """The row of each picture's name."""
        rows: dict[str, Any] = {}
        for position in range(len(self.ledger)):
            if self.pictured:
                rows[self._picture_name(position)] = self.row(position)
            elif self._content is not None:
                name, path = self._content.file(position)
                row = self.row(position)
                rows[f"row-{row}.png" if path is None else name] = row
        return rows

    def _picture_name(self, position: int) -> str:
        if self._pictures is None or self._pictures.images is None:
            return self._size(position)[0]
        path = self._pictures.images.source(int(self._pictures.rows[position]))
        if self._pictures.images.given or not isinstance(path, Path):
            return f"row-{self.row(position)}.png"
        return _below(path, self._pictures.source)


def _below(path: Path, source: str) -> str:
    """A file's name below the folder that was read."""
    top, absolute = Path(source).expanduser().absolute(), path.absolute()
    return absolute.relative_to(top).as_posix() if absolute.is_relative_to(top) else path.name


def _size_of(path: Path) -> tuple[int, int]:
    from errata.data.images import open_image

    try:
        with open_image(path) as image:
            return image.size
    except (ErrataError, OSError) as error:
        raise DataError(f"The size of {path} can't be read: {error}.") from error


def _png_size(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def _content(ledger: Ledger, folder: Path, data: Any) -> Content | None:
    """The rows' content; None where it can't be had."""
    from errata.review.content import Content

    content = Content(ledger, folder, data, marks=False)
    content.read()
    return content if content.state == "ready" else None


def recorded(folder: Path) -> dict[int | str, tuple[Answer, ...]]:
    """What stands in the record of the review, by row."""
    from errata.review.decisions import FILE, Decisions

    if not (folder / FILE).is_file():
        return {}
    with Decisions(folder) as record:
        standing = record.standing()
    found: dict[int | str, tuple[Answer, ...]] = {}
    for d in standing:
        found[d.row] = (*found.get(d.row, ()), Answer(d.row, d.action, d.label, d.reviewer, d.when, d.note))
    return found
