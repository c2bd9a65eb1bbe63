"""Out-of-sample probabilities: every row is judged by a model that has not seen its label."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from errata.audit.folds import Kept, fold_of, folds_of
from errata.audit.progress import Progress, Show
from errata.errors import DataError, ParameterError
from errata.labels import MISSING, ClassLabels

__all__ = ["CrossValidated", "Predictor", "cross_validate", "fold_of", "folds_of", "temper"]

SMALLEST = 1e-7  # a probability of nought is never meant
NAMED = 8  # classes in a note


class Predictor(Protocol):
    """A kind of model, with the data it learns from; see ``errata.audit.predictors`` and ``errata.audit.networks``."""

    description: str
    """What it is, for people."""

    def fit_predict(
        self, train: np.ndarray, test: np.ndarray, fold: int, advance: Callable[[float], None]
    ) -> np.ndarray:
        """Train a fresh model on the rows ``train``; its probabilities (len(test), K) of the rows ``test``.

        ``advance`` may be told of shares of the work that are done, up to 1 in all.
        """
        ...


@dataclass
class CrossValidated:
    """What a cross-validation leaves behind.

    Attributes
    ----------
    pred_probs : (N, K) float32, rows sum to 1
    description : of models and folds, for people
    temperature : by which the logarithms of the probabilities were divided
    notes : sentences on what could not be done well
    """

    pred_probs: np.ndarray
    description: str
    temperature: float = 1.0
    notes: list[str] = field(default_factory=list)


def cross_validate(
    labels: ClassLabels,
    predictor: Predictor,
    *,
    folds: int = 5,
    seed: int = 0,
    progress: Show = False,
    groups: Any = None,
    jobs: int | None = None,
    out: Any = None,
) -> CrossValidated:
    """Out-of-sample probabilities of all rows, those without a label too.

    Parameters
    ----------
    labels : N labels of K classes
    predictor : trains and predicts
    folds : parts the rows are cut into, from 2 to the number of labelled rows; each model is trained on all but one
    seed : of the folds
    progress : see ``errata.audit.progress.Show``
    groups : (N,) rows of one group are never divided: trained on or predicted, all of them
    jobs : folds worked on at the same time, where the predictor is a scikit-learn classifier; by default as many as
        there are cores, 1 for one after the other. The result does not depend on it. Networks use all cores for a fold.
    out : a folder; finished folds are kept in its sub-folder ``folds``, and the same call (of the same data, labels,
        model, folds and seed) goes on from there. ``errata.audit.folds.forget`` removes them.

    Notes
    -----
    The folds are stratified: a class is spread over them as evenly as can be. A class with a single row (or in a single
    group) is not known to the model that judges its rows, so they are given the benefit of the doubt, and told.
    """
    fold = folds_of(labels, folds, seed, groups)
    codes, k = labels.codes, len(labels.classes)
    kept = Kept(out, predictor, labels.codes, fold, repr(labels.classes))
    probs = np.zeros((len(codes), k), dtype=np.float32)
    unknown = np.zeros(len(codes), dtype=bool)

    def work(number: int, advance: Callable[[float], None]) -> None:
        train, test = np.flatnonzero((fold != number) & (codes != MISSING)), np.flatnonzero(fold == number)
        found = kept.read(number, (len(test), k))
        if found is None:
            found = _predict(predictor, codes, k, train, test, number, advance)
            kept.write(number, found)
        probs[test] = found
        seen = np.bincount(codes[train], minlength=k) > 0
        unknown[test] = (codes[test] != MISSING) & ~seen[codes[test]]

    with Progress(progress, f"cross-validation in {folds} folds", total=folds) as bar:
        _all_folds(folds, work, bar, _at_once(jobs, folds) if getattr(predictor, "parallel", False) else 1)
    temperature = temper(probs, codes, leave_out=unknown)
    _benefit_of_doubt(probs, codes, np.flatnonzero(unknown))
    what = f"{folds}-fold cross-validation{'' if groups is None else ' by groups'} of {predictor.description}"
    return CrossValidated(probs, what, temperature, _notes(labels, folds, unknown))


def _at_once(jobs: Any, folds: int) -> int:
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, (int, np.integer)) or jobs < 1):
        raise ParameterError(f"jobs must be a whole number of folds at a time, 1 or more; got {jobs!r}.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(min(folds, cores if jobs is None else jobs))


def _all_folds(folds: int, work: Callable[[int, Callable[[float], None]], None], bar: Progress, at_once: int) -> None:
    if at_once == 1:
        for number in range(folds):
            share = _Share(bar)
            work(number, share.advance)
            share.finish()
        return
    with ThreadPoolExecutor(at_once) as pool:
        running = [pool.submit(work, number, lambda _: None) for number in range(folds)]
        try:
            for done in as_completed(running):
                done.result()
                bar.advance()
        except BaseException:
            for waiting in running:
                waiting.cancel()
            raise


class _Share:
    """Passes on progress within a fold, one unit in all."""

    def __init__(self, bar: Progress) -> None:
        self.bar, self.done = bar, 0.0

    def advance(self, share: float) -> None:
        share = min(share, 1.0 - self.done)
        self.done += share
        self.bar.advance(share)

    def finish(self) -> None:
        self.advance(1.0)


def _predict(
    predictor: Predictor,
    codes: np.ndarray,
    k: int,
    train: np.ndarray,
    test: np.ndarray,
    fold: int,
    advance: Callable[[float], None],
) -> np.ndarray:
    if len(test) == 0:
        return np.empty((0, k), dtype=np.float32)
    known = np.unique(codes[train])
    if len(known) == 1:  # the only row of another class is being tested: there is nothing to learn
        return np.tile(np.eye(k, dtype=np.float32)[known[0]], (len(test), 1))
    found = np.asarray(predictor.fit_predict(train, test, fold, advance), dtype=np.float32)
    odd = ~np.isfinite(found).all(axis=1)
    if odd.any():
        raise DataError(
            f"The model ({predictor.description}) gave probabilities that are not numbers, first for row "
            f"{test[odd][0]}. Look for extreme values in the features, or choose another model=."
        )
    return found


# -- temperature ------------------------------------------------------------------------------------------------------

_RANGE = (math.log(0.2), math.log(10.0))
_SAMPLE = 20_000
_GOLDEN = (math.sqrt(5) - 1) / 2


def temper(probs: np.ndarray, codes: np.ndarray, leave_out: np.ndarray | None = None) -> float:
    """Calibrate out-of-sample probabilities in place, by the one temperature that fits the labels best.

    Parameters
    ----------
    probs : (N, K) float32, written to
    codes : (N,) given labels, -1 where missing
    leave_out : (N,) bool, rows that the fit does not look at

    Returns
    -------
    the temperature, in [0.2, 10]: above 1 where the models were too sure of themselves

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017, arXiv 1706.04599.

    Examples
    --------
    >>> probs = np.array([[0.99, 0.01]] * 10, dtype=np.float32)
    >>> temperature = temper(probs, np.array([0] * 7 + [1] * 3))
    >>> round(temperature, 1), probs[0].round(2)
    (5.4, array([0.7, 0.3], dtype=float32))
    """
    known = codes != MISSING if leave_out is None else (codes != MISSING) & ~leave_out
    rows = np.flatnonzero(known)
    temperature = 1.0
    if len(rows):
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(np.int64))]
        logs = np.log(np.clip(probs[rows].astype(np.float64), SMALLEST, 1.0))
        temperature = math.exp(_golden_section(lambda log_t: _log_loss(logs / math.exp(log_t), codes[rows])))
    for start in range(0, len(probs), 65_536):
        part = np.log(np.clip(probs[start : start + 65_536], SMALLEST, 1.0)) / np.float32(temperature)
        np.exp(part - part.max(axis=1, keepdims=True), out=part)
        probs[start : start + 65_536] = part / part.sum(axis=1, keepdims=True)
    return temperature


def _log_loss(logits: np.ndarray, codes: np.ndarray) -> float:
    top = logits.max(axis=1)
    total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return float((total - logits[np.arange(len(codes)), codes]).mean())


def _golden_section(function: Callable[[float], float], steps: int = 30) -> float:
    low, high = _RANGE
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(steps):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = function(right)
    return (low + high) / 2


# -- classes that can't be judged well ---------------------------------------------------------------------------------


def _benefit_of_doubt(probs: np.ndarray, codes: np.ndarray, rows: np.ndarray) -> None:
    """Make the given label as probable as the strongest other one: not flagged, and not vouched for."""
    if len(rows) == 0:
        return
    part = probs[rows]
    part[np.arange(len(rows)), codes[rows]] = 0.0
    part[np.arange(len(rows)), codes[rows]] = part.max(axis=1)
    probs[rows] = part / part.sum(axis=1, keepdims=True)


def _notes(labels: ClassLabels, folds: int, unknown: np.ndarray) -> list[str]:
    counts = labels.counts
    alone = np.bincount(labels.codes[unknown], minlength=len(counts))
    apart = [c for c, n, a in zip(labels.classes, counts, alone) if n > 1 and a]
    single = [c for c, n in zip(labels.classes, counts) if n == 1]
    few = [f"{c} ({n})" for c, n in zip(labels.classes, counts) if 1 < n < folds]
    unseen = [c for c, n in zip(labels.classes, counts) if n == 0]
    notes = []
    if single:
        notes.append(f"Classes with a single row can’t be checked, their labels are left as they are: {_some(single)}.")
    if apart:
        notes.append(
            f"Classes of which all rows fell into one fold can’t be checked, their labels are left as they are: "
            f"{_some(apart)}."
        )
    if few:
        notes.append(f"Classes with fewer rows than there are folds ({folds}) can’t be checked well: {_some(few)}.")
    if unseen:
        notes.append(f"Classes without a row, which are never proposed: {_some(unseen)}.")
    return notes


def _some(names: Sequence[Any]) -> str:
    shown = ", ".join(str(n) for n in names[:NAMED])
    return shown + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")
