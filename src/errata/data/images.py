"""Images: from files, from bytes in a table, or from arrays, to uint8 arrays of one size.

Every image is decoded once while reading, in threads (Pillow lets go of the interpreter's lock while it decodes), so
that unreadable ones are known by name before anything is trained. If the decoded images fit the memory budget they are
kept; else they are decoded again when a batch needs them, by the workers of a DataLoader.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from errata.data.told import reason
from errata.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset

__all__ = ["EXTENSIONS", "Images", "decode", "looks_like_image", "open_image"]

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"})
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""What is opened: plain raster formats, none that starts other programs."""

MAX_PIXELS = 100_000_000
"""An image of more pixels is refused: a small file can claim a size that fills the memory."""

MEMORY = 2 * 1024**3
"""Bytes of decoded images that are kept; beyond, images are decoded batch by batch."""

CHUNK = 128  # images that a thread decodes at a time
SAMPLE = 2000  # images whose sizes are looked at to choose a common one
GREY_MODES = ("1", "L", "I", "I;16", "I;16B", "I;16L", "F")

Shape = tuple[int, int, int]


class _NeedsColourError(Exception):
    """A colour image turned up in a set that seemed grey."""


def looks_like_image(blob: bytes | None) -> bool:
    """Whether bytes begin as one of the known formats does.

    Examples
    --------
    >>> looks_like_image(b"\\x89PNG\\r\\n\\x1a\\n..."), looks_like_image(b"hello")
    (True, False)
    """
    if not blob:
        return False
    heads = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
    webp = blob[:4] == b"RIFF" and blob[8:12] == b"WEBP"
    return blob.startswith(heads) or webp or (blob[:1] == b"P" and blob[1:2] in b"123456" and blob[2:3].isspace())


def open_image(source: bytes | Path | Image.Image) -> Image.Image:
    """Open (not yet decode) an image of a known format and a sane size.

    Raises
    ------
    DataError
        where it is no image, broken, empty, or larger than ``MAX_PIXELS``
    """
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, bytes) and not source:
        raise DataError("there is no image: the value is empty")
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise DataError(f"its size is claimed to be more than {MAX_PIXELS:,} pixels, which is refused") from error
    except UnidentifiedImageError as error:
        raise DataError("it is not a picture in a known format (JPEG, PNG, BMP, GIF, TIFF, WebP, PPM)") from error
    except Exception as error:  # Pillow's readers of broken files raise nearly anything
        raise DataError(f"it can't be opened ({reason(error)})") from error
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"its size is {image.width:,} x {image.height:,}, more than {MAX_PIXELS:,} pixels: refused")
    return image


def decode(source: bytes | Path | Image.Image | None, shape: Shape | None = None) -> np.ndarray:
    """Decode an image to uint8 (C, H, W); of another size it is resized as a whole, not cut.

    Parameters
    ----------
    source : the file's bytes or path, or a picture opened already
    shape : (C, H, W) to bring it to, with C 1 (grey) or 3 (red, green, blue); by default its own

    Raises
    ------
    DataError
        where it can't be decoded; the message is a clause that follows the image's name
    """
    if source is None:
        raise DataError("there is no image: the value is missing")
    image = open_image(source)
    try:
        if shape is not None and image.format == "JPEG":
            image.draft(None, (shape[2], shape[1]))  # let the decoder shrink large photos by itself
        image.load()
        if "exif" in image.info:
            image = ImageOps.exif_transpose(image)
        channels = shape[0] if shape is not None else (1 if image.mode in GREY_MODES else 3)
        image = flat(image, channels)
        if shape is not None and image.size != (shape[2], shape[1]):
            image = image.resize((shape[2], shape[1]), Image.Resampling.BILINEAR)
    except Exception as error:  # as above
        raise DataError(f"it is broken ({reason(error)})") from error
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def flat(image: Image.Image, channels: int) -> Image.Image:
    """Bring any mode to 8-bit grey or colour; what is transparent becomes white."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode == mode:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colour = image.convert("RGBA")
        white = Image.new("RGBA", colour.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, colour).convert("RGB")
    return image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Sixteen-bit and float greys to eight bits: by their range if it is known, else as they are."""
    values = np.asarray(image, dtype=np.float64)
    top = values.max(initial=0.0)
    if image.mode == "F":
        scale = 255.0 if top <= 1.0 else 1.0
    else:
        scale = 1 / 257.0 if top > 255 else 1.0
    return Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8), "L")


