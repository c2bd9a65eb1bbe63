"""Batches, and one entry per loss of logits and labels, for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from errata import losses
from errata.losses import functional as F


@dataclass(frozen=True)
class Case:
    """A loss in both its forms, with what is true of it."""

    name: str
    module: Callable[..., nn.Module]
    function: Callable[..., Tensor]
    params: dict[str, Any] = field(default_factory=dict)
    low: float = 0.0
    high: float = float("inf")
    soft: bool = False
    exact_gradient: bool = True
    """Whether autograd gives the derivative of the value (not so where a factor counts as a constant)."""

    def build(self, **more: Any) -> nn.Module:
        return self.module(**self.params, **more).eval()

    def call(self, logits: Tensor, target: Tensor, **more: Any) -> Tensor:
        return self.function(logits, target, **self.params, **more)


def ogc_at(threshold: float) -> Callable[..., nn.Module]:
    """The module with a threshold set by hand, in evaluation mode, where it stays."""

    def build(**params: Any) -> nn.Module:
        params.pop("threshold")
        loss = losses.OptimizedGradientClipping(**params).double()
        state = loss.state_dict()
        state["threshold"].fill_(threshold)
        loss.load_state_dict(state)
        return loss

    return build


def both(name: str, module: Any, function: Any, params: dict[str, Any] | None = None, **facts: Any) -> Case:
    return Case(name, module, function, params or {}, **facts)


CLIP = 9.210340371976182  # -log(1e-4)

CASES = [
    both("ce", losses.CrossEntropy, F.cross_entropy, soft=True),
    both("focal", losses.FocalLoss, F.focal_loss, {"gamma": 2.0}, soft=True, exact_gradient=False),
    both("focal-textbook", losses.FocalLoss, F.focal_loss, {"gamma": 0.5, "detach_factor": False}, soft=True),
    both("mae", losses.MeanAbsoluteError, F.mean_absolute_error, high=1, soft=True),
    both("mae-clamped", losses.MeanAbsoluteError, F.mean_absolute_error, {"min_prob": 1e-7, "max_prob": 0.999}, high=1),
    both("rce", losses.ReverseCrossEntropy, F.reverse_cross_entropy, high=CLIP, soft=True),
    both("rce-clamped", losses.ReverseCrossEntropy, F.reverse_cross_entropy, {"min_prob": 1e-7}, soft=True),
    both("sce", losses.SymmetricCrossEntropy, F.symmetric_cross_entropy, {"alpha": 0.5, "beta": 2.0}, soft=True),
    both("gce", losses.GeneralizedCrossEntropy, F.generalized_cross_entropy, {"q": 0.7}, high=1 / 0.7),
    both("gce-clamped", losses.GeneralizedCrossEntropy, F.generalized_cross_entropy, {"q": 0.3, "min_prob": 1e-7}),
    both("phuber", losses.PartiallyHuberized, F.partially_huberized, {"tau": 3.0}, high=2.0986122886681099),
    both("taylor", losses.TaylorCrossEntropy, F.taylor_cross_entropy, {"t": 3}, high=11 / 6),
    both("js", losses.JensenShannon, F.jensen_shannon, {"pi": 0.5}, high=2.0, soft=True),
    both("nce", losses.NormalizedCrossEntropy, F.normalized_cross_entropy, high=1, soft=True),
    both("nfl", losses.NormalizedFocal, F.normalized_focal, high=1, soft=True, exact_gradient=False),
    both("apl", losses.ActivePassive, F.active_passive, {"active": "nce", "passive": "mae"}, high=2, soft=True),
    both("apl-agce", losses.ActivePassive, F.active_passive, {"active": "nce", "passive": "agce", "beta": 4.0}),
    both("nnce", losses.NormalizedNegative, F.normalized_negative, high=1),
    both("nnfl", losses.NormalizedNegative, F.normalized_negative, {"base": "fl"}, high=1, exact_gradient=False),
    both("anl-ce", losses.ActiveNegative, F.active_negative, {"alpha": 2.0, "beta": 3.0}, high=5),
    both("anl-fl", losses.ActiveNegative, F.active_negative, {"active": "nfl"}, high=10, exact_gradient=False),
    both(
        "agce", losses.AsymmetricGeneralizedCrossEntropy, F.asymmetric_generalized_cross_entropy, {"a": 6.0, "q": 1.5}
    ),
    both(
        "agce-gce",
        losses.AsymmetricGeneralizedCrossEntropy,
        F.asymmetric_generalized_cross_entropy,
        {"a": 0.0, "q": 0.4},
    ),
    both("aul", losses.AsymmetricUnhinged, F.asymmetric_unhinged, {"a": 6.3, "q": 1.5}),
    both("aul-edge", losses.AsymmetricUnhinged, F.asymmetric_unhinged, {"a": 1.0, "q": 0.4}, high=2.5),
    both("ael", losses.AsymmetricExponential, F.asymmetric_exponential, {"a": 5.0}, low=0.8187307530779818, high=1),
    both("logitclip", losses.LogitClip, F.logit_clip, {"tau": 1.5}, soft=True),
    both("logitclip-gce", losses.LogitClip, F.logit_clip, {"tau": 1.5, "delta": 0.7, "base": "gce"}),
    *(
        both(f"ogc-{base}", ogc_at(0.2), F.optimized_gradient_clipping, {"base_loss": base, "threshold": 0.2})
        for base in ("ce", "fl", "gce")
    ),
]
BY_NAME = {case.name: case for case in CASES}
IDS = list(BY_NAME)


def make_batch(seed: int, size: int = 6, classes: int = 4, scale: float = 2.0, shape: tuple[int, ...] = ()) -> Any:
    """Logits (size, classes, *shape) in float64 and classes (size, *shape)."""
    rng = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(size, classes, *shape, generator=rng, dtype=torch.float64)
    return logits, torch.randint(0, classes, (size, *shape), generator=rng)


def over_classes(function: Callable[..., Tensor], logits: Tensor, **params: Any) -> Tensor:
    """The loss of every row for every class, (B, K)."""
    loss = partial(function, logits, reduction="none", **params)
    return torch.stack([loss(torch.full((len(logits),), k)) for k in range(logits.shape[1])], 1)
