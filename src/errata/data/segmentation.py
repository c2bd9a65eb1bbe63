"""Images with masks: a folder of each, matched by their names, brought to one size for a network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from errata.data.data import Data, Preview
from errata.data.images import EXTENSIONS, open_image
from errata.data.masks import Stack, open_masks
from errata.data.reading import read
from errata.errors import DataError, ParameterError

__all__ = ["IGNORE", "SegmentationData", "read_segmentation", "resize_mask"]

IGNORE = 255
LONGEST = 128  # pixels of the longer side, where none is asked for
MOST_CLASSES = 250  # masks are bytes, and 255 is none
SAMPLE = 64  # images whose sizes are looked at
CLASSES_FILE = "classes.txt"


def resize_mask(mask: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    """A mask (h, w) at another size (H, W); each pixel takes the class of the nearest one.

    Examples
    --------
    >>> resize_mask(np.array([[0, 1], [2, 3]]), (1, 4))
    array([[0, 0, 1, 1]])
    """
    places = [((np.arange(new) + 0.5) * old / new - 1e-9).astype(np.int64) for old, new in zip(mask.shape, size)]
    return mask[np.ix_(*places)]


class SegmentationData:
    """Images and their masks; made by ``read_segmentation``.

    Attributes
    ----------
    pictures : the images as ``Data``, at the network's size
    masks : the given masks as they are, or None; see ``mask``
    given : (N, H, W) uint8, the masks at the network's size, ``IGNORE`` where there is no class; None without masks
    classes : the K names
    size : (H, W) of the network's images
    notes : how they were read, in sentences
    """

    kind = "image"
    label_name: str | None = None

    def __init__(
        self,
        pictures: Data,
        masks: Stack | None,
        places: NDArray[np.int64] | None,
        *,
        classes: Sequence[Any],
        ignore: int,
        reading: dict[str, Any],
        notes: list[str],
    ) -> None:
        self.pictures = pictures
        self.masks = masks
        self._places = places
        self.classes = [str(c) for c in classes]
        self.ignore = ignore
        self.reading = reading
        self.notes = notes
        self.given: NDArray[np.uint8] | None = None
        self.proposed: Any = None  # from a position to the proposed mask, once there is one: ``preview`` shows it
        shape = pictures.images.shape if pictures.images is not None else None
        if shape is None:
            raise DataError(f"{pictures.source} holds no images that could be read.")
        self.size = (int(shape[1]), int(shape[2]))

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def rows(self) -> NDArray[np.int64]:
        """(N,) the images' numbers in the source."""
        return self.pictures.rows

    @property
    def images(self) -> Any:
        """The images, known by number."""
        return self.pictures.images

    @property
    def source(self) -> str:
        """Where the images come from."""
        return self.pictures.source

    @property
    def names(self) -> list[str]:
        """The name of each image: its path below the source, or its number."""
        if self.pictures.table is not None:
            return [str(self.pictures.table["file"][int(row)].as_py()) for row in self.rows]
        return [str(int(row)) for row in self.rows]

    def mask_name(self, position: int) -> str:
        """The file of an image's given mask; empty where it has none."""
        if self.masks is None or self._places is None or self._places[position] < 0:
            return ""
        folder = Path(self.masks.source).expanduser()
        name = self.masks.names[int(self._places[position])]
        return str(folder / name) if folder.is_dir() else name

    def mask_places(self) -> NDArray[np.int64]:
        """(N,) the number of each image's mask among the masks, -1 where it has none."""
        return np.full(len(self), -1, dtype=np.int64) if self._places is None else self._places

    def full_size(self, position: int) -> tuple[int, int]:
        """(H, W) of an image as it is in the source."""
        if self.images.given:
            return self.size
        with open_image(self.images.source(int(self.rows[position]))) as picture:
            return picture.height, picture.width

    def mask(self, position: int) -> NDArray[np.uint8]:
        """The given mask of an image at its own size, ``IGNORE`` where there is no class.

        Raises
        ------
        DataError
            where it has another size than the image, or a number that is no class
        """
        if self.masks is None or self._places is None or self._places[position] < 0:
            return np.full(self.full_size(position), IGNORE, dtype=np.uint8)
        mask = self.masks[int(self._places[position])]
        size, name = self.full_size(position), self.masks.names[int(self._places[position])]
        if mask.shape != size:
            raise DataError(
                f"The mask {name} has {mask.shape[1]} x {mask.shape[0]} pixels, its image {size[1]} x {size[0]}. "
                "A mask must have the size of its image."
            )
        void = mask == self.ignore
        most = len(self.classes) or MOST_CLASSES
        odd = ~void & ((mask < 0) | (mask >= most))
        if odd.any():
            y, x = np.argwhere(odd)[0].tolist()
            todo = "Name all classes" if self.classes else f"Number the classes from 0 on, {MOST_CLASSES} at most"
            raise DataError(
                f"The mask {name} holds {mask[y, x]} at pixel ({x}, {y}), and the classes are 0 to {most - 1}; "
                f"{self.ignore} stands for none. {todo}, or say with ignore= which number means none."
            )
        return np.where(void, IGNORE, mask).astype(np.uint8)

    def every_mask(self) -> Iterator[NDArray[np.uint8]]:
        """The given masks at their own sizes, read by threads, in the order of the images."""
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            yield from pool.map(self.mask, range(len(self)))

    def require_masks(self) -> NDArray[np.uint8]:
        """(N, H, W) the given masks at the network's size.

        Raises
        ------
        DataError
            where there are none
        """
        if self.given is None:
            raise DataError(
                f"{self.source} was read without masks. Say where they are: label='masks/' (--label masks/ on the "
                "command line)."
            )
        return self.given

    @property
    def origin(self) -> dict[str, Any]:
        """What a ledger notes to find the data again."""
        found = dict(self.pictures.origin)
        found.pop("reading", None)
        if self.masks is not None:
            found["label"] = self.masks.source
        return found

    def describe(self) -> list[str]:
        """How the data were read, in plain sentences, for people to check."""
        height, width = self.size
        lines = [f"{self.source}: {len(self):,} images, brought to {width} x {height} pixels for the network."]
        if self.masks is not None:
            shown = ", ".join(self.classes[:12]) + (", ..." if len(self.classes) > 12 else "")
            lines.append(f"Masks: {self.masks.source}, {len(self.classes)} classes: {shown}. {self.ignore} is none.")
        return [*lines, *self.notes]

    def preview(self, position: int) -> Preview:
        """A look at one image; where a mask is given or proposed, with their outlines."""
        from errata.data.overlay import overlay_png

        name = self.names[position]
        if self.given is None:
            return Preview("image", png=self.images.thumbnail(int(self.rows[position]), 256), row={"file": name})
        proposed = None if self.proposed is None else self.proposed(position)
        png = overlay_png(self.pixels(position), self.given[position], proposed, self.classes)
        return Preview("image", png=png, row={"file": name})

    def pixels(self, position: int) -> NDArray[np.uint8]:
        """(H, W, 3) an image at the network's size, to look at."""
        found = self.images.pixels(np.array([self.rows[position]]))
        if found is None:
            found = np.asarray(self.images.dataset(np.array([self.rows[position]]), self.images.shape)[0])[None]
        image = found[0]
        if image.dtype != np.uint8:
            low, high = float(image.min()), float(image.max())
            image = ((image - low) / ((high - low) or 1.0) * 255).astype(np.uint8)
        return np.ascontiguousarray(np.broadcast_to(image[:3], (3, *image.shape[1:])).transpose(1, 2, 0))


