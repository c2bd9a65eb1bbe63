"""How much of each layer is kept separate, for a budget of multiplications between 1 and 2 of one network's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from errata.errors import ParameterError, UnknownNameError
from errata.parts.merging.spec import PermutationSpec

__all__ = ["RULES", "Term", "flop_terms", "flops", "qp_ratios", "ratio_weights", "ratios_for", "relative_flops"]

Term = tuple[float, tuple[str, ...]]
"""A layer's multiplications: a coefficient, and the groups on its (at most two) divided axes."""

RULES = ("zip", "uniform", "qp")
STEPS = 60  # of a bisection


def flop_terms(spec: PermutationSpec, model: nn.Module, example: Tensor, rows: int = 1) -> list[Term]:
    """The multiplications of the linear and convolutional layers, without the sizes of the groups.

    Parameters
    ----------
    spec, model : the specification and its network
    example : (B, ...) inputs; they are run through the network once
    rows : samples to count for
    """
    shapes = _output_shapes(model, example)
    found: list[Term] = []
    for layer in spec.layers:
        axes = spec.axes.get(f"{layer.module}.weight")
        if axes is None or layer.module not in shapes:
            continue
        weight = model.get_parameter(f"{layer.module}.weight")
        made = shapes[layer.module]
        places = made.numel() // (made[0] * weight.shape[0])
        for out_group, out_size, out_inner in axes[0]:
            for in_group, in_size, in_inner in axes[1]:
                coeff = float(rows * places * weight[0, 0].numel() * out_inner * in_inner)
                groups = []
                for group, size in ((in_group, in_size), (out_group, out_size)):
                    if group in spec.groups:
                        groups.append(str(group))
                    else:
                        coeff *= size
                found.append((coeff, tuple(groups)))
    return found


def _output_shapes(model: nn.Module, example: Tensor) -> dict[str, torch.Size]:
    shapes: dict[str, torch.Size] = {}
    handles = []
    for name, module in model.named_modules():
        if name and not list(module.children()):

            def keep(_: nn.Module, __: object, made: object, name: str = name) -> None:
                if isinstance(made, Tensor):
                    shapes[name] = made.shape

            handles.append(module.register_forward_hook(keep))
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(example)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return shapes


def flops(terms: Sequence[Term], sizes: Mapping[str, int], ratios: Mapping[str, float] | float) -> float:
    """Multiplications at some ratios: ``coeff s_in s_out ((1 + r_in)(1 + r_out) - 2 r_in r_out)``, summed over layers.

    Examples
    --------
    >>> terms = [(5.0, ("a",)), (1.0, ("a", "b"))]
    >>> flops(terms, {"a": 4, "b": 6}, 0.0), flops(terms, {"a": 4, "b": 6}, 1.0)
    (44.0, 88.0)
    """
    total = 0.0
    for coeff, groups in terms:
        cost = coeff * float(np.prod([sizes[g] for g in groups])) if groups else coeff
        r = [ratios if isinstance(ratios, (int, float)) else ratios[g] for g in groups]
        total += cost * float(np.prod([1 + x for x in r])) - (2 * cost * r[0] * r[1] if len(r) == 2 else 0.0)
    return total


def relative_flops(terms: Sequence[Term], sizes: Mapping[str, int], ratios: Mapping[str, float] | float) -> float:
    """Multiplications in units of one network's: 1 where all is merged, 2 where nothing is."""
    return flops(terms, sizes, ratios) / flops(terms, sizes, 0.0)


def ratios_for(
    spec: PermutationSpec,
    terms: Sequence[Term],
    budget: float,
    *,
    rule: str = "zip",
    weights: Mapping[str, float] | None = None,
    pinned: Collection[str] = (),
    seed: int = 0,
) -> dict[str, float]:
    """The share of separate units in each group for a budget.

    Parameters
    ----------
    spec, terms : what is divided, and what it costs
    budget : multiplications relative to one network's, in [1, 2]
    rule : "zip" (the layers near the input are merged, those behind a cut kept separate; the group at the cut is
        divided so that the budget is used up), "uniform" (one ratio for all), or "qp" (maximise the weighted sum)
    weights : of "qp", by group; alike by default
    pinned : groups that stay merged
    seed : of the starting points of "qp"

    Returns
    -------
    dict
        group -> ratio in [0, 1]; groups whose blocks are tied have one ratio
    """
    if rule not in RULES:
        raise UnknownNameError("rule for ratios", rule, RULES)
    if not 1 <= budget <= 2:
        raise ParameterError(f"budget is in units of one network's multiplications, in [1, 2]; got {budget!r}.")
    sets = {name: groups for name, groups in spec.leaders().items() if name not in pinned}
    sizes = {name: group.size for name, group in spec.groups.items()}

    def spread(values: np.ndarray) -> dict[str, float]:
        own = {g.name: float(v) for groups, v in zip(sets.values(), values) for g in groups}
        return {name: own.get(name, 0.0) for name in spec.groups}

    def cost(values: np.ndarray) -> float:
        return relative_flops(terms, sizes, spread(values))

    if budget >= 2 - 1e-9 or budget <= 1 + 1e-9:
        values = np.full(len(sets), float(round(budget - 1)))
    elif rule == "uniform":
        values = _bisect(lambda r: np.full(len(sets), r), cost, budget)
    elif rule == "zip":
        values = _zip(len(sets), cost, budget)
    else:
        wanted = np.array([1.0 if weights is None else weights.get(name, 0.0) for name in sets])
        values = qp_ratios(wanted, cost, budget, seed=seed)
    return spread(values)


