"""Finding wrong labels by one training run: no cross-validation, a fifth of its cost."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from errata import systems
from errata.audit.confident import require_two_classes
from errata.audit.networks import NetworkFolds
from errata.audit.progress import Progress, Show
from errata.audit.trust import shifted_odds
from errata.errors import ParameterError, UnknownNameError
from errata.labels import MISSING, ClassLabels
from errata.ledger import Ledger, Noise
from errata.parts import Batch, System
from errata.scores.dynamics import SCORES, Trajectory, mixture_trust

__all__ = ["Watched", "audit", "dynamics"]

EARLY_SHARE = 0.1
"""Of the epochs, those whose error vectors make EL2N."""

_CHUNK = 65_536


class Watched(System):
    """Plain training with cross-entropy that keeps a :class:`errata.scores.dynamics.Trajectory` of its own predictions.

    Parameters
    ----------
    model, num_classes, num_samples : see ``System``
    early : visits of a sample that count for EL2N
    **settings : see ``System``
    """

    card = systems.card("ce")

    def __init__(self, model: Any, num_classes: int, num_samples: int, *, early: int = 3, **settings: Any) -> None:
        super().__init__(model, num_classes, num_samples, **settings)
        self.seen = Trajectory(num_samples, early=early)

    def training_step(self, batch: Batch) -> Tensor:
        """Cross-entropy of the weak view; what was predicted is noted on the way."""
        logits = self.model(self.views.weak(batch.x))
        self.seen.observe(batch.index, logits, batch.y, self.observe(batch.index, logits))
        return F.cross_entropy(logits, batch.y)


def audit(
    data: Any,
    *,
    model: Any = "auto",
    folds: int = 5,
    seed: int = 0,
    device: str = "auto",
    progress: Show = False,
    score: str = "learning_margin",
    epochs: int | None = None,
    batch_size: int | None = None,
    **settings: Any,
) -> Ledger:
    """Find the labels that a network learns late or against the others, while it is trained once on all rows.

    Parameters
    ----------
    data : what ``errata.read`` returned, with labels
    model : "auto", the name of a model of ``errata.models``, or a ``torch.nn.Module`` that has not seen these labels
    folds : not used: there is one training
    seed, device, progress : as in ``errata.audit``
    score : what makes the trust: "learning_margin", "aum", "belief", "agreement", "mean_loss", "el2n", "forgetting"
        (see ``errata.scores.dynamics``); all of them become columns
    epochs, batch_size : by default as many steps as one fold of a cross-validation takes
    **settings : ``precision`` (see ``errata.train``) and hyper-parameters of plain training: ``lr``, ``optimizer`` ...

    Returns
    -------
    Ledger
        rows that rather belong to the group of wrong labels, by a mixture of two groups of scores, are issues, and
        their proposal is the strongest other class of the mean prediction; trust is the probability of belonging to
        the other group, its odds shifted so that the mean distrust is the share of issues
    """
    labels = data.require_labels()
    require_two_classes(labels)
    if score not in SCORES:
        raise UnknownNameError("score of method 'dynamics'", score, SCORES)
    runner = _runner(data, model, seed, device, epochs, batch_size, settings)
    rows = np.flatnonzero(labels.codes != MISSING)
    with Progress(progress, "one training run", total=1.0) as bar:
        early = max(1, round(EARLY_SHARE * runner.epochs))
        system = runner.train(rows, 0, bar.advance, kind=partial(Watched, early=early))
    ledger = dynamics(labels, rows, system, score=score, seed=seed, index=data.rows)
    _propose_for_unlabelled(ledger, runner, system)
    ledger.meta.update({**data.origin, "kind": data.kind, "model": runner.description, "seed": seed})
    ledger.data = data
    return ledger


def _runner(
    data: Any, model: Any, seed: int, device: str, epochs: int | None, batch_size: int | None, settings: dict[str, Any]
) -> NetworkFolds:
    if not isinstance(model, (str, torch.nn.Module)):
        raise ParameterError(
            "Method 'dynamics' watches a network learn: model must be 'auto', the name of a model of errata.models or "
            f"a torch.nn.Module; got {type(model).__name__}. For scikit-learn classifiers there is method='confident'."
        )
    settings, precision = dict(settings), settings.get("precision")
    settings.pop("precision", None)
    how: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "precision": precision}
    known = [name for name in System.hyperparameters() if name not in ("views", "belief_topk")]
    for name in settings:
        if name not in known:
            raise UnknownNameError("option of method 'dynamics'", name, [*known, *how, "score"])
    runner = NetworkFolds(data, model, settings=settings, seed=seed, device=device, **how)
    if epochs is None:  # a fold has four fifths of the rows
        runner.set_epochs(max(2, round(0.8 * runner.epochs)))
    return runner


def dynamics(
    labels: ClassLabels,
    rows: np.ndarray,
    system: Watched,
    *,
    score: str = "learning_margin",
    seed: int = 0,
    index: np.ndarray | None = None,
) -> Ledger:
    """The ledger of a training that was watched.

    Parameters
    ----------
    labels : N labels of K classes
    rows : (R,) the row of each sample that was trained on
    system : after the training
    score : see :func:`audit`
    index : (N,) row numbers in the data
    """
    n, k = len(labels), len(labels.classes)
    likely, wrong = mixture_trust(system.seen.suspicion(score), seed=seed)
    trust, issue = np.full(n, np.nan, dtype=np.float32), np.zeros(n, dtype=bool)
    trust[rows], issue[rows] = shifted_odds(likely, wrong), likely < 0.5
    rival, probability = rivals(system, labels.codes[rows])
    other = np.full(n, MISSING, dtype=np.int32)
    other[rows] = rival
    issue &= other != MISSING
    columns: dict[str, np.ndarray] = {}
    for name in SCORES:
        columns[name] = np.full(n, np.nan, dtype=np.float32)
        columns[name][rows] = system.seen.score(name)
    columns["proposed_probability"] = np.full(n, np.nan, dtype=np.float32)
    columns["proposed_probability"][rows] = np.where(issue[rows], probability, columns["belief"][rows])
    return Ledger(
        labels.codes,
        np.where(issue, other, labels.codes),
        trust,
        classes=labels.classes,
        issue=issue,
        noise=_noise(labels.codes[rows], rival, trust[rows], k),
        columns=columns,
        index=index,
        meta={"method": "dynamics", "score": score},
    )


def rivals(system: System, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each sample the strongest class of the mean prediction but the given one, and its mean probability."""
    found, probability = np.empty(len(given), dtype=np.int32), np.empty(len(given), dtype=np.float32)
    for start in range(0, len(given), _CHUNK):
        part = torch.arange(start, min(start + _CHUNK, len(given)))
        belief = system.belief_in(part.to(system.belief.device)).cpu().nan_to_num(0.0)
        belief.scatter_(1, torch.from_numpy(given[part.numpy()].astype(np.int64))[:, None], -1.0)
        value, at = belief.max(1)
        found[part.numpy()], probability[part.numpy()] = at.numpy(), value.numpy()
    return found, probability


def _noise(given: np.ndarray, rival: np.ndarray, trust: np.ndarray, classes: int) -> Noise:
    """Each row counts to its given class as far as it is trusted, else to its rival."""
    sure = np.nan_to_num(trust.astype(np.float64), nan=1.0)
    right = np.bincount(given, weights=sure, minlength=classes)
    wrong = np.bincount(rival.astype(np.int64) * classes + given, weights=1.0 - sure, minlength=classes**2)
    joint = wrong.reshape(classes, classes) + np.diag(right)
    return Noise(joint / joint.sum())


def _propose_for_unlabelled(ledger: Ledger, runner: NetworkFolds, system: System) -> None:
    rows = np.flatnonzero(ledger.given == MISSING)
    if len(rows):
        ledger.proposed[rows] = runner.predict(system, rows).argmax(axis=1)
