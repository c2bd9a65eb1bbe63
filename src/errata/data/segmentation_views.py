"""Views of images with masks: what moves pixels is told, so that the masks can be moved along."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from errata.data.views import StandardViews

__all__ = ["SegmentationViews"]

BRIGHTNESS = 0.2


class SegmentationViews(StandardViews):
    """Images normalised; in training their brightness and contrast change, and some are mirrored with their masks.

    Parameters
    ----------
    mean, std : (C,) of the training images, with uint8 images scaled to [0, 1]
    augment : change anything at all

    Examples
    --------
    >>> views = SegmentationViews([0.5] * 3, [0.25] * 3)
    >>> images = torch.full((2, 3, 8, 8), 255, dtype=torch.uint8)
    >>> views.plain(images)[0, 0, 0, 0], views.weak(images).shape, views.mirrored(5, "cpu").dtype
    (tensor(2.), torch.Size([2, 3, 8, 8]), torch.bool)
    """

    def __init__(self, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor, *, augment: bool = True) -> None:
        super().__init__(mean, std)
        self.augment = augment

    def plain(self, x: Tensor) -> Tensor:
        unit = x.to(torch.get_default_dtype()) / 255.0 if x.dtype == torch.uint8 else x
        return (unit - self.mean[:, None, None]) / self.std[:, None, None]

    def weak(self, x: Tensor) -> Tensor:
        seen = self.plain(x)
        if not self.augment:
            return seen
        factors = 1 + BRIGHTNESS * (2 * torch.rand(2, len(x), 1, 1, 1, device=x.device, dtype=seen.dtype) - 1)
        return seen * factors[0] + (factors[1] - 1)

    def mirrored(self, batch_size: int, device: torch.device | str) -> Tensor | None:
        """(B,) bool, which images are seen mirrored in this step; None where nothing is changed."""
        return torch.rand(batch_size, device=device) < 0.5 if self.augment else None
