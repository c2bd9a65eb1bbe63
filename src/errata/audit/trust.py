"""From a score to a probability: how far a given label is to be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["shifted_odds"]

BINS = 4096
STEEPEST = 30.0
"""Logits of scores are cut off here: beyond, single precision tells nothing apart."""

_CHUNK = 1 << 20


def shifted_odds(score: np.ndarray, noise_rate: float) -> np.ndarray:
    """Multiply the odds of all scores by one number, so that the mean distrust is the share of wrong labels.

    A model's probability of the given label answers another question than "is it right?": a model that knows nothing
    gives each of ten classes 0.1, while of the labels nine in ten may be right. That a label was given is evidence for
    it, in the odds one factor for all rows; it is found from the noise rate. The order of the rows stays as it is.

    Parameters
    ----------
    score : (N,) float in [0, 1], rising with the belief in the given label; NaN where there is none
    noise_rate : the share of wrong labels, in [0, 1]

    Returns
    -------
    (N,) float32 in [0, 1] with ``1 - mean`` equal to ``noise_rate`` (to 0.001); NaN where ``score`` is

    Examples
    --------
    >>> trust = shifted_odds(np.array([0.1, 0.6, 0.7, 0.8]), noise_rate=0.25)
    >>> trust.round(2), round(float(1 - trust.mean()), 2)
    (array([0.3 , 0.85, 0.9 , 0.94], dtype=float32), 0.25)
    """
    trust = np.empty(len(score), dtype=np.float32)
    counts = np.zeros(BINS, dtype=np.int64)
    for start in range(0, len(score), _CHUNK):
        part = slice(start, start + _CHUNK)
        logit = _logit(score[part])
        trust[part] = logit
        known = logit[~np.isnan(logit)]
        counts += np.bincount(np.rint((known + STEEPEST) * _PER_LOGIT).astype(np.int64), minlength=BINS)
    total = int(counts.sum())
    if total == 0:
        return trust
    # never all right nor all wrong: then nothing would be left of the order
    rate = min(max(float(noise_rate), 0.5 / total), 1 - 0.5 / total)
    shift = _find_shift(counts, rate * total)
    for start in range(0, len(score), _CHUNK):
        part = slice(start, start + _CHUNK)
        trust[part] = 1.0 / (1.0 + np.exp(-(trust[part].astype(np.float64) + shift)))
    return trust


_PER_LOGIT = (BINS - 1) / (2 * STEEPEST)


def _logit(score: Any) -> np.ndarray:
    clipped = np.clip(np.asarray(score, dtype=np.float64), 0.0, 1.0)
    with np.errstate(divide="ignore"):
        return np.clip(np.log(clipped) - np.log1p(-clipped), -STEEPEST, STEEPEST)


def _find_shift(counts: np.ndarray, wrong: float) -> float:
    """The number to add to all logits for which ``sum(1 - sigmoid)`` is ``wrong``; by halving, from a histogram."""
    centres = np.arange(BINS) / _PER_LOGIT - STEEPEST
    low, high = -2 * STEEPEST, 2 * STEEPEST
    for _ in range(60):
        middle = (low + high) / 2
        if float((counts / (1.0 + np.exp(centres + middle))).sum()) > wrong:
            low = middle
        else:
            high = middle
    return (low + high) / 2
