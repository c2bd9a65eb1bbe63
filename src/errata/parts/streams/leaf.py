"""A leaf of a multi-label Hoeffding tree: label counts, Gaussians that propose splits, and three classifiers.

Labels that have not been seen at the leaf take no room and no time there; a row is added when one first comes. Rows 0
and 1 are the total and the events without any label, see ``errata.parts.streams.merit``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np
from scipy.linalg.blas import sger
from scipy.special import expit, ndtr

from errata.parts.streams.events import Event
from errata.parts.streams.merit import EMPTY, TOTAL, label_entropy, split_merit

__all__ = ["Gaussians", "Neighbours", "Regressions", "Split", "best_splits"]

FEW = 64  # counts up to which plain numbers are faster than arrays
CHUNK = 1 << 21  # counts that are looked at together when splits are compared
INTERCEPT_RATE = 0.01  # River's, for logistic regression


class Gaussians:
    """Per count and feature: weight, mean, variance and range of the values, in arrays (rows, features)."""

    def __init__(self) -> None:
        self.weight = np.zeros((0, 0))
        self.mean = np.zeros((0, 0))
        self.m2 = np.zeros((0, 0))
        self.low = np.zeros((0, 0), dtype=np.float32)
        self.high = np.zeros((0, 0), dtype=np.float32)

    @property
    def nbytes(self) -> int:
        """The memory that the arrays take."""
        return 3 * self.mean.nbytes + 2 * self.low.nbytes

    def update(self, rows: Sequence[int], event: Event, weight: float) -> None:
        """Let the event's values count in these rows, each named once; missing values don't."""
        x = event.x
        self._room(max(rows) + 1, len(x))
        # a slice is a view, and costs half of what picking rows does; most events have none of a cluster's labels
        at = slice(0, 2) if rows == [TOTAL, EMPTY] else np.asarray(rows)
        old = self.mean[at]
        if event.whole:
            total = self.weight[at] + weight
            delta = x - old
            mean = old + delta * (weight / total)
            after = x - mean
        else:
            total = self.weight[at] + weight * ~np.isnan(x)
            delta = np.nan_to_num(x - old)
            mean = old + delta * (weight / np.where(total > 0, total, 1.0))
            after = np.nan_to_num(x - mean)
        self.m2[at] += weight * delta * after
        self.weight[at], self.mean[at] = total, mean
        self.low[at], self.high[at] = np.fmin(self.low[at], x), np.fmax(self.high[at], x)

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows stay, in this order."""
        there = np.asarray([row for row in rows if row < len(self.mean)], dtype=np.int64)
        self.weight, self.mean, self.m2 = self.weight[there], self.mean[there], self.m2[there]
        self.low, self.high = self.low[there], self.high[there]

    def _room(self, rows: int, width: int) -> None:
        have, wide = self.mean.shape
        if rows <= have and width <= wide:
            return
        grown = have if rows <= have else max(rows, 2 * have, 4)
        more = ((0, grown - have), (0, max(width, wide) - wide))
        self.weight, self.mean, self.m2 = (np.pad(a, more) for a in (self.weight, self.mean, self.m2))
        self.low = np.pad(self.low, more, constant_values=np.nan)
        self.high = np.pad(self.high, more, constant_values=np.nan)

    def thresholds(self, rows: int, n_splits: int) -> tuple[np.ndarray, np.ndarray]:
        """The features that vary, (V,), and candidate thresholds (V, n_splits), evenly over each one's range."""
        if not len(self.mean):
            return np.zeros(0, dtype=np.int64), np.zeros((0, n_splits))
        low, high = self.low[TOTAL].astype(np.float64), self.high[TOTAL].astype(np.float64)
        with np.errstate(invalid="ignore"):
            varied = np.flatnonzero(high > low)
        steps = np.arange(1, n_splits + 1) / (n_splits + 1.0)
        return varied, low[varied, None] + (high - low)[varied, None] * steps

    def left_counts(self, rows: int, features: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, V, S) how much of each count would go left, and in all, by the Gaussians' distribution functions."""
        weight = self.weight[:rows, features, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            sd = np.sqrt(self.m2[:rows, features] / np.maximum(self.weight[:rows, features] - 1.0, 1e-9))
            z = (thresholds - self.mean[:rows, features, None]) / sd[:, :, None]
            left = weight * ndtr(np.nan_to_num(z))
            left = np.where(thresholds < self.low[:rows, features, None], 0.0, left)
            left = np.where(thresholds >= self.high[:rows, features, None], weight, left)
        return np.where(weight > 0, left, 0.0), np.broadcast_to(weight, left.shape)


@dataclass(frozen=True)
class Split:
    """A candidate: events with ``x[feature] <= threshold`` go left. ``left`` and ``right`` are the counts expected."""

    merit: float
    feature: int
    threshold: float
    left: np.ndarray
    right: np.ndarray


def best_splits(gaussians: Gaussians, counts: np.ndarray, n_splits: int, fraction: float) -> tuple[Split | None, float]:
    """The best split of all, and the merit of the best one on another feature; None and -inf where there is none.

    Parameters
    ----------
    counts : (R,) the leaf's counts
    n_splits : thresholds tried per feature
    fraction : see ``split_merit``
    """
    rows = min(len(counts), len(gaussians.mean))
    features, thresholds = gaussians.thresholds(rows, n_splits)
    best: Split | None = None
    second = -np.inf
    step = max(1, CHUNK // (max(rows, 1) * n_splits))
    for start in range(0, len(features), step):
        some = features[start : start + step]
        left, whole = gaussians.left_counts(rows, some, thresholds[start : start + step])
        merits = split_merit(counts[:rows], np.stack([left, whole - left]), fraction)
        per_feature = merits.max(axis=1)
        order = np.argsort(-per_feature, kind="stable")[:2]
        for place in order:
            merit = float(per_feature[place])
            if not np.isfinite(merit):
                continue
            if best is None or merit > best.merit:
                second = max(second, best.merit if best is not None else -np.inf)
                at = int(merits[place].argmax())
                sides = left[:, place, at].copy(), (whole - left)[:, place, at].copy()
                best = Split(merit, int(some[place]), float(thresholds[start + place, at]), *sides)
            else:
                second = max(second, merit)
    return best, float(second)


class Neighbours:
    """Label powerset over the k nearest of the leaf's last events: they vote with their whole label sets.

    Only what is still in the stream's ``Past`` can vote, so the features are kept once for all leaves.

    Parameters
    ----------
    k, window : how many vote, out of how many
    """

    def __init__(self, k: int = 4, window: int = 170) -> None:
        self.k = k
        self.stamps: deque[int] = deque(maxlen=window)
        self.sets: deque[tuple[int, ...]] = deque(maxlen=window)

    def learn(self, event: Event, present: Iterable[int]) -> None:
        """Remember the event."""
        self.stamps.append(event.stamp)
        self.sets.append(tuple(present))

    def votes(self, event: Event) -> dict[int, float]:
        """The share of the vote of each label that any of the nearest has, nearer ones counting more."""
        past = event.past
        oldest = past.count - min(past.count, past.size)
        while self.stamps and self.stamps[0] < oldest:
            self.stamps.popleft()
            self.sets.popleft()
        if not self.stamps:
            return {}
        found: dict[int, float] = {}
        for place, weight in zip(*event.nearest(self.stamps, self.k), strict=True):
            for label in self.sets[place]:
                found[label] = found.get(label, 0.0) + weight
        return found

    def __deepcopy__(self, memo: Any) -> Neighbours:
        made = Neighbours(self.k, self.stamps.maxlen or 1)
        made.stamps.extend(self.stamps)
        made.sets.extend(self.sets)  # label sets are tuples of numbers: nobody changes them
        return made

    def keep(self, labels: set[int]) -> None:
        """Only these labels stay in the sets."""
        kept = [tuple(label for label in one if label in labels) for one in self.sets]
        self.sets = deque(kept, maxlen=self.sets.maxlen)

    def part(self, goes: dict[int, bool]) -> Neighbours:
        """Those remembered events whose stamp ``goes`` to this side."""
        part = Neighbours(self.k, self.stamps.maxlen or 1)
        for stamp, labels in zip(self.stamps, self.sets, strict=True):
            if goes.get(stamp):
                part.stamps.append(stamp)
                part.sets.append(labels)
        return part


class Regressions:
    """Binary relevance: per label the mean of bagged logistic regressions, all in one array (features, labels x bags).

    Parameters
    ----------
    bags : regressions per label, each learning an event Poisson(1) times
    rate : of stochastic gradient descent
    """

    def __init__(self, bags: int = 10, rate: float = 0.3) -> None:
        self.bags, self.rate = bags, rate
        self.w = np.zeros((0, 0), dtype=np.float32)
        self.b = np.zeros(0, dtype=np.float32)

    @property
    def nbytes(self) -> int:
        """The memory that the arrays take."""
        return self.w.nbytes + self.b.nbytes

    def _each(self, event: Event) -> np.ndarray:
        """(labels, bags) what each regression says, for the labels that there is room for."""
        at = event.nonzero
        return expit(event.z[at] @ self.w[: len(event.z)][at] + self.b).reshape(-1, self.bags)

    def proba(self, event: Event, labels: int) -> np.ndarray:
        """(labels,) the probability of each."""
        self._room(labels, len(event.z))
        said = event.said[self] = self._each(event)  # asked for again when the event is learned
        return np.add.reduce(said[:labels], axis=1) / self.bags

    def learn(self, event: Event, labels: int, present: Sequence[int], times: np.ndarray) -> None:
        """A step on the log loss for every label, the ``present`` ones being there.

        Parameters
        ----------
        labels : how many rows there are
        present : the rows of the labels that are there
        times : (bags,) how often each regression learns the event
        """
        self._room(labels, len(event.z))
        error = event.said.pop(self, None)
        if error is None or error.size != len(self.b):
            error = self._each(event)
        for row in present:
            error[row] -= 1.0
        error *= self.rate * times
        error[labels:] = 0.0
        step = error.ravel()
        at = event.nonzero
        if isinstance(at, slice):  # a rank-one update in place; BLAS wants columns first, which the transpose has
            sger(-1.0, step, event.z, a=self.w[: len(event.z)].T, overwrite_a=1)
        else:
            self.w[at] -= event.z[at][:, None] * step
        self.b -= (INTERCEPT_RATE / self.rate) * step

    def _room(self, labels: int, width: int) -> None:
        wide, have = self.w.shape[0], self.w.shape[1] // self.bags
        if labels <= have and width <= wide:
            return
        more = 0 if labels <= have else (max(labels, 2 * have) - have) * self.bags
        self.w = np.pad(self.w, ((0, max(width, wide) - wide), (0, more)))
        self.b = np.pad(self.b, (0, more))

    def keep(self, labels: Sequence[int]) -> None:
        """Only the regressions of these rows stay, in this order."""
        there = [row for row in labels if row < len(self.b) // self.bags]
        width = self.w.shape[0]
        self.w = np.ascontiguousarray(self.w.reshape(width, -1, self.bags)[:, there].reshape(width, -1))
        self.b = self.b.reshape(-1, self.bags)[there].ravel()

    def copy(self) -> Regressions:
        """The same weights, to go on from."""
        made = Regressions(self.bags, self.rate)
        made.w, made.b = self.w.copy(), self.b.copy()
        return made


def is_pure(counts: np.ndarray, threshold: float) -> bool:
    """Whether the entropy of a leaf's counts (``label_entropy``) is below a threshold, in bits.

    Examples
    --------
    >>> is_pure(np.array([4.0, 0.0, 2.0, 4.0]), 1.1), is_pure(np.array([4.0, 0.0, 2.0, 4.0]), 1.0)
    (True, False)
    """
    if len(counts) > FEW:
        return float(label_entropy(counts)) < threshold
    own = counts.tolist()  # of few counts, arrays cost more than they save
    largest, entropy, some = max(own), 0.0, 0
    for count in own[EMPTY:]:
        if count > 0:
            some += 1
            if count < largest:
                p = count / largest
                entropy -= p * log2(p) + (1.0 - p) * log2(1.0 - p)
            if entropy >= threshold and some > 1:
                return False
    return some < 2 or entropy < threshold


def largest_share(counts: np.ndarray) -> float:
    """The share that the most frequent label, or the absence of any, has of the total."""
    return float(counts[EMPTY:].max() / counts[TOTAL]) if counts[TOTAL] > 0 else 0.0
