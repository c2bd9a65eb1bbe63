"""Encoders: from data to what a network takes, learned from the training data and kept with the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch

from errata.data.data import Data
from errata.data.told import reason
from errata.data.views import ImageViews, StandardViews
from errata.errors import DataError, LoadError, ParameterError, UnknownNameError
from errata.parts import Views

__all__ = ["ArrayEncoder", "Encoder", "ImageEncoder", "encoder_for", "encoder_from_spec", "tokenizer_of"]

STANDARD_LIMIT = 1 << 30  # bytes up to which a memory-mapped array is standardised as a whole


class Encoder(ABC):
    """What all encoders share: ``fit`` on the training data, ``encode`` any, ``spec`` to keep it as JSON.

    Attributes
    ----------
    kind : of the data it takes
    input_shape : of one encoded sample
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    input_shape: tuple[int, ...]

    @abstractmethod
    def fit(self, data: Data) -> Encoder:
        """Learn what encoding needs from the training data; labels are not looked at."""

    @abstractmethod
    def encode(self, data: Data) -> Any:
        """The inputs of a network: (N, \\*input_shape) tensor, or a dataset of single inputs where they don't fit."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Everything needed to make it again, in plain JSON types."""

    @classmethod
    @abstractmethod
    def from_spec(cls, spec: dict[str, Any]) -> Encoder:
        """Make it again."""

    def reading(self) -> dict[str, Any]:
        """The options with which ``errata.read`` reads further data in the same way."""
        return {}

    def views(self, augment: bool = True, **options: Any) -> Views:
        """The views of an encoded batch; ``augment=False`` for those without anything random."""
        if options:
            raise UnknownNameError("option of the views", next(iter(options)), [])
        return Views()

    def _check(self, data: Data) -> None:
        if data.kind != self.kind:
            raise DataError(
                f"Expected {_WHAT[self.kind]}, as in training; {data.source} was read as {_WHAT[data.kind]}."
            )


_WHAT = {"tabular": "a table of numbers and categories", "text": "texts", "image": "images"}


class ArrayEncoder(Encoder):
    """Features (N, D) as float32, each with mean 0 and deviation 1 over the training data.

    A large memory-mapped array is handed on as it is, without a copy, and standardised batch by batch by the views.

    Parameters
    ----------
    standardize : False leaves the numbers as they are

    Examples
    --------
    >>> from errata.data import read
    >>> data = read(np.array([[0.0, 5.0], [2.0, 5.0]]))
    >>> ArrayEncoder().fit(data).encode(data)
    tensor([[-1.,  0.],
            [ 1.,  0.]])
    """

    kind = "tabular"
    name = "array"

    def __init__(self, *, standardize: bool = True) -> None:
        self.standardize = standardize

    def fit(self, data: Data) -> ArrayEncoder:
        self._check(data)
        array = _features(data)
        self.input_shape = (array.shape[1],)
        self.in_views = isinstance(array, np.memmap) and array.nbytes > STANDARD_LIMIT
        self.mean, self.std = _moments(array, data.rows)
        return self

    def encode(self, data: Data) -> torch.Tensor:
        self._check(data)
        array = _features(data)
        if array.shape[1:] != self.input_shape:
            raise DataError(
                f"Expected {self.input_shape[0]} features, as in training; {data.source} has {array.shape[1]}."
            )
        whole = _is_whole(data.rows, len(array))
        if self.in_views:
            chosen = array if whole else array[data.rows]
            return _shared(chosen if chosen.dtype == np.float32 else chosen.astype(np.float32))
        encoded = np.empty((len(data), array.shape[1]), dtype=np.float32)
        for start in range(0, len(data), 65_536):
            part = slice(start, start + 65_536)
            values = np.asarray(array[part] if whole else array[data.rows[part]], dtype=np.float64)
            encoded[part] = (values - self.mean) / self.std if self.standardize else values
        return torch.from_numpy(encoded)

    def views(self, augment: bool = True, **options: Any) -> Views:
        if self.in_views and self.standardize:
            super().views(augment, **options)
            return StandardViews(torch.from_numpy(self.mean), torch.from_numpy(self.std))
        return super().views(augment, **options)

    def spec(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "standardize": self.standardize,
            "in_views": self.in_views,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
        }

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> ArrayEncoder:
        encoder = cls(standardize=spec["standardize"])
        encoder.in_views = spec["in_views"]
        encoder.mean, encoder.std = np.asarray(spec["mean"]), np.asarray(spec["std"])
        encoder.input_shape = (len(encoder.mean),)
        return encoder


