"""What a training has seen of every pixel: the last prediction, how sure it was, and the belief in the given class.

Three small numbers per pixel in place of the probabilities of all classes. In memory they lie in the checkpoint; in a
folder there are two copies that take turns by epochs, so that the epoch before a checkpoint is whole whenever a run is
killed, and the interrupted epoch can be repeated from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errata.errors import LoadError
from errata.parts.distributed import gather_rows, world_size
from errata.parts.kept import Kept
from errata.storage import make_folder

__all__ = ["PixelEvidence"]

_FIELDS = {"best": torch.uint8, "top": torch.float16, "own": torch.float16}


class PixelEvidence(Kept):
    """For each pixel: ``best``, the class predicted last; ``top``, its probability; ``own``, the mean probability of
    the given class over all visits.

    Parameters
    ----------
    num_samples : N
    folder : where it lies; None keeps it in memory, and with it in the checkpoint
    size : (H, W), where it is known

    Examples
    --------
    >>> evidence = PixelEvidence(2)
    >>> probabilities = torch.tensor([0.25, 0.75]).view(1, 2, 1, 1)
    >>> evidence.observe(torch.tensor([1]), probabilities, torch.zeros(1, 1, 1, dtype=torch.int64), epoch=0)
    >>> {name: float(values) for name, values in evidence.read([1]).items()}
    {'best': 1.0, 'top': 0.75, 'own': 0.25}
    """

    def __init__(self, num_samples: int, folder: str | Path | None = None, size: tuple[int, int] | None = None) -> None:
        super().__init__(
            visits=torch.zeros(num_samples, dtype=torch.int32), epoch=torch.full((), -1, dtype=torch.int64)
        )
        self.num_samples = int(num_samples)
        self.folder = None if folder is None else Path(folder)
        self._maps: dict[str, Tensor] = {}
        if self.folder is None:
            self._allocate((0, 0) if size is None else size)
        elif size is not None and not (self.folder / "own.npy").exists():
            self._create(size)
        else:
            self._map()

    @property
    def epoch(self) -> int:
        """The last epoch of which anything was seen, from 0; -1 before."""
        return int(self["epoch"])

    @property
    def seen(self) -> Tensor:
        """(N,) bool, the images of which anything is known."""
        return self["visits"] > 0

    def observe(self, rows: Tensor, probabilities: Tensor, given: Tensor, epoch: int) -> None:
        """Take in a prediction of some images; to be called on all ranks at the same step.

        Parameters
        ----------
        rows : (B,)
        probabilities : (B, C, H, W)
        given : (B, H, W) the given masks; what is no class (ignored pixels) counts as believed
        epoch : the current one, from 0
        """
        top, best = probabilities.detach().max(1)
        classes = probabilities.shape[1]
        labelled = (given >= 0) & (given < classes)
        own = (
            probabilities.detach()
            .gather(1, given.long().clamp(0, classes - 1)[:, None])[:, 0]
            .masked_fill(~labelled, 1.0)
        )
        fresh = {"best": best.to(torch.uint8), "top": top.half(), "own": own.half()}
        if self.folder is None and world_size() > 1:
            rows, *values = gather_rows(rows, *fresh.values())
            fresh = dict(zip(fresh, values))
        self._write(rows.cpu(), {name: values.cpu() for name, values in fresh.items()}, epoch)

    def _write(self, rows: Tensor, fresh: dict[str, Tensor], epoch: int) -> None:
        if self.folder is None and self._array("own").shape[-1] == 0:
            self._allocate((int(fresh["own"].shape[1]), int(fresh["own"].shape[2])))
        here, before = self._slot(epoch), self._slot(self.epoch if epoch != self.epoch else epoch - 1)
        count = self["visits"][rows].view(-1, 1, 1).float()
        old = self._array("own")[before, rows].float()
        mean = old + (fresh["own"].float() - old) / (count + 1)
        self._array("own")[here, rows] = mean.half()
        for name in ("best", "top"):
            self._array(name)[here, rows] = fresh[name]
        self["visits"][rows] += 1
        self["epoch"] = torch.tensor(epoch)

    def read(self, rows: Any) -> dict[str, Tensor]:
        """What is known of some images: (B,) -> ``best`` uint8, ``top`` and ``own`` float32, (B, H, W) each."""
        index = torch.as_tensor(np.asarray(rows.cpu() if isinstance(rows, Tensor) else rows, dtype=np.int64))
        found = {name: self._array(name)[self._slot(self.epoch), index] for name in _FIELDS}
        return {name: values.float() if values.is_floating_point() else values for name, values in found.items()}

    # -- where it lies ------------------------------------------------------------------------------------------------

    def _slot(self, epoch: int) -> int:
        return 0 if self.folder is None else epoch % 2

    def _array(self, name: str) -> Tensor:
        return self[name] if self.folder is None else self._maps[name]

    def _allocate(self, size: tuple[int, int]) -> None:
        for name, kind in _FIELDS.items():
            self[name] = torch.zeros(1, self.num_samples, *size, dtype=kind)

    def _create(self, size: tuple[int, int]) -> None:
        folder = make_folder(Path(str(self.folder)))
        for name, kind in _FIELDS.items():
            numbers = np.uint8 if kind == torch.uint8 else np.float16
            shape = (2, self.num_samples, *size)
            np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=numbers, shape=shape).flush()
        self._map()

    def _map(self) -> None:
        for name in _FIELDS:
            file = Path(str(self.folder)) / f"{name}.npy"
            try:
                array = np.lib.format.open_memmap(file, mode="r+")
            except (OSError, ValueError) as error:
                raise LoadError(f"{file} is damaged or missing ({error}). Train into another folder.") from error
            if array.ndim != 4 or array.shape[:2] != (2, self.num_samples):
                raise LoadError(f"{file} holds {array.shape}, of another training. Train into another folder.")
            self._maps[name] = torch.from_numpy(array)

    # -- as a module --------------------------------------------------------------------------------------------------

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        return self  # it stays on the CPU, as masks do

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        if len(self["visits"]) != self.num_samples:
            raise LoadError(
                f"The checkpoint is of {len(self['visits'])} images, this system is made for {self.num_samples}."
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.folder is not None:
            self._map()
