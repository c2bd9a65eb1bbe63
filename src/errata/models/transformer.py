"""A small vision transformer, for images cut into patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from errata.errors import DataError, ParameterError
from errata.models.base import Classifier, require_at_least, require_images
from errata.parts.merging.modules import Attention

__all__ = ["PatchTransformer", "TransformerBlock"]


class TransformerBlock(nn.Module):
    """Attention and a two-layer network, each behind a layer norm and beside a shortcut.

    Parameters
    ----------
    dim : D of the tokens
    heads : of the attention; D must be a multiple
    hidden : width of the two-layer network
    """

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(dim), Attention(dim, heads)
        self.norm2, self.inner, self.outer = nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.activation = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.outer(self.activation(self.inner(self.norm2(x))))


class PatchTransformer(Classifier):
    """A vision transformer without a class token: patches, blocks of attention, the mean over the patches.

    Parameters
    ----------
    num_classes : int >= 1
        K.
    in_channels : int >= 1, default 3
    size : int >= 1, default 32
        Height and width of the images.
    patch : int >= 1, default 4
        Side of a patch; the image's must be a multiple.
    dim : int >= 1, default 64
        Width of the tokens, a multiple of ``heads``.
    depth : int >= 1, default 3
        Blocks.
    heads : int >= 1, default 4
    hidden : int >= 1, default 128
        Width inside a block.

    Raises
    ------
    ParameterError
        A size out of range or no multiple.

    Examples
    --------
    >>> model = PatchTransformer(10, in_channels=1, size=8, patch=2, dim=16, heads=2)
    >>> model(torch.zeros(3, 1, 8, 8)).shape
    torch.Size([3, 10])

    References
    ----------
    Dosovitskiy et al., "An image is worth 16x16 words", 2021, arXiv 2010.11929.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        size: int = 32,
        patch: int = 4,
        dim: int = 64,
        depth: int = 3,
        heads: int = 4,
        hidden: int = 128,
    ) -> None:
        super().__init__()
        require_at_least(1, num_classes=num_classes, in_channels=in_channels, size=size, patch=patch, dim=dim)
        require_at_least(1, depth=depth, heads=heads, hidden=hidden)
        if size % patch or dim % heads:
            raise ParameterError(
                f"size must be a multiple of patch, and dim of heads; got size={size}, patch={patch}, dim={dim}, "
                f"heads={heads}."
            )
        self.in_channels, self.size = in_channels, size
        self.embed = nn.Conv2d(in_channels, dim, patch, stride=patch)
        self.position = nn.Parameter(torch.zeros(1, (size // patch) ** 2, dim))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.blocks = nn.Sequential(*(TransformerBlock(dim, heads, hidden) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.classifier = nn.Linear(dim, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return embeddings (B, dim) of images (B, C, size, size)."""
        require_images(x, self.in_channels, "PatchTransformer")
        if x.shape[2] != self.size or x.shape[3] != self.size:
            raise DataError(
                f"this PatchTransformer takes images of {self.size} x {self.size} pixels, got {tuple(x.shape[2:])}."
            )
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.position
        embedded: Tensor = self.norm(self.blocks(tokens)).mean(1)
        return embedded
