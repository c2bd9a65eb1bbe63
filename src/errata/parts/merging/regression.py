"""The layers of a merged network, one by one: their layouts, their data, and their fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from errata.errors import DataError, ParameterError
from errata.parts.merging.blocks import Blocks, Layout, axis_layout
from errata.parts.merging.least_squares import Gram, layer_rows, solve
from errata.parts.merging.running import Pair
from errata.parts.merging.spec import Layer, PermutationSpec

__all__ = ["Fit", "LayerTask", "fit_by_adam", "fit_layers", "layer_tasks", "regression_data"]

MEMORY = 1 << 30  # bytes of Gram matrices kept at a time
BYTES = 8


@dataclass
class LayerTask:
    """One layer to be fitted.

    Attributes
    ----------
    layer : which
    module : A's, for its kernel, stride and so on
    rows_in, rows_out : the layouts of its inputs (channels) and outputs
    kernel : numbers per input channel
    """

    layer: Layer
    module: Any
    rows_in: Layout
    rows_out: Layout
    kernel: int

    @property
    def nodes(self) -> tuple[str, str]:
        """The activations that are needed: what goes in, what comes out."""
        return f"{self.layer.node}:input", self.layer.node

    @property
    def memory(self) -> int:
        """Bytes of its Gram matrix."""
        p = self.rows_in.width * self.kernel
        return BYTES * p * (p + self.rows_out.width)

    def put_together(self, inputs: tuple[Tensor, Tensor], outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The merged layer's input and target, from both networks' (of A's encoding, where it is the network's own)."""
        axis = -1 if isinstance(self.module, nn.Linear) else 1
        x = inputs[0] if self.layer.raw else self.rows_in.mix(*inputs, axis)
        return x, self.rows_out.mix(*outputs, axis)


@dataclass(frozen=True)
class Fit:
    """How well a layer imitates both networks.

    Attributes
    ----------
    module : the layer
    before, after : mean squared error of the first weights, and of the fitted ones
    spread : mean square of the target about its mean, to judge these by
    """

    module: str
    before: float
    after: float
    spread: float


def layer_tasks(
    spec: PermutationSpec, model: nn.Module, blocks: Mapping[str, Blocks], output: Layout | None = None
) -> list[LayerTask]:
    """The layers that can be regressed, with their layouts; depth-wise convolutions keep their first weights."""
    found = []
    for layer in spec.layers:
        module: Any = model.get_submodule(layer.module)
        axes = spec.axes.get(f"{layer.module}.weight")
        if axes is None or getattr(module, "groups", 1) != 1:
            continue
        kernel = module.weight[0, 0].numel()
        rows_in, rows_out = axis_layout(axes[1], blocks), axis_layout(axes[0], blocks, output)
        found.append(LayerTask(layer, module, rows_in, rows_out, kernel))
    return found


