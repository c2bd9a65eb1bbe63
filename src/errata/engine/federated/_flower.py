"""Flower, imported late, quiet, and without a word to anybody: no telemetry, no look for updates."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from errata._lazy import optional

__all__ = ["flower", "quiet"]

_OFF = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def flower(part: str = "flwr") -> Any:
    """Import a part of Flower with its telemetry switched off, or say which extra brings it."""
    for name, value in _OFF.items():
        os.environ[name] = value
    found = optional(part, "federated", "A federation over Flower")
    told: Any = sys.modules.get(
        "flwr.supercore.telemetry"
    )  # read once, when Flower was first imported, perhaps by others
    if told is not None and hasattr(told, "FLWR_TELEMETRY_ENABLED"):
        told.FLWR_TELEMETRY_ENABLED = "0"
    return found


@contextlib.contextmanager
def quiet(verbose: bool = False) -> Iterator[None]:
    """Keep Flower's log to itself, unless it was asked for."""
    flower("flwr.server")  # which sets its log's level when it is first imported
    log = logging.getLogger("flwr")
    before = log.level
    log.setLevel(logging.INFO if verbose else logging.CRITICAL)
    hook = threading.excepthook
    threading.excepthook = lambda failed: None if _closed(failed) else hook(failed)
    try:
        yield
    finally:
        log.setLevel(before)
        threading.excepthook = hook


def _closed(failed: Any) -> bool:
    """Whether gRPC's own thread looked at a channel just closed; nothing is lost by it, but it prints a traceback."""
    return isinstance(failed.exc_value, ValueError) and "Cannot monitor channel state" in str(failed.exc_value)