def read_segmentation(
    source: Any,
    label: Any = None,
    *,
    classes: Any = None,
    ignore: int = IGNORE,
    image_size: int | Sequence[int] | None = None,
    unreadable: str = "error",
) -> SegmentationData:
    """Read images, and their masks where they are named.

    Parameters
    ----------
    source : a folder of images; an array (N, C, H, W) or (N, H, W, C); or ``Data`` of images
    label : the masks: a folder of ``.png`` or ``.npy`` files named as the images are (the endings may differ); for
        arrays of images an array (N, H, W), a list of (H, W), or a ``.npy`` file; None or False for none
    classes : the K names in the order of their numbers, or a text file with one in each line; by default the file
        ``classes.txt`` in the folder of masks or the one above, else numbers
    ignore : the number of pixels that belong to no class
    image_size : pixels of the longer side for the network, or (height, width); by default 128 at most. Masks, and
        predictions, keep the images' own sizes.
    unreadable : "error", or "skip" images that can't be decoded

    Raises
    ------
    DataError
        where images and masks don't fit each other, hold numbers that are no classes, or one class alone

    Examples
    --------
    >>> images = np.zeros((2, 3, 8, 8), dtype=np.uint8)
    >>> masks = np.zeros((2, 8, 8), dtype=np.uint8)
    >>> masks[1, :4] = 1
    >>> data = read_segmentation(images, masks, classes=["road", "sky"])
    >>> len(data), data.classes, data.size
    (2, ['road', 'sky'], (8, 8))
    """
    if isinstance(source, SegmentationData):
        return source
    if not 0 <= int(ignore) <= 2**31:
        raise ParameterError(f"ignore must be a whole number, 0 or more; got {ignore!r}.")
    asked = _size(source, image_size)
    pictures = source if isinstance(source, Data) else read(source, False, image_size=asked, unreadable=unreadable)
    if pictures.kind != "image":
        raise DataError(f"{pictures.source} holds no images (its kind is '{pictures.kind}'); masks need images.")
    given = {"ignore": ignore, "image_size": image_size, "unreadable": unreadable}
    usual = {"ignore": IGNORE, "image_size": None, "unreadable": "error"}
    reading = {name: value for name, value in given.items() if value != usual[name]}
    if label is None or label is False:
        return SegmentationData(
            pictures, None, None, classes=[], ignore=ignore, reading=reading, notes=list(pictures.notes)
        )
    masks = open_masks(label)
    names, notes = _names(classes, label)
    data = SegmentationData(
        pictures, masks, None, classes=names or [], ignore=ignore, reading=reading, notes=[*pictures.notes, *notes]
    )
    data._places = _match(data, masks, data.notes)
    _take_masks(data, names)
    return data


