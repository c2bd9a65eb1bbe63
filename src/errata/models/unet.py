"""A U-Net: a class for every pixel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errata.errors import ParameterError
from errata.models.base import require_at_least, require_images

__all__ = ["UNet"]

NORMS = ("group", "batch")
GROUPS = 8


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    groups = next(g for g in range(min(GROUPS, channels), 0, -1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


class _TwoConvolutions(nn.Sequential):
    def __init__(self, inner: int, outer: int, norm: str) -> None:
        layers: list[nn.Module] = []
        for channels in (inner, outer):
            conv = nn.Conv2d(channels, outer, 3, padding=1, bias=False)
            layers += [conv, _norm(norm, outer), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class UNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015, arXiv 1505.04597) for images of any size of ``2 ** depth`` pixels or more.

    Parameters
    ----------
    num_classes : int >= 1
        K.
    in_channels : int >= 1, default 3
    width : int >= 1, default 16
        Channels of the first stage; each stage below has twice as many. 64 in the paper.
    depth : int >= 1, default 3
        How often the image is halved. 4 in the paper.
    norm : "group" (for small batches) or "batch"

    Raises
    ------
    ParameterError
        A size out of range.

    Examples
    --------
    >>> model = UNet(4, in_channels=1, width=8, depth=2)
    >>> model(torch.zeros(2, 1, 30, 21)).shape
    torch.Size([2, 4, 30, 21])
    """

    spec: dict[str, Any] | None = None

    def __init__(
        self, num_classes: int, in_channels: int = 3, *, width: int = 16, depth: int = 3, norm: str = "group"
    ) -> None:
        super().__init__()
        require_at_least(1, num_classes=num_classes, in_channels=in_channels, width=width, depth=depth)
        if norm not in NORMS:
            raise ParameterError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}.")
        self.in_channels = in_channels
        self.depth = depth
        sizes = [width * 2**i for i in range(depth + 1)]
        self.down = nn.ModuleList(
            _TwoConvolutions(inner, outer, norm) for inner, outer in zip([in_channels, *sizes], sizes)
        )
        self.up = nn.ModuleList(
            _TwoConvolutions(below + here, here, norm) for below, here in zip(sizes[:0:-1], sizes[-2::-1])
        )
        self.classifier = nn.Conv2d(width, num_classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, K, H, W) of images (B, C, H, W)."""
        require_images(x, self.in_channels, "UNet")
        kept: list[Tensor] = []
        for stage in self.down:
            x = stage(F.max_pool2d(x, 2, ceil_mode=True) if kept else x)
            kept.append(x)
        kept.pop()
        for stage in self.up:
            beside = kept.pop()
            x = F.interpolate(x, size=beside.shape[-2:], mode="bilinear", align_corners=False)
            x = stage(torch.cat([beside, x], 1))
        logits: Tensor = self.classifier(x)
        return logits
