"""What merging two runs needs of them: networks of one build, classes side by side, and batches in both encodings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errata.data.batches import take
from errata.engine.run import Run
from errata.errors import DataError, LoadError, ParameterError
from errata.parts import System
from errata.parts.merging.running import Inputs
from errata.storage import source_path

_HINTS = {
    "buckets": "Texts are hashed into as many ids as the data need: train both on data of about one size.",
    "shape": "Train both with the same --image-size.",
}

__all__ = ["PairedBatches", "check_networks", "joint_labels", "named_alike", "read_sources"]

SAME_ENCODING = {
    "text": ("buckets", "ngrams", "chars"),
    "tokens": ("tokenizer", "max_len"),
    "image": ("shape", "dtype"),
}
"""What two encoders must agree on, so that their networks see the same thing; the rest may differ."""


def check_networks(a: Run, b: Run) -> None:
    """Say why two runs can't be merged: networks of one's own or of two builds, two networks in one run, encodings.

    Raises
    ------
    LoadError, ParameterError, DataError
    """
    for name, run in (("first", a), ("second", b)):
        if type(run.system).forward is not System.forward:
            raise ParameterError(
                f"The {name} run, of '{run.system.card.slug}', predicts with more than one network, and merging takes "
                "one. Train with a system of one network, such as elr; or merge the networks themselves: "
                "errata.system('pleas')(model_a, model_b, batches)."
            )
        if not isinstance(run.about.get("model"), Mapping):
            raise LoadError(
                f"The {name} run was trained on a network of your own ({run.about.get('model')}), which errata can't "
                "build again after merging. Merge the networks themselves: errata.system('pleas')(model_a, model_b, "
                "batches)."
            )
    one, other = a.about["model"], b.about["model"]
    if one["name"] != other["name"]:
        raise DataError(
            f"Only networks of one architecture can be merged; the first is '{one['name']}', the second "
            f"'{other['name']}'. Train both with the same --model."
        )
    _check_encoders(a.about["encoder"], b.about["encoder"])
    differ = [
        f"{key} is {one['kwargs'].get(key)} in the first and {other['kwargs'].get(key)} in the second"
        for key in one["kwargs"]
        if key != "num_classes" and one["kwargs"][key] != other["kwargs"].get(key)
    ]
    if differ:
        raise DataError(
            f"Only networks of one architecture can be merged; of the two '{one['name']}', {'; '.join(differ)}."
        )


def _check_encoders(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    if one["name"] != other["name"]:
        raise DataError(f"The runs were trained on data of two kinds, '{one['name']}' and '{other['name']}'.")
    for key in SAME_ENCODING.get(one["name"], ()):
        if one.get(key) != other.get(key):
            raise DataError(
                f"The runs see their inputs in different ways: {key} is {one.get(key)} in the first and "
                f"{other.get(key)} in the second. {_HINTS.get(key, 'Train both with the same reading options.')}"
            )
    if one["name"] == "tabular" and _columns(one) != _columns(other):
        mine, theirs = _columns(one), _columns(other)
        odd = next((c for c in [*mine, *theirs] if c not in mine or c not in theirs), mine[0] if mine else "")
        raise DataError(
            f"The runs were trained on different columns or categories: '{odd}' is in one alone. Each input of the "
            "networks must mean the same thing; a column that never varies in one source is left out there. Name the "
            "columns that both have: --features."
        )


def _columns(spec: Mapping[str, Any]) -> list[str]:
    found = []
    for column in spec["columns"]:
        words = [f"{column['name']} = {word}" for word in column.get("words", ())]
        marked = [f"{column['name']} is missing"] if column.get("marked") else []
        found += [column["name"], *words, *marked]
    return found


def named_alike(a: Sequence[Any], b: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The classes of two runs; one that is a number in the one and a text in the other is the same.

    Examples
    --------
    >>> named_alike([0, 1], ["1", "2"])
    ([0, 1], [1, '2'])
    """
    own = {str(c): c for c in a}
    return list(a), [own.get(str(c), c) for c in b]


def read_sources(a: Run, b: Run, data: Any, label: Any, reading: Mapping[str, Any]) -> list[Any]:
    """The data to compare the networks on: those given, or those that both runs were trained on.

    Parameters
    ----------
    data : a source, several of them, or None
    label : its labels' column, where they are wanted; None otherwise

    Raises
    ------
    DataError
        where none were given and the runs' own are not there any more
    """
    from errata.data import Data, read

    if data is None:
        places = [source_path(run.about, None) for run in (a, b)]
        gone = [run.about.get("source") for run, place in zip((a, b), places) if place is None]
        if gone:
            raise DataError(
                f"The data of a run are needed to compare the networks on, and {', '.join(map(str, gone))} can't be "
                "found. Give others, labelled or not: data=... (--data SOURCE on the command line)."
            )
        found = [_read_for(run, str(place), label, reading) for run, place in zip((a, b), places)]
        return found[:1] if places[0] == places[1] else found
    several = data if isinstance(data, (list, tuple)) and data and _sourcelike(data[0]) else [data]
    return [
        read(source, label) if isinstance(source, Data) else _read_for(a, source, label, reading) for source in several
    ]


