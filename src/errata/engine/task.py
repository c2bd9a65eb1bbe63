"""From data to a training that is ready to start: which rows, which encoding, which network, which settings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from errata.engine.randomness import isolated_randomness, mixed_seed
from errata.engine.recipes import MODELS, Recipe, recipe_for
from errata.errors import DataError, ParameterError
from errata.parts import Batch, System

__all__ = ["Renumbered", "Task", "build_network", "fingerprint", "hold_out", "prepare", "workers_for"]

MOST_WORKERS = 8


@dataclass
class Task:
    """A training, ready to start.

    Attributes
    ----------
    data, encoder, inputs : what was read, what encodes it, and all its rows encoded
    trained, held : the row positions trained on, and held out
    system, batches, held_batches : what ``fit`` takes; no held-out batches where ``held`` is empty
    recipe : epochs, batch size and settings in force
    model_spec : how to build the network again; the class's name for a network of the user's own
    identity : what a checkpoint of this training must agree with
    """

    data: Any
    encoder: Any
    inputs: Any
    trained: np.ndarray
    held: np.ndarray
    system: System
    batches: Any
    held_batches: Any
    recipe: Recipe
    model_spec: dict[str, Any] | str
    identity: dict[str, Any]


def prepare(
    data: Any,
    kind: type[System],
    *,
    model: str | nn.Module,
    settings: dict[str, Any],
    epochs: int | None,
    batch_size: int | None,
    validation: float,
    augment: bool,
    seed: int,
    epoch_rows: int | None = None,
) -> Task:
    """Encode the data, choose the rows to train on, build network, system and batches; see ``errata.train``."""
    from errata import data as room

    codes, classes = data.labels.codes, data.labels.classes
    held = hold_out(codes, validation, seed)
    trained = np.setdiff1d(np.flatnonzero(codes >= 0), held, assume_unique=True)
    if len(trained) < 2:
        raise DataError(f"{data.source} has {len(trained)} labelled rows to train on; two are the least.")
    chosen = recipe_for(data.kind, len(trained), kind.hyperparameters())
    recipe = Recipe(
        chosen.epochs if epochs is None else epochs,
        chosen.batch_size if batch_size is None else batch_size,
        {**chosen.settings, **settings},
    )
    encoder = room.encoder_for(data, **room.tokenizer_of(model, data)).fit(data)
    inputs = encoder.encode(data)
    with isolated_randomness(mixed_seed(seed, 0)):  # systems may build networks of their own
        network, spec = build_network(model, data.kind, len(classes), encoder, mixed_seed(seed, 1))
        system = kind(network, len(classes), len(trained), views=encoder.views(augment=augment), **recipe.settings)
    given = torch.from_numpy(np.ascontiguousarray(codes))
    more: dict[str, Any] = {"batch_size": recipe.batch_size, "seed": seed, "workers": workers_for(inputs)}
    identity = {
        "classes": classes,
        "data": fingerprint(inputs, codes, trained),
        "model": spec,
        "batch_size": recipe.batch_size,
        "seed": seed,
        **({"epoch_rows": epoch_rows} if epoch_rows is not None else {}),
    }
    served = Renumbered(room.loader(inputs, given, index=trained, per_epoch=epoch_rows, **more), trained, len(codes))
    return Task(
        data=data,
        encoder=encoder,
        inputs=inputs,
        trained=trained,
        held=held,
        system=system,
        batches=served if system.passes == 1 else room.Passes(served, system.passes),
        held_batches=room.loader(inputs, given, index=held, shuffle=False, **more) if len(held) else None,
        recipe=recipe,
        model_spec=spec,
        identity=identity,
    )


def hold_out(codes: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The rows to hold out: ``share`` of each class, rounded, but never the last row of one.

    Parameters
    ----------
    codes : (N,) given labels, -1 where missing
    share : in [0, 1)

    Returns
    -------
    (M,) int64, rising

    Examples
    --------
    >>> hold_out(np.array([0, 0, 0, 0, 1, -1]), 0.5, seed=0).shape
    (2,)
    """
    rng = np.random.default_rng([seed, 0x5E])
    chosen = [np.empty(0, dtype=np.int64)]
    for k in range(int(codes.max()) + 1):
        rows = rng.permutation(np.flatnonzero(codes == k))
        chosen.append(rows[: min(round(len(rows) * share), max(0, len(rows) - 1))])
    return np.sort(np.concatenate(chosen))


def build_network(
    model: str | nn.Module, kind: str, num_classes: int, encoder: Any, seed: int
) -> tuple[nn.Module, dict[str, Any] | str]:
    """The network of a training, and how to build it again; the class's name for a network of the user's own."""
    if isinstance(model, nn.Module):
        return model, type(model).__qualname__  # not its module, which differs between a script and an import
    if not isinstance(model, str):
        raise ParameterError(f"model must be 'auto', the name of a model, or a torch.nn.Module; got {model!r}.")
    from errata import models

    name = MODELS[kind] if model == "auto" else model
    more = {"num_embeddings": encoder.vocabulary} if name.replace("-", "_") == "text_bag" else {}
    network = models.build(name, num_classes, encoder.input_shape, seed=seed, **more)
    return network, network.spec or name


def workers_for(inputs: Any) -> int:
    """Processes that decode inputs; none for what lies in memory."""
    if isinstance(inputs, (Tensor, np.ndarray)):
        return 0
    return min(MOST_WORKERS, max(1, (os.cpu_count() or 2) // 2))


class Renumbered:
    """Batches whose ``index`` counts the rows trained on, 0 to n-1, so that a system keeps no memory for other rows.

    Parameters
    ----------
    batches : those of the whole data, restricted to ``rows``
    rows : (n,) int64, the rows trained on
    total : rows of the whole data

    Examples
    --------
    >>> whole = [Batch(torch.tensor([4, 2]), torch.zeros(2, 1), torch.tensor([0, 1]))]
    >>> next(iter(Renumbered(whole, np.array([2, 4]), total=5))).index
    tensor([1, 0])
    """

    def __init__(self, batches: Any, rows: np.ndarray, total: int) -> None:
        self.batches = batches
        self.place = torch.full((total,), -1, dtype=torch.int64)
        self.place[torch.from_numpy(rows)] = torch.arange(len(rows))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            yield Batch(self.place[batch.index], batch.x, batch.y)


def fingerprint(inputs: Any, codes: np.ndarray, trained: np.ndarray) -> str:
    """A short text that differs between data: from all labels, the rows trained on, and a sample of the inputs.

    Examples
    --------
    >>> x, y = np.zeros((3, 2)), np.array([0, 1, 0])
    >>> fingerprint(x, y, np.arange(3)) == fingerprint(x + 1, y, np.arange(3))
    False
    """
    digest = hashlib.blake2b(digest_size=12)
    for array in (codes, trained):
        digest.update(np.ascontiguousarray(array).tobytes())
    in_memory = isinstance(inputs, (np.ndarray, Tensor))
    shown = np.unique(np.linspace(0, len(inputs) - 1, num=64 if in_memory else 1).astype(np.int64))
    for row in shown.tolist():
        digest.update(np.ascontiguousarray(np.asarray(inputs[row])).tobytes())
    return f"{len(codes)} rows, {digest.hexdigest()}"
