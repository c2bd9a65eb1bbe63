"""Models by name."""

from __future__ import annotations

import inspect
import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from errata.errors import DataError, LoadError, ParameterError, UnknownNameError
from errata.models.base import Classifier
from errata.models.conv import SmallCNN, preact_resnet18, resnet18, resnet34
from errata.models.dense import MLP, TextBag
from errata.models.doors import HFModel, TimmModel
from errata.models.label_graph import LabelGraphNet
from errata.models.resnet9 import ResNet9
from errata.models.transformer import PatchTransformer
from errata.parts.merging.modules import explicit, widened

__all__ = ["build", "from_spec", "names", "widened_spec"]

_SMALLEST_IMAGE = 8

_BUILDERS: dict[str, Callable[..., Classifier]] = {
    "mlp": MLP,
    "small_cnn": SmallCNN,
    "resnet9": ResNet9,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "preact_resnet18": preact_resnet18,
    "text_bag": TextBag,
    "label_graph": LabelGraphNet,
    "patch_transformer": PatchTransformer,
}
_DOORS: dict[str, Callable[..., Classifier]] = {"timm": TimmModel, "hf": HFModel}


def names() -> list[str]:
    """Return the names that :func:`build` knows; besides these it opens the doors ``timm:NAME`` and ``hf:NAME``.

    Examples
    --------
    >>> names()[:4]
    ['mlp', 'small_cnn', 'resnet9', 'resnet18']
    """
    return list(_BUILDERS)


def build(
    name: str, num_classes: int, input_shape: Sequence[int] | None = None, *, seed: int | None = None, **kwargs: Any
) -> Classifier:
    """Build a model by name.

    Parameters
    ----------
    name : str
        One of :func:`names` (hyphens do for underscores), ``"timm:NAME"`` or ``"hf:NAME"``.
    num_classes : int >= 1
        K.
    input_shape : sequence of int, optional
        Shape of one input, without the batch: (D,) or any for "mlp"; (C, H, W) for those that take images; not looked
        at by those that take text. It sets ``in_features`` or ``in_channels`` where they are not given.
    seed : int, optional
        Draw the initial weights from this seed and leave torch's global generator alone; None draws from that, as
        every torch module does.
    **kwargs
        What the model's class or function takes besides, e.g. ``hidden=(64,)``; ``num_embeddings`` for "text_bag".

    Returns
    -------
    Classifier
        Its ``spec`` says how to build it again: :func:`from_spec`.

    Raises
    ------
    UnknownNameError
        A model or parameter that does not exist; the nearest is suggested.
    ParameterError
        A parameter is missing or out of range, or ``input_shape`` does not suit the model.
    MissingExtraError, LoadError
        See :class:`TimmModel` and :class:`HFModel`.

    Examples
    --------
    >>> model = build("mlp", 10, input_shape=(1, 8, 8), hidden=[32])
    >>> model.spec["name"], model.spec["kwargs"]["in_features"]
    ('mlp', 64)
    """
    kind, maker, given = _find(name)
    if input_shape is not None:
        given |= _from_shape(kind, [operator.index(n) for n in input_shape])
    given |= {"num_classes": num_classes, **kwargs}
    arguments = _plain(kind, _complete(kind, maker, given))
    options = arguments.pop("options", {})  # what goes on to timm
    with _seeded(seed):
        model = maker(**arguments, **options)
    arguments |= options | getattr(model, "rebuild_with", {})
    if kind in _DOORS:
        del arguments["name"]
    model.spec = {"name": name if kind in _DOORS else kind, "kwargs": arguments}
    return model


def from_spec(spec: Any) -> Classifier:
    """Build a model again from its ``spec``: the same shape, with random weights, and without the network.

    Parameters
    ----------
    spec : dict
        ``{"name": ..., "kwargs": {...}}`` as :func:`build` leaves it on a model, also after a journey through JSON.
        With "widths", which :func:`widened_spec` adds for merged networks, its layers are made as wide as those say.

    Raises
    ------
    LoadError
        It is not a spec, or one of a model that does not exist here.

    Examples
    --------
    >>> import json
    >>> model = build("small_cnn", 10, (3, 32, 32), width=8)
    >>> again = from_spec(json.loads(json.dumps(model.spec)))
    >>> again.load_state_dict(model.state_dict())
    <All keys matched successfully>
    """
    kwargs = spec.get("kwargs") if isinstance(spec, Mapping) else None
    if not isinstance(kwargs, Mapping) or not isinstance(spec.get("name"), str) or "num_classes" not in kwargs:
        raise LoadError(
            "The model's spec must be a dict with 'name' and 'kwargs' as errata.models.build leaves it, "
            f"got {spec!r}. A model of your own has none: build it yourself and load its state dict."
        )
    try:
        model = build(spec["name"], **kwargs)
    except (ParameterError, DataError) as error:
        raise LoadError(f"The saved model '{spec['name']}' cannot be built here: {error}") from error
    widths = spec.get("widths")
    if widths is None:
        return model
    try:
        shapes = {
            str(name): torch.empty([int(n) for n in shape], device="meta") for name, shape in widths["shapes"].items()
        }
        wide = widened(explicit(model), shapes, widths.get("norms", {}))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LoadError(f"The saved model '{spec['name']}' has widths that can't be read: {error!r}.") from error
    return _with_spec(wide, spec)


