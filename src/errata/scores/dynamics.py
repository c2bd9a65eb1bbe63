"""Trust from one training run: how a network came to believe each label, or did not.

What is common is learned early and kept; a wrong label is learned late, against what the other samples say, and
forgotten in between. From the predictions that a training makes anyway follow, without a second model: the area under
the margin (of the whole training, or of the time while there was something to learn), forgetting events, the length of
the error vector, the mean loss, the mean belief, and how often the running prediction agreed with the label. They are
kept as running sums, some 50 bytes for a sample, never the probabilities of all epochs.

References
----------
Pleiss, Zhang, Elenberg, Weinberger: Identifying mislabeled data using the area under the margin ranking. NeurIPS 2020,
arXiv 2001.10528.
Toneva et al.: An empirical study of example forgetting during deep neural network learning. ICLR 2019,
arXiv 1812.05159.
Paul, Ganguli, Dziugaite: Deep learning on a data diet. NeurIPS 2021, arXiv 2107.07075 (EL2N).
Arazo et al.: Unsupervised label noise modeling and loss correction. ICML 2019, arXiv 1904.11238 (mixture of losses).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errata.errors import DataError, ParameterError
from errata.parts.mixture import LossMixture

__all__ = ["SCORES", "Trajectory", "mixture_trust", "trajectory_of"]

SCORES = ("learning_margin", "aum", "belief", "agreement", "mean_loss", "el2n", "forgetting")
"""What a trajectory knows of each sample."""

RISING = frozenset({"learning_margin", "aum", "belief", "agreement"})
"""The scores that rise with the trust in a label; the others fall."""

_SMALLEST = 1e-7  # a probability of nought is never meant
_LEAST = 1e-6  # weight of a visit when all is learned
_MEANS = {
    "learning_margin": ("learning", "room"),
    "aum": ("margin", "visits"),
    "belief": ("own", "visits"),
    "agreement": ("agreed", "visits"),
    "mean_loss": ("loss", "visits"),
}
"""Of each score that is a mean, the sum and what it is divided by."""

_SUMS = ("visits", "margin", "learning", "room", "loss", "own", "error", "early", "agreed", "forgotten")


class Trajectory:
    """Running sums of what a training predicts for each sample.

    Parameters
    ----------
    num_samples : N
    early : visits of a sample whose error vectors count for EL2N, 1 or more: it is a score of the start of training

    Examples
    --------
    >>> seen = Trajectory(2)
    >>> for logits in ([[2.0, 0.0], [0.0, 1.0]], [[3.0, 0.0], [1.0, 0.0]]):
    ...     seen.observe(torch.tensor([0, 1]), torch.tensor(logits), torch.tensor([0, 1]))
    >>> seen.score("aum"), seen.score("forgetting")
    (array([2.5, 0. ], dtype=float32), array([0., 1.], dtype=float32))
    """

    def __init__(self, num_samples: int, *, early: int = 10) -> None:
        if num_samples < 1 or early < 1:
            raise ParameterError(f"num_samples and early must be 1 or more; got {num_samples!r} and {early!r}.")
        self.num_samples, self.early = int(num_samples), int(early)
        self._sums = {name: torch.zeros(self.num_samples) for name in _SUMS}
        self._right = torch.zeros(self.num_samples, dtype=torch.bool)
        self._learned = torch.zeros(self.num_samples, dtype=torch.bool)

    @torch.no_grad()
    def observe(self, rows: Tensor, logits: Tensor, given: Tensor, running: Tensor | None = None) -> None:
        """Take in one visit of some samples.

        Parameters
        ----------
        rows : (B,) sample numbers, each at most once
        logits : (B, K) of the network, or logarithms of probabilities
        given : (B,) given labels in [0, K)
        running : (B, K) the running mean of predictions after this visit; by default the prediction itself
        """
        self._move(logits.device)
        rows, given = rows.to(logits.device), given.to(logits.device).long()[:, None]
        z = logits.detach().float()
        log_p = z.log_softmax(1)
        own, mine = log_p.gather(1, given)[:, 0], z.gather(1, given)[:, 0]
        rival = z.scatter(1, given, -torch.inf).max(1).values
        p = log_p.exp()
        # |p - onehot|^2 = |p|^2 - 2 p_y + 1
        error = (p.square().sum(1) - 2 * own.exp() + 1).clamp(min=0).sqrt()
        told = p if running is None else running
        sums = self._sums
        is_early = (sums["visits"][rows] < self.early).float()
        to_learn = (1.0 - own.exp().mean()).clamp(min=_LEAST) * torch.ones_like(own)
        right = mine > rival
        sums["forgotten"][rows] += (self._right[rows] & ~right).float()
        self._right[rows] = right
        self._learned[rows] |= right
        for name, value in (
            ("visits", torch.ones_like(own)),
            ("margin", mine - rival),
            ("learning", to_learn * (mine - rival)),
            ("room", to_learn),
            ("loss", -own),
            ("own", own.exp()),
            ("error", error * is_early),
            ("early", is_early),
            ("agreed", (told.argmax(1) == given[:, 0]).float()),
        ):
            sums[name][rows] += value

    def score(self, name: str) -> np.ndarray:
        """(N,) float32, NaN for samples never seen.

        - "learning_margin": the same as "aum", but each visit counts as much as there was still to learn: by what the
          given labels of its batch lacked to probability 1. Once a network knows the given labels by heart, right and
          wrong ones look alike, and with the margins of that time the area would drown what came before; rises
        - "aum": mean margin of the given label's logit over the largest other; rises with the trust
        - "belief": mean probability of the given label; rises
        - "agreement": share of the visits after which the running prediction was the given label; rises
        - "mean_loss": mean cross-entropy, in nats; falls
        - "el2n": mean length of (probabilities - one-hot label) over the first visits; falls
        - "forgetting": how often the label was predicted and, at the next visit, not any more; the number of visits
          for one never predicted; falls
        """
        if name not in SCORES:
            raise ParameterError(f"score must be one of {', '.join(SCORES)}; got {name!r}.")
        sums = {key: value.cpu() for key, value in self._sums.items()}
        if name == "forgetting":
            never = ~self._learned.cpu()
            found = torch.where(never, sums["visits"], sums["forgotten"])
            found = torch.where(sums["visits"] > 0, found, torch.nan)
        elif name == "el2n":
            found = sums["error"] / torch.where(sums["early"] > 0, sums["early"], torch.nan)
        else:
            key, over = _MEANS[name]
            found = sums[key] / torch.where(sums[over] > 0, sums[over], torch.nan)
        return found.numpy().astype(np.float32)

    def suspicion(self, name: str) -> np.ndarray:
        """(N,) float32: the score, turned so that it falls with the trust in a label."""
        return -self.score(name) if name in RISING else self.score(name)

    def _move(self, device: torch.device) -> None:
        if self._right.device != device:
            self._sums = {name: value.to(device) for name, value in self._sums.items()}
            self._right, self._learned = self._right.to(device), self._learned.to(device)


def trajectory_of(epochs: Iterable[Any], given: Any, *, early: int = 10) -> Trajectory:
    """The trajectory of a training of your own, from its predictions after (or during) each epoch.

    Parameters
    ----------
    epochs : of (N, K) probabilities, one after the other; an iterator needs memory for one at a time
    given : (N,) labels in [0, K)
    early : see :class:`Trajectory`

    Raises
    ------
    DataError
        where the shapes don't fit

    Examples
    --------
    >>> epochs = [[[0.6, 0.4], [0.7, 0.3]], [[0.9, 0.1], [0.6, 0.4]]]
    >>> trajectory_of(epochs, [0, 1]).score("belief")
    array([0.75, 0.35], dtype=float32)
    """
    labels = torch.as_tensor(np.asarray(given))
    seen = Trajectory(len(labels), early=early)
    mean: Tensor | None = None
    for number, table in enumerate(epochs):
        probs = torch.as_tensor(np.asarray(table, dtype=np.float32))
        if probs.ndim != 2 or len(probs) != len(labels) or (len(labels) and int(labels.max()) >= probs.shape[1]):
            raise DataError(
                f"Expected probabilities of shape ({len(labels):,}, K), a column for each class, of every epoch; "
                f"those of epoch {number + 1} have shape {tuple(probs.shape)}."
            )
        mean = probs.clone() if mean is None else mean + (probs - mean) / (number + 1)
        seen.observe(torch.arange(len(labels)), probs.clamp(min=_SMALLEST).log(), labels, mean)
    if mean is None:
        raise DataError("There is no epoch; at least one table of probabilities is needed.")
    return seen


def mixture_trust(suspicion: Any, *, seed: int = 0) -> tuple[np.ndarray, float]:
    """How probably a label is one of the right ones, by a mixture of two normal distributions; the share of the wrong.

    The posterior is made to fall with the suspicion, and where it is flat the order is kept by a thousandth.

    Parameters
    ----------
    suspicion : (N,) float, falling with the trust; NaN stays NaN
    seed : of the mixture's start

    Returns
    -------
    (N,) float32 in [0, 1], and the share of the samples that rather belong to the component with more suspicion. (The
    mean of the probabilities would count every doubt; where the two overlap widely it is far too high.)

    Examples
    --------
    >>> trust, wrong = mixture_trust(np.r_[np.linspace(0, 1, 80), np.linspace(5, 6, 20)])
    >>> bool(trust[:80].min() > 0.9), bool(trust[80:].max() < 0.1), round(wrong, 2)
    (True, True, 0.2)
    """
    values = np.asarray(suspicion, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(values))
    trust = np.full(len(values), np.nan, dtype=np.float32)
    if len(known) < 2:
        trust[known] = 1.0
        return trust, 0.0
    mixture = LossMixture("gaussian", max_iter=100, seed=seed).fit(values[known])
    order = known[np.argsort(values[known], kind="stable")]
    clean = mixture.clean_probability(values[order])
    best = int(np.argmax(clean))  # the posterior may turn back where one component is wider than the other
    clean[:best] = clean[best]
    clean = np.minimum.accumulate(clean)
    place = 1.0 - (np.arange(len(order)) + 0.5) / len(order)
    trust[order] = 0.999 * clean + 0.001 * place
    return trust, float((clean < 0.5).mean())
