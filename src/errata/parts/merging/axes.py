"""Axes of tensors that must be permuted together: union-find over cells, and what reshaping makes of an axis.

A cell is a set of units (channels, features) that a parameter makes. An axis of a tensor is described by one of

- ``Run``: one or several cells side by side, each unit ``inner`` numbers long (after a map was flattened);
- ``Split``: one of the two axes that cutting a cell's units into blocks makes, as attention cuts into heads;
- ``Pieces``: the axis over several cells of equal size that lay side by side (query, key and value).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Axis", "Cells", "Pieces", "Run", "Split"]


@dataclass(frozen=True)
class Run:
    """Cells side by side: ``segments`` of (cell, inner)."""

    segments: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Split:
    """The blocks (``part="blocks"``) or the places in a block (``part="inside"``) of a cell; of several, by piece."""

    cells: tuple[int, ...]
    unit: int
    part: str

    def alike(self, other: Split) -> bool:
        """Whether the other one is the same part of cells cut in the same way."""
        return (self.unit, self.part, len(self.cells)) == (other.unit, other.part, len(other.cells))


@dataclass(frozen=True)
class Pieces:
    """Which of several cells."""

    cells: tuple[int, ...]


Axis = Run | Split | Pieces


class Cells:
    """All cells of a network; two are joined where they must be permuted alike.

    Examples
    --------
    >>> cells = Cells()
    >>> a, b = cells.new(4), cells.new(4)
    >>> cells.join(Run(((a, 1),)), Run(((b, 1),)))
    >>> cells.root(a) == cells.root(b)
    True
    """

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.size: list[int] = []
        self.unit: list[int] = []
        self.fixed: list[bool] = []
        self.tie: list[int] = []  # a second union-find: cells whose blocks are permuted alike
        self.children: dict[int, tuple[int, ...]] = {}

    def new(self, size: int, fixed: bool = False) -> int:
        """A cell of ``size`` units."""
        cell = len(self.parent)
        self.parent.append(cell)
        self.tie.append(cell)
        self.size.append(size)
        self.unit.append(1)
        self.fixed.append(fixed)
        return cell

    def run(self, size: int, fixed: bool = True) -> Run:
        """An axis over a new cell."""
        return Run(((self.new(size, fixed), 1),))

    def root(self, cell: int) -> int:
        """The cell that stands for all those joined with this one."""
        while self.parent[cell] != cell:
            self.parent[cell] = self.parent[self.parent[cell]]
            cell = self.parent[cell]
        return cell

    def leaves(self, cell: int) -> tuple[int, ...]:
        """The cells that a cell was cut into; itself where it was not."""
        root = self.root(cell)
        if root not in self.children:
            return (root,)
        return tuple(leaf for child in self.children[root] for leaf in self.leaves(child))

    def segments(self, axis: Run) -> tuple[tuple[int, int], ...]:
        """The axis by the cells that were never cut."""
        return tuple((leaf, inner) for cell, inner in axis.segments for leaf in self.leaves(cell))

    def length(self, axis: Axis) -> int:
        """How many numbers lie on the axis."""
        if isinstance(axis, Run):
            return sum(self.size[cell] * inner for cell, inner in axis.segments)
        if isinstance(axis, Pieces):
            return len(axis.cells)
        return axis.unit if axis.part == "inside" else self.size[axis.cells[0]] // axis.unit

    def fix(self, axis: Axis) -> None:
        """Let the units of this axis stay where they are."""
        for cell in [cell for cell, _ in axis.segments] if isinstance(axis, Run) else axis.cells:
            self._fix(cell)

    def _fix(self, cell: int) -> None:
        for leaf in self.leaves(cell):
            self.fixed[leaf] = True

    def is_fixed(self, axis: Axis) -> bool:
        """Whether all units of the axis stay where they are."""
        cells = [cell for cell, _ in axis.segments] if isinstance(axis, Run) else axis.cells
        return all(self.fixed[leaf] for cell in cells for leaf in self.leaves(cell))

    def join(self, one: Axis, other: Axis) -> None:
        """Permute two axes alike; where they are built differently, neither is permuted."""
        if isinstance(one, Run) and isinstance(other, Run):
            mine, theirs = self.segments(one), self.segments(other)
            alike = [(self.size[c], i) for c, i in mine] == [(self.size[c], i) for c, i in theirs]
            if alike:
                for (a, _), (b, _) in zip(mine, theirs):
                    self._union(a, b)
                return
        if isinstance(one, Split) and isinstance(other, Split) and one.alike(other):
            for a, b in zip(one.cells, other.cells):
                if one.part == "inside":
                    self._union(self.root(a), self.root(b))
                else:
                    self._tie(a, b)
            return
        self.fix(one)
        self.fix(other)

    def _union(self, a: int, b: int) -> None:
        a, b = self.root(a), self.root(b)
        if a == b:
            return
        units = {self.unit[a], self.unit[b]} - {1}
        fixed = self.fixed[a] or self.fixed[b] or len(units) > 1
        if self.size[a] != self.size[b]:
            self.fixed[a] = self.fixed[b] = True
            return
        self.parent[max(a, b)] = min(a, b)
        kept = min(a, b)
        self.unit[kept] = max(units, default=1)
        self.fixed[kept] = fixed
        self._tie(a, b)

    def _tie(self, a: int, b: int) -> None:
        one, other = self.tied(a), self.tied(b)
        self.tie[max(one, other)] = min(one, other)

    def tied(self, cell: int) -> int:
        """The cell that stands for all those whose blocks are permuted with this one's."""
        while self.tie[cell] != cell:
            cell = self.tie[cell]
        return cell

    def cut(self, cell: int, pieces: int) -> tuple[int, ...]:
        """Cut a cell into pieces of equal size, side by side."""
        root = self.root(cell)
        if root in self.children:
            found = self.children[root]
            return found if len(found) == pieces else ()
        if self.size[root] % pieces or self.unit[root] > 1:
            return ()
        made = tuple(self.new(self.size[root] // pieces, self.fixed[root]) for _ in range(pieces))
        self.children[root] = made
        return made

    def block(self, cell: int, unit: int) -> bool:
        """Keep the units of a cell together in blocks of ``unit``; False where it has other blocks already."""
        root = self.root(cell)
        if unit == 1:
            return True
        if root in self.children or self.unit[root] not in (1, unit) or self.size[root] % unit:
            return False
        self.unit[root] = unit
        return True
