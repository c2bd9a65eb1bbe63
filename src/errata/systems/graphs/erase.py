"""ERASE: learn a graph's representation from labels that are corrected anew at each step, without any cross-entropy.

Wrong labels on a graph have two witnesses: the labels of the neighbours, and what the node itself looks like. ERASE
first lets the given labels of the training nodes vote along the edges between them, once and for all. Then, at each
step, every node's label is what this vote and its likeness to the classes' prototypes say together, passed along the
edges of the whole graph; and the encoder is trained to give each class of these labels a subspace of its own, by
coding rates alone. A linear probe on the representation, fitted to the corrected labels, predicts.
Kept per node: the running distribution of its corrected label, which is the ledger.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errata import systems
from errata.errors import ParameterError
from errata.losses.coding_rate import coding_rate_reduction
from errata.parts import (
    Batch,
    NodeSystem,
    class_prototypes,
    column_normalized,
    cosine_scores,
    in_float32,
    propagate,
)

__all__ = ["ERASE", "semantic_labels", "structural_denoising"]


def structural_denoising(
    edge_index: Tensor,
    labels: Tensor,
    train_mask: Tensor,
    num_classes: int,
    alpha: float,
    T: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Let the training nodes' labels vote along the edges between training nodes.

    Parameters
    ----------
    edge_index : (2, E)
    labels : (N,) int; only those of training nodes count
    train_mask : (N,) bool
    num_classes : K
    alpha : weight that a node's own label keeps at each step, in [0, 1]
    T : steps, 0 or more

    Returns
    -------
    (N, K), zero outside of the training nodes; a training node without training neighbours keeps its label, faded to
    ``alpha ** T``

    Examples
    --------
    >>> edges, train = torch.tensor([[0, 1], [1, 0]]), torch.tensor([True, True, True])
    >>> structural_denoising(edges, torch.tensor([0, 1, 1]), train, 2, alpha=0.6, T=1)
    tensor([[0.6000, 0.4000],
            [0.4000, 0.6000],
            [0.0000, 0.6000]])
    """
    start = F.one_hot(torch.where(train_mask, labels, 0), num_classes).to(dtype) * train_mask[:, None]
    return propagate(column_normalized(edge_index, len(labels), train_mask, dtype), start, alpha, T)


def semantic_labels(z: Tensor, denoised: Tensor, prototypes: Tensor, beta: float) -> Tensor:
    """What the vote and the likeness to the prototypes say: ``softmax(beta Yd + (1 - beta) |cos(z, mu)|)``.

    Parameters
    ----------
    z : (N, P) representations
    denoised : (N, K) the vote of ``structural_denoising``
    prototypes : (K, P)
    beta : weight of the vote, in [0, 1]

    Returns
    -------
    (N, K), rows sum to 1

    Examples
    --------
    >>> semantic_labels(torch.eye(2), torch.zeros(2, 2), torch.eye(2), beta=0.0)
    tensor([[0.7311, 0.2689],
            [0.2689, 0.7311]])
    """
    return (beta * denoised + (1 - beta) * cosine_scores(z, prototypes).abs()).softmax(1)


