"""Correcting masks: a folder of pictures or arrays, of which only the changed ones are written anew, or one array."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from errata.correct.itemwise import GONE, ItemSource
from errata.correct.source import Difference
from errata.data.masks import open_masks
from errata.errors import DataError

__all__ = ["MaskArray", "MaskFolder"]


class MaskFolder(ItemSource):
    """A folder with a picture or an array for each image.

    Parameters
    ----------
    path : the folder
    """

    label = "masks"

    def again(self, out: Path) -> Any:
        return open_masks(out)

    def write(self, edits: Mapping[int, Any], out: Path | None, differences: list[Difference] | None) -> None:
        names = self.labels.names
        written = {
            names[place]: None if label is GONE else self._content(self.path / names[place], label)
            for place, label in edits.items()
        }
        if out is None:
            return
        shutil.copytree(self.path, out)
        for name, content in written.items():
            if content is None:
                (out / name).unlink()
            else:
                (out / name).write_bytes(content)

    def _content(self, file: Path, mask: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        if file.suffix.lower() == ".npy":
            np.save(buffer, _typed(mask, np.load(file, allow_pickle=False).dtype, file))
            return buffer.getvalue()
        from PIL import Image

        with Image.open(file) as old:
            old.load()
            kind, mode, about = old.format, old.mode, {k: old.info[k] for k in ("dpi", "transparency") if k in old.info}
            palette = old.getpalette() if mode == "P" else None
            new = Image.fromarray(_typed(mask, np.asarray(old).dtype, file))
        if mode == "P":
            new = new.convert("L") if new.mode != "L" else new
            new.putpalette(palette or [])
        elif mode == "1":
            new = new.convert("1")
        new.save(buffer, kind, **about)
        return buffer.getvalue()


def _typed(mask: np.ndarray, dtype: Any, where: Path) -> np.ndarray:
    """A mask in the type of its file."""
    typed = mask.astype(dtype)
    if not (typed == mask).all():
        raise DataError(f"{where} holds {dtype}, in which the classes {mask.min()} to {mask.max()} have no room.")
    return typed


class MaskArray(ItemSource):
    """A ``.npy`` file of (N, H, W); parameters as of ``MaskFolder``."""

    label = "masks"

    def again(self, out: Path) -> Any:
        return open_masks(out)

    def write(self, edits: Mapping[int, Any], out: Path | None, differences: list[Difference] | None) -> None:
        old = np.load(self.path, mmap_mode="r", allow_pickle=False)
        kept = [place for place in range(len(old)) if edits.get(place) is not GONE]
        new = {p: _typed(label, old.dtype, self.path) for p, label in edits.items() if label is not GONE}
        if out is None:
            return
        with open(out, "wb") as file:
            shape = (len(kept), *old.shape[1:])
            np.lib.format.write_array_header_1_0(
                file, {"descr": np.lib.format.dtype_to_descr(old.dtype), "fortran_order": False, "shape": shape}
            )
            for place in kept:
                file.write(np.ascontiguousarray(new.get(place, old[place])).tobytes())
