"""`errata noise`: a copy of a table with wrong labels planted in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._places import output_file
from errata.cli._talk import Talk
from errata.cli.audit import tell
from errata.errors import DataError, ParameterError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np

    from errata.data import Data

__all__ = ["noise"]

KINDS = ("symmetric", "asymmetric", "instance")


@command
def noise(
    talk: Talk,
    source: Annotated[Path, typer.Argument(help=".csv .tsv .parquet .jsonl or .npz.", show_default=False)],
    kind: Annotated[
        str,
        typer.Option(
            help="symmetric (to any other class), asymmetric (by --mapping), or instance (by what the row looks like).",
            show_default=False,
        ),
    ],
    rate: Annotated[float, typer.Option(help="The share of labels to change, in \\[0, 1].", show_default=False)],
    out: Annotated[Path, typer.Option(help="The file to write, of the source's format.", show_default=False)],
    label: options.Label = None,
    mapping: Annotated[
        str,
        typer.Option(
            help="For asymmetric: pair (to the next class), mnist, cifar10, cifar100, or a .json file with "
            "{class: class} or a matrix."
        ),
    ] = "pair",
    true_column: Annotated[
        str | None, typer.Option(help="The column that keeps the originals.", show_default="LABEL_true")
    ] = None,
    seed: options.Seed = 0,
    force: options.Force = False,
    encoding: options.Encoding = None,
) -> None:
    """Plant wrong labels in a copy of a table, to try out what they do; the originals are kept in a further column.

    Examples:

      errata noise clean.csv --label y --kind symmetric --rate 0.3 --out noisy.csv

      errata noise clean.parquet --label y --kind asymmetric --mapping pair --rate 0.2 --out noisy.parquet
    """
    from errata.cli._formats import COPIES, copy_with_changes, ending_of
    from errata.data import read

    if kind not in KINDS:
        raise UnknownNameError("kind of noise", kind, KINDS)
    if source.exists() and (source.is_dir() or ending_of(source) not in COPIES):
        raise DataError(f"{source}: noise is planted in a table, one of {', '.join(COPIES)}.")
    output_file(out, tuple(COPIES) + tuple(f"{e}.gz" for e in (".csv", ".tsv", ".jsonl")), force=force)
    data = read(source, label, encoding=encoding)
    tell(talk, data)
    labels = data.require_labels()
    noisy = _corrupt(data, kind, rate, mapping, seed)
    name = true_column or f"{data.label_name}_true"
    copy_with_changes(source, out, str(data.label_name), _take(labels.codes, noisy), name, encoding)
    changed = int((noisy != labels.codes).sum())
    known = len(labels) - labels.missing
    talk.say(f"{changed:,} of {known:,} labels changed ({changed / known:.1%}); the originals are in '{name}'.")
    talk.paths({"noisy copy": out})
    talk.result(
        {"out": str(out), "rows": len(labels), "changed": changed, "rate": changed / known, "true_column": name}
    )


def _corrupt(data: Data, kind: str, rate: float, mapping: str, seed: int) -> np.ndarray:
    """(N,) noisy codes."""
    from errata import noise as room

    labels = data.require_labels()
    k = len(labels.classes)
    if kind == "symmetric":
        return room.symmetric(labels.codes, rate, k, seed=seed)
    if kind == "asymmetric":
        return room.asymmetric(labels.codes, rate, _mapping(mapping, labels.classes), num_classes=k, seed=seed)
    return room.instance_dependent(_features(data), labels.codes, rate, k, seed=seed)


def _mapping(given: str, classes: list[Any]) -> Any:
    """A named mapping as it is, or the one in a JSON file: class names as codes, or a matrix."""
    path = Path(given)
    if path.suffix != ".json":
        return given
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(
            f"{path} is not JSON: {error}. Expected {{class: class}}, or a matrix as a list of lists."
        ) from error
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise ParameterError(f"{path} must hold {{class: class}}, or a matrix as a list of lists.")
    codes = {str(name): code for code, name in enumerate(classes)}
    for name in (*content, *content.values()):
        if str(name) not in codes:
            raise UnknownNameError("class", name, classes, f"It stands in {path}.")
    return {codes[str(one)]: codes[str(other)] for one, other in content.items()}


def _features(data: Data) -> Any:
    """(N, D) numbers that say what a row looks like: as encoded; for texts, counts of hashed words."""
    from errata.data import encoder_for

    if data.kind == "text":
        from sklearn.feature_extraction.text import HashingVectorizer

        return HashingVectorizer(n_features=256, alternate_sign=False).transform(data.texts()).toarray()
    encoded = encoder_for(data).fit(data).encode(data)
    if hasattr(encoded, "shape"):
        return encoded.reshape(len(data), -1)
    import torch

    return torch.stack([encoded[i].flatten() for i in range(len(data))])


def _take(given: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """(N,) from which row each row takes its label: its own, or the first one that has the new class."""
    import numpy as np

    first = {int(code): int(row) for code, row in zip(*np.unique(given, return_index=True))}
    take = np.arange(len(given))
    for code in np.unique(noisy[noisy != given]):
        if int(code) not in first:
            raise DataError(f"The noise asks for class number {code}, which no row of the data has.")
        take[(noisy == code) & (noisy != given)] = first[int(code)]
    return take
