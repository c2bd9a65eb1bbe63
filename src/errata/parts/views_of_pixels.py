"""Predicting every pixel several times: at several scales, mirrored; and bringing the predictions back together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from errata.parts.precision import in_float32

__all__ = ["at_scale", "multi_view_logits", "resize"]


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, corner pixel on corner pixel: (B, C, h, w) -> (B, C, *size); as it is where it fits already.

    Examples
    --------
    >>> resize(torch.tensor([[[[0.0, 1.0]]]]), (1, 3)).flatten()
    tensor([0.0000, 0.5000, 1.0000])
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


def at_scale(model: Callable[[Tensor], Tensor], x: Tensor, scale: float, *, mirrored: bool = False) -> Tensor:
    """The logits (B, C, H, W) of images (B, ch, H, W) that the model sees at another scale, or mirrored.

    Parameters
    ----------
    scale : of the sides, above 0; a side of at least one pixel is left

    Examples
    --------
    >>> at_scale(lambda images: images * 2, torch.ones(1, 1, 4, 6), 0.5, mirrored=True).shape
    torch.Size([1, 1, 4, 6])
    """
    size = x.shape[-2:]
    seen = x if scale == 1 else resize(x, [max(1, int(side * scale)) for side in size])
    logits = model(seen.flip(-1) if mirrored else seen)
    logits = resize(in_float32(logits), size)
    return logits.flip(-1) if mirrored else logits


def multi_view_logits(
    model: Callable[[Tensor], Tensor], x: Tensor, scales: Sequence[float], *, flip: bool = False
) -> Tensor:
    """The mean logits over scales, and over both sides of the mirror with ``flip``: (B, ch, H, W) -> (B, C, H, W).

    Examples
    --------
    >>> multi_view_logits(lambda images: images, torch.full((1, 1, 4, 4), 3.0), [0.75, 1.0, 1.5], flip=True).mean()
    tensor(3.)
    """
    total, views = torch.zeros(()), 0
    for scale in scales:
        for mirrored in (False, True) if flip else (False,):
            total = total.to(x.device) + at_scale(model, x, scale, mirrored=mirrored)
            views += 1
    return total / views
