"""From a model's probability of the given label to the chance that this label is right."""

from __future__ import annotations

import numpy as np

from errata.labels import MISSING

__all__ = ["logit_counts", "sharpness", "shift_for", "shifted_odds", "with_shift"]

STEEPEST = 70.0
"""Logits of scores are cut off here: beyond, single precision tells nothing apart."""

BINS = 8192
SAMPLE = 5000  # rows that the sharpness is found from
LEAST_SAMPLE = 500
SAMPLE_VALUES = 500_000
SLOPES = (0.1, 4.0)
MOST_NOISE = 0.95
SMALLEST = 1e-7

_CHUNK = 1 << 20
_PER_LOGIT = (BINS - 1) / (2 * STEEPEST)


def shifted_odds(score: np.ndarray, noise_rate: float, slope: float = 1.0) -> np.ndarray:
    """Multiply the odds of all scores by one number, so that the mean distrust is the share of wrong labels.

    A model's probability of the given label answers another question than "is it right?": a model that knows nothing
    gives each of ten classes 0.1, while of the labels nine in ten may be right. That a label was given is evidence for
    it, in the odds one factor for all rows; it is found from the noise rate. The order of the rows stays as it is.

    Parameters
    ----------
    score : (N,) float in [0, 1], rising with the belief in the given label; NaN where there is none
    noise_rate : the share of wrong labels, in [0, 1]
    slope : power to which the odds are raised first, above 0: see ``sharpness``

    Returns
    -------
    (N,) float32 in [0, 1] with ``1 - mean`` equal to ``noise_rate`` (to 0.005); NaN where ``score`` is

    Examples
    --------
    >>> trust = shifted_odds(np.array([0.1, 0.6, 0.7, 0.8]), noise_rate=0.25)
    >>> trust.round(2), round(float(1 - trust.mean()), 2)
    (array([0.3 , 0.85, 0.9 , 0.94], dtype=float32), 0.25)
    """
    return with_shift(score, slope, shift_for(logit_counts(score, slope), noise_rate))


def logit_counts(score: np.ndarray, slope: float) -> np.ndarray:
    """(8192,) int64, how many scores' logits fall into each bin; those of parts of the data can be added up."""
    counts = np.zeros(BINS, dtype=np.int64)
    for start in range(0, len(score), _CHUNK):
        logit = _logit(score[start : start + _CHUNK], slope)
        known = logit[~np.isnan(logit)]
        counts += np.bincount(((known + STEEPEST) * _PER_LOGIT + 0.5).astype(np.int32), minlength=BINS)
    return counts


def shift_for(counts: np.ndarray, noise_rate: float) -> float:
    """The number to add to the logits so that the mean distrust is the share of wrong labels; see ``shifted_odds``."""
    total = int(counts.sum())
    if total == 0:
        return 0.0
    # never all right nor all wrong: then nothing would be left of the order
    rate = min(max(float(noise_rate), 0.5 / total), 1 - 0.5 / total)
    return _find_shift(counts, rate * total)


def with_shift(score: np.ndarray, slope: float, shift: float) -> np.ndarray:
    """(N,) float32, the scores' odds raised to ``slope`` and multiplied by ``exp(shift)``, as probabilities."""
    trust = np.empty(len(score), dtype=np.float32)
    for start in range(0, len(score), _CHUNK):
        part = slice(start, start + _CHUNK)
        logit = _logit(score[part], slope).astype(np.float32)
        with np.errstate(over="ignore"):
            trust[part] = 1.0 / (1.0 + np.exp(-(logit + np.float32(shift))))
    return trust


def _logit(score: np.ndarray, slope: float) -> np.ndarray:
    score = np.clip(score, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        logit = np.log(score) - np.log1p(-score)
    return np.clip(logit * score.dtype.type(slope), -STEEPEST, STEEPEST)


def _find_shift(counts: np.ndarray, wrong: float) -> float:
    """The number to add to all logits for which ``sum(1 - sigmoid)`` is ``wrong``; by halving, from a histogram."""
    used = np.flatnonzero(counts)
    counts, centres = counts[used], used / _PER_LOGIT - STEEPEST
    low, high = -2 * STEEPEST, 2 * STEEPEST
    for _ in range(60):
        middle = (low + high) / 2
        if float((counts / (1.0 + np.exp(centres + middle))).sum()) > wrong:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def sharpness(codes: np.ndarray, pred_probs: np.ndarray) -> float:
    """The power to which odds are to be raised so that they speak of true labels, not of given ones.

    A model that was trained or calibrated on noisy labels keeps a share of its belief for the mistakes in them, and
    so is never sure. The given labels are taken to be the classes drawn from ``pred_probs ** slope`` (normalised) with
    a share of them replaced at random; slope and share are those that make the given labels most probable.

    Parameters
    ----------
    codes : (N,) given labels in [0, K), -1 where missing
    pred_probs : (N, K) out-of-sample; a sample of its rows is read

    Returns
    -------
    float in [0.1, 4]; above 1 where the probabilities are too timid

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.dirichlet([0.2, 0.2, 0.2], size=4000)
    >>> codes = (clean.cumsum(1) > rng.random((4000, 1))).argmax(1)
    >>> timid = clean ** 0.5 / (clean ** 0.5).sum(1, keepdims=True)
    >>> round(sharpness(codes, clean)), round(sharpness(codes, timid))
    (1, 2)
    """
    rows = np.flatnonzero(codes != MISSING)
    most = int(np.clip(SAMPLE_VALUES // pred_probs.shape[1], LEAST_SAMPLE, SAMPLE))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64))]
    logs = np.log(np.clip(np.asarray(pred_probs[rows], dtype=np.float32), SMALLEST, 1.0))
    given = codes[rows]

    def loss(slope: float) -> float:
        logits = logs * np.float32(slope)
        logits -= logits.max(axis=1, keepdims=True)
        own = logits[np.arange(len(given)), given]
        return _least_loss((np.exp(own) / np.exp(logits).sum(axis=1)).astype(np.float64), logs.shape[1])

    grid = np.geomspace(*SLOPES, 10)
    for _ in range(2):  # once roughly, once about the best
        losses = [loss(float(slope)) for slope in grid]
        best = int(np.argmin(losses))
        grid = np.geomspace(grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)], 9)
    return float(grid[4])


def _least_loss(own: np.ndarray, classes: int) -> float:
    """The mean negative log-likelihood of the given labels with the most likely share of them replaced at random."""
    change = (1.0 - own) / (classes - 1) - own
    low, high = 0.0, MOST_NOISE
    for _ in range(20):  # the likelihood is concave in the share
        middle = (low + high) / 2
        if float((change / np.maximum(own + middle * change, 1e-300)).sum()) > 0:
            low = middle
        else:
            high = middle
    return float(-np.log(np.maximum(own + low * change, 1e-300)).mean())
