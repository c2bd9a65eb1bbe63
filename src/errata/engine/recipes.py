"""How long and how fast to train, where the user doesn't say: by the kind and the amount of data.

The papers tune their systems on fifty thousand images and a hundred epochs. A table of three hundred rows needs small
batches to get anywhere, and a bag of n-grams few passes. A recipe gives those few settings; everything else (what the
paper is about) keeps the system's own default, and whatever the user gives wins over both.
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
FEWEST_STEPS = 200

_EPOCHS = {"tabular": 30, "text": 10, "image": 30}
_SETTINGS: dict[str, dict[str, Any]] = {
    "tabular": {},
    # a bag of embedded n-grams has a weight for every rare word, and learns wrong labels by heart in a few passes
    "text": {"weight_decay": 5e-3},
    "image": {},
}


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

    The batch size is a twentieth of the rows, within 16 and 128. The epochs are 30 (10 for texts), or as many more as
    make 200 steps. Optimiser and learning rate stay the system's; for texts the weight decay is raised to 0.005.

    Parameters
    ----------
    kind : "tabular", "text" or "image"
    num_samples : labelled rows to train on, 1 or more
    known : the system's hyper-parameters; only those are set

    Examples
    --------
    >>> recipe_for("tabular", 300).batch_size, recipe_for("tabular", 50_000).batch_size
    (16, 128)
    >>> recipe_for("text", 5_000).epochs, recipe_for("text", 64).epochs
    (10, 50)
    """
    if kind not in MODELS:
        raise DataError(f"errata trains on data of the kinds {', '.join(MODELS)}; these are '{kind}'.")
    batch_size = min(LARGEST_BATCH, max(SMALLEST_BATCH, num_samples // 20))
    steps = -(-num_samples // batch_size)
    epochs = max(_EPOCHS[kind], -(-FEWEST_STEPS // steps))
    return Recipe(epochs, batch_size, {name: value for name, value in _SETTINGS[kind].items() if name in known})
