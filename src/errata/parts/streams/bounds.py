"""The bounds that a stream learner decides by, as pure functions: when to split, to merge, to switch."""

from __future__ import annotations

import math

__all__ = ["decide", "hoeffding_bound", "odac_bound", "split_range", "switch_bound"]


def split_range(num_labelsets: int) -> float:
    """R of the Hoeffding bound: log2 of the number of distinct label sets at a leaf, 1 for up to two.

    Examples
    --------
    >>> split_range(8), split_range(1)
    (3.0, 1.0)
    """
    return math.log2(num_labelsets) if num_labelsets > 2 else 1.0


def hoeffding_bound(value_range: float, delta: float, weight: float) -> float:
    """sqrt(R^2 ln(1/delta) / (2 w)): how far the merit measured on weight w may lie from the true one.

    Parameters
    ----------
    value_range : R, the range of the merit
    delta : one minus the confidence, in (0, 1)
    weight : w, above 0

    Examples
    --------
    >>> round(hoeffding_bound(1.0, 1e-7, 1000), 6)
    0.089772
    """
    return math.sqrt(value_range**2 * math.log(1.0 / delta) / (2.0 * weight))


def odac_bound(confidence: float, n: float) -> float:
    """sqrt(ln(1/confidence) / (2 n)), the radius of the clustering; the code puts its confidence here as it is.

    Examples
    --------
    >>> round(odac_bound(0.9, 1500), 6)
    0.005926
    """
    return math.sqrt(math.log(1.0 / confidence) / (2.0 * n))


def switch_bound(error: float, main_weight: float, alt_weight: float, alpha: float = 0.05) -> float:
    """B = sqrt(2 e (1 - e) ln(2/alpha) (1/w_alt + 1/w_main)): how far two errors must lie apart to tell.

    Parameters
    ----------
    error : e, the main tree's mean Hamming loss, in [0, 1]
    main_weight, alt_weight : what the two errors were measured on, above 0
    alpha : the significance

    Examples
    --------
    >>> round(switch_bound(0.2, 400, 300), 6)
    0.082981
    """
    return math.sqrt(2.0 * error * (1.0 - error) * math.log(2.0 / alpha) * (1.0 / alt_weight + 1.0 / main_weight))


def decide(error: float, alt_error: float, bound: float) -> str:
    """What becomes of an alternate tree: "swap" it in, "prune" it, or "keep" both for now.

    Examples
    --------
    >>> decide(0.2, 0.1, 0.08), decide(0.1, 0.2, 0.08), decide(0.2, 0.15, 0.08)
    ('swap', 'prune', 'keep')
    """
    if error - alt_error > bound:
        return "swap"
    return "prune" if alt_error - error > bound else "keep"
