"""The recent past of a stream, in arrays: features as numbers, their scale, and the last events with their labels.

A stream's features are dictionaries that may gain and lose entries; here each feature has a column for good. Texts and
other values that are no numbers become a column per value.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["Columns", "Event", "Past"]

MOST_VALUES = 100
"""Different values that a feature of texts may have; further ones have no column, so that memory stays bounded."""

CLOSEST = 1e-3  # a distance below this counts as this much


class Columns:
    """From dictionaries of features to vectors; a feature keeps its column, new ones are added at the end.

    Examples
    --------
    >>> columns = Columns()
    >>> columns.learn({"b": 1.0, "a": "red"})
    True
    >>> columns.vector({"b": 2, "a": "red", "c": 5}), columns.vector({"b": None, "a": "blue"})
    (array([1., 2.], dtype=float32), array([ 0., nan], dtype=float32))
    """

    def __init__(self) -> None:
        self.place: dict[Any, int] = {}
        self.values: dict[Any, int] = {}  # how many values a feature of texts has shown

    def __len__(self) -> int:
        return len(self.place)

    def learn(self, x: Mapping[Any, Any]) -> bool:
        """Give columns to what is new in ``x``, in an order that does not depend on that of ``x``; whether any was."""
        place = self.place
        if x.keys() <= place.keys():
            return False
        fresh = []
        for name, value in x.items():
            if _is_number(value):
                if name not in place:
                    fresh.append(name)
            elif value is not None and (name, value) not in place and self.values.get(name, 0) < MOST_VALUES:
                self.values[name] = self.values.get(name, 0) + 1
                fresh.append((name, value))
        for name in sorted(fresh, key=str):
            place[name] = len(place)
        return bool(fresh)

    def feature_of(self, key: Any) -> Any:
        """The feature whose column has this key."""
        return key[0] if isinstance(key, tuple) and len(key) == 2 and key[0] in self.values else key

    def vector(self, x: Mapping[Any, Any]) -> np.ndarray:
        """(F,) float32; NaN where a number is missing, 0 where a text has another value; unknown features are left
        out."""
        place = self.place
        if not self.values:  # numbers only, as far as is known
            try:
                found = np.array([x.get(name, np.nan) for name in place], dtype=np.float32)
            except (TypeError, ValueError):
                pass
            else:
                found[np.isinf(found)] = np.nan
                return found
        found = np.full(len(place), np.nan, dtype=np.float32)
        for name, value in x.items():
            column = place.get(name)
            if column is not None and _is_number(value):
                found[column] = value
            elif value is not None:
                column = place.get((name, value))
                if column is not None:
                    found[column] = 1.0
        if self.values:
            for key, column in place.items():
                if isinstance(key, tuple) and len(key) == 2 and key[0] in self.values and key[0] in x:
                    found[column] = np.nan_to_num(found[column])
        return found


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not math.isinf(value)


class Event:
    """One event as the local models see it.

    Parameters
    ----------
    x : (F,) features, NaN where missing
    z : (F,) the same scaled to [0, 1], 0 where missing
    past : the events before it
    stamp : its number in the stream
    """

    __slots__ = ("_distances", "_nearest", "_nonzero", "_whole", "past", "said", "stamp", "x", "z")

    def __init__(self, x: np.ndarray, z: np.ndarray, past: Past, stamp: int) -> None:
        self.x, self.z, self.past, self.stamp = x, z, past, stamp
        self.said: dict[Any, Any] = {}  # what each leaf has said of it; they are asked again when they learn
        self._distances: np.ndarray | None = None
        self._nearest: dict[tuple[int, int, int], tuple[list[int], list[float]]] = {}
        self._nonzero: np.ndarray | slice | None = None
        self._whole: bool | None = None

    @property
    def distances(self) -> np.ndarray:
        """(M,) squared distances to the events in the past's places."""
        if self._distances is None:
            self._distances = self.past.distances(self.z)
        return self._distances

    def nearest(self, stamps: Sequence[int], k: int) -> tuple[list[int], list[float]]:
        """The k nearest of some earlier events, and their weights, which sum to 1: one over the distance.

        Parameters
        ----------
        stamps : of events that are still in the past, rising

        Returns
        -------
        places in ``stamps``, the nearest first; and a weight for each
        """
        known = (stamps[0], len(stamps), k) if stamps[-1] - stamps[0] == len(stamps) - 1 else None
        if known is not None and known in self._nearest:  # leaves that have seen the same events ask the same
            return self._nearest[known]
        places = np.fromiter(stamps, dtype=np.int64, count=len(stamps)) % self.past.size
        distances = self.distances[places]
        if len(distances) > k:
            nearest = np.argpartition(distances, k - 1)[:k]
            nearest = nearest[np.lexsort((-nearest, distances[nearest]))]  # the same whatever the partition's order
        else:
            nearest = np.arange(len(distances))
        weights = 1.0 / np.maximum(np.sqrt(distances[nearest]), CLOSEST)
        weights /= weights.sum()
        found = nearest.tolist(), weights.tolist()
        if known is not None:
            self._nearest[known] = found
        return found

    @property
    def nonzero(self) -> np.ndarray | slice:
        """The columns where ``z`` is not 0; all of them, as a slice, where most are."""
        if self._nonzero is None:
            places = np.flatnonzero(self.z)
            self._nonzero = slice(0, len(self.z)) if 2 * len(places) > len(self.z) else places
        return self._nonzero

    @property
    def whole(self) -> bool:
        """Whether no feature is missing."""
        if self._whole is None:
            self._whole = not np.isnan(self.x).any()
        return self._whole


