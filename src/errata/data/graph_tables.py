"""Graphs as tables: one of nodes, one of edges; or nodes alone, which are linked by likeness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from errata.data.content import Content
from errata.data.data import Data
from errata.data.graphs import SETS, GraphData, undirected
from errata.data.plain import column_values, read_plain
from errata.data.told import reason
from errata.errors import DataError, UnknownNameError

__all__ = ["LISTS", "TABLES", "How", "edge_list", "ends_of", "from_tables", "keys_of", "link", "names_in"]

TABLES = (".csv", ".tsv", ".tab", ".parquet", ".pq", ".jsonl", ".ndjson")
LISTS = (".txt", ".edges", ".edgelist")
ENDS = (
    ("source", "target"), ("src", "dst"), ("from", "to"), ("u", "v"), ("head", "tail"), ("node1", "node2"),
    ("citing", "cited"),
)  # fmt: skip
"""The columns of an edge list, by their names."""
IDS = ("id", "node", "node_id", "nodeid", "name", "paper_id")
SPLITS = ("split", "set", "subset")
SET_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val"}
SET_WORDS |= {"test": "test", "testing": "test"}
DEFAULT_KNN = 10


@dataclass(frozen=True)
class How:
    """What the user said of a graph's reading; see ``errata.data.graphs.read``."""

    label: Any = None
    edges: Any = None
    nodes: Any = None
    knn: int | None = None
    id: str | None = None
    classes: list[Any] | None = None
    table: Mapping[str, Any] = field(default_factory=dict)


def from_tables(nodes: Any, edges: Any, how: How, source: str) -> GraphData:
    """A table of nodes, with edges from a table, a file or an array; or else linked by likeness.

    Parameters
    ----------
    nodes : what ``errata.data.read`` takes as a table
    edges : a file or table of two columns, node numbers (2, E), an adjacency; None for the nearest rows
    """
    from errata.data import read

    kinds = dict(how.table.get("kinds") or {})
    names = _columns_of(nodes, how)
    name_column = _choose(names, how.id, IDS, "the nodes' names")
    split_column = _choose(names, None, SPLITS, "the sets")
    for column in (name_column, split_column):
        if column is not None and column not in kinds:
            kinds[column] = "ignored"
    options = {**how.table, "kinds": kinds, "classes": how.classes, "labels_only": True}
    data = read(nodes, how.label, **options)
    if not data.features:
        raise DataError(f"{source}: the nodes have no features to learn from, only names and labels; add columns.")
    ids = None if name_column is None else column_values(_content(data), name_column)
    sets = {} if split_column is None else _sets_of(column_values(_content(data), split_column), split_column, source)
    graph = GraphData(
        edges=np.empty((2, 0), dtype=np.int64),
        table=data,
        labels=data.labels,
        label_name=data.label_name,
        sets=sets,
        ids=ids,
        source=source,
        format=f"nodes: {data.format}",
        path=data.source if Path(data.source).exists() else None,
        notes=data.notes,
        aside=[column for column in (name_column, split_column) if column is not None],
        relabel=lambda label: from_tables(nodes, edges, replace(how, label=label), source),
    )
    return link(graph, edges, how)


def link(graph: GraphData, edges: Any, how: How) -> GraphData:
    """Give a graph its edges: those told, or the nearest rows."""
    if edges is None or how.knn is not None:
        from errata.data.graph_encoder import nearest_edges

        k = min(how.knn or DEFAULT_KNN, len(graph) - 1)
        graph.edges = nearest_edges(graph, k)
        graph.notes.append(f"There are no edges: each node is linked with the {k} most like it (knn={k}).")
        return graph
    if not (hasattr(edges, "tocoo") or isinstance(edges, np.ndarray) or hasattr(edges, "detach")):
        edges, notes = _edge_numbers(edges, graph, how)
        graph.notes += notes
    graph.edges, notes = undirected(edges, len(graph), graph.source)
    graph.notes += notes
    if graph.edges.shape[1] == 0:
        raise DataError(
            f"{graph.source} has no edges between different nodes; knn=10 links each node with those like it."
        )
    return graph


def _columns_of(nodes: Any, how: How) -> list[str]:
    if isinstance(nodes, (str, Path)):
        path = Path(nodes)
        if not path.is_file():
            raise DataError(f"There is no file {path}, which was to hold the nodes.")
        return names_in(path, how)
    return [str(name) for name in getattr(nodes, "columns", [])]


def _choose(names: Sequence[str], told: str | None, likely: Sequence[str], what: str) -> str | None:
    if told is not None:
        if told not in names:
            raise UnknownNameError("column", told, names, f"It was to hold {what}.")
        return told
    return next((name for name in names if name.strip().lower() in likely), None)


def _content(data: Data) -> Content:
    return Content(data.table, data.source, data.format)


