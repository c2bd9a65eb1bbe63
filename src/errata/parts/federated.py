"""What federated systems share: a client's share of the data, what it sends back, local steps, and the server's mean.

A federated system is two rules: what a client does in a round with the global model and its own data, and what the
server does with what comes back. Both are plain functions on tensors; how messages travel (in one process, over
Flower's simulation, over a network) is the engine's business and changes nothing here.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errata.cards import Card
from errata.errors import DataError, ParameterError
from errata.labels import MISSING
from errata.parts.precision import in_float32
from errata.parts.views import Views

__all__ = [
    "ClientUpdate",
    "FederatedSystem",
    "Share",
    "draw_batches",
    "floating_state",
    "load_state",
    "logits_of",
    "server_update",
    "supervised_steps",
    "weighted_mean",
]

State = dict[str, Tensor]
PIECE = 512  # rows of a pass without gradients


@dataclass
class Share:
    """What one client has.

    Parameters
    ----------
    x : (n, ...) encoded inputs, a tensor
    y : (n,) int64 labels, -1 where a row has none
    views : how inputs are turned into what the model takes
    """

    x: Tensor
    y: Tensor
    views: Views = field(default_factory=Views)

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise DataError(f"A client's share needs a label, or -1, for each row; got {len(self.x)}, {len(self.y)}.")

    @property
    def labelled(self) -> Tensor:
        """The rows with a label, rising."""
        return torch.nonzero(self.y != MISSING)[:, 0]

    @property
    def unlabelled(self) -> Tensor:
        """The rows without one, rising."""
        return torch.nonzero(self.y == MISSING)[:, 0]


@dataclass
class ClientUpdate:
    """What leaves a client after a round, and what stays.

    Attributes
    ----------
    state : the floating-point entries of its model, the global ones plus what it has learned
    samples : r_k, its weight at the server
    metrics : sums and means over its rows; nothing about a single one
    evidence : per row of the share, kept on the client for its ledger; never sent
    """

    state: State
    samples: int
    metrics: dict[str, float] = field(default_factory=dict)
    evidence: dict[str, Tensor] = field(default_factory=dict)


# -- a model's state --------------------------------------------------------------------------------------------------


def floating_state(model: nn.Module) -> State:
    """The entries of a model's state that are averaged: weights and floating buffers, as copies; counters are not.

    Examples
    --------
    >>> sorted(floating_state(nn.BatchNorm1d(2)))
    ['bias', 'running_mean', 'running_var', 'weight']
    """
    return {name: t.detach().clone() for name, t in model.state_dict().items() if t.is_floating_point()}


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Put averaged entries into a model, in place; its counters stay as they are."""
    own = model.state_dict()
    strange = [name for name in state if name not in own or own[name].shape != state[name].shape]
    missing = [name for name, t in own.items() if t.is_floating_point() and name not in state]
    if strange or missing:
        raise DataError(
            f"The weights received do not fit this client's model: {', '.join([*strange, *missing][:3])}. Server and "
            "clients must build the same network."
        )
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(value)
    return model


def parameter_names(model: nn.Module) -> set[str]:
    """The entries that gradients move; the other floating ones are running statistics."""
    return {name for name, _ in model.named_parameters()}


# -- local training ---------------------------------------------------------------------------------------------------