def _bisect(make: Callable[[float], np.ndarray], cost: Callable[[np.ndarray], float], budget: float) -> np.ndarray:
    low, high = 0.0, 1.0
    if cost(make(1.0)) <= budget:
        return make(1.0)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(make(middle)) <= budget else (low, middle)
    return make(low)


def _zip(count: int, cost: Callable[[np.ndarray], float], budget: float) -> np.ndarray:
    values = np.zeros(count)
    for place in range(count - 1, -1, -1):
        tried = values.copy()
        tried[place] = 1.0
        if cost(tried) > budget:

            def make(r: float, place: int = place, values: np.ndarray = values) -> np.ndarray:
                return np.where(np.arange(count) == place, r, values)

            return _bisect(make, cost, budget)
        values = tried
    return values


def qp_ratios(
    weights: np.ndarray, cost: Callable[[np.ndarray], float], budget: float, *, starts: int = 8, seed: int = 0
) -> np.ndarray:
    """Maximise ``weights @ r`` over r in [0, 1]^k with ``cost(r) <= budget``: SLSQP from several starting points.

    The constraint is not convex (products of ratios), so the best of several local solutions is returned, moved onto
    the budget; the uniform and the zip ratios are among those compared.

    Examples
    --------
    >>> qp_ratios(np.array([2.0, 1.0]), lambda r: 1 + r.mean(), 1.5).round(3)
    array([1., 0.])
    """
    from scipy.optimize import minimize

    search: Any = minimize
    weights = np.maximum(np.asarray(weights, dtype=np.float64), 1e-5)  # as in the authors' code: nothing is worthless
    rng = np.random.default_rng(seed)
    count = len(weights)
    given = [_bisect(lambda r: np.full(count, r), cost, budget), _zip(count, cost, budget)]
    order = np.argsort(-weights)
    given.append(_greedy(order, cost, budget))
    found = list(given)
    for start in [*given, *rng.uniform(size=(starts, count))]:
        result = search(
            lambda r: -float(weights @ r),
            start,
            jac=lambda r: -weights,
            bounds=[(0.0, 1.0)] * count,
            constraints=[{"type": "ineq", "fun": lambda r: budget - cost(r)}],
            method="SLSQP",
            options={"maxiter": 200},
        )
        found.append(_within(np.clip(result.x, 0, 1), cost, budget))
    return max(found, key=lambda r: float(weights @ r))


def _greedy(order: np.ndarray, cost: Callable[[np.ndarray], float], budget: float) -> np.ndarray:
    values = np.zeros(len(order))
    for place in order:

        def make(r: float, place: int = place, values: np.ndarray = values) -> np.ndarray:
            return np.where(np.arange(len(order)) == place, r, values)

        values = _bisect(make, cost, budget)
    return values


def _within(values: np.ndarray, cost: Callable[[np.ndarray], float], budget: float) -> np.ndarray:
    return values if cost(values) <= budget else _bisect(lambda r: values * r, cost, budget)


def ratio_weights(
    separate_one: Mapping[str, float],
    merged_one: Mapping[str, float],
    budget: float,
    *,
    merged: float = 0.4684,
    separate: float = 0.7743,
) -> dict[str, float]:
    """What a separate layer is worth: ``(R1 - merged)(2 - budget) - (R0 - separate)(budget - 1)``, by group.

    Parameters
    ----------
    separate_one : R1, the accuracy of the fully merged network with only this group separate
    merged_one : R0, that of the fully separate network with only this group merged
    merged, separate : the accuracies of the fully merged and of the fully separate network; the authors' by default
    """
    return {
        name: (separate_one[name] - merged) * (2 - budget) - (merged_one[name] - separate) * (budget - 1)
        for name in separate_one
    }
