"""What PLeaS is compared with: the plain average, Git Re-Basin, RegMean, and both networks kept as an ensemble.

All take two networks of one architecture and give one; where the classes differ, those of the same name are merged and
the others kept, as ``pleas`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from errata.parts.merging.blocks import Blocks, Layout, class_layout, merge_states
from errata.parts.merging.least_squares import Gram, layer_rows
from errata.parts.merging.matching import activation_matching, weight_matching
from errata.parts.merging.modules import explicit, reestimate_norms, widened
from errata.parts.merging.regression import layer_tasks
from errata.parts.merging.running import Pair, inputs_of
from errata.parts.merging.spec import PermutationSpec
from errata.parts.merging.tracing import first_rows

__all__ = ["LogitEnsemble", "git_rebasin", "regmean", "simple_average"]

Classes = tuple[Sequence[Any], Sequence[Any]]


class LogitEnsemble(nn.Module):
    """Both networks side by side: the mean of their logits, each network's own where only it knows a class.

    Parameters
    ----------
    model_a, model_b : from a batch of inputs to logits
    classes : the names of both networks' classes, where they differ

    Examples
    --------
    >>> both = LogitEnsemble(nn.Linear(2, 2), nn.Linear(2, 2), (["cat", "dog"], ["dog", "owl"]))
    >>> both(torch.zeros(1, 2)).shape
    torch.Size([1, 3])
    """

    def __init__(self, model_a: nn.Module, model_b: nn.Module, classes: Classes | None = None) -> None:
        super().__init__()
        self.model_a, self.model_b = model_a, model_b
        self.output = _output(classes)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.model_a(x), self.model_b(x)
        return (a + b) / 2 if self.output is None else self.output.mix(a, b, 1)


def simple_average(
    model_a: nn.Module,
    model_b: nn.Module,
    batches: Iterable[Any],
    *,
    classes: Classes | None = None,
    norm_batches: int | None = 101,
) -> nn.Module:
    """The mean of the parameters, unit by unit as they are numbered.

    Parameters
    ----------
    model_a, model_b : of one architecture
    batches : of inputs, for the shapes and for batch normalisation's statistics
    classes : see ``LogitEnsemble``
    norm_batches : batches for those statistics; 0 averages the old ones
    """
    spec, a, b = _prepare(model_a, model_b, batches)
    return _average(spec, a, b, {n: np.arange(g.size) for n, g in spec.groups.items()}, batches, classes, norm_batches)


def git_rebasin(
    model_a: nn.Module,
    model_b: nn.Module,
    batches: Iterable[Any],
    *,
    matching: str = "weight",
    classes: Classes | None = None,
    most: int | None = 100,
    norm_batches: int | None = 101,
    seed: int = 0,
) -> nn.Module:
    """Permute B's units onto A's, then average.

    Parameters
    ----------
    model_a, model_b, batches, classes, norm_batches : see ``simple_average``
    matching : "weight" (Git Re-Basin), or "activation"
    most : batches for the activations
    seed : of the order of the groups in weight matching

    References
    ----------
    Ainsworth, Hayase, Srinivasa: Git Re-Basin, ICLR 2023, arXiv 2209.04836; statistics re-estimated as in Jordan et
    al.: REPAIR, 2023, arXiv 2211.08403.
    """
    spec, a, b = _prepare(model_a, model_b, batches)
    if matching == "weight":
        found = weight_matching(spec, a.state_dict(), b.state_dict(), seed=seed)
    else:
        found = activation_matching(Pair(spec, a, b), batches, most=most)
    return _average(spec, a, b, found.perm, batches, classes, norm_batches)


def regmean(
    model_a: nn.Module,
    model_b: nn.Module,
    batches_a: Iterable[Any],
    batches_b: Iterable[Any],
    *,
    alpha: float = 1.0,
    ridge: float = 1e-6,
    classes: Classes | None = None,
    most: int | None = 100,
    norm_batches: int | None = 101,
    positions: int | None = 64,
    seed: int = 0,
) -> nn.Module:
    """RegMean: each layer's weights that fit, on each network's own data, that network's own answers.

    ``W = (G_a W_a + G_b W_b) (G_a + G_b)^-1`` with Gram matrices G of the layers' inputs; all else is averaged.

    Parameters
    ----------
    model_a, model_b, classes : see ``simple_average``
    batches_a, batches_b : of each network's own inputs; batch normalisation sees both in turn
    alpha : off-diagonal elements of the Gram matrices are multiplied by it, in [0, 1] (0.9 to 1 in the paper)
    ridge : in units of the Gram matrices' mean diagonal
    most, norm_batches, positions, seed : see ``pleas``

    References
    ----------
    Jin, Ren, Preotiuc-Pietro, Cheng: Dataless Knowledge Fusion by Merging Weights of Language Models, ICLR 2023,
    arXiv 2212.09849.
    """
    spec, a, b = _prepare(model_a, model_b, batches_a)
    output = _output(classes)
    blocks = _merged({n: np.arange(g.size) for n, g in spec.groups.items()})
    states = [{n: t.detach() for n, t in m.state_dict().items()} for m in (a, b)]
    state = merge_states(spec, states[0], states[1], blocks, output=output)
    for task in layer_tasks(spec, a, blocks, output):
        name = f"{task.layer.module}.weight"
        grams = [
            _own_gram(spec, model, task, batches, alpha, most, positions, seed)
            for model, batches in ((a, batches_a), (b, batches_b))
        ]
        weights = [s[name].detach().double().flatten(1) for s in states]
        total = grams[0] + grams[1]
        pull = ridge * float(total.diagonal().mean())  # to the average, where the data say nothing
        total = total + pull * torch.eye(len(total), dtype=total.dtype)
        both = task.rows_out.merged
        one, other = weights[0][task.rows_out.a[both]], weights[1][task.rows_out.b[both]]
        right = grams[0] @ one.T + grams[1] @ other.T + pull * (one + other).T / 2
        fitted = state[name].detach().double().flatten(1).clone()
        fitted[both] = torch.linalg.solve(total, right).T
        state[name] = fitted.reshape(state[name].shape).to(state[name])
    model = widened(a, state)
    if norm_batches != 0:
        reestimate_norms(model, _in_turn(batches_a, batches_b), norm_batches)
    return model


def _own_gram(
    spec: PermutationSpec,
    model: nn.Module,
    task: Any,
    batches: Iterable[Any],
    alpha: float,
    most: int | None,
    positions: int | None,
    seed: int,
) -> Tensor:
    """(p, p) products of a layer's inputs in one network, its off-diagonal elements shrunk."""
    width = task.rows_in.width * task.kernel
    gram = Gram.empty(width, 1)
    generator = torch.Generator().manual_seed(seed)
    before, after = task.nodes
    kept: list[Tensor] = []

    def leave(y: Tensor, _: Tensor) -> None:
        rows, made = layer_rows(task.module, kept.pop(), y, positions, generator)
        gram.add(rows, made[:, :1])

    Pair(spec, model, model).run(batches, {before: lambda x, _: kept.append(x), after: leave}, most)
    shrunk = alpha * gram.xx
    shrunk.diagonal().copy_(gram.xx.diagonal())
    return shrunk / max(1, gram.n)