def _features(data: Data) -> np.ndarray:
    """The features as an array; a table of numbers alone will do for one."""
    if data.array is not None:
        return np.asarray(data.array) if not isinstance(data.array, np.memmap) else data.array
    from errata.data.content import numbers

    if any(c.kind != "number" for c in data.features):
        raise DataError(f"Expected an array of numbers, as in training; {data.source} has columns of other kinds.")
    return np.stack([numbers(data.column(c.name), c.name) for c in data.features], axis=1)


def _is_whole(rows: np.ndarray, total: int) -> bool:
    return len(rows) == total and bool((rows == np.arange(total)).all())


def _shared(array: np.ndarray) -> torch.Tensor:
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")  # a read-only file; nobody writes to inputs
        return torch.from_numpy(array)


def _moments(array: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D,) mean and standard deviation in float64, by parts; a constant feature has the deviation 1."""
    if len(rows) == 0:
        raise DataError("There are no rows to learn an encoding from.")
    whole = _is_whole(rows, len(array))
    origin = np.asarray(array[rows[0]], dtype=np.float64)  # squares of differences to it lose nothing
    total, squares = np.zeros(array.shape[1]), np.zeros(array.shape[1])
    for start in range(0, len(rows), 65_536):
        part = array[start : start + 65_536] if whole else array[rows[start : start + 65_536]]
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            shifted = np.asarray(part, dtype=np.float64) - origin
            total += shifted.sum(0)
            squares += (shifted**2).sum(0)
    if not np.isfinite(squares).all():
        feature = int(np.flatnonzero(~np.isfinite(squares))[0])
        raise DataError(
            f"Feature {feature} holds numbers too large to compute with, beyond 1e150. Scale or remove them."
        )
    mean = total / len(rows)
    deviation = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))
    scale = np.maximum(np.abs(origin + mean), 1e-300)
    return origin + mean, np.where(deviation > 1e-12 * scale, deviation, 1.0)


class ImageEncoder(Encoder):
    """Images as uint8 (or float32, where they came so), with the mean and deviation of their colours for the views.

    Examples
    --------
    >>> from errata.data import read
    >>> data = read(np.zeros((2, 3, 8, 8), dtype=np.uint8))
    >>> encoder = ImageEncoder().fit(data)
    >>> encoder.encode(data).dtype, encoder.input_shape
    (torch.uint8, (3, 8, 8))
    """

    kind = "image"
    name = "image"

    def fit(self, data: Data) -> ImageEncoder:
        self._check(data)
        if data.images is None or data.images.shape is None:
            raise DataError(f"{data.source} holds no images that could be read.")
        self.input_shape = data.images.shape
        self.column = data.features[0].name if data.named else None
        sample = data.rows[np.unique(np.linspace(0, len(data) - 1, min(5000, len(data))).astype(np.int64))]
        pixels = data.images.pixels(sample)
        if pixels is None:
            decoded = data.images.dataset(sample[:512], data.images.shape)
            pixels = np.stack([np.asarray(decoded[i]) for i in range(min(512, len(sample)))])
        unit = pixels.astype(np.float64) / (255.0 if pixels.dtype == np.uint8 else 1.0)
        self.dtype = "uint8" if pixels.dtype == np.uint8 else "float32"
        self.mean = [round(float(v), 6) for v in unit.mean((0, 2, 3))]
        self.std = [round(float(v), 6) or 1.0 for v in unit.std((0, 2, 3))]
        return self

    def encode(self, data: Data) -> Any:
        self._check(data)
        if data.images is None:
            raise DataError(f"{data.source} holds no images.")
        shape = self._shape()
        pixels = data.images.pixels(data.rows, shape)
        if pixels is None:
            return data.images.dataset(data.rows, shape)
        if pixels.dtype == np.uint8 and self.dtype != "uint8":
            pixels = pixels.astype(np.float32) / 255.0
        elif pixels.dtype != np.uint8 and self.dtype == "uint8":
            raise DataError(
                f"Expected images of whole numbers from 0 to 255 (uint8), as in training; {data.source} holds "
                f"{pixels.dtype}."
            )
        return _shared(pixels)

    def _shape(self) -> tuple[int, int, int]:
        channels, height, width = self.input_shape
        return channels, height, width

    def reading(self) -> dict[str, Any]:
        named = {} if self.column is None else {"image_column": self.column}
        return {**named, "image_size": list(self.input_shape[1:])}

    def views(self, augment: bool = True, **options: Any) -> Views:
        """``ImageViews`` by the training images' colours; options go there. Grey images are not mirrored by default."""
        if not augment:
            return StandardImages(self.mean, self.std)
        options.setdefault("pad", max(1, min(self.input_shape[1:]) // 8))
        options.setdefault("flip", self.input_shape[0] != 1)
        try:
            return ImageViews(self.mean, self.std, **options)
        except TypeError:
            known = ("pad", "flip", "cutout", "colour", "padding")
            odd = next((name for name in options if name not in known), None)
            if odd is None:
                raise
            raise UnknownNameError("option of the views", odd, known) from None

    def spec(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "column": self.column,
            "shape": list(self.input_shape),
            "dtype": self.dtype,
            "mean": self.mean,
            "std": self.std,
        }

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> ImageEncoder:
        encoder = cls()
        encoder.input_shape = tuple(spec["shape"])
        encoder.column, encoder.dtype = spec["column"], spec["dtype"]
        encoder.mean, encoder.std = list(spec["mean"]), list(spec["std"])
        return encoder


class StandardImages(ImageViews):
    """Images normalised, and the same in every view."""

    def weak(self, x: Any) -> Any:
        return self.plain(x)

    def strong(self, x: Any) -> Any:
        return self.plain(x)


def encoder_for(data: Data, **options: Any) -> Encoder:
    """The encoder that suits the data; options go to its constructor.

    Texts are hashed, unless ``tokenizer="NAME"`` asks for the token ids that the model ``hf:NAME`` takes.

    Examples
    --------
    >>> from errata.data import read
    >>> type(encoder_for(read(["a text", "another"]))).__name__
    'TextEncoder'
    """
    from errata.data.tabular import TabularEncoder
    from errata.data.text import TextEncoder
    from errata.data.tokens import TokenEncoder

    kinds: dict[str, type[Encoder]] = {"image": ImageEncoder, "text": TextEncoder, "tabular": TabularEncoder}
    kind = kinds[data.kind]
    if data.kind == "tabular" and data.array is not None:
        kind = ArrayEncoder
    if data.kind == "text" and options.get("tokenizer") is not None:
        kind = TokenEncoder
    try:
        return kind(**options)
    except TypeError as error:
        raise ParameterError(
            f"{kind.__name__} does not take these options: {', '.join(options)} ({reason(error)})."
        ) from error


def tokenizer_of(model: Any, data: Data) -> dict[str, str]:
    """The option of ``encoder_for`` that a model needs: its own tokenizer, where it is ``hf:NAME`` and reads texts.

    Examples
    --------
    >>> from errata.data import read
    >>> tokenizer_of("hf:distilbert-base-uncased", read(["a text"])), tokenizer_of("mlp", read(["a text"]))
    ({'tokenizer': 'distilbert-base-uncased'}, {})
    """
    if data.kind == "text" and isinstance(model, str) and model.startswith("hf:"):
        return {"tokenizer": model.removeprefix("hf:")}
    return {}


def encoder_from_spec(spec: dict[str, Any]) -> Encoder:
    """Make an encoder again from its ``spec()``.

    Raises
    ------
    LoadError
        where the description is damaged, or of an encoder that is not known

    Examples
    --------
    >>> encoder = ArrayEncoder.from_spec({"standardize": True, "in_views": False, "mean": [0.0], "std": [1.0]})
    >>> encoder_from_spec(encoder.spec()).input_shape
    (1,)
    """
    from errata.data.tabular import TabularEncoder
    from errata.data.text import TextEncoder
    from errata.data.tokens import TokenEncoder

    kinds = (ArrayEncoder, ImageEncoder, TabularEncoder, TextEncoder, TokenEncoder)
    known: dict[str, type[Encoder]] = {k.name: k for k in kinds}
    name = spec.get("name") if isinstance(spec, dict) else None
    if name not in known:
        raise LoadError(f"The saved encoder is of the kind {name!r}; expected one of {', '.join(known)}. Train again.")
    try:
        return known[name].from_spec(spec)
    except (KeyError, TypeError, ValueError) as error:
        raise LoadError(f"The saved encoder's description is damaged: {error!r}. Train again.") from error
