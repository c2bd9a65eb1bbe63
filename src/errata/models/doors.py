"""Doors to the models of timm and transformers: a body from there, with a linear classifier of ours on its embedding.

Both packages are optional and imported when a door is opened; weights come from their caches, or from the network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from errata._lazy import optional
from errata.errors import DataError, LoadError, ParameterError, UnknownNameError
from errata.models.base import Classifier, require_at_least, require_images, require_share

__all__ = ["HFModel", "TimmModel", "tokenize"]

T = TypeVar("T")


def _fetch(load: Callable[[], T], what: str, way_out: str) -> T:
    """Load what may have to come from the network, and say clearly where it could not."""
    try:
        return load()
    except (OSError, ValueError, TypeError) as error:  # no such file, no such model, no such option
        reason = " ".join(str(error).split())
        reason = reason if len(reason) <= 300 else reason[:300] + " ..."
        raise LoadError(
            f"{what} could not be loaded ({reason}). Check the name, the options and the network, or {way_out}."
        ) from error


class TimmModel(Classifier):
    """A body from timm with a linear classifier.

    Parameters
    ----------
    name : str
        As timm knows it, e.g. "resnet50" or "vit_tiny_patch16_224".
    num_classes : int >= 1
        K.
    in_channels : int >= 1, default 3
    pretrained : bool, default True
        Begin from timm's weights, out of the cache or the network; False begins from random ones.
    **options
        For ``timm.create_model``, e.g. ``img_size=32``.

    Raises
    ------
    MissingExtraError
        timm is not installed.
    UnknownNameError
        timm has no model of this name.
    LoadError
        The weights could not be fetched.
    """

    def __init__(
        self, name: str, num_classes: int, in_channels: int = 3, *, pretrained: bool = True, **options: Any
    ) -> None:
        super().__init__()
        require_at_least(1, num_classes=num_classes, in_channels=in_channels)
        timm = optional("timm", "vision", f"The model 'timm:{name}'")
        if ":" not in name and not timm.is_model(name):  # with a colon it is a place, such as hf-hub:...
            raise UnknownNameError("model of timm", name, timm.list_models())
        self.in_channels = in_channels
        self.body = _fetch(
            lambda: timm.create_model(name, pretrained=pretrained, num_classes=0, in_chans=in_channels, **options),
            f"The model 'timm:{name}'",
            "begin from random weights with pretrained=False",
        )
        self.rebuild_with: dict[str, Any] = {"pretrained": False}
        # Some bodies have a layer between what they call their features and what they return.
        width = getattr(self.body, "head_hidden_size", None) or self.body.num_features
        self.classifier = nn.Linear(int(width), num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return embeddings (B, D) of images (B, C, H, W)."""
        require_images(x, self.in_channels, "this model of timm")
        embedded: Tensor = self.body(x)
        return embedded


