"""Graphs in files: which reader takes a file or folder; and the plain text of LINQS, NAME.content with NAME.cites."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from errata.data.arrays import check_finite
from errata.data.graph_arrays import WAY_OUT, encode_labels, read_graph_npz
from errata.data.graph_tables import LISTS, TABLES, How, edge_list, ends_of, from_tables, keys_of, names_in
from errata.data.graphs import GraphData, undirected
from errata.data.told import reason
from errata.errors import DataError

__all__ = ["read_path"]

PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".gpickle")


def read_path(path: Path, how: How) -> GraphData:
    """The graph of a file or folder."""
    if not path.exists():
        raise DataError(
            f"There is no file or folder {path}. Look at its spelling; graphs: .npz, a folder of two tables."
        )
    if path.is_dir():
        return _folder(path, how)
    ending = path.suffix.lower()
    if ending in PICKLES or path.name.startswith("ind."):
        raise DataError(f"{path} is a pickled file. {WAY_OUT}")
    if ending == ".npz":
        return read_graph_npz(path, how)
    if ending in (".content", ".cites"):
        return _linqs(path.with_suffix(".content"), path.with_suffix(".cites"), how)
    if ending in LISTS or (ending in TABLES and ends_of(names_in(path, how)) is not None):
        nodes = how.nodes if how.nodes is not None else _beside(path, "nodes")
        if nodes is None:
            raise DataError(
                f"{path} says which nodes are linked, but nothing of the nodes. Put their table (id, features, label) "
                "beside it as nodes.csv, or name it: nodes=FILE (--set nodes=FILE on the command line)."
            )
        return from_tables(nodes, path if how.edges is None else how.edges, how, str(path))
    if ending in TABLES or path.name.endswith(".gz"):
        edges = how.edges if how.edges is not None or how.knn is not None else _beside(path, "edges")
        return from_tables(path, edges, how, str(path))
    raise DataError(
        f"{path} is of a kind that is not known by its name ('{ending or 'no ending'}'); expected a graph: "
        ".npz, a folder with edges.csv and nodes.csv, one of these two files, or NAME.content with NAME.cites."
    )


def _folder(path: Path, how: How) -> GraphData:
    names = sorted(entry.name for entry in path.iterdir())
    contents = [name for name in names if name.endswith(".content")]
    if contents:
        return _linqs(path / contents[0], (path / contents[0]).with_suffix(".cites"), how, str(path))
    edges, nodes = _inside(path, "edges"), _inside(path, "nodes")
    if edges is not None and nodes is not None:
        return from_tables(nodes, edges, how, str(path))
    if nodes is not None and (how.knn is not None or how.edges is not None):
        return from_tables(nodes, how.edges, how, str(path))
    if any(name.startswith("ind.") for name in names):
        raise DataError(f"{path} holds Planetoid's ind.* files, which are pickled. {WAY_OUT}")
    missing = "edges.csv (columns source, target)" if edges is None else "nodes.csv (id, features, label)"
    raise DataError(
        f"{path} is not read as a graph: there is no {missing} in it. Expected edges and nodes as .csv, .tsv, .txt, "
        f".parquet or .jsonl, or NAME.content with NAME.cites; found: {', '.join(names[:8]) or 'nothing'}."
    )


def _inside(folder: Path, stem: str) -> Path | None:
    return next((folder / f"{stem}{e}" for e in (*TABLES, *LISTS) if (folder / f"{stem}{e}").is_file()), None)


def _beside(path: Path, stem: str) -> Path | None:
    found = _inside(path.parent, stem)
    return None if found == path else found


# -- NAME.content and NAME.cites --------------------------------------------------------------------------------------


def _linqs(content: Path, cites: Path, how: How, source: str | None = None) -> GraphData:
    """Plain text as the LINQS group gives Cora and CiteSeer: "id 0 1 0 ... class", and "cited citing"."""
    import pandas as pd

    for path in (content, cites):
        if not path.is_file():
            raise DataError(f"There is no file {path}; a graph in this form is two: {content.name} and {cites.name}.")
    try:
        table = pd.read_csv(content, sep=r"\s+", header=None, dtype={0: str}, low_memory=False)
        features = table.iloc[:, 1:-1].to_numpy(dtype=np.float32)
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{content}: expected a node a line, 'id numbers class'; {reason(error)}.") from error
    ids = table[0].to_numpy(dtype=object)
    first, second = edge_list(cites)
    index = pd.Index(ids)
    found = np.stack([index.get_indexer(keys_of(end)) for end in (first, second)])
    known = (found >= 0).all(0)
    dropped = int((~known).sum())
    labels = None if how.label is False else encode_labels(table.iloc[:, -1].to_numpy(), how.classes, "class")
    edges, notes = undirected(found[:, known], len(ids), str(cites))
    if dropped:
        notes.append(f"{dropped:,} citations name papers that {content.name} does not hold; they are left out.")
    check_finite(features, str(content))
    return GraphData(
        edges=edges, features=features, labels=labels, label_name="class", ids=ids, source=source or str(content),
        format="LINQS text", notes=notes,
    )  # fmt: skip
