"""The network that judges masks where the user brings none: a small U-Net, trained anew for each fold of images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from errata import systems
from errata.audit.folds import digest_of
from errata.audit.networks import Told
from errata.data.segmentation import SegmentationData
from errata.engine.evaluation import iterate_probabilities
from errata.engine.fit import check_settings, fit, resolve_device
from errata.engine.precision import resolve_precision
from errata.engine.randomness import mixed_seed
from errata.engine.segmentation import encode, prepare
from errata.engine.segmentation_run import AT_ONCE

__all__ = ["PixelFolds"]

STEPS = 300
"""Steps of a fold's training, about: enough to know the classes, too few to learn masks by heart."""
BATCH = 8
FEWEST_EPOCHS = 8
SETTINGS = {"optimizer": "adam", "lr": 3e-3, "scheduler": "cosine"}


class PixelFolds:
    """Trains a network for masks on the images of all folds but one, and predicts those of that one.

    Parameters
    ----------
    data : images with masks
    model : "auto" or "unet", or a network of your own (images to logits (B, K, H, W)), copied for each fold
    epochs, batch_size : by default batches of 8 images, and 300 steps or 8 epochs, whichever is more
    settings : hyper-parameters of plain training: ``lr``, ``optimizer``, ``weight_decay`` ...
    seed, device, precision : as in ``errata.train``
    """

    def __init__(
        self,
        data: SegmentationData,
        model: str | nn.Module = "auto",
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str = "auto",
        precision: str | int | None = None,
    ) -> None:
        check_settings(1 if epochs is None else epochs, device, 1, precision, False, None)
        self.data, self.model, self.seed, self.device = data, model, seed, device
        self.kind = systems.load("seg-ce")
        self.precision = precision
        self.batch_size, self.settings = batch_size or BATCH, {**SETTINGS, **(settings or {})}
        self.encoder, self.inputs = encode(data)
        self.asked = epochs
        name = model if isinstance(model, str) else type(model).__name__
        self.description = "a small U-Net" if name in ("auto", "unet") else f"a network ({name})"

    def fingerprint(self) -> str:
        """Changes with the images, the network and the settings of its training."""
        weights: list[Any] = []
        if isinstance(self.model, nn.Module):
            weights = [repr(self.model)]
            weights += [np.atleast_1d(value.detach().cpu().numpy()) for value in self.model.state_dict().values()]
        inputs = self.inputs.numpy() if isinstance(self.inputs, Tensor) else self.inputs
        told = [sorted(self.settings.items()), self.batch_size, self.asked, self.seed, self.precision]
        return digest_of(inputs, repr(told), *weights)

    def train(self, train: NDArray[np.int64], fold: int, folder: str, advance: Callable[[float], None]) -> Any:
        """The system after training on the images ``train``; what it remembers of pixels lies in ``folder``."""
        steps = -(-len(train) // self.batch_size)
        epochs = self.asked or max(FEWEST_EPOCHS, round(STEPS / steps))
        model = copy.deepcopy(self.model) if isinstance(self.model, nn.Module) else self.model
        seed = mixed_seed(self.seed, fold)
        task = prepare(
            self.data,
            self.kind,
            model,
            self.settings,
            epochs,
            self.batch_size,
            0.0,
            True,
            seed,
            among=train,
            encoded=(self.encoder, self.inputs),
        )
        task.system.keep_in(folder, self.data.size)
        batches = Told(task.batches, lambda: advance(1.0 / (epochs * len(task.batches))))
        fit(
            task.system,
            batches,
            epochs=epochs,
            seed=seed,
            device=self.device,
            precision=self.precision,
            progress=False,
        )
        return task.system

    def predict(self, system: Any, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The first place and (B, K, H, W) probabilities of some images, each seen both ways round."""
        device = resolve_device(self.device)
        precision = resolve_precision(self.precision, device, system.model)
        seen = _BothWays(self.inputs, rows)
        for start, some in iterate_probabilities(system, seen, AT_ONCE, device, precision):
            yield start // 2, (some[::2] + some[1::2, ..., ::-1]) / 2


class _BothWays:
    """Inputs, each followed by its mirror image."""

    def __init__(self, inputs: Any, rows: NDArray[np.int64]) -> None:
        self.inputs, self.rows = inputs, rows
        self._last: tuple[int, Tensor] | None = None  # so that a picture is decoded once

    def __len__(self) -> int:
        return 2 * len(self.rows)

    def __getitem__(self, number: int) -> Tensor:
        row = int(self.rows[number // 2])
        if self._last is None or self._last[0] != row:
            one = self.inputs[row]
            self._last = row, one if isinstance(one, Tensor) else torch.from_numpy(np.array(one))
        return self._last[1].flip(-1) if number % 2 else self._last[1]
