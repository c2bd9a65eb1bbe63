"""A severe change of a batch that keeps its classes, for any kind of input: RandAugment, noise, or tokens left out."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from errata._lazy import optional
from errata.data.views import ImageViews
from errata.errors import ParameterError
from errata.parts import Views

__all__ = ["rand_augment", "strong_view"]

DROPPED = 0.2  # of a text's tokens


def rand_augment(x: Tensor, n: int = 1, m: float = 10.0) -> Tensor:
    """RandAugment (Cubuk et al. 2020, arXiv 1909.13719), by Kornia: ``n`` random transforms of magnitude ``m``.

    The transforms are drawn once for the batch, their signs for each image, all on the batch's device and from torch's
    global generator. Grey images go through as three equal channels, since some transforms need colours.

    Parameters
    ----------
    x : (B, C, H, W) float in [0, 1]
    n : transforms one after the other, 1 to 15
    m : magnitude, between 0 and 30

    Examples
    --------
    >>> rand_augment(torch.rand(4, 1, 12, 12), n=2, m=9).shape
    torch.Size([4, 1, 12, 12])
    """
    augment = _augmenter(n, m)
    colours = x if x.shape[1] == 3 else x.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    with torch.no_grad():
        changed = augment(colours.contiguous())
    return changed if x.shape[1] == 3 else changed.mean(1, keepdim=True).expand_as(x).contiguous()


@lru_cache(maxsize=8)
def _augmenter(n: int, m: float) -> Any:
    """Kornia's module, made once: building it takes longer than a batch."""
    auto = optional("kornia.augmentation.auto", "vision", "RandAugment")
    try:
        return auto.RandAugment(n=n, m=m)
    except ValueError as error:
        raise ParameterError(
            f"RandAugment takes 1 to 15 transforms of a magnitude between 0 and 30: {error}"
        ) from error


def strong_view(views: Views, *, n: int = 1, m: float = 10.0, noise: float = 0.5) -> Callable[[Tensor], Tensor]:
    """The strong view that suits what ``views`` are of.

    Images get RandAugment with ``(n, m)`` and are normalised; numbers get Gaussian noise of deviation ``noise``
    (features have deviation 1); token ids are left out at random, one in five.

    Examples
    --------
    >>> strong_view(Views(), noise=0.0)(torch.ones(1, 2))
    tensor([[1., 1.]])
    """

    def others(x: Tensor) -> Tensor:
        x = views.plain(x)
        if x.is_floating_point():
            return x + noise * torch.randn_like(x) if noise else x
        return torch.where(torch.rand(x.shape, device=x.device) < DROPPED, torch.zeros_like(x), x)

    if not isinstance(views, ImageViews):
        return others
    of_images = views

    def images(x: Tensor) -> Tensor:
        unit = x.float() / 255.0 if x.dtype == torch.uint8 else x.float()
        return (rand_augment(unit, n, m) - of_images.mean[:, None, None]) / of_images.std[:, None, None]

    return images
