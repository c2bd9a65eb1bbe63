"""When a network turns from learning to memorising, read from its training curve, class by class.

A curve of training IoU (or accuracy) against the *given* labels rises steeply while the right part is learned, and
creeps while the wrong part is memorised. A saturating exponential is fitted to it; where its slope has fallen to a
tenth of the slope at the first epoch, early learning is over (Liu et al. 2022, arXiv 2110.03740).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from errata.parts.kept import Kept

__all__ = ["CurveMonitor", "curve", "curve_slope", "fit_curve", "flat_start", "slope_change", "update_epoch"]

NEVER = float("inf")
P0 = (1.0, 1.0, 1.0)
BOUNDS = ((0.0, 0.0, 0.0), (1.0, 1.0, np.inf))


def curve(x: Any, a: float, b: float, c: float) -> Any:
    """``a (1 - exp(-x^b / c))``: rises from 0 to ``a``.

    Parameters
    ----------
    x : time in epochs, 0 or more
    a : what it tends to, in [0, 1]
    b : how stretched it is, in [0, 1]
    c : how slow it is, above 0

    Examples
    --------
    >>> round(float(curve(1.0, 1.0, 1.0, 1.0)), 4)
    0.6321
    """
    return a * (1 - np.exp(-(x**b) / c))


def curve_slope(x: Any, a: float, b: float, c: float) -> Any:
    """The derivative of ``curve``; taken a millionth later, for it is infinite at 0 where ``b < 1``."""
    x = np.asarray(x, dtype=np.float64) + 1e-6
    return a * b / c * np.exp(-(x**b) / c) * x ** (b - 1)


def fit_curve(x: Any, values: Any) -> tuple[float, float, float]:
    """Fit ``curve`` by least squares, late points weighing up to 100 times as much as the first.

    Parameters
    ----------
    x : (n,) times in epochs
    values : (n,) in [0, 1]

    Returns
    -------
    a, b, c

    Raises
    ------
    RuntimeError, ValueError
        of SciPy, where it finds no fit

    Examples
    --------
    >>> x = np.linspace(0, 10, 30)
    >>> [round(v, 3) for v in fit_curve(x, curve(x, 0.7, 0.8, 1.5))]
    [0.7, 0.8, 1.5]
    """
    from scipy.optimize import curve_fit

    values = np.asarray(values, dtype=np.float64)
    found, _ = curve_fit(
        curve,
        np.asarray(x, dtype=np.float64),
        values,
        p0=P0,
        method="trf",
        sigma=np.geomspace(1, 0.1, len(values)),
        absolute_sigma=True,
        bounds=BOUNDS,
    )
    a, b, c = (float(v) for v in found)
    return a, b, c


def slope_change(epochs: Any, a: float, b: float, c: float) -> NDArray[np.float64]:
    """``R(e) = |f'(1) - f'(e)| / f'(1)``, the share of the first epoch's slope that is lost; above 1 it counts as 0.

    Examples
    --------
    >>> slope_change([1, 2, 10], 1.0, 1.0, 1.0).round(3)
    array([0.   , 0.632, 1.   ])
    """
    first = abs(float(curve_slope(1, a, b, c)))
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.abs(np.abs(curve_slope(epochs, a, b, c)) - first) / first
    return np.where((change > 1) | (np.asarray(epochs) == 1), 0.0, change)  # not a rounding error at epoch 1


def update_epoch(x: Any, values: Any, r: float = 0.9, last: int = 16) -> float:
    """The epoch from which a class counts as memorised: one more than the epochs whose ``R`` is at most ``r``.

    Parameters
    ----------
    x : (n,) times of the values, in epochs
    values : (n,) training IoU of the class
    r : share of the first slope that must be lost, in [0, 1]
    last : epochs 1 to ``last - 1`` are looked at

    Returns
    -------
    whole number in [1, last], or infinity where no curve can be fitted ("not yet")

    Examples
    --------
    >>> x = np.linspace(0, 10, 40)
    >>> update_epoch(x, curve(x, 0.8, 1.0, 1.0)), update_epoch([0.0], [float("nan")])
    (4.0, inf)
    """
    try:
        a, b, c = fit_curve(x, values)
    except (RuntimeError, ValueError, FloatingPointError):
        return NEVER
    change = slope_change(np.arange(1, last), a, b, c)
    if not np.isfinite(change).all():
        return NEVER
    return float((change <= r).sum() + 1)


def flat_start(values: Sequence[float] | NDArray[np.floating], least: float = 0.1) -> int:
    """How many first values to cut: those before the first rise of at least ``least`` from one to the next.

    The first value has risen from 0. (The authors count from the second value on. A class that the network knows after
    its first epoch then shows no such rise at all, its whole curve is cut, and it is never switched on.)

    Examples
    --------
    >>> flat_start([0.02, 0.03, 0.3, 0.5, 0.52]), flat_start([0.0, 0.2, 0.3]), flat_start([0.01, 0.02, 0.03])
    (1, 0, 2)
    >>> flat_start([0.66, 0.72, 0.74, 0.77])
    0
    """
    rises = np.flatnonzero(np.diff(np.asarray(values, dtype=np.float64), prepend=0.0) >= least)
    return max(0, int(rises[0]) - 1) if len(rises) else max(0, len(values) - 1)


class CurveMonitor(Kept):
    """Watches the training curve of every class, and tells which classes the network begins to memorise.

    Parameters
    ----------
    num_classes : C
    r : share of the first epoch's slope that must be lost, in [0, 1]
    cut_flat : cut the flat start of a curve: the first values before a rise of at least so much, see ``flat_start``;
        None for no cut

    Notes
    -----
    ``count`` adds up pixels (or samples) over a window, ``close_window`` turns them into one value per class. Both are
    to be called on all ranks with the counts of the global batch.

    Examples
    --------
    >>> monitor = CurveMonitor(2)
    >>> for hit in (10, 60, 70, 72, 73, 73, 73, 73, 73, 73, 73, 73):
    ...     monitor.count(torch.tensor([hit, 0]), torch.tensor([hit, 9]), torch.tensor([100, 9]))
    ...     _ = monitor.close_window()
    >>> monitor.curves.shape
    (12, 2)
    >>> monitor.switch_on([0], epoch=11, x=np.linspace(0, 12, 12), last=100)
    [0]
    >>> monitor.on.tolist(), monitor.on_since.tolist()
    ([True, False], [11, -1])
    """

    def __init__(self, num_classes: int, r: float = 0.9, cut_flat: float | None = None) -> None:
        super().__init__(
            values=torch.zeros(0, num_classes, dtype=torch.float64),
            counts=torch.zeros(3, num_classes, dtype=torch.int64),
            since=torch.full((num_classes,), -1, dtype=torch.int64),
        )
        self.num_classes = num_classes
        self.r = r
        self.cut_flat = cut_flat

    def count(self, hits: Tensor, predicted: Tensor, given: Tensor) -> None:
        """Add true positives, predictions and labels, (C,) each, to the window."""
        self["counts"] = self["counts"] + torch.stack([hits, predicted, given]).to(self["counts"])

    def close_window(self) -> Tensor:
        """Turn the window's counts into an IoU per class, (C,), and begin a new window."""
        hits, predicted, given = self["counts"].double()
        iou = hits / (given + predicted - hits + 1e-10)
        self["values"] = torch.cat([self["values"], iou[None]])
        self["counts"] = torch.zeros_like(self["counts"])
        return iou

    @property
    def curves(self) -> NDArray[np.float64]:
        """(T, C) the IoU of each window and class."""
        return self["values"].cpu().numpy()

    @property
    def on(self) -> Tensor:
        """(C,) bool: the classes that are being memorised; once on, a class stays on."""
        return self["since"] >= 0

    @property
    def on_since(self) -> Tensor:
        """(C,) int64: the epoch in which a class was switched on, -1 where it is not."""
        return self["since"]

    def due(self, which: int, epoch: float, x: Any, last: int) -> bool:
        """Whether a class's curve says that early learning is over at ``epoch``; ``x`` are the times of the values."""
        values, times = self.curves[:, which], np.asarray(x, dtype=np.float64)
        if not len(values):
            return False
        cut = 0
        if self.cut_flat is not None:
            cut = flat_start(values, self.cut_flat)
            values, times = values[cut:], np.linspace(0, len(values) - cut, len(values) - cut)
        return epoch >= cut + update_epoch(times, values, self.r, last)

    def switch_on(self, classes: Sequence[int], epoch: int, x: Any, last: int) -> list[int]:
        """Switch on those of ``classes`` that are due; returns the ones that were not on before."""
        new = [c for c in classes if self["since"][c] < 0 and self.due(c, epoch, x, last)]
        for c in new:
            self["since"][c] = epoch
        return new
