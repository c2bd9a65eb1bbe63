"""Hierarchies of labels: rooted trees, from networkx, from paths, from the labels' names, or from their confusions.

``errata.data.hierarchy_files.read_hierarchy`` reads them from files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata._lazy import optional
from errata.errors import DataError, ParameterError, nearest
from errata.scores.tree import Distances, tree_distances

__all__ = ["Hierarchy", "hierarchy_from_confusion", "hierarchy_from_names"]

ROOT = "(root)"
"""The name of a root that was set above several tops."""

SEPARATORS = (" > ", ">", "::", ":", "/", "|", ".")
_SHOWN = 3


@dataclass(frozen=True)
class Hierarchy:
    """A tree of labels.

    Parameters
    ----------
    names : of the V nodes, each once
    parent : (V,) the parent of each, -1 for the root
    notes : sentences on how it was read

    Examples
    --------
    >>> tree = Hierarchy.from_paths(["animal.cat", "animal.dog", "car"])
    >>> tree.distances(["cat", "dog", "car"]).graph
    array([[0, 2, 3],
           [2, 0, 3],
           [3, 3, 0]])
    >>> tree.path("dog")
    ['(root)', 'animal', 'animal.dog']
    """

    names: tuple[str, ...]
    parent: np.ndarray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    # -- making one ---------------------------------------------------------------------------------------------------

    @classmethod
    def from_graph(cls, graph: Any, root: Any = None) -> Hierarchy:
        """From a networkx graph that is a tree.

        Parameters
        ----------
        graph : directed from parent to child (or all from child to parent), or undirected with a root that is named
        root : of an undirected graph; by default its node called "root", or ``graph.graph["root"]``

        Raises
        ------
        DataError
            where it is empty or no tree: a node with two parents, a circle, pieces; each is told with its nodes

        Examples
        --------
        >>> import networkx as nx
        >>> tree = Hierarchy.from_graph(nx.DiGraph([("thing", "cat"), ("thing", "car")]))
        >>> tree.names[int(np.flatnonzero(tree.parent < 0)[0])]
        'thing'
        """
        nx = optional("networkx", "budget", "Reading a hierarchy of labels")
        if not graph.number_of_nodes():
            raise DataError("The hierarchy has no nodes; expected a tree of labels.")
        directed = _directed(nx, graph, root)
        above: dict[Any, Any] = {}
        for parent, child in directed.edges():
            if child in above:
                raise DataError(
                    f"The hierarchy is no tree: '{child}' has two parents, '{above[child]}' and '{parent}'. Remove one."
                )
            above[child] = parent
        tops = [node for node in directed if node not in above]
        if not tops or not nx.is_directed_acyclic_graph(directed):
            circle = " > ".join(str(edge[0]) for edge in nx.find_cycle(directed)[:_SHOWN])
            raise DataError(f"The hierarchy is no tree: it goes in a circle ({circle} > ...). Remove an edge of it.")
        names = [str(node) for node in directed]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise DataError(f"Nodes of the hierarchy need different names; '{twice[0]}' occurs twice.")
        place = {node: i for i, node in enumerate(directed)}
        parents = [place[above[node]] if node in above else -1 for node in directed]
        if len(tops) == 1:
            return cls(tuple(names), np.asarray(parents, dtype=np.int64))
        if ROOT in names:
            raise DataError(f"The hierarchy has {len(tops)} roots, '{tops[0]}' and '{tops[1]}' among them; join them.")
        joined = [len(names) if p < 0 else p for p in parents]
        note = f"The hierarchy's {len(tops)} tops ({few(tops)}) were joined under one root."
        return cls((*names, ROOT), np.asarray([*joined, -1], dtype=np.int64), (note,))

    @classmethod
    def from_edges(cls, edges: Iterable[Sequence[Any]]) -> Hierarchy:
        """From (parent, child) pairs."""
        nx = optional("networkx", "budget", "Reading a hierarchy of labels")
        return cls.from_graph(nx.DiGraph([(str(a), str(b)) for a, b in edges]))

    @classmethod
    def from_paths(cls, paths: Iterable[Any], separator: str | None = ".") -> Hierarchy:
        """From the way down to each label: texts with a separator, or sequences of names (``separator=None``).

        A node is called by its whole path; labels are found by its last part too, where that is unique.
        """
        nx = optional("networkx", "budget", "Reading a hierarchy of labels")
        graph = nx.DiGraph()
        joint = separator or "/"
        for path in paths:
            parts = str(path).split(separator) if separator else [str(part) for part in path]
            names = [joint.join(parts[: i + 1]) for i in range(len(parts))]
            nx.add_path(graph, [ROOT, *names])
        return cls.from_graph(graph)

    def graph(self) -> Any:
        """As a ``networkx.DiGraph`` from parent to child."""
        nx = optional("networkx", "budget", "A hierarchy as a graph")
        made = nx.DiGraph()
        made.add_nodes_from(self.names)
        made.add_edges_from((self.names[p], name) for name, p in zip(self.names, self.parent) if p >= 0)
        return made

    # -- labels in it -------------------------------------------------------------------------------------------------

    def nodes(
        self, labels: Sequence[Any], aliases: Mapping[Any, Any] | None = None, *, missing: str = "error"
    ) -> np.ndarray:
        """The node of each label; -1 for those that are not there, where ``missing="root"``.

        A label is the node of its name, or else the only one whose path ends in it; capitals, spaces, dashes and
        underscores don't count where nothing fits as it is written.

        Parameters
        ----------
        labels : K names
        aliases : labels to names of nodes, where they are called otherwise
        missing : "error", or "root" for labels that stand beside the hierarchy

        Raises
        ------
        DataError
            where labels are not in the hierarchy, with the nearest nodes; or two labels are one node
        """
        if missing not in ("error", "root"):
            raise ParameterError(f"missing must be 'error' or 'root'; got {missing!r}.")
        named = {str(k): str(v) for k, v in (aliases or {}).items()}
        unknown = [label for label in named if label not in {str(one) for one in labels}]
        if unknown:
            raise DataError(f"The mapping names '{unknown[0]}', which is none of the labels ({few(labels)}).")
        lookups = self._lookups()
        found = np.array([self._node(named.get(str(label), str(label)), lookups) for label in labels], dtype=np.int64)
        lost = [str(label) for label, node in zip(labels, found) if node < 0]
        if lost and (missing == "error" or any(label in named for label in lost)):
            raise DataError(self._lost(lost, named))
        node, count = np.unique(found[found >= 0], return_counts=True)
        if (count > 1).any():
            one = int(node[count > 1][0])
            same = [str(label) for label, at in zip(labels, found) if at == one]
            raise DataError(
                f"The labels {few(same)} are one node of the hierarchy, '{self.names[one]}'; map them apart."
            )
        return found

    def distances(
        self, labels: Sequence[Any], aliases: Mapping[Any, Any] | None = None, *, missing: str = "error"
    ) -> Distances:
        """The distances between labels; parameters as of ``nodes``. A label that is not there hangs from the root."""
        found = self.nodes(labels, aliases, missing=missing)
        lost = np.flatnonzero(found < 0)
        root = int(np.flatnonzero(self.parent < 0)[0])
        found[lost] = len(self) + np.arange(len(lost))
        return tree_distances(np.concatenate([self.parent, np.full(len(lost), root)]), found)

    def path(self, label: Any) -> list[str]:
        """The names of the nodes from the root to a label."""
        node = int(self.nodes([label])[0])
        way = []
        while node >= 0:
            way.append(self.names[node])
            node = int(self.parent[node])
        return way[::-1]

    def _lookups(self) -> list[dict[str, int]]:
        whole = {name: i for i, name in enumerate(self.names)}
        plain = _unique((_plain(name), i) for i, name in enumerate(self.names))
        ends = [(_last(name, self.names[p]), i) for i, (name, p) in enumerate(zip(self.names, self.parent)) if p >= 0]
        return [whole, _unique(ends), plain, _unique((_plain(end), i) for end, i in ends)]

    def _node(self, name: str, lookups: list[dict[str, int]]) -> int:
        for lookup, key in zip(lookups, (name, name, _plain(name), _plain(name))):
            if key in lookup:
                return lookup[key]
        return -1

    def _lost(self, lost: list[str], named: Mapping[str, str]) -> str:
        told = []
        ends = [name.rsplit(".", 1)[-1] for name in self.names]
        for label in lost[:_SHOWN]:
            wanted = named.get(label, label)
            several = [name for name in self.names if _plain(name).endswith("." + _plain(wanted))]
            if len(several) > 1:
                told.append(f"'{wanted}' (several end in it: {few(several)})")
                continue
            near = nearest(wanted, self.names) or nearest(wanted, ends)
            told.append(f"'{wanted}'" + (f" (did you mean '{near}'?)" if near else ""))
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        return (
            f"{len(lost)} of the labels are not in the hierarchy of {len(self)} nodes: {', '.join(told)}{more}. Say "
            "which nodes they are (a mapping from label to node), or let them stand beside it, under the root."
        )


# -- from labels alone ------------------------------------------------------------------------------------------------


def hierarchy_from_names(labels: Sequence[Any], separator: str = ":") -> Hierarchy:
    """The tree that names such as "coarse:fine" tell.

    Raises
    ------
    DataError
        where no label has the separator

    Examples
    --------
    >>> labels = ["NUM:date", "NUM:count", "LOC:city"]
    >>> hierarchy_from_names(labels).distances(labels).graph[0]
    array([0, 2, 4])
    """
    if not any(separator in str(label) for label in labels):
        raise DataError(f"None of the labels ({few(labels)}) has a '{separator}' that would tell a hierarchy.")
    return Hierarchy.from_paths(labels, separator)


def hierarchy_from_confusion(confusion: Any, labels: Sequence[Any]) -> Hierarchy:
    """The tree in which labels that are mistaken for each other are near: average linkage of a confusion matrix.

    Parameters
    ----------
    confusion : (K, K) counts or shares, given label by predicted one
    labels : the K names

    Examples
    --------
    >>> tree = hierarchy_from_confusion([[8, 2, 0], [2, 8, 0], [0, 0, 10]], ["cat", "dog", "car"])
    >>> tree.distances(["cat", "dog", "car"]).graph[0]
    array([0, 2, 3])
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    table, k = np.asarray(confusion, dtype=np.float64), len(labels)
    if table.shape != (k, k) or not np.isfinite(table).all() or (table < 0).any():
        raise DataError(f"Expected confusions of {k} labels, ({k}, {k}) numbers of 0 or more; got {table.shape}.")
    if k < 2:
        raise DataError("A hierarchy of one label says nothing; two labels are the least.")
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1e-12)
    apart = 1.0 - (share + share.T) / 2
    np.fill_diagonal(apart, 0.0)
    joined = linkage(squareform(np.maximum(apart, 0.0), checks=False), "average")
    parent = np.full(2 * k - 1, -1, dtype=np.int64)
    for i, (a, b, _, _) in enumerate(joined):
        parent[[int(a), int(b)]] = k + i
    return Hierarchy((*map(str, labels), *(f"(group {i + 1})" for i in range(k - 1))), parent)


