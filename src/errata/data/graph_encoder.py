"""From a graph's nodes to the features that a network takes; and edges to the nearest rows, where there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from errata.data.graphs import GraphData, undirected
from errata.errors import DataError, LoadError

__all__ = ["NodeEncoder", "nearest_edges"]

WORDS = 2048  # places that the words of texts are counted in
NEAREST_AT_A_TIME = 4096


class NodeEncoder:
    """Features of nodes as float32: rows that sum to 1 where no number is negative, else each column standardised.

    Bags of words come in the first form, embeddings and measurements in the second. Tables are encoded column by
    column, texts by counting their words.

    Examples
    --------
    >>> from errata.data.graphs import read
    >>> data = read(np.array([[1, 3], [0, 2]]), edges=[[0], [1]])
    >>> NodeEncoder().fit(data).encode(data)
    tensor([[0.2500, 0.7500],
            [0.0000, 1.0000]])
    """

    def __init__(self) -> None:
        self.how = ""
        self.input_shape: tuple[int, ...] = ()
        self.mean = self.std = np.empty(0)
        self.table: Any = None

    def fit(self, data: GraphData) -> NodeEncoder:
        """Learn what encoding needs; labels are not looked at."""
        from errata.data import encoder_for

        if data.nodes is not None and data.nodes.kind == "text":
            self.how, self.input_shape = "text", (WORDS,)
        elif data.nodes is not None:
            self.how = "table"
            self.table = encoder_for(data.nodes).fit(data.nodes)
            self.input_shape = tuple(self.table.input_shape)
        else:
            x = data.x
            self.input_shape = (x.shape[1],)
            self.how = "sum" if x.min() >= 0 else "standard"
            if self.how == "standard":
                dense = np.asarray(x.toarray() if hasattr(x, "toarray") else x, dtype=np.float64)
                self.mean, deviation = dense.mean(0), dense.std(0)
                self.std = np.where(deviation > 1e-12 * np.maximum(np.abs(self.mean), 1e-300), deviation, 1.0)
        return self

    def encode(self, data: GraphData) -> torch.Tensor:
        """(N, D) float32.

        Raises
        ------
        DataError
            where the nodes have other features than those that the encoding was learned from
        """
        if (self.how in ("sum", "standard")) != (data.nodes is None):
            raise DataError(f"{data.source}: the nodes' features come in another form than in training.")
        if self.how == "text":
            if data.nodes.kind != "text":  # type: ignore[union-attr]
                raise DataError(f"{data.source}: the nodes have no text, as those in training had.")
            return _counted(data.nodes.texts())  # type: ignore[union-attr]
        if self.how == "table":
            return self.table.encode(data.nodes)
        x = data.x
        if x.shape[1:] != self.input_shape:
            raise DataError(
                f"{data.source} has {x.shape[1]} features a node; expected {self.input_shape[0]}, as trained."
            )
        x = np.asarray(x.toarray() if hasattr(x, "toarray") else x, dtype=np.float32)
        if self.how == "standard":
            return torch.from_numpy(((x - self.mean) / self.std).astype(np.float32))
        total = x.sum(1, keepdims=True)
        return torch.from_numpy(x / np.where(total > 0, total, 1.0))

    def reading(self) -> dict[str, Any]:
        """The options with which further graphs are read in the same way."""
        return {} if self.table is None else self.table.reading()

    def spec(self) -> dict[str, Any]:
        """Everything needed to make it again, in plain JSON types."""
        return {
            "name": "nodes",
            "how": self.how,
            "width": list(self.input_shape),
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "table": None if self.table is None else self.table.spec(),
        }

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> NodeEncoder:
        """Make it again from its ``spec``."""
        from errata.data import encoder_from_spec

        try:
            made = cls()
            made.how, made.input_shape = spec["how"], tuple(spec["width"])
            made.mean, made.std = np.array(spec["mean"]), np.array(spec["std"])
            made.table = None if spec["table"] is None else encoder_from_spec(spec["table"])
        except (KeyError, TypeError) as error:
            raise LoadError(f"The encoding of the nodes is damaged: it lacks {error}. Train again.") from error
        return made


def _counted(texts: list[str]) -> torch.Tensor:
    from sklearn.feature_extraction.text import HashingVectorizer

    counter = HashingVectorizer(n_features=WORDS, alternate_sign=False, norm="l1", stop_words="english")
    return torch.from_numpy(counter.transform(texts).toarray().astype(np.float32))


def nearest_edges(data: GraphData, k: int) -> np.ndarray:
    """Edges from each node to the ``k`` others whose features are nearest, in both directions: (2, E).

    Examples
    --------
    >>> from errata.data.graphs import read
    >>> nearest_edges(read(np.array([[0.0], [-1.0], [9.0], [8.0]]), edges=[[0], [1]]), 1)
    array([[0, 1, 2, 3],
           [1, 0, 3, 2]])
    """
    from sklearn.neighbors import NearestNeighbors

    if len(data) < 2:
        raise DataError(f"{data.source} has {len(data)} node; expected two or more to be linked.")
    x = NodeEncoder().fit(data).encode(data).numpy()
    found = NearestNeighbors(n_neighbors=k).fit(x)
    pairs = []
    for start in range(0, len(x), NEAREST_AT_A_TIME):
        part = np.arange(start, min(start + NEAREST_AT_A_TIME, len(x)))
        # one more than asked, as a row is its own nearest; or not the first of several equal ones
        near = found.kneighbors(x[part], min(k + 1, len(x)), return_distance=False)
        own = near == part[:, None]
        own[~own.any(1), -1] = True
        pairs.append(np.stack([np.repeat(part, near.shape[1] - 1), near[~own]]))
    return undirected(np.concatenate(pairs, axis=1), len(x), data.source)[0]