class ERASE(NodeSystem):
    """Error-Resilient Representation Learning on Graphs (ERASE).

    Parameters
    ----------
    model : maps a ``Graph`` of N nodes to representations (N, P), such as ``errata.models.graphs.GraphEncoder``
    num_classes : K
    num_samples : N, all nodes
    alpha : weight that a node's own label keeps in propagation, in [0, 1]
    beta : weight of the denoised labels against the prototypes, in [0, 1]
    T : steps of propagation, 0 or more
    gam1 : weight of the classes' coding rate, and inner factor of the whole's; above 0
    gam2 : weight of the whole's coding rate
    eps : squared distortion of the coding rates, above 0
    denoise : False leaves the structural denoising before training out, for ablations
    propagate_semantic : False leaves the propagation within training out, for ablations
    probe_every : epochs between two fits of the probe, 1 or more; it is always fitted where the epoch is validated, and
        at the end
    embedding_dim : P; by default the model's ``out_features``
    optimizer, lr, weight_decay, scheduler : the paper's: Adam with AMSGrad, no schedule
    belief_decay : of the running distribution of corrected labels that makes the ledger, in [0, 1]
    training : further ones; see ``System``

    Notes
    -----
    The paper's settings: (alpha, beta, T, gam2, eps) = (0.6, 0.6, 5, 2, 0.05) for Cora, (0.6, 0.7, 4, 2, 0.4) for
    CiteSeer, (0.6, 0.6, 3, 3, 0.05) for PubMed, (0.7, 0.7, 2, 2, 0.01) for CoraFull; gam1 is 1.
    The authors keep the epoch that is best on clean validation labels. Nobody has these when it matters: here it is the
    last epoch, or the best on held-out labels that are as noisy as the others (``errata.train(..., select="best")``).
    Their code stops at a class without a training node after denoising; here it keeps its last prototype.
    Prediction is a multinomial logistic regression on representations of length 1 (scikit-learn, C = 1), fitted to the
    training nodes' corrected labels. The variant for ogbn-arxiv (sampled neighbours) is not built: a step takes the
    whole graph.

    Examples
    --------
    >>> from errata.parts import graph_batch
    >>> class PerNode(torch.nn.Linear):
    ...     def forward(self, graph):
    ...         return super().forward(graph.x).relu()
    >>> system = ERASE(PerNode(2, 3), num_classes=2, num_samples=3)
    >>> edges, given = torch.tensor([[0, 1], [1, 0]]), torch.tensor([0, 1, -1])
    >>> loss = system.training_step(graph_batch(torch.rand(3, 2), edges, given))
    >>> system.ledger(given).given
    array([ 0,  1, -1], dtype=int32)

    References
    ----------
    Chen, Zhang, Huang, Su, Lin, Xiao, Xia, Liu: ERASE: Error-Resilient Representation Learning on Graphs for Label
    Noise Tolerance, CIKM 2024, arXiv 2312.08852.
    """

    card = systems.card("erase")
    network = "encoder"

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        alpha: float = 0.6,
        beta: float = 0.6,
        T: int = 5,
        gam1: float = 1.0,
        gam2: float = 2.0,
        eps: float = 0.05,
        denoise: bool = True,
        propagate_semantic: bool = True,
        probe_every: int = 10,
        embedding_dim: int | None = None,
        optimizer: Any = "amsgrad",
        lr: float = 1e-3,
        weight_decay: float = 5e-4,
        scheduler: Any = "constant",
        belief_decay: float | None = 0.9,
        **training: Any,
    ) -> None:
        _check(alpha, beta, T, gam1, gam2, eps, probe_every)
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
        self.alpha, self.beta, self.T = alpha, beta, T
        self.gam1, self.gam2, self.eps = gam1, gam2, eps
        self.denoise, self.propagate_semantic = denoise, propagate_semantic
        self.probe_every = probe_every
        self.embedding_dim = embedding_dim
        width = getattr(model, "out_features", None) if embedding_dim is None else embedding_dim
        if not isinstance(width, int):
            raise ParameterError(
                f"ERASE needs to know the width of the representation, and {type(model).__name__} has no out_features; "
                "give embedding_dim=."
            )
        self.probe = nn.Linear(width, num_classes).requires_grad_(False)
        nn.init.zeros_(self.probe.weight)
        nn.init.zeros_(self.probe.bias)
        self.register_buffer("prototypes", torch.zeros(num_classes, width))
        self._graph: _Prepared | None = None
        self._last: tuple[Batch, Tensor] | None = None  # of the last step: what the probe is to be fitted to

    # -- training -----------------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch) -> Tensor:
        z = self.model(self.views.weak(batch.x))
        graph = self._prepare(batch, z)
        propagated, labels = self.target_labels(in_float32(z.detach()), graph)
        soft = propagated / propagated.sum(1, keepdim=True).clamp(min=1e-12)
        corrected = F.one_hot(labels, self.num_classes).to(soft)
        self.observe(batch.index, probabilities=(1 - SOFT) * corrected + SOFT * soft)
        self.log_agreement(labels, batch, graph.train_mask)
        self._last = (batch, labels)
        return coding_rate_reduction(z, labels, self.num_classes, gam1=self.gam1, gam2=self.gam2, eps=self.eps)

    @torch.no_grad()
    def target_labels(self, z: Tensor, graph: _Prepared) -> tuple[Tensor, Tensor]:
        """The corrected labels of all nodes at this step: (N, K) after propagation, and (N,) the largest of each."""
        with torch.autocast(z.device.type, enabled=False):
            train = graph.train_mask
            prototypes = class_prototypes(z[train], graph.voted[train], self.num_classes, self.prototypes)
            self.prototypes.copy_(prototypes)
            semantic = semantic_labels(z, graph.denoised, prototypes, self.beta)
            propagated = propagate(graph.adjacency, semantic, self.alpha, self.T if self.propagate_semantic else 0)
        return propagated, propagated.argmax(1)

    def _prepare(self, batch: Batch, z: Tensor) -> _Prepared:
        """What stays as it is over the whole training, computed at its first step."""
        if self._graph is None or not self._graph.fits(batch):
            train_mask = self.check_labels(batch)
            if z.shape[1:] != self.prototypes.shape[1:]:
                raise ParameterError(
                    f"The model gives representations of width {z.shape[1]}; expected {self.prototypes.shape[1]}."
                )
            steps = self.T if self.denoise else 0
            edges, n, k = batch.x.edge_index, len(batch.y), self.num_classes
            dtype = in_float32(z).dtype
            denoised = structural_denoising(edges, batch.y, train_mask, k, self.alpha, steps, dtype)
            # with alpha = 0 a node without training neighbours has no vote: it keeps its label
            voted = torch.where(denoised.sum(1) > 0, denoised.argmax(1), batch.y)
            self._graph = _Prepared(
                edges, batch.y, train_mask, denoised, voted, column_normalized(edges, n, None, dtype)
            )
        return self._graph

    # -- prediction ---------------------------------------------------------------------------------------------------

    def forward(self, x: Any) -> Tensor:
        """Logits (N, K) of the probe for all nodes of a ``Graph``."""
        return self.probe(F.normalize(in_float32(self.model(self.views.plain(x))), dim=1))

    @torch.no_grad()
    def fit_probe(self) -> None:
        """Fit the probe to the corrected labels of the last step; without a step it stays as it is."""
        if self._last is None:
            return
        from sklearn.linear_model import LogisticRegression

        batch, labels = self._last
        mode = self.training
        self.eval()
        try:
            z = F.normalize(in_float32(self.model(self.views.plain(batch.x))), dim=1)
        finally:
            self.train(mode)
        train = batch.y != -1
        rows, own = z[train].double().cpu().numpy(), labels[train].cpu().numpy()
        found = sorted(set(own.tolist()))
        weight, bias = torch.zeros_like(self.probe.weight), torch.full_like(self.probe.bias, ABSENT)
        if len(found) == 1:
            bias[found[0]] = 0.0
        else:
            fitted = LogisticRegression(max_iter=1000).fit(rows, own)
            # with two classes scikit-learn gives one line, for the second against the first
            coef, intercept = fitted.coef_, fitted.intercept_
            weight[found[-len(coef) :]] = torch.as_tensor(coef).to(weight)
            bias[found] = 0.0
            bias[found[-len(coef) :]] = torch.as_tensor(intercept).to(bias)
        self.probe.weight.copy_(weight)
        self.probe.bias.copy_(bias)
        self._last = None

    def on_validation_epoch_start(self) -> None:
        self.fit_probe()

    def on_train_epoch_end(self) -> None:
        done = self.trainer.current_epoch + 1
        if done % self.probe_every == 0 or done >= (self.trainer.max_epochs or 0) > 0:
            self.fit_probe()

    def on_train_end(self) -> None:
        self.fit_probe()
        self._graph = None  # it is computed again where training goes on