def _sets_of(values: np.ndarray, name: str, source: str) -> dict[str, np.ndarray]:
    words = np.array(["" if v is None else str(v).strip().lower() for v in values], dtype=object)
    odd = sorted({w for w in words if w and w not in SET_WORDS})
    if odd:
        raise DataError(f"{source}: the column '{name}' holds '{odd[0]}'; expected train, val, test, or nothing.")
    sets = np.array([SET_WORDS.get(w, "") for w in words], dtype=object)
    return {one: sets == one for one in SETS if (sets == one).any()}


def _edge_numbers(edges: Any, graph: GraphData, how: How) -> tuple[np.ndarray, list[str]]:
    """Edges that name their nodes, as numbers."""
    if isinstance(edges, (list, tuple)) and not isinstance(edges, str):
        return np.asarray(edges), []
    ends, where, notes = _edge_columns(edges)
    if graph.ids is None:
        try:
            return np.stack([np.asarray(end, dtype=np.int64) for end in ends]), notes
        except (TypeError, ValueError):
            raise DataError(
                f"{where} names nodes by words, such as {ends[0][0]!r}, but the nodes' table has no column of names; "
                f"expected one called {', '.join(IDS[:3])}, or id=COLUMN."
            ) from None
    import pandas as pd

    index = pd.Index(keys_of(graph.ids))
    if not index.is_unique:
        twice: Any = index[index.duplicated()].tolist()[0]
        raise DataError(f"{graph.source}: the node '{twice}' stands in the table of nodes more than once.")
    found = np.stack([index.get_indexer(keys_of(end)) for end in ends])
    if (found < 0).any():
        side, at = (int(i) for i in np.argwhere(found < 0)[0])
        raise DataError(
            f"{where}, row {at}: there is no node '{ends[side][at]}' in the table of nodes. "
            f"{int((found < 0).any(0).sum()):,} edges in all name such a node; correct or remove them."
        )
    return found, notes


def _edge_columns(edges: Any) -> tuple[list[np.ndarray], str, list[str]]:
    if isinstance(edges, (str, Path)) and Path(edges).suffix.lower() in (*LISTS, ".cites"):
        return edge_list(Path(edges)), str(edges), []
    content = read_plain(edges)
    names = list(content.table.column_names)
    ends = ends_of(names)
    if ends is None and len(names) < 2:
        raise DataError(f"{content.source} has one column; expected edges as two: source, target.")
    first, second = ends if ends is not None else (names[0], names[1])
    notes = [f"Edges: columns '{first}' and '{second}' of {content.source}."]
    rest = [name for name in names if name not in (first, second)]
    if rest:
        notes.append(f"Not used of the edges: {', '.join(repr(name) for name in rest[:6])}.")
    columns = [column_values(content, name) for name in (first, second)]
    for name, values in zip((first, second), columns):
        missing = np.array([v is None or v == "" or v != v for v in values]) if values.dtype == object else ()
        if np.any(missing):
            at = int(np.flatnonzero(missing)[0])
            raise DataError(
                f"{content.source}: row {at} has nothing in '{name}'; expected a node at each end of an edge."
            )
    return columns, content.source, notes


def edge_list(path: Path) -> list[np.ndarray]:
    """Two words a line, whatever separates them; lines that begin with # are comments."""
    import pandas as pd

    try:
        table: pd.DataFrame = pd.read_csv(
            path, sep=r"[\s,;]+", comment="#", header=None, dtype=str, engine="python", keep_default_na=False
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read as a list of edges, two nodes a line: {reason(error)}.") from error
    if table.shape[1] < 2:
        only = str(table.iat[0, 0])
        raise DataError(f"{path}: expected two nodes a line; the first line holds '{only}' only.")
    if {str(v).lower() for v in table.iloc[0, :2]} in [set(pair) for pair in ENDS]:
        table = table.iloc[1:]
    return [table[i].to_numpy(dtype=object) for i in (0, 1)]


def keys_of(values: np.ndarray) -> np.ndarray:
    """Names as text: 3, 3.0 and "3" are one node."""
    if values.dtype.kind == "f" and bool((values == np.floor(values)).all()):
        values = values.astype(np.int64)
    return np.array([str(v).strip() for v in values.tolist()], dtype=object)


def names_in(path: Path, how: How) -> list[str]:
    if path.suffix.lower() in (".csv", ".tsv", ".tab"):
        from errata.data.delimited import sniff

        told = {k: v for k, v in how.table.items() if k in ("separator", "encoding", "header")}
        return list(sniff(path, **told).names)
    return list(read_plain(path).table.column_names)


def ends_of(names: Sequence[str]) -> tuple[str, str] | None:
    """The columns that hold an edge's two ends, where these are named so."""
    lower = {name.strip().lower(): name for name in names}
    return next(((lower[a], lower[b]) for a, b in ENDS if a in lower and b in lower), None)
