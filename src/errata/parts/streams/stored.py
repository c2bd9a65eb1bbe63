"""What iHOMER stores of itself: the attributes that learning changes, and the classes that they consist of."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from errata.errors import LoadError
from errata.parts.streams import state
from errata.parts.streams.clustering import Cluster, LabelClusters
from errata.parts.streams.cooccurrence import JaccardCounts
from errata.parts.streams.events import Columns, Past
from errata.parts.streams.leaf import Gaussians, Neighbours, Regressions
from errata.parts.streams.local import TreeLocal
from errata.parts.streams.record import Record
from errata.parts.streams.tree import Branch, Leaf, Settings, Tree

__all__ = ["restore", "state_of"]

LEARNED = ("_hierarchy", "_columns", "_past", "_number", "_locals", "_home", "_sizes", "_made")
"""The attributes that learning changes; the others follow from the parameters."""

CLASSES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *(LabelClusters, Cluster, JaccardCounts, Columns, Past, TreeLocal, Tree, Branch, Leaf, Record, Settings),
        *(Gaussians, Neighbours, Regressions),
    )
}
"""The classes that a stored model may consist of."""


def state_of(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """What a model has learned, as JSON and arrays; None where it has parts that can't be stored so."""
    try:
        told, arrays = state.pack({name: getattr(model, name) for name in LEARNED}, CLASSES)
    except TypeError:
        return None
    return {"river": version("river"), **told}, arrays


def restore(model: Any, told: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, exactly: bool) -> bool:
    """Let a model go on from a state; see ``IHomer.restore``."""
    if exactly and told.get("river") != version("river"):
        return False
    learned = state.unpack(told, arrays, CLASSES)
    if not isinstance(learned, dict) or set(learned) != set(LEARNED):
        raise LoadError("A stored model does not fit together: it is not one of iHOMER. Learn the stream anew.")
    vars(model).update(learned)
    model._seen = None
    return True
