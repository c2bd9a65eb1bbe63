"""What becomes of the axes of a tensor when it is reshaped, cut, moved, or contracted with another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from errata.parts.merging.axes import Axis, Cells, Pieces, Run, Split

__all__ = ["broadcast", "contract", "pick", "pieces_of", "reduced", "reshaped"]


def reshaped(cells: Cells, axes: Sequence[Axis], shape: Sequence[int]) -> list[Axis]:
    """The axes after a reshape to ``shape``; what can't be followed is fixed.

    Old and new axes are cut into the smallest stretches of equal product, and each stretch is looked at alone.
    """
    old, new = [cells.length(a) for a in axes], list(shape)
    found: list[Axis] = []
    i = j = 0
    while i < len(old) or j < len(new):
        first_old, first_new = i, j
        left, right = (old[i] if i < len(old) else 1), (new[j] if j < len(new) else 1)
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        while left != right:
            if left < right:
                left *= old[i]
                i += 1
            else:
                right *= new[j]
                j += 1
        found += _stretch(cells, axes[first_old:i], new[first_new:j])
    return found


def _stretch(cells: Cells, axes: Sequence[Axis], sizes: list[int]) -> list[Axis]:
    """One stretch: one to one, many to one (flatten), one to many (heads), or anything else."""
    wide = [a for a in axes if cells.length(a) > 1 or not cells.is_fixed(a)]
    long = [k for k, n in enumerate(sizes) if n > 1]
    if len(wide) <= 1 and len(long) <= 1:
        kept: Axis = wide[0] if wide else cells.run(1)
        place = long[0] if long else 0
        return [kept if k == place else cells.run(1) for k in range(len(sizes))]
    if len(long) == 1:
        joined = _joined(cells, wide)
        if joined is not None:
            return [joined if k == long[0] else cells.run(1) for k in range(len(sizes))]
    if len(wide) == 1 and isinstance(wide[0], Run):
        cut = _cut(cells, wide[0], sizes)
        if cut is not None:
            return cut
    for axis in wide:
        cells.fix(axis)
    return [cells.run(n) for n in sizes]


def _joined(cells: Cells, axes: list[Axis]) -> Axis | None:
    first, rest = axes[0], axes[1:]
    if isinstance(first, Split) and first.part == "blocks" and len(axes) == 2:
        second = axes[1]
        if isinstance(second, Split) and (second.part, second.unit) == ("inside", first.unit):
            tied = len(first.cells) == len(second.cells) == 1
            if tied and cells.tied(first.cells[0]) == cells.tied(second.cells[0]):
                return Run(((second.cells[0], 1),))
    if isinstance(first, Run) and all(cells.is_fixed(a) for a in rest):
        inner = math.prod(cells.length(a) for a in rest)
        return Run(tuple((cell, i * inner) for cell, i in first.segments))
    return None


def _cut(cells: Cells, axis: Run, sizes: list[int]) -> list[Axis] | None:
    """A cell's axis cut into (heads, size of a head), or (pieces, heads, size of a head)."""
    segments = cells.segments(axis)
    if len(segments) != 1 or segments[0][1] != 1 or cells.is_fixed(axis):
        if len(segments) == sizes[0] and len(sizes) == 3 and all(i == 1 for _, i in segments):  # cut before
            parts = tuple(cell for cell, _ in segments)
            return _pieces(cells, parts, sizes)
        return None
    cell = segments[0][0]
    if len(sizes) == 2:
        if not cells.block(cell, sizes[1]):
            return None
        return [Split((cell,), sizes[1], "blocks"), Split((cell,), sizes[1], "inside")]
    if len(sizes) == 3 and sizes[0] in (2, 3):
        parts = cells.cut(cell, sizes[0])
        return _pieces(cells, parts, sizes) if parts else None
    return None


def _pieces(cells: Cells, parts: tuple[int, ...], sizes: list[int]) -> list[Axis] | None:
    fits = [cells.block(part, sizes[2]) for part in parts]
    if not all(fits):
        return None
    return [Pieces(parts), Split(parts, sizes[2], "blocks"), Split(parts, sizes[2], "inside")]


def pick(cells: Cells, axes: Sequence[Axis], dim: int, index: int | None) -> list[Axis]:
    """The axes after one index along ``dim`` was chosen (None: an unknown one)."""
    chosen = axes[dim]
    rest = [a for k, a in enumerate(axes) if k != dim]
    if isinstance(chosen, Pieces) and index is not None:
        cell = chosen.cells[index]
        return [Split((cell,), a.unit, a.part) if isinstance(a, Split) and a.cells == chosen.cells else a for a in rest]
    cells.fix(chosen)
    return rest


def pieces_of(cells: Cells, axes: Sequence[Axis], dim: int, sizes: Sequence[int]) -> list[list[Axis]]:
    """The axes of each of the pieces that lie side by side along ``dim``."""
    axis, found = axes[dim], []
    parts: list[Axis] | None = None
    if isinstance(axis, Run):
        segments = cells.segments(axis)
        if len(segments) == 1 and segments[0][1] == 1 and len(set(sizes)) == 1 and not cells.is_fixed(axis):
            parts = [Run(((cell, 1),)) for cell in cells.cut(segments[0][0], len(sizes))] or None
        elif [cells.size[c] * i for c, i in segments] == list(sizes):
            parts = [Run((segment,)) for segment in segments]
    if parts is None:
        cells.fix(axis)
        parts = [cells.run(n) for n in sizes]
    for part in parts:
        found.append([part if k == dim else a for k, a in enumerate(axes)])
    return found


def broadcast(cells: Cells, operands: Sequence[Sequence[Axis]]) -> list[Axis]:
    """The axes of an operation on several tensors, number by number; those of equal length are joined."""
    rank = max(len(axes) for axes in operands)
    found: list[Axis] = []
    for place in range(1, rank + 1):
        here = [axes[-place] for axes in operands if len(axes) >= place]
        longest = max(cells.length(a) for a in here)
        alike = [a for a in here if cells.length(a) == longest]
        for other in alike[1:]:
            cells.join(alike[0], other)
        found.append(alike[0])
    return found[::-1]


def contract(cells: Cells, one: Sequence[Axis], other: Sequence[Axis]) -> list[Axis]:
    """The axes of a matrix product (B..., n, k) @ (B..., k, m)."""
    if len(one) < 2 or len(other) < 2:
        for axis in (*one, *other):
            cells.fix(axis)
        rank = max(len(one), len(other)) - 1
        return [cells.run(1) for _ in range(rank)]
    cells.join(one[-1], other[-2])
    batch = broadcast(cells, [one[:-2], other[:-2]]) if len(one) > 2 or len(other) > 2 else []
    return [*batch, one[-2], other[-1]]


def reduced(cells: Cells, axes: Sequence[Axis], dims: Any, keep: bool) -> list[Axis]:
    """The axes after a sum or mean over ``dims`` (None: all); units that are summed over stay where they are."""
    rank = len(axes)
    gone = set(range(rank)) if dims is None else {d % rank for d in ([dims] if isinstance(dims, int) else dims)}
    for d in gone:
        cells.fix(axes[d])
    return [cells.run(1) if d in gone else a for d, a in enumerate(axes) if keep or d not in gone]