def _directed(nx: Any, graph: Any, root: Any) -> Any:
    if graph.is_directed():
        down = nx.DiGraph(graph)
        sinks = [node for node, degree in down.out_degree() if degree == 0]
        upward = len(sinks) == 1 and all(degree <= 1 for _, degree in down.out_degree())
        tops = sum(degree == 0 for _, degree in down.in_degree())
        return down.reverse() if upward and tops > 1 else down
    told = root if root is not None else graph.graph.get("root")
    if told is None:
        told = next((node for node in graph if str(node).strip().lower() in ("root", ROOT)), None)
    if told is None or told not in graph:
        raise DataError(
            "The hierarchy's edges have no direction, so its root must be named: a node called 'root', or root=NAME"
            + (f"; there is no node '{told}'." if told is not None else ".")
        )
    if not nx.is_tree(graph):
        what = "it is in pieces" if not nx.is_connected(graph) else "it has a circle"
        raise DataError(f"The hierarchy is no tree: {what}.")
    return nx.bfs_tree(graph, told)


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    twice: set[str] = set()
    for name, node in pairs:
        if name in found:
            twice.add(name)
        found[name] = node
    return {name: node for name, node in found.items() if name not in twice}


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter not in " _-")


def _last(name: str, above: str) -> str:
    """A node's name without the path of its parent."""
    if not name.startswith(above):
        return name
    rest = name[len(above) :]
    mark = next((m for m in SEPARATORS if rest.startswith(m)), None)
    return rest[len(mark) :] if mark else name


def few(names: Iterable[Any]) -> str:
    listed = [f"'{name}'" for name in names]
    return ", ".join(listed[:_SHOWN]) + (", ..." if len(listed) > _SHOWN else "")
