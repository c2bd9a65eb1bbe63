"""How precise the list of suspicious rows is, estimated without knowing a single true label.

Three things are needed: how many labels are wrong, how sharply the model tells right from wrong, and how both err.

*How many.* The confident joint counts a model's own mistakes as wrong labels, so it is too high where the model is
weak. Among the rows of which the model is surest, its mistakes are few and what disagrees is mostly wrong labels: the
share of other labels there is the second estimate (``confident_share``). The third comes from planted
errors (``plant``). No row's label taught the model that judges it, since the probabilities are out-of-sample; so
putting another label in its place changes nothing but its own score. Labels that differ from the model's prediction are
planted, drawn from the estimated transition, and ranked: at the far end of the list, where hardly any right label lies,
the rows there are to the planted ones there as the wrong labels are to all. Planting upon the prediction rather than
upon the given label takes off what was wrong already. Each is too high for a weak model, the last one least, and the
last one is too low for errors that follow from the item; ``_rates`` says which is taken.

*How sharply.* Each row's probability of its given label becomes a chance to be right by ``shifted_odds``, so that the
chances add up to the number of right labels; the mean over the head of the list is the estimated precision.

*How far it may be off.* People's errors follow from the item, and so stand less at the head of the list than the
model's odds let expect; and where the model is weak, the share of errors is more often too high. How well the planted
errors are told apart from the given labels measures its strength: at the lower end of the interval the odds are
flattened and the share is lowered by it, and by how far wrong labels of a class favour one other class (``favoured``),
for which of the two is right is then hard to tell; and rows of classes that the model seldom believes in are raised
(``fair``).
At the upper end stand the larger share and sharper odds, or, where that is more, all labels that the model contradicts:
nothing in the labels says that a contradicted one is right. Each end is widened by the sampling error. How far to
flatten was chosen on data with known errors, and is no law.

What no method can see is an error that the model would make too: labels made by rules that can be learned (keywords,
another model) look right to it. There the number of errors is underestimated, and the stated precision is too low. Rows
checked at random are the way out: ``errata.audit.checked``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from errata.audit.trust import logit_counts, sharpness, shift_for, with_shift
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.vouching import Vouched

__all__ = [
    "Listed",
    "Planted",
    "confident_share",
    "contradicted",
    "favoured",
    "plant",
    "sample_places",
    "vouch",
    "vouch_list",
    "vouched_for",
]

LENGTHS = 160  # at most so many lengths of the list are told
AT_ONCE = 65_536  # rows whose probabilities are looked at together
SAMPLE_VALUES = 4_000_000  # probabilities that the sample's rows hold together
SUREST = 0.2  # share of a class's rows that the model is surest of
LEAST_ROWS = 20
LEAST_LABELS = 50  # under which nothing is stated
NORMAL = 1.645  # of a 90 % interval
SMOOTH = 0.02  # share of the planted labels that goes to any class
LEAST_HEAD = 9
FLATTER = 0.75  # for the lower end, times the strength: errors that follow from the item stand less at the head
PAIRED, FLATTEST = 2.0, 0.05  # how much flatter where wrong labels favour one other class, and the flattest
SHARPER = 3.0  # for the upper end
FEWER, MORE = 0.5, 1.2  # for the ends of the number of errors, the first times the strength
HALF = 0.5  # of what the first two estimates say is wrong in any case
CLEAN = 0.01  # share of wrong labels that may be the model's mistakes in clean data too
WEAK = 0.75  # strength under which it is said that the model is weak
UNSETTLED = (1.5, 0.03)  # or where the largest estimate is more than so many times the best one, and so much more

MISTAKEN = (0.05, 0.1)  # contradicted labels beyond those estimated wrong: from none to all of the model's own making

RULES = (
    "Errors that a model makes too, such as labels made by a rule or by another model, can’t be seen from the labels "
    "alone; where there are such, more is wrong than stated. Rows checked at random tell: `errata review DIR --random "
    "100`, then `errata vouch DIR`."
)
WEAKNESS = (
    "The model is often wrong even where it is surest, so its own mistakes can hardly be told from wrong labels: the "
    "precision and the number of errors are rough. A better model, or rows checked at random, tell more."
)


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
    labelled = np.flatnonzero(codes != MISSING)
    rows = labelled[sample_places(len(labelled), pred_probs.shape[1])]
    found = Listed(own[listed].astype(np.float32), codes[listed], contradicted(codes, pred_probs)[listed])
    return vouch_list(found, codes[rows], pred_probs[rows], joint_rate=joint_rate, slope=sharpness(codes, pred_probs))


@dataclass(frozen=True)
class Listed:
    """The list of suspicious rows, the most suspicious first; of a long one, an even sample stands for the later rows.

    Parameters
    ----------
    score : (M,) float32, the probabilities of the given labels
    codes : (M,) given labels in [0, K)
    against : (M,) bool, the model finds another class more probable
    stands : (M,) for how many rows each stands; by default each for itself
    """

    score: np.ndarray
    codes: np.ndarray
    against: np.ndarray
    stands: np.ndarray | None = None

    @property
    def rows(self) -> np.ndarray:
        """(M,) float64, how many rows each stands for."""
        return np.ones(len(self.score)) if self.stands is None else np.asarray(self.stands, dtype=np.float64)


def vouch_list(
    listed: Listed, given: np.ndarray, sample: np.ndarray, *, joint_rate: float, slope: float
) -> Vouched | None:
    """``vouch`` of what it needs of all rows: the list, and a sample of the rows with all their probabilities.

    Parameters
    ----------
    listed : the rows with labels
    given, sample : (n,) labels and (n, K) out-of-sample probabilities of rows at ``sample_places``
    joint_rate : share of wrong labels that the confident joint estimates
    slope : the probabilities' ``sharpness``
    """
    score, rows = listed.score, listed.rows
    total = round(float(rows.sum()))
    if total < LEAST_LABELS:
        return None
    sample = np.asarray(sample, dtype=np.float64)
    share, transition = confident_share(given, sample)
    planted = plant(given, sample, transition)
    best, least, most, settled = _rates(joint_rate, share, planted.share, float((sample.argmax(1) != given).mean()))
    strength = planted.strength(least)
    at = _lengths(len(score)) - 1
    n = np.cumsum(rows)[at].round().astype(np.int64)
    precision = _heads(score, best, min(slope, 1.0) + settled * (max(slope, 1.0) - 1.0), rows)[at]
    weak = strength < WEAK or most > UNSETTLED[0] * least + UNSETTLED[1]
    pairs = favoured(transition, sample)
    share_low = max(0.0, least * strength ** (1.0 if weak else 0.5) * (1 - pairs) - CLEAN)
    flat = FLATTER * strength * max(FLATTEST, 1 - PAIRED * pairs)
    low = _heads(fair(score, listed.codes, rows), share_low, flat * min(slope, 1.0), rows)[at]
    high = np.maximum(precision, _heads(score, most, SHARPER * max(slope, 1.0), rows)[at])
    against = np.cumsum(listed.against * rows)
    high = np.maximum(high, against[at] / n)
    low = np.minimum(low, precision)
    errors = best * total
    errors_high = MORE * most * total + NORMAL * float(np.sqrt(max(most * (1 - most), 0.0) * total))
    found = precision * n
    return Vouched(
        n,
        precision,
        np.clip(low - _sampling(low, n), 0.0, 1.0),
        np.clip(high + NORMAL * _sampling(high, n), 0.0, 1.0),
        np.clip(found / max(errors, 1e-9), 0.0, 1.0),
        np.maximum(errors - found, 0.0),
        errors,
        errors_low=max(0.0, FEWER * strength * least - CLEAN) * total,
        errors_high=max(errors_high, float(against[-1])),
        notes=(WEAKNESS, RULES) if weak else (RULES,),
    )


def vouched_for(ledger: Ledger, pred_probs: np.ndarray) -> Ledger:
    """The ledger, its list's precision estimated when it is first asked for.

    Parameters
    ----------
    ledger : with the column ``self_confidence``, by whatever order
    pred_probs : (N, K) out-of-sample probabilities
    """
    own = ledger.columns["self_confidence"]
    ledger.vouched = lambda: vouch(ledger.given, pred_probs, ledger.order, joint_rate=ledger.noise.rate, own=own)
    return ledger


def contradicted(codes: np.ndarray, pred_probs: np.ndarray) -> np.ndarray:
    """(N,) bool, the labelled rows of which the model finds another class more probable.

    Examples
    --------
    >>> contradicted(np.array([0, 0, -1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.2, 0.8]]))
    array([False,  True, False])
    """
    found = np.zeros(len(codes), dtype=bool)
    for start in range(0, len(codes), AT_ONCE):
        part, given = pred_probs[start : start + AT_ONCE], codes[start : start + AT_ONCE]
        found[start : start + AT_ONCE] = part.max(axis=1) > part[np.arange(len(given)), given]
    return found & (codes != MISSING)


def confident_share(codes: np.ndarray, pred_probs: np.ndarray) -> tuple[float, np.ndarray]:
    """The share of wrong labels, read off where the model is surest.

    Parameters
    ----------
    codes : (n,) given labels in [0, K)
    pred_probs : (n, K) out-of-sample

    Returns
    -------
    share of the labels that differ from the prediction, among the fifth of each predicted class of which the model is
    surest; and the transition (K, K) seen there, T[i, j] = P(given = j | true = i)

    References
    ----------
    The rows of highest probability as anchor points of the transition: Patrini et al., "Making deep neural networks
    robust to label noise", CVPR 2017.
    """
    classes = pred_probs.shape[1]
    guess = pred_probs.argmax(1)
    transition = np.eye(classes)
    other = seen = 0
    for k in range(classes):
        rows = np.flatnonzero(guess == k)
        if not len(rows):
            continue
        by_sureness = rows[np.argsort(-pred_probs[rows, k], kind="stable")]
        surest = codes[by_sureness[: max(1, round(SUREST * len(rows)))]]
        other, seen = other + int((surest != k).sum()), seen + len(surest)
        if len(rows) >= LEAST_ROWS:
            anchors = codes[by_sureness[: max(LEAST_ROWS, len(surest))]]
            transition[k] = np.bincount(anchors, minlength=classes) / len(anchors)
    return other / max(1, seen), transition


def favoured(transition: np.ndarray, pred_probs: np.ndarray) -> float:
    """How much more often a wrong label names one certain other class than any of the rest, in [0, 1].

    Parameters
    ----------
    transition : (K, K), T[i, j] = P(given = j | true = i)
    pred_probs : (n, K), for how common the classes are

    Examples
    --------
    >>> even, pair = np.full((3, 3), 0.15) + 0.55 * np.eye(3), np.array([[0.7, 0.3, 0], [0, 0.7, 0.3], [0.3, 0, 0.7]])
    >>> round(favoured(even, np.eye(3)), 2), round(favoured(pair, np.eye(3)), 2)
    (0.0, 0.3)
    """
    classes = len(transition)
    wrong = transition * (1 - np.eye(classes))
    most = wrong.max(axis=1)
    rest = (wrong.sum(axis=1) - most) / max(1, classes - 2)
    common = np.bincount(pred_probs.argmax(axis=1), minlength=classes) / max(1, len(pred_probs))
    return float(np.clip(most - rest, 0.0, 1.0) @ common)


@dataclass(frozen=True)
class Planted:
    """What planted wrong labels tell.

    Parameters
    ----------
    share : of wrong labels among the given ones, in [0, 1]
    apart : how often a planted label scores below a given one, in [0, 1]
    """

    share: float
    apart: float

    def strength(self, wrong: float) -> float:
        """How well the model tells a planted label from a right one, from 0, a guess, to 1.

        Parameters
        ----------
        wrong : share of wrong labels among the given ones, of which a planted label is told in half the cases
        """
        return float(np.clip(2 * (self.apart - 0.5 * wrong) / max(1 - wrong, 1e-9) - 1, 0.0, 1.0))


def plant(codes: np.ndarray, pred_probs: np.ndarray, transition: np.ndarray) -> Planted:
    """Plant wrong labels upon the predictions, and see where they rank.

    Let B be the share of planted labels that score at or under some threshold and F that of the given ones. If so low
    a score hardly ever belongs to a right label, F is B times the share of wrong labels; elsewhere it is more. So the
    smallest ratio is taken, among thresholds where both are known well enough.

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
    >>> found = plant(given, probs, np.full((4, 4), 0.1))
    >>> abs(found.share - 0.2) < 0.03, found.strength(found.share) > 0.9
    (True, True)
    """
    n, classes = pred_probs.shape
    wrong = transition * (1 - np.eye(classes))
    wrong += SMOOTH * (1 - np.eye(classes)) * wrong.sum() / classes**2 + 1e-12 * (1 - np.eye(classes))
    weights = wrong[pred_probs.argmax(1)]
    weights /= weights.sum()
    own = np.sort(pred_probs[np.arange(n), codes])
    order = np.argsort(pred_probs, axis=None, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(weights.ravel()[order])])
    ranked = pred_probs.ravel()[order]
    planted = np.clip(total[np.searchsorted(ranked, own, side="right")], 0.0, 1.0)
    below = np.clip(total[np.searchsorted(ranked, own, side="left")], 0.0, 1.0)
    given = np.arange(1, n + 1) / n
    weight = min(n, 1 / (weights.sum(1) ** 2).sum())
    upper = given + 2 * (np.sqrt(given * (1 - given) / n) + 1 / n)
    lower = planted - 2 * (np.sqrt(planted * (1 - planted) / weight) + 1 / weight)
    bound = upper / np.maximum(lower, 1e-9)
    best = int(np.argmin(bound[LEAST_HEAD:])) + LEAST_HEAD
    return Planted(min(0.95, float(given[best] / max(planted[best], 1e-9))), float((planted + below).mean() / 2))


def fair(score: np.ndarray, codes: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """(M,) float32, the scores of rows whose class the model seldom believes in, raised as if it did.

    A rare class that a model never predicts is no proof against its labels, though they score lowest of all. ``rows``:
    for how many rows each stands.
    """
    rows = np.ones(len(score)) if rows is None else rows
    totals = np.bincount(codes, weights=rows)
    means = np.bincount(codes, weights=score * rows) / np.maximum(totals, 1e-9)
    known = means[totals > 0]
    raised = float(np.median(known)) / np.maximum(means, 1e-9)
    return np.clip(score * np.maximum(raised, 1.0)[codes], 0.0, 1.0).astype(np.float32)


def _rates(joint: float, surest: float, planted: float, contradicted: float) -> tuple[float, float, float, float]:
    """The best estimate of the share of wrong labels, the least and the largest, and how far it is settled, in [0, 1].

    Where the model contradicts hardly more labels than the first two estimates say are wrong, it makes few mistakes of
    its own, and these two are right even for errors that follow from the item: it is settled. Else the smallest of the
    three is the least; the best is half of the first two at least, as planted errors tell too little of much noise that
    follows from the item.
    """
    counted = min(joint, surest)
    settled = float(np.clip((MISTAKEN[1] - (contradicted - counted)) / (MISTAKEN[1] - MISTAKEN[0]), 0.0, 1.0))
    least = settled * counted + (1 - settled) * min(counted, planted)
    return max(least, HALF * counted), least, max(planted, counted), settled


def sample_places(labelled: int, classes: int) -> np.ndarray:
    """Places among so many labelled rows of an even sample whose probabilities fit into memory.

    Examples
    --------
    >>> sample_places(4, 10), len(sample_places(10**9, 1000))
    (array([0, 1, 2, 3]), 4000)
    """
    most = max(LEAST_LABELS * 10, SAMPLE_VALUES // classes)
    return np.arange(labelled) if labelled <= most else np.linspace(0, labelled - 1, most).astype(np.int64)


def _lengths(total: int) -> np.ndarray:
    """Lengths of the list: close together at its head, every hundredth or so later."""
    return np.unique(np.geomspace(min(10, total), total, LENGTHS).round().astype(np.int64))


def _heads(score: np.ndarray, rate: float, slope: float, rows: np.ndarray) -> np.ndarray:
    """The mean distrust over every head of the list, as ``shifted_odds`` has it."""
    counts = sum(logit_counts(score[rows == many], slope) * many for many in np.unique(rows))
    wrong = 1.0 - with_shift(score, slope, shift_for(np.asarray(counts), max(rate, 1e-6))).astype(np.float64)
    return np.cumsum(wrong * rows) / np.cumsum(rows)


def _sampling(share: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.sqrt(np.clip(share * (1 - share), 0.25 / (n + 4), None) / n)
