"""Graphs: nodes with features and labels, edges between them; from files, folders and Python objects.

``read`` hands over a ``GraphData``. Undirected: every edge stands there in both directions, once, and no node is linked
with itself.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from errata.data.data import Column, Data, Preview
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.labels import MISSING, ClassLabels

__all__ = ["SETS", "GraphData", "read", "undirected"]

SETS = ("train", "val", "test")
"""The sets that a node may belong to. Without any, all labelled nodes are trained on."""


class GraphData:
    """A graph whose nodes are the rows.

    Parameters
    ----------
    edges : (2, E) int64, both directions, see ``undirected``
    features : (N, D) array or scipy.sparse matrix; None where ``table`` holds them
    table : the nodes as ``errata.data.Data``, where they come from a table
    labels : ClassLabels of all nodes, or None; which of them are trained on, ``sets`` says
    label_name : of their column or array
    sets : bool masks (N,) named "train", "val", "test"; what is missing is empty, but for "train": then all labelled
        nodes are
    ids : (N,) the nodes' names in the source; None where they are the row numbers
    source, format : where it came from
    path : the file that holds the labels, where that is another
    notes : sentences on how it was read
    aside : columns of the table that are shown by other means: names, sets
    relabel : from another label's name to the graph with that label

    Examples
    --------
    >>> data = read(np.eye(3), ["a", "b", None], edges=[[0, 1], [1, 2]])
    >>> data
    <GraphData: 3 nodes, 2 edges, 2 classes>
    >>> data.given
    array([ 0,  1, -1])
    """

    kind = "graph"
    images = None
    array = None

    def __init__(
        self,
        *,
        edges: np.ndarray,
        features: Any = None,
        table: Data | None = None,
        labels: ClassLabels | None = None,
        label_name: str | None = None,
        sets: Mapping[str, np.ndarray] | None = None,
        ids: np.ndarray | None = None,
        source: str = "the graph",
        format: str = "graph",
        path: str | None = None,
        notes: Sequence[str] = (),
        aside: Sequence[str] = (),
        relabel: Callable[[Any], GraphData] | None = None,
    ) -> None:
        self.edges = edges
        self.x = features
        self.nodes = table
        self.labels = labels
        self.label_name = label_name
        self.sets = {name: np.asarray(mask, dtype=bool) for name, mask in (sets or {}).items()}
        self.ids = ids
        self.source = source
        self.format = format
        self.path = path
        self.notes = list(notes)
        self.aside = tuple(aside)
        self.reading: dict[str, Any] = {}
        self.proposed: np.ndarray | None = None  # (N,) codes that a system proposes: pictures show them
        self._relabel = relabel
        self._starts: np.ndarray | None = None
        n = len(table) if table is not None else features.shape[0]
        self.rows = np.arange(n)
        for what, length in (
            ("labels", n if labels is None else len(labels)),
            ("names", n if ids is None else len(ids)),
        ):
            if length != n:
                raise DataError(f"{source} has {n:,} nodes and {length:,} {what}; expected one for each node.")

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        labels = "no labels" if self.labels is None else f"{len(self.labels.classes)} classes"
        return f"<GraphData: {len(self):,} nodes, {self.edges.shape[1] // 2:,} edges, {labels}>"

    # -- what is in it ------------------------------------------------------------------------------------------------

    @property
    def columns(self) -> list[Column]:
        """The columns of the nodes' table; empty where the features are an array."""
        return [] if self.nodes is None else self.nodes.columns

    @property
    def features(self) -> list[Column]:
        """The columns of the nodes' table that a system sees; empty where they are an array."""
        return [] if self.nodes is None else self.nodes.features

    @property
    def table(self) -> Any:
        """The nodes' table (Arrow), where there is one."""
        return None if self.nodes is None else self.nodes.table

    @property
    def codes(self) -> np.ndarray:
        """(N,) codes of all labels, -1 where there is none."""
        return np.full(len(self), MISSING, dtype=np.int64) if self.labels is None else self.labels.codes

    @cached_property
    def given(self) -> np.ndarray:
        """(N,) codes of the labels to train on, -1 for all other nodes."""
        train = self.sets.get("train")
        return self.codes if train is None else np.where(train, self.codes, MISSING)

    def known_in(self, name: str) -> np.ndarray:
        """The nodes of a set that have a label: (M,) positions."""
        mask = self.sets.get(name)
        return np.empty(0, dtype=np.int64) if mask is None else np.flatnonzero(mask & (self.codes != MISSING))

    def require_labels(self, min_classes: int = 2) -> ClassLabels:
        """The labels, where they are needed.

        Raises
        ------
        DataError
            where there are none, or the nodes to train on have fewer than ``min_classes`` classes
        """
        if self.labels is None:
            raise DataError(f"{self.source} has no labels; name their column or array with label=.")
        present = np.unique(self.given[self.given != MISSING])
        if len(present) < min_classes:
            found = ", ".join(repr(self.labels.classes[code]) for code in present) or "none"
            raise DataError(
                f"Expected at least {min_classes} classes among the nodes to train on; the labels "
                f"'{self.label_name}' of {self.source} hold {len(present)}: {found}."
            )
        return self.labels

    def degrees(self) -> np.ndarray:
        """(N,) how many neighbours each node has."""
        return np.bincount(self.edges[0], minlength=len(self))

    def neighbours(self, position: int) -> np.ndarray:
        """The nodes linked with one, rising."""
        if self._starts is None:
            self._starts = np.searchsorted(self.edges[0], np.arange(len(self) + 1))
        return self.edges[1, self._starts[position] : self._starts[position + 1]]

    def preview(self, position: int) -> Preview:
        """A node to look at: a picture of what it is linked with, and its values."""
        from errata.data.graph_pictures import neighbourhood

        near = self.neighbours(position)
        counted = Counter(self._label_word(int(code)) for code in self.given[near])
        said = ", ".join(f"{n} {word}" for word, n in counted.most_common()) or "none"
        values: dict[str, Any] = {} if self.ids is None else {"node": str(self.ids[position])}
        values["neighbours"] = said
        if self.nodes is not None:
            values |= self.nodes.preview(position).row or {}
        for name in (self.label_name, *self.aside):
            values.pop(str(name), None)
        return Preview("image", png=neighbourhood(self, position), row=values)

    def _label_word(self, code: int) -> str:
        return "without a label" if code == MISSING or self.labels is None else f"'{self.labels.classes[code]}'"

    def select_label(self, label: Any) -> GraphData:
        """The same graph with another label.

        Raises
        ------
        UnknownNameError
            where there is no such column or array; the nearest is told
        """
        if self._relabel is None:
            raise UnknownNameError("label", label, [self.label_name] if self.label_name else [])
        return self._relabel(label)

    @property
    def origin(self) -> dict[str, Any]:
        """What a ledger notes to find the data again: source, source_path (absolute), label, reading."""
        place = self.path or self.source
        there = os.path.exists(os.path.expanduser(place))
        found = {
            "source": self.source,
            "source_path": os.path.abspath(os.path.expanduser(place)) if there else None,
            "label": self.label_name,
            "reading": self.reading or None,
        }
        return {name: value for name, value in found.items() if value is not None}

    # -- in words -----------------------------------------------------------------------------------------------------

    def describe(self) -> list[str]:
        """How the graph was read, in plain sentences, for people to check."""
        degrees = self.degrees()
        lines = [
            f"{self.source}: {len(self):,} nodes and {self.edges.shape[1] // 2:,} edges, read as a graph "
            f"({self.format}).",
            *self.notes,
        ]
        alone = int((degrees == 0).sum())
        if alone:
            lines.append(f"{alone:,} nodes are linked with none.")
        if self.labels is None:
            return [*lines, "There are no labels."]
        given = np.bincount(self.given[self.given != MISSING], minlength=len(self.labels.classes))
        each = ", ".join(f"{c} ({n:,})" for c, n in list(zip(self.labels.classes, given))[:12])
        more = "" if len(given) <= 12 else f" and {len(given) - 12} more"
        lines.append(
            f"Label: '{self.label_name}', {int(given.sum()):,} nodes to train on in {len(given)} classes: {each}{more}."
        )
        for name, word in (("val", "validation"), ("test", "test")):
            if len(self.known_in(name)):
                lines.append(f"{len(self.known_in(name)):,} {word} nodes have labels, which no training sees.")
        return lines


