"""Plain training of a graph network on the labelled nodes: what systems for noisy graphs are compared with.

Kept per node: its running prediction, which fills the ledger; for nodes without a label too.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from errata import systems
from errata.parts import Batch, NodeSystem, in_float32

__all__ = ["NodeCrossEntropy"]


class NodeCrossEntropy(NodeSystem):
    """Cross-entropy on the nodes that have a label.

    Parameters
    ----------
    model : maps a ``Graph`` of N nodes to logits (N, K), such as ``errata.models.graphs.GraphClassifier``
    num_classes : K
    num_samples : N, all nodes
    optimizer, lr, weight_decay, scheduler : the usual ones of graph networks
    training : further ones; see ``System``

    Examples
    --------
    >>> import torch
    >>> from errata.parts import graph_batch
    >>> class PerNode(torch.nn.Linear):
    ...     def forward(self, graph):
    ...         return super().forward(graph.x)
    >>> system = NodeCrossEntropy(PerNode(2, 3), num_classes=3, num_samples=2)
    >>> edges, given = torch.tensor([[0, 1], [1, 0]]), torch.tensor([2, -1])
    >>> loss = system.training_step(graph_batch(torch.zeros(2, 2), edges, given))
    >>> len(system.ledger(given))
    2
    """

    card = systems.card("gnn-ce")
    in_parts = True

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        optimizer: Any = "adam",
        lr: float = 5e-3,
        weight_decay: float = 5e-4,
        scheduler: Any = "constant",
        belief_decay: float | None = 0.9,
        **training: Any,
    ) -> None:
        super().__init__(
            model,
            num_classes,
            num_samples,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            scheduler=scheduler,
            belief_decay=belief_decay,
            **training,
        )

    def training_step(self, batch: Batch) -> Tensor:
        known = self.check_labels(batch)
        logits = self.model(self.views.weak(batch.x))[: len(known)]
        self.observe(batch.index, logits)
        self.log_agreement(logits.detach().argmax(1), batch, known)
        if not bool(known.any()):  # a part of the graph in which nobody is labelled
            return in_float32(logits).sum() * 0.0
        return F.cross_entropy(in_float32(logits)[known], batch.y[known])
