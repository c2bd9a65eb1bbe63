"""Map-style torch datasets: anything with a length whose items are (x, y)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from errata.data.arrays import read_array, read_texts
from errata.data.data import Column, Data
from errata.data.images import Images, Shape
from errata.data.kinds import IMAGE
from errata.data.picture_columns import readable
from errata.data.roles import Options
from errata.errors import DataError
from errata.labels import ClassLabels

__all__ = ["is_dataset", "read_dataset"]

LABEL = "label"


def is_dataset(source: Any) -> bool:
    """Whether ``source`` is a dataset of pairs: a torch dataset, a list of (x, y), or anything that acts as one.

    Examples
    --------
    >>> is_dataset([("good", 1), ("bad", 0)]), is_dataset([[1.0, 2.0], [3.0, 4.0]])
    (True, False)
    """
    if isinstance(source, (Dataset, IterableDataset)):
        return True
    if isinstance(source, (list, tuple)):
        return len(source) > 0 and all(isinstance(v, tuple) and len(v) == 2 and _is_input(v[0]) for v in source[:10])
    return hasattr(source, "__len__") and hasattr(source, "__getitem__") and not isinstance(source, (str, bytes))


def _is_input(x: Any) -> bool:
    return isinstance(x, (str, Image.Image)) or np.ndim(x) > 0


def read_dataset(source: Any, label: Any, options: Options) -> Data:
    """Read a dataset of (x, y): every item once, to know the labels and whether x can be kept in memory.

    Raises
    ------
    DataError
        where it can only be iterated over, is empty, or its items are not (x, y)
    """
    name = f"the dataset {type(source).__name__}" if isinstance(source, Dataset) else f"the {type(source).__name__}"
    if isinstance(source, IterableDataset) or not hasattr(source, "__len__"):
        raise DataError(
            f"Expected a map-style dataset, with a length and items by number; {name} can only be iterated over."
        )
    if len(source) == 0:
        raise DataError(f"{name} is empty; expected at least one item.")
    first = source[0]
    alone = not (isinstance(first, (tuple, list)) and len(first) >= 2)
    if alone and label is not False:
        raise DataError(
            f"Expected items (x, y) of {name}; item 0 is a {type(first).__name__}. label=False takes x alone."
        )
    inputs = _Inputs(source, alone)
    data, labels = _read_inputs(source, inputs, name, options, need_labels=label is not False and not alone)
    if labels is None:
        return data
    names = options.classes or getattr(source, "classes", None)
    encoded = _encoded(labels, names)
    if len(encoded) > len(data):
        encoded = ClassLabels(encoded.codes[data.rows], encoded.classes)
    return data.with_labels(encoded, name=LABEL)


def _encoded(labels: Any, names: Sequence[Any] | None) -> ClassLabels:
    """Labels as codes; a dataset's own class names count where the labels are places among them."""
    plain = ClassLabels.encode(labels, name=LABEL)
    if names is None:
        return plain
    whole = all(isinstance(c, int) and not isinstance(c, bool) for c in plain.classes)
    if whole and all(isinstance(n, str) for n in names) and min(plain.classes) >= 0 and max(plain.classes) < len(names):
        lookup = np.array([*plain.classes, -1], dtype=np.int64)
        return ClassLabels(lookup[plain.codes], list(names))
    return ClassLabels.encode(labels, classes=names, name=LABEL)


class _Inputs(Sequence[Any]):
    """The x of a dataset of (x, y)."""

    def __init__(self, dataset: Any, alone: bool = False) -> None:
        self.dataset = dataset
        self.alone = alone

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: Any) -> Any:
        item = self.dataset[int(row)]
        return item if self.alone else item[0]


def _read_inputs(source: Any, inputs: _Inputs, name: str, options: Options, need_labels: bool) -> tuple[Data, Any]:
    if hasattr(source, "tensors") and len(source.tensors) >= 2:  # TensorDataset
        labels = source.tensors[1] if need_labels else None
        return read_array(source.tensors[0], options, name, "tensors"), labels
    first = inputs[0]
    if isinstance(first, Image.Image):
        labels = _labels_of(source) if need_labels else None
        return _pictures(inputs, name, options), labels
    if isinstance(first, str):
        pairs = [source[i] for i in range(len(source))]
        texts = pairs if inputs.alone else [p[0] for p in pairs]
        return read_texts(texts, options, name, "dataset"), [p[1] for p in pairs] if need_labels else None
    example = torch.as_tensor(first)
    if example.ndim == 3 and len(inputs) * example.numel() * example.element_size() > options.memory:
        return _lazy(inputs, name, example), _labels_of(source) if need_labels else None
    return _stacked(source, inputs, name, options, example, need_labels)


def _labels_of(source: Any) -> Any:
    for attribute in ("targets", "labels", "_labels"):
        found = getattr(source, attribute, None)
        if found is not None and hasattr(found, "__len__") and len(found) == len(source):
            return found
    return [source[i][1] for i in range(len(source))]


def _stacked(
    source: Any, inputs: _Inputs, name: str, options: Options, example: Tensor, need_labels: bool
) -> tuple[Data, Any]:
    array = np.empty((len(inputs), *example.shape), dtype=example.numpy().dtype)
    labels = []
    for row in range(len(inputs)):
        item = source[row]
        x = np.asarray(item if inputs.alone else item[0])
        if x.shape != array.shape[1:]:
            raise DataError(
                f"Expected inputs of one shape; of {name}, item 0 has {array.shape[1:]} and item {row} {x.shape}. "
                "Bring them to one size in the dataset."
            )
        array[row] = x
        if need_labels:
            labels.append(item[1])
    data = read_array(array, options, name, "dataset")
    data.notes.append("Every item was read once and is kept: random changes made by the dataset itself are frozen.")
    return data, [_plain(v) for v in labels] if need_labels else None


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _pictures(inputs: _Inputs, name: str, options: Options) -> Data:
    images = Images(inputs)
    images.prepare(options.image_size, options.memory)
    notes: list[str] = []
    rows = readable(images, options.unreadable, name, notes)
    return Data(
        kind="image",
        columns=[Column("image", IMAGE, "feature")],
        rows=rows,
        source=name,
        format="dataset",
        images=images,
        notes=notes,
    )


class _LazyTensors(Images):
    """Images that a dataset gives as tensors, too many to keep."""

    def __init__(self, inputs: _Inputs, shape: Shape) -> None:
        super().__init__(inputs)
        self.shape = shape

    def name(self, number: int) -> str:
        return f"row {number}"

    def dataset(self, rows: np.ndarray, shape: Shape) -> Dataset[Tensor]:
        return _Rows(self.items, rows)

    def thumbnail(self, number: int, side: int = 96) -> bytes:
        one = Images(np.asarray(self.items[number])[None])
        return one.thumbnail(0, side)


class _Rows(Dataset[Tensor]):
    def __init__(self, inputs: _Inputs, rows: np.ndarray) -> None:
        self.inputs = inputs
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> Tensor:
        return torch.as_tensor(self.inputs[self.rows[position]])


def _lazy(inputs: _Inputs, name: str, example: Tensor) -> Data:
    shape = tuple(example.shape)
    return Data(
        kind="image",
        columns=[Column("image", IMAGE, "feature")],
        rows=np.arange(len(inputs)),
        source=name,
        format="dataset",
        images=_LazyTensors(inputs, shape),  # type: ignore[arg-type]
        notes=["Its items are too many for the memory and are read batch by batch."],
    )
