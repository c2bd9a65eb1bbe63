"""Graphs that are Python objects already: networkx, PyTorch Geometric, tables and arrays with edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.data.arrays import check_finite
from errata.data.graph_arrays import encode_labels
from errata.data.graph_tables import How, from_tables, link
from errata.data.graphs import SETS, GraphData
from errata.errors import DataError, UnknownNameError
from errata.labels import ClassLabels

__all__ = ["read_object"]


def read_object(source: Any, how: How) -> GraphData:
    """The graph of a Python object; see ``errata.data.graphs.read``."""
    if hasattr(source, "edge_index"):
        return _pyg(source, how)
    if hasattr(source, "adj") and hasattr(source, "nodes") and hasattr(source, "edges"):
        return _networkx(source, how)
    if hasattr(source, "columns") and hasattr(source, "iloc"):
        label = how.label
        if label is not None and label is not False and not isinstance(label, str):
            graph = from_tables(source, how.edges, _without_label(how), "the table")
            graph.labels, graph.label_name = encode_labels(label, how.classes, "label"), "label"
            return graph
        return from_tables(source, how.edges, how, "the table")
    return _array(source, how)


def _without_label(how: How) -> How:
    from dataclasses import replace

    return replace(how, label=False)


def _array(source: Any, how: How) -> GraphData:
    features = source
    if hasattr(source, "detach"):
        features = source.detach().cpu().numpy()
    elif hasattr(source, "tocsr"):
        features = source.tocsr()
    elif not isinstance(source, np.ndarray):
        features = np.asarray(source)
    if features.ndim != 2 or features.dtype.kind not in "biuf" or not features.shape[0] or not features.shape[1]:
        raise DataError(
            f"Expected a graph: a path, a networkx graph, a torch_geometric.data.Data, or features of the nodes (N, D) "
            f"with edges=; got {type(source).__name__} of shape {getattr(features, 'shape', '?')}."
        )
    if isinstance(how.label, str):
        raise DataError(f"An array has no columns, so none can be named '{how.label}'; pass the labels themselves.")
    check_finite(features if isinstance(features, np.ndarray) else features.data[:, None], "the features")
    named = how.label is not None and how.label is not False
    labels = encode_labels(how.label, how.classes, "label") if named else None
    graph = GraphData(
        edges=np.empty((2, 0), dtype=np.int64),
        features=features,
        labels=labels,
        label_name="label" if named else None,
        source="the array",
        format="array",
    )
    return link(graph, how.edges, how)


def _pyg(source: Any, how: How) -> GraphData:
    """``torch_geometric.data.Data``, or what has the same attributes."""
    if getattr(source, "x", None) is None:
        raise DataError("The graph has no features of its nodes, x (N, D); there is nothing to learn from.")
    features = np.asarray(source.x.detach().cpu().numpy() if hasattr(source.x, "detach") else source.x)
    check_finite(features, "x")
    label, name = how.label, "y"
    if isinstance(label, str):
        if getattr(source, label, None) is None:
            raise UnknownNameError("attribute", label, _keys_of(source), "It was to be the labels of the graph.")
        name, label = label, getattr(source, label)
    elif label is None:
        label = getattr(source, "y", None)
    labels = None if label is None or label is False else encode_labels(label, how.classes, name)
    masks = {one: getattr(source, f"{one}_mask", None) for one in SETS}
    sets = {
        one: np.asarray(m.detach().cpu() if hasattr(m, "detach") else m) for one, m in masks.items() if m is not None
    }
    for one, mask in sets.items():
        if mask.shape != (len(features),):
            raise DataError(f"{one}_mask has shape {mask.shape}; expected ({len(features)},): one of several splits.")
    graph = GraphData(
        edges=np.empty((2, 0), dtype=np.int64),
        features=features,
        labels=labels,
        label_name=name if labels is not None else None,
        sets=sets,
        source="the graph",
        format="PyTorch Geometric",
        relabel=lambda other: read_object(source, _relabelled(how, other)),
    )
    return link(graph, source.edge_index if how.edges is None else how.edges, how)


def _keys_of(source: Any) -> list[str]:
    keys = getattr(source, "keys", [])
    return [str(key) for key in (keys() if callable(keys) else keys)]


def _relabelled(how: How, label: Any) -> How:
    from dataclasses import replace

    return replace(how, label=label)


def _networkx(source: Any, how: How) -> GraphData:
    """A networkx graph: of each node "label", "split" where there is one, and its features, "x" or all numbers."""
    import pandas as pd

    names = list(source.nodes)
    if not names:
        raise DataError("The graph has no nodes.")
    place = {name: i for i, name in enumerate(names)}
    edges = np.array([(place[a], place[b]) for a, b in source.edges()], dtype=np.int64).reshape(-1, 2).T
    rows = [dict(source.nodes[name]) for name in names]
    vectors = [row.pop("x", None) for row in rows]
    ids = np.empty(len(names), dtype=object)
    ids[:] = [str(name) for name in names]
    if vectors[0] is None:
        table = pd.DataFrame(rows)
        if how.label is None and "label" not in table.columns:
            raise DataError(
                f"The graph's nodes have no attribute 'label'; they have: {', '.join(map(str, table.columns))}."
            )
        graph = from_tables(table, edges, how, "the graph")
        graph.ids, graph.format = ids, "networkx"
        return graph
    try:
        features = np.array([np.asarray(v, dtype=np.float32) for v in vectors])
    except (TypeError, ValueError) as error:
        raise DataError("The nodes' 'x' must be vectors of numbers, all of one length.") from error
    check_finite(features, "x")
    name = how.label if isinstance(how.label, str) else "label"
    values: Any = how.label if not (how.label is None or isinstance(how.label, (str, bool))) else None
    if values is None and how.label is not False:
        if not any(name in row for row in rows):
            raise UnknownNameError("attribute of the nodes", name, sorted({str(k) for row in rows for k in row}))
        values = [row.get(name) for row in rows]
    labels = None if how.label is False else _labels(values, how, name)
    graph = GraphData(
        edges=np.empty((2, 0), dtype=np.int64),
        features=features,
        labels=labels,
        label_name=None if labels is None else name,
        ids=ids,
        source="the graph",
        format="networkx",
        relabel=lambda other: read_object(source, _relabelled(how, other)),
    )
    return link(graph, edges if how.edges is None else how.edges, how)


def _labels(values: Any, how: How, name: str) -> ClassLabels:
    return ClassLabels.encode(values, classes=how.classes, name=name)