def regression_data(pair: Pair, batches: Iterable[Any], tasks: Sequence[LayerTask]) -> dict[str, tuple[Tensor, Tensor]]:
    """All inputs and targets of some layers, for looking at; ``fit_layers`` keeps no data."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {task.layer.module: [] for task in tasks}

    def keep(task: LayerTask, x: Tensor, y: Tensor) -> None:
        seen[task.layer.module].append((x, y))

    pair.run(batches, _visits(tasks, keep))
    return {name: (torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])) for name, parts in seen.items()}


def _visits(
    tasks: Sequence[LayerTask], use: Callable[[LayerTask, Tensor, Tensor], None]
) -> dict[str, Callable[[Tensor, Tensor], None]]:
    entering: dict[str, tuple[Tensor, Tensor]] = {}
    visits: dict[str, Callable[[Tensor, Tensor], None]] = {}
    for task in tasks:
        before, after = task.nodes

        def enter(a: Tensor, b: Tensor, name: str = before) -> None:
            entering[name] = (a, b)

        def leave(a: Tensor, b: Tensor, name: str = before, task: LayerTask = task) -> None:
            use(task, *task.put_together(entering.pop(name), (a, b)))

        visits[before], visits[after] = enter, leave
    return visits


def _passes(tasks: Sequence[LayerTask], memory: int) -> list[list[LayerTask]]:
    """Layers whose Gram matrices fit into ``memory`` together, one layer at least."""
    found: list[list[LayerTask]] = []
    left = 0
    for task in tasks:
        same = found and any(task.layer.module == other.layer.module for other in found[-1])
        if not found or (task.memory > left and not same):
            found.append([])
            left = memory
        found[-1].append(task)
        left -= 0 if same else task.memory
    return found


def fit_layers(
    pair: Pair,
    batches: Any,
    tasks: Sequence[LayerTask],
    state: dict[str, Tensor],
    *,
    most: int | None = None,
    ridge: float = 1e-6,
    ridge_to: str = "initial",
    positions: int | None = 64,
    memory: int = MEMORY,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> list[Fit]:
    """Fit the layers in closed form and put their weights and biases into ``state``.

    Parameters
    ----------
    pair : the two original networks
    batches : of inputs; gone through once for every set of layers whose Gram matrices fit into ``memory``
    tasks : the layers
    state : the merged network's parameters, changed in place
    most : of the batches
    ridge : in units of the Gram matrix's mean diagonal
    ridge_to : what the ridge pulls to, the "initial" weights (then no layer can get worse on these data) or "zero"
    positions : places of each sample that are used in convolutions and in sequences; None for all
    memory : bytes of Gram matrices at a time; one layer's are kept at least
    seed : of the places
    progress : told the share that is done

    Returns
    -------
    list of Fit, by layer
    """
    if ridge_to not in ("initial", "zero"):
        raise ParameterError(f"ridge_to must be 'initial' or 'zero'; got {ridge_to!r}.")
    fits: list[Fit] = []
    passes = _passes(tasks, memory)
    for number, some in enumerate(passes):
        grams: dict[str, Gram] = {}
        generator = torch.Generator().manual_seed(seed)

        def add(
            task: LayerTask, x: Tensor, y: Tensor, grams: dict[str, Gram] = grams, generator: Any = generator
        ) -> None:
            name = task.layer.module
            if name not in grams:
                grams[name] = Gram.empty(task.rows_in.width * task.kernel, task.rows_out.width, x.device)
            _add(grams[name], task, x, y, positions, generator)

        pair.run(batches, _visits(some, add), most)
        for name in dict.fromkeys(task.layer.module for task in some):
            task = next(t for t in some if t.layer.module == name)
            if name not in grams:
                raise DataError(f"The layer '{name}' was never called on these data; it can't be fitted.")
            fits.append(_fit(task, grams.pop(name), state, ridge, ridge_to))
        if progress is not None:
            progress((number + 1) / len(passes))
    return fits


def _add(gram: Gram, task: LayerTask, x: Tensor, y: Tensor, positions: int | None, generator: torch.Generator) -> None:
    """Add a batch, a few samples at a time where the patches of all would need much memory."""
    spatial = 1 if x.ndim <= 2 else y.numel() // max(1, y.shape[0] * task.rows_out.width)
    spatial = spatial if positions is None else min(positions, spatial)
    size = max(1, (1 << 22) // max(1, spatial * gram.xx.shape[0]))
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        gram.add(*layer_rows(task.module, x[part], y[part], positions, generator))


def _fit(task: LayerTask, gram: Gram, state: dict[str, Tensor], ridge: float, ridge_to: str) -> Fit:
    name = task.layer.module
    weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
    first = weight.detach().flatten(1).to(gram.xx.device)
    found, offset = solve(
        gram,
        task.rows_in,
        task.rows_out,
        ridge=ridge,
        bias=bias is not None,
        start=first if ridge_to == "initial" else None,
        repeat=task.kernel,
    )
    own_bias = None if bias is None else bias.detach().to(gram.xx.device)
    count = max(1, gram.n * task.rows_out.width)
    before = float(gram.residual(first, own_bias).sum()) / count
    after = float(gram.residual(found, offset).sum()) / count
    spread = float((gram.yy - gram.y**2 / max(1, gram.n)).clamp(min=0).sum()) / count
    state[f"{name}.weight"] = found.reshape(weight.shape).to(weight)
    if bias is not None and offset is not None:
        state[f"{name}.bias"] = offset.to(bias)
    return Fit(name, before, after, spread)


def fit_by_adam(
    pair: Pair,
    batches: Any,
    tasks: Sequence[LayerTask],
    state: dict[str, Tensor],
    *,
    steps: int = 401,
    lr: float = 5e-4,
    progress: Callable[[float], None] | None = None,
) -> list[Fit]:
    """The authors' way: Adam with a cosine schedule on each layer's mean squared error, from the first weights.

    Structural zeros are kept (their code masks the transposed blocks). Each batch is used once; the batches are gone
    through again until there were ``steps`` of them.

    Parameters
    ----------
    pair, batches, tasks, state, progress : see ``fit_layers``
    steps : of the optimiser; the authors' 400 run 401
    lr : first learning rate
    """
    learners = {task.layer.module: _Learner(task, state, lr, max(1, steps - 1)) for task in tasks}
    count = _Count(steps, progress)
    visits = _visits(tasks, lambda task, x, y: learners[task.layer.module].step(x, y))
    while count.done < steps:
        pair.run(count.over(batches), visits)
    return [learner.finish(state) for learner in learners.values()]


class _Count:
    """Counts batches over several passes, up to a number."""

    def __init__(self, most: int, progress: Callable[[float], None] | None) -> None:
        self.done, self.most, self.progress = 0, most, progress

    def over(self, batches: Iterable[Any]) -> Iterable[Any]:
        for batch in batches:
            if self.done >= self.most:
                return
            self.done += 1
            if self.progress is not None:
                self.progress(self.done / self.most)
            yield batch


class _Learner:
    """One layer on its way; its problem shares nothing with the other layers'."""

    def __init__(self, task: LayerTask, state: Mapping[str, Tensor], lr: float, length: int) -> None:
        self.task, self.name = task, task.layer.module
        self.weight = state[f"{self.name}.weight"].detach().clone().float().requires_grad_()
        bias = state.get(f"{self.name}.bias")
        self.bias = None if bias is None else bias.detach().clone().float().requires_grad_()
        parts = [self.weight] if self.bias is None else [self.weight, self.bias]
        self.optimizer = torch.optim.Adam(parts, lr=lr)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, length)
        apart = (
            task.rows_out.only_a[:, None] & task.rows_in.only_b | task.rows_out.only_b[:, None] & task.rows_in.only_a
        )
        self.mask = (~apart).float().reshape([*apart.shape, *[1] * (self.weight.ndim - 2)])
        self.losses: list[float] = []
        self.spread = 0.0

    def step(self, x: Tensor, y: Tensor) -> None:
        with torch.enable_grad():
            loss = nn.functional.mse_loss(self._apply(x.float()), y.float())
            self.optimizer.zero_grad()
            loss.backward()
        assert self.weight.grad is not None
        self.weight.grad *= self.mask.to(self.weight.device)
        self.optimizer.step()
        self.schedule.step()
        self.losses.append(float(loss.detach()))
        self.spread = float(y.float().var(unbiased=False))

    def _apply(self, x: Tensor) -> Tensor:
        module: Any = self.task.module
        if isinstance(module, nn.Linear):
            return nn.functional.linear(x, self.weight, self.bias)
        return module._conv_forward(x, self.weight, self.bias)

    def finish(self, state: dict[str, Tensor]) -> Fit:
        own = state[f"{self.name}.weight"]
        state[f"{self.name}.weight"] = self.weight.detach().to(own)
        if self.bias is not None:
            state[f"{self.name}.bias"] = self.bias.detach().to(own)
        first, last = (self.losses[0], self.losses[-1]) if self.losses else (0.0, 0.0)
        return Fit(self.name, first, last, self.spread)