class Images:
    """The images of a data set, known by number.

    Parameters
    ----------
    items : a sequence of paths, bytes, pictures, or None where missing; an arrow array of bytes; or an array of
        pixels (N, C, H, W)
    """

    def __init__(self, items: Any) -> None:
        self.items = items
        self.array: np.ndarray | None = items if isinstance(items, np.ndarray) and items.ndim == 4 else None
        self.given = self.array is not None  # an array as given: never decoded, never resized
        self.shape: Shape | None = None if self.array is None else tuple(self.array.shape[1:])
        self.sizes = ""  # how sizes were brought together, in words
        self.problems: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.items)

    def source(self, number: int) -> bytes | Path | Image.Image | None:
        """The undecoded image: its bytes or path (or a picture, from a dataset of pictures)."""
        item = self.items[number]
        item = item.as_py() if hasattr(item, "as_py") else item
        if isinstance(item, dict):  # Hugging Face: {"bytes": ..., "path": ...}
            item = item["bytes"] if item.get("bytes") is not None else item.get("path")
        return Path(item) if isinstance(item, str) else item

    def name(self, number: int) -> str:
        """What to call an image in a message: its file, or its row."""
        source = None if self.given else self.source(number)
        return str(source) if isinstance(source, Path) else f"row {number}"

    def prepare(self, size: tuple[int, int] | None = None, memory: int = MEMORY) -> None:
        """Choose a common size and decode everything once; note what is unreadable, keep the pixels if they fit."""
        if self.given:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what is checked here
            self.shape, self.sizes = _common_shape(self, size)
            try:
                self._decode_all(self.shape, memory)
            except _NeedsColourError:
                self.shape = (3, *self.shape[1:])
                self._decode_all(self.shape, memory)

    def _decode_all(self, shape: Shape, memory: int) -> None:
        self.problems = {}
        fits = len(self) * int(np.prod(shape)) <= memory
        out = np.zeros((len(self), *shape), dtype=np.uint8) if fits else None

        def part(start: int) -> dict[int, str]:
            return self._decode_part(range(start, min(start + CHUNK, len(self))), shape, out)

        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            for problems in pool.map(part, range(0, len(self), CHUNK)):
                self.problems.update(problems)
        self.array = out

    def _decode_part(self, numbers: Sequence[int], shape: Shape, out: np.ndarray | None) -> dict[int, str]:
        problems = {}
        for number in numbers:
            try:
                pixels = decode(self.source(number), shape if shape[0] == 3 else None)
                if shape[0] == 1:
                    pixels = self._grey(number, pixels, shape)
                if out is not None:
                    out[number] = pixels
            except DataError as error:
                problems[number] = str(error)
        return problems

    def _grey(self, number: int, pixels: np.ndarray, shape: Shape) -> np.ndarray:
        if pixels.shape[0] == 3:
            if (pixels == pixels[:1]).all():
                pixels = pixels[:1]
            else:
                raise _NeedsColourError
        return pixels if pixels.shape == shape else decode(self.source(number), shape)

    def pixels(self, rows: np.ndarray, shape: Shape | None = None) -> np.ndarray | None:
        """(n, C, H, W) of some images from memory, decoded anew for another ``shape``; None where they don't fit."""
        if self.array is not None and (shape is None or shape == self.shape):
            everything = len(rows) == len(self) and bool((rows == np.arange(len(rows))).all())
            return self.array if everything else self.array[rows]
        if self.array is None:
            return None
        if self.given or shape is None:
            raise DataError(
                f"Expected images of shape (channels, height, width) = {shape}, as in training; got {self.shape}. "
                "Resize them first."
            )
        return _decode_some([self.source(int(row)) for row in rows], shape)

    def dataset(self, rows: np.ndarray, shape: Shape) -> Dataset[Tensor]:
        """Some images as a dataset that decodes them when they are asked for."""
        from errata.data.image_dataset import ImageDataset

        return ImageDataset(self, rows, shape)

    def picture(self, number: int) -> Image.Image:
        """An image for people to look at, in its own size; an array's values are stretched to grey or colour."""
        if self.given and self.array is not None:
            return as_picture(self.array[number])
        shown = decode(self.source(number))
        return Image.fromarray(shown[0] if shown.shape[0] == 1 else np.ascontiguousarray(shown.transpose(1, 2, 0)))

    def thumbnail(self, number: int, side: int = 96) -> bytes:
        """A small PNG of ``picture``."""
        image = self.picture(number)
        image.thumbnail((side, side))
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=False)
        return buffer.getvalue()


def _decode_some(sources: Sequence[Any], shape: Shape) -> np.ndarray:
    """(n, C, H, W) of images known to be readable, in threads."""
    out = np.empty((len(sources), *shape), dtype=np.uint8)

    def part(start: int) -> None:
        for place in range(start, min(start + CHUNK, len(sources))):
            out[place] = decode(sources[place], shape)

    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        list(pool.map(part, range(0, len(sources), CHUNK)))
    return out


def as_picture(values: np.ndarray) -> Image.Image:
    if values.dtype != np.uint8:
        low, high = float(values.min()), float(values.max())
        values = ((values - low) / (high - low or 1.0) * 255).astype(np.uint8)
    if values.shape[0] >= 3:
        return Image.fromarray(np.ascontiguousarray(values[:3].transpose(1, 2, 0)))
    return Image.fromarray(np.ascontiguousarray(values[0]))


def _common_shape(images: Images, size: tuple[int, int] | None) -> tuple[Shape, str]:
    """One (C, H, W) for all images, and how it came about in words; from the headers of a sample."""
    sizes, colour = [], False
    for number in np.unique(np.linspace(0, len(images) - 1, min(SAMPLE, len(images))).astype(int)):
        try:
            source = images.source(int(number))
            if source is None:
                continue
            image = open_image(source)
        except DataError:
            continue
        sizes.append((image.height, image.width))
        colour = colour or image.mode not in GREY_MODES
        if image is not source:
            image.close()
    if not sizes:
        return (3, *(size or (32, 32))), "none could be opened"
    channels = 3 if colour else 1
    smallest, largest = min(min(s) for s in sizes), max(max(s) for s in sizes)
    if size is not None:
        return (channels, *size), f"resized to {size[1]} x {size[0]}, as asked"
    if len(set(sizes)) == 1 and largest <= 128:
        height, width = sizes[0]
        return (channels, height, width), f"all {width} x {height}"
    side = 32 if largest <= 32 else 64 if np.median(np.min(sizes, axis=1)) <= 64 else 128
    return (
        (channels, side, side),
        f"sides from {smallest} to {largest} pixels, resized to {side} x {side} (image_size= chooses another)",
    )
