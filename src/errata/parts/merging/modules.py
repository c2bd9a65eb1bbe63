"""Layers in the form that a merged network needs, and networks made wider.

A merged network has layers of other widths than the class of its model gives them. Most are told so by their
parameters' shapes. Two need more: a layer norm whose units belong to two networks takes each network's statistics
over that network's units, and attention may have more heads than its embedding has room for.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errata.errors import DataError, LoadError
from errata.parts.merging.blocks import Layout
from errata.parts.merging.running import inputs_of
from errata.parts.merging.tracing import UntraceableError

__all__ = ["Attention", "EncoderBlock", "PairedNorm", "explicit", "norms_of", "reestimate_norms", "widened"]


class Attention(nn.Module):
    """Scaled dot-product attention with a linear layer each for query, key, value and output.

    Parameters
    ----------
    embed_dim : D of the input and output
    num_heads : heads; D must be a multiple
    bias : of the four layers

    Notes
    -----
    The heads' sizes are ``head_dim`` each and need not add up to D: merging keeps heads of two networks side by side.

    Examples
    --------
    >>> Attention(8, 2)(torch.zeros(1, 3, 8)).shape
    torch.Size([1, 3, 8])
    """

    def __init__(self, embed_dim: int, num_heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.q, self.k, self.v, self.out = (nn.Linear(embed_dim, embed_dim, bias=bias) for _ in range(4))

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """From (B, N, D) to (B, N, D); ``mask`` as of ``scaled_dot_product_attention``."""
        return self.attend(x, x if context is None else context, x if context is None else context, mask)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attention with three inputs, (B, N, D) each."""
        q = self.q(query).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        k = self.k(key).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        v = self.v(value).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(found.transpose(1, 2).flatten(2))


class _Multihead(Attention):
    """``nn.MultiheadAttention`` by four layers; called as that is."""

    def __init__(self, old: nn.MultiheadAttention) -> None:
        if old.bias_k is not None or old.add_zero_attn or not old._qkv_same_embed_dim:
            raise UntraceableError(
                "nn.MultiheadAttention with bias_k, add_zero_attn, kdim or vdim can't be merged; use "
                "errata.models.Attention, or write the permutations down by hand: PermutationSpec.by_hand."
            )
        super().__init__(old.embed_dim, old.num_heads, bias=old.in_proj_bias is not None)
        self.batch_first = old.batch_first
        self.to(old.in_proj_weight)
        with torch.no_grad():
            for part, weight in zip((self.q, self.k, self.v), old.in_proj_weight.chunk(3)):
                part.weight.copy_(weight)
            if old.in_proj_bias is not None:
                for part, bias in zip((self.q, self.k, self.v), old.in_proj_bias.chunk(3)):
                    part.bias.copy_(bias)
        self.out = copy.deepcopy(old.out_proj)

    def forward(  # type: ignore[override]
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = ~attn_mask  # here True lets through
        if key_padding_mask is not None:
            let = ~key_padding_mask[:, None, None, :]
            attn_mask = let if attn_mask is None else attn_mask & let
        if not self.batch_first:
            query, key, value = query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)
        found = self.attend(query, key, value, attn_mask)
        return (found if self.batch_first else found.transpose(0, 1)), None


