"""Partial merging: which units are merged and which kept apart, how wide everything gets, and the first weights.

The merged network's units lie as [merged | separate of A | separate of B]. Along every axis a ``Layout`` says which
unit of A and which of B each place comes from; weights, regressions and structural zeros all follow from that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from errata.errors import ParameterError
from errata.parts.merging.spec import OUTPUT, PermutationSpec

__all__ = ["Blocks", "Layout", "axis_layout", "class_layout", "combine", "divide", "merge_blocks", "merge_states"]


@dataclass(frozen=True)
class Blocks:
    """How the units of a group are divided: pairs that are merged, and those of each network that stay alone.

    Attributes
    ----------
    merged_a, merged_b : (n,) int64, a pair each
    separate_a, separate_b : (m,) int64
    """

    merged_a: np.ndarray
    merged_b: np.ndarray
    separate_a: np.ndarray
    separate_b: np.ndarray

    @property
    def width(self) -> int:
        """n + 2 m."""
        return len(self.merged_a) + len(self.separate_a) + len(self.separate_b)

    def lists(self) -> list[list[int]]:
        """As plain lists, in the order of the attributes."""
        return [part.tolist() for part in (self.merged_a, self.merged_b, self.separate_a, self.separate_b)]


def merge_blocks(similarity: np.ndarray, perm: np.ndarray, ratio: float, *, as_code: bool = True) -> Blocks:
    """Divide the units of a group: the pairs at or above the quantile ``ratio`` of the matched similarities are merged.

    Parameters
    ----------
    similarity : (d, d) of unit i of A and unit j of B
    perm : (d,) perm[i] = partner in B of unit i of A
    ratio : share kept separate, in [0, 1]
    as_code : as the authors' code, where ratio 1 replaces ``perm`` by the identity and still merges one pair;
        False separates all of them there

    Examples
    --------
    >>> merge_blocks(np.array([[0.0, -3.0], [-1.0, -2.0]]), np.array([0, 1]), 0.5).lists()
    [[0], [0], [1], [1]]
    >>> merge_blocks(np.eye(2), np.array([0, 1]), 1.0, as_code=False).lists()
    [[], [], [0, 1], [0, 1]]
    """
    if not 0 <= ratio <= 1:
        raise ParameterError(f"A ratio is the share of units kept separate, in [0, 1]; got {ratio!r}.")
    perm = np.asarray(perm, dtype=np.int64)
    whole = abs(ratio - 1.0) < 1e-3
    if whole:
        perm = np.arange(len(perm))
    own = np.arange(len(perm))
    matched = np.asarray(similarity, dtype=np.float64)[own, perm]
    mask = matched >= np.quantile(matched, ratio)
    if whole and not as_code:
        mask[:] = False
    return Blocks(own[mask], perm[mask], own[~mask], perm[~mask])


@dataclass(frozen=True)
class Layout:
    """Where each place of an axis of the merged network comes from.

    Attributes
    ----------
    a, b : (w,) int64, the index in A's and in B's axis; -1 where the place is the other's alone
    """

    a: Tensor
    b: Tensor

    @property
    def width(self) -> int:
        """How many places there are."""
        return len(self.a)

    @property
    def merged(self) -> Tensor:
        """(w,) bool."""
        return (self.a >= 0) & (self.b >= 0)

    @property
    def only_a(self) -> Tensor:
        """(w,) bool."""
        return self.b < 0

    @property
    def only_b(self) -> Tensor:
        """(w,) bool."""
        return self.a < 0

    @classmethod
    def same(cls, size: int) -> Layout:
        """An axis on which both networks agree, place by place."""
        return cls(torch.arange(size), torch.arange(size))

    @classmethod
    def of(cls, blocks: Blocks, inner: int = 1, start: int = 0) -> Layout:
        """The layout of a group's units, ``inner`` numbers each, that lie from ``start`` on."""
        none = np.full
        a = np.concatenate([blocks.merged_a, blocks.separate_a, none(len(blocks.separate_b), -1)])
        b = np.concatenate([blocks.merged_b, none(len(blocks.separate_a), -1), blocks.separate_b])
        return cls(_spread(a, inner, start), _spread(b, inner, start))

    def mix(self, a: Tensor, b: Tensor, axis: int) -> Tensor:
        """Features of the merged network: the mean of both on merged places, one network's own elsewhere."""
        both = _take(a, self.a, axis) + _take(b, self.b, axis)
        weight = torch.where(self.merged, 0.5, 1.0).to(both)
        return both * _along(weight, axis, both.ndim)


def _spread(index: np.ndarray, inner: int, start: int) -> Tensor:
    found = index[:, None] * inner + np.arange(inner) + start
    return torch.from_numpy(np.where(index[:, None] < 0, -1, found).reshape(-1).astype(np.int64))


def _along(weight: Tensor, axis: int, rank: int) -> Tensor:
    return weight.reshape([-1 if k == axis % rank else 1 for k in range(rank)])


def _take(x: Tensor, index: Tensor, axis: int) -> Tensor:
    index = index.to(x.device)
    if index.numel() == x.shape[axis] and bool((index == torch.arange(len(index), device=x.device)).all()):
        return x
    found = x.index_select(axis, index.clamp(min=0)) if x.shape[axis] else x.new_zeros(_with(x.shape, axis, len(index)))
    return found * _along((index >= 0).to(found), axis, found.ndim)