SOFT = 0.1
"""Share of the soft distribution in what the ledger remembers. It is nearly flat, as softmax of numbers within [0, 1],
so how often a node got which label says more; but it orders the nodes whose label never changed."""

ABSENT = -30.0
"""The probe's logit of a class that no training node has after correction."""


class _Prepared(NamedTuple):
    """A graph as ERASE needs it at each step."""

    edge_index: Tensor
    y: Tensor
    train_mask: Tensor
    denoised: Tensor
    voted: Tensor
    adjacency: Tensor

    def fits(self, batch: Batch) -> bool:
        """Whether this is the graph of ``batch``."""
        return torch.equal(self.y, batch.y) and torch.equal(self.edge_index, batch.x.edge_index)


def _check(alpha: float, beta: float, T: int, gam1: float, gam2: float, eps: float, probe_every: int) -> None:
    for name, share in (("alpha", alpha), ("beta", beta)):
        if not 0 <= share <= 1:
            raise ParameterError(f"{name} must be in [0, 1]; got {share!r}.")
    for name, positive in (("gam1", gam1), ("eps", eps)):
        if not positive > 0:
            raise ParameterError(f"{name} must be above 0; got {positive!r}.")
    if not gam2 >= 0:
        raise ParameterError(f"gam2 must be 0 or more; got {gam2!r}.")
    for name, count, least in (("T", T, 0), ("probe_every", probe_every, 1)):
        if isinstance(count, bool) or int(count) != count or count < least:
            raise ParameterError(f"{name} must be a whole number, {least} or more; got {count!r}.")
