"""Options that several commands have, and how their values are read."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from errata.errors import ParameterError

__all__ = [
    "LINES",
    "NEW_ROWS",
    "READING",
    "READING_WITH_CLASSES",
    "Augment",
    "BatchSize",
    "Classes",
    "Device",
    "Encoding",
    "Epochs",
    "Features",
    "Force",
    "Header",
    "ImageColumn",
    "ImageSize",
    "Kinds",
    "Label",
    "Lines",
    "Model",
    "NewRows",
    "OutFolder",
    "Precision",
    "Reading",
    "ReadingWithClasses",
    "Seed",
    "Separator",
    "Settings",
    "Source",
    "TestLabel",
    "TextColumn",
    "Unreadable",
    "assignments",
    "pairs",
    "required_out",
    "taken_by",
    "without_images",
]

Source = Annotated[
    str,
    typer.Argument(
        help=".csv .tsv .parquet .jsonl .npz, a folder of images by class, or a Hugging Face dataset saved to disk.",
        show_default=False,
    ),
]
_READING = "How to read the data"
Label = Annotated[str | None, typer.Option(help="The column that holds the labels.", show_default=False)]
Features = Annotated[
    str | None,
    typer.Option(help="Columns to learn from, such as 'age,income'; by default all.", rich_help_panel=_READING),
]
TextColumn = Annotated[str | None, typer.Option("--text", help="The column of texts.", rich_help_panel=_READING)]
ImageColumn = Annotated[
    str | None, typer.Option(help="The column of images (bytes or paths).", rich_help_panel=_READING)
]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", help="column=number|category|text|image|ignored; repeatable.", rich_help_panel=_READING),
]
Unreadable = Annotated[
    str, typer.Option(help="What to do with images that can't be read: error or skip.", rich_help_panel=_READING)
]
Separator = Annotated[
    str | None, typer.Option(help="What separates columns of .csv and .tsv; by default found out.", show_default=False)
]
Header = Annotated[bool, typer.Option(help="Whether the first line of .csv and .tsv names the columns.")]
ImageSize = Annotated[
    int | None, typer.Option(help="Resize images to this side, in pixels; by default chosen.", show_default=False)
]
Classes = Annotated[
    Path | None,
    typer.Option(
        help="A text file with the class names, one in each line, in the order of their numbers.",
        rich_help_panel=_READING,
        show_default=False,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(help="Of .csv and .tsv that aren't UTF-8, such as latin-1.", rich_help_panel=_READING),
]
Model = Annotated[str, typer.Option(help="auto, or a model's name: mlp, cnn, resnet18, timm:NAME, hf:NAME ...")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]
Precision = Annotated[
    str | None,
    typer.Option(
        help="32-true, bf16-mixed or 16-mixed; auto: bf16-mixed where the processor has it, which makes images "
        "several times faster.",
        show_default="32-true",
    ),
]
OutFolder = Annotated[
    Path | None, typer.Option(help="The folder to write into; by default a new one.", show_default=False)
]
Force = Annotated[bool, typer.Option("--force", help="Replace an earlier result.")]


Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A hyper-parameter, name=value; repeatable. `errata systems SLUG` lists them."),
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the data.", show_default="by size")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Rows per step.", show_default="by size")]
TestLabel = Annotated[
    str | None, typer.Option(help="The label's column in --test, where it has another name.", show_default=False)
]
Augment = Annotated[bool, typer.Option(help="Crop and flip images at random while training.")]


@dataclass(frozen=True)
class Lines:
    """How .csv and .tsv are read; as the parameter of a command it stands for its options."""

    encoding: Encoding = None
    separator: Separator = None
    header: Header = True

    def given(self) -> dict[str, Any]:
        """The options as ``errata.read`` takes them; those not given are left out.

        Examples
        --------
        >>> Lines(separator="tab").given()
        {'separator': '\\t'}
        """
        found: dict[str, Any] = {}
        if self.encoding is not None:
            found["encoding"] = self.encoding
        if self.separator is not None:
            found["separator"] = {"tab": "\t", "\\t": "\t"}.get(self.separator, self.separator)
        if not self.header:
            found["header"] = False
        return found


@dataclass(frozen=True)
class NewRows:
    """How further rows of a known source are read; see ``Lines``."""

    unreadable: Unreadable = "error"
    encoding: Encoding = None
    separator: Separator = None
    header: Header = True
    image_size: ImageSize = None

    def given(self) -> dict[str, Any]:
        """As ``Lines.given``."""
        if self.unreadable not in ("error", "skip"):
            raise ParameterError(f"--unreadable is 'error' or 'skip'; got '{self.unreadable}'.")
        found = Lines(self.encoding, self.separator, self.header).given()
        if self.unreadable != "error":
            found["unreadable"] = self.unreadable
        if self.image_size is not None:
            found["image_size"] = self.image_size
        return found


@dataclass(frozen=True)
class Reading:
    """How a source is read; see ``Lines``."""

    features: Features = None
    text: TextColumn = None
    image_column: ImageColumn = None
    kind: Kinds = None
    unreadable: Unreadable = "error"
    encoding: Encoding = None
    separator: Separator = None
    header: Header = True
    image_size: ImageSize = None

    def given(self) -> dict[str, Any]:
        """As ``Lines.given``.

        Examples
        --------
        >>> Reading(features="a, b", kind=["a=number"]).given()
        {'features': ['a', 'b'], 'kinds': {'a': 'number'}}
        """
        found: dict[str, Any] = {}
        if self.features is not None:
            found["features"] = [name.strip() for name in self.features.split(",") if name.strip()]
        if self.text is not None:
            found["text"] = self.text
        if self.image_column is not None:
            found["image_column"] = self.image_column
        if self.kind:
            found["kinds"] = {name: str(value) for name, value in pairs(self.kind, "--kind", "column=kind").items()}
        rows = NewRows(self.unreadable, self.encoding, self.separator, self.header, self.image_size)
        return found | rows.given()


@dataclass(frozen=True)
class ReadingWithClasses(Reading):
    """``Reading``, and the classes' names from a file."""

    classes: Classes = None

    def given(self) -> dict[str, Any]:
        """As ``Lines.given``."""
        found = super().given()
        if self.classes is not None:
            found["classes"] = [line.strip() for line in _lines(self.classes) if line.strip()]
        return found


