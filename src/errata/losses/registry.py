"""Losses by their short names, for the command line and for systems that take any loss."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from errata.errors import UnknownNameError
from errata.losses.asymmetric import AsymmetricExponential, AsymmetricGeneralizedCrossEntropy, AsymmetricUnhinged
from errata.losses.base import Loss
from errata.losses.bounded import GeneralizedCrossEntropy, JensenShannon, PartiallyHuberized, TaylorCrossEntropy
from errata.losses.cross_entropy import CrossEntropy, FocalLoss
from errata.losses.gradient_clipping import OptimizedGradientClipping
from errata.losses.logit_clip import LogitClip
from errata.losses.negative import ActiveNegative, NormalizedNegative
from errata.losses.normalized import ActivePassive, NormalizedCrossEntropy, NormalizedFocal
from errata.losses.symmetric import MeanAbsoluteError, ReverseCrossEntropy, SymmetricCrossEntropy

_LOSSES: dict[str, tuple[type[Loss], dict[str, Any]]] = {
    "ce": (CrossEntropy, {}),
    "focal": (FocalLoss, {}),
    "mae": (MeanAbsoluteError, {}),
    "rce": (ReverseCrossEntropy, {}),
    "sce": (SymmetricCrossEntropy, {}),
    "gce": (GeneralizedCrossEntropy, {}),
    "phuber": (PartiallyHuberized, {}),
    "taylor": (TaylorCrossEntropy, {}),
    "js": (JensenShannon, {}),
    "nce": (NormalizedCrossEntropy, {}),
    "nfl": (NormalizedFocal, {}),
    "nnce": (NormalizedNegative, {"base": "ce"}),
    "nnfl": (NormalizedNegative, {"base": "fl"}),
    "agce": (AsymmetricGeneralizedCrossEntropy, {}),
    "aul": (AsymmetricUnhinged, {}),
    "ael": (AsymmetricExponential, {}),
    "apl": (ActivePassive, {}),
    "apl-nce-mae": (ActivePassive, {"active": "nce", "passive": "mae"}),
    "apl-nce-rce": (ActivePassive, {"active": "nce", "passive": "rce"}),
    "apl-nfl-mae": (ActivePassive, {"active": "nfl", "passive": "mae"}),
    "apl-nfl-rce": (ActivePassive, {"active": "nfl", "passive": "rce"}),
    "apl-nce-agce": (ActivePassive, {"active": "nce", "passive": "agce", "beta": 4.0}),
    "apl-nce-aul": (ActivePassive, {"active": "nce", "passive": "aul", "beta": 4.0}),
    "apl-nce-ael": (ActivePassive, {"active": "nce", "passive": "ael", "beta": 4.0}),
    "anl-ce": (ActiveNegative, {"active": "nce"}),
    "anl-fl": (ActiveNegative, {"active": "nfl"}),
    "logitclip": (LogitClip, {}),
    "ogc": (OptimizedGradientClipping, {}),
    "ogc-fl": (OptimizedGradientClipping, {"base_loss": "fl"}),
    "ogc-gce": (OptimizedGradientClipping, {"base_loss": "gce"}),
}
_ALIASES = {
    "fl": "focal",
    "anl": "anl-ce",
    "ogc-ce": "ogc",
    "lc": "logitclip",
    "phuber-ce": "phuber",
    "taylor-ce": "taylor",
}


def names() -> list[str]:
    """The short names of all losses.

    Examples
    --------
    >>> names()[:6]
    ['ce', 'focal', 'mae', 'rce', 'sce', 'gce']
    """
    return list(_LOSSES)


def _find(name: str) -> str:
    short = str(name).lower().replace("_", "-").replace("+", "-")
    short = _ALIASES.get(short, short)
    for candidate in (short, f"apl-{short}"):
        if candidate in _LOSSES:
            return candidate
    raise UnknownNameError("loss", name, _LOSSES)


def parameters_of(name: str) -> dict[str, Any]:
    """The parameters that ``get(name, ...)`` takes, with their defaults.

    A pair of losses takes the parameters of its parts beside its own.

    Examples
    --------
    >>> parameters_of("gce")
    {'q': 0.7, 'min_prob': 0.0, 'max_prob': 1.0, 'reduction': 'mean', 'ignore_index': -100}
    >>> parameters_of("apl-nce-aul")["beta"]
    4.0
    """
    factory, preset = _LOSSES[_find(name)]
    own = {k: p.default for k, p in inspect.signature(factory).parameters.items()} | preset
    if factory is not ActivePassive:
        return own
    return _part_parameters(own, "passive") | _part_parameters(own, "active") | own


def _part_parameters(pair: Mapping[str, Any], role: str) -> dict[str, Any]:
    return parameters_of(pair[role]) if isinstance(pair[role], str) else {}


def get(name: str, **params: Any) -> nn.Module:
    """Build a loss by its short name.

    Parameters
    ----------
    name : one of ``names()``; case, and "-", "_" or "+" between words, do not matter; "nce-rce" is "apl-nce-rce"
    params : of the loss, see ``parameters_of``

    Raises
    ------
    UnknownNameError
        No such loss, or the loss has no such parameter; the message suggests the nearest.
    ParameterError
        A parameter's value makes no sense.

    Examples
    --------
    >>> get("gce", q=0.5)
    GeneralizedCrossEntropy(q=0.5, min_prob=0.0, max_prob=1.0)
    """
    key = _find(name)
    factory, preset = _LOSSES[key]
    chosen = preset | params
    if factory is ActivePassive:
        chosen = _with_parts(chosen)
    known = inspect.signature(factory).parameters
    for param in chosen:
        if param not in known:
            raise UnknownNameError(f"parameter of the loss '{key}'", param, parameters_of(key))
    return factory(**chosen)


def _with_parts(chosen: dict[str, Any]) -> dict[str, Any]:
    """Hand the parameters of a pair that are not its own to the part that has them."""
    own = inspect.signature(ActivePassive).parameters
    pair = {k: v for k, v in chosen.items() if k in own}
    rest = {k: v for k, v in chosen.items() if k not in own}
    for role in ("active", "passive"):
        part = pair.get(role, own[role].default)
        if isinstance(part, str):
            taken = {k: v for k, v in rest.items() if k in parameters_of(part)}
            pair[role] = get(part, **taken)
            rest = {k: v for k, v in rest.items() if k not in taken}
    return pair | rest
