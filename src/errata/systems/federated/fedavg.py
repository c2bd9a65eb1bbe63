"""Federated averaging on the labelled part: the baseline of every federated claim.

Each client takes a few SGD steps from the global model on the samples that have labels; the server takes the mean of
the models, weighted by the clients' numbers of labels. Samples without a label are of no use to it. With
``pseudo_labels="fixmatch"`` each client also trains on labels that its current model is sure of: the naive way to use
the others, which falls behind plain averaging where classes are uneven.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errata import systems
from errata.parts.federated import (
    ClientUpdate,
    FederatedSystem,
    Share,
    at_least,
    draw_batches,
    floating_state,
    one_of,
    pairs,
    supervised_steps,
)

__all__ = ["FedAvg", "fixmatch_loss"]


def fixmatch_loss(plain_logits: Tensor, strong_logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """FixMatch's unlabelled loss (Sohn et al. 2020, arXiv 2001.07685, eq. 4), divided by the batch; and what passed.

    Parameters
    ----------
    plain_logits, strong_logits : (B, N) of the two views by the same model; no gradient passes the first
    threshold : in [0, 1]

    Examples
    --------
    >>> loss, passes = fixmatch_loss(torch.tensor([[9.0, 0.0]]), torch.zeros(1, 2), 0.95)
    >>> loss, passes
    (tensor(0.6931), tensor([True]))
    """
    best, label = plain_logits.detach().softmax(1).max(1)
    passes = best >= threshold
    return (F.cross_entropy(strong_logits, label, reduction="none") * passes).mean(), passes


class FedAvg(FederatedSystem):
    """Federated averaging [1]_ over the labelled samples of each client.

    Parameters
    ----------
    tau, batch_size, eta, momentum, weight_decay : SGD steps per round, and their settings
    pseudo_labels : "none", or "fixmatch" for the naive client of FixMatch [2]_ on every step
    threshold, lambda_u : of FixMatch: its confidence threshold, in [0, 1], and the weight of its loss
    randaugment_n, randaugment_m, noise : of FixMatch's strong view, as in ``FedLabel``
    server_lr : of the server's step

    Examples
    --------
    >>> share = Share(torch.randn(4, 2), torch.tensor([0, 1, 0, -1]))
    >>> FedAvg(tau=2).client_round(nn.Linear(2, 2), share, seed=0).samples
    3

    References
    ----------
    .. [1] McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, AISTATS 2017,
       arXiv 1602.05629
    .. [2] Sohn et al., FixMatch, NeurIPS 2020, arXiv 2001.07685
    """

    card = systems.card("fedavg")

    def __init__(
        self,
        *,
        tau: int = 20,
        batch_size: int = 16,
        eta: float = 0.05,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        pseudo_labels: str = "none",
        threshold: float = 0.95,
        lambda_u: float = 1.0,
        randaugment_n: int = 1,
        randaugment_m: float = 10.0,
        noise: float = 0.5,
        server_lr: float = 1.0,
    ) -> None:
        at_least(0, tau=tau, eta=eta, lambda_u=lambda_u, noise=noise)
        at_least(1, batch_size=batch_size, randaugment_n=randaugment_n)
        one_of(("none", "fixmatch"), pseudo_labels=pseudo_labels)
        self.tau = tau
        self.batch_size = batch_size
        self.eta = eta
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.pseudo_labels = pseudo_labels
        self.threshold = threshold
        self.lambda_u = lambda_u
        self.randaugment_n = randaugment_n
        self.randaugment_m = randaugment_m
        self.noise = noise
        self.server_lr = server_lr

    def client_round(self, model: nn.Module, share: Share, *, seed: int, known: Tensor | None = None) -> ClientUpdate:
        generator = torch.Generator().manual_seed(seed)
        labelled = share.labelled
        batches = draw_batches(len(labelled), self.batch_size, self.tau, generator)
        local, passing = copy.deepcopy(model), 0
        if self.pseudo_labels == "fixmatch" and len(share.unlabelled):
            losses, passing = self._fixmatch(local, share, batches, generator)
        else:
            x, y = share.x[labelled], share.y[labelled]
            sgd = {"eta": self.eta, "momentum": self.momentum, "weight_decay": self.weight_decay}
            losses = supervised_steps(local, pairs(x, y, batches, share.views.plain), **sgd)
        metrics = {
            "labelled": float(len(labelled)),
            "unlabelled": float(len(share.unlabelled)),
            "passing": float(passing),
            "labelled_loss": sum(losses) / max(1, len(losses)),
        }
        samples = (len(labelled) if losses and self.tau else 0) + passing
        return ClientUpdate(floating_state(local), samples, metrics)

    def _fixmatch(
        self, local: nn.Module, share: Share, batches: list[Tensor], generator: torch.Generator
    ) -> tuple[list[float], int]:
        from errata.data.strong import strong_view

        strong = strong_view(share.views, n=self.randaugment_n, m=self.randaugment_m, noise=self.noise)
        x, y = share.x[share.labelled], share.y[share.labelled]
        other = share.x[share.unlabelled]
        used = torch.zeros(len(other), dtype=torch.bool)
        local.train()
        optimizer = torch.optim.SGD(
            local.parameters(), lr=self.eta, momentum=self.momentum, weight_decay=self.weight_decay
        )
        losses = []
        for step, rows in enumerate(draw_batches(len(other), self.batch_size, self.tau, generator)):
            plain, strongly = local(share.views.plain(other[rows])), local(strong(other[rows]))
            unlabelled, passes = fixmatch_loss(plain, strongly, self.threshold)
            loss = self.lambda_u * unlabelled
            if batches:
                own = batches[step]
                loss = loss + F.cross_entropy(local(share.views.plain(x[own])), y[own])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            used[rows] |= passes.cpu()
        return losses, int(used.sum())
