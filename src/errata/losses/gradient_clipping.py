"""Optimised gradient clipping (Ye et al., AAAI 2025): no sample may pull harder at its label than a bound that moves.

A sample whose label has a probability below the threshold t is given the base loss's tangent at t instead of the base
loss. The threshold is chosen anew every few steps from the losses of the last samples and the learning rate, see
``clipping_threshold``: no noise rate, no clean data, nothing stored per sample.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from errata.errors import ParameterError
from errata.losses.base import LogProbs, Loss, check_choice, check_number, check_prob_bounds, evaluate
from errata.losses.clipping_threshold import BASE_LOSSES, MAX_PROB, MIN_PROB, loss_slope, threshold_from_queue
from errata.losses.cross_entropy import focal_terms

OFFSETS = ("paper", "continuous")
VANISHING = 0.1  # a slope bound below this leaves so little of the gradient that training all but stops


def clipped_of(
    batch: LogProbs,
    threshold: float,
    base_loss: str,
    gamma: float,
    q: float,
    offset: str,
    min_prob: float,
    max_prob: float,
) -> Tensor:
    log_p = batch.label_log_p(min_prob, max_prob)
    if base_loss == "ce":
        value, at_threshold = -log_p, -math.log(threshold)
    elif base_loss == "fl":
        value = focal_terms(log_p, gamma, detach_factor=False)
        at_threshold = -((1 - threshold) ** gamma) * math.log(threshold)
    else:
        value, at_threshold = -torch.expm1(q * log_p) / q, (1 - threshold**q) / q
    tau = float(loss_slope(threshold, base_loss, gamma=gamma, q=q))
    lift = 1.0 if offset == "paper" else tau * threshold
    return torch.where(log_p <= math.log(threshold), at_threshold + lift - tau * log_p.exp(), value)


def _check_clipping(base_loss: str, gamma: float, q: float, offset: str, min_prob: float, max_prob: float) -> None:
    check_choice("base_loss", base_loss, BASE_LOSSES)
    check_number("gamma", gamma, 0.0)
    check_number("q", q, 0.0, 1.0, open_low=True)
    check_choice("offset", offset, OFFSETS)
    check_prob_bounds(min_prob, max_prob)


def optimized_gradient_clipping(
    logits: Tensor,
    target: Tensor,
    threshold: float = MIN_PROB,
    *,
    base_loss: str = "ce",
    gamma: float = 0.5,
    q: float = 0.7,
    offset: str = "paper",
    min_prob: float = MIN_PROB,
    max_prob: float = MAX_PROB,
    reduction: str = "mean",
    ignore_index: int | None = -100,
) -> Tensor:
    """A base loss ``l(p_y)``, continued by a line of slope ``-|l'(t)|`` where ``p_y <= t``, for a given threshold t.

    Parameters
    ----------
    logits : (B, K, ...) float
    target : (B, ...) int in [0, K)
    threshold : t, in (0, 1); at ``min_prob`` nothing is clipped; see ``threshold_from_queue``
    base_loss : "ce", "fl" (focal loss with its whole gradient) or "gce"
    gamma : exponent of the focal factor, >= 0
    q : exponent of generalised cross-entropy, in (0, 1]
    offset : height of the line at t: "paper" is ``1 + l(t) - |l'(t)| t`` as in the authors' code, which is ``l(t)`` for
        cross-entropy only; "continuous" is ``l(t)`` for all. The gradient is the same
    min_prob, max_prob : bounds that ``p_y`` is clamped to
    reduction : "mean", "sum" or "none"
    ignore_index : class number that means "no label here"; None if there is none

    Returns
    -------
    scalar, or (B, ...) with 0 at ignored positions

    References
    ----------
    Ye, Wu, Zhang, Li, Chen, Jin: Optimized Gradient Clipping for Noisy Label Learning, AAAI 2025, arXiv 2412.08941.

    Examples
    --------
    >>> z = torch.zeros(1, 4)
    >>> optimized_gradient_clipping(z, torch.tensor([0]), 0.1), optimized_gradient_clipping(z, torch.tensor([0]), 0.5)
    (tensor(1.3863), tensor(1.1931))
    """
    _check_clipping(base_loss, gamma, q, offset, min_prob, max_prob)
    check_number("threshold", threshold, 0.0, 1.0, open_low=True, open_high=True)
    terms = partial(
        clipped_of,
        threshold=float(threshold),
        base_loss=base_loss,
        gamma=gamma,
        q=q,
        offset=offset,
        min_prob=min_prob,
        max_prob=max_prob,
    )
    return evaluate(terms, logits, target, "optimized_gradient_clipping", reduction, ignore_index)


class OptimizedGradientClipping(Loss):
    """Optimised gradient clipping, called in training as ``loss(logits, target, lr=current_learning_rate)``.

    Each call in training mode puts the cross-entropies of its samples into a queue; every ``time_frame`` calls, once
    the queue is full, the threshold is chosen anew, and used at once. In evaluation mode nothing is kept and no ``lr``
    needed.

    Parameters
    ----------
    base_loss : "ce" (default), "fl" (focal) or "gce"
    gamma, q : of the focal loss (default 0.5) and of generalised cross-entropy (default 0.7)
    epsilon : how much harder than right labels wrong ones may pull, in units of the learning rate; default 20
    time_frame : calls between two choices of the threshold; default 32
    queue_size : cross-entropies that are remembered; default 4096. Of a larger batch, such as of pixels, an even spread
        of that many is taken
    tol, max_iter : of the bisection for the threshold; default 1e-7 and 10
    offset : "paper" (default) or "continuous", see ``functional.optimized_gradient_clipping``
    max_threshold : upper limit of the threshold, in (0, 1); None (default) for none. For the focal loss, whose slope
        goes to 0 at p = 1, take 0.9 or so: the threshold may otherwise rise to where no gradient is left (a warning
        says so)
    min_prob, max_prob : bounds that probabilities are clamped to, and of the threshold; default 1e-7 and 1 - 1e-7
    reduction, ignore_index : see ``Loss``. On a GPU, ``ignore_index=None`` saves a wait in each step

    Attributes
    ----------
    threshold : 0-dim buffer, the probability at or below which the loss is a line
    queue : (queue_size,) buffer on the loss's device, a ring; ``history()`` gives it in order
    counter : (2,) int64 buffer: calls since the last choice, values put into the queue so far

    Notes
    -----
    In a distributed run every rank must put the same values into its queue, or each will clip elsewhere: gather
    ``loss.cross_entropies(logits, target)`` over the ranks and pass them as ``h``.

    References
    ----------
    Ye, Wu, Zhang, Li, Chen, Jin: Optimized Gradient Clipping for Noisy Label Learning, AAAI 2025, arXiv 2412.08941.

    Examples
    --------
    >>> loss = OptimizedGradientClipping(queue_size=6, time_frame=1)
    >>> z = torch.tensor([[2.0, 0, 0], [3.0, 0, 0], [2.5, 0, 0], [0, 0, 4.0], [0, 0, 3.0], [2.2, 0, 0]])
    >>> loss(z, torch.zeros(6, dtype=torch.long), lr=0.1)
    tensor(0.8343)
    >>> round(float(loss.threshold), 3)
    0.28
    """

    separable = False
    queue: Tensor
    threshold: Tensor
    counter: Tensor

    def __init__(
        self,
        base_loss: str = "ce",
        *,
        gamma: float = 0.5,
        q: float = 0.7,
        epsilon: float = 20.0,
        time_frame: int = 32,
        queue_size: int = 4096,
        tol: float = 1e-7,
        max_iter: int = 10,
        offset: str = "paper",
        max_threshold: float | None = None,
        min_prob: float = MIN_PROB,
        max_prob: float = MAX_PROB,
        reduction: str = "mean",
        ignore_index: int | None = -100,
    ) -> None:
        super().__init__(reduction=reduction, ignore_index=ignore_index)
        _check_clipping(base_loss, gamma, q, offset, min_prob, max_prob)
        self.base_loss, self.gamma, self.q, self.offset = base_loss, gamma, q, offset
        self.epsilon, self.tol = check_number("epsilon", epsilon, 0.0), check_number("tol", tol, 0.0)
        self.time_frame, self.queue_size = check_number("time_frame", time_frame, 1), int(queue_size)
        check_number("queue_size", queue_size, 2)
        self.max_iter = int(check_number("max_iter", max_iter, 0))
        if max_threshold is not None:
            check_number("max_threshold", max_threshold, min_prob, 1.0, open_low=True, open_high=True)
        self.max_threshold, self.min_prob, self.max_prob = max_threshold, min_prob, max_prob
        self.register_buffer("queue", torch.zeros(self.queue_size))
        self.register_buffer("threshold", torch.tensor(min_prob))
        self.register_buffer("counter", torch.zeros(2, dtype=torch.long))
        self._warned = False
        self._read_buffers()

    def _read_buffers(self) -> None:
        """Keep the small buffers as Python numbers too: reading them from a GPU at each step would make it wait."""
        self._t = float(self.threshold)
        self._calls, self._pushed = (int(c) for c in self.counter.tolist())

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._read_buffers()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> OptimizedGradientClipping:
        """Move and convert the buffers, but never to half precision: a threshold of 1e-7 would not survive it."""
        before = {name: getattr(self, name) for name in ("queue", "threshold")}
        super()._apply(fn, recurse)
        for name, kept in before.items():
            converted = getattr(self, name)
            if converted.dtype in (torch.float16, torch.bfloat16):
                setattr(self, name, kept.to(converted.device))
        return self

    @property
    def tau(self) -> float:
        """The bound that slopes are clipped at, ``|l'(threshold)|``."""
        return float(loss_slope(self._t, self.base_loss, gamma=self.gamma, q=self.q))

    def reset(self) -> None:
        """Forget the queue and return to the first threshold, ``min_prob``, at which nothing is clipped."""
        self.queue.zero_()
        self.threshold.fill_(self.min_prob)
        self.counter.zero_()
        self._read_buffers()

    @torch.no_grad()
    def cross_entropies(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropies of the positions that count, (n,), without gradient: what goes into the queue."""
        return self._cross_entropies(LogProbs(logits, target, ignore_index=self.ignore_index, loss=type(self).__name__))

    def _cross_entropies(self, batch: LogProbs) -> Tensor:
        h = -batch.label_log_p(self.min_prob, self.max_prob).detach()
        return h.flatten() if batch.valid is None else h[batch.valid]

    @torch.no_grad()
    def push(self, h: Tensor) -> None:
        """Put cross-entropies (n,) into the queue, in place of the oldest; of more than fit, an even spread."""
        h = h.detach().reshape(-1).to(self.queue)
        if len(h) > self.queue_size:
            h = h[torch.arange(self.queue_size, device=h.device) * len(h) // self.queue_size]
        start = self._pushed % self.queue_size
        head = min(len(h), self.queue_size - start)
        self.queue[start : start + head] = h[:head]
        self.queue[: len(h) - head] = h[head:]
        self._pushed += len(h)

    def history(self) -> Tensor:
        """The cross-entropies in the queue, oldest first, (n,) with n <= queue_size."""
        if self._pushed <= self.queue_size:
            return self.queue[: self._pushed].clone()
        return self.queue.roll(-(self._pushed % self.queue_size))

    @torch.no_grad()
    def refit(self, lr: float) -> None:
        """Choose the threshold anew from the queue, if that is full."""
        if self._pushed < self.queue_size:
            return
        chosen, _ = threshold_from_queue(
            self.history().double().cpu().numpy(),
            lr,
            epsilon=self.epsilon,
            base_loss=self.base_loss,
            gamma=self.gamma,
            q=self.q,
            tol=self.tol,
            max_iter=self.max_iter,
            min_prob=self.min_prob,
            max_prob=self.max_prob,
        )
        self.threshold.fill_(chosen if self.max_threshold is None else min(chosen, self.max_threshold))
        self._t = float(self.threshold)
        if self.tau < VANISHING and not self._warned:
            self._warned = True
            warnings.warn(
                f"OptimizedGradientClipping(base_loss={self.base_loss!r}) now clips at a slope of {self.tau:.2g} "
                f"(threshold {self._t:.4g}): next to no gradient is left. Set max_threshold, for instance to 0.9.",
                stacklevel=3,
            )

    def terms(self, batch: LogProbs) -> Tensor:
        return clipped_of(batch, self._t, self.base_loss, self.gamma, self.q, self.offset, self.min_prob, self.max_prob)

    def forward(self, logits: Tensor, target: Tensor, lr: float | None = None, h: Tensor | None = None) -> Tensor:
        """The loss of a batch, after the queue and, when its time has come, the threshold have been brought up to date.

        Parameters
        ----------
        logits : (B, K, ...) float
        target : (B, ...) int in [0, K)
        lr : the optimiser's current learning rate; needed in training mode
        h : cross-entropies to put into the queue in place of this batch's own, such as those of all ranks
        """
        batch = LogProbs(logits, target, ignore_index=self.ignore_index, loss=type(self).__name__)
        if self.training:
            if lr is None:
                raise ParameterError(
                    "OptimizedGradientClipping needs the current learning rate: loss(logits, target, lr=...)."
                )
            self.push(self._cross_entropies(batch) if h is None else h)
            self._calls += 1
            if self._calls >= self.time_frame:
                self.refit(float(lr))
                self._calls = 0
            self.counter[0].fill_(self._calls)
            self.counter[1].fill_(self._pushed)
        return batch.reduce(self.terms(batch), self.reduction)
