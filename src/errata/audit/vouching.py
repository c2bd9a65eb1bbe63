"""How precise the list of suspicious rows is, estimated without knowing a single true label.

Three things are needed: how many labels are wrong, how sharply the model tells right from wrong, and how both err.

*How many.* The confident joint counts a model's own mistakes as wrong labels, so it is too high where the model is
weak. Among the rows of which the model is surest, its mistakes are few and what disagrees is mostly wrong labels: the
share of other labels there, class by class, is the second estimate (``confident_share``). The smaller of the two is
taken.

*How sharply.* Each row's probability of its given label becomes a chance to be right by ``shifted_odds``, so that the
chances add up to the number of right labels; the mean over the head of the list is the precision.

*How far it may be off.* Both estimates above are too high where the model is so weak that even its surest predictions
are often wrong. No label's own row taught the model that judges it, since the probabilities are out-of-sample; so
putting another label in its place changes nothing but its own score. ``planted_share`` plants such labels, drawn from
the estimated transition, and sees where they rank: at the far end of the list, where hardly any right label lies, the
rows there are to the planted ones there as the wrong labels are to all. Planted errors are easier to find than
people's, which follow from the item; so this share is right for errors at random, and too low for others: it is the
lower end. At the upper end stand the larger number of errors, a sharper model, and the noise taken off by its
transition (``denoised``). Each end is widened by the sampling error.

What no method can see is an error that the model would make too: labels made by rules that can be learned (keywords,
another model) look right to it. There the number of errors is underestimated, and the stated precision is too low.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from errata.audit.trust import sharpness, shifted_odds
from errata.labels import MISSING
from errata.vouching import Vouched

__all__ = ["confident_share", "denoised", "planted_share", "vouch"]

LENGTHS = 160  # at most so many lengths of the list are told
SAMPLE_VALUES = 4_000_000  # probabilities that the sample's rows hold together
SUREST = 0.2  # share of a class's rows that the model is surest of
LEAST_ROWS = 20
LEAST_LABELS = 50  # under which nothing is stated
NORMAL = 1.645  # of a 90 % interval
MOST_CLASSES = 200  # above which the transition matrix is not taken off
STEPS = 30
SMOOTH = 0.02  # share of the planted labels that goes to any class
LEAST_HEAD = 9
SHARPER = 2.0  # for the upper end: errors that follow from the item are found better than the scores let expect


def vouch(
    codes: np.ndarray, pred_probs: np.ndarray, order: np.ndarray, *, joint_rate: float, own: np.ndarray | None = None
) -> Vouched | None:
    """Estimate the precision of a list of suspicious rows by its length.

    Parameters
    ----------
    codes : (N,) given labels in [0, K), -1 where missing
    pred_probs : (N, K) out-of-sample probabilities
    order : (N,) positions, the most suspicious first; unlabelled rows last
    joint_rate : share of wrong labels that the confident joint estimates
    own : (N,) the probabilities of the given labels, if they are at hand

    Returns
    -------
    Vouched, or None where fewer than 50 rows have labels

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true = rng.integers(3, size=3000)
    >>> probs = np.full((3000, 3), 0.05)
    >>> probs[np.arange(3000), true] = 0.9
    >>> given = np.where(rng.random(3000) < 0.1, (true + 1) % 3, true)
    >>> order = np.argsort(probs[np.arange(3000), given], kind="stable")
    >>> found = vouch(given, probs, order, joint_rate=0.1)
    >>> bool(found.low[0] <= (given != true)[order[:found.n[0]]].mean() <= found.high[0])
    True
    """
    listed = order[codes[order] != MISSING]
    if len(listed) < LEAST_LABELS:
        return None
    own = pred_probs[np.arange(len(codes)), codes] if own is None else own
    rows = _sample(codes, pred_probs.shape[1])
    sample, given = np.asarray(pred_probs[rows], dtype=np.float64), codes[rows]
    share, transition, prior = confident_share(given, sample)
    spread = NORMAL * np.sqrt(share * (1 - share) / max(1.0, SUREST * len(rows)))
    slope = sharpness(codes, pred_probs)
    at_least = min(joint_rate, share - spread, planted_share(given, sample, transition)) * 0.9
    rates = _Rates(min(joint_rate, share), at_least, max(joint_rate, share + spread))
    n = _lengths(len(listed))
    score = own[listed].astype(np.float32)
    precision = _heads(score, rates.best, slope)[n - 1]
    low = _heads(score, rates.low, min(slope, 1.0))[n - 1]
    high = np.maximum(precision, _heads(score, rates.high, SHARPER * max(slope, 1.0))[n - 1])
    if pred_probs.shape[1] <= MOST_CLASSES:
        high = np.maximum(high, _denoised_heads(given, sample, transition, prior, rows, listed, len(codes))[n - 1])
    low = np.minimum(low, precision)
    errors = rates.best * len(listed)
    found = precision * n
    return Vouched(
        n,
        precision,
        np.clip(low - _sampling(low, n), 0.0, 1.0),
        np.clip(high + _sampling(high, n), 0.0, 1.0),
        np.clip(found / max(errors, 1e-9), 0.0, 1.0),
        np.maximum(errors - found, 0.0),
        errors,
    )


def confident_share(codes: np.ndarray, pred_probs: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The share of wrong labels, read off where the model is surest.

    Parameters
    ----------
    codes : (n,) given labels in [0, K)
    pred_probs : (n, K) out-of-sample

    Returns
    -------
    share in [0, 1]; the transition (K, K) with T[i, j] = P(given = j | true = i); the classes' true shares (K,)

    References
    ----------
    The rows of highest probability as anchor points of the transition: Patrini et al., "Making deep neural networks
    robust to label noise", CVPR 2017.
    """
    from scipy.optimize import nnls

    classes = pred_probs.shape[1]
    guess = pred_probs.argmax(1)
    transition = np.eye(classes)
    for k in range(classes):
        rows = np.flatnonzero(guess == k)
        if len(rows) < LEAST_ROWS:
            continue
        most = max(LEAST_ROWS, round(SUREST * len(rows)))
        surest = rows[np.argpartition(-pred_probs[rows, k], most - 1)[:most]]
        transition[k] = np.bincount(codes[surest], minlength=classes) / most
    shares = np.bincount(codes, minlength=classes) / max(1, len(codes))
    weight = 100.0  # of the condition that the shares sum to one
    prior, _ = nnls(np.vstack([transition.T, weight * np.ones(classes)]), np.append(shares, weight))
    return float(1 - (prior * transition.diagonal()).sum() / prior.sum()), transition, prior / prior.sum()