class HFModel(Classifier):
    """A text encoder from transformers with a linear classifier on the mean of its last hidden states.

    Parameters
    ----------
    name : str
        As the hub knows it, e.g. "distilbert-base-uncased", or a folder.
    num_classes : int >= 1
        K.
    pretrained : bool, default True
        Begin from its weights, out of the cache or the network; False begins from random ones.
    config : dict, optional
        The configuration, as ``PreTrainedConfig.to_dict`` gives it, to begin from random weights without the network.
    dropout : float in [0, 1), default 0.1
        On the embedding.

    Raises
    ------
    MissingExtraError
        transformers is not installed.
    LoadError
        The model could not be fetched, or is none.

    Notes
    -----
    Inputs are token ids (B, L), or a dict of tensors as tokenizers make it (``input_ids``, ``attention_mask``, ...).
    Where there is no mask, the configuration's padding token is masked. The encoder of an encoder-decoder is used.
    Code from the hub is never run.
    """

    def __init__(
        self,
        name: str,
        num_classes: int,
        *,
        pretrained: bool = True,
        config: Mapping[str, Any] | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        require_at_least(1, num_classes=num_classes)
        require_share(dropout=dropout)
        body = _load_transformer(name, pretrained, config)
        settings: Any = body.config
        if getattr(settings, "is_encoder_decoder", False):
            body = body.get_encoder()  # type: ignore[operator]
        width = getattr(settings, "hidden_size", None)
        if not isinstance(width, int):
            raise ParameterError(f"'hf:{name}' is not a text encoder: its configuration has no hidden_size.")
        if getattr(body, "pooler", None) is not None:
            # Not used here, and parameters without gradients stop distributed training.
            body.pooler = None  # type: ignore[assignment]
        self.body = body.float()  # checkpoints in half precision would be trained in it
        self.padding = getattr(settings, "pad_token_id", None)
        self.rebuild_with: dict[str, Any] = {
            "pretrained": False,
            "config": json.loads(settings.to_json_string(use_diff=False)),
        }
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_classes)

    def features(self, x: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Return embeddings (B, D) of token ids (B, L) or of a dict of tensors."""
        inputs = dict(x) if isinstance(x, Mapping) else {"input_ids": x}
        if "input_ids" not in inputs or inputs["input_ids"].ndim != 2:
            raise DataError("a model of transformers takes token ids (B, L), or a dict with 'input_ids' of that shape.")
        ids = inputs["input_ids"]
        if inputs.get("attention_mask") is None:
            inputs["attention_mask"] = self._mask(ids)
        hidden = self.body(**inputs).last_hidden_state
        weight = inputs["attention_mask"].to(hidden)[:, :, None]
        embedded: Tensor = self.dropout((hidden * weight).sum(1) / weight.sum(1).clamp(min=1))
        return embedded

    def _mask(self, ids: Tensor) -> Tensor:
        if self.padding is None:
            return torch.ones_like(ids)
        mask = ids != self.padding
        # Attention over nothing is NaN; a text without tokens attends to its first padding instead.
        mask[:, 0] |= ~mask.any(1)
        return mask.long()


def _load_transformer(name: str, pretrained: bool, config: Mapping[str, Any] | None) -> nn.Module:
    """Load a body: from a configuration at hand, else with or without its weights from the cache or the network."""
    transformers = optional("transformers", "text", f"The model 'hf:{name}'")

    def load() -> nn.Module:
        if config is not None:
            return transformers.AutoModel.from_config(transformers.AutoConfig.for_model(**config))
        if pretrained:
            return transformers.AutoModel.from_pretrained(name)
        return transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(name))

    return _fetch(load, f"The model 'hf:{name}'", "give the path of a folder that holds it")


def tokenize(name: str, texts: Sequence[str], *, max_length: int = 128) -> Tensor:
    """Return the token ids of texts for the model ``hf:name``.

    Parameters
    ----------
    name : str
        As the hub knows it, or a folder; without "hf:".
    texts : sequence of N str
    max_length : int >= 1, default 128
        Longer texts are cut.

    Returns
    -------
    (N, L) int64, padded at the end with the tokenizer's padding token, L <= max_length

    Raises
    ------
    MissingExtraError
        transformers is not installed.
    LoadError
        There is no tokenizer, or one that cannot pad.
    """
    require_at_least(1, max_length=max_length)
    transformers = optional("transformers", "text", f"The tokenizer of 'hf:{name}'")
    tokenizer = _fetch(
        lambda: transformers.AutoTokenizer.from_pretrained(name),
        f"The tokenizer of 'hf:{name}'",
        "give the path of a folder that holds it",
    )
    if tokenizer.pad_token_id is None:
        raise LoadError(f"The tokenizer of 'hf:{name}' has no padding token. Choose an encoder, such as a BERT.")
    if not len(texts):
        return torch.zeros(0, 1, dtype=torch.int64)
    tokenizer.padding_side = "right"
    encoded = tokenizer(list(texts), padding=True, truncation=True, max_length=max_length, return_tensors="pt")
    ids: Tensor = encoded["input_ids"]
    return ids
