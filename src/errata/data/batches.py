"""Batches cut by index, whole slices at a time; a DataLoader only where samples must be decoded.

The order of an epoch depends on ``(seed, epoch)`` and nothing else, so a resumed run and every rank of a distributed
one see the same global batches. Rank ``r`` serves its contiguous share of each global batch: put together in rank
order, the shares are the batch that one process would have had.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from errata.errors import DataError, ParameterError
from errata.parts import Batch, world_size

__all__ = ["BatchOrder", "Batches", "DecodingLoader", "IndexedDataset", "Passes", "balanced_subset", "loader"]


class BatchOrder:
    """Which rows make up which batch: an iterable of (B,) int64 arrays, to be used as a ``batch_sampler``.

    Parameters
    ----------
    rows : (M,) the row numbers to serve, or how many there are
    batch_size : rows of a global batch, 1 or more
    shuffle : a new order each epoch; else as given
    seed : of the order, together with the epoch
    drop_last : leave out an incomplete last batch
    per_epoch : serve so many rows an epoch, drawn anew each time; all of them by default. Only with ``shuffle``.
    strata : (M,) the class of each of the rows: a subset then has as many rows of each class as it can

    Examples
    --------
    >>> [rows.tolist() for rows in BatchOrder(5, batch_size=2, shuffle=False)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        rows: int | np.ndarray,
        *,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        per_epoch: int | None = None,
        strata: np.ndarray | None = None,
    ) -> None:
        if int(batch_size) != batch_size or batch_size < 1:
            raise ParameterError(f"batch_size must be a whole number, 1 or more; got {batch_size!r}.")
        if int(seed) != seed or seed < 0:
            raise ParameterError(f"seed must be a whole number, 0 or more; got {seed!r}.")
        self.rows = np.arange(rows, dtype=np.int64) if isinstance(rows, int) else np.asarray(rows, dtype=np.int64)
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.seed = int(seed)
        self.drop_last = drop_last
        self.strata = None if strata is None else np.asarray(strata)
        self.count = len(self.rows) if per_epoch is None else min(_whole(per_epoch), len(self.rows))
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = int(epoch)

    @property
    def sampler(self) -> BatchOrder:
        """Itself: the place where Lightning looks for something with ``set_epoch``."""
        return self

    def bounds(self, world: int | None = None) -> np.ndarray:
        """(number of batches + 1,) where each global batch begins and ends in the epoch's order.

        With ``world`` processes a last batch too small to give a row to each is joined to the one before.
        """
        world = world_size() if world is None else world
        total, size = self.count, self.batch_size
        edges = np.append(np.arange(0, total, size), total)
        last = edges[-1] - edges[-2] if len(edges) > 1 else 0
        if self.drop_last and last < size:
            return edges[:-1]
        if 0 < last < min(world, size) and len(edges) > 2:  # a rank without a row would hang the others
            edges = np.delete(edges, -2)
        return edges

    def __len__(self) -> int:
        return len(self.bounds()) - 1

    def order(self) -> np.ndarray:
        """(count,) the rows in the order of the current epoch, before they are cut into batches."""
        if not self.shuffle:
            return self.rows[: self.count]
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.rows))
        if self.count < len(self.rows) and self.strata is not None:
            order = balanced_subset(order, self.strata, self.count)
        return self.rows[order[: self.count]]

    def shares(self, rank: int, world: int) -> Iterator[np.ndarray]:
        """One process's rows of each global batch: its contiguous share, of the same length on all to within a row.

        Raises
        ------
        DataError
            where a batch has fewer rows than there are processes

        Examples
        --------
        >>> order = BatchOrder(5, batch_size=3, shuffle=False)
        >>> [[rows.tolist() for rows in order.shares(rank, 2)] for rank in (0, 1)]
        [[[0], [3]], [[1, 2], [4]]]
        """
        order, edges = self.order(), self.bounds(world)
        smallest = int(np.diff(edges).min(initial=world))
        if smallest < world:
            raise DataError(f"{world} processes can't share a batch of {smallest} rows; use fewer, or larger batches.")
        for start, stop in itertools.pairwise(edges.tolist()):
            size = stop - start
            yield order[start + size * rank // world : start + size * (rank + 1) // world]

    def __iter__(self) -> Iterator[np.ndarray]:
        world = world_size()
        return self.shares(torch.distributed.get_rank() if world > 1 else 0, world)


def balanced_subset(order: np.ndarray, strata: np.ndarray, count: int) -> np.ndarray:
    """The first rows of an order that make a subset with as many rows of each class as it can have.

    Parameters
    ----------
    order : (M,) row positions, in random order
    strata : (M,) the class of each position
    count : rows of the subset, at most M. Classes that are too small give all their rows, the others share the rest.

    Returns
    -------
    (count,) positions, in the order given

    Examples
    --------
    >>> balanced_subset(np.array([0, 1, 2, 3, 4, 5]), np.array([0, 0, 0, 0, 1, 1]), 4)
    array([0, 1, 4, 5])
    """
    own = strata[order]
    grouped = np.argsort(own, kind="stable")
    _, starts, sizes = np.unique(own[grouped], return_index=True, return_counts=True)
    place = np.empty(len(order), dtype=np.int64)  # of each row among those of its class
    place[grouped] = np.arange(len(order)) - np.repeat(starts, sizes)
    return order[np.sort(np.lexsort((np.arange(len(order)), place))[:count])]


def _whole(per_epoch: Any) -> int:
    if isinstance(per_epoch, bool) or int(per_epoch) != per_epoch or per_epoch < 1:
        raise ParameterError(f"The rows of an epoch must be a whole number, 1 or more; got {per_epoch!r}.")
    return int(per_epoch)


class Passes:
    """Batches gone over several times an epoch, each time in a new order, for systems that train networks in turn.

    Parameters
    ----------
    batches : an iterable of batches with a length; its ``set_epoch`` is called where it has one
    passes : how often, 1 or more

    Examples
    --------
    >>> twice = Passes(Batches(torch.arange(2), torch.arange(2), batch_size=1, shuffle=False), 2)
    >>> len(twice), [batch.index.item() for batch in twice]
    (4, [0, 1, 0, 1])
    """

    def __init__(self, batches: Any, passes: int) -> None:
        if isinstance(passes, bool) or int(passes) != passes or passes < 1:
            raise ParameterError(f"passes must be a whole number, 1 or more; got {passes!r}.")
        self.batches = batches
        self.passes = int(passes)
        self.epoch = 0

    @property
    def sampler(self) -> Passes:
        """Itself: the place where Lightning looks for something with ``set_epoch``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose orders come next."""
        self.epoch = int(epoch)

    def __len__(self) -> int:
        return self.passes * len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for turn in range(self.passes):
            if hasattr(self.batches, "set_epoch"):
                self.batches.set_epoch(self.epoch * self.passes + turn)
            yield from self.batches


class Batches:
    """Batches of in-memory (or memory-mapped) data by whole slices.

    Parameters
    ----------
    x : (N, ...) tensor, array or ``np.memmap``
    y : (N,) int64 labels
    batch_size : rows of a global batch; with several processes each gets its share of it
    index : (M,) the rows of ``x`` and ``y`` to serve, and what ``Batch.index`` says; all of them by default
    shuffle, seed, drop_last : see ``BatchOrder``
    per_epoch : serve a random subset of so many rows each epoch, with as many of each class as it can have

    Examples
    --------
    >>> batches = Batches(torch.arange(10).view(5, 2), torch.arange(5), batch_size=2, index=[4, 1, 3], shuffle=False)
    >>> [(b.index.tolist(), b.y.tolist()) for b in batches]
    [([4, 1], [4, 1]), ([3], [3])]
    >>> len(batches)
    2
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        *,
        batch_size: int,
        index: Any = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        per_epoch: int | None = None,
    ) -> None:
        self.x = x
        self.y = torch.as_tensor(y)
        rows = _rows(len(x), len(self.y), index)
        self.batch_order = BatchOrder(
            rows,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
            per_epoch=per_epoch,
            strata=None if per_epoch is None else self.y.numpy()[rows],
        )

    @property
    def batch_size(self) -> int:
        """Rows of a global batch."""
        return self.batch_order.batch_size

    @property
    def batch_sampler(self) -> BatchOrder:
        """The order, whose ``sampler`` is where Lightning calls ``set_epoch``; there is no ``sampler`` beside it."""
        return self.batch_order

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.batch_order.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batch_order)

    def __iter__(self) -> Iterator[Batch]:
        for rows in self.batch_order:
            index = torch.from_numpy(rows)
            yield Batch(index, take(self.x, rows), self.y[index])


def take(x: Any, rows: np.ndarray) -> Tensor:
    """Some rows of a tensor or array as a tensor; from a memory-mapped file in the file's order.

    Examples
    --------
    >>> take(np.array([5, 6, 7]), np.array([2, 0]))
    tensor([7, 5])
    """
    if isinstance(x, Tensor):
        return x.index_select(0, torch.from_numpy(rows).to(x.device))
    if not isinstance(x, np.memmap):
        return torch.from_numpy(np.ascontiguousarray(x[rows]))
    ascending = np.argsort(rows, kind="stable")
    found = np.empty((len(rows), *x.shape[1:]), dtype=x.dtype)
    found[ascending] = x[rows[ascending]]
    return torch.from_numpy(found)


def _rows(num_x: int, num_y: int, index: Any) -> np.ndarray:
    if num_x != num_y:
        raise DataError(f"x and y must have the same length; got {num_x:,} and {num_y:,} rows.")
    rows = np.arange(num_x) if index is None else np.asarray(index)
    if rows.dtype == bool:
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise DataError(f"index must be a one-dimensional array of row numbers; got {rows.dtype} {rows.shape}.")
    if rows.size == 0:
        raise DataError("There are no rows to make batches of.")
    if rows.min() < 0 or rows.max() >= num_x:
        raise DataError(f"index must lie in [0, {num_x - 1}]; got {rows.min()} to {rows.max()}.")
    return rows.astype(np.int64)


class IndexedDataset(Dataset):
    """Any map-style dataset of (x, y) with the row number in front, for DataLoaders of your own.

    Each sample is a ``Batch(index, x, y)``, which torch's default collate puts together into a ``Batch`` of tensors.

    Parameters
    ----------
    dataset : with ``len`` and ``[i] -> (x, y)``; or x alone, with ``y``
    y : (N,) labels, where the dataset has none of its own

    Examples
    --------
    >>> pairs = [(torch.zeros(2), 1), (torch.ones(2), 0)]
    >>> next(iter(DataLoader(IndexedDataset(pairs), batch_size=2))).index
    tensor([0, 1])
    """

    def __init__(self, dataset: Any, y: Any = None) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise DataError(f"Expected a map-style dataset, with a length and items; got {type(dataset).__name__}.")
        self.dataset = dataset
        self.y = None if y is None else torch.as_tensor(y)
        if self.y is not None and len(self.y) != len(dataset):
            raise DataError(f"x and y must have the same length; got {len(dataset):,} and {len(self.y):,} rows.")

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> Batch:
        row = int(row)
        x, y = self.dataset[row][:2] if self.y is None else (self.dataset[row], self.y[row])
        return Batch(row, x, y)  # type: ignore[arg-type]  # one sample; collate makes tensors of many

    @staticmethod
    def collate(samples: list[Batch]) -> Batch:
        """Put samples together into a ``Batch`` of tensors."""
        index, x, y = default_collate([tuple(sample) for sample in samples])
        return Batch(index, x, y)


class DecodingLoader(DataLoader):
    """A DataLoader in the order of a ``BatchOrder``, with its ``set_epoch``."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


def loader(
    x: Any,
    y: Any,
    *,
    batch_size: int,
    workers: int = 0,
    index: Any = None,
    shuffle: bool = True,
    seed: int = 0,
    drop_last: bool = False,
    per_epoch: int | None = None,
) -> Batches | DecodingLoader:
    """The batches of ``x`` and ``y``: by slices for tensors and arrays, decoded by workers for a dataset.

    Parameters
    ----------
    x : (N, ...) tensor, array, memmap; or a map-style dataset of inputs
    y : (N,) int64 labels
    workers : processes that decode, for a dataset; 0 decodes in this process. The batches don't depend on it.
    batch_size, index, shuffle, seed, drop_last, per_epoch : see ``Batches``

    Examples
    --------
    >>> type(loader(torch.zeros(4, 2), torch.zeros(4), batch_size=2)).__name__
    'Batches'
    """
    how: dict[str, Any] = {"batch_size": batch_size, "shuffle": shuffle, "seed": seed, "drop_last": drop_last}
    how["per_epoch"] = per_epoch
    if isinstance(x, (Tensor, np.ndarray)):
        return Batches(x, y, index=index, **how)
    labels = torch.as_tensor(y)
    dataset = IndexedDataset(x, labels)
    rows = _rows(len(dataset), len(dataset), index)
    order = BatchOrder(rows, **how, strata=None if per_epoch is None else labels.numpy()[rows])
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*worker processes.*"
        )  # more workers than cores are the user's choice
        return DecodingLoader(
            dataset,
            batch_sampler=order,  # type: ignore[arg-type]
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=IndexedDataset.collate,
        )
