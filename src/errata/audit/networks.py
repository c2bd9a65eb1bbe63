"""Cross-validating networks: plain training through the engine, once for each fold, from the same start."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from errata import models, systems
from errata.audit.folds import digest_of
from errata.data import encoder_for, loader, tokenizer_of
from errata.engine.evaluation import predict_proba
from errata.engine.fit import fit, resolve_device
from errata.engine.precision import check_precision, resolve_precision
from errata.engine.randomness import isolated_randomness, mixed_seed
from errata.engine.recipes import MODELS, recipe_for
from errata.engine.task import Renumbered
from errata.parts import Batch, System

__all__ = ["NetworkFolds", "QuickNetwork", "Told"]

VISITS = 320_000
"""Images seen in one fold, about: eight passes over 40,000, more over fewer, fewer over more."""

FEWEST_EPOCHS, MOST_EPOCHS = 2, 20
QUICK_SETTINGS = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "scheduler": "cosine"}
INNER_SIDE = 16  # pixels that the first layer leaves of a side, about
SMALLEST_SIDE = 4  # below, nothing is pooled any more


class QuickNetwork(nn.Sequential):
    """Four convolutions with batch normalisation on images made smaller by the first: what a CPU trains in minutes.

    Parameters
    ----------
    num_classes : K
    input_shape : (C, H, W), 8 pixels a side or more
    width : channels of the first layer; the last has four times as many

    Examples
    --------
    >>> QuickNetwork(10, (3, 32, 32))(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, num_classes: int, input_shape: tuple[int, ...], width: int = 32) -> None:
        side = min(input_shape[1:])
        stride = max(1, round(side / INNER_SIDE))
        side = side // stride
        layers: list[nn.Module] = [_convolution(input_shape[0], width, 3 if stride < 3 else stride | 1, stride)]
        for inner, outer in ((width, 2 * width), (2 * width, 4 * width), (4 * width, 4 * width)):
            layers.append(_convolution(inner, outer))
            if outer != inner and side > SMALLEST_SIDE:
                layers.append(nn.MaxPool2d(2))
                side //= 2
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, num_classes))


def _convolution(inner: int, outer: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, size, stride, size // 2, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)
    )


