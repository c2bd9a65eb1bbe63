"""Confident learning written down row by row and pair by pair, to compare the fast one with. Slow, and plain."""

from __future__ import annotations

import numpy as np


def round_row(values: np.ndarray) -> np.ndarray:
    """Round to integers of the same sum: the largest remainders go up, or the smallest down."""
    rounded = values.round()
    missing = int((values.sum().round() - rounded.sum()).round())
    order = np.argsort(values - rounded)
    for i in order[::-1][:missing] if missing > 0 else order[:-missing]:
        rounded[i] += np.sign(missing)
    return rounded


class Naive:
    """The rules on (N,) labels and (N, K) probabilities of float32 or float64; -1 is a missing label."""

    def __init__(self, given: np.ndarray, probs: np.ndarray) -> None:
        self.keep = [i for i in range(len(given)) if given[i] >= 0]
        self.given, self.probs, self.n, self.k = given, probs, len(given), probs.shape[1]
        self.eps = probs.dtype.type(1e-6)
        self.thresholds = np.full(self.k, np.inf)
        for c in range(self.k):
            if (given == c).any():
                self.thresholds[c] = max(float(probs[given == c, c].mean()), 2e-6)
        self.guess = {i: self.confident_class(i) for i in self.keep}
        self.counts = np.array([(given == c).sum() for c in range(self.k)])
        self.pairs = np.zeros((self.k, self.k))
        for i in self.keep:
            if self.guess[i] is not None:
                self.pairs[given[i], self.guess[i]] += 1
        for c in range(self.k):
            self.pairs[c, c] = max(self.pairs[c, c], 1)
        self.joint = self.calibrate()
        self.quota = self.keep_one()

    def confident_class(self, i: int) -> int | None:
        # in the probabilities' own precision, unless a class is absent: its threshold is no single-precision number
        kind = np.float64 if np.isinf(self.thresholds).any() else self.probs.dtype.type
        cut = [kind(t) - kind(1e-6) for t in self.thresholds]
        above = [c for c in range(self.k) if self.probs[i, c] >= cut[c]]
        if not above:
            return None
        return above[0] if len(above) == 1 else int(self.probs[i].argmax())

    def calibrate(self) -> np.ndarray:
        scaled = np.array([self.pairs[c] / self.pairs[c].sum() * self.counts[c] for c in range(self.k)])
        total = np.array([scaled[:, c] for c in range(self.k)]).sum()
        return np.array([round_row(row) for row in scaled / total * self.counts.sum()])

    def keep_one(self) -> np.ndarray:
        quota = self.joint.copy()
        for c in range(self.k):
            if self.joint[c, c] < 1:
                others = max(np.count_nonzero(self.joint[c]) - 1, 1)
                quota[c] = np.maximum(self.joint[c] - (1 - self.joint[c, c]) / others, 0)
                quota[c, c] = 1
        return np.floor(quota)

    def safe(self, i: int) -> bool:
        raised = self.probs[i].copy()
        raised[self.given[i]] += self.eps
        return int(raised.argmax()) == self.given[i]

    def prune_by_noise_rate(self) -> set[int]:
        flagged = set()
        for c in range(self.k):
            rows = [i for i in self.keep if self.given[i] == c]
            for j in range(self.k):
                if j != c and len(rows) > 1:
                    by_lead = sorted(rows, key=lambda i: (-(self.probs[i, j] - self.probs[i, c]), i))
                    flagged |= set(by_lead[: int(self.quota[c, j])])
        return {i for i in flagged if not self.safe(i)}

    def prune_by_class(self) -> set[int]:
        flagged = set()
        for c in range(self.k):
            rows = sorted((i for i in self.keep if self.given[i] == c), key=lambda i: (self.probs[i, c], i))
            if len(rows) > 1:
                flagged |= set(rows[: int(self.counts[c] - self.quota[c, c])])
        return {i for i in flagged if not self.safe(i)}

    def both(self) -> set[int]:
        return self.prune_by_noise_rate() & self.prune_by_class()

    def confident_learning(self) -> set[int]:
        return {i for i in self.keep if self.guess[i] not in (None, self.given[i]) and not self.safe(i)}

    def predicted_neq_given(self) -> set[int]:
        return {i for i in self.keep if not self.safe(i)}

    def self_confidence(self, i: int) -> float:
        return self.probs[i, self.given[i]]

    def normalized_margin(self, i: int) -> float:
        others = [self.probs[i, c] for c in range(self.k) if c != self.given[i]]
        return (self.self_confidence(i) - max(others) + 1) / 2

    def low_self_confidence(self) -> set[int]:
        return set(sorted(self.keep, key=lambda i: (self.self_confidence(i), i))[: len(self.confident_learning())])

    def low_normalized_margin(self) -> set[int]:
        return set(sorted(self.keep, key=lambda i: (self.normalized_margin(i), i))[: len(self.confident_learning())])
