"""Views of a batch: the input as it is, weakly changed, strongly changed. Functions on tensors, on their device."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["Views"]


class Views(torch.nn.Module):
    """The identity views: for features and text, or for inputs that come augmented already.

    Other kinds of data subclass this (``errata.data.ImageViews``). ``plain`` must be deterministic.

    Examples
    --------
    >>> Views().weak(torch.ones(1)) is not None
    True
    """

    def plain(self, x: Any) -> Any:
        """The input as the model expects it, unchanged otherwise: for prediction."""
        return x

    def weak(self, x: Any) -> Any:
        """A slight random change that keeps the class: for training."""
        return self.plain(x)

    def strong(self, x: Any) -> Any:
        """A severe random change that keeps the class."""
        return self.weak(x)
