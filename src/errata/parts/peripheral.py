"""Peripheral data: transforms of images that leave them near the data and outside of every class.

A rotated, scrambled, holed or blurred picture of a dog is made of dogs, and is no picture of one: it can stand for the
outliers that nobody has collected. Which transforms do depends on the data. One that leaves the class readable, or that
occurs among the data themselves (a turned "0", a mirrored road sign where both are classes), must be left out of the
pool: it would teach the network to distrust what it should know.

Everything works on a batch on its device, without a loop over images; each image has its own random transform.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from errata.errors import DataError, ParameterError, UnknownNameError
from errata.parts.distributed import rank, rows_per_rank
from errata.parts.random import SharedRandom

__all__ = [
    "POOL",
    "PeripheralTransforms",
    "cut_out",
    "gaussian_blur",
    "permute_patches",
    "rotate_quarters",
]

POOL = ("rotate", "permute", "cutout", "blur", "noise")
"""The transforms there are."""


def rotate_quarters(x: Tensor, turns: Tensor) -> Tensor:
    """Turn each image by so many quarters of a circle, one ``rot90`` for all images of one angle.

    Parameters
    ----------
    x : (B, C, H, W)
    turns : (B,) int; odd numbers for square images only

    Examples
    --------
    >>> rotate_quarters(torch.tensor([[[[1, 2], [3, 4]]]]), torch.tensor([2]))[0, 0]
    tensor([[4, 3],
            [2, 1]])
    """
    turned = x.clone()
    for quarters in (1, 2, 3):
        rows = (turns.to(x.device) % 4 == quarters).nonzero()[:, 0]
        if not len(rows):
            continue
        if quarters != 2 and x.shape[2] != x.shape[3]:
            raise DataError(f"Only square images can be turned by a quarter; got {x.shape[2]} x {x.shape[3]} pixels.")
        turned[rows] = torch.rot90(x[rows], quarters, (2, 3))
    return turned


def permute_patches(x: Tensor, order: Tensor) -> Tensor:
    """Cut each image into a grid of patches and put them together in another order.

    Parameters
    ----------
    x : (B, C, H, W); where a side is no multiple of the grid, its last pixels stay in their place
    order : (B, G * G) int; place p of image i gets its patch ``order[i, p]``; patches are counted along the rows

    Examples
    --------
    >>> permute_patches(torch.tensor([[[[1, 2], [3, 4]]]]), torch.tensor([[1, 0, 2, 3]]))[0, 0]
    tensor([[2, 1],
            [3, 4]])
    """
    batch, channels, height, width = x.shape
    grid = round(order.shape[1] ** 0.5)
    tall, wide = height // grid, width // grid
    if not tall or not wide:
        raise DataError(f"Images of {height} x {width} pixels can't be cut into {grid} x {grid} patches.")
    inner = x[:, :, : tall * grid, : wide * grid]
    patches = inner.reshape(batch, channels, grid, tall, grid, wide).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    moved = patches[torch.arange(batch, device=x.device)[:, None], order.to(x.device)]
    moved = moved.reshape(batch, grid, grid, channels, tall, wide).permute(0, 3, 1, 4, 2, 5)
    whole = x.clone()
    whole[:, :, : tall * grid, : wide * grid] = moved.reshape_as(inner)
    return whole


def cut_out(x: Tensor, centre: Tensor, share: float) -> Tensor:
    """Blank a square of each image; it may stick out over the border.

    Parameters
    ----------
    x : (B, C, H, W) float, normalised: blank is 0, the mean
    centre : (B, 2) float in [0, 1), the row and column of the middle as shares of the image
    share : side of the square as a share of the image's shorter one, in (0, 1]

    Examples
    --------
    >>> cut_out(torch.ones(1, 1, 4, 4), torch.tensor([[0.5, 0.5]]), 0.5).sum()
    tensor(12.)
    """
    height, width = x.shape[2:]
    half = max(1, round(share * min(height, width) / 2))
    size = torch.tensor([height, width], dtype=centre.dtype)
    row, column = (centre * size).long().to(x.device).unbind(1)
    down = torch.arange(height, device=x.device) - row[:, None]
    across = torch.arange(width, device=x.device) - column[:, None]
    hole = ((down >= -half) & (down < half))[:, :, None] & ((across >= -half) & (across < half))[:, None, :]
    return x.masked_fill(hole[:, None], 0)


def gaussian_blur(x: Tensor, sigma: Tensor, widest: float | None = None) -> Tensor:
    """Blur each image with a Gaussian of its own width; the border is mirrored.

    Parameters
    ----------
    x : (B, C, H, W) float
    sigma : (B,) float > 0, in pixels
    widest : the kernel reaches three times as far (or as far as the image allows); by default the largest of ``sigma``

    Examples
    --------
    >>> x = torch.zeros(1, 1, 5, 5)
    >>> x[0, 0, 2, 2] = 1
    >>> gaussian_blur(x, torch.tensor([0.5]))[0, 0, 2].round(decimals=2)
    tensor([0.0000, 0.0800, 0.6200, 0.0800, 0.0000])
    """
    batch, channels, height, width = x.shape
    widest = float(sigma.max()) if widest is None else widest
    reach = min(max(1, round(3 * widest)), height - 1, width - 1)
    if reach < 1:
        return x
    places = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-0.5 * (places / sigma.to(x)[:, None]).square())
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    planes = F.pad(x, [reach] * 4, mode="reflect").reshape(1, batch * channels, height + 2 * reach, width + 2 * reach)
    planes = F.conv2d(planes, weights[:, None, :, None], groups=batch * channels)
    planes = F.conv2d(planes, weights[:, None, None, :], groups=batch * channels)
    return planes.reshape(batch, channels, height, width)


class PeripheralTransforms:
    """Give each image of a batch one transform, drawn uniformly from a pool.

    Parameters
    ----------
    pool : out of "rotate" (by 90, 180 or 270 degrees; by 180 where images aren't square), "permute" (a jigsaw of
        ``grid`` x ``grid`` patches), "cutout" (a blank square), "blur" (Gaussian) and "noise" (Gaussian)
    grid : patches along each side, 2 or more
    cutout : side of the blank square as a share of the image's, in (0, 1]
    sigma : smallest and largest width of the blur, in pixels of an image of 32 x 32
    noise : standard deviation of the noise in units of the normalised input, > 0

    Notes
    -----
    All draws are of the global batch and from one generator that lies in the checkpoint (``SharedRandom``), so several
    ranks make the transforms that one process would.

    Examples
    --------
    >>> transforms = PeripheralTransforms(["rotate"])
    >>> transforms(torch.eye(3)[None, None], SharedRandom(0)).shape
    torch.Size([1, 1, 3, 3])

    References
    ----------
    Wu et al.: Revisiting Energy-Based Model for Out-of-Distribution Detection, arXiv 2412.03058.
    """

    def __init__(
        self,
        pool: Sequence[str] = POOL[:4],
        *,
        grid: int = 2,
        cutout: float = 0.5,
        sigma: tuple[float, float] = (1.0, 2.0),
        noise: float = 0.5,
    ) -> None:
        names = [pool] if isinstance(pool, str) else list(pool)
        for name in names:
            if name not in POOL:
                raise UnknownNameError("peripheral transform", name, POOL)
        if not names or len(set(names)) < len(names):
            raise ParameterError(f"The pool must hold one transform or more, each once; got {pool!r}.")
        if isinstance(grid, bool) or int(grid) != grid or grid < 2:
            raise ParameterError(f"grid must be a whole number, 2 or more; got {grid!r}.")
        if not 0 < cutout <= 1:
            raise ParameterError(f"cutout must be a share in (0, 1]; got {cutout!r}.")
        if not (len(sigma) == 2 and 0 < sigma[0] <= sigma[1]):
            raise ParameterError(f"sigma must be the smallest and the largest width, both above 0; got {sigma!r}.")
        if not noise > 0:
            raise ParameterError(f"noise must be above 0; got {noise!r}.")
        self.pool = names
        self.grid = int(grid)
        self.cutout = cutout
        self.sigma = sigma
        self.noise = noise

    def __call__(self, x: Tensor, random: SharedRandom) -> Tensor:
        """Transform images (B, C, H, W), as the network takes them.

        Raises
        ------
        DataError
            where ``x`` is no batch of images in floating point
        """
        if not isinstance(x, Tensor) or x.ndim != 4 or not x.is_floating_point():
            shape = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise DataError(f"Peripheral data are made of images (B, C, H, W) in floating point; got {shape}.")
        counts = rows_per_rank(len(x), x.device)
        own = slice(sum(counts[: rank()]), sum(counts[: rank()]) + len(x))
        generator, total = random.generator, sum(counts)
        chosen = torch.randint(len(self.pool), (total,), generator=generator)[own]
        made = torch.empty_like(x)
        for number, name in enumerate(self.pool):
            draw = _DRAWS[name](self, total, x, generator)[own]  # for all, so that every rank's generator moves alike
            rows = (chosen == number).nonzero()[:, 0]
            if len(rows):
                places = rows.to(x.device)
                made[places] = self._apply(name, x[places], draw[rows]).to(x.dtype)  # autocast blurs in half precision
        return made

    def _apply(self, name: str, x: Tensor, draw: Tensor) -> Tensor:
        if name == "rotate":
            return rotate_quarters(x, draw)
        if name == "permute":
            return permute_patches(x, draw)
        if name == "cutout":
            return cut_out(x, draw, self.cutout)
        if name == "blur":
            return gaussian_blur(x, draw, self.sigma[1] * self._scale(x))
        return x + self.noise * draw.to(x)

    def _turns(self, total: int, x: Tensor, generator: torch.Generator) -> Tensor:
        if x.shape[2] != x.shape[3]:
            return torch.full((total,), 2)
        return torch.randint(1, 4, (total,), generator=generator)

    def _orders(self, total: int, x: Tensor, generator: torch.Generator) -> Tensor:
        """An order of the patches for each image, never the one they have already."""
        order = torch.rand(total, self.grid**2, generator=generator).argsort(1)
        same = (order == torch.arange(self.grid**2)).all(1)
        order[same] = order[same].roll(1, dims=1)
        return order

    def _centres(self, total: int, x: Tensor, generator: torch.Generator) -> Tensor:
        return torch.rand(total, 2, generator=generator)

    def _sigmas(self, total: int, x: Tensor, generator: torch.Generator) -> Tensor:
        low, high = self.sigma
        return self._scale(x) * (low + (high - low) * torch.rand(total, generator=generator))

    def _scale(self, x: Tensor) -> float:
        return min(x.shape[2:]) / 32

    def _noise(self, total: int, x: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randn(total, *x.shape[1:], generator=generator)


_DRAWS: dict[str, Callable[[PeripheralTransforms, int, Tensor, torch.Generator], Tensor]] = {
    "rotate": PeripheralTransforms._turns,
    "permute": PeripheralTransforms._orders,
    "cutout": PeripheralTransforms._centres,
    "blur": PeripheralTransforms._sigmas,
    "noise": PeripheralTransforms._noise,
}
