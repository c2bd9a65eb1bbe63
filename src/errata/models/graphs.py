"""Networks over graphs, of PyTorch Geometric's layers: an encoder and a classifier, by attention or convolution.

PyTorch Geometric is imported when a network is made (``pip install 'errata[graphs]'``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errata._lazy import optional
from errata.errors import LoadError, ParameterError, UnknownNameError
from errata.models.base import require_at_least, require_share

__all__ = ["CONVOLUTIONS", "GraphClassifier", "GraphEncoder", "build", "from_spec"]

CONVOLUTIONS = ("gat", "gcn")
WIDTH = 512
"""Width of ERASE's representation."""


class GraphEncoder(nn.Module):
    """ERASE's encoder: two layers, rows of absolute sum 1 after each, no negative values at the end.

    Parameters
    ----------
    in_features : D, features of a node
    out_features : P, width of the representation
    hidden : width of the first layer
    heads : of the first layer's attention; they share ``hidden``
    conv : "gat" (graph attention) or "gcn" (graph convolution)
    dropout : of the input, in [0, 1)

    Examples
    --------
    >>> from errata.parts import Graph
    >>> encoder = GraphEncoder(3, 8, hidden=4, heads=2)
    >>> encoder(Graph(torch.ones(2, 3), torch.tensor([[0, 1], [1, 0]]))).shape
    torch.Size([2, 8])

    References
    ----------
    Chen et al., arXiv 2312.08852; Velickovic et al. (GAT), arXiv 1710.10903; Kipf & Welling (GCN), arXiv 1609.02907.
    """

    spec: dict[str, Any] | None = None

    def __init__(
        self,
        in_features: int,
        out_features: int = WIDTH,
        *,
        hidden: int = 256,
        heads: int = 8,
        conv: str = "gat",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        require_at_least(1, in_features=in_features, out_features=out_features, hidden=hidden, heads=heads)
        require_share(dropout=dropout)
        self.in_features, self.out_features, self.dropout = in_features, out_features, dropout
        self.first = _convolution(conv, in_features, hidden, heads)
        self.second = _convolution(conv, hidden, out_features, 1)

    def forward(self, graph: Any) -> Tensor:
        """Representations (N, P) of all nodes of a ``Graph``."""
        x, edge_index = graph
        z = self.first(sparse_dropout(x, self.dropout, self.training), edge_index)
        z = F.normalize(F.leaky_relu(z, 0.01), p=1, dim=1)
        return F.normalize(self.second(z, edge_index), p=1, dim=1).relu()


class GraphClassifier(nn.Module):
    """The usual graph network with a class for each node: two layers, the second gives the logits.

    Parameters
    ----------
    in_features : D, features of a node
    num_classes : K
    hidden, heads, conv : as in ``GraphEncoder``
    dropout : of both layers' inputs, in [0, 1)

    Examples
    --------
    >>> from errata.parts import Graph
    >>> network = GraphClassifier(3, 2, hidden=4, heads=2, conv="gcn")
    >>> network(Graph(torch.ones(2, 3), torch.tensor([[0, 1], [1, 0]]))).shape
    torch.Size([2, 2])
    """

    spec: dict[str, Any] | None = None

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        hidden: int = 256,
        heads: int = 8,
        conv: str = "gat",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        require_at_least(1, in_features=in_features, num_classes=num_classes, hidden=hidden, heads=heads)
        require_share(dropout=dropout)
        self.in_features, self.num_classes, self.dropout = in_features, num_classes, dropout
        self.first = _convolution(conv, in_features, hidden, heads)
        self.second = _convolution(conv, hidden, num_classes, 1)

    def forward(self, graph: Any) -> Tensor:
        """Logits (N, K) of all nodes of a ``Graph``."""
        x, edge_index = graph
        z = F.elu(self.first(sparse_dropout(x, self.dropout, self.training), edge_index))
        return self.second(F.dropout(z, self.dropout, self.training), edge_index)


def sparse_dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Dropout that draws for the numbers that aren't zero only: bags of words are nearly empty.

    Parameters
    ----------
    x : (N, D)
    p : share that becomes zero, in [0, 1); the rest is divided by ``1 - p``
    training : False for the identity

    Examples
    --------
    >>> sparse_dropout(torch.eye(2), 0.5, training=False)
    tensor([[1., 0.],
            [0., 1.]])
    """
    if not training or p == 0:
        return x
    there = x.nonzero(as_tuple=True)
    if x.requires_grad or 4 * len(there[0]) > x.numel():
        return F.dropout(x, p)
    return torch.zeros_like(x).index_put(there, F.dropout(x[there], p))


def _convolution(conv: str, inputs: int, outputs: int, heads: int) -> nn.Module:
    if conv not in CONVOLUTIONS:
        raise UnknownNameError("graph convolution", conv, CONVOLUTIONS)
    layers = optional("torch_geometric.nn", "graphs", "A network over a graph")
    if conv == "gcn":
        return layers.GCNConv(inputs, outputs)
    if outputs % heads:
        raise ParameterError(f"hidden must be a multiple of heads; got {outputs} and {heads}.")
    return layers.GATConv(inputs, outputs // heads, heads=heads)


_MAKERS: dict[str, Callable[..., nn.Module]] = {"encoder": GraphEncoder, "classifier": GraphClassifier}


def build(role: str, in_features: int, outputs: int, *, conv: str = "gat", seed: int | None = None, **more: Any) -> Any:
    """An encoder or a classifier that can be saved: what ``spec`` holds is enough to make it again.

    Parameters
    ----------
    role : "encoder" or "classifier"
    in_features : features of a node
    outputs : width of the representation, or number of classes
    conv : "gat" or "gcn"
    seed : draw the initial weights from it and leave torch's global generator alone
    more : further parameters of the class

    Examples
    --------
    >>> network = build("classifier", 3, 2, conv="gcn", seed=0)
    >>> from_spec(network.spec).load_state_dict(network.state_dict())
    <All keys matched successfully>
    """
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        network: Any = _MAKERS[role](in_features, outputs, conv=conv, **more)
    network.spec = {
        "name": f"graph-{role}",
        "kwargs": {"in_features": in_features, "outputs": outputs, "conv": conv, **more},
    }
    return network


def from_spec(spec: Any) -> Any:
    """Build a network again from its ``spec``, with random weights.

    Raises
    ------
    LoadError
        where it is not a spec of ``build``
    """
    name = spec.get("name", "") if isinstance(spec, Mapping) else ""
    role = str(name).removeprefix("graph-")
    kwargs = spec.get("kwargs") if isinstance(spec, Mapping) else None
    if role not in _MAKERS or not isinstance(kwargs, Mapping):
        raise LoadError(f"Expected the description of a network over a graph; got {spec!r}. Give model=... instead.")
    try:
        return build(role, **kwargs)
    except (ParameterError, TypeError) as error:
        raise LoadError(f"The saved network cannot be built here: {error}") from error
