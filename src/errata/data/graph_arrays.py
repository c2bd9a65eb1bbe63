"""Graphs as arrays in an .npz file, and labels where negative numbers stand for none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from errata.data.arrays import check_finite
from errata.data.content import LABEL_NAMES
from errata.data.graph_tables import How, link
from errata.data.graphs import SETS, GraphData
from errata.data.told import reason
from errata.errors import DataError, UnknownNameError
from errata.labels import MISSING, ClassLabels

__all__ = ["WAY_OUT", "encode_labels", "read_graph_npz"]

WAY_OUT = (
    "Unpickling can run any program, so errata does not do it. Take the same graph as plain text (the LINQS files "
    "NAME.content and NAME.cites), or convert it once, where you trust it: load it with "
    "torch_geometric.datasets.Planetoid and save it with numpy.savez('graph.npz', x=data.x, "
    "edge_index=data.edge_index, y=data.y, train_mask=data.train_mask, val_mask=data.val_mask, "
    "test_mask=data.test_mask)."
)


def read_graph_npz(path: Path, how: How) -> GraphData:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged file raises what it likes
        if "pickle" in str(error).lower() or "Python objects" in str(error):
            raise DataError(f"{path} holds Python objects, which would have to be unpickled. {WAY_OUT}") from error
        raise DataError(f"{path} is damaged, or no NumPy file: {reason(error)}. Save the arrays again.") from error
    features = _matrix(path, arrays, ("x", "attr", "features", "feat", "X"))
    if features is None:
        shown = ", ".join(f"{name} {a.shape}" for name, a in arrays.items())
        raise DataError(
            f"{path} has no features of the nodes, called x (N, D) or x_data, x_indices ...; it holds: {shown}."
        )
    check_finite(features if isinstance(features, np.ndarray) else features.data[:, None], f"{path}, features")
    edges = how.edges if how.edges is not None else arrays.get("edge_index", arrays.get("edges"))
    if edges is None:
        edges = _matrix(path, arrays, ("adj", "adjacency"))
    graph = _labelled(path, arrays, features, how.label, how)
    return link(graph, edges, how)


def _labelled(path: Path, arrays: dict[str, np.ndarray], features: Any, label: Any, how: How) -> GraphData:
    n = features.shape[0]
    name, labels = _npz_labels(path, arrays, n, label, how)
    return GraphData(
        edges=np.empty((2, 0), dtype=np.int64),
        features=features,
        labels=labels,
        label_name=name,
        sets=_npz_sets(path, arrays, n),
        source=str(path),
        format="NumPy archive",
        relabel=partial(_relabelled, path, how),
    )


def _relabelled(path: Path, how: How, label: Any) -> GraphData:
    return read_graph_npz(path, replace(how, label=label))


def _matrix(path: Path, arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> Any:
    """A matrix called by one of these names, dense or as CSR parts; None where there is none."""
    from scipy.sparse import csr_matrix

    for name in names:
        if name in arrays:
            if arrays[name].ndim != 2 or arrays[name].dtype.kind not in "biuf":
                raise DataError(
                    f"{path}: '{name}' is {arrays[name].dtype} {arrays[name].shape}; expected numbers (N, D)."
                )
            return arrays[name]
        if f"{name}_indptr" in arrays:
            try:
                parts = [arrays[f"{name}_{part}"] for part in ("indices", "indptr", "shape")]
                data = arrays.get(f"{name}_data", np.ones(len(parts[0]), dtype=np.float32))
                found = csr_matrix((data, parts[0], parts[1]), shape=tuple(parts[2]))
                found.check_format(full_check=True)
                return found
            except (KeyError, ValueError) as error:
                raise DataError(
                    f"{path}: the parts of the sparse matrix '{name}' don't fit: {reason(error)}."
                ) from error
    return None


def _npz_labels(
    path: Path, arrays: Mapping[str, np.ndarray], n: int, label: Any, how: How
) -> tuple[str | None, ClassLabels | None]:
    if label is False:
        return None, None
    if label is not None and not isinstance(label, str):
        return "label", encode_labels(label, how.classes, "label")
    one = {name: a for name, a in arrays.items() if a.ndim == 1 and len(a) == n and not name.endswith("_mask")}
    if label is None:
        likely = [name for name in one if name.lower() in LABEL_NAMES]
        if len(likely) != 1:
            raise DataError(
                f"Which array of {path} holds the nodes' labels? None was named, and "
                f"{'several are' if likely else 'none is'} called like one. "
                f"Of the right length are: {', '.join(one) or 'none'}. Name one with label=."
            )
        label = likely[0]
    if label not in arrays:
        raise UnknownNameError("array", label, one, f"It was to be the labels of {path}.")
    if label not in one:
        raise DataError(f"{path}: '{label}' has shape {arrays[label].shape}; expected a label for each of {n:,} nodes.")
    return label, encode_labels(arrays[label], how.classes or _class_names(arrays), label)


def _class_names(arrays: Mapping[str, np.ndarray]) -> list[str] | None:
    names = arrays.get("class_names", arrays.get("classes"))
    return None if names is None or names.dtype.kind != "U" else names.tolist()


def encode_labels(values: Any, classes: list[Any] | None, name: str) -> ClassLabels:
    """Labels as codes, negative numbers being none; with class names, numbers are places in them.

    Examples
    --------
    >>> encode_labels(np.array([2, -1, 0]), None, "y").codes
    array([ 1, -1,  0])
    """
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        return ClassLabels.encode(values, classes=classes, name=name)
    if classes is not None and all(isinstance(c, str) for c in classes) and len(array) and array.max() < len(classes):
        return ClassLabels(np.where(array < 0, MISSING, array).astype(np.int64), list(classes))
    known = array >= 0
    found = ClassLabels.encode(array[known], classes=classes, name=name) if known.any() else None
    if found is None:
        raise DataError(f"'{name}' holds no label at all: {len(array)} nodes, every one missing.")
    codes = np.full(len(array), MISSING, dtype=np.int64)
    codes[known] = found.codes
    return ClassLabels(codes, found.classes)


def _npz_sets(path: Path, arrays: Mapping[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    sets: dict[str, np.ndarray] = {}
    for name in SETS:
        for key in (f"{name}_mask", f"{name}_index", f"{name}_idx"):
            if key not in arrays:
                continue
            array = arrays[key]
            if key.endswith("_mask"):
                if array.shape != (n,):
                    raise DataError(f"{path}: '{key}' has shape {array.shape}; expected ({n},).")
                sets[name] = array.astype(bool)
                continue
            if array.ndim != 1 or (len(array) and (array.min() < 0 or array.max() >= n)):
                raise DataError(f"{path}: '{key}' must hold node numbers in [0, {n - 1}].")
            sets[name] = np.isin(np.arange(n), array)
    return sets
