"""A model's state as plain JSON and flat arrays, so that what was learned is stored and read without pickle.

What is stored is data only: numbers, texts, containers, arrays, random generators, and objects of classes that the
reader names itself. A file can therefore give an object other values, but never run anything. Objects are kept in a
list and referred to by their place in it; what two objects share is shared again after reading.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from errata.errors import LoadError
from errata.storage import atomic

__all__ = ["pack", "read", "unpack", "write"]

PLAIN = (type(None), bool, int, float, str)
TOLD = "told"  # the file's entry that holds the JSON


def pack(thing: Any, classes: Mapping[str, type]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Take a model apart.

    Parameters
    ----------
    thing : plain values, containers, arrays, generators, and objects of ``classes``. An object is its ``__dict__``, or
        what its method ``packed`` returns
    classes : by the names that they are stored under

    Returns
    -------
    told : in JSON's types
    arrays : a flat array for each dtype, which ``told`` refers to

    Raises
    ------
    TypeError
        where there is anything else in it

    Examples
    --------
    >>> class Point:
    ...     def __init__(self, x):
    ...         self.x = x
    >>> shared = Point(np.arange(3))
    >>> told, arrays = pack({"a": shared, "b": (shared, {1})}, {"point": Point})
    >>> again = unpack(told, arrays, {"point": Point})
    >>> again["a"].x, again["a"] is again["b"][0]
    (array([0, 1, 2]), True)
    """
    writer = _Writer({kind: name for name, kind in classes.items()})
    root = writer.value(thing)
    objects: list[Any] = []
    while len(objects) < len(writer.found):  # one after the other: a deep tree needs no deep recursion
        one = writer.found[len(objects)]
        own = one.packed() if hasattr(one, "packed") else vars(one)
        objects.append([writer.names[type(one)], {name: writer.value(value) for name, value in own.items()}])
    arrays = {name: np.concatenate(parts) for name, parts in writer.arrays.items()}
    return {"root": root, "objects": objects}, arrays


class _Writer:
    def __init__(self, names: Mapping[type, str]) -> None:
        self.names = names
        self.found: list[Any] = []
        self.places: dict[int, int] = {}
        self.arrays: dict[str, list[np.ndarray]] = {}
        self.lengths: Counter[str] = Counter()

    def value(self, thing: Any) -> Any:
        """``thing`` in JSON's types: plain values as they are, everything else as a list whose first entry tells what
        it is."""
        kind = type(thing)
        if kind in PLAIN:
            return thing
        if kind in self.names:
            return ["object", self._place(thing)]
        writer = _WRITERS.get(kind)
        if writer is not None:
            return writer(self, thing)
        if isinstance(thing, np.generic) and thing.dtype.kind in "biuf":
            return ["number", thing.dtype.str, thing.item()]
        raise TypeError(f"Nothing that can be stored without pickle: {kind.__module__}.{kind.__qualname__}")

    def _place(self, thing: Any) -> int:
        if id(thing) not in self.places:
            self.places[id(thing)] = len(self.found)
            self.found.append(thing)
        return self.places[id(thing)]

    def flat(self, values: np.ndarray) -> tuple[str, int]:
        """Append to the flat array of the dtype; its name and where the values begin."""
        name = values.dtype.str
        if values.dtype.kind not in "biuf":
            raise TypeError(f"An array of {values.dtype} can't be stored without pickle.")
        begin = self.lengths[name]
        self.arrays.setdefault(name, []).append(values)
        self.lengths[name] += len(values)
        return name, begin

    def array(self, values: np.ndarray) -> list[Any]:
        order: Literal["C", "F"] = "F" if values.flags.f_contiguous and not values.flags.c_contiguous else "C"
        return ["array", *self.flat(values.ravel(order)), list(values.shape), order]

    def bytes(self, values: bytes) -> list[Any]:
        return ["bytes", self.flat(np.frombuffer(values, dtype=np.uint8))[1], len(values)]

    def items(self, name: str, things: Any) -> list[Any]:
        return [name, *(self.value(one) for one in things)]

    def pairs(self, name: str, things: Mapping[Any, Any]) -> list[Any]:
        return [name, *([self.value(key), self.value(value)] for key, value in things.items())]


