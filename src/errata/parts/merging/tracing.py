"""A network as a graph of its operations, by torch.fx; forward code may look at shapes.

torch.fx alone refuses ``if x.ndim != 4``. Here each traced value carries the value that an example gave it, so that
shapes, lengths and truth values are known while tracing; whatever was asked for in this way holds for inputs of the
example's rank and kind, and the number of rows stays open.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from errata.errors import DataError, ErrataError

__all__ = ["UntraceableError", "first_rows", "trace"]

ROWS = 2  # of the example, with which the network is run once while it is traced


class UntraceableError(ErrataError, TypeError):
    """The operations of a network can't be followed; the message says where, and how to help."""


class _Valued(fx.Proxy):
    """A traced value that knows what the example made of it."""

    @property
    def value(self) -> Any:
        return self.node.meta.get("value")

    @property
    def shape(self) -> Any:
        return self.tracer.create_proxy("call_function", getattr, (self, "shape"), {})

    @property
    def ndim(self) -> int:
        return int(self.value.ndim)

    @property
    def dtype(self) -> Any:
        return self.value.dtype

    @property
    def device(self) -> Any:
        return self.value.device

    def __len__(self) -> int:
        self.tracer.asked = True  # type: ignore[attr-defined]
        return len(self.value)

    def __index__(self) -> int:
        self.tracer.asked = True  # type: ignore[attr-defined]
        return int(self.value)

    __int__ = __index__

    def __float__(self) -> float:
        return float(self.value)


class _Tracer(fx.Tracer):
    def __init__(self, example: Any) -> None:
        super().__init__()
        self.example = example
        self.running = False
        self.asked = False  # whether a number was asked for, which then is a constant of the graph

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val if self.running else super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Valued(node, self)

    def create_node(self, kind: str, target: Any, *rest: Any, **more: Any) -> fx.Node:
        node = super().create_node(kind, target, *rest, **more)
        if kind == "get_attr":
            node.meta["value"] = self._run(kind, target, (), {})
        return node

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **more: Any) -> fx.Proxy:
        made = super().create_proxy(kind, target, args, kwargs, *rest, **more)
        made.node.meta["value"] = self._run(kind, target, args, kwargs)
        return made

    def _run(self, *what: Any) -> Any:
        before, self.running = self.running, True  # modules are asked for their own parameters, not for traced ones
        try:
            return self._run_one(*what)
        finally:
            self.running = before

    def _run_one(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        known = fx.node.map_aggregate((args, kwargs), lambda a: a.value if isinstance(a, _Valued) else a)
        given, named = known
        if kind == "placeholder":
            return self.example
        if kind == "call_function":
            return target(*given, **named)
        if kind == "call_method" and target in ("item", "tolist", "numpy"):
            raise TypeError(f"it takes numbers out of a tensor ({target})")
        if kind == "call_method":
            return getattr(given[0], target)(*given[1:], **named)
        if kind == "call_module":
            return self.root.get_submodule(target).forward(*given, **named)  # the call itself is being traced
        if kind == "get_attr":
            holder: Any = self.root
            for name in target.split("."):
                holder = getattr(holder, name)
            return holder
        return None  # the output

    def to_bool(self, obj: Any) -> bool:
        if isinstance(obj.value, Tensor):
            raise TypeError("its way depends on the numbers in a tensor")
        return bool(obj.value)

    def iter(self, obj: Any) -> Iterator[Any]:
        return iter([obj[i] for i in range(len(obj.value))])

    def keys(self, obj: fx.Proxy) -> Any:
        raise TypeError("inputs by name (dicts) are taken apart")


def first_rows(x: Any, rows: int = ROWS) -> Tensor:
    """The first rows of a batch of inputs, as an example."""
    if not isinstance(x, Tensor):
        raise DataError(f"Expected batches of tensors (or tuples that begin with one); got {type(x).__name__}.")
    if len(x) == 0:
        raise DataError("The first batch is empty; a network can't be followed without an example.")
    return x[:rows]


def trace(model: nn.Module, example: Tensor) -> fx.GraphModule:
    """Follow ``model`` on an example: a graph over a copy of it in evaluation mode, nothing in place.

    Parameters
    ----------
    model : from a batch of inputs to a tensor (B, ...)
    example : (B, ...) a few inputs

    Returns
    -------
    fx.GraphModule
        each node's ``meta["value"]`` is what the example gave

    Raises
    ------
    UntraceableError
        where the forward code does what can't be followed

    Examples
    --------
    >>> graph = trace(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.zeros(1, 2))
    >>> [node.name for node in graph.graph.nodes]
    ['input_1', '_0', '_1', 'output']
    """
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]  # activations are looked at after the next step
    made, asked = _trace(model, example)
    if asked:
        _free_rows(made, _trace(model, torch.cat([example, example[:1]]))[0], len(example))
    made.graph.eliminate_dead_code()
    return made


def _trace(model: nn.Module, example: Tensor) -> tuple[fx.GraphModule, bool]:
    tracer = _Tracer(example)
    try:
        with torch.no_grad():
            graph = tracer.trace(model)
    except ErrataError:
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UntraceableError(
            f"The operations of {type(model).__name__} can't be followed by torch.fx: {first[:300]}. Write its "
            "permutations down by hand: PermutationSpec.by_hand(model, groups), see its documentation."
        ) from error
    for node in graph.nodes:
        if node.kwargs.get("inplace") is True:
            node.kwargs = {**node.kwargs, "inplace": False}
    return fx.GraphModule(tracer.root, graph), tracer.asked


def _free_rows(graph: fx.GraphModule, other: fx.GraphModule, rows: int) -> None:
    """Where the number of rows became a constant (``len(x)``), ask the input for it.

    The constants meant are those that differ when there is one row more.
    """
    nodes = list(graph.graph.nodes)
    if [n.name for n in nodes] != [n.name for n in other.graph.nodes]:
        raise UntraceableError(
            "The network does other steps for another number of rows, so it can't be followed. Write its permutations "
            "down by hand: PermutationSpec.by_hand(model, groups), see its documentation."
        )
    entry = next(n for n in nodes if n.op == "placeholder")
    with graph.graph.inserting_after(entry):
        size = graph.graph.call_method("size", (entry, 0))
        size.meta["value"] = rows

    def freed(one: Any, another: Any) -> Any:
        if isinstance(one, (tuple, list)) and isinstance(another, (tuple, list)) and len(one) == len(another):
            return type(one)(freed(a, b) for a, b in zip(one, another))
        return size if type(one) is int and one == rows and another == rows + 1 else one

    for node, twin in zip(nodes, other.graph.nodes):
        node.args = freed(node.args, twin.args)
        node.kwargs = {k: freed(v, twin.kwargs[k]) for k, v in node.kwargs.items()}
