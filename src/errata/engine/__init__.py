"""Training, prediction and evaluation; the only place of errata that builds a Lightning Trainer."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from errata.engine.estimator import RobustClassifier
    from errata.engine.evaluation import predict_proba
    from errata.engine.fit import Fitted, fit
    from errata.engine.merging import merge
    from errata.engine.run import Run
    from errata.engine.training import room_of, train

__all__ = ["Fitted", "RobustClassifier", "Run", "fit", "merge", "predict_proba", "room_of", "train"]

# The sub-module that holds each name: looked into when the name is first used, for they bring torch and scikit-learn.
_HOMES = {
    "Fitted": "fit",
    "RobustClassifier": "estimator",
    "Run": "run",
    "fit": "fit",
    "merge": "merging",
    "predict_proba": "evaluation",
    "room_of": "training",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"errata.engine.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'errata.engine' has no attribute '{name}'")
