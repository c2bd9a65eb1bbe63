"""What all the models have in common: an embedding, and a linear head on it."""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from errata.errors import DataError, ParameterError

__all__ = ["Classifier", "require_at_least", "require_images", "require_share"]


class Classifier(nn.Module, ABC):
    """A network that embeds a batch and classifies the embedding linearly.

    A subclass defines :meth:`features` and sets :attr:`classifier`.

    Attributes
    ----------
    classifier : nn.Linear
        From the embedding, (B, D), to logits, (B, K).
    spec : dict or None
        ``{"name": ..., "kwargs": {...}}``, JSON-able, from which :func:`errata.models.from_spec` rebuilds the network
        (its shape, not its weights). Set by :func:`errata.models.build`; None for a network made by its class.
    """

    classifier: nn.Linear
    spec: dict[str, Any] | None = None

    @abstractmethod
    def features(self, x: Any) -> Tensor:
        """Return the embeddings (B, D) of a batch."""

    def forward(self, x: Any) -> Tensor:
        """Return the logits (B, K) of a batch."""
        logits: Tensor = self.classifier(self.features(x))
        return logits

    @property
    def num_features(self) -> int:
        """D, the length of an embedding."""
        return self.classifier.in_features

    @property
    def num_classes(self) -> int:
        """K."""
        return self.classifier.out_features


def require_at_least(least: int, **values: int | Sequence[int]) -> None:
    """Refuse sizes that are not integers of ``least`` or more."""
    for name, value in values.items():
        several = isinstance(value, (list, tuple))
        for number in value if several else [value]:  # type: ignore[union-attr]
            if isinstance(number, bool) or not isinstance(number, numbers.Integral) or number < least:
                wanted = "integers" if several else "an integer"
                raise ParameterError(f"{name} must be {wanted} >= {least}, got {value!r}.")


def require_share(**values: float) -> None:
    """Refuse shares (of dropout, say) outside [0, 1)."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
            raise ParameterError(f"{name} must be a number in [0, 1), got {value!r}.")


def require_images(x: Tensor, channels: int, model: str) -> None:
    """Refuse what is not a batch of images with the right number of channels."""
    if x.ndim != 4 or x.shape[1] != channels:
        raise DataError(
            f"{model} takes images of shape (B, {channels}, H, W), got {tuple(x.shape)}. "
            "Channels come second; a grey image has one."
        )
