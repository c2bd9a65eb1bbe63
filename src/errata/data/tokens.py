"""Texts as the token ids of a model from transformers."""

from __future__ import annotations

from typing import Any

import torch

from errata.data.data import Data
from errata.data.encoders import Encoder
from errata.errors import DataError, ParameterError

__all__ = ["TokenEncoder"]


class TokenEncoder(Encoder):
    """Texts as (N, L) int64 token ids of ``hf:NAME``, by its own tokenizer, which has to be there again to predict.

    Parameters
    ----------
    tokenizer : the model's name on the hub, or its folder; without "hf:"
    max_len : tokens of a text that are kept at most, 128 by default; the end is cut

    Raises
    ------
    MissingExtraError
        where transformers is not installed
    LoadError
        where there is no such tokenizer

    Examples
    --------
    >>> TokenEncoder(tokenizer="distilbert-base-uncased").max_len
    128
    """

    kind = "text"
    name = "tokens"

    def __init__(self, *, tokenizer: str, max_len: int = 128) -> None:
        if int(max_len) != max_len or max_len < 1:
            raise ParameterError(f"max_len must be a whole number, 1 or more; got {max_len!r}.")
        self.tokenizer = tokenizer
        self.max_len = int(max_len)
        self.columns: list[str] = []

    def fit(self, data: Data) -> TokenEncoder:
        self._check(data)
        if len(data) == 0:
            raise DataError(f"{data.source} has no texts to learn an encoding from.")
        self.columns = [c.name for c in data.features] if data.named else []
        return self

    @property
    def input_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """At most so many ids of a text; fewer where all texts are shorter."""
        return (self.max_len,)

    def encode(self, data: Data) -> torch.Tensor:
        from errata.models.doors import tokenize

        self._check(data)
        return tokenize(self.tokenizer, data.texts(), max_length=self.max_len)

    def reading(self) -> dict[str, Any]:
        return {"text": self.columns} if self.columns else {}

    def spec(self) -> dict[str, Any]:
        return {"name": self.name, "tokenizer": self.tokenizer, "max_len": self.max_len, "columns": self.columns}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> TokenEncoder:
        encoder = cls(tokenizer=spec["tokenizer"], max_len=spec["max_len"])
        encoder.columns = [str(name) for name in spec["columns"]]
        return encoder