class NetworkFolds:
    """Trains a network on the training rows of a fold and predicts the others; a ``Predictor``.

    Parameters
    ----------
    data : with labels
    model : "auto", a name of ``errata.models``, or a network (inputs to logits (B, K)), copied for every fold: it must
        not have been trained on these labels
    epochs, batch_size : by default after the kind and amount of data
    settings : hyper-parameters of plain training: ``lr``, ``optimizer``, ``weight_decay`` ...
    seed, device, precision : as in ``errata.train``
    """

    def __init__(
        self,
        data: Any,
        model: str | nn.Module = "auto",
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str = "auto",
        precision: str | int | None = None,
    ) -> None:
        check_precision(precision)
        self.precision = precision
        self.kind = systems.load("ce")
        self.labels = data.require_labels()
        self.model, self.seed, self.device = model, seed, device
        self.keep_embeddings = False
        self.embeddings: np.ndarray | None = None  # (N, D), each fold's in the space of its own network
        self.encoder = encoder_for(data, **tokenizer_of(model, data)).fit(data)
        self.inputs = self.encoder.encode(data)
        self.mirrored = bool(getattr(self.encoder.views(), "flip", False))
        trained = max(1, round(0.8 * (len(self.labels) - self.labels.missing)))
        recipe = recipe_for(data.kind, trained, self.kind.hyperparameters())
        self.quick = data.kind == "image" and isinstance(model, str) and model == "auto"
        self.epochs = epochs or (_quick_epochs(trained) if self.quick else recipe.epochs)
        self.batch_size = batch_size or recipe.batch_size
        self.settings = {**(QUICK_SETTINGS if self.quick else recipe.settings), **(settings or {})}
        self.name = MODELS[data.kind] if isinstance(model, str) and model == "auto" else model
        self.set_epochs(self.epochs)

    def set_epochs(self, epochs: int) -> None:
        """Train for so many passes over the rows of a fold."""
        self.epochs = epochs
        passes = "1 epoch" if epochs == 1 else f"{epochs} epochs"
        what = "a small convolutional network" if self.quick else f"a network ({_name_of(self.name)})"
        self.description = f"{what}, {passes}"

    def fingerprint(self) -> str:
        """Changes with the data, the network and the settings of its training."""
        weights: list[Any] = []
        if isinstance(self.name, nn.Module):
            weights = [repr(self.name), *(value.detach().cpu().numpy() for value in self.name.state_dict().values())]
            weights = [np.atleast_1d(w) if isinstance(w, np.ndarray) else w for w in weights]
        inputs = self.inputs.numpy() if isinstance(self.inputs, Tensor) else self.inputs
        settings = repr(sorted(self.settings.items())), f"{self.batch_size} {self.seed} {self.precision}"
        return digest_of(inputs, *settings, *weights)

    def fit_predict(
        self, train: np.ndarray, test: np.ndarray, fold: int, advance: Callable[[float], None]
    ) -> np.ndarray:
        """See ``Predictor``."""
        system = self.train(train, fold, advance)
        if self.keep_embeddings:
            found = self.embed(system, test)
            if self.embeddings is None:
                self.embeddings = np.zeros((len(self.labels), found.shape[1]), dtype=np.float32)
            self.embeddings[test] = found
        return self.predict(system, test)

    def train(
        self,
        train: np.ndarray,
        fold: int,
        advance: Callable[[float], None],
        kind: Callable[..., Any] | None = None,
    ) -> Any:
        """The system after plain training on the rows ``train``; of another ``kind``, given what "ce" is given.

        Its sample i is row ``train[i]``.
        """
        codes = self.labels.codes
        with isolated_randomness(mixed_seed(self.seed, fold)):
            system = (kind or self.kind)(
                self._network(fold),
                len(self.labels.classes),
                len(train),
                views=self.encoder.views(),
                belief_topk=None if len(self.labels.classes) <= 100 else 10,
                **self.settings,
            )
        given = torch.from_numpy(np.ascontiguousarray(codes))
        batches = loader(
            self.inputs,
            given,
            index=train,
            batch_size=self.batch_size,
            seed=mixed_seed(self.seed, fold),
            workers=0 if isinstance(self.inputs, (Tensor, np.ndarray)) else min(8, os.cpu_count() or 1),
        )
        told = Told(Renumbered(batches, train, len(codes)), lambda: advance(1.0 / (self.epochs * len(batches))))
        fit(
            system,
            told,
            epochs=self.epochs,
            seed=mixed_seed(self.seed, fold),
            device=self.device,
            precision=self.precision,
            progress=False,
        )
        return system

    def embed(self, system: System, rows: np.ndarray) -> np.ndarray:
        """(R, D) float32: what the network's last linear layer gets to see of the rows, or else its outputs."""
        device = resolve_device(self.device)
        linear = [part for part in system.model.modules() if isinstance(part, nn.Linear)]
        seen: list[Tensor] = []
        hook = linear[-1].register_forward_pre_hook(lambda _, got: seen.append(got[0].flatten(1))) if linear else None
        parts, home, mode = [], system.device, system.training
        system.to(device).eval()
        try:
            with torch.no_grad():
                for start in range(0, len(rows), 512):
                    seen.clear()
                    outputs = system(self._inputs(rows[start : start + 512]).to(device)).flatten(1)
                    parts.append((seen[-1] if seen else outputs).float().cpu().numpy())
        finally:
            system.to(home).train(mode)
            if hook is not None:
                hook.remove()
        return np.concatenate(parts) if parts else np.empty((0, 1), dtype=np.float32)

    def _inputs(self, rows: np.ndarray) -> Tensor:
        if isinstance(self.inputs, (Tensor, np.ndarray)):
            return torch.as_tensor(np.array(self.inputs[rows]))
        return torch.stack([torch.as_tensor(self.inputs[i]) for i in rows.tolist()])

    def _network(self, fold: int) -> nn.Module:
        if self.quick:
            with isolated_randomness(mixed_seed(self.seed, fold)):
                return QuickNetwork(len(self.labels.classes), self.encoder.input_shape)
        if isinstance(self.name, nn.Module):
            return copy.deepcopy(self.name)
        bag = self.name.replace("-", "_") == "text_bag"
        more = {"num_embeddings": getattr(self.encoder, "vocabulary", None)} if bag else {}
        return models.build(
            self.name, len(self.labels.classes), self.encoder.input_shape, seed=mixed_seed(self.seed, fold), **more
        )

    def predict(self, system: Any, test: np.ndarray) -> np.ndarray:
        """(len(test), K) probabilities of some rows."""
        device = resolve_device(self.device)
        how: dict[str, Any] = {"device": device}
        how["precision"] = resolve_precision(self.precision, device, system.model)
        if not isinstance(self.inputs, (Tensor, np.ndarray)):
            return predict_proba(system, Subset(self.inputs, test.tolist()), **how)
        probs = np.empty((len(test), system.num_classes), dtype=np.float32)
        for start in range(0, len(test), 8192):
            part = self.inputs[test[start : start + 8192]]
            found = predict_proba(system, part, **how)
            if self.mirrored:  # a label does not depend on left and right, and two looks are better than one
                found = (found + predict_proba(system, part.flip(-1), **how)) / 2
            probs[start : start + 8192] = found
        return probs


def _name_of(model: str | nn.Module) -> str:
    return model if isinstance(model, str) else type(model).__name__


def _quick_epochs(trained: int) -> int:
    return max(FEWEST_EPOCHS, min(MOST_EPOCHS, round(VISITS / trained)))


class Told:
    """Batches that tell when one is taken."""

    def __init__(self, batches: Renumbered, tell: Callable[[], None]) -> None:
        self.batches, self.tell = batches, tell

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            self.tell()  # not after: a trainer that knows the length never comes back for the end
            yield batch
