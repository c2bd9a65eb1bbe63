"""errata: find the wrong labels in a data set, train in spite of them, decide what to correct next.

>>> import errata
>>> [card.slug for card in errata.systems()][:2]
['ce', 'robust-loss']

Everything below is imported when it is first used; ``import errata`` itself takes a few milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "Card": "errata.cards:Card",
    "ErrataError": "errata.errors:ErrataError",
    "Ledger": "errata.ledger:Ledger",
    "RobustClassifier": "errata.engine.estimator:RobustClassifier",
    "Run": "errata.engine.run:Run",
    "apply": "errata.correct.apply:apply",
    "compare": "errata.correct.compare:compare",
    "read": "errata.data:read",
    "system": "errata.systems:load",
    "train": "errata.engine.training:train",
    "vouch": "errata.correct.vouching:vouch",
}
_ROOMS = ("audit", "data", "engine", "errors", "losses", "models", "noise", "parts", "scores", "systems", "testing")

__all__ = [  # built from the two tables above
    "__version__",
    *_NAMES,
    *_ROOMS,
]

if TYPE_CHECKING:  # what __getattr__ gives, for type checkers
    from errata import audit, data, engine, errors, losses, models, noise, parts, scores, systems, testing
    from errata.cards import Card
    from errata.correct.apply import apply
    from errata.correct.compare import compare
    from errata.correct.vouching import vouch
    from errata.data import read
    from errata.engine.estimator import RobustClassifier
    from errata.engine.run import Run
    from errata.engine.training import train
    from errata.errors import ErrataError
    from errata.ledger import Ledger
    from errata.systems import load as system


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        module, attribute = _NAMES[name].split(":")
        value = getattr(importlib.import_module(module), attribute)
        globals()[name] = value
        return value
    if name in _ROOMS:
        return importlib.import_module(f"errata.{name}")
    raise AttributeError(f"module 'errata' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
