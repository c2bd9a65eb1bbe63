"""Models for a sharded audit of features: a logistic regression per fold, learned from a bounded sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.audit.shards import Columns, Shard
from errata.errors import DataError

__all__ = ["Folds", "learn"]

LEARNED_FROM = 100_000
"""Rows of the sample, over all shards."""


@dataclass(frozen=True)
class Folds:
    """A model per fold; row r, counted over all shards, is in fold ``mixed(r) % folds`` and judged by that fold's.

    Parameters
    ----------
    weights : (F, D, K), biases : (F, K) of logistic regressions on standardised features
    mean, scale : (D,) of the features
    seed : of the folds
    """

    weights: np.ndarray
    biases: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    seed: int

    def predict(self, features: np.ndarray, start: int) -> np.ndarray:
        """(n, K) float32 probabilities of rows that no model saw which judges them."""
        inputs = np.nan_to_num((features - self.mean) / self.scale)
        fold = fold_of(start + np.arange(len(features)), len(self.weights), self.seed)
        logits = np.empty((len(features), self.weights.shape[2]))
        for number in range(len(self.weights)):
            rows = np.flatnonzero(fold == number)
            logits[rows] = inputs[rows] @ self.weights[number] + self.biases[number]
        logits -= logits.max(1, keepdims=True)
        probabilities = np.exp(logits)
        return (probabilities / probabilities.sum(1, keepdims=True)).astype(np.float32)


def fold_of(rows: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(n,) the fold of each row number: mixed well, and the same on every machine.

    Examples
    --------
    >>> bool(np.bincount(fold_of(np.arange(1000), 5, seed=0)).min() > 150)
    True
    """
    mixed = (rows.astype(np.uint64) + np.uint64(seed + 1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    return ((mixed >> np.uint64(33)) % np.uint64(folds)).astype(np.int64)


def learn(over: Callable[..., list[Any]], columns: Columns, shards: Sequence[Shard], folds: int, seed: int) -> Folds:
    """Learn the models from an even sample of all shards."""
    from sklearn.linear_model import LogisticRegression

    share = min(1.0, LEARNED_FROM / sum(shard.rows for shard in shards))
    rows, codes, features = (np.concatenate(part) for part in zip(*over(_sampled, columns, share)))
    mean, scale = np.nanmean(features, axis=0), np.nanstd(features, axis=0)
    scale[~(scale > 0)] = 1.0
    inputs, fold = np.nan_to_num((features - mean) / scale), fold_of(rows, folds, seed)
    classes = len(columns.classes)
    weights, biases = np.zeros((folds, features.shape[1], classes)), np.full((folds, classes), -50.0)
    for number in range(folds):
        own = fold != number
        present = np.unique(codes[own])
        if len(present) < 2:
            raise DataError("The rows that models are learned from hold one class. Give out-of-sample probabilities.")
        model = LogisticRegression(max_iter=200).fit(inputs[own], codes[own])
        two = len(present) == 2
        weights[number][:, present] = np.hstack([-model.coef_.T / 2, model.coef_.T / 2]) if two else model.coef_.T
        biases[number][present] = np.r_[-model.intercept_ / 2, model.intercept_ / 2] if two else model.intercept_
    return Folds(weights, biases, mean, scale, seed)


def _sampled(columns: Columns, share: float, shard: Shard) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    codes, values = shard.read(columns)
    known = np.flatnonzero(codes >= 0)
    chosen = (
        known[np.linspace(0, len(known) - 1, max(1, round(share * len(known)))).astype(np.int64)]
        if len(known)
        else known
    )
    return shard.start + chosen, codes[chosen], values[chosen].astype(np.float64)