class Past:
    """The last ``size`` events in arrays of fixed size, and the running scale of every feature.

    Parameters
    ----------
    size : how many events are kept
    scale : bring features to [0, 1] by the least and the largest value so far; as they are otherwise
    """

    def __init__(self, size: int, scale: bool = True) -> None:
        self.size, self.scale = size, scale
        self.width = 0
        self.count = 0
        self.raw = np.empty((0, 0), dtype=np.float32)
        # in double precision: small distances are differences of large numbers, and sums in single precision depend on
        # where in memory an array happens to lie
        self.scaled = np.empty((0, 0), dtype=np.float64)
        self.squares = np.empty(0, dtype=np.float64)
        self.labels: list[tuple[int, ...]] = []
        self.low = np.empty(0, dtype=np.float32)
        self.high = np.empty(0, dtype=np.float32)

    def event(self, x: np.ndarray) -> Event:
        """``x`` as the next event, not kept yet."""
        return Event(x, self.to_scale(x), self, self.count)

    def to_scale(self, x: np.ndarray) -> np.ndarray:
        """(F,) scaled, 0 where missing."""
        if not self.scale:
            return np.nan_to_num(x)
        low, high = self.low[: len(x)], self.high[: len(x)]
        span = high - low
        with np.errstate(invalid="ignore"):
            z = (x - low) / np.where(span > 0, span, np.inf)
        z[np.isnan(z)] = 0.0  # not nan_to_num, which costs more than all of the above
        return z

    def distances(self, z: np.ndarray) -> np.ndarray:
        """(M,) squared Euclidean distances of a scaled vector to the kept ones."""
        rows = min(self.count, self.size)
        wide = self.scaled[:rows, : len(z)]
        exact = z.astype(np.float64)
        return np.maximum(self.squares[:rows] - 2.0 * (wide @ exact) + float(exact @ exact), 0.0)

    def learn_scale(self, x: np.ndarray) -> bool:
        """Take the values of a new event into the scale, and bring the kept events to it; whether the scale moved."""
        if len(x) > self.width:
            self._widen(len(x))
        low, high = np.fmin(self.low, x), np.fmax(self.high, x)
        moved = np.flatnonzero((low != self.low) | (high != self.high))
        self.low, self.high = low, high
        rows = min(self.count, self.size)
        if len(moved) and rows and self.scale:
            old = self.scaled[:rows, moved]
            span = high[moved] - low[moved]
            with np.errstate(invalid="ignore"):
                new = np.nan_to_num((self.raw[:rows, moved] - low[moved]) / np.where(span > 0, span, np.inf))
            self.scaled[:rows, moved] = new
            self.squares[:rows] += np.square(new, dtype=np.float64).sum(1) - np.square(old, dtype=np.float64).sum(1)
        return bool(len(moved))

    def keep(self, event: Event, labels: Iterable[int]) -> None:
        """Put the event, whose scale has been learned, into the past; the oldest makes room."""
        if self.count < self.size and self.count >= len(self.raw):
            self._lengthen(min(self.size, max(64, 2 * len(self.raw))))
        place = self.count % self.size
        self.raw[place] = event.x
        self.scaled[place] = event.z
        self.squares[place] = float(np.square(event.z, dtype=np.float64).sum())
        if self.count < self.size:
            self.labels.append(tuple(labels))
        else:
            self.labels[place] = tuple(labels)
        self.count += 1

    def last(self, n: int) -> list[tuple[Event, tuple[int, ...]]]:
        """The last ``n`` events that are still kept, oldest first."""
        found = []
        for stamp in range(max(0, self.count - min(n, self.size)), self.count):
            place = stamp % self.size
            found.append(
                (Event(self.raw[place].copy(), self.scaled[place].astype(np.float32), self, stamp), self.labels[place])
            )
        return found

    def _widen(self, width: int) -> None:
        more = width - self.width
        self.raw = np.pad(self.raw, ((0, 0), (0, more)), constant_values=np.nan)
        self.scaled = np.pad(self.scaled, ((0, 0), (0, more)))
        self.low = np.append(self.low, np.full(more, np.nan, dtype=np.float32))
        self.high = np.append(self.high, np.full(more, np.nan, dtype=np.float32))
        self.width = width

    def _lengthen(self, rows: int) -> None:
        more = rows - len(self.raw)
        self.raw = np.pad(self.raw, ((0, more), (0, 0)), constant_values=np.nan)
        self.scaled = np.pad(self.scaled, ((0, more), (0, 0)))
        self.squares = np.append(self.squares, np.zeros(more))
