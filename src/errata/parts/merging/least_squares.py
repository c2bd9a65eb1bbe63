"""Fitting a merged layer in closed form: what it should answer, given what it will see.

The features come from the two original networks, never from the merged one: the layer's input is put together from both
networks' inputs of that layer, its target from both networks' outputs. A Gram matrix in float64 is all that is kept of
the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errata.errors import ParameterError
from errata.parts.merging.blocks import Layout

__all__ = ["Gram", "block_least_squares", "layer_rows", "solve"]


@dataclass
class Gram:
    """Sums over samples of a regression from x (p) to y (q), in float64.

    Attributes
    ----------
    xx, xy, yy : (p, p), (p, q), (q,) sums of products; ``yy`` of squares
    x, y : (p,), (q,) sums
    n : samples
    """

    xx: Tensor
    xy: Tensor
    yy: Tensor
    x: Tensor
    y: Tensor
    n: int = 0

    @classmethod
    def empty(cls, inputs: int, outputs: int, device: Any = "cpu") -> Gram:
        """Of no samples."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.float64, device=device)

        return cls(zeros(inputs, inputs), zeros(inputs, outputs), zeros(outputs), zeros(inputs), zeros(outputs))

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add samples: (n, p) and (n, q)."""
        x, y = x.double(), y.double()
        self.xx.addmm_(x.T, x)
        self.xy.addmm_(x.T, y)
        self.yy += (y * y).sum(0)
        self.x += x.sum(0)
        self.y += y.sum(0)
        self.n += len(x)

    def residual(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """(q,) the summed squares ``||X w - y||^2`` of (q, p) weights and (q,) biases."""
        w = weight.double()
        total = self.yy - 2 * (w.T * self.xy).sum(0) + ((self.xx @ w.T) * w.T).sum(0)
        if bias is not None:
            b = bias.double()
            total = total + 2 * b * (w @ self.x) - 2 * b * self.y + self.n * b * b
        return total.clamp(min=0)


def solve(
    gram: Gram,
    rows_in: Layout,
    rows_out: Layout,
    *,
    ridge: float,
    relative: bool = True,
    bias: bool = True,
    start: Tensor | None = None,
    repeat: int = 1,
) -> tuple[Tensor, Tensor | None]:
    """Weights and biases that minimise ``||X W^T + b - Y||^2 + ridge ||W - start||^2`` with the structural zeros.

    Merged outputs may use all inputs; those of A alone the merged inputs and A's; those of B alone the merged and B's.

    Parameters
    ----------
    gram : of the layer's p inputs and q outputs
    rows_in, rows_out : the layouts of inputs (p / repeat places) and outputs (q places)
    ridge : 0 or more
    relative : in units of the mean diagonal of the (centred) Gram matrix
    bias : fit an offset, which is not penalised
    start : (q, p) what the ridge pulls to; zero by default
    repeat : numbers per place of the inputs (a convolution's kernel)

    Returns
    -------
    (q, p) weights and (q,) biases, float64
    """
    if not ridge >= 0:
        raise ParameterError(f"ridge must be 0 or more; got {ridge!r}.")
    xx, xy = gram.xx, gram.xy
    if bias and gram.n:
        xx = xx - torch.outer(gram.x, gram.x) / gram.n
        xy = xy - torch.outer(gram.x, gram.y) / gram.n
    weight = torch.zeros(xy.shape[1], xx.shape[0], dtype=torch.float64, device=xx.device)
    used = torch.ones(rows_in.width, dtype=torch.bool)
    kinds = ((rows_out.merged, used), (rows_out.only_a, ~rows_in.only_b), (rows_out.only_b, ~rows_in.only_a))
    for outputs, inputs in kinds:
        rows = outputs.nonzero()[:, 0].to(xx.device)
        columns = inputs.repeat_interleave(repeat).nonzero()[:, 0].to(xx.device)
        if not len(rows) or not len(columns):
            continue
        own = xx[columns][:, columns]
        scale = ridge * (float(own.diagonal().mean()) if relative else 1.0)
        right = xy[columns][:, rows]
        if start is not None:
            right = right + scale * start.double().to(xx.device)[rows][:, columns].T
        found = _positive_solve(own + scale * torch.eye(len(columns), dtype=own.dtype, device=own.device), right)
        weight[rows[:, None], columns] = found.T
    if not bias:
        return weight, None
    return weight, (gram.y - weight @ gram.x) / max(1, gram.n)


def _positive_solve(matrix: Tensor, right: Tensor) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed) == 0:
        return torch.cholesky_solve(right, factor)
    return torch.linalg.pinv(matrix, hermitian=True) @ right  # inputs that never vary, and no ridge


def block_least_squares(
    x: Tensor, y: Tensor, inputs: tuple[int, int], outputs: tuple[int, int], ridge: float
) -> tuple[Tensor, Tensor, float]:
    """The closed form on data that lie as [merged | separate of A | separate of B].

    Parameters
    ----------
    x : (n, m_in + 2 s_in)
    y : (n, m_out + 2 s_out)
    inputs, outputs : (merged, separate) counts
    ridge : added to the diagonal of each block's centred Gram matrix

    Returns
    -------
    W (out, in), b (out,), and the sum of squared residuals

    Examples
    --------
    >>> x = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    >>> w, b, left = block_least_squares(x, 2 * x + 1, (1, 0), (1, 0), 0.0)
    >>> w.round(decimals=6).item(), b.round(decimals=6).item(), round(left, 6)
    (2.0, 1.0, 0.0)
    """
    gram = Gram.empty(x.shape[1], y.shape[1])
    gram.add(x, y)
    weight, bias = solve(gram, _counted(*inputs), _counted(*outputs), ridge=ridge, relative=False)
    assert bias is not None
    left = x.double() @ weight.T + bias - y.double()
    return weight, bias, float((left * left).sum())


def _counted(merged: int, separate: int) -> Layout:
    none = torch.full((separate,), -1)
    own = torch.arange(merged, merged + separate)
    both = torch.arange(merged)
    return Layout(torch.cat([both, own, none]), torch.cat([both, none, own]))


def layer_rows(
    layer: nn.Module, x: Tensor, y: Tensor, positions: int | None, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """A layer's inputs and outputs as rows of a regression: patches for convolutions, places of a text or map.

    Parameters
    ----------
    layer : Linear or Conv of 1 to 3 dimensions; its kernel, stride, padding and dilation are used
    x, y : what goes in and comes out, (B, c_in, ...) and (B, c_out, ...), or (B, ..., features) for Linear
    positions : places of each sample to use, chosen at random but alike in all samples of a batch; None for all

    Returns
    -------
    (rows, inputs x kernel), (rows, outputs)
    """
    if isinstance(layer, nn.Linear):
        if x.ndim == 2:
            return x, y
        x, y = x.flatten(1, -2), y.flatten(1, -2)
        index = _draw(x.shape[1], positions, generator)
        if index is not None:
            x, y = x[:, index.to(x.device)], y[:, index.to(y.device)]
        return x.flatten(0, 1), y.flatten(0, 1)
    conv: Any = layer
    x = _padded(conv, x)
    for dim in range(len(conv.kernel_size)):
        reach = (conv.kernel_size[dim] - 1) * conv.dilation[dim] + 1
        x = x.unfold(dim + 2, reach, conv.stride[dim])[..., :: conv.dilation[dim]]
    spatial = len(conv.kernel_size)
    places = x.shape[2 : 2 + spatial]
    y = y.movedim(1, -1).flatten(1, spatial)
    index = _draw(y.shape[1], positions, generator)
    if index is None:
        return x.movedim(1, spatial + 1).flatten(0, spatial).flatten(1), y.flatten(0, 1)
    # the patches are a view until here, so only those that are used become numbers of their own
    where: Any = (slice(None), slice(None), *torch.unravel_index(index.to(x.device), places))
    patches = x[where].movedim(2, 1)  # (B, places, c, *kernel)
    return patches.flatten(0, 1).flatten(1), y[:, index.to(y.device)].flatten(0, 1)


def _padded(conv: Any, x: Tensor) -> Tensor:
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    return F.pad(x, conv._reversed_padding_repeated_twice, mode=mode)


def _draw(total: int, positions: int | None, generator: torch.Generator | None) -> Tensor | None:
    """Some of the places, or None for all."""
    if positions is None or total <= positions:
        return None
    return torch.randperm(total, generator=generator)[:positions]