# -- what they share --------------------------------------------------------------------------------------------------


def _prepare(
    model_a: nn.Module, model_b: nn.Module, batches: Iterable[Any]
) -> tuple[PermutationSpec, nn.Module, nn.Module]:
    a, b = explicit(model_a), explicit(model_b)
    spec = PermutationSpec.of(a, first_rows(inputs_of(next(iter(batches))).a))
    spec.check(a.state_dict(), b.state_dict())
    return spec, a, b


def _output(classes: Classes | None) -> Layout | None:
    if classes is None:
        return None
    layout = class_layout(*classes)[1]
    return None if bool((layout.a == layout.b).all()) else layout


def _merged(perm: dict[str, np.ndarray]) -> dict[str, Blocks]:
    none = np.zeros(0, dtype=np.int64)
    return {name: Blocks(np.arange(len(order)), order, none, none) for name, order in perm.items()}


def _average(
    spec: PermutationSpec,
    a: nn.Module,
    b: nn.Module,
    perm: dict[str, np.ndarray],
    batches: Iterable[Any],
    classes: Classes | None,
    norm_batches: int | None,
) -> nn.Module:
    state = merge_states(spec, a.state_dict(), b.state_dict(), _merged(perm), output=_output(classes))
    model = widened(a, {name: tensor.detach() for name, tensor in state.items()})
    if norm_batches != 0:
        reestimate_norms(model, batches, norm_batches)
    return model


def _in_turn(one: Iterable[Any], other: Iterable[Any]) -> Iterable[Any]:
    for pair in zip(one, other):
        yield from pair
