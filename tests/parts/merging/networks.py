"""Networks of every build that merging knows, small enough to be merged in a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errata import models


class Encoder(nn.Module):
    """torch's own transformer, with embeddings, positions and a class token."""

    def __init__(self, norm_first: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.position, self.token = nn.Parameter(torch.randn(1, 6, 16)), nn.Parameter(torch.randn(1, 1, 16))
        layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embedding(x) + self.position
        h = torch.cat([self.token.expand(len(x), -1, -1), h], 1)
        return self.fc(self.encoder(h)[:, 0])


class PlainAttention(nn.Module):
    """Attention written out, with one linear layer for query, key and value."""

    def __init__(self, dim: int = 16, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.embed, self.norm1, self.norm2 = nn.Linear(7, dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.inner, self.outer, self.fc = nn.Linear(dim, 20), nn.Linear(20, dim), nn.Linear(dim, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        attention = ((q @ k.transpose(-2, -1)) * (c // self.heads) ** -0.5).softmax(dim=-1)
        x = x + self.proj((attention @ v).transpose(1, 2).reshape(b, n, c))
        x = x + self.outer(F.gelu(self.inner(self.norm2(x))))
        return self.fc(x.mean(dim=1))


class Mixed(nn.Module):
    """Group norms, a depth-wise convolution, two branches side by side, a flattened map."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.g1 = nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8)
        self.left, self.right = nn.Conv2d(8, 5, 3, padding=1), nn.Conv2d(8, 7, 1)
        self.g2, self.depth = nn.GroupNorm(1, 12), nn.Conv2d(12, 12, 3, groups=12)
        self.c3, self.fc = nn.Conv2d(12, 6, 1), nn.Linear(6 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.g1(self.c1(x)).relu()
        x = self.g2(torch.cat([self.left(x), self.right(x)], 1)).relu()
        return self.fc(torch.tanh(self.c3(self.depth(x).sigmoid())).flatten(1))


class Branching(nn.Module):
    """Looks at the numbers themselves, which no tracer can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.f1, self.f2 = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.f1(x)
        for row in h.detach().tolist():
            if sum(row) == float("inf"):
                raise ValueError("too much")
        return self.f2(h.relu())


def _floats(*shape: int) -> Callable[[int], Tensor]:
    return lambda rows: torch.randn(rows, *shape, dtype=torch.float64)


def _tokens(rows: int) -> Tensor:
    return torch.randint(0, 20, (rows, 6))


BUILDS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Tensor]]] = {
    "mlp": (lambda: models.build("mlp", 5, (12,), hidden=[16, 10]), _floats(12)),
    "mlp-norm": (lambda: models.build("mlp", 5, (12,), hidden=[16, 10], batch_norm=True), _floats(12)),
    "cnn": (lambda: models.build("small_cnn", 5, (3, 12, 12), width=4), _floats(3, 12, 12)),
    "resnet": (lambda: models.ResNet(5, depths=(1, 1), width=4), _floats(3, 8, 8)),
    "preact": (lambda: models.PreActResNet(5, depths=(1, 1), width=4), _floats(3, 8, 8)),
    "bag": (lambda: models.build("text_bag", 5, num_embeddings=20, dim=8), _tokens),
    "patches": (lambda: models.build("patch_transformer", 5, (3, 8, 8), **SMALL_PATCHES), _floats(3, 8, 8)),
    "encoder": (Encoder, _tokens),
    "encoder-norm-first": (lambda: Encoder(True), _tokens),
    "plain-attention": (PlainAttention, _floats(6, 7)),
    "mixed": (Mixed, _floats(3, 8, 8)),
}
SMALL_PATCHES: dict[str, Any] = {"patch": 2, "dim": 16, "heads": 4, "depth": 1, "hidden": 24}


def make(name: str, seed: int) -> nn.Module:
    """A network in float64 and evaluation mode, its norms and biases away from their beginnings."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BUILDS[name][0]()
        for part in model.parameters():
            if part.ndim == 1:
                part.data.add_(0.3 * torch.randn_like(part))
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_()  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return model.double().eval()


def inputs(name: str, rows: int = 40, seed: int = 0) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BUILDS[name][1](rows)
