"""Probabilities made comparable between frequent and rare classes: each class's threshold is taken off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from errata.scores.blocks import BlockReader
from errata.scores.evidence import Evidence


def adjusted(
    reader: BlockReader, evidence: Evidence, thresholds: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (N,) the adjusted probability of the given label, and (N,) the largest adjusted one of another class.

    From each probability its class's threshold is subtracted, the largest threshold added, and the row divided by its
    sum. A class that no row is labelled as has no threshold; it is given the largest, which leaves its probability as
    it was before the division.
    """
    finite = np.isfinite(thresholds)
    most = thresholds[finite].max()
    shift = (most - np.where(finite, thresholds, most)).astype(reader.dtype)
    own, rival = np.empty((2, reader.num_rows), reader.dtype)

    def work(start: int, stop: int) -> None:
        block = reader.copy(start, stop)
        block += shift
        block /= block.sum(axis=1, keepdims=True)
        label = np.maximum(evidence.given[start:stop], 0)
        at = np.arange(len(block))
        own[start:stop] = block[at, label]
        block[at, label] = -1.0
        rival[start:stop] = block.max(axis=1)

    reader.run(work)
    return own, rival
