"""How often a part of a tree has been wrong: the running mean, and a watch for drift over it."""

from __future__ import annotations

from typing import Any

from errata._lazy import optional
from errata.errors import LoadError

__all__ = ["Record"]

SURE = 1e-6
"""The least error that a leaf's vote is weighted by; without any error its vote would be infinite."""


class Record:
    """The running mean of the Hamming loss, and ADWIN, which watches this mean."""

    def __init__(self) -> None:
        self.mean = 0.0
        self.weight = 0.0
        self.since_drift = 0.0
        self.warning = False
        self.drift = False
        self._adwin: Any = optional("river.drift", "streams", "Noticing drift").ADWIN()

    def update(self, loss: float, weight: float) -> None:
        """Take the loss of one event in."""
        before = self.mean
        self.weight += weight
        self.since_drift += weight
        self.mean += (loss - self.mean) * weight / self.weight
        if isinstance(self._adwin, bytes):
            self._adwin = _awake(self._adwin, self.drift)
        self._adwin.update(self.mean)
        self.warning, self.drift = self.mean > before, bool(self._adwin.drift_detected)
        if self.drift and self.mean < before:  # it has become easier: the past says nothing of now
            self.mean = self.weight = self.since_drift = 0.0

    def packed(self) -> dict[str, Any]:
        """What is stored of it, see ``parts.streams.state``. Of ADWIN these are its own bytes, which nobody reads
        before the next event is learned: predictions need none of it."""
        kept = self._adwin if isinstance(self._adwin, bytes) else bytes(self._adwin._helper.__getstate__())
        return {**vars(self), "_adwin": kept}

    @property
    def trust(self) -> float:
        """What a vote counts: one over the squared error."""
        return 1.0 / max(self.mean, SURE) ** 2


def _awake(stored: bytes, noticed: bool) -> Any:
    """ADWIN as it was stored; its bytes are numbers, read by compiled code that checks their length."""
    made = optional("river.drift", "streams", "Noticing drift").ADWIN()
    try:
        made._helper.__setstate__(stored)
    except BaseException as error:  # a panic of the compiled code is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise LoadError(
            "What a stored model has of its drift detectors can't be read: it is damaged, or of another version of "
            "river. Learn the stream anew."
        ) from error
    made._drift_detected = noticed
    return made