class EncoderBlock(nn.Module):
    """A transformer block, attention and a two-layer network each beside a shortcut; built from torch's own layer.

    Parameters
    ----------
    old : whose parts are taken
    """

    def __init__(self, old: nn.TransformerEncoderLayer) -> None:
        super().__init__()
        self.self_attn = _Multihead(old.self_attn)
        self.linear1, self.linear2 = copy.deepcopy(old.linear1), copy.deepcopy(old.linear2)
        self.norm1, self.norm2 = copy.deepcopy(old.norm1), copy.deepcopy(old.norm2)
        self.activation, self.norm_first = old.activation, old.norm_first

    def forward(
        self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        if self.norm_first:
            src = src + self._attend(self.norm1(src), src_mask, src_key_padding_mask)
            return src + self.linear2(self.activation(self.linear1(self.norm2(src))))
        src = self.norm1(src + self._attend(src, src_mask, src_key_padding_mask))
        return self.norm2(src + self.linear2(self.activation(self.linear1(src))))

    def _attend(self, x: Tensor, mask: Tensor | None, padding: Tensor | None) -> Tensor:
        return self.self_attn(x, x, x, key_padding_mask=padding, attn_mask=mask)[0]


class _Encoder(nn.Module):
    """``nn.TransformerEncoder`` without its fast path, which can't be followed."""

    def __init__(self, old: nn.TransformerEncoder) -> None:
        super().__init__()
        self.layers = nn.ModuleList(explicit(layer) for layer in old.layers)
        self.norm = copy.deepcopy(old.norm)

    def forward(
        self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask)
        return src if self.norm is None else self.norm(src)


def explicit(model: nn.Module) -> nn.Module:
    """The same network with torch's fused attention taken apart, so that it can be followed and made wider.

    The model itself where there is nothing to take apart; else a copy.

    Examples
    --------
    >>> layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    >>> x = torch.randn(2, 3, 8)
    >>> bool(torch.allclose(explicit(layer)(x), layer(x), atol=1e-5))
    True
    """
    kinds: tuple[tuple[type, Any], ...] = (
        (nn.TransformerEncoder, _Encoder),
        (nn.TransformerEncoderLayer, EncoderBlock),
        (nn.MultiheadAttention, _Multihead),
    )
    if not any(isinstance(module, tuple(old for old, _ in kinds)) for module in model.modules()):
        return model
    for old, new in kinds:
        if isinstance(model, old):
            return new(model).train(model.training)
    made = copy.deepcopy(model)
    for name, child in made.named_children():
        setattr(made, name, explicit(child))
    return made


class PairedNorm(nn.Module):
    """A layer norm over units of two networks: each network's statistics are taken over its own and the merged units.

    Separate units are normalised by their network's statistics, merged ones by both, and averaged; with merged units
    alone it is the plain layer norm.

    Parameters
    ----------
    parts : (merged, separate) counts of the stretches, which lie as [merged | of A | of B] one after the other
    eps : added to the variance
    affine : with weights and biases
    axis : of the units: -1 (layer norm), or 1 with statistics over all later axes too (group norm with one group)

    Examples
    --------
    >>> x = torch.randn(4, 6)
    >>> norm = PairedNorm([(0, 3)])
    >>> bool(torch.allclose(norm(x)[:, :3], F.layer_norm(x[:, :3], (3,)), atol=1e-6))
    True
    """

    a: Tensor
    b: Tensor

    def __init__(
        self, parts: Sequence[Sequence[int]], eps: float = 1e-5, affine: Sequence[bool] = (True, True), axis: int = -1
    ) -> None:
        super().__init__()
        self.eps, self.axis = eps, axis
        kinds = torch.cat([torch.tensor([0] * n + [1] * m + [2] * m) for n, m in parts])
        self.register_buffer("a", kinds != 2, persistent=False)
        self.register_buffer("b", kinds != 1, persistent=False)
        size = len(kinds)
        self.weight = nn.Parameter(torch.ones(size)) if affine[0] else None
        self.bias = nn.Parameter(torch.zeros(size)) if affine[1] else None

    def forward(self, x: Tensor) -> Tensor:
        shape = [-1 if k == self.axis % x.ndim else 1 for k in range(x.ndim)]
        a, b = self.a.reshape(shape), self.b.reshape(shape)
        found = (self._normalise(x, a) + self._normalise(x, b)) / (a.to(x.dtype) + b.to(x.dtype))
        if self.weight is not None:
            found = found * self.weight.reshape(shape)
        return found if self.bias is None else found + self.bias.reshape(shape)

    def _normalise(self, x: Tensor, own: Tensor) -> Tensor:
        dims = [-1] if self.axis == -1 else list(range(1, x.ndim))
        weight = own.to(x.dtype).expand_as(x)
        count = weight.sum(dims, keepdim=True).clamp(min=1)
        mean = (x * weight).sum(dims, keepdim=True) / count
        centred = (x - mean) * weight
        return centred * (centred.square().sum(dims, keepdim=True) / count + self.eps).rsqrt()


def norms_of(model: nn.Module, layouts: Mapping[str, Layout]) -> dict[str, list[list[int]]]:
    """The layer norms of a network that must become paired ones, with their (merged, separate) counts.

    Parameters
    ----------
    model : before it is made wider
    layouts : parameter -> the layout of its units
    """
    found: dict[str, list[list[int]]] = {}
    for name, module in model.named_modules():
        alone = isinstance(module, nn.GroupNorm) and module.num_groups == 1
        if not (isinstance(module, nn.LayerNorm) or alone) or f"{name}.weight" not in layouts:
            continue
        layout = layouts[f"{name}.weight"]
        if not bool(layout.merged.all()):
            found[name] = _stretches(layout)
    return found


def _stretches(layout: Layout) -> list[list[int]]:
    kinds = (layout.only_a.int() + 2 * layout.only_b.int()).tolist()
    found: list[list[int]] = []
    i = 0
    while i < len(kinds):
        counts = []
        for kind in (0, 1, 2):
            start = i
            while i < len(kinds) and kinds[i] == kind:
                i += 1
            counts.append(i - start)
        found.append(counts[:2])
    return found


def widened(
    model: nn.Module, state: Mapping[str, Tensor], norms: Mapping[str, Sequence[Sequence[int]]] | None = None
) -> nn.Module:
    """A copy of a network with the shapes and values of ``state``.

    Parameters
    ----------
    model : of the same build, with other widths
    state : all of its parameters and buffers; a tensor on the "meta" device gives a shape only
    norms : layer norms that become paired ones, see ``norms_of``

    Raises
    ------
    LoadError
        where ``state`` does not belong to such a network

    Examples
    --------
    >>> wide = widened(nn.Linear(2, 3), {"weight": torch.zeros(5, 2), "bias": torch.ones(5)})
    >>> wide.out_features, wide(torch.zeros(1, 2)).shape
    (5, torch.Size([1, 5]))
    """
    made = copy.deepcopy(model)
    for name, parts in (norms or {}).items():
        old: Any = made.get_submodule(name)
        has = (old.weight is not None, old.bias is not None)
        holder = made.get_submodule(name.rpartition(".")[0])
        paired = PairedNorm(parts, old.eps, has, 1 if isinstance(old, nn.GroupNorm) else -1)
        setattr(holder, name.rpartition(".")[2], paired)
    for prefix, module in made.named_modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for key, tensor in own:
            name = f"{prefix}.{key}" if prefix else key
            if name in state and state[name].shape != tensor.shape:
                fresh = torch.empty(state[name].shape, dtype=tensor.dtype, device=tensor.device)
                setattr(module, key, nn.Parameter(fresh) if isinstance(tensor, nn.Parameter) else fresh)
    for module in made.modules():
        _tell_widths(module)
    values = {name: tensor for name, tensor in state.items() if not tensor.is_meta}
    try:
        missing, unexpected = made.load_state_dict(values, strict=False)
    except RuntimeError as error:
        raise LoadError(f"The parameters don't fit the network: {str(error).splitlines()[-1].strip()}") from error
    unknown = [*unexpected, *(name for name in state if name not in made.state_dict())]
    if unknown or (values and missing):
        odd = (unknown or missing)[0]
        raise LoadError(f"The parameters don't fit the network: '{odd}' is {'not in it' if unknown else 'missing'}.")
    return made


def _tell_widths(module: Any) -> None:
    """Let a layer's own account of its sizes agree with its parameters."""
    weight = getattr(module, "weight", None)
    if isinstance(module, Attention):
        module.num_heads = module.q.weight.shape[0] // module.head_dim
    if not isinstance(weight, Tensor):
        return
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = weight.shape
    elif isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        alone = module.groups == module.in_channels > 1
        module.out_channels = weight.shape[0]
        module.in_channels = weight.shape[0] if alone else weight.shape[1] * module.groups
        module.groups = weight.shape[0] if alone else module.groups
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        module.num_features = len(weight)
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = tuple(weight.shape)
    elif isinstance(module, nn.GroupNorm):
        unit = module.num_channels // module.num_groups
        module.num_channels, module.num_groups = len(weight), max(1, len(weight) // unit)
    elif isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        module.num_embeddings, module.embedding_dim = weight.shape
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(weight)


def reestimate_norms(model: nn.Module, batches: Iterable[Any], most: int | None = 101) -> int:
    """Estimate the running statistics of batch normalisation anew, as plain means over batches.

    Parameters
    ----------
    model : changed in place; only its batch normalisation is in training mode meanwhile
    batches : of inputs
    most : of the batches

    Returns
    -------
    int
        how many layers there were; without any the batches are not touched
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    if not norms:
        return 0
    was = [(norm, norm.momentum) for norm in norms]
    training = model.training
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    seen = 0
    with torch.no_grad():
        for number, batch in enumerate(batches):
            x = inputs_of(batch).a
            if most is not None and number >= most:
                break
            if len(x) > 1:  # one sample has no variance
                model(x.to(device))
                seen += 1
    for norm, momentum in was:
        norm.momentum = momentum
    model.train(training)
    if not seen:
        raise DataError("Batch normalisation needs batches of two samples or more to estimate its statistics anew.")
    return len(norms)
