"""Networks for images with several labels: attention for each label, and messages over the graph of labels.

The parts are those that PU-MLC's network is made of (semantic decoupling and a gated graph network, after SSGRL, and
convolutions with a global branch); each serves alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from errata.errors import DataError, ParameterError
from errata.models.base import Classifier, require_at_least, require_images
from errata.models.conv import ResNet

__all__ = [
    "GatedLabelGraph",
    "LabelGraphNet",
    "LocalGlobalConv2d",
    "SemanticDecoupling",
    "add_global_branches",
    "label_cooccurrence",
]

CHUNK = 16  # labels whose attention is computed at a time: memory grows with it, not with the number of labels


def label_cooccurrence(positives: Tensor) -> Tensor:
    """``A[i, j] = n(i, j) / n(i, i)``: how often label j applies where i does, counted from the known positives.

    Parameters
    ----------
    positives : (N, L) bool or 0 and 1, 1 for a known positive

    Returns
    -------
    (L, L) float32 in [0, 1]; a label without a positive has a row of zeros but for its own 1

    Examples
    --------
    >>> label_cooccurrence(torch.tensor([[1, 1, 0], [1, 0, 0]]))
    tensor([[1.0000, 0.5000, 0.0000],
            [1.0000, 1.0000, 0.0000],
            [0.0000, 0.0000, 1.0000]])
    """
    known = positives.to(torch.float32)
    together = known.T @ known
    graph = together / together.diagonal().clamp(min=1)[:, None]
    return graph.fill_diagonal_(1.0)


class SemanticDecoupling(nn.Module):
    """Attention over places for each label: a (B, C, H, W) map and L embeddings to (B, L, C) features.

    ``a = fc4(fc3(tanh((fc1 v) * (fc2 e))))`` for place v and label e, a softmax over places, and the weighted mean of
    the map. Nothing stands between fc3 and fc4, so their product is one vector, and nothing of (B, L, H, W, D) is ever
    kept for all labels at once.

    Parameters
    ----------
    channels : C
    words : (L, E) embeddings of the labels, such as word vectors
    inner : D, the width of the product

    Examples
    --------
    >>> SemanticDecoupling(8, torch.randn(3, 5), inner=4)(torch.randn(2, 8, 4, 4)).shape
    torch.Size([2, 3, 8])
    """

    def __init__(self, channels: int, words: Tensor, inner: int = 512) -> None:
        super().__init__()
        require_at_least(1, channels=channels, inner=inner)
        self.register_buffer("words", words.to(torch.float32))
        self.fc1 = nn.Linear(channels, inner, bias=False)
        self.fc2 = nn.Linear(words.shape[1], inner, bias=False)
        self.fc3 = nn.Linear(inner, inner)
        self.fc4 = nn.Linear(inner, 1)

    def attention(self, x: Tensor) -> Tensor:
        """(B, L, H * W) weights over the places, which sum to 1."""
        places = self.fc1(x.flatten(2).transpose(1, 2))  # B, HW, D
        labels = self.fc2(self.words)
        direction = self.fc4.weight @ self.fc3.weight  # the biases shift all places alike, which a softmax forgets
        scores = [
            ((places[:, None] * some[None, :, None]).tanh() @ direction.T)[..., 0] for some in labels.split(CHUNK)
        ]
        return torch.cat(scores, 1).softmax(2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("blp,bcp->blc", self.attention(x), x.flatten(2))


class GatedLabelGraph(nn.Module):
    """A gated graph network (Li et al. 2016) over labels: each hears, over T steps, from those it occurs with.

    Parameters
    ----------
    width : D, of a label's state
    labels : L
    steps : T, 1 or more

    Notes
    -----
    ``graph`` (L, L) is a buffer, all zero until it is set from the training labels.

    Examples
    --------
    >>> GatedLabelGraph(6, 3)(torch.randn(2, 3, 6)).shape
    torch.Size([2, 3, 6])
    """

    graph: Tensor

    def __init__(self, width: int, labels: int, steps: int = 3) -> None:
        super().__init__()
        require_at_least(1, width=width, labels=labels, steps=steps)
        self.steps = steps
        self.register_buffer("graph", torch.zeros(labels, labels))
        self.heard = nn.Linear(2 * width, 3 * width)
        self.gates = nn.Linear(width, 2 * width, bias=False)
        self.proposal = nn.Linear(width, width, bias=False)

    def forward(self, state: Tensor) -> Tensor:
        for _ in range(self.steps):
            messages = torch.cat([self.graph @ state, self.graph.T @ state], 2)  # along edges in, and out
            keep, reset, new = self.heard(messages).chunk(3, 2)
            own_keep, own_reset = self.gates(state).chunk(2, 2)
            update = (keep + own_keep).sigmoid()
            proposed = (new + self.proposal((reset + own_reset).sigmoid() * state)).tanh()
            state = (1 - update) * state + update * proposed
        return state


class LocalGlobalConv2d(nn.Module):
    """A convolution with a branch beside it that sees the whole map: ``conv(x) + G(x)``.

    The branch gathers the values of each head from the places that an attention chooses, and gives them back where a
    gate is open; its last normalisation begins near zero, so a trained convolution is hardly changed at first.

    Parameters
    ----------
    conv : the convolution, kept as it is
    reduction : channels in the branch's attention are this many times fewer, 1 or more
    heads : the values' channels are cut into so many heads; they must divide the input's channels

    Examples
    --------
    >>> layer = LocalGlobalConv2d(nn.Conv2d(16, 8, 3, stride=2, padding=1))
    >>> layer(torch.randn(2, 16, 6, 6)).shape
    torch.Size([2, 8, 3, 3])
    """

    def __init__(self, conv: nn.Conv2d, reduction: int = 4, heads: int = 8) -> None:
        super().__init__()
        require_at_least(1, reduction=reduction, heads=heads)
        channels = conv.in_channels
        if channels % heads or channels < reduction:
            raise ParameterError(
                f"heads must divide the {channels} channels, and reduction must not exceed them; got {heads} and "
                f"{reduction}."
            )
        self.conv, self.heads = conv, heads
        self.reduce = nn.Sequential(nn.Conv2d(channels, channels // reduction, 1), nn.ReLU(inplace=True))
        self.gather = nn.Conv2d(2 * (channels // reduction), heads, 1)
        self.gate = nn.Conv2d(2 * (channels // reduction), heads, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        stride: Any = conv.stride
        self.project = nn.Conv2d(channels, conv.out_channels, 1, stride=stride, bias=False)
        self.norm = nn.BatchNorm2d(conv.out_channels)
        nn.init.normal_(self.norm.weight, std=1e-4)
        nn.init.zeros_(self.norm.bias)

    def branch(self, x: Tensor) -> Tensor:
        """G(x)."""
        batch, channels, height, width = x.shape
        local = self.reduce(x)
        both = torch.cat([local, local.mean((2, 3), keepdim=True).expand_as(local)], 1)
        weight = self.gather(both).flatten(2).softmax(2)  # B, heads, HW
        value = self.value(x).view(batch, self.heads, channels // self.heads, height * width)
        pooled = torch.einsum("bhp,bhcp->bhc", weight, value)
        gate = self.gate(both).sigmoid()[:, :, None]  # B, heads, 1, H, W
        given = (pooled[..., None, None] * gate).reshape(batch, channels, height, width)
        found: Tensor = self.norm(self.project(x + given))
        return found

    def forward(self, x: Tensor) -> Tensor:
        local: Tensor = self.conv(x)
        return local + self.branch(x)


def add_global_branches(network: nn.Module, reduction: int = 4, heads: int = 8) -> int:
    """Give every 3 x 3 convolution of a network a global branch, in place, where the heads divide its channels.

    Returns
    -------
    how many were given one

    Examples
    --------
    >>> add_global_branches(nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3, padding=1)))
    1
    """
    count = 0
    for parent in list(network.modules()):
        if isinstance(parent, LocalGlobalConv2d):
            continue
        for name, child in list(parent.named_children()):
            if not isinstance(child, nn.Conv2d) or child.kernel_size != (3, 3) or child.in_channels % heads:
                continue
            if child.padding == (1, 1) and child.dilation == (1, 1) and child.groups == 1:
                setattr(parent, name, LocalGlobalConv2d(child, reduction, heads))
                count += 1
    return count


class LabelGraphNet(Classifier):
    """PU-MLC's network: a residual trunk, attention for each label, a gated graph of labels, a classifier for each.

    Parameters
    ----------
    num_classes : L, the labels
    in_channels : of the images
    depths, width : of the trunk, see :class:`ResNet`
    channels : of the map that the attention looks at
    inner : width of the attention's product
    words : (L, E) embeddings of the labels as nested lists, such as word vectors; by default one-hot ones, which make
        the attention's own layer an embedding that is learned
    steps : of the graph
    global_branches : give the trunk's convolutions a global branch
    frozen_norm : keep all batch normalisation in evaluation mode, as the authors do with a trunk that is trained
        already; wrong for one that is not

    Notes
    -----
    The authors' trunk is a ResNet-101 trained on ImageNet at 448 x 448 pixels, with 1024 channels, 512 of them inner
    ones, 300-dimensional word vectors; this trunk is one for small images and begins untrained. ``set_labels`` counts
    the graph; ``errata.train`` calls it.

    Examples
    --------
    >>> model = LabelGraphNet(5, depths=(1, 1), width=8, channels=8, inner=8)
    >>> model.set_labels(torch.randint(0, 2, (20, 5)))
    >>> model(torch.randn(2, 3, 16, 16)).shape
    torch.Size([2, 5])

    References
    ----------
    Chen et al., Learning Semantic-Specific Graph Representation for Multi-Label Image Recognition, ICCV 2019,
    arXiv 1908.07325. Yuan et al., arXiv 2306.16016.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        depths: Any = (2, 2, 2, 2),
        width: int = 64,
        channels: int = 256,
        inner: int = 128,
        words: Any = None,
        steps: int = 3,
        global_branches: bool = True,
        frozen_norm: bool = False,
    ) -> None:
        super().__init__()
        require_at_least(1, num_classes=num_classes, channels=channels, inner=inner)
        embeddings = torch.eye(num_classes) if words is None else torch.tensor(words, dtype=torch.float32)
        if embeddings.ndim != 2 or len(embeddings) != num_classes:
            raise ParameterError(
                f"words must be an embedding for each of the {num_classes} labels; got {tuple(embeddings.shape)}."
            )
        self.in_channels, self.frozen_norm = in_channels, frozen_norm
        trunk = ResNet(num_classes, in_channels, depths=depths, width=width)
        self.trunk = nn.Sequential(trunk.stem, trunk.body)
        if global_branches:
            add_global_branches(self.trunk)
        self.narrow = nn.Sequential(nn.Conv2d(trunk.num_features, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.decouple = SemanticDecoupling(channels, embeddings, inner)
        self.graph = GatedLabelGraph(channels, num_classes, steps)
        self.output = nn.Linear(2 * channels, channels)
        self.classifier = nn.Linear(channels, num_classes)  # row k is the classifier of label k alone

    def set_labels(self, positives: Tensor) -> None:
        """Count the graph of labels from the known positives (N, L) of the training set."""
        if positives.ndim != 2 or positives.shape[1] != self.num_classes:
            raise DataError(f"Expected known positives (N, {self.num_classes}); got {tuple(positives.shape)}.")
        self.graph.graph.copy_(label_cooccurrence(positives))

    def label_features(self, x: Tensor) -> Tensor:
        """(B, L, channels): what each label's classifier sees."""
        require_images(x, self.in_channels, type(self).__name__)
        semantic = self.decouple(self.narrow(self.trunk(x)))
        found: Tensor = self.output(torch.cat([self.graph(semantic), semantic], 2)).tanh()
        return found

    def features(self, x: Tensor) -> Tensor:
        """Return embeddings (B, channels) of images: the mean over labels."""
        return self.label_features(x).mean(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, L): ``sum_d h_kd W_kd + b_k``."""
        return (self.label_features(x) * self.classifier.weight).sum(2) + self.classifier.bias

    def train(self, mode: bool = True) -> LabelGraphNet:
        """Set training or evaluation mode; with ``frozen_norm`` batch normalisation stays in evaluation."""
        super().train(mode)
        if self.frozen_norm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self
