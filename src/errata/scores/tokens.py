"""Labels of tokens: from trust in each to trust in the sentence, and what the words say without any training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from errata.errors import UnknownNameError

__all__ = ["WAYS", "sentence_trust"]

WAYS = ("min", "product", "softmin")
"""How the trust in a sentence follows from that in its tokens, see :func:`sentence_trust`."""


def sentence_trust(
    trust: NDArray[np.floating], offsets: NDArray[np.int64], way: str = "min", *, temperature: float = 0.05
) -> NDArray[np.float64]:
    """Return (S,) the trust in sentences; NaN tokens do not count, a sentence without others has NaN.

    Parameters
    ----------
    trust : (T,) float in [0, 1], of each token
    offsets : (S + 1,) int64; sentence i has the tokens offsets[i] to offsets[i + 1]
    way : "min": its worst token. "product": the chance that all are right, if they are right independently of each
        other. "softmin": a mean with weights ``exp((1 - trust) / temperature)``, so that several bad tokens count more
        than one
    temperature : of "softmin", above 0; near 0 it is "min"

    Examples
    --------
    >>> trust, offsets = np.array([0.5, 0.5, 1.0, 0.9]), np.array([0, 2, 4])
    >>> sentence_trust(trust, offsets), sentence_trust(trust, offsets, "product")
    (array([0.5, 0.9]), array([0.25, 0.9 ]))
    """
    if way not in WAYS:
        raise UnknownNameError("way to combine", way, WAYS)
    trust = np.asarray(trust, dtype=np.float64)
    known = ~np.isnan(trust)
    filled = np.flatnonzero(np.diff(offsets) > 0)
    found = np.full(len(offsets) - 1, np.nan)
    if not len(filled):
        return found
    starts = offsets[filled]
    count = np.add.reduceat(known.astype(np.int64), starts)
    value = np.where(known, trust, 1.0)
    if way == "min":
        result = np.minimum.reduceat(value, starts)
    elif way == "product":
        with np.errstate(divide="ignore"):
            result = np.exp(np.add.reduceat(np.log(value), starts))
    else:
        weight = np.where(known, np.exp((1.0 - value - 1.0) / temperature), 0.0)
        total = np.add.reduceat(weight, starts)
        result = np.add.reduceat(weight * value, starts) / np.where(total > 0, total, 1.0)
    found[filled] = np.where(count > 0, result, np.nan)
    return found
