"""The steps of a stream that its run and what is loaded of it share: asking, learning again, summing up events."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np

from errata.engine.stream_progress import Readout
from errata.errors import LoadError

__all__ = ["ask", "replay", "summed"]

SUM_EVERY = 16  # of so many events one goes into the checksum


def ask(model: Any, x: dict[str, Any]) -> tuple[Mapping[Any, bool], dict[Any, float]]:
    """What is predicted, and with which probabilities; those of labels not named are 0."""
    said = model.predict_one(x)
    if hasattr(model, "label_probabilities"):
        labels, p = model.label_probabilities(x)
        there = np.flatnonzero(p)
        return said, dict(zip([labels[place] for place in there.tolist()], p[there].tolist(), strict=True))
    try:
        told = model.predict_proba_one(x)
    except NotImplementedError:
        return said, {name: 1.0 if there else 0.0 for name, there in said.items()}
    return said, {name: float(p.get(True, 0.0)) for name, p in told.items()}


def replay(flow: Any, model: Any, position: int, checksum: int, readout: Readout) -> None:
    """Learn the first events again, and compare their checksum.

    Parameters
    ----------
    flow : the stream, at its beginning
    model : what learns them; None where they are only passed by
    position : how many
    checksum : what ``summed`` came to over them

    Raises
    ------
    LoadError
        where they are others
    """
    found = number = 0
    for number, (x, y) in enumerate(islice(flow, position), start=1):
        if model is not None and not hasattr(
            model, "label_probabilities"
        ):  # another's model may keep something of what it was asked
            model.predict_one(x)
        if y and model is not None:
            model.learn_one(x, y)
        found = summed(found, number - 1, x, y)
        if number % 16 == 0 and readout.due():
            readout.tell(number, "Read again" if model is None else "Learned again", {"of": position})
    if number != position or found != checksum:
        raise LoadError(
            f"The stream is not the one that was read before: expected the same first {position:,} events, found "
            f"{number:,}{'' if number != position else ' others'}. Begin anew in another folder."
        )


def summed(checksum: int, number: int, x: Mapping[Any, Any], y: Mapping[Any, Any]) -> int:
    """The checksum with one more event."""
    if number % SUM_EVERY:
        return checksum
    return zlib.crc32(f"{sorted(x.items(), key=str)}{sorted(y.items(), key=str)}".encode(), checksum)
