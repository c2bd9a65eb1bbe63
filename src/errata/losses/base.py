"""What every loss shares: one log-softmax per batch, targets of two kinds, ignored positions, reduction.

A loss of this room is a function of a ``LogProbs`` (the batch, looked at once) that returns one value per position.
Everything else, which positions count and how their values become one number, is the same for all and lives here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn

from errata.errors import DataError, ParameterError

REDUCTIONS = ("mean", "sum", "none")
_HALF = (torch.float16, torch.bfloat16)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``choices``, else raise ParameterError."""
    if value not in choices:
        raise ParameterError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")
    return value


def check_number(
    name: str,
    value: float,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return ``value`` if it is from ``low`` to ``high`` (ends included unless open), else raise ParameterError."""
    try:
        inside = (value > low if open_low else value >= low) and (value < high if open_high else value <= high)
    except TypeError:
        inside = False
    if not inside:  # NaN too
        interval = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
        raise ParameterError(f"{name} must be a number in {interval}; got {value!r}.")
    return value


def check_prob_bounds(min_prob: float, max_prob: float) -> None:
    """Check the bounds that a probability is clamped to: ``0 <= min_prob < max_prob <= 1``."""
    check_number("min_prob", min_prob, 0.0, 1.0, open_high=True)
    check_number("max_prob", max_prob, min_prob, 1.0, open_low=True)


def in_working_precision(logits: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay. Losses compute, and answer, in that type."""
    if not logits.is_floating_point():
        raise DataError(f"logits must be floating point; got {logits.dtype}.")
    return logits.float() if logits.dtype in _HALF else logits


def clamp_log(log_p: Tensor, min_prob: float = 0.0, max_prob: float = 1.0) -> Tensor:
    """Log of the probability clamped to ``[min_prob, max_prob]``; outside the bounds the gradient is zero."""
    low = math.log(min_prob) if min_prob > 0 else None
    high = math.log(max_prob) if max_prob < 1 else None
    return log_p if low is None and high is None else log_p.clamp(low, high)


def one_minus_exp(log_p: Tensor) -> Tensor:
    """``1 - p`` from ``log p`` without cancellation; never exactly 0, where a power below 1 has no gradient."""
    return (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)


class LogProbs:
    """A batch of logits and targets as the losses see it.

    Parameters
    ----------
    logits : (B, K, ...) float tensor, K >= 2
    target : (B, ...) integer classes in [0, K), or (B, K, ...) float probabilities where ``soft_targets`` says so
    ignore_index : class number that means "no label here"; None if there is none, which saves the look
    loss : name of the loss, for messages
    soft_targets : whether the loss is defined for probabilities as targets

    Attributes
    ----------
    logits : in working precision (see ``in_working_precision``)
    log_p : (B, K, ...) log-softmax of the logits, computed when first asked for
    target : as given; ignored classes are replaced by 0, so that it can index
    soft : whether ``target`` holds probabilities
    valid : (B, ...) bool, the positions that count; None if all do

    Raises
    ------
    DataError
        Shapes or types do not fit; a class lies outside [0, K); a probability is negative or NaN. The values are looked
        at on the CPU only: on a GPU that would make every step wait.
    ParameterError
        Probabilities as targets of a loss that is not defined for them.

    Examples
    --------
    >>> batch = LogProbs(torch.zeros(2, 4), torch.tensor([3, -100]))
    >>> batch.reduce(-batch.at_label(batch.log_p), "none")
    tensor([1.3863, 0.0000])
    """

    def __init__(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        ignore_index: int | None = -100,
        loss: str = "this loss",
        soft_targets: bool = False,
    ) -> None:
        if logits.ndim < 2 or logits.shape[1] < 2:
            raise DataError(f"logits must have shape (B, K, ...) with at least 2 classes; got {tuple(logits.shape)}.")
        self.logits = in_working_precision(logits)
        self.soft = target.is_floating_point()
        self.valid: Tensor | None = None
        if self.soft:
            self.target = _soft_target(self.logits, target, loss, soft_targets)
        else:
            self.target, self.valid = _hard_target(self.logits, target, ignore_index)

    @cached_property
    def log_p(self) -> Tensor:
        return self.logits.log_softmax(1)

    @property
    def num_classes(self) -> int:
        return self.logits.shape[1]

    def with_logits(self, logits: Tensor) -> LogProbs:
        """The same targets beside other logits of the same shape."""
        other = object.__new__(LogProbs)
        other.logits, other.target, other.soft, other.valid = logits, self.target, self.soft, self.valid
        return other

    def at_label(self, per_class: Tensor) -> Tensor:
        """Pick the value at the target's class, (B, K, ...) to (B, ...); for a soft target its expectation."""
        if self.soft:
            return (self.target * per_class).sum(1)
        return per_class.gather(1, self.target.unsqueeze(1)).squeeze(1)

    def label_log_p(self, min_prob: float = 0.0, max_prob: float = 1.0) -> Tensor:
        """Log-probability of the given class (B, ...), the probability clamped to the bounds."""
        return clamp_log(self.at_label(self.log_p), min_prob, max_prob)

    def reduce(self, values: Tensor, reduction: str) -> Tensor:
        """From one value per position to the result; "none" has 0 where ignored, "mean" is over what counts."""
        check_choice("reduction", reduction, REDUCTIONS)
        if self.valid is not None:
            values = torch.where(self.valid, values, torch.zeros_like(values))
        if reduction == "none":
            return values
        if reduction == "sum":
            return values.sum()
        if self.valid is None:
            return values.sum() / max(values.numel(), 1)
        return values.sum() / self.valid.sum().clamp_min(1)


def _soft_target(logits: Tensor, target: Tensor, loss: str, allowed: bool) -> Tensor:
    if not allowed:
        raise ParameterError(
            f"{loss} is defined for integer classes only, and the target is {target.dtype}. Give classes of shape "
            "(B, ...), or take a loss that is defined for probabilities (CE, MAE, RCE, SCE, focal, NCE, NFL, JS)."
        )
    if target.shape != logits.shape:
        raise DataError(
            f"A target of probabilities must have the logits' shape, {tuple(logits.shape)}; got {tuple(target.shape)}."
        )
    if _raised(~(target >= 0)):  # NaN too
        raise DataError("A target of probabilities has a negative or NaN entry; logits or a mask in its place?")
    return target.to(logits.dtype)


def _hard_target(logits: Tensor, target: Tensor, ignore_index: int | None) -> tuple[Tensor, Tensor | None]:
    positions = logits.shape[:1] + logits.shape[2:]
    if target.shape != positions:
        raise DataError(
            f"A target of classes must have shape {tuple(positions)} beside logits of shape {tuple(logits.shape)}; "
            f"got {tuple(target.shape)}."
        )
    classes = target.long()
    valid = None
    if ignore_index is not None:
        valid = classes != ignore_index
        classes = torch.where(valid, classes, torch.zeros_like(classes))
    num_classes = logits.shape[1]
    wrong = (classes < 0) | (classes >= num_classes)
    if _raised(wrong):
        where = tuple(wrong.nonzero()[0].tolist())
        raise DataError(
            f"Classes must lie in [0, {num_classes}), as the logits have {num_classes} columns; got "
            f"{int(classes[where])} at position {where}, and {int(wrong.sum())} such in all; "
            f"ignore_index is {ignore_index}."
        )
    return classes, valid


def _raised(flags: Tensor) -> bool:
    """Whether a flag is up, where one can look: not on a GPU (it would wait), nor while compiling or inside vmap."""
    if flags.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    try:
        return bool(flags.any())
    except RuntimeError:  # vmap has no values to branch on
        return False


def evaluate(
    terms: Callable[[LogProbs], Tensor],
    logits: Tensor,
    target: Tensor,
    loss: str,
    reduction: str,
    ignore_index: int | None,
    *,
    soft_targets: bool = False,
) -> Tensor:
    """What every loss function does around its formula: look at the batch, compute ``terms`` per position, reduce."""
    batch = LogProbs(logits, target, ignore_index=ignore_index, loss=loss, soft_targets=soft_targets)
    return batch.reduce(terms(batch), reduction)


class Loss(nn.Module):
    """Base of the losses: ``loss(logits, target)`` with ``reduction`` and ``ignore_index``. Subclasses write ``terms``.

    Half-precision logits are computed in float32, and the loss is float32; float64 logits give a float64 loss.

    Parameters
    ----------
    reduction : "mean" over the positions that count (0 if none does), "sum", or "none", which returns (B, ...)
    ignore_index : class number that means "no label here"; None if there is none

    Examples
    --------
    A loss of one's own is its formula:

    >>> class Unhinged(Loss):
    ...     def terms(self, batch):
    ...         return -batch.at_label(batch.logits)
    >>> Unhinged()(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    tensor(-2.)
    """

    soft_targets = False
    """Whether the loss is defined for probabilities as targets."""

    separable = True
    """Whether the loss is no more than the reduction of ``terms``, so that it can be a part of another loss."""

    def __init__(self, *, reduction: str = "mean", ignore_index: int | None = -100) -> None:
        super().__init__()
        self.reduction = check_choice("reduction", reduction, REDUCTIONS)
        self.ignore_index = ignore_index

    def terms(self, batch: LogProbs) -> Tensor:
        """The loss of each position, (B, ...); values at ignored positions do not matter."""
        raise NotImplementedError(f"{type(self).__name__} must define terms(batch).")

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, K, ...) and classes (B, ...) or, where defined, probabilities (B, K, ...)."""
        name, soft = type(self).__name__, self.soft_targets
        return evaluate(self.terms, logits, target, name, self.reduction, self.ignore_index, soft_targets=soft)

    def extra_repr(self) -> str:
        shown = {k: v for k, v in vars(self).items() if not k.startswith("_") and isinstance(v, (int, float, str))}
        defaults = {"training": self.training, "reduction": "mean", "ignore_index": -100}
        return ", ".join(f"{k}={v!r}" for k, v in shown.items() if (k, v) not in defaults.items())
