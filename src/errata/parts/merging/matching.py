"""Which unit of B is which unit of A: by what they answer to the same inputs, or by their weights.

References
----------
Li, Yosinski, Clune, Lipson, Hopcroft: Convergent learning, 2015, arXiv 1511.07543 (activations); Ainsworth, Hayase,
Srinivasa: Git Re-Basin, 2023, arXiv 2209.04836 (weights).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errata.errors import UnknownNameError
from errata.parts.merging.running import Pair
from errata.parts.merging.spec import Group, PermutationSpec, Place

__all__ = [
    "SIMILARITIES",
    "Matching",
    "activation_matching",
    "assign",
    "features",
    "identity_matching",
    "match_features",
    "permute_state",
    "similarity_matrix",
    "weight_matching",
]

SIMILARITIES = ("cdist", "inner", "correlation")
SKIPPED = ("running_mean", "running_var", "num_batches_tracked")
LEAST_PROGRESS = 1e-12


@dataclass
class Matching:
    """Partners for the units of every group.

    Attributes
    ----------
    perm : group -> (d,) int64, perm[i] = the unit of B for unit i of A
    similarity : group -> (d, d) float64 of unit i of A and unit j of B
    correlation : group -> (d,) float64 in [-1, 1] of each unit of A and its partner; where activations were seen
    how : "activation", "weight" or "identity"
    """

    perm: dict[str, np.ndarray]
    similarity: dict[str, np.ndarray]
    correlation: dict[str, np.ndarray] = field(default_factory=dict)
    how: str = "activation"


def features(x: Tensor, axis: int, start: int = 0, size: int | None = None, inner: int = 1) -> Tensor:
    """The rows of an activation, one per unit: (d, everything else)."""
    moved = x.movedim(axis, 0)
    size = len(moved) // inner if size is None else size
    return moved[start : start + size * inner].reshape(size, -1)


def similarity_matrix(rows_a: Tensor, rows_b: Tensor, similarity: str = "cdist") -> Tensor:
    """How alike units are: minus the Euclidean distance of their rows ("cdist"), or the inner product ("inner").

    Parameters
    ----------
    rows_a, rows_b : (d, n), a row per unit

    Returns
    -------
    (d, d)
    """
    if similarity == "cdist":
        return -torch.cdist(rows_a[None], rows_b[None])[0]
    if similarity == "inner":
        return rows_a @ rows_b.T
    raise UnknownNameError("similarity", similarity, SIMILARITIES)


def assign(similarity: np.ndarray) -> np.ndarray:
    """The permutation that maximises the summed similarity: (d,) int64, perm[i] = column of row i.

    Examples
    --------
    >>> assign(np.array([[0.0, 2.0], [1.0, 0.0]]))
    array([1, 0])
    """
    from scipy.optimize import linear_sum_assignment

    return np.asarray(linear_sum_assignment(similarity, maximize=True)[1], dtype=np.int64)


def match_features(
    act_a: Tensor, act_b: Tensor, similarity: str = "cdist", axis: int = 1
) -> tuple[Tensor, np.ndarray, float]:
    """Match the units of two activations.

    Parameters
    ----------
    act_a, act_b : (n, d, ...), units along ``axis``

    Returns
    -------
    similarity (d, d), perm (d,), and the summed similarity of the partners

    Examples
    --------
    >>> _, perm, total = match_features(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 1.0]]))
    >>> perm, total
    (array([1, 0]), 0.0)
    """
    found = similarity_matrix(features(act_a, axis), features(act_b, axis), similarity)
    perm = assign(found.double().cpu().numpy())
    return found, perm, float(found[torch.arange(len(perm)), torch.from_numpy(perm)].sum())


# -- by activations ---------------------------------------------------------------------------------------------------


class _Moments:
    """Sums from which the correlation of every pair of units follows."""

    def __init__(self, size: int) -> None:
        self.n = 0
        self.a, self.b, self.aa, self.bb = (torch.zeros(size, dtype=torch.float64) for _ in range(4))
        self.ab = torch.zeros(size, size, dtype=torch.float64)

    def add(self, a: Tensor, b: Tensor) -> None:
        self.n += a.shape[1]
        self.ab += (a @ b.T).double().cpu()
        for total, rows, power in ((self.a, a, 1), (self.b, b, 1), (self.aa, a, 2), (self.bb, b, 2)):
            total += (rows if power == 1 else rows * rows).sum(1).double().cpu()

    def correlation(self) -> np.ndarray:
        """(d, d); 0 where a unit never changes."""
        spread_a = (self.aa - self.a**2 / self.n).clamp(min=0).sqrt()
        spread_b = (self.bb - self.b**2 / self.n).clamp(min=0).sqrt()
        shared = self.ab - self.a[:, None] * self.b / self.n
        scale = spread_a[:, None] * spread_b
        floor = 1e-12 * float(scale.max()) if scale.numel() else 0.0
        return torch.where(scale > floor, shared / scale.clamp(min=1e-300), 0.0).clamp(-1, 1).numpy()


def activation_matching(
    pair: Pair, batches: Iterable[Any], *, similarity: str = "cdist", most: int | None = None
) -> Matching:
    """Match units by what they answer, before and after their activation function, summed over batches.

    Parameters
    ----------
    pair : the two networks
    batches : of inputs
    similarity : "cdist" (minus the Euclidean distance within a batch), "inner", or "correlation" over all batches
    most : of the batches
    """
    if similarity not in SIMILARITIES:
        raise UnknownNameError("similarity", similarity, SIMILARITIES)
    groups = pair.spec.groups
    sums = {name: torch.zeros(g.size, g.size, dtype=torch.float64) for name, g in groups.items()}
    moments = {name: _Moments(g.size) for name, g in groups.items()}
    wanted: dict[str, list[tuple[Group, Place, bool]]] = {}
    for group in groups.values():
        for number, place in enumerate(group.nodes):
            wanted.setdefault(place.name, []).append((group, place, number == 0 or similarity == "correlation"))

    def visit(name: str, a: Tensor, b: Tensor) -> None:
        for group, place, measured in wanted[name]:
            rows = [features(x, place.axis, place.start, group.size, place.inner) for x in (a, b)]
            if similarity != "correlation":
                sums[group.name] += similarity_matrix(rows[0], rows[1], similarity).double().cpu()
            if measured:
                moments[group.name].add(*rows)

    pair.run(batches, {name: (lambda a, b, name=name: visit(name, a, b)) for name in wanted}, most)  # type: ignore[misc]
    found = {name: m.correlation() for name, m in moments.items() if m.n}
    matrices = {n: found[n] if similarity == "correlation" and n in found else s.numpy() for n, s in sums.items()}
    perm = _solve(pair.spec, matrices)
    own = {name: matrix[np.arange(len(matrix)), perm[name]] for name, matrix in found.items()}
    return Matching(perm, matrices, own, "activation")


def _solve(spec: PermutationSpec, matrices: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    perm: dict[str, np.ndarray] = {}
    for groups in spec.leaders().values():
        perm |= _solve_tied(groups, matrices)
    return perm


def _solve_tied(groups: list[Group], matrices: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Permutations of groups whose blocks move together: the best order within each pair of blocks, then of blocks."""
    if len(groups) == 1 and groups[0].unit == 1:
        return {groups[0].name: assign(matrices[groups[0].name])}
    count = groups[0].size // groups[0].unit
    total = np.zeros((count, count))
    inside: dict[str, dict[tuple[int, int], np.ndarray]] = {group.name: {} for group in groups}
    for group in groups:
        blocks = matrices[group.name].reshape(count, group.unit, count, group.unit)
        for i in range(count):
            for j in range(count):
                order = assign(blocks[i, :, j])
                inside[group.name][i, j] = order
                total[i, j] += blocks[i, np.arange(group.unit), j, order].sum()
    partner = assign(total)
    return {
        group.name: np.concatenate([inside[group.name][i, j] + j * group.unit for i, j in enumerate(partner)])
        for group in groups
    }


