"""Reading a table of probabilities block by block, so that what is computed on stays in the processor's cache.

A block is a run of rows of about a megabyte. Nothing the size of the whole table is ever allocated, and the pages
of a memory-mapped file are handed back after each block, so a table may be many times larger than the memory.
"""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from errata.errors import DataError, ParameterError

NEGATIVE_TOLERANCE = 1e-6
SUM_TOLERANCE = 1e-2
"""How far a row's sum may be from one: room for half precision and for tables written with three decimals."""

_BLOCK_BYTES = 2**20
_SHARED_BLOCK_BYTES = (
    2**23
)  # several threads hand the interpreter's lock around for each array operation: fewer, larger
_Result = TypeVar("_Result")


class BlockReader:
    """The rows of a probability table in blocks.

    Parameters
    ----------
    pred_probs : (N, K) float array, memory-mapped array, CPU tensor or nested sequence; N >= 1, K >= 2
    block_rows : int >= 1, optional
        Rows per block; by default as many as suit the processor's cache. Results never depend on it.
    threads : int >= 1, default 1
        Blocks that are worked on at the same time.

    Raises
    ------
    DataError
        If ``pred_probs`` cannot be read as a table of real numbers with at least one row and two columns.
    ParameterError
        If ``block_rows`` or ``threads`` is not a positive integer.

    Examples
    --------
    >>> reader = BlockReader([[0.5, 0.5], [1.0, 0.0], [0.2, 0.8]], block_rows=2)
    >>> list(reader.map(lambda start, stop: (start, stop)))
    [(0, 2), (2, 3)]
    """

    def __init__(self, pred_probs: ArrayLike, *, block_rows: int | None = None, threads: int = 1) -> None:
        self.array = _as_table(pred_probs)
        self.num_rows, self.num_classes = self.array.shape
        kept = self.array.dtype.kind == "f" and self.array.dtype.itemsize <= 4
        self.dtype: np.dtype[Any] = np.dtype(np.float32 if kept else np.float64)
        self.threads = _positive(threads, "threads")
        room = _BLOCK_BYTES if self.threads == 1 else _SHARED_BLOCK_BYTES
        fitting = max(256, room // (self.num_classes * self.dtype.itemsize))
        self.block_rows = fitting if block_rows is None else _positive(block_rows, "block_rows")
        self._mapping = _shared_mapping(self.array)

    def map(self, work: Callable[[int, int], _Result]) -> Iterator[_Result]:
        """Yield ``work(start, stop)`` for every block, in the order of the rows whatever the number of threads."""
        spans = [(a, min(a + self.block_rows, self.num_rows)) for a in range(0, self.num_rows, self.block_rows)]

        def job(start: int, stop: int) -> _Result:
            try:
                return work(start, stop)
            finally:
                self._release(start, stop)

        if self.threads == 1 or len(spans) == 1:
            for span in spans:
                yield job(*span)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            pending: deque[Future[_Result]] = deque()
            for span in spans:
                pending.append(pool.submit(job, *span))
                if len(pending) > 2 * self.threads:  # results wait for their turn, so their number is bounded
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def run(self, work: Callable[[int, int], None]) -> None:
        """Do ``work(start, stop)`` for every block, for what it writes."""
        for _ in self.map(work):
            pass

    def copy(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start`` to ``stop`` in the working precision, as a copy that may be written to."""
        return np.array(self.array[start:stop], dtype=self.dtype, order="C")

    def take(self, start: int, stop: int, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Return the rows ``start + rows`` in the working precision; ``rows`` is ascending, within ``stop - start``."""
        block = self.array[start:stop]
        return np.ascontiguousarray(block.take(rows, axis=0), dtype=self.dtype)

    def _release(self, start: int, stop: int) -> None:
        """Give back the pages of a mapped block; they stay in the system's file cache, not in this process."""
        if self._mapping is None:
            return
        mapping, first = self._mapping
        row_bytes = self.array.strides[0]
        low = (first + start * row_bytes) // mmap.PAGESIZE * mmap.PAGESIZE
        mapping.madvise(mmap.MADV_DONTNEED, low, first + stop * row_bytes - low)


def check_block(block: NDArray[Any], start: int) -> None:
    """Make sure that every row of ``block`` is a distribution, or name the first that is not.

    The block's first row is row ``start`` of the table.

    Raises
    ------
    DataError
        If a value is not finite, or below -1e-6, or a row does not sum to one within 0.01.

    Examples
    --------
    >>> check_block(np.array([[0.5, 0.5], [0.9, 0.3]]), 10)
    Traceback (most recent call last):
        ...
    errata.errors.DataError: pred_probs: row 11 sums to 1.2, expected 1 (within 0.01). ...
    """
    sums = np.einsum("ij->i", block)  # not a matrix product: BLAS would bring threads of its own
    if block.min() >= -NEGATIVE_TOLERANCE and np.abs(sums - 1).max() <= SUM_TOLERANCE:
        return
    fine = (block >= -NEGATIVE_TOLERANCE).all(axis=1) & (np.abs(sums - 1) <= SUM_TOLERANCE)
    row = int(np.flatnonzero(~fine)[0])
    values = block[row]
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= -NEGATIVE_TOLERANCE)))
    if wrong.size:
        column = int(wrong[0])
        raise DataError(
            f"pred_probs: row {start + row}, column {column} is {values[column]:.6g}, expected a probability from 0 "
            "to 1. If these are scores or logits, turn them into probabilities first (softmax); rows without a "
            "prediction must be left out."
        )
    raise DataError(
        f"pred_probs: row {start + row} sums to {sums[row]:.6g}, expected 1 (within {SUM_TOLERANCE:g}). "
        "Divide each row by its sum, or apply softmax if these are logits; every class needs its column."
    )


