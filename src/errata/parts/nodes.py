"""What systems over a graph's nodes share: a batch is the whole graph, and labels of -1 are unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from errata.errors import DataError, ParameterError
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.parts.batch import Batch
from errata.parts.precision import in_float32
from errata.parts.system import System

__all__ = ["Graph", "NodeSystem", "graph_batch"]


class Graph(NamedTuple):
    """What a network over a graph takes.

    Attributes
    ----------
    x : (N, D) float features of the nodes
    edge_index : (2, E) int64; an undirected edge in both directions
    """

    x: Tensor
    edge_index: Tensor


def graph_batch(x: Tensor, edge_index: Tensor, y: Tensor) -> Batch:
    """A whole graph as one batch: row numbers 0 to N-1, ``Graph(x, edge_index)``, labels (N,) with -1 where unknown.

    Examples
    --------
    >>> batch = graph_batch(torch.zeros(2, 3), torch.tensor([[0, 1], [1, 0]]), torch.tensor([1, -1]))
    >>> batch.index, batch.x.edge_index.shape
    (tensor([0, 1]), torch.Size([2, 2]))
    """
    return Batch(torch.arange(len(y), device=y.device), Graph(x, edge_index), y)


class NodeSystem(System):
    """A system trained on a whole graph at a time, one step an epoch.

    Batches are ``Batch(index, Graph(x, edge_index), y)`` over all nodes, y being -1 where no label is given; or
    ``torch_geometric.data.Data`` with x, edge_index, y and train_mask, val_mask, test_mask, as PyTorch Geometric's own
    DataLoader hands them on. Every node has a row in the ledger, labelled or not.
    """

    in_parts: ClassVar[bool] = False
    """Whether a batch may be for some nodes only: the first of its graph, as many as it has labels."""

    network: ClassVar[str] = "classifier"
    """What the model gives of each node: logits ("classifier") or a representation ("encoder")."""

    def setup(self, stage: str) -> None:
        """Refuse several processes: there is one batch, and nothing to divide."""
        if self._trainer is not None and self._trainer.world_size > 1:
            raise ParameterError(
                f"'{self.card.slug}' takes the whole graph at each step, so there is nothing to divide among "
                f"{self._trainer.world_size} processes; train with devices=1."
            )

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if hasattr(batch, "edge_index") and not isinstance(batch, (Batch, Graph)):
            batch = self._from_pyg(batch)
        return super().on_after_batch_transfer(batch, dataloader_idx)

    def _from_pyg(self, data: Any) -> Any:
        stage = str(self._trainer.state.stage.value) if self._trainer is not None and self._trainer.state.stage else ""
        mask = getattr(data, {"train": "train_mask", "validate": "val_mask", "test": "test_mask"}.get(stage, ""), None)
        if stage == "predict" or getattr(data, "y", None) is None:
            return Graph(data.x, data.edge_index)
        y = data.y if mask is None else torch.where(mask, data.y, MISSING)
        return graph_batch(data.x, data.edge_index, y)

    def check_labels(self, batch: Batch) -> Tensor:
        """(N,) bool: the nodes with a label; refuses labels outside of [-1, K), and whole graphs without any.

        Raises
        ------
        DataError
            with the first node that is wrong
        """
        y = batch.y
        odd = (y < MISSING) | (y >= self.num_classes)
        if bool(odd.any()):
            at = int(odd.nonzero()[0])
            raise DataError(
                f"Node {at} has the label {int(y[at])}; expected classes 0 to {self.num_classes - 1}, or -1 where a "
                "node has no label."
            )
        part = self.in_parts and len(y) < self.num_samples
        if len(y) != len(batch.x.x) and not (part and len(y) < len(batch.x.x)):
            raise DataError(f"There are {len(batch.x.x)} nodes and {len(y)} labels; expected one each, -1 for none.")
        known = y != MISSING
        if not part and not bool(known.any()):
            raise DataError("No node has a label; expected some, with -1 for the others.")
        return known

    def validation_step(self, batch: Batch) -> None:
        """Logs ``val_loss`` and ``val_accuracy`` against the labels that ``batch.y`` has, whatever their quality."""
        known = batch.y != MISSING
        logits, y = in_float32(self(batch.x))[: len(known)][known], batch.y[known]
        found = {
            "val_loss": nn.functional.cross_entropy(logits, y),
            "val_accuracy": (logits.argmax(1) == y).float().mean(),
        }
        self.log_dict(found, batch_size=len(y), prog_bar=True)

    def ledger(self, given: Any, classes: Sequence[Any] | None = None, **more: Any) -> Ledger:
        """The ledger over all nodes; ``given`` (N,) is -1 for nodes without a label, which get a proposal too."""
        meta = {"task": self.card.task, **dict(more.pop("meta", {}))}
        return super().ledger(given, classes, meta=meta, **more)

    def log_agreement(self, predicted: Tensor, batch: Batch, known: Tensor) -> None:
        """Log the share of the given labels that ``predicted`` (N,) repeats, as ``agreement``."""
        if self._trainer is not None:
            agreed = (predicted[known] == batch.y[known]).float().mean()
            self.log("agreement", agreed, batch_size=len(batch.index), on_step=False, on_epoch=True)
