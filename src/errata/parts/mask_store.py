"""Masks that a training may change: the originals stay, every change can be taken back, a killed run loses nothing.

In memory the masks lie in the checkpoint. In a folder they are memory-mapped files, and the checkpoint holds only the
number of the revision that it belongs to: when it is loaded, the store goes back (or forward) to that revision.

    given.npy     (N, H, W) uint8, never changed
    current.npy   (N, H, W) uint8, as corrected
    history/      what each revision changed: image, pixel, old and new class
    state.json    which revision ``current.npy`` is at, and which it is on the way to
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from errata.errors import DataError, LoadError, ParameterError
from errata.parts.distributed import gather_rows, rank, world_size
from errata.parts.kept import Kept
from errata.storage import atomic, make_folder, write_json

__all__ = ["MaskStore", "Revision"]

FORMAT = 1
_LOG = ("image", "place", "old", "new")
_TYPES = {"image": torch.int32, "place": torch.int32, "old": torch.uint8, "new": torch.uint8}


class Revision:
    """A change of masks in the making: nothing of it is in force before it is whole.

    Parameters
    ----------
    store : the store that it is of
    """

    def __init__(self, store: MaskStore) -> None:
        self._store = store
        self._pieces: dict[str, list[NDArray[Any]]] = {name: [] for name in _LOG}

    def put(self, rows: Any, masks: Any) -> int:
        """Note the new masks (B, H, W) of some images (B,); returns how many pixels differ from the current ones."""
        rows = _numbers(rows)
        new = np.asarray(masks.cpu() if isinstance(masks, Tensor) else masks).astype(np.uint8)
        old = self._store.current(rows).numpy()
        image, y, x = np.nonzero(new != old)
        found = {
            "image": rows[image],
            "place": y * new.shape[2] + x,
            "old": old[image, y, x],
            "new": new[image, y, x],
        }
        for name, values in found.items():
            self._pieces[name].append(values)
        return len(image)

    def changes(self) -> dict[str, Tensor]:
        """All that was noted, pixel by pixel."""
        joined = {name: np.concatenate(pieces) if pieces else np.zeros(0) for name, pieces in self._pieces.items()}
        return {name: torch.as_tensor(joined[name].astype(np.int64)).to(_TYPES[name]) for name in _LOG}


class MaskStore(Kept):
    """The masks of a training set, with their originals and the history of their changes.

    Parameters
    ----------
    num_samples : N
    folder : where the masks lie; None keeps them in memory, and with it in the checkpoint
    size : (H, W), where it is known; else of the first masks that are remembered

    Examples
    --------
    >>> store = MaskStore(2)
    >>> rows, masks = torch.tensor([0, 1]), torch.zeros(2, 2, 3, dtype=torch.uint8)
    >>> _ = store.remember(rows, masks)
    >>> masks[1, 0, 2] = 7
    >>> with store.revision() as revision:
    ...     _ = revision.put(rows, masks)
    >>> store.generation, store.current([1])[0].tolist(), store.given([1])[0].tolist()
    (1, [[0, 0, 7], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]])
    >>> store.restore(0)
    >>> int(store.current([1]).sum())
    0
    """

    def __init__(self, num_samples: int, folder: str | Path | None = None, size: tuple[int, int] | None = None) -> None:
        super().__init__(generation=torch.zeros((), dtype=torch.int64))
        if int(num_samples) != num_samples or num_samples < 1:
            raise ParameterError(f"num_samples must be a whole number, 1 or more; got {num_samples!r}.")
        self.num_samples = int(num_samples)
        self.folder = None if folder is None else Path(folder)
        self._maps: dict[str, Tensor] = {}
        self._files: list[Any] = []
        if self.folder is None:
            self["known"] = torch.zeros(self.num_samples, dtype=torch.bool)
            self["ends"] = torch.zeros(0, dtype=torch.int64)
            for name in _LOG:
                self[name] = torch.zeros(0, dtype=_TYPES[name])
            self._allocate((0, 0) if size is None else size)
        elif (self.folder / "state.json").exists():
            self._open()
        elif size is None:
            raise ParameterError("A mask store in a folder needs to know the masks' size: size=(H, W).")
        else:
            self._create(size)

    # -- reading ------------------------------------------------------------------------------------------------------

    @property
    def size(self) -> tuple[int, int]:
        """(H, W); (0, 0) before anything is remembered."""
        shape = self._array("given").shape
        return int(shape[1]), int(shape[2])

    @property
    def generation(self) -> int:
        """How many revisions the current masks are away from the given ones."""
        return int(self["generation"])

    def given(self, rows: Any) -> Tensor:
        """The original masks of some images: (B,) -> (B, H, W) uint8, on the CPU."""
        return self._rows("given", rows)

    def current(self, rows: Any) -> Tensor:
        """The masks of some images as they stand: (B,) -> (B, H, W) uint8, on the CPU."""
        return self._rows("current", rows)

    def history(self) -> list[dict[str, int]]:
        """For each revision in force: its number, the images and the pixels that it changed."""
        found = []
        for number in range(1, self.generation + 1):
            change = self._change(number)
            images = int(torch.unique(change["image"]).numel())
            found.append({"generation": number, "images": images, "pixels": len(change["image"])})
        return found

    # -- writing ------------------------------------------------------------------------------------------------------

    def remember(self, rows: Any, masks: Tensor) -> Tensor:
        """Take the given masks (B, H, W) of images seen for the first time; returns the current ones (B, H, W).

        To be called on all ranks at the same step.

        Raises
        ------
        DataError
            where an image comes with another mask than before, for then nothing can be corrected
        """
        asked = torch.as_tensor(_numbers(rows))
        if self.folder is None and world_size() > 1:
            rows, masks = gather_rows(rows, masks.to(torch.uint8))
        own, index = masks.to(torch.uint8).cpu(), torch.as_tensor(_numbers(rows))
        known = self._array("known")[index]
        if self.folder is None and self.size == (0, 0):
            self._allocate((int(own.shape[1]), int(own.shape[2])))
        if tuple(own.shape[1:]) != self.size:
            raise DataError(f"Expected masks of {self.size} pixels, as the first ones; got {tuple(own.shape[1:])}.")
        if not bool(known.all()):
            new = index[~known]
            for name in ("given", "current"):
                self._array(name)[new] = own[~known]
            self._array("known")[new] = True
        other = (self._array("given")[index] != own).flatten(1).any(1)
        if bool(other.any()):
            raise DataError(
                f"The mask of image {int(index[other][0])} is not the one that it came with before. A system that "
                "corrects masks must be given the same masks in every epoch; change images and masks by its views."
            )
        return self._array("current")[asked]

    def fill(self, masks: Iterator[Any] | Any) -> None:
        """Take all given masks, (H, W) one by one, in the order of the images; for a store in a folder that is new."""
        if bool(self._array("known").all()):
            return
        for row, mask in enumerate(masks):
            for name in ("given", "current"):
                self._array(name)[row] = torch.as_tensor(np.asarray(mask).astype(np.uint8))
        self._array("known")[:] = True
        self._flush()

    @contextlib.contextmanager
    def revision(self) -> Iterator[Revision]:
        """Collect new masks, and put them in force together when the block ends well; on all ranks alike."""
        begun = Revision(self)
        yield begun
        change = begun.changes()
        if self.folder is None:
            self._truncate(self.generation)
            for name in _LOG:
                self[name] = torch.cat([self[name], change[name]])
            self["ends"] = torch.cat([self["ends"], torch.tensor([len(self["image"])])])
            self._move(self.generation + 1)
            return
        if rank() == 0:
            arrays: dict[str, Any] = {name: values.numpy() for name, values in change.items()}
            self._truncate(self.generation)
            with atomic(self._file(self.generation + 1)) as temporary, open(temporary, "wb") as file:
                np.savez_compressed(file, **arrays)
            self._move(self.generation + 1)
        self._after_rank_zero(self.generation + (rank() != 0))

    def undo(self) -> None:
        """Take the last revision back; ``restore`` can bring it again until another one is made."""
        self.restore(max(0, self.generation - 1))

    def restore(self, generation: int) -> None:
        """Bring the masks to the state after so many revisions; 0 are the given masks.

        Raises
        ------
        LoadError
            where there have never been so many
        """
        if not 0 <= generation <= self._latest():
            raise LoadError(
                f"The masks have {self._latest()} revisions, and revision {generation} was asked for: the mask store "
                f"{self.folder or 'in memory'} belongs to another training."
            )
        if generation == self.generation:
            return
        if self.folder is None or rank() == 0:
            self._move(generation)
        if self.folder is not None:
            self._after_rank_zero(generation)

    def _after_rank_zero(self, generation: int) -> None:
        if world_size() > 1:
            torch.distributed.barrier()
            self["generation"] = torch.tensor(generation)

    def _move(self, target: int) -> None:
        """Go from revision to revision. A step sets pixels to fixed values, so a broken-off move can be repeated."""
        here = self.generation
        self._tell(here, target)
        down = target < here
        for number in range(here, target, -1) if down else range(here + 1, target + 1):
            change = self._change(number)
            flat = self._array("current").view(self.num_samples, -1)
            flat[change["image"].long(), change["place"].long()] = change["old" if down else "new"]
        self._flush()
        self["generation"] = torch.tensor(target)
        self._tell(target, target)

    # -- where it lies ------------------------------------------------------------------------------------------------

    def _array(self, name: str) -> Tensor:
        return self._stored[name] if self.folder is None else self._maps[name]

    def _rows(self, name: str, rows: Any) -> Tensor:
        return self._array(name)[torch.as_tensor(_numbers(rows))]

    def _allocate(self, size: tuple[int, int]) -> None:
        for name in ("given", "current"):
            self[name] = torch.zeros(self.num_samples, *size, dtype=torch.uint8)

    def _create(self, size: tuple[int, int]) -> None:
        folder, shape = self._place(), (self.num_samples, *size)
        make_folder(folder / "history")
        for name in ("given", "current"):
            np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.uint8, shape=shape).flush()
        np.lib.format.open_memmap(folder / "known.npy", mode="w+", dtype=bool, shape=shape[:1]).flush()
        self._tell(0, 0)
        self._map()

    def _open(self) -> None:
        state = self._state()
        self._map()
        self["generation"] = torch.tensor(int(state["generation"]))
        if state["moving_to"] != state["generation"]:  # it was killed on the way; every step can be done twice
            self._move(int(state["moving_to"]))

    def _state(self) -> dict[str, Any]:
        file = self._place() / "state.json"
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
            if state["format"] > FORMAT or state["images"] != self.num_samples:
                raise LoadError(
                    f"The mask store {self.folder} holds {state['images']} images (format {state['format']}), and "
                    f"{self.num_samples} were expected: it belongs to another training."
                )
            return {"generation": int(state["generation"]), "moving_to": int(state["moving_to"])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, LoadError):
                raise
            raise LoadError(f"{file} is damaged: {error}. Train again into another folder.") from error

    def _map(self) -> None:
        try:
            for name in ("given", "current", "known"):
                array = np.lib.format.open_memmap(self._place() / f"{name}.npy", mode="r+")
                self._files.append(array)
                self._maps[name] = torch.from_numpy(array)
        except (OSError, ValueError) as error:
            raise LoadError(f"The mask store {self.folder} is damaged ({error}). Train into another folder.") from error

    def _place(self) -> Path:
        if self.folder is None:
            raise ParameterError("This mask store lies in memory.")
        return self.folder

    def _tell(self, generation: int, moving_to: int) -> None:
        if self.folder is not None:
            state = {"format": FORMAT, "images": self.num_samples, "generation": generation, "moving_to": moving_to}
            write_json(self.folder / "state.json", state)

    def _flush(self) -> None:
        for file in self._files:
            file.flush()

    def _file(self, number: int) -> Path:
        return self._place() / "history" / f"{number:06d}.npz"

    def _latest(self) -> int:
        if self.folder is None:
            return len(self["ends"])
        return max((int(f.stem) for f in (self.folder / "history").glob("*.npz")), default=0)

    def _change(self, number: int) -> dict[str, Tensor]:
        if self.folder is None:
            start = int(self["ends"][number - 2]) if number > 1 else 0
            return {name: self[name][start : int(self["ends"][number - 1])] for name in _LOG}
        try:
            with np.load(self._file(number), allow_pickle=False) as kept:
                return {name: torch.from_numpy(kept[name]) for name in _LOG}
        except (OSError, ValueError, KeyError) as error:
            raise LoadError(f"{self._file(number)}, a part of the masks' history, is damaged: {error}.") from error

    def _truncate(self, generation: int) -> None:
        """Forget revisions that were undone."""
        if self.folder is None:
            end = int(self["ends"][generation - 1]) if generation else 0
            self["ends"] = self["ends"][:generation]
            for name in _LOG:
                self[name] = self[name][:end]
            return
        for number in range(self._latest(), generation, -1):
            self._file(number).unlink()

    # -- as a module --------------------------------------------------------------------------------------------------

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        return self  # masks stay on the CPU: a set of images has more of them than a GPU has room

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        before = self.generation
        super()._load_from_state_dict(state_dict, prefix, *args)
        if self.folder is None:
            if len(self["given"]) != self.num_samples:
                raise LoadError(
                    f"The checkpoint holds the masks of {len(self['given'])} images, this system is made for "
                    f"{self.num_samples}: it was saved from other data."
                )
            return
        wanted = self.generation
        self["generation"] = torch.tensor(before)
        self.restore(wanted)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}, "_files": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.folder is not None:
            self._map()

    def extra_repr(self) -> str:
        return f"num_samples={self.num_samples}, folder={self.folder}"


def _numbers(rows: Any) -> NDArray[np.int64]:
    return np.asarray(rows.cpu() if isinstance(rows, Tensor) else rows, dtype=np.int64)