def identity_matching(spec: PermutationSpec, matching: Matching | None = None) -> Matching:
    """Every unit with the one of its own number; similarities are taken over from ``matching``."""
    perm = {name: np.arange(g.size) for name, g in spec.groups.items()}
    similarity = (
        {n: np.zeros((g.size, g.size)) for n, g in spec.groups.items()} if matching is None else matching.similarity
    )
    return Matching(perm, similarity, {}, "identity")


# -- by weights -------------------------------------------------------------------------------------------------------


def permute_state(
    spec: PermutationSpec, state: Mapping[str, Tensor], perm: Mapping[str, np.ndarray]
) -> dict[str, Tensor]:
    """Reorder the units of a network: its function stays the same.

    Parameters
    ----------
    state : the parameters
    perm : group -> (d,) int64; place i gets unit perm[i]
    """
    moved = dict(state)
    for name, order in perm.items():
        group = spec.groups[name]
        for place in group.state:
            tensor = moved[place.name]
            index = np.arange(tensor.shape[place.axis])
            spread = (order[:, None] * place.inner + np.arange(place.inner)).reshape(-1) + place.start
            index[place.start : place.start + len(spread)] = spread
            moved[place.name] = tensor.index_select(place.axis, torch.from_numpy(index).to(tensor.device))
    return moved