def draw_batches(n: int, size: int, steps: int, generator: torch.Generator) -> list[Tensor]:
    """Rows for a number of steps: shuffled passes over ``n`` rows, cut into batches of ``size`` across their ends.

    Returns
    -------
    list of ``steps`` tensors (min(size, n),) in [0, n); empty where n is 0

    Examples
    --------
    >>> rows = draw_batches(5, 2, 5, torch.Generator().manual_seed(0))
    >>> len(rows), torch.cat(rows).bincount().tolist()
    (5, [2, 2, 2, 2, 2])
    """
    if n == 0 or steps == 0:
        return []
    size = min(size, n)
    passes = -(-steps * size // n)
    order = torch.cat([torch.randperm(n, generator=generator) for _ in range(passes)])
    return list(order[: steps * size].split(size))


def supervised_steps(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    eta: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> list[float]:
    """Plain SGD with cross-entropy, a step per batch, in place.

    Parameters
    ----------
    model : trained in place, in training mode
    batches : pairs of inputs as the model takes them (b, ...) and classes (b,)
    eta : the learning rate

    Returns
    -------
    the loss of each step
    """
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=eta, momentum=momentum, weight_decay=weight_decay)
    losses = []
    for x, y in batches:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def logits_of(model: nn.Module, x: Tensor, views: Views | None = None) -> Tensor:
    """Logits (n, K) of all rows in evaluation mode, without gradients, float32 or better; the mode is put back."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            pieces = [in_float32(model(part if views is None else views.plain(part))) for part in x.split(PIECE)]
    finally:
        model.train(mode)
    return torch.cat(pieces)


# -- the server -------------------------------------------------------------------------------------------------------


def weighted_mean(states: Sequence[Mapping[str, Tensor]], r: Sequence[float]) -> State:
    """The mean of several models' entries, weighted by r_k / sum r; summed in float64.

    Raises
    ------
    ParameterError
        where no weight is above zero

    Examples
    --------
    >>> weighted_mean([{"w": torch.tensor([0.0])}, {"w": torch.tensor([4.0])}], [3, 1])
    {'w': tensor([1.])}
    """
    total = float(sum(r))
    if total <= 0 or min(r) < 0:
        raise ParameterError(f"Expected weights of 0 or more, one of them above; got {list(r)}.")
    mean: State = {}
    for name, first in states[0].items():
        whole = sum(state[name].double() * (weight / total) for state, weight in zip(states, r))
        mean[name] = torch.as_tensor(whole).to(first.dtype)
    return mean


def server_update(
    state: Mapping[str, Tensor], states: Sequence[Mapping[str, Tensor]], r: Sequence[float], server_lr: float = 1.0
) -> State:
    """The server's rule, ``w + server_lr * sum_k (r_k / sum r) d_k`` with ``states[k] = w + d_k``.

    Where all weights are zero, w stays.

    Examples
    --------
    >>> server_update({"w": torch.tensor([1.0])}, [{"w": torch.tensor([3.0])}], [5], server_lr=0.5)
    {'w': tensor([2.])}
    """
    if not states or sum(r) == 0:
        return {name: value.clone() for name, value in state.items()}
    mean = weighted_mean(states, r)
    return mean if server_lr == 1.0 else {name: w + server_lr * (mean[name] - w) for name, w in state.items()}


class FederatedSystem(ABC):
    """The base of federated systems: hyper-parameters stored as given, a client's round, the server's update."""

    card: ClassVar[Card]
    server_lr: float = 1.0

    @abstractmethod
    def client_round(self, model: nn.Module, share: Share, *, seed: int, known: Tensor | None = None) -> ClientUpdate:
        """What a client does with the global ``model``, which is left as it was.

        Parameters
        ----------
        model : with the global weights
        share : the client's data
        seed : of the order of batches
        known : (n, K) the global model's logits of all rows, where they are at hand
        """

    def update(self, state: Mapping[str, Tensor], updates: Sequence[ClientUpdate]) -> State:
        """The new global state."""
        return server_update(state, [u.state for u in updates], [u.samples for u in updates], self.server_lr)

    @classmethod
    def hyperparameters(cls) -> dict[str, Any]:
        """The keyword parameters with their defaults."""
        found = inspect.signature(cls).parameters.values()
        return {p.name: p.default for p in found if p.kind is p.KEYWORD_ONLY}

    def settings(self) -> dict[str, Any]:
        """The hyper-parameters in force, in plain JSON types."""
        return {name: getattr(self, name) for name in self.hyperparameters()}


def at_least(least: float, **values: float) -> None:
    """Refuse parameters below a bound."""
    for name, value in values.items():
        if not value >= least:
            raise ParameterError(f"{name} must be {least} or more; got {value!r}.")


def one_of(known: Sequence[str], **values: str) -> None:
    """Refuse words that are not known."""
    for name, value in values.items():
        if value not in known:
            raise ParameterError(f"{name} must be one of {', '.join(known)}; got {value!r}.")


def pairs(x: Tensor, y: Tensor, batches: Iterable[Tensor], view: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of views and labels by their rows."""
    for rows in batches:
        yield view(x[rows]), y[rows]
