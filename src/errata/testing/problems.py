"""Small problems that any system can be tried on: a few rows of each kind of data, and networks that learn them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from errata.parts import Batch, Views
from errata.testing.failure import CheckFailure

__all__ = ["CLASSES", "KINDS", "SEVERAL", "Problem", "SealedBatch", "batches", "make_problem", "ordinary_loader"]

KINDS = ("tabular", "image", "text")
CLASSES = 3
SEVERAL = "several-labels-"
"""Before a kind: the same inputs with labels (N, 3) of 1, 0 and -1 (not known)."""


@dataclass
class Problem:
    """Inputs, labels, a network that fits them, and their views.

    Attributes
    ----------
    x : (N, ...) inputs as stored
    y : (N,) int64 in [0, 3); or (N, 3) of 1, 0 and -1, where a sample has several labels
    network : makes the network; without batch normalisation, so that a batch of one is a batch
    views : from stored inputs to what the network takes
    """

    x: Tensor
    y: Tensor
    network: Callable[[], nn.Module]
    views: Views

    def __len__(self) -> int:
        return len(self.y)


class ByteViews(Views):
    """Images stored as bytes: a system that goes past its views gives its network bytes, which no layer takes."""

    def plain(self, x: Any) -> Any:
        return x.to(torch.get_default_dtype()) / 255


class TokenNetwork(nn.Module):
    """The mean of token embeddings, and a linear layer on it; token 0 is padding."""

    def __init__(self, tokens: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(tokens, 8, mode="mean", padding_idx=0)
        self.classifier = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.embedding(x))


def make_problem(kind: str = "tabular", n: int = 30, *, dropout: float = 0.0) -> Problem:
    """A problem of one kind with ``n`` rows, always the same, that a linear network can learn.

    Examples
    --------
    >>> problem = make_problem("image", n=4)
    >>> problem.x.shape, problem.x.dtype, problem.network()(problem.views.plain(problem.x)).shape
    (torch.Size([4, 3, 8, 8]), torch.uint8, torch.Size([4, 3]))
    """
    if kind.startswith(SEVERAL):
        one = make_problem(kind.removeprefix(SEVERAL), n, dropout=dropout)
        return Problem(one.x, _several(one.y), one.network, one.views)
    random = torch.Generator().manual_seed(11)
    y = torch.arange(n) % CLASSES
    y = y[torch.randperm(n, generator=random)]
    if kind == "tabular":
        x = 0.4 * torch.randn(n, 6, generator=random) + torch.eye(CLASSES, 6)[y]
        return Problem(x, y, lambda: _dense(6, dropout), Views())
    if kind == "image":
        shade = 60 * torch.eye(CLASSES)[y][:, :, None, None]
        x = (100 + shade + 20 * torch.randn(n, 3, 8, 8, generator=random)).clamp(0, 255).to(torch.uint8)
        return Problem(x, y, lambda: _convolutional(dropout), ByteViews())
    if kind == "text":
        x = torch.randint(1, 20, (n, 5), generator=random)
        x[:, 0] = 20 + y  # a word that tells the class
        x[:, 4] *= torch.randint(0, 2, (n,), generator=random)  # and padding
        return Problem(x.to(torch.int32), y, lambda: TokenNetwork(20 + CLASSES, CLASSES), Views())
    raise CheckFailure(f"There are no problems of the kind '{kind}'; known are {', '.join(KINDS)}.")


def _several(y: Tensor) -> Tensor:
    """(N, 3) labels that follow from the class; of every third sample one isn't known."""
    labels = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]])[y]
    rows = torch.arange(0, len(y), 3)
    labels[rows, rows // 3 % CLASSES] = -1
    return labels


def _dense(inputs: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, CLASSES))


def _convolutional(dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(8, CLASSES),
    )


class SealedBatch(Batch):
    """A batch whose samples' truth can't be read."""

    __slots__ = ()

    @property
    def truth(self) -> Tensor:
        """Raises: a system must not ask for it."""
        raise CheckFailure("The system read batch.truth, the true labels. Nobody has these when it matters.")


class _Samples(Dataset[Batch]):
    """Single samples, for an ordinary DataLoader with its ordinary collation."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def __len__(self) -> int:
        return len(self.problem)

    def __getitem__(self, row: int) -> Batch:
        return SealedBatch(torch.tensor(row), self.problem.x[row], self.problem.y[row])

    @property
    def truth(self) -> Tensor:
        """Raises: a system must not ask for it."""
        raise CheckFailure("The system read the data set's truth, the true labels. Nobody has these when it matters.")


def ordinary_loader(problem: Problem, size: int = 8, *, shuffle: bool = False) -> DataLoader[Any]:
    """An ordinary DataLoader of single samples, collated as torch does by default."""
    return DataLoader(_Samples(problem), batch_size=size, shuffle=shuffle)


def batches(problem: Problem, size: int = 8, *, order: Tensor | None = None) -> list[Batch]:
    """The problem cut into batches of ``size`` in a given order; the last one may be smaller."""
    rows = torch.arange(len(problem)) if order is None else order
    return [SealedBatch(part, problem.x[part], problem.y[part]) for part in rows.split(size)]


def as_loader(parts: Sequence[Batch]) -> DataLoader[Any]:
    """A DataLoader that gives these batches as they are."""
    return DataLoader(parts, batch_size=None)  # type: ignore[arg-type]  # a list is a data set of its entries
