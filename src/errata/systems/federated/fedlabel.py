"""FedLabel: each client lets the surer of two models, its own or the global one, label what it has no labels for.

Clients hold few labelled samples and many without labels, and their classes are uneven, so that neither the global
model (which knows all classes, but none of them well) nor a model trained on a client's own labels (which knows its
few classes) labels everything well. In each round a client trains a copy of the global model on its labelled part; then
it trains *another* copy of the global model on its unlabelled part, where each sample's pseudo-label comes from that of
the two frozen models whose probabilities have the larger variance. Where the model that was not chosen says the same
class, the student is also held near its probabilities, the more so the surer that one is. The client sends the sum of
both movements; the server takes their mean, weighted by the samples that were used. Nothing is kept between rounds.

Departures and choices, each of them an option, are told at :class:`FedLabel`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from errata import systems
from errata.errors import ParameterError
from errata.labels import MISSING
from errata.parts.federated import (
    ClientUpdate,
    FederatedSystem,
    Share,
    State,
    at_least,
    draw_batches,
    floating_state,
    logits_of,
    one_of,
    pairs,
    parameter_names,
    supervised_steps,
)
from errata.parts.selective import (
    CONFIDENCES,
    DIRECTIONS,
    NORMALISERS,
    TEACHERS,
    Assignment,
    assign,
    assigned_loss,
    confidence,
    fedlabel_loss,
)

__all__ = [
    "Assignment",
    "ClientRound",
    "FedLabel",
    "assign",
    "assigned_loss",
    "client_round",
    "combined",
    "confidence",
    "fedlabel_loss",
]

# -- a client's round -------------------------------------------------------------------------------------------------


@dataclass
class ClientRound:
    """The outcome of one client's round.

    Attributes
    ----------
    delta_labelled, delta_unlabelled : dL and dU, by the names of the model's floating entries
    labelled_losses, unlabelled_losses : of each step; 0 of one in which nothing passed, which moved nothing
    assigned : for every unlabelled row
    consumed : (n_u,) how often each unlabelled row was in a batch and passed
    """

    delta_labelled: State
    delta_unlabelled: State
    labelled_losses: list[float]
    unlabelled_losses: list[float]
    assigned: Assignment | None
    consumed: Tensor


def _plain(x: Tensor) -> Tensor:
    return x


def client_round(
    model: nn.Module,
    labelled: tuple[Tensor, Tensor],
    unlabelled: Tensor,
    labelled_batches: Sequence[Tensor],
    unlabelled_batches: Sequence[Tensor],
    *,
    eta: float,
    beta: float,
    lambda0: float,
    confidence: str = "variance",
    kl: str = "discarded||student",
    normaliser: str = "passing",
    kl_view: str = "strong",
    teacher: str = "selective",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    view: Callable[[Tensor], Tensor] = _plain,
    strong: Callable[[Tensor], Tensor] = _plain,
    known: Tensor | None = None,
) -> ClientRound:
    """One client's round on batches that are chosen already; ``model``, the global one, is left as it was.

    Both teachers are fixed while the student learns, so their outputs are computed once for all unlabelled rows.

    Parameters
    ----------
    labelled : inputs (n_l, ...) and classes (n_l,)
    unlabelled : inputs (n_u, ...)
    labelled_batches, unlabelled_batches : the rows of each of the tau and tau' steps
    eta, momentum, weight_decay : of SGD
    view, strong : the plain and the strongly changed view of a batch
    known : (n_u, N) the global model's logits of the unlabelled rows, where they are at hand
    others : see :class:`FedLabel`
    """
    start = floating_state(model)
    local, student = copy.deepcopy(model), copy.deepcopy(model)
    sgd = {"eta": eta, "momentum": momentum, "weight_decay": weight_decay}
    x, y = labelled
    labelled_losses = supervised_steps(local, pairs(x, y, labelled_batches, view), **sgd)
    consumed = torch.zeros(len(unlabelled), dtype=torch.int64, device=unlabelled.device)
    assigned, losses = None, []
    if len(unlabelled):
        s_global = _logits(model, unlabelled, view) if known is None else known
        assigned = assign(s_global, _logits(local, unlabelled, view), beta, confidence, teacher)
        student.train()
        optimizer = torch.optim.SGD(student.parameters(), lr=eta, momentum=momentum, weight_decay=weight_decay)
        for rows in unlabelled_batches:
            own = assigned[rows]
            if not bool(own.passes.any()):
                losses.append(0.0)
                continue
            logits = student(strong(unlabelled[rows]))
            seen = student(view(unlabelled[rows])) if kl_view == "plain" else None
            loss = assigned_loss(logits, own, lambda0, kl, normaliser, seen)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            consumed[rows] += own.passes.long()
    return ClientRound(
        _difference(local, start), _difference(student, start), labelled_losses, losses, assigned, consumed
    )


def _logits(model: nn.Module, x: Tensor, view: Callable[[Tensor], Tensor]) -> Tensor:
    return logits_of(nn.Sequential(_Through(view), model), x)


class _Through(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _difference(model: nn.Module, start: State) -> State:
    return {name: value - start[name] for name, value in floating_state(model).items()}


def combined(start: State, done: ClientRound, parameters: set[str]) -> State:
    """What a client sends: ``w + dL + dU`` (a sum, not a mean).

    Running statistics are no steps along a gradient: where both parts have moved them towards the same statistics of
    the same client, a sum would go twice as far, and a variance below zero. They get the mean of the parts that moved.
    """
    moved = [
        d for d, n in ((done.delta_labelled, len(done.labelled_losses)), (done.delta_unlabelled, _steps(done))) if n
    ]
    share = {name: 1.0 if name in parameters else 1.0 / max(1, len(moved)) for name in start}
    return {name: w + share[name] * sum((d[name] for d in moved), torch.zeros_like(w)) for name, w in start.items()}


def _steps(done: ClientRound) -> int:
    return int(done.consumed.sum() > 0)


class FedLabel(FederatedSystem):
    """FedLabel [1]_: few labels, many clients, and the surer of two models labels the rest.

    Parameters
    ----------
    tau, tau_prime : steps on the labelled and on the unlabelled part per round, 0 or more. The paper finds few
        supervised steps worst; it does not state its values.
    batch_size, eta : of both parts; not stated in the paper
    beta : threshold of the pseudo-labels, in [0, 1]; the paper's best are .3 to .5, and .9 is its worst
    lambda0 : weight of the consistency term, 0 or more; the paper's results need one above 0
    confidence : "variance" (the paper's) or "entropy"
    kl : "discarded||student", as both known re-implementations have it, or "student||discarded", as eq. 6 is written
    kl_view : whether the student's consistency term sees the "strong" view, in one pass, or the "plain" one
    normaliser : mean over the "passing" samples of a batch, or over the "batch"
    teacher : "selective"; "local" and "global" are the paper's ablations
    count : r_k is the labelled rows plus the "distinct" unlabelled ones that passed, or the "consumed" of both kinds,
        step by step
    randaugment_n, randaugment_m : transforms and magnitude (below 30) of RandAugment, the paper's "(1, 10)". Its text
        also explains these as ten transforms of magnitude 1.
    noise : deviation of the Gaussian noise that is the strong view of numbers, where there are no images
    momentum, weight_decay : of SGD; the paper's is plain
    server_lr : of the server's step; below 1 where the sum of two movements is too large a step

    Notes
    -----
    Nothing about a sample leaves the client: the weights, and r_k. Between rounds nothing is kept but the data.

    Examples
    --------
    >>> share = Share(torch.randn(8, 2), torch.tensor([0, 1, 0, 1, -1, -1, -1, -1]))
    >>> update = FedLabel(tau=3, tau_prime=3, batch_size=2).client_round(nn.Linear(2, 2), share, seed=0)
    >>> update.samples >= 4, sorted(update.state)
    (True, ['bias', 'weight'])

    References
    ----------
    .. [1] Cho, Joshi, Dimitriadis: Local or Global: Selective Knowledge Assimilation for Federated Learning with
       Limited Labels, ICCV 2023, arXiv 2307.08809
    """

    card = systems.card("fedlabel")

    def __init__(
        self,
        *,
        tau: int = 20,
        tau_prime: int = 20,
        batch_size: int = 16,
        eta: float = 0.05,
        beta: float = 0.4,
        lambda0: float = 1.0,
        confidence: str = "variance",
        kl: str = "discarded||student",
        kl_view: str = "strong",
        normaliser: str = "passing",
        teacher: str = "selective",
        count: str = "distinct",
        randaugment_n: int = 1,
        randaugment_m: float = 10.0,
        noise: float = 0.5,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        server_lr: float = 1.0,
    ) -> None:
        at_least(0, tau=tau, tau_prime=tau_prime, lambda0=lambda0, noise=noise, eta=eta)
        at_least(1, batch_size=batch_size, randaugment_n=randaugment_n)
        one_of(CONFIDENCES, confidence=confidence)
        one_of(DIRECTIONS, kl=kl)
        one_of(("strong", "plain"), kl_view=kl_view)
        one_of(NORMALISERS, normaliser=normaliser)
        one_of(TEACHERS, teacher=teacher)
        one_of(("distinct", "consumed"), count=count)
        if not 0 < randaugment_m < 30:
            raise ParameterError(f"randaugment_m must lie between 0 and 30; got {randaugment_m!r}.")
        self.tau = tau
        self.tau_prime = tau_prime
        self.batch_size = batch_size
        self.eta = eta
        self.beta = beta
        self.lambda0 = lambda0
        self.confidence = confidence
        self.kl = kl
        self.kl_view = kl_view
        self.normaliser = normaliser
        self.teacher = teacher
        self.count = count
        self.randaugment_n = randaugment_n
        self.randaugment_m = randaugment_m
        self.noise = noise
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.server_lr = server_lr

    def client_round(self, model: nn.Module, share: Share, *, seed: int, known: Tensor | None = None) -> ClientUpdate:
        from errata.data.strong import strong_view

        generator = torch.Generator().manual_seed(seed)
        labelled, unlabelled = share.labelled, share.unlabelled
        done = client_round(
            model,
            (share.x[labelled], share.y[labelled]),
            share.x[unlabelled],
            draw_batches(len(labelled), self.batch_size, self.tau, generator),
            draw_batches(len(unlabelled), self.batch_size, self.tau_prime, generator),
            view=share.views.plain,
            strong=strong_view(share.views, n=self.randaugment_n, m=self.randaugment_m, noise=self.noise),
            known=None if known is None else known[unlabelled],
            **{name: getattr(self, name) for name in _PASSED},
        )
        state = combined(floating_state(model), done, parameter_names(model))
        passing = int(done.consumed.sum()) if self.count == "consumed" else int((done.consumed > 0).sum())
        taken = min(self.batch_size, len(labelled)) * len(done.labelled_losses)
        samples = passing + (taken if self.count == "consumed" else len(labelled) if self.tau else 0)
        return ClientUpdate(state, samples, _metrics(done, share), _evidence(done, share))


_PASSED = (
    "eta",
    "beta",
    "lambda0",
    "confidence",
    "kl",
    "normaliser",
    "kl_view",
    "teacher",
    "momentum",
    "weight_decay",
)


def _metrics(done: ClientRound, share: Share) -> dict[str, float]:
    found = done.assigned
    stepped = [loss for loss in done.unlabelled_losses if loss]
    return {
        "labelled": float(len(share.labelled)),
        "unlabelled": float(len(share.unlabelled)),
        "passing": 0.0 if found is None else float(found.passes.sum()),
        "chose_local": 0.0 if found is None else float(found.is_local.sum()),
        "agreeing": 0.0 if found is None else float(found.agrees.sum()),
        "labelled_loss": sum(done.labelled_losses) / max(1, len(done.labelled_losses)),
        "unlabelled_loss": sum(stepped) / max(1, len(stepped)),
    }


def _evidence(done: ClientRound, share: Share) -> dict[str, Tensor]:
    """For the client's own ledger: what was assigned to each of its rows."""
    label = torch.full_like(share.y, MISSING)
    local = torch.full_like(share.y, MISSING)
    if done.assigned is not None:
        rows = share.unlabelled
        label[rows] = done.assigned.pseudo_label
        local[rows] = done.assigned.is_local.long()
    return {"pseudo_label": label, "is_local": local}