_WRITERS: dict[type, Callable[[_Writer, Any], list[Any]]] = {
    list: lambda own, x: own.items("list", x),
    tuple: lambda own, x: own.items("tuple", x),
    set: lambda own, x: own.items("set", sorted(x)),
    deque: lambda own, x: own.items("deque", [x.maxlen, *x]),
    dict: lambda own, x: own.pairs("dict", x),
    Counter: lambda own, x: own.pairs("counter", x),
    np.ndarray: lambda own, x: own.array(x),
    bytes: lambda own, x: own.bytes(x),
    np.random.Generator: lambda own, x: ["generator", x.bit_generator.state],
}


def unpack(told: Any, arrays: Mapping[str, np.ndarray], classes: Mapping[str, type]) -> Any:
    """Put together what ``pack`` has taken apart; no constructor is called.

    Parameters
    ----------
    classes : as for ``pack``

    Raises
    ------
    LoadError
        where it does not fit together, or names another class
    """
    try:
        reader = _Reader(arrays, [object.__new__(classes[name]) for name, _ in told["objects"]])
        for made, (_, stored) in zip(reader.objects, told["objects"], strict=True):
            vars(made).update({str(name): reader.value(value) for name, value in stored.items()})
        return reader.value(told["root"])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise LoadError(f"A stored model does not fit together: {type(error).__name__}, {error}.") from error


class _Reader:
    def __init__(self, arrays: Mapping[str, np.ndarray], objects: list[Any]) -> None:
        self.arrays, self.objects = arrays, objects

    def value(self, told: Any) -> Any:
        return _READERS[told[0]](self, told[1:]) if isinstance(told, list) else told

    def all(self, told: list[Any]) -> list[Any]:
        return [self.value(one) for one in told]

    def pairs(self, told: list[Any]) -> dict[Any, Any]:
        return {self.value(key): self.value(value) for key, value in told}

    def array(self, dtype: str, begin: int, shape: list[int], order: str) -> np.ndarray:
        size = int(np.prod(shape, dtype=np.int64)) if shape else 1
        flat = self.arrays[dtype][begin : begin + size] if size else np.zeros(0, dtype=dtype)
        return flat.reshape(shape, order="F" if order == "F" else "C").copy("K")

    def bytes(self, begin: int, length: int) -> bytes:
        found = self.arrays["|u1"][begin : begin + length].tobytes() if length else b""
        if len(found) != length:
            raise ValueError(f"{length} bytes expected, {len(found)} found")
        return found


def _generator(own: _Reader, told: list[Any]) -> np.random.Generator:
    made = np.random.default_rng(0)
    made.bit_generator.state = told[0]
    return made


_READERS: dict[str, Callable[[_Reader, list[Any]], Any]] = {
    "list": lambda own, told: own.all(told),
    "tuple": lambda own, told: tuple(own.all(told)),
    "set": lambda own, told: set(own.all(told)),
    "deque": lambda own, told: deque(own.all(told[1:]), maxlen=told[0]),
    "dict": lambda own, told: own.pairs(told),
    "counter": lambda own, told: Counter(own.pairs(told)),
    "array": lambda own, told: own.array(*told),
    "bytes": lambda own, told: own.bytes(*told),
    "number": lambda own, told: np.dtype(told[0]).type(told[1]),
    "generator": _generator,
    "object": lambda own, told: own.objects[told[0]],
}


# -- files ------------------------------------------------------------------------------------------------------------


def write(file: Path, told: Any, arrays: Mapping[str, np.ndarray], *, compress: bool = True) -> None:
    """Write JSON and arrays into one ``.npz``, whole or not at all."""
    text = np.frombuffer(json.dumps(told, ensure_ascii=False).encode("utf-8"), dtype=np.uint8)
    save = np.savez_compressed if compress else np.savez
    with atomic(file) as temporary, open(temporary, "wb") as stream:
        save(stream, allow_pickle=False, **{TOLD: text, **arrays})


def read(file: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """What ``write`` has written.

    Raises
    ------
    LoadError
        where the file is not there, or damaged
    """
    import zipfile

    try:
        with np.load(file, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files}
        return json.loads(arrays.pop(TOLD).tobytes().decode("utf-8")), arrays
    except (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise LoadError(f"{file} is damaged: {error}. Begin anew in another folder.") from error
