"""Predictions drawn to the edges of the image: a dense conditional random field over all pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from errata._lazy import optional
from errata.errors import ParameterError

__all__ = ["dense_crf", "needed"]

LEAST = 1e-5  # a probability counts as this much at least


def dense_crf(
    probabilities: Tensor,
    images: Tensor,
    *,
    iterations: int = 10,
    smooth: tuple[float, float] = (3.0, 3.0),
    alike: tuple[float, float, float] = (80.0, 13.0, 10.0),
) -> Tensor:
    """Mean-field inference in a fully connected field: pixels that are near and of like colour agree on their class.

    Parameters
    ----------
    probabilities : (B, K, H, W), each pixel's sum to 1
    images : (B, 3, H, W) or (B, 1, H, W): bytes, or other numbers, which are brought to 0 to 255 over the batch
    iterations : 1 or more
    smooth : of the term that makes all near pixels alike: its reach in pixels, and its weight
    alike : of the term that looks at colours: its reach in pixels, in steps of colour (of 255), and its weight

    Returns
    -------
    (B, K, H, W) float32 on the same device

    Raises
    ------
    ParameterError
        where shapes don't go together, or ``iterations`` is below 1
    MissingExtraError
        where pydensecrf2 is not installed (it is compiled when it is installed, which needs a C++ compiler)

    References
    ----------
    Krähenbühl and Koltun: Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials, NeurIPS 2011,
    arXiv 1210.5644.
    """
    if probabilities.ndim != 4 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ParameterError(
            "Expected probabilities (B, K, H, W) and images (B, 3, H, W) or (B, 1, H, W); got "
            f"{tuple(probabilities.shape)} and {tuple(images.shape)}."
        )
    if (len(probabilities), *probabilities.shape[2:]) != (len(images), *images.shape[2:]):
        raise ParameterError(
            f"Probabilities {tuple(probabilities.shape)} and images {tuple(images.shape)} are of other sizes."
        )
    if iterations < 1:
        raise ParameterError(f"iterations must be 1 or more; got {iterations!r}.")
    field = needed()
    given = probabilities.detach().float().cpu().numpy()
    colours = _as_bytes(images)
    found = [_one(field, p, rgb, iterations, smooth, alike) for p, rgb in zip(given, colours, strict=True)]
    return torch.from_numpy(np.stack(found)).to(probabilities.device) if found else probabilities.float()


def needed() -> Any:
    """The package that does it; ``MissingExtraError`` where it is not installed."""
    return optional("pydensecrf.densecrf", "crf", "A dense CRF")


def _one(
    field: Any,
    probabilities: np.ndarray,
    rgb: np.ndarray,
    iterations: int,
    smooth: tuple[float, float],
    alike: tuple[float, float, float],
) -> np.ndarray:
    classes, height, width = probabilities.shape
    model = field.DenseCRF2D(width, height, classes)
    energy = -np.log(np.clip(probabilities, LEAST, 1.0)).reshape(classes, -1)
    model.setUnaryEnergy(np.ascontiguousarray(energy, dtype=np.float32))
    model.addPairwiseGaussian(sxy=smooth[0], compat=smooth[1])
    model.addPairwiseBilateral(sxy=alike[0], srgb=alike[1], rgbim=rgb, compat=alike[2])
    return np.array(model.inference(iterations), dtype=np.float32).reshape(classes, height, width)


def _as_bytes(images: Tensor) -> np.ndarray:
    """(B, H, W, 3) uint8, contiguous."""
    if images.dtype != torch.uint8:
        values = images.detach().float()
        low, high = values.amin(), values.amax()
        images = ((values - low) * (255.0 / (high - low).clamp(min=1e-12))).round().to(torch.uint8)
    colours = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    return np.ascontiguousarray(colours.cpu().numpy())