def _sourcelike(item: Any) -> bool:
    from errata.data import Data

    text = isinstance(item, str) and "\n" not in item and Path(item).expanduser().exists()
    return isinstance(item, (Path, Data)) or text or (hasattr(item, "shape") and getattr(item, "ndim", 0) > 1)


def _read_for(run: Run, source: Any, label: Any, reading: Mapping[str, Any]) -> Any:
    return run._read(source, False if label is None else label, reading)


def joint_labels(parts: Sequence[Any], classes: Sequence[Any]) -> np.ndarray:
    """(N,) the codes of all rows' labels in ``classes``; -1 for those without, or of another class."""
    place = {str(c): i for i, c in enumerate(classes)}
    found = []
    for data in parts:
        if data.labels is None:
            found.append(np.full(len(data), -1))
            continue
        lookup = np.array([place.get(str(c), -1) for c in data.labels.classes] + [-1])
        found.append(lookup[data.labels.codes])
    return np.concatenate(found).astype(np.int64)


class PairedBatches:
    """Batches of inputs as each network sees them, in an order drawn once; can be gone through again and again.

    Parameters
    ----------
    a, b : the runs, whose encoders and views are used
    parts : the data
    batch_size : rows at a time
    most : batches at most; which rows they hold is drawn, in equal shares of each part as far as it has rows
    seed : of the draw
    """

    def __init__(self, a: Run, b: Run, parts: Sequence[Any], *, batch_size: int, most: int | None, seed: int) -> None:
        if batch_size < 1 or (most is not None and most < 1):
            raise ParameterError(f"batch_size and batches must be 1 or more; got {batch_size} and {most}.")
        lengths = [len(part) for part in parts]
        if sum(lengths) == 0:
            raise DataError("There are no rows to compare the networks on.")
        self.views = (a.system.views, b.system.views)
        self.encoded = [(a.encoder.encode(part), b.encoder.encode(part)) for part in parts if len(part)]
        self.starts = np.cumsum([0, *[n for n in lengths if n]])
        wanted = self.starts[-1] if most is None else min(self.starts[-1], most * batch_size)
        rng = np.random.default_rng([seed, 0x4D])
        self.order = _drawn(rng, np.diff(self.starts), int(wanted))
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def rows(self) -> Iterator[np.ndarray]:
        """The rows of each batch, counted through all parts."""
        yield from np.split(self.order, np.arange(self.batch_size, len(self.order), self.batch_size))

    def __iter__(self) -> Iterator[Inputs]:
        for rows in self.rows():
            part = np.searchsorted(self.starts, rows, side="right") - 1
            sides = [
                [_rows_of(encoded[side], rows[part == k] - self.starts[k]) for k, encoded in enumerate(self.encoded)]
                for side in (0, 1)
            ]
            yield Inputs(*(view.plain(_together(pieces)) for view, pieces in zip(self.views, sides)))


def _drawn(rng: np.random.Generator, lengths: np.ndarray, wanted: int) -> np.ndarray:
    starts = np.cumsum([0, *lengths])
    shares = np.minimum(lengths, -(-wanted // len(lengths)))
    while shares.sum() < wanted:  # what one part lacks the others give
        shares = np.minimum(lengths, shares + max(1, (wanted - int(shares.sum())) // len(lengths)))
    chosen = [start + rng.permutation(n)[:share] for start, n, share in zip(starts, lengths, shares)]
    return rng.permutation(np.concatenate(chosen))[:wanted]


def _rows_of(encoded: Any, rows: np.ndarray) -> Tensor:
    if isinstance(encoded, (Tensor, np.ndarray)):
        return take(encoded, rows)
    if not len(rows):
        return torch.as_tensor(encoded[0])[None][:0]
    return torch.stack([torch.as_tensor(encoded[int(i)]) for i in rows])


def _together(pieces: list[Tensor]) -> Tensor:
    if len({piece.shape[1:] for piece in pieces}) == 1:
        return torch.cat(pieces)
    longest = max(piece.shape[1] for piece in pieces)  # texts of different lengths; 0 fills up
    return torch.cat([torch.nn.functional.pad(piece, (0, longest - piece.shape[1])) for piece in pieces])
