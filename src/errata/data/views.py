"""Views of images, on whole batches and on their device: as they are, weakly changed, strongly changed.

Every sample of a batch gets its own random crop, flip, colours and hole, without a loop over samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from errata.errors import ParameterError
from errata.parts import Views

__all__ = ["ImageViews", "StandardViews", "random_crop", "random_cutout", "random_flip"]


def random_crop(x: Tensor, pad: int, mode: str = "reflect") -> Tensor:
    """Shift each image by up to ``pad`` pixels in each direction; what comes in from outside is mirrored.

    Parameters
    ----------
    x : (B, C, H, W), any dtype
    pad : 0 or more, less than H and W
    mode : "reflect" mirrors the border, "constant" is zero (as stored)

    Returns
    -------
    (B, C, H, W)

    Examples
    --------
    >>> random_crop(torch.ones(2, 1, 8, 8), 2).sum()
    tensor(128.)
    """
    if pad == 0:
        return x
    batch, _, height, width = x.shape
    down = torch.randint(-pad, pad + 1, (batch, 1), device=x.device)
    right = torch.randint(-pad, pad + 1, (batch, 1), device=x.device)
    rows = torch.arange(height, device=x.device) + down  # (B, H)
    columns = torch.arange(width, device=x.device) + right
    outside = ((rows < 0) | (rows >= height))[:, :, None] | ((columns < 0) | (columns >= width))[:, None, :]
    rows, columns = _mirror(rows, height), _mirror(columns, width)
    sample = torch.arange(batch, device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[sample, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return moved.contiguous() if mode == "reflect" else moved.masked_fill(outside[:, None], 0)


def _mirror(place: Tensor, size: int) -> Tensor:
    last = size - 1
    return last - (last - place.abs()).abs()


def random_flip(x: Tensor) -> Tensor:
    """Mirror each image left to right with probability one half.

    Examples
    --------
    >>> random_flip(torch.ones(3, 1, 2, 2)).shape
    torch.Size([3, 1, 2, 2])
    """
    chosen = torch.rand(len(x), device=x.device) < 0.5
    return torch.where(chosen[:, None, None, None], x.flip(-1), x)


def random_cutout(x: Tensor, share: float = 0.5) -> Tensor:
    """Blank a square of each image, ``share`` of its side long, at a random place; it may stick out over the border.

    Parameters
    ----------
    x : (B, C, H, W) float, normalised: blank is 0, the mean
    share : in [0, 1]

    Examples
    --------
    >>> bool((random_cutout(torch.ones(1, 1, 8, 8), 0.5) == 0).any())
    True
    """
    batch, _, height, width = x.shape
    half = max(1, round(share * min(height, width) / 2))
    row = torch.randint(0, height, (batch, 1), device=x.device)
    column = torch.randint(0, width, (batch, 1), device=x.device)
    tall = (torch.arange(height, device=x.device) - row).add(0.5).abs() <= half
    wide = (torch.arange(width, device=x.device) - column).add(0.5).abs() <= half
    return x.masked_fill((tall[:, :, None] & wide[:, None, :])[:, None], 0)


class StandardViews(Views):
    """The input minus the training data's mean, over their standard deviation; nothing random.

    Parameters
    ----------
    mean, std : (D,) per feature; a zero deviation counts as 1

    Examples
    --------
    >>> StandardViews([1.0], [2.0]).plain(torch.tensor([[5.0]]))
    tensor([[2.]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32), persistent=False)
        std = torch.as_tensor(std, dtype=torch.float32)
        self.register_buffer("std", torch.where(std > 0, std, 1.0), persistent=False)

    def plain(self, x: Tensor) -> Tensor:
        return (x.float() - self.mean) / self.std


class ImageViews(StandardViews):
    """Views of images: normalised; weakly changed by crop and flip; strongly by colours and a hole as well.

    Parameters
    ----------
    mean, std : (C,) of the training images, with uint8 images scaled to [0, 1]
    pad : pixels of the random shift; the "random crop with padding" of the CIFAR papers. 0 for none.
    flip : mirror left to right in the weak view; off for digits and text
    cutout : side of the hole in the strong view, as a share of the image's, in [0, 1]; 0 for none
    colour : in [0, 1), how far brightness, contrast and saturation may change in the strong view
    padding : "reflect" or "constant"

    Notes
    -----
    Random numbers come from torch's generator of the batch's device, which the engine seeds.

    Examples
    --------
    >>> views = ImageViews([0.5] * 3, [0.25] * 3)
    >>> images = torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)
    >>> views.plain(images)[0, 0, 0, 0], views.weak(images).shape, views.strong(images).dtype
    (tensor(2.), torch.Size([2, 3, 32, 32]), torch.float32)
    """

    def __init__(
        self,
        mean: Sequence[float] | Tensor,
        std: Sequence[float] | Tensor,
        *,
        pad: int = 4,
        flip: bool = True,
        cutout: float = 0.5,
        colour: float = 0.4,
        padding: str = "reflect",
    ) -> None:
        super().__init__(mean, std)
        if pad < 0 or not 0 <= cutout <= 1 or not 0 <= colour < 1:
            raise ParameterError(
                f"Expected pad >= 0, cutout in [0, 1] and colour in [0, 1); got {pad}, {cutout}, {colour}."
            )
        if padding not in ("reflect", "constant"):
            raise ParameterError(f"padding must be 'reflect' or 'constant'; got {padding!r}.")
        self.pad = pad
        self.flip = flip
        self.cutout = cutout
        self.colour = colour
        self.padding = padding

    def plain(self, x: Tensor) -> Tensor:
        return self._normalise(self._unit(x))

    def weak(self, x: Tensor) -> Tensor:
        return self._normalise(self._unit(self._moved(x)))

    def strong(self, x: Tensor) -> Tensor:
        x = self._unit(self._moved(x))
        if self.colour > 0:
            x = self._recoloured(x)
        x = self._normalise(x)
        return random_cutout(x, self.cutout) if self.cutout > 0 else x

    def _unit(self, x: Tensor) -> Tensor:
        return x.float() / 255.0 if x.dtype == torch.uint8 else x.float()

    def _normalise(self, x: Tensor) -> Tensor:
        return (x - self.mean[:, None, None]) / self.std[:, None, None]

    def _moved(self, x: Tensor) -> Tensor:
        pad = min(self.pad, x.shape[-1] - 1, x.shape[-2] - 1)  # mirroring reaches one image far
        x = random_crop(x, pad, self.padding)
        return random_flip(x) if self.flip else x

    def _recoloured(self, x: Tensor) -> Tensor:
        """Brightness, contrast and saturation, each image by its own three factors around 1."""
        shape = (3, len(x), 1, 1, 1)
        factors = 1 + self.colour * (2 * torch.rand(shape, device=x.device) - 1)
        bright, contrast, saturation = factors.unbind(0)
        x = x * bright
        x = F.relu(torch.lerp(x.mean((1, 2, 3), keepdim=True), x, contrast))
        if x.shape[1] == 3:
            x = torch.lerp(x.mean(1, keepdim=True), x, saturation)
        return x
