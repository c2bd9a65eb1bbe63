"""How long and how fast to train, where the user doesn't say: by the kind and the amount of data.

The papers tune their systems on fifty thousand images and a hundred epochs. A table of three hundred rows needs more
passes and another optimiser to get anywhere. A recipe gives those few settings; everything else (what the paper is
about) keeps the system's own default, and whatever the user gives wins over both.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from errata.errors import DataError

__all__ = ["MODELS", "Recipe", "recipe_for"]

MODELS = {"tabular": "mlp", "text": "text_bag", "image": "small_cnn"}
"""What ``model="auto"`` means for a kind of data."""

SMALLEST_BATCH, LARGEST_BATCH = 16, 128


@dataclass(frozen=True)
class Recipe:
    """What is chosen for the user.

    Attributes
    ----------
    epochs, batch_size : of the training
    settings : hyper-parameters that replace the system's defaults
    """

    epochs: int
    batch_size: int
    settings: dict[str, Any] = field(default_factory=dict)


def recipe_for(kind: str, num_samples: int, known: Collection[str] = ()) -> Recipe:
    """The recipe for ``num_samples`` rows of a kind of data.

    Parameters
    ----------
    kind : "tabular", "text" or "image"
    num_samples : labelled rows to train on, 1 or more
    known : the system's hyper-parameters; only those are set

    Examples
    --------
    >>> recipe_for("tabular", 300, {"lr"}).batch_size, recipe_for("tabular", 50_000, {"lr"}).batch_size
    (16, 128)
    """
    if kind not in MODELS:
        raise DataError(f"errata trains on data of the kinds {', '.join(MODELS)}; these are '{kind}'.")
    batch_size = min(LARGEST_BATCH, max(SMALLEST_BATCH, num_samples // 20))
    settings = {name: value for name, value in _SETTINGS[kind].items() if name in known}
    return Recipe(EPOCHS[kind], batch_size, settings)


EPOCHS = {"tabular": 30, "text": 30, "image": 30}

_SETTINGS: dict[str, dict[str, Any]] = {
    "tabular": {},
    "text": {},
    "image": {},
}
