"""Reading data, encoding them for a network, and cutting them into batches.

Reading tables needs no torch, and its import takes longer than many a table: names are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_NAMES = {
    "ArffData": "errata.data.arff",
    "ArrayEncoder": "errata.data.encoders",
    "Batch": "errata.parts.batch",
    "Batches": "errata.data.batches",
    "Clients": "errata.data.clients",
    "Column": "errata.data.data",
    "Data": "errata.data.data",
    "DecodingLoader": "errata.data.batches",
    "Encoder": "errata.data.encoders",
    "Hierarchy": "errata.data.hierarchy",
    "ImageEncoder": "errata.data.encoders",
    "ImageViews": "errata.data.views",
    "IndexedDataset": "errata.data.batches",
    "Passes": "errata.data.batches",
    "Preview": "errata.data.data",
    "StandardViews": "errata.data.views",
    "TabularEncoder": "errata.data.tabular",
    "TextEncoder": "errata.data.text",
    "TokenEncoder": "errata.data.tokens",
    "encoder_for": "errata.data.encoders",
    "encoder_from_spec": "errata.data.encoders",
    "hierarchy_from_confusion": "errata.data.hierarchy",
    "hierarchy_from_names": "errata.data.hierarchy",
    "iter_arff": "errata.data.arff",
    "loader": "errata.data.batches",
    "read": "errata.data.reading",
    "read_arff": "errata.data.arff",
    "read_clients": "errata.data.clients",
    "read_hierarchy": "errata.data.hierarchy_files",
    "tokenizer_of": "errata.data.encoders",
}

__all__ = [
    "ArffData",
    "ArrayEncoder",
    "Batch",
    "Batches",
    "Clients",
    "Column",
    "Data",
    "DecodingLoader",
    "Encoder",
    "Hierarchy",
    "ImageEncoder",
    "ImageViews",
    "IndexedDataset",
    "Passes",
    "Preview",
    "StandardViews",
    "TabularEncoder",
    "TextEncoder",
    "TokenEncoder",
    "encoder_for",
    "encoder_from_spec",
    "hierarchy_from_confusion",
    "hierarchy_from_names",
    "iter_arff",
    "loader",
    "read",
    "read_arff",
    "read_clients",
    "read_hierarchy",
    "tokenizer_of",
]

if TYPE_CHECKING:
    from errata.data.arff import ArffData, iter_arff, read_arff
    from errata.data.batches import Batches, DecodingLoader, IndexedDataset, Passes, loader
    from errata.data.clients import Clients, read_clients
    from errata.data.data import Column, Data, Preview
    from errata.data.encoders import ArrayEncoder, Encoder, ImageEncoder, encoder_for, encoder_from_spec, tokenizer_of
    from errata.data.hierarchy import Hierarchy, hierarchy_from_confusion, hierarchy_from_names
    from errata.data.hierarchy_files import read_hierarchy
    from errata.data.reading import read
    from errata.data.tabular import TabularEncoder
    from errata.data.text import TextEncoder
    from errata.data.tokens import TokenEncoder
    from errata.data.views import ImageViews, StandardViews
    from errata.parts.batch import Batch


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'errata.data' has no attribute '{name}'")
    value = getattr(importlib.import_module(_NAMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