def _with(shape: Sequence[int], axis: int, size: int) -> list[int]:
    return [size if k == axis else n for k, n in enumerate(shape)]


def axis_layout(
    stretches: Sequence[tuple[str | None, int, int]], blocks: Mapping[str, Blocks], output: Layout | None = None
) -> Layout:
    """The layout of an axis that is built of stretches, see ``PermutationSpec.axes``.

    Parameters
    ----------
    stretches : (group or None, units, numbers per unit), one after the other
    blocks : of each group
    output : of the network's output, where it differs between the networks
    """
    if output is not None and len(stretches) == 1 and stretches[0][0] == OUTPUT:
        return output
    parts, start = [], 0
    for group, size, inner in stretches:
        if group is not None and group in blocks:
            parts.append(Layout.of(blocks[group], inner, start))
        else:
            same = torch.arange(start, start + size * inner)
            parts.append(Layout(same, same))
        start += size * inner
    return Layout(torch.cat([p.a for p in parts]), torch.cat([p.b for p in parts]))


def combine(a: Tensor, b: Tensor, layouts: Sequence[Layout], weigh: int) -> Tensor:
    """One tensor of the merged network, from those of A and B.

    Merged units take half of each network's weights, separate ones their own network's; a place that would join a unit
    of A alone with one of B alone is zero.

    Parameters
    ----------
    a, b : of one rank, 1 or more
    layouts : for each axis
    weigh : the axis whose units are merged or separate: that of the units which the tensor makes
    """
    one, other = a.double(), b.double()
    for axis, layout in enumerate(layouts):
        one, other = _take(one, layout.a, axis), _take(other, layout.b, axis)
    weight = torch.where(layouts[weigh].merged, 0.5, 1.0).to(one)
    mixed = (one + other) * _along(weight, weigh, one.ndim)
    return mixed.to(a.dtype) if a.is_floating_point() else mixed.round().to(a.dtype)


def merge_states(
    spec: PermutationSpec,
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    blocks: Mapping[str, Blocks],
    *,
    head: str = "halve",
    output: Layout | None = None,
) -> dict[str, Tensor]:
    """The merged network's parameters before least squares.

    Parameters
    ----------
    spec, a, b : the specification, and both networks' parameters
    blocks : of each group
    head : "halve" makes the last layer answer the mean of both networks. "copy" does as the authors' code: there,
        separate columns are copied whole, and parameters in no group (the last bias) stay A's
    output : of the network's output, where the classes differ; see ``axis_layout``. Then "copy" is "halve".
    """
    if head not in ("halve", "copy"):
        raise ParameterError(f"head must be 'halve' or 'copy'; got {head!r}.")
    copies = head == "copy" and output is None
    merged: dict[str, Tensor] = {}
    for name, own in a.items():
        axes = spec.axes.get(name, [[(None, n, 1)] for n in own.shape])
        divided = [k for k, axis in enumerate(axes) if any(group in blocks for group, _, _ in axis)]
        if own.ndim == 0 or (copies and not divided):
            merged[name] = own.clone()
            continue
        layouts = [axis_layout(axis, blocks, output) for axis in axes]
        weigh = divided[0] if copies and len(divided) == 1 else spec.out_axis.get(name, 0)
        merged[name] = combine(own, b[name], layouts, weigh)
    return merged


def divide(
    spec: PermutationSpec,
    similarity: Mapping[str, np.ndarray],
    perm: Mapping[str, np.ndarray],
    ratios: Mapping[str, float],
    *,
    as_code: bool = False,
) -> dict[str, Blocks]:
    """The blocks of every group; those whose blocks are tied are divided alike, by their summed similarity.

    Parameters
    ----------
    similarity, perm : of each group
    ratios : share kept separate, by group; of tied ones the first counts
    as_code : see ``merge_blocks``
    """
    found: dict[str, Blocks] = {}
    for name, groups in spec.leaders().items():
        matched = [similarity[g.name][np.arange(g.size), perm[g.name]].reshape(-1, g.unit).sum(1) for g in groups]
        count = len(matched[0])
        total = np.zeros((count, count))
        total[np.arange(count), np.arange(count)] = np.sum(matched, axis=0)
        alone = len(groups) == 1 and groups[0].unit == 1
        if alone:
            found[name] = merge_blocks(similarity[name], perm[name], ratios[name], as_code=as_code)
            continue
        kept = merge_blocks(total, np.arange(count), ratios[name], as_code=as_code).merged_a
        for group in groups:
            mask = np.repeat(np.isin(np.arange(count), kept), group.unit)
            own, partner = np.arange(group.size), perm[group.name]
            found[group.name] = Blocks(own[mask], partner[mask], own[~mask], partner[~mask])
    return found


def class_layout(a: Sequence[object], b: Sequence[object]) -> tuple[list[object], Layout]:
    """The classes of two networks put together: A's in their order, then those of B alone.

    Returns
    -------
    the classes, and where each comes from

    Examples
    --------
    >>> classes, layout = class_layout(["cat", "dog"], ["dog", "owl"])
    >>> classes, layout.a.tolist(), layout.b.tolist()
    (['cat', 'dog', 'owl'], [0, 1, -1], [-1, 0, 1])
    """
    classes = [*a, *(c for c in b if c not in a)]
    place_a, place_b = ({c: i for i, c in enumerate(names)} for names in (a, b))
    index = [torch.tensor([place.get(c, -1) for c in classes]) for place in (place_a, place_b)]
    return classes, Layout(*index)
