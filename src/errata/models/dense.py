"""Networks for rows of numbers and bags of words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from errata.errors import DataError
from errata.models.base import Classifier, require_at_least, require_share

__all__ = ["MLP", "TextBag"]


class MLP(Classifier):
    """A multi-layer perceptron: linear layers with ReLU, on inputs of any shape, flattened.

    Parameters
    ----------
    in_features : int >= 1
        Numbers per sample, D for rows (B, D), C * H * W for images.
    num_classes : int >= 1
        K.
    hidden : sequence of int >= 1, default (256, 256)
        Width of each hidden layer; none of them makes it a linear model, whose embedding is the input.
    dropout : float in [0, 1), default 0
        After each hidden layer.
    batch_norm : bool, default False
        Before each ReLU. Takes in inputs of any scale, but no training batch of one sample.

    Raises
    ------
    ParameterError
        A size or share out of range.

    Examples
    --------
    >>> import torch
    >>> model = MLP(64, 10)
    >>> model(torch.zeros(2, 1, 8, 8)).shape, model.features(torch.zeros(2, 64)).shape
    (torch.Size([2, 10]), torch.Size([2, 256]))
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        hidden: Sequence[int] = (256, 256),
        *,
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        require_at_least(1, in_features=in_features, num_classes=num_classes, hidden=tuple(hidden))
        require_share(dropout=dropout)
        self.in_features = in_features
        layers: list[nn.Module] = []
        width = in_features
        for next_width in hidden:
            layers.append(nn.Linear(width, next_width, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm1d(next_width))
            layers.append(nn.ReLU())
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = next_width
        self.body = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the last hidden layer (B, hidden[-1]) of inputs (B, ...)."""
        flat = x.flatten(1) if x.ndim > 1 else x
        if flat.ndim != 2 or flat.shape[1] != self.in_features:
            raise DataError(
                f"this MLP takes {self.in_features} numbers per sample, got inputs of shape {tuple(x.shape)}. "
                "Was it built for other data?"
            )
        embedded: Tensor = self.body(flat)
        return embedded


class TextBag(Classifier):
    """The mean of the embeddings of a text's tokens or n-grams, normalised and classified linearly (after fastText).

    Parameters
    ----------
    num_embeddings : int >= 2
        Number of token ids, or of hash buckets, with the 0 that pads.
    num_classes : int >= 1
        K.
    dim : int >= 1, default 64
        Length of an embedding.
    dropout : float in [0, 1), default 0
        On the mean.

    Raises
    ------
    ParameterError
        A size or share out of range.

    Notes
    -----
    Inputs are integer ids (B, L); 0 is padding and does not count in the mean. Texts without any token share one
    embedding. The embeddings begin small and their mean is layer-normalised, which fastText does not do: so the model
    learns at the learning rates that suit the other models, where the plain mean needs far larger ones.

    Examples
    --------
    >>> import torch
    >>> model = TextBag(1000, 5)
    >>> model(torch.tensor([[3, 14, 15, 0], [0, 0, 0, 0]])).shape
    torch.Size([2, 5])

    References
    ----------
    Joulin, Grave, Bojanowski, Mikolov, "Bag of tricks for efficient text classification", 2016, arXiv 1607.01759.
    """

    def __init__(self, num_embeddings: int, num_classes: int, dim: int = 64, *, dropout: float = 0.0) -> None:
        super().__init__()
        require_at_least(2, num_embeddings=num_embeddings)
        require_at_least(1, num_classes=num_classes, dim=dim)
        require_share(dropout=dropout)
        self.embedding = nn.EmbeddingBag(num_embeddings, dim, mode="mean", padding_idx=0)
        with torch.no_grad():
            # Of rare n-grams most of the embedding stays what it was in the beginning: noise, so it must be little.
            nn.init.normal_(self.embedding.weight, std=0.01)[0] = 0.0
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(dim, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the normalised mean embeddings (B, dim) of ids (B, L)."""
        if x.ndim != 2 or x.is_floating_point():
            raise DataError(f"TextBag takes integer token ids (B, L), got {x.dtype} of shape {tuple(x.shape)}.")
        if x.shape[1] == 0:  # torch's bags must hold something
            x = x.new_zeros(len(x), 1)
        embedded: Tensor = self.dropout(self.norm(self.embedding(x)))
        return embedded
