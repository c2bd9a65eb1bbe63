"""Training over clients whose data stay with them: in one process, over Flower's simulation, or over a network.

The room of the kind "federated": ``train``, ``read`` and ``load`` are what ``errata.train`` and ``Run.load`` hand over
to; ``serve`` and ``join`` are the two sides of a real federation, ``write_app`` makes one for Flower's own servers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from errata.engine.federated.app import write_app
    from errata.engine.federated.client import Client
    from errata.engine.federated.federation import Federation
    from errata.engine.federated.joining import join
    from errata.engine.federated.run import FederatedRun, load
    from errata.engine.federated.serving import serve
    from errata.engine.federated.spec import Spec
    from errata.engine.federated.training import read, train

__all__ = ["Client", "FederatedRun", "Federation", "Spec", "join", "load", "read", "serve", "train", "write_app"]

_HOMES = {
    "Client": "client",
    "FederatedRun": "run",
    "Federation": "federation",
    "Spec": "spec",
    "join": "joining",
    "load": "run",
    "read": "training",
    "serve": "serving",
    "train": "training",
    "write_app": "app",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