LINES, NEW_ROWS, READING, READING_WITH_CLASSES = Lines(), NewRows(), Reading(), ReadingWithClasses()
"""The defaults of such parameters: nothing said."""


def required_out(resume: bool, out: Path | None, whose: str = "run") -> None:
    """Refuse ``--resume`` without the folder of what is to be resumed."""
    if resume and out is None:
        raise ParameterError(f"--resume needs the folder of the earlier {whose}: give --out DIR.")


def without_images(reading: Mapping[str, Any]) -> dict[str, Any]:
    """The same reading options of data that have no images.

    Raises
    ------
    ParameterError
        where an option on images is among them
    """
    for name in ("unreadable", "image_size"):
        if name in reading:
            raise ParameterError(f"--{name.replace('_', '-')} is for images; these data are rows of a table.")
    return dict(reading)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ParameterError(f"{file} is not a text file in UTF-8 ({error}).") from error


def assignments(given: list[str] | None) -> dict[str, Any]:
    """``--set name=value`` pairs with their values as numbers, booleans, None, lists or else as text.

    Examples
    --------
    >>> assignments(["lambda_=3", "lr=1e-2", "loss=gce", "milestones=[0.5, 0.8]", "gradient_clip=none"])
    {'lambda_': 3, 'lr': 0.01, 'loss': 'gce', 'milestones': [0.5, 0.8], 'gradient_clip': None}
    """
    return {name: _value(text) for name, text in pairs(given or [], "--set", "name=value").items()}


def taken_by(function: Callable[..., Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those parameters that a function takes by name.

    Examples
    --------
    >>> taken_by(sorted, {"reverse": True, "lr": 0.1})
    {'reverse': True}
    """
    named = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return {name: value for name, value in parameters.items() if name in named}


def pairs(given: list[str], option: str, form: str) -> dict[str, str]:
    """Repeated ``name=value`` options as a mapping of texts; the form is for the message."""
    found: dict[str, str] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise ParameterError(f"{option} expects {form}; got '{item}'.")
        if name.strip() in found:
            raise ParameterError(f"{option} gives '{name.strip()}' twice; give it once.")
        found[name.strip()] = value.strip()
    return found


def _value(text: str) -> Any:
    named = {"none": None, "null": None, "true": True, "false": False}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return float(text)  # '.5', '1_000', 'inf' are numbers for Python, though not for JSON
    except ValueError:
        return text
