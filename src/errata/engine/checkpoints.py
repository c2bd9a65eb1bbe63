"""Checkpoints on disk: written whole or not at all, read without running foreign code, refused where they don't fit.

A checkpoint is Lightning's (weights, optimiser, schedule, loops, callbacks) with one more entry, ``errata``: what it
belongs to. It is compared before anything is loaded.
"""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from errata.errors import LoadError
from errata.storage import atomic

__all__ = [
    "KEY",
    "AtomicCheckpointIO",
    "check_identity",
    "identity_of",
    "load_tensors",
    "plain",
    "read_checkpoint",
    "save_tensors",
]

_LITTLE = 1 << 24  # bytes free under which a failed write is a full disk's
KEY = "errata_run"
FORMAT = 1

_WORDS = {
    "system": "the system",
    "num_samples": "the number of samples trained on",
    "num_classes": "the number of classes",
    "classes": "the classes",
    "data": "the data",
    "model": "the model",
    "seed": "the seed",
    "batch_size": "the batch size",
}


class AtomicCheckpointIO(CheckpointIO):
    """Lightning's door to the disk: atomic writes, and ``weights_only=True`` for every read."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_tensors(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return load_tensors(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def save_tensors(content: Any, path: Path) -> None:
    """``torch.save`` beside ``path`` and move into place; what stood there survives a full disk or a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # torch's zip writer reports a full disk as a RuntimeError
            free = shutil.disk_usage(path.parent).free
            why = "no space left on the disk" if free < _LITTLE else str(error).splitlines()[0]
            raise OSError(why) from error


def load_tensors(path: Path, **options: Any) -> Any:
    """``torch.load`` that runs no code of the file; ``LoadError`` where it is damaged or missing."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, **options)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, IndexError, ValueError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise LoadError(
            f"{path} is damaged, or not a file that errata saved ({first[:200]}). "
            "Train again into another folder, or bring the file back from a copy."
        ) from error
    except OSError as error:
        raise LoadError(f"{path} can't be read: {error.strerror or error}.") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of errata, its tensors mapped from the file, not copied.

    Raises
    ------
    LoadError
        where the file is missing, damaged, or not errata's
    """
    content = load_tensors(path, mmap=True)
    if not isinstance(content, dict) or not isinstance(content.get(KEY), dict) or "state_dict" not in content:
        raise LoadError(
            f"{path} is not a checkpoint of errata: it does not say which system it belongs to. "
            "Only checkpoints made by errata.train can be resumed."
        )
    if content[KEY].get("format", 0) > FORMAT:
        raise LoadError(
            f"{path} was written by a newer errata (format {content[KEY]['format']}; this one reads up to {FORMAT}). "
            "Upgrade with: pip install --upgrade errata"
        )
    return content


def identity_of(system: Any, **more: Any) -> dict[str, Any]:
    """What a checkpoint of ``system`` belongs to, in plain JSON types: the system, its hyper-parameters, its sizes.

    Parameters
    ----------
    system : an ``errata.parts.System``
    more : further facts that must agree on resuming: ``data``, ``classes``, ``seed``, ...
    """
    settings = {name: plain(getattr(system, name)) for name in system.hyperparameters() if hasattr(system, name)}
    return {
        "format": FORMAT,
        "system": system.card.slug,
        "num_samples": int(system.num_samples),
        "num_classes": int(system.num_classes),
        "hyperparameters": settings,
        **{name: plain(value) for name, value in more.items()},
    }


def plain(value: Any) -> Any:
    """``value`` as JSON and a weights-only load can hold it; a callable or object becomes its name.

    Examples
    --------
    >>> plain((1, 2.5, torch.nn.ReLU))
    [1, 2.5, 'torch.nn.modules.activation.ReLU']
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def check_identity(saved: Mapping[str, Any], own: Mapping[str, Any], path: Path) -> None:
    """Refuse a checkpoint of another system, other data or other hyper-parameters, and say which.

    Raises
    ------
    LoadError
        with every difference: what the checkpoint has and what this training has
    """
    differences = [
        f"{_WORDS.get(name, name)} was {_short(saved.get(name))}, now it is {_short(own[name])}"
        for name in own
        if name not in ("format", "hyperparameters") and saved.get(name) != own[name]
    ]
    if saved.get("system") == own["system"]:  # another system has other hyper-parameters anyway
        before, now = saved.get("hyperparameters", {}), own["hyperparameters"]
        differences += [
            f"the hyper-parameter {name} was {_short(before.get(name))}, now it is {_short(now.get(name))}"
            for name in {**before, **now}
            if before.get(name) != now.get(name)
        ]
    if differences:
        raise LoadError(
            f"The checkpoint {path} belongs to another training: {'; '.join(differences)}. "
            "Resume with the same system, data and settings, or choose another output folder."
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