def widened_spec(
    spec: Mapping[str, Any], model: torch.nn.Module, norms: Mapping[str, Sequence[Sequence[int]]]
) -> dict[str, Any]:
    """The spec of a network whose layers were made wider: that of the network it was made of, and its widths.

    Parameters
    ----------
    spec : of the network with the usual widths
    model : the wide one
    norms : its paired layer norms, see ``errata.parts.merging.modules.norms_of``

    Examples
    --------
    >>> narrow = build("mlp", 3, (4,), hidden=[2])
    >>> wide = {**narrow.state_dict(), "body.0.weight": torch.zeros(5, 4), "body.0.bias": torch.zeros(5)}
    >>> wide["classifier.weight"] = torch.zeros(3, 5)
    >>> again = from_spec(widened_spec(narrow.spec, widened(narrow, wide), {}))
    >>> again.body[0].out_features, again.classifier.in_features
    (5, 5)
    """
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    widths = {"shapes": shapes, "norms": {name: [list(p) for p in parts] for name, parts in norms.items()}}
    return {"name": spec["name"], "kwargs": dict(spec["kwargs"]), "widths": widths}


def _with_spec(model: Any, spec: Mapping[str, Any]) -> Classifier:
    model.spec = dict(spec)
    made: Classifier = model
    return made


def _find(name: str) -> tuple[str, Callable[..., Classifier], dict[str, Any]]:
    """Return the kind of model, what makes it, and what its name says of its parameters."""
    door, colon, behind = str(name).partition(":")
    if colon and door in _DOORS and behind:
        return door, _DOORS[door], {"name": behind}
    kind = str(name).lower().replace("-", "_")
    if kind not in _BUILDERS:
        raise UnknownNameError("model", name, names(), "There are also 'timm:NAME' and 'hf:NAME'.")
    return kind, _BUILDERS[kind], {}


def _from_shape(kind: str, shape: list[int]) -> dict[str, int]:
    """What the shape of an input says of a model's parameters."""
    if kind in ("text_bag", "hf"):
        return {}
    if kind == "mlp":
        return {"in_features": math.prod(shape)}
    if len(shape) != 3:
        raise ParameterError(
            f"'{kind}' takes images, input_shape (C, H, W), got {tuple(shape)}. A grey image has C = 1."
        )
    if min(shape[1:]) < _SMALLEST_IMAGE and kind != "timm":
        raise ParameterError(
            f"'{kind}' takes images of at least {_SMALLEST_IMAGE} x {_SMALLEST_IMAGE} pixels, input_shape (C, H, W), "
            f"got {tuple(shape)}. Are the channels last? They come first."
        )
    if kind == "patch_transformer":
        if shape[1] != shape[2]:
            raise ParameterError(
                f"'{kind}' takes square images, input_shape (C, S, S), got {tuple(shape)}. Resize them: image_size=S."
            )
        return {"in_channels": shape[0], "size": shape[1]}
    return {"in_channels": shape[0]}


def _complete(kind: str, maker: Callable[..., Classifier], given: dict[str, Any]) -> dict[str, Any]:
    """Fill in the defaults; refuse parameters that the model does not have, and say which one is missing."""
    signature = inspect.signature(maker)
    parameters = signature.parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name in given:
        if name not in parameters and not open_ended:
            raise UnknownNameError(f"parameter of '{kind}'", name, parameters)
    required = [p.name for p in parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    missing = [name for name in required if name not in given]
    if missing:
        hint = " (or input_shape, which tells it)" if missing == ["in_features"] else ""
        raise ParameterError(f"'{kind}' needs {' and '.join(missing)}{hint}.")
    bound = signature.bind(**given)
    bound.apply_defaults()
    return dict(bound.arguments)


def _plain(kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Bring the parameters into the form in which JSON gives them back: lists for tuples, int for NumPy's integers."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(arguments, default=operator.index))
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"the parameters of '{kind}' must be numbers, strings, lists or dicts, so that the model can be saved, "
            f"got {arguments!r}."
        ) from error
    return plain


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the generators of the accelerators as well.
        torch.default_generator.manual_seed(seed)
        yield
