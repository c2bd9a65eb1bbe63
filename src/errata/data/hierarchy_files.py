"""Hierarchies of labels from files: edges, paths, columns of levels, JSON, GraphML.

A file may hold edges (parent, child), paths ("animal.bird.owl", or a column per level), nested JSON, a node-link graph
or GraphML; ``read_hierarchy`` finds out which.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from errata._lazy import optional
from errata.data.hierarchy import ROOT, SEPARATORS, Hierarchy, few
from errata.errors import DataError

__all__ = ["read_hierarchy"]

_EDGES = {("parent", "child"), ("source", "target"), ("from", "to"), ("hypernym", "hyponym"), ("head", "tail")}
_UP = {(below, above) for above, below in _EDGES}


def read_hierarchy(source: Any, *, root: str | None = None) -> Hierarchy:
    """A hierarchy from a file, a networkx graph, a mapping, or a list of (parent, child) pairs or of paths.

    Parameters
    ----------
    source : .csv, .tsv, .txt, .json or .graphml (also .gz): two columns of parent and child (a header "child, parent"
        turns them), one column of paths ("per.loc.birthplace"), or a column per level; JSON nested by name, a list, or
        networkx's node-link form
    root : of a graph without directions

    Raises
    ------
    DataError
        where there is no such file, it can't be read, or holds no tree

    Examples
    --------
    >>> len(read_hierarchy({"animal": ["cat", "dog"], "vehicle": {"car": {}}}))
    6
    """
    if isinstance(source, Hierarchy):
        return source
    if hasattr(source, "number_of_nodes"):
        return Hierarchy.from_graph(source, root)
    if not isinstance(source, (str, os.PathLike)):
        return _from_json(source, "the hierarchy", root)
    path = Path(source).expanduser()
    if not path.is_file():
        raise DataError(f"There is no file {path}; expected a hierarchy: .csv, .tsv, .txt, .json or .graphml (or .gz).")
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    text = _text(path)
    try:
        if ending == ".json":
            return _from_json(json.loads(text), str(path), root)
        if ending == ".graphml":
            return _from_graphml(text, path, root)
        if ending in (".csv", ".tsv", ".txt", ".edges"):
            return _from_table(text, path, "\t" if ending == ".tsv" else None)
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise DataError(f"{path}: {error}") from error
        raise DataError(f"{path} can't be read as a hierarchy: {error}. See docs/tutorials/budget.md.") from error
    raise DataError(f"{path}: expected a hierarchy named .csv, .tsv, .txt, .json or .graphml (also .gz).")


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read: {error}. Expected text in UTF-8.") from error


def _from_table(text: str, path: Path, separator: str | None) -> Hierarchy:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise DataError("the file is empty; expected parent and child, or a path, in each line.")
    mark = separator or next((m for m in (",", "\t", ";") if all(m in line for line in lines)), ",")
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=mark)]
    width = max(map(len, rows))
    if width == 1:
        return _from_path_list([row[0] for row in rows])
    if width == 2:
        short = next((i for i, row in enumerate(rows) if len(row) != 2 or not all(row)), None)
        if short is not None:
            raise DataError(f"line {short + 1} must have a parent and a child; it has {rows[short]}.")
        head = (rows[0][0].lower(), rows[0][1].lower())
        if head in _UP:
            return Hierarchy.from_edges((parent, child) for child, parent in rows[1:])
        return Hierarchy.from_edges(rows[1:] if head in _EDGES else rows)
    return Hierarchy.from_paths([[cell for cell in row if cell] for row in rows[1:]], None)


def _from_path_list(paths: Sequence[str]) -> Hierarchy:
    counts = {mark: sum(mark in path for path in paths) for mark in SEPARATORS}
    best = max(counts, key=lambda mark: counts[mark])
    if not counts[best]:
        raise DataError(f"the paths ({few(paths)}) have no separator; expected such as 'animal.cat' or two columns.")
    return Hierarchy.from_paths(paths, best)


def _from_json(told: Any, name: str, root: str | None) -> Hierarchy:
    nx = optional("networkx", "budget", "Reading a hierarchy of labels")
    if isinstance(told, Mapping) and "nodes" in told and ("links" in told or "edges" in told):
        links = told.get("edges", told.get("links"))
        graph = nx.DiGraph() if told.get("directed", True) else nx.Graph()
        graph.add_nodes_from(node["id"] for node in told["nodes"])
        graph.add_edges_from((link["source"], link["target"]) for link in links)
        return Hierarchy.from_graph(graph, root)
    if isinstance(told, Mapping):
        return Hierarchy.from_edges(_nested(told))
    if isinstance(told, Iterable) and not isinstance(told, str):
        items = list(told)
        if items and all(isinstance(item, str) for item in items):
            return _from_path_list(items)
        if items and all(isinstance(item, Sequence) and len(item) == 2 for item in items):
            return Hierarchy.from_edges(items)
    raise DataError(f"{name} is no hierarchy; expected names within names, pairs of parent and child, or paths.")


def _nested(told: Mapping[Any, Any]) -> list[tuple[str, str]]:
    edges: list[tuple[str, str]] = []
    waiting: list[tuple[str, Any]] = [(ROOT, told)]
    while waiting:
        above, below = waiting.pop()
        children = below.items() if isinstance(below, Mapping) else ((c, None) for c in below or ())
        for child, further in children:
            if isinstance(child, Mapping):
                waiting.append((above, child))
                continue
            edges.append((above, str(child)))
            if further:
                waiting.append((str(child), [further] if isinstance(further, str) else further))
    return edges


def _from_graphml(text: str, path: Path, root: str | None) -> Hierarchy:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError("GraphML with a document type (<!DOCTYPE ...>) is not read; save it without one.")
    nx = optional("networkx", "budget", "Reading GraphML")
    try:
        graph = nx.parse_graphml(text)
    except Exception as error:  # networkx and the XML parser raise errors of their own
        raise DataError(f"it is not GraphML that networkx can read ({error}).") from error
    named = {node: str(told.get("name", told.get("label", node))) for node, told in graph.nodes(data=True)}
    if len(set(named.values())) == len(named):
        graph = nx.relabel_nodes(graph, named)
    return Hierarchy.from_graph(graph, root)