def undirected(edges: Any, num_nodes: int, source: str = "the graph") -> tuple[np.ndarray, list[str]]:
    """Edges in both directions, each once, without loops, sorted; and what had to be done for it, in words.

    Parameters
    ----------
    edges : (2, E) or (E, 2) whole numbers in [0, num_nodes), or a scipy.sparse adjacency (N, N)
    num_nodes : N

    Raises
    ------
    DataError
        where they are of another shape, or name a node that isn't there

    Examples
    --------
    >>> undirected([[0, 1, 1], [1, 0, 1]], 2)
    (array([[0, 1],
           [1, 0]]), ['1 edge from a node to itself is left out.'])
    """
    if hasattr(edges, "tocoo"):
        if edges.shape != (num_nodes, num_nodes):
            raise DataError(f"{source}: the adjacency is {edges.shape}; expected ({num_nodes}, {num_nodes}).")
        edges = np.stack(edges.tocoo().coords if hasattr(edges.tocoo(), "coords") else edges.nonzero())
    edges = np.asarray(edges.detach().cpu() if hasattr(edges, "detach") else edges)
    if edges.size == 0:
        return np.empty((2, 0), dtype=np.int64), []
    if edges.ndim == 2 and edges.shape[0] != 2 and edges.shape[1] == 2:
        edges = edges.T
    if edges.ndim != 2 or edges.shape[0] != 2 or edges.dtype.kind not in "iu":
        raise DataError(f"{source}: expected edges as whole numbers (2, E); got {edges.dtype} {tuple(edges.shape)}.")
    odd = ((edges < 0) | (edges >= num_nodes)).any(0)
    if odd.any():
        at = int(np.flatnonzero(odd)[0])
        raise DataError(
            f"{source}: edge {at} joins the nodes {edges[0, at]} and {edges[1, at]}, but there are "
            f"{num_nodes:,} nodes, numbered from 0. {int(odd.sum()):,} edges in all name a node that isn't there."
        )
    first, second = edges.astype(np.int64)
    loops = int((first == second).sum())
    first, second = first[first != second], second[first != second]
    keys = np.unique(np.concatenate([first * num_nodes + second, second * num_nodes + first]))
    said = "1 edge from a node to itself is" if loops == 1 else f"{loops:,} edges from nodes to themselves are"
    notes = [f"{said} left out."] if loops else []
    return np.stack([keys // num_nodes, keys % num_nodes]), notes


def read(
    source: Any,
    label: Any = None,
    *,
    edges: Any = None,
    nodes: Any = None,
    knn: int | None = None,
    id: str | None = None,
    features: str | Sequence[str] | None = None,
    text: str | Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    classes: Sequence[Any] | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    **unknown: Any,
) -> GraphData:
    """Read a graph.

    Parameters
    ----------
    source : one of

        - an ``.npz`` file: features ``x`` (N, D), or its CSR parts ``x_data``, ``x_indices``, ``x_indptr``,
          ``x_shape``; edges ``edge_index`` (2, E), or the adjacency's CSR parts ``adj_...``; labels (N,), -1
          where there is none; sets as ``train_index`` or ``train_mask``, and so on
        - a folder with ``edges.csv`` (columns source, target) and ``nodes.csv`` (id, features, label; a column "split"
          may hold train, val, test); also .tsv, .txt, .parquet, .jsonl; or with ``NAME.content`` and ``NAME.cites``
        - one of these two files: the other is looked for beside it, or named by ``nodes=`` or ``edges=``
        - a table or array of rows without edges: each is linked with its nearest rows, see ``knn``
        - a networkx graph, a ``torch_geometric.data.Data``, a DataFrame or array of nodes
    label : the labels' column or array, or the labels themselves (N,); False for none
    edges : (2, E) node numbers, a scipy.sparse adjacency, a table or file of edges
    nodes : the table of nodes, where ``source`` is the edges
    knn : link each row with so many nearest ones; 10 where there are no edges at all
    id : the column of the nodes' names, by which edges name them
    features, text, kinds, separator, encoding, header : of the table of nodes, as for ``errata.read``
    classes : the class names in the order of their codes

    Raises
    ------
    DataError
        where it can't be used; the message says where and what to do
    UnknownNameError
        where a column, an array or an option that is named does not exist

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"id": ["x", "y", "z"], "size": [1.0, 2.0, 3.0], "label": ["a", "b", "a"]})
    >>> data = read(table, edges=pd.DataFrame({"source": ["x", "y"], "target": ["y", "z"]}))
    >>> data.neighbours(1)
    array([0, 2])
    """
    from errata.data import graph_files, graph_objects, graph_tables

    if unknown:
        own = ("edges", "nodes", "knn", "id", "features", "text", "kinds", "classes", "separator", "encoding", "header")
        raise UnknownNameError("option of reading a graph", next(iter(unknown)), own)
    if knn is not None and (isinstance(knn, bool) or int(knn) != knn or knn < 1):
        raise ParameterError(f"knn must be a whole number of neighbours, 1 or more; got {knn!r}.")
    if isinstance(source, GraphData):
        same = label is None or label is False or label == source.label_name
        return source if same else source.select_label(label)
    table = {"features": features, "text": text, "kinds": kinds, "separator": separator, "encoding": encoding}
    told: dict[str, Any] = {name: value for name, value in table.items() if value is not None}
    told |= {} if header else {"header": False}
    how = graph_tables.How(label, edges, nodes, knn, id, None if classes is None else list(classes), told)
    if isinstance(source, (str, os.PathLike)):
        data = graph_files.read_path(Path(source).expanduser(), how)
    else:
        data = graph_objects.read_object(source, how)
    plain = {"edges": edges, "nodes": nodes, "knn": knn, "id": id}
    named = {
        k: str(v) if isinstance(v, os.PathLike) else v
        for k, v in plain.items()
        if isinstance(v, (str, int, os.PathLike))
    }
    data.reading = {**told, **named}
    return data