def _take_masks(data: SegmentationData, names: list[str] | None) -> None:
    """Read all masks once: check them, count their classes, keep them at the network's size."""
    given = np.full((len(data), *data.size), IGNORE, dtype=np.uint8)
    counts = np.zeros(256, dtype=np.int64)
    for position, mask in enumerate(data.every_mask()):
        counts += np.bincount(mask.ravel(), minlength=256)
        given[position] = resize_mask(mask, data.size)
    occur = np.flatnonzero(counts[:IGNORE])
    source = data.masks.source if data.masks is not None else ""
    if len(occur) < 2:
        only = "no class at all" if not len(occur) else f"the class {occur[0]} alone"
        black_and_white = (
            ""
            if not counts[IGNORE] or data.ignore != IGNORE
            else (f" {IGNORE} stands for none: masks in black and white, 0 and {IGNORE}, must be numbered 0 and 1.")
        )
        raise DataError(f"The masks in {source} hold {only}; there is nothing to tell apart.{black_and_white}")
    data.given = given
    if names is None:
        data.classes = [str(c) for c in range(int(occur.max()) + 1)]
    absent = [name for c, name in enumerate(data.classes) if not counts[c]]
    if absent:
        data.notes.append(f"Classes without a single pixel: {', '.join(absent[:12])}.")


def _names(classes: Any, label: Any) -> tuple[list[str] | None, list[str]]:
    """The class names, and a sentence where they were found in a file."""
    notes: list[str] = []
    if classes is None and isinstance(label, (str, os.PathLike)) and Path(label).expanduser().is_dir():
        folder = Path(label).expanduser()
        classes = next((f for f in (folder / CLASSES_FILE, folder.resolve().parent / CLASSES_FILE) if f.exists()), None)
        if classes is not None:
            notes.append(f"The class names are those of {classes}.")
    if classes is None:
        return None, notes
    if isinstance(classes, (str, os.PathLike)):
        file = Path(classes).expanduser()
        try:
            classes = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} can't be read as class names, one in each line: {error}.") from error
    names = [str(c) for c in classes]
    if not 2 <= len(names) <= MOST_CLASSES or len(set(names)) < len(names):
        raise DataError(f"Expected 2 to {MOST_CLASSES} different class names; got {len(names)}: {names[:8]}.")
    return names, notes


def _match(data: SegmentationData, masks: Stack, notes: list[str]) -> NDArray[np.int64]:
    """(N,) which mask belongs to each image, -1 for none."""
    if not Path(masks.source).expanduser().is_dir():
        if len(masks) != len(data):
            raise DataError(f"There are {len(masks):,} masks and {len(data):,} images; give one for each, in order.")
        return np.arange(len(data))
    stems: dict[str, int] = {}
    for number, name in enumerate(masks.names):
        if stems.setdefault(Path(name).stem, number) != number:
            raise DataError(f"{masks.source} has two masks named {Path(name).stem}; keep one of them.")
    wanted = [Path(name).stem for name in data.names]
    places = np.array([stems.get(stem, -1) for stem in wanted], dtype=np.int64)
    if (places < 0).all():
        raise DataError(
            f"None of the {len(masks):,} masks in {masks.source} is named as an image in {data.source}: expected "
            f"'{wanted[0]}' with .png or .npy, found '{masks.names[0]}'. Name the masks as the images."
        )
    twice = len(wanted) - len(set(wanted))
    if twice:
        raise DataError(f"{twice:,} images in {data.source} have the name of another one; masks can't be told apart.")
    bare = [data.names[i] for i in np.flatnonzero(places < 0)]
    if bare:
        notes.append(f"{len(bare):,} images have no mask and are not learned from, such as {bare[0]}.")
    left = len(masks) - int((places >= 0).sum())
    if left:
        notes.append(f"{left:,} masks have no image and are left out.")
    return places


def _size(source: Any, image_size: int | Sequence[int] | None) -> Any:
    """(height, width) for the network; None leaves arrays as they are."""
    if isinstance(image_size, (list, tuple, np.ndarray)):
        return [int(side) for side in image_size]
    if image_size is not None and (not isinstance(image_size, int) or image_size < 8):
        raise ParameterError(f"image_size must be 8 or more pixels, or (height, width); got {image_size!r}.")
    if not isinstance(source, (str, os.PathLike)) or not Path(source).expanduser().is_dir():
        return None if image_size is None else int(image_size)
    files = [f for f in sorted(Path(source).expanduser().rglob("*")) if f.suffix.lower() in EXTENSIONS]
    sizes = []
    for file in files[:: max(1, len(files) // SAMPLE)]:
        try:
            with Image.open(file) as picture:
                sizes.append((picture.height, picture.width))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # ``read`` says what is wrong with it
    if not sizes:
        return None
    height, width = np.median(np.array(sizes), axis=0)
    longest = max(height, width)
    scale = (min(LONGEST, longest) if image_size is None else image_size) / longest
    return [max(8, round(height * scale)), max(8, round(width * scale))]