def weight_matching(
    spec: PermutationSpec,
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    *,
    seed: int = 0,
    most: int = 100,
) -> Matching:
    """Git Re-Basin: match units by their weights, group by group in random order, until nothing improves.

    Parameters
    ----------
    a, b : both networks' parameters; running statistics are left out, and the classes where they differ
    seed : of the order
    most : sweeps over all groups

    Notes
    -----
    Similarities are those of A's units and B's *original* ones. (The authors keep them in the order of the B that is
    being permuted, and read them with the whole permutation.)
    """
    rng = np.random.default_rng(seed)
    double = [{n: t.detach().double().cpu() for n, t in s.items() if t.is_floating_point()} for s in (a, b)]
    original, now = double[1], dict(double[1])
    sets = list(spec.leaders().values())
    perm = {name: np.arange(g.size) for name, g in spec.groups.items()}
    for _ in range(most):
        progress = False
        for number in rng.permutation(len(sets)):
            here = {g.name: _weight_similarity(g, double[0], now) for g in sets[number]}
            new = _solve_tied(sets[number], here)
            gain = sum(float(_matched(here[n], order) - np.trace(here[n])) for n, order in new.items())
            if gain > LEAST_PROGRESS:
                progress = True
                now = permute_state(spec, now, new)
                for name, order in new.items():
                    perm[name] = perm[name][order]
        if not progress:
            break
    similarity = {}
    for group in spec.groups.values():  # the other groups as they were found, this one in its own order
        others = {n: order for n, order in perm.items() if n != group.name}
        similarity[group.name] = _weight_similarity(group, double[0], permute_state(spec, original, others))
    return Matching(perm, similarity, {}, "weight")


def _matched(similarity: np.ndarray, perm: np.ndarray) -> float:
    return float(similarity[np.arange(len(perm)), perm].sum())


def _weight_similarity(group: Group, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> np.ndarray:
    total = torch.zeros(group.size, group.size, dtype=torch.float64)
    for place in group.state:
        if place.name.endswith(SKIPPED) or place.name not in a or place.name not in b:
            continue
        rows = [features(s[place.name], place.axis, place.start, group.size, place.inner) for s in (a, b)]
        if rows[0].shape == rows[1].shape:  # not the head, where the classes differ
            total += rows[0] @ rows[1].T
    return total.numpy()
