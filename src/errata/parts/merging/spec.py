"""Which axes of a network's parameters and activations are permuted together, and which layers can be regressed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx, nn

from errata.errors import DataError, ParameterError, UnknownNameError
from errata.parts.merging.axes import Run
from errata.parts.merging.rules import CONVS, Follower
from errata.parts.merging.tracing import UntraceableError, first_rows, trace

__all__ = ["OUTPUT", "Group", "Layer", "PermutationSpec", "Place"]

OUTPUT = "output"
"""The name under which the axis that leaves the network (its classes) is kept; it is never permuted."""


@dataclass(frozen=True)
class Place:
    """Where the units of a group lie: from ``start`` on along an axis of a tensor, ``inner`` numbers each."""

    name: str
    axis: int
    start: int = 0
    inner: int = 1

    def __str__(self) -> str:
        return f"{self.name}:{self.axis}"


@dataclass
class Group:
    """Units that are permuted together.

    Attributes
    ----------
    name : the weight that makes them and its axis: ``"body.0.weight:0"``
    size : how many
    unit : they stay together in blocks of so many (heads of attention, groups of channels)
    tied : the group whose blocks are permuted alike; its own name where there is no other
    state, nodes : where they lie in parameters and in activations
    """

    name: str
    size: int
    unit: int = 1
    tied: str = ""
    state: list[Place] = field(default_factory=list)
    nodes: list[Place] = field(default_factory=list)


@dataclass(frozen=True)
class Layer:
    """A linear or convolutional layer: the module, the node that calls it, and the node of its input."""

    module: str
    node: str
    input: str
    raw: bool = False  # its input comes from the network's input without any parameter in between


@dataclass
class PermutationSpec:
    """What of a network may be permuted.

    Attributes
    ----------
    groups : by name, from input to output
    axes : parameter -> for each axis its stretches as (group's name or None, units, numbers per unit)
    out_axis : parameter -> the axis of the units that it makes
    layers : linear and convolutional layers in the order of the computation
    graph : the traced network; None for a specification written by hand
    notes : what could not be followed, in words

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> spec = PermutationSpec.of(model, model[0].weight[:1])
    >>> [(g.name, g.size, [str(p) for p in g.state]) for g in spec.groups.values()]
    [('0.weight:0', 3, ['0.weight:0', '0.bias:0', '2.weight:1'])]
    """

    groups: dict[str, Group]
    axes: dict[str, list[list[tuple[str | None, int, int]]]]
    out_axis: dict[str, int]
    layers: list[Layer]
    graph: fx.GraphModule | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, model: nn.Module, example: Any) -> PermutationSpec:
        """Follow ``model`` on an example (B, ...).

        Raises
        ------
        UntraceableError
            where torch.fx can't follow it, or nothing in it can be permuted
        """
        graph = trace(model, first_rows(example))
        return _collect(Follower(graph), model)

    @classmethod
    def by_hand(
        cls, model: nn.Module, groups: Mapping[str, Mapping[str, Any]], output: Sequence[str] = ()
    ) -> PermutationSpec:
        """A specification for a network that can't be followed.

        Parameters
        ----------
        model : the network
        groups : name -> ``state`` (places as "parameter:axis", the maker first), ``nodes`` (modules as "module:axis",
            whose outputs are compared), and where needed ``size`` (default: of the first place), ``unit``, ``tied``
        output : the places of the classes, such as ["fc.weight:0", "fc.bias:0"]

        Raises
        ------
        UnknownNameError, ParameterError
            where a place does not exist, or has another size

        Examples
        --------
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> groups = {"hidden": {"state": ["0.weight:0", "0.bias:0", "2.weight:1"], "nodes": ["0:1", "1:1"]}}
        >>> PermutationSpec.by_hand(model, groups).groups["hidden"].size
        3
        """
        return _by_hand(model, groups, output)

    def leaders(self) -> dict[str, list[Group]]:
        """The groups by those whose blocks they share."""
        found: dict[str, list[Group]] = {}
        for group in self.groups.values():
            found.setdefault(group.tied, []).append(group)
        return found

    def check(self, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
        """Say what differs between two networks that should be built alike; the number of classes may.

        Raises
        ------
        DataError
            with the parameters that only one has, or whose shapes differ
        """
        only = sorted(set(a) ^ set(b))
        if only:
            side = "first" if only[0] in a else "second"
            raise DataError(
                f"Only networks of one architecture can be merged; {len(only)} parameters are in one alone, such as "
                f"'{only[0]}' in the {side}."
            )
        for name in a:
            one, other = tuple(a[name].shape), tuple(b[name].shape)
            free = {k for k, axis in enumerate(self.axes.get(name, [])) if [g for g, _, _ in axis] == [OUTPUT]}
            same = len(one) == len(other) and all(x == y or k in free for k, (x, y) in enumerate(zip(one, other)))
            if not same:
                raise DataError(
                    f"Only networks of one architecture can be merged; '{name}' has shape {one} in the first and "
                    f"{other} in the second. Train both with the same model and sizes."
                )


def _collect(followed: Follower, model: nn.Module) -> PermutationSpec:
    cells = followed.cells
    result = {leaf for axis in followed.result for leaf in _leaves(followed, axis)}
    state = model.state_dict(keep_vars=True)
    names: dict[int, str] = {}
    groups: dict[str, Group] = {}
    axes: dict[str, list[list[tuple[str | None, int, int]]]] = {}
    for (parameter, axis), found in followed.state.items():
        if parameter not in state or not isinstance(found, Run):
            continue
        segments = cells.segments(found)
        start, stretches = 0, []
        for number, (leaf, inner) in enumerate(segments):
            free = not cells.fixed[leaf] and leaf not in result
            if free and leaf not in names and followed.out_axis.get(parameter) == axis:
                names[leaf] = f"{parameter}:{axis}" + (f"[{number}]" if len(segments) > 1 else "")
                groups[names[leaf]] = Group(names[leaf], cells.size[leaf], cells.unit[leaf])
            name = (
                names.get(leaf)
                if free
                else OUTPUT
                if leaf in result and followed.out_axis.get(parameter) == axis
                else None
            )
            if free and name is not None:
                groups[name].state.append(Place(parameter, axis, start, inner))
            stretches.append((name, cells.size[leaf], inner))
            start += cells.size[leaf] * inner
        rank = state[parameter].ndim
        axes.setdefault(parameter, [[(None, n, 1)] for n in state[parameter].shape[:rank]])[axis] = stretches
    leaders: dict[int, str] = {}
    for leaf, name in names.items():
        groups[name].tied = leaders.setdefault(cells.tied(leaf), name)
    _nodes(followed, names, groups)
    if not groups:
        raise UntraceableError(
            f"Nothing in {type(model).__name__} can be permuted: no units lie between two of its layers. "
            + " ".join(followed.notes[:3])
            + " Write its permutations down by hand: PermutationSpec.by_hand(model, groups)."
        )
    spec = PermutationSpec(groups, axes, followed.out_axis, _layers(followed), followed.graph, followed.notes)
    return _ordered(spec)


def _leaves(followed: Follower, axis: Any) -> list[int]:
    return [leaf for leaf, _ in followed.cells.segments(axis)] if isinstance(axis, Run) else []


def _nodes(followed: Follower, names: Mapping[int, str], groups: Mapping[str, Group]) -> None:
    for node, axes in followed.nodes.items():
        if not isinstance(axes, list) or node.op in ("get_attr", "placeholder"):
            continue
        for place, axis in enumerate(axes):
            if not isinstance(axis, Run):
                continue
            start = 0
            for leaf, inner in followed.cells.segments(axis):
                if leaf in names:
                    groups[names[leaf]].nodes.append(Place(node.name, place, start, inner))
                start += followed.cells.size[leaf] * inner


def _layers(followed: Follower) -> list[Layer]:
    graph = followed.graph
    raw: set[fx.Node] = set()
    found = []
    for node in graph.graph.nodes:
        module = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
        free = module is None or not list(module.parameters())
        if node.op == "placeholder" or (free and node.all_input_nodes and all(n in raw for n in node.all_input_nodes)):
            raw.add(node)
        if isinstance(module, (nn.Linear, *CONVS)) and isinstance(node.args[0], fx.Node):
            found.append(Layer(str(node.target), node.name, node.args[0].name, node.args[0] in raw))
    return found


def _ordered(spec: PermutationSpec) -> PermutationSpec:
    """Name a tied set by its first group, and keep the groups in the order in which they are met."""
    order = {name: i for i, name in enumerate(spec.groups)}
    for groups in spec.leaders().values():
        first = min(groups, key=lambda g: order[g.name])
        for group in groups:
            group.tied = first.name
    return spec


def _by_hand(model: nn.Module, given: Mapping[str, Mapping[str, Any]], output: Sequence[str]) -> PermutationSpec:
    state, modules = model.state_dict(keep_vars=True), dict(model.named_modules())
    axes: dict[str, list[list[tuple[str | None, int, int]]]] = {
        name: [[(None, n, 1)] for n in tensor.shape] for name, tensor in state.items()
    }
    groups: dict[str, Group] = {}
    out_axis = {name: 1 if isinstance(modules.get(name.rpartition(".")[0]), nn.Embedding) else 0 for name in state}
    for name, told in given.items():
        places = [_place(text, state, "parameter") for text in told["state"]]
        size = int(told.get("size", state[places[0].name].shape[places[0].axis]))
        group = Group(name, size, int(told.get("unit", 1)), str(told.get("tied", name)))
        for place in places:
            length = state[place.name].shape[place.axis]
            if length % size:
                raise ParameterError(f"Group '{name}' has {size} units, and '{place}' {length} numbers, no multiple.")
            group.state.append(Place(place.name, place.axis, 0, length // size))
            axes[place.name][place.axis] = [(name, size, length // size)]
        group.nodes = [_place(text, modules, "module") for text in told.get("nodes", ())]
        groups[name] = group
    for place in [_place(text, state, "parameter") for text in output]:
        axes[place.name][place.axis] = [(OUTPUT, state[place.name].shape[place.axis], 1)]
    layers = [Layer(n, n, n) for n, m in modules.items() if isinstance(m, (nn.Linear, *CONVS)) and n]
    return PermutationSpec(groups, axes, out_axis, layers)


def _place(text: str, known: Mapping[str, Any], what: str) -> Place:
    name, _, axis = str(text).rpartition(":")
    if name not in known or not axis.lstrip("-").isdigit():
        raise UnknownNameError(f"{what} for a permutation", text, known, f"Write it as '{what}:axis'.")
    return Place(name, int(axis))