def as_given(given: ArrayLike, num_rows: int, num_classes: int) -> NDArray[np.int32]:
    """Return the given labels as (N,) int32 with -1 for missing, or say which row is no class of the table.

    Examples
    --------
    >>> as_given([0, 1, -1], num_rows=3, num_classes=2)
    array([ 0,  1, -1], dtype=int32)
    """
    labels = _as_array(given, "given")
    if labels.ndim != 1:
        raise DataError(f"given: expected labels of shape (N,), found shape {labels.shape}. Pass one class per row.")
    if len(labels) != num_rows:
        raise DataError(f"given has {len(labels)} labels and pred_probs has {num_rows} rows; there must be one each.")
    if labels.dtype.kind not in "biuf":
        raise DataError(
            f"given: expected classes as integers from 0 to {num_classes - 1} (-1 for missing), found type "
            f"{labels.dtype}. Give each class its column number in pred_probs first."
        )
    whole = labels.dtype.kind != "f" or bool((np.floor(labels) == labels).all())
    if not (whole and labels.min() >= -1 and labels.max() < num_classes):
        legal = (labels >= -1) & (labels < num_classes) & (np.floor(labels) == labels)
        row = int(np.flatnonzero(~legal)[0])
        raise DataError(
            f"given: row {row} is {labels[row]}, expected an integer from 0 to {num_classes - 1}, the columns of "
            "pred_probs, or -1 for a missing label. A class without a column needs one."
        )
    if labels.max() < 0:
        raise DataError("given: every label is missing (-1), so there is nothing to check. At least one is needed.")
    return labels.astype(np.int32)


def _as_table(pred_probs: ArrayLike) -> NDArray[Any]:
    table = _as_array(pred_probs, "pred_probs")
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise DataError(
            f"pred_probs: expected shape (N, K), a row per sample and a column per class (N >= 1, K >= 2), "
            f"found shape {table.shape}."
        )
    if table.dtype.kind not in "biuf":
        raise DataError(f"pred_probs: expected real numbers, found type {table.dtype}.")
    return table


def _as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{name} cannot be read as an array: {error}. Of a tensor, pass tensor.detach().float().cpu()."
        ) from error


def _positive(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ParameterError(f"{name}: expected an integer of at least 1, found {value!r}.")
    return int(value)


def _shared_mapping(array: NDArray[Any]) -> tuple[mmap.mmap, int] | None:
    """Return the mapping that ``array`` lies in and its first byte there, or None where no page may be given back.

    Only mappings shared with their file qualify: in a copy-on-write one (mode "c"), giving a page back would lose what
    the caller has written to it.
    """
    if not hasattr(mmap, "MADV_DONTNEED") or not array.flags.c_contiguous:
        return None
    base: Any = array
    shared = False
    while base is not None and not isinstance(base, mmap.mmap):
        shared |= isinstance(base, np.memmap) and base.mode in ("r", "r+", "w+")
        base = getattr(base, "base", None)
    if base is None or not shared:
        return None
    first = array.__array_interface__["data"][0] - np.frombuffer(base, dtype=np.uint8).__array_interface__["data"][0]
    return base, first
