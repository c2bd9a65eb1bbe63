"""Running two networks side by side on the same batches, step by step, and letting go of what is no longer needed.

With a traced graph both networks advance together, node by node, and an activation is freed after its last use: what is
alive at any time is one layer's activations (and those that a shortcut still waits for). Networks that can't be traced
are run with hooks on the modules that are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from errata.errors import DataError
from errata.parts.merging.spec import PermutationSpec

__all__ = ["Inputs", "Pair", "inputs_of"]


class Inputs(NamedTuple):
    """A batch that the two networks see in different encodings; the merged network takes A's.

    Attributes
    ----------
    a, b : (B, ...) the same samples
    """

    a: Tensor
    b: Tensor


def inputs_of(batch: Any) -> Inputs:
    """The inputs of a batch: a tensor, ``Inputs``, ``errata.parts.Batch``, or a tuple that begins with a tensor."""
    if isinstance(batch, Inputs):
        return batch
    if hasattr(batch, "x") and hasattr(batch, "index"):
        return Inputs(batch.x, batch.x)
    first = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if not isinstance(first, Tensor):
        raise DataError(f"Expected batches of tensors (or tuples that begin with one); got {type(batch).__name__}.")
    return Inputs(first, first)


Visit = Callable[[Tensor, Tensor], None]
"""What is done with an activation of A and of B."""


class Pair:
    """Two networks of one architecture.

    Parameters
    ----------
    spec : of both
    a, b : in evaluation mode while they run; left as they were
    device : where to compute; by default where A is
    """

    def __init__(
        self, spec: PermutationSpec, a: nn.Module, b: nn.Module, device: str | torch.device | None = None
    ) -> None:
        self.spec, self.a, self.b = spec, a, b
        home = next((p.device for p in a.parameters()), torch.device("cpu"))
        self.device = torch.device(device) if device is not None else home

    def run(self, batches: Iterable[Any], visits: Mapping[str, Visit], most: int | None = None) -> int:
        """Run both on (at most ``most``) batches; ``visits`` are called with the activations of their nodes.

        Returns
        -------
        int
            the number of samples seen

        Raises
        ------
        DataError
            where there is no batch, or one holds what isn't a number
        """
        samples = 0
        modes = [(m, m.training, next((p.device for p in m.parameters()), self.device)) for m in (self.a, self.b)]
        for module, _, _ in modes:
            module.eval().to(self.device)
        try:
            with torch.no_grad():
                for number, batch in enumerate(batches):
                    if most is not None and number >= most:
                        break
                    x = inputs_of(batch)
                    _check_finite(x, number)
                    samples += len(x.a)
                    self._step(x, visits)
        finally:
            for module, training, home in modes:
                module.train(training).to(home)
        if samples == 0:
            raise DataError("There are no data to compare the networks on: the batches are empty (or used up).")
        return samples

    def _step(self, x: Inputs, visits: Mapping[str, Visit]) -> None:
        one, other = x.a.to(self.device), x.b.to(self.device)
        if self.spec.graph is not None:
            runs = [_advance(self.spec.graph.graph, m, i, visits) for m, i in ((self.a, one), (self.b, other))]
            for (name, a), (_, b) in zip(*runs):
                visits[name](a, b)
            return
        seen = [_hooked(m, i, visits) for m, i in ((self.a, one), (self.b, other))]
        for name in visits:
            if name in seen[0] and name in seen[1]:
                visits[name](seen[0][name], seen[1][name])


def _check_finite(x: Inputs, number: int) -> None:
    for part in x:
        if part.is_floating_point() and not bool(torch.isfinite(part).all()):
            raise DataError(f"Batch {number} holds NaN or infinite numbers; the networks can't be compared on it.")


def _advance(graph: fx.Graph, module: nn.Module, x: Tensor, wanted: Collection[str]) -> Iterator[tuple[str, Tensor]]:
    """Run a network by its graph and yield the activations wanted; stops after the last one.

    ``"<node>:input"`` asks for the first input of a node.
    """
    env: dict[fx.Node, Any] = {}
    left = {node: len(node.users) for node in graph.nodes}
    open_ = set(wanted)
    for node in graph.nodes:
        if not open_:
            return
        if node.op == "output":
            break
        entering = f"{node.name}:input"
        if entering in open_:
            open_.discard(entering)
            yield entering, env[node.args[0]]
        env[node] = _compute(node, module, env, x)
        if node.name in open_:
            open_.discard(node.name)
            yield node.name, env[node]
        for used in node.all_input_nodes:
            left[used] -= 1
            if left[used] == 0:
                env.pop(used, None)


def _compute(node: fx.Node, module: nn.Module, env: Mapping[fx.Node, Any], x: Tensor) -> Any:
    if node.op == "placeholder":
        return x
    if node.op == "get_attr":
        holder: Any = module
        for name in str(node.target).split("."):
            holder = getattr(holder, name)
        return holder
    args: Any = fx.node.map_arg(node.args, lambda n: env[n])
    kwargs: Any = fx.node.map_arg(node.kwargs, lambda n: env[n])
    if node.op == "call_module":
        return module.get_submodule(str(node.target))(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    return node.target(*args, **kwargs)  # type: ignore[operator]


def _hooked(module: nn.Module, x: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
    """Run a network that was not traced; inputs and outputs of the modules wanted."""
    found: dict[str, Tensor] = {}
    handles = []
    for name, part in module.named_modules():
        if name in wanted or f"{name}:input" in wanted:

            def keep(_: nn.Module, given: tuple[Any, ...], made: Any, name: str = name) -> None:
                if f"{name}:input" in wanted:
                    found[f"{name}:input"] = given[0]
                if name in wanted and isinstance(made, Tensor):
                    found[name] = made

            handles.append(part.register_forward_hook(keep))
    try:
        module(x)
    finally:
        for handle in handles:
            handle.remove()
    return found
