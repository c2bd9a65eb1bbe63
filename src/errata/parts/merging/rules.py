"""What each operation of a network does with the axes of its inputs; an unknown one keeps all units in their places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, fx, nn

from errata.parts.merging import shapes
from errata.parts.merging.axes import Axis, Cells, Run

__all__ = ["Follower"]

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_POOLS = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
)
_POINTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh),
    *(nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.Softsign, nn.Identity),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout),
)
_UNARY = {
    *("relu", "gelu", "sigmoid", "tanh", "silu", "elu", "selu", "celu", "leaky_relu", "relu6", "mish"),
    *("hardswish", "hardsigmoid", "hardtanh", "softplus", "dropout", "dropout1d", "dropout2d", "abs"),
    *("neg", "exp", "log", "sqrt", "rsqrt", "square", "clamp", "clamp_min", "sin", "cos", "contiguous"),
    *("float", "double", "half", "to", "type_as", "clone", "detach", "identity", "pow"),
}
_BINARY = {
    "add",
    "sub",
    "mul",
    "div",
    "truediv",
    "iadd",
    "isub",
    "imul",
    "itruediv",
    "maximum",
    "minimum",
    "add_",
    "mul_",
}
_POOLING = {"max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d"}
_SHAPELESS = {"size", "dim", "numel", "ndimension", "is_floating_point", "stride", "item", "getattr"}


class Follower:
    """Follows the axes through a traced network.

    Attributes
    ----------
    cells : the cells found
    state : (parameter, axis) -> its axis; parameters that were not met are missing
    out_axis : parameter -> the axis that its own units lie on, where it has both inputs and outputs
    nodes : node -> the axes of its tensor
    notes : what could not be followed, in words
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        self.graph = graph
        self.cells = Cells()
        self.state: dict[tuple[str, int], Axis] = {}
        self.out_axis: dict[str, int] = {}
        self.nodes: dict[fx.Node, Any] = {}
        self.result: list[Axis] = []
        self.notes: list[str] = []
        for node in graph.graph.nodes:
            self.nodes[node] = self._node(node)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def _node(self, node: fx.Node) -> Any:
        value = node.meta.get("value")
        if node.op == "placeholder":
            return [self.cells.run(n) for n in value.shape] if isinstance(value, Tensor) else None
        if node.op == "get_attr":
            return self._parameter(node, value)
        if node.op == "output":
            self.result = self.nodes.get(node.args[0]) or []  # type: ignore[arg-type]
            return None
        if node.op == "call_module":
            module = self.graph.get_submodule(str(node.target))
            found = self._module(node, module)
        else:
            found = self._operation(node)
        if found is None and (isinstance(value, Tensor) or _holds_tensors(value)):
            found = self._unknown(node, value)
        return found

    def _unknown(self, node: fx.Node, value: Any) -> Any:
        touched = False
        for used in node.all_input_nodes:
            for axis in _flat(self.nodes.get(used)):
                touched = touched or not self.cells.is_fixed(axis)
                self.cells.fix(axis)
        if touched:
            name = getattr(node.target, "__name__", str(node.target))
            self.notes.append(f"'{name}' at '{node.name}' is not known; the units that reach it stay in their places.")
        return self._fresh(value)

    def _fresh(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return [self.cells.run(n) for n in value.shape]
        return [self._fresh(part) for part in value] if _holds_tensors(value) else None

    def _parameter(self, node: fx.Node, value: Any) -> Any:
        """A tensor used as it is, such as an embedding of positions: its last axis of more than one may be units."""
        if not isinstance(value, Tensor):
            return None
        name = str(node.target)
        made = []
        for axis, size in enumerate(value.shape):
            if (name, axis) not in self.state:
                units = axis == value.ndim - 1 and size > 1
                self.state[name, axis] = self.cells.run(size, fixed=not units)
            made.append(self.state[name, axis])
        self.out_axis[name] = value.ndim - 1
        return made

    def _own(self, name: str, axis: int, size: int, fixed: bool = False) -> Axis:
        """The axis of a parameter of a module, made at the first call of the module."""
        if (name, axis) not in self.state:
            self.state[name, axis] = self.cells.run(size, fixed)
        return self.state[name, axis]

    # -- modules ------------------------------------------------------------------------------------------------------

    def _module(self, node: fx.Node, module: nn.Module) -> Any:
        name = str(node.target)
        x: list[Axis] = self.nodes[node.args[0]]  # type: ignore[index]
        value = node.meta["value"]
        if isinstance(module, _POINTWISE):
            return x
        if isinstance(module, nn.Linear):
            return [*x[:-1], self._weights(name, module, x[-1])]
        if isinstance(module, CONVS):
            return self._conv(name, module, x, value)
        if isinstance(module, _NORMS):
            self._affine(name, module, x[1], ("weight", "bias", "running_mean", "running_var"))
            return x
        if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
            self._affine(name, module, x[-1], ("weight", "bias"))
            return x
        if isinstance(module, nn.GroupNorm):
            return self._group_norm(name, module, x)
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            self._own(f"{name}.weight", 0, module.num_embeddings, fixed=True)
            made = self._own(f"{name}.weight", 1, module.embedding_dim)
            self.out_axis[f"{name}.weight"] = 1
            return [*(x if isinstance(module, nn.Embedding) else x[:1]), made]
        if isinstance(module, _POOLS):
            spatial = value.ndim - 2 if value.ndim == len(x) else 0
            return [*x[:2], *(self.cells.run(n) for n in value.shape[2:])] if spatial and len(x) > 2 else None
        if isinstance(module, nn.Flatten):
            return shapes.reshaped(self.cells, x, value.shape)
        if isinstance(module, nn.Softmax):
            return shapes.reduced(self.cells, x, module.dim, True) and x
        if isinstance(module, nn.PReLU):
            self._affine(name, module, x[1], ("weight",)) if module.num_parameters > 1 else None
            return x
        return None

    def _weights(self, name: str, module: Any, incoming: Axis) -> Axis:
        """Join the input's axis with the weight's second one; the axis of the units that the layer makes."""
        weight = module.weight
        if (f"{name}.weight", 1) in self.state:  # a layer that is called again
            self.cells.join(incoming, self.state[f"{name}.weight", 1])
        self.state[f"{name}.weight", 1] = incoming  # built as the input is: a flattened map has several numbers a unit
        made = self._own(f"{name}.weight", 0, weight.shape[0])
        self.out_axis[f"{name}.weight"] = 0
        if module.bias is not None:
            self.state[f"{name}.bias", 0] = made
            self.out_axis[f"{name}.bias"] = 0
        return made

    def _conv(self, name: str, module: Any, x: list[Axis], value: Tensor) -> Any:
        if len(x) != value.ndim:
            return None
        spatial = [self.cells.run(n) for n in value.shape[2:]]
        if module.groups == 1:
            return [x[0], self._weights(name, module, x[1]), *spatial]
        if module.groups == module.in_channels == module.out_channels:
            self._affine(name, module, x[1], ("weight", "bias"))
            self.out_axis[f"{name}.weight"] = 0
            return [x[0], x[1], *spatial]
        return None

    def _affine(self, name: str, module: nn.Module, axis: Axis, kinds: tuple[str, ...]) -> None:
        for kind in kinds:
            if getattr(module, kind, None) is None:
                continue
            key = f"{name}.{kind}"
            if (key, 0) in self.state:
                self.cells.join(self.state[key, 0], axis)
            self.state[key, 0] = axis
            self.out_axis[key] = 0

    def _group_norm(self, name: str, module: nn.GroupNorm, x: list[Axis]) -> Any:
        axis = x[1]
        unit = module.num_channels // module.num_groups
        if module.num_groups > 1:
            segments = self.cells.segments(axis) if isinstance(axis, Run) else ()
            if len(segments) != 1 or segments[0][1] != 1 or not self.cells.block(segments[0][0], unit):
                self.cells.fix(axis)
        self._affine(name, module, axis, ("weight", "bias"))
        return x

    # -- functions and methods ----------------------------------------------------------------------------------------

    def _operation(self, node: fx.Node) -> Any:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        value = node.meta.get("value")
        axes = [self.nodes.get(a) if isinstance(a, fx.Node) else None for a in node.args]
        if name in _SHAPELESS and not isinstance(value, Tensor):
            return None
        if not axes or axes[0] is None:
            return self._scattered(node, name, value)
        first = axes[0]
        if name in _UNARY and isinstance(value, Tensor) and value.ndim == len(first):
            return first
        if name in _BINARY:
            tensors = [a for a in axes if a is not None]
            return shapes.broadcast(self.cells, tensors)
        if name in _POOLING and isinstance(value, Tensor) and len(first) > 2:
            return [*first[:2], *(self.cells.run(n) for n in value.shape[2:])]
        rule: Callable[..., Any] | None = getattr(self, f"_do_{name.strip('_')}", None)
        return None if rule is None else rule(node, first, value)

    def _scattered(self, node: fx.Node, name: str, value: Any) -> Any:
        """Operations whose tensors don't come first: a list of them, or a number and a tensor."""
        tensors = [self.nodes[n] for n in node.all_input_nodes if self.nodes.get(n) is not None]
        if name == "cat" and isinstance(value, Tensor):
            return self._cat(node, tensors, value)
        if name == "stack" or not tensors or not isinstance(value, Tensor):
            return None
        return shapes.broadcast(self.cells, tensors) if name in _BINARY else None

    def _cat(self, node: fx.Node, tensors: list[list[Axis]], value: Tensor) -> list[Axis]:
        dim = _argument(node, 1, "dim", 0) % value.ndim
        found: list[Axis] = []
        for place in range(value.ndim):
            here = [axes[place] for axes in tensors]
            if place != dim:
                for other in here[1:]:
                    self.cells.join(here[0], other)
                found.append(here[0])
            elif all(isinstance(a, Run) for a in here):
                found.append(Run(tuple(s for a in here for s in self.cells.segments(a))))  # type: ignore[arg-type]
            else:
                for axis in here:
                    self.cells.fix(axis)
                found.append(self.cells.run(value.shape[dim]))
        return found

    def _do_flatten(self, node: fx.Node, first: list[Axis], value: Any) -> Any:
        return shapes.reshaped(self.cells, first, value.shape)

    _do_reshape = _do_view = _do_unflatten = _do_squeeze = _do_unsqueeze = _do_flatten

    def _do_permute(self, node: fx.Node, first: list[Axis], value: Any) -> Any:
        order = node.args[1] if isinstance(node.args[1], (tuple, list)) else node.args[1:]
        return [first[int(d)] for d in order]  # type: ignore[arg-type]

    def _do_transpose(self, node: fx.Node, first: list[Axis], value: Any) -> Any:
        a, b = int(node.args[1]), int(node.args[2])  # type: ignore[arg-type]
        moved = list(first)
        moved[a], moved[b] = first[b], first[a]
        return moved

    _do_swapaxes = _do_transpose

    def _do_mean(self, node: fx.Node, first: list[Axis], value: Any) -> Any:
        keep = bool(_argument(node, 2, "keepdim", False))
        return shapes.reduced(self.cells, first, _argument(node, 1, "dim", None), keep)

    _do_sum = _do_amax = _do_amin = _do_mean

    def _do_softmax(self, node: fx.Node, first: list[Axis], value: Any) -> Any:
        self.cells.fix(first[_argument(node, 1, "dim", -1)])
        return first

    _do_log_softmax = _do_normalize = _do_softmax

    def _do_matmul(self, node: fx.Node, first: list[Axis], value: Any) -> Any:
        second = self.nodes.get(node.args[1])  # type: ignore[arg-type]
        return None if second is None else shapes.contract(self.cells, first, second)

    _do_bmm = _do_matmul

    def _do_scaled_dot_product_attention(self, node: fx.Node, query: list[Axis], value: Any) -> Any:
        key, values = (self.nodes[node.args[i]] for i in (1, 2))  # type: ignore[index]
        scores = shapes.contract(self.cells, query, [*key[:-2], key[-1], key[-2]])
        return shapes.contract(self.cells, scores, values)

    def _do_getitem(self, node: fx.Node, first: Any, value: Any) -> Any:
        index = node.args[1]
        if first and isinstance(first[0], list):  # a list of tensors
            return first[index] if isinstance(index, int) else None
        if isinstance(index, int):
            return shapes.pick(self.cells, first, 0, index)
        if not isinstance(index, tuple) or any(not isinstance(i, (int, slice, type(None))) for i in index):
            return None
        return self._indexed(first, index, value)

    def _indexed(self, first: list[Axis], index: tuple[Any, ...], value: Any) -> Any:
        found: list[Axis] = []
        place = 0
        for item in index:
            if item is None:
                found.append(self.cells.run(1))
                continue
            axis = first[place]
            place += 1
            if isinstance(item, int):
                self.cells.fix(axis)
            elif item == slice(None):
                found.append(axis)
            else:
                self.cells.fix(axis)
                found.append(self.cells.run(value.shape[len(found)]))
        return [*found, *first[place:]]

    def _do_unbind(self, node: fx.Node, first: list[Axis], value: Any) -> Any:
        dim = _argument(node, 1, "dim", 0) % len(first)
        return [shapes.pick(self.cells, first, dim, i) for i in range(len(value))]

    def _do_chunk(self, node: fx.Node, first: list[Axis], value: Any) -> Any:
        dim = _argument(node, 2, "dim", 0) % len(first)
        return shapes.pieces_of(self.cells, first, dim, [part.shape[dim] for part in value])

    _do_split = _do_chunk

    def _do_expand(self, node: fx.Node, first: list[Axis], value: Any) -> Any:
        added = value.ndim - len(first)
        return [
            first[k - added] if k >= added and self.cells.length(first[k - added]) == n else self.cells.run(n)
            for k, n in enumerate(value.shape)
        ]

    def _do_linear(self, node: fx.Node, first: list[Axis], value: Any) -> Any:
        weight = self.nodes.get(node.args[1])  # type: ignore[arg-type]
        if weight is None:
            return None
        self.cells.fix(weight[1])  # weights used in a function are not regressed; they stay as they are
        self.cells.fix(weight[0])
        return None


def _argument(node: fx.Node, place: int, name: str, default: Any) -> Any:
    found = node.args[place] if len(node.args) > place else node.kwargs.get(name, default)
    return tuple(found) if isinstance(found, list) else found


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and any(isinstance(part, Tensor) for part in value)


def _flat(axes: Any) -> list[Axis]:
    if axes is None:
        return []
    return [a for part in axes for a in _flat(part)] if isinstance(axes, list) else [axes]