def denoised(codes: np.ndarray, pred_probs: np.ndarray, transition: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """P(given label is right) once the noise is taken off the probabilities.

    Each row's distribution of true classes is the one that, sent through the transition, is nearest to the row's
    probabilities of given classes (expectation maximisation from the prior).

    Parameters
    ----------
    codes : (n,) given labels in [0, K)
    pred_probs : (n, K) of the given labels
    transition, prior : see ``confident_share``

    Returns
    -------
    (n,) in [0, 1]
    """
    true = np.repeat(prior[None], len(codes), axis=0)
    for _ in range(STEPS):
        true *= (pred_probs / np.maximum(true @ transition, 1e-9)) @ transition.T
        true /= np.maximum(true.sum(1, keepdims=True), 1e-300)
    rows = np.arange(len(codes))
    right = true[rows, codes] * transition[codes, codes] / np.maximum((true @ transition)[rows, codes], 1e-9)
    return np.clip(right, 0.0, 1.0)


def planted_share(codes: np.ndarray, pred_probs: np.ndarray, transition: np.ndarray) -> float:
    """The share of wrong labels, read off where planted wrong labels rank; too low where errors follow from the item.

    Let B be the share of planted labels that score at or under some threshold and F that of the given ones. If so low
    a score hardly ever belongs to a right label, F is B times the share of wrong labels; elsewhere it is more. So the
    smallest ratio is taken, among thresholds where both are known well enough, after what was wrong already among the
    labels that were replaced is taken off B.

    Parameters
    ----------
    codes : (n,) given labels in [0, K)
    pred_probs : (n, K) out-of-sample
    transition : (K, K) with T[i, j] = P(given = j | true = i); the planted labels follow its off-diagonal part

    References
    ----------
    The estimate of a mixture's share from its best bin: Garg et al., "Mixture proportion estimation and PU learning: a
    modern approach", NeurIPS 2021, arXiv 2111.00980.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true = rng.integers(4, size=4000)
    >>> probs = rng.dirichlet([0.5] * 4, size=4000) * 0.3
    >>> probs[np.arange(4000), true] += 0.7
    >>> given = np.where(rng.random(4000) < 0.2, (true + rng.integers(1, 4, size=4000)) % 4, true)
    >>> abs(planted_share(given, probs, np.full((4, 4), 0.1)) - 0.2) < 0.03
    True
    """
    n, classes = pred_probs.shape
    wrong = transition * (1 - np.eye(classes))
    wrong += SMOOTH * (1 - np.eye(classes)) * wrong.sum() / classes**2 + 1e-12
    often = wrong.sum(1)
    towards = wrong / often[:, None]
    counts = np.bincount(codes, minlength=classes) / n
    weights = (towards * often[:, None])[codes]
    weights /= weights.sum()
    came_from = wrong * counts[:, None]
    back = float((came_from / came_from.sum() * towards.T).sum())  # planted labels that put a wrong label right
    own = np.sort(pred_probs[np.arange(n), codes])
    scores, order = pred_probs.ravel(), np.argsort(pred_probs, axis=None, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(weights.ravel()[order])])
    planted = total[np.searchsorted(scores[order], own, side="right")]
    given = np.arange(1, n + 1) / n
    weight = 1 / (weights.sum(1) ** 2).sum()
    return _best_bin(given, planted, n, min(n, weight), back)


def _best_bin(given: np.ndarray, planted: np.ndarray, n: int, weight: float, back: float) -> float:
    share = 0.0
    for _ in range(STEPS):
        off = share * back / (1 - share)
        bad = np.clip((planted - off * given) / max(1 - share * back - off * share, 0.05), 1e-9, 1.0)
        upper = given + 2 * (np.sqrt(given * (1 - given) / n) + 1 / n)
        lower = bad - 2 * (np.sqrt(bad * (1 - bad) / weight) + 1 / weight)
        bound = upper / np.maximum(lower, 1e-9)
        best = int(np.argmin(bound[LEAST_HEAD:])) + LEAST_HEAD
        share = 0.5 * (share + min(0.95, given[best] / bad[best]))
    return float(share)


@dataclass(frozen=True)
class _Rates:
    """Shares of wrong labels: the best guess, and a low and a high one."""

    best: float
    low: float
    high: float


def _sample(codes: np.ndarray, classes: int) -> np.ndarray:
    rows = np.flatnonzero(codes != MISSING)
    most = max(LEAST_LABELS * 10, SAMPLE_VALUES // classes)
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _lengths(total: int) -> np.ndarray:
    """Lengths of the list: close together at its head, every hundredth or so later."""
    return np.unique(np.geomspace(min(10, total), total, LENGTHS).round().astype(np.int64))


def _heads(score: np.ndarray, rate: float, slope: float) -> np.ndarray:
    """The mean distrust over every head of the list."""
    wrong = 1.0 - shifted_odds(score, max(rate, 1e-6), slope).astype(np.float64)
    return np.cumsum(wrong) / np.arange(1, len(score) + 1)


def _denoised_heads(
    codes: np.ndarray,
    sample: np.ndarray,
    transition: np.ndarray,
    prior: np.ndarray,
    rows: np.ndarray,
    listed: np.ndarray,
    total: int,
) -> np.ndarray:
    """The same from the sampled rows: heads that hold no sampled row take the next one's value."""
    wrong = np.full(total, np.nan)
    wrong[rows] = 1.0 - denoised(codes, sample, transition, prior)
    along = wrong[listed]
    known = ~np.isnan(along)
    counts = np.cumsum(known)
    means = np.cumsum(np.where(known, along, 0.0)) / np.maximum(counts, 1)
    first = int(np.argmax(known))
    means[:first] = means[first]
    return means


def _sampling(share: np.ndarray, n: np.ndarray) -> np.ndarray:
    return NORMAL * np.sqrt(np.clip(share * (1 - share), 0.25 / (n + 4), None) / n)
