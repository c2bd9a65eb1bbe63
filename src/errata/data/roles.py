"""From a table as read to data with a label and features: which column is what, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from errata.data.content import Content, categories, choose_label, labels_of, numbers
from errata.data.data import Column, Data
from errata.data.images import MEMORY, Images
from errata.data.kinds import (
    CATEGORY,
    IGNORED,
    IMAGE,
    KINDS,
    NUMBER,
    TEXT,
    Guess,
    guess_kind,
    is_blob,
    is_missing,
    is_number,
    is_string,
)
from errata.data.picture_columns import images_of, readable
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.labels import ClassLabels

__all__ = ["Options", "assemble"]

LABEL_LIKE = re.compile(r"(^|[\W_\d])(labels?|target|class(es)?|truth|gt|gold|annotation|y)([\W_\d]|$)", re.IGNORECASE)
SIDE_COLUMNS = 5
"""Beside a text, so many other columns are left out; a table with more is read as a table, and the text left out."""
MANY_WORDS = 200
"""A lone column of more different words than this is read as text."""
LEAK_ROWS = 100_000  # rows that are looked at for columns that give the label away


@dataclass(frozen=True)
class Options:
    """How to read a table, as the user said it; see ``errata.read``."""

    features: tuple[str, ...] | None = None
    text: tuple[str, ...] = ()
    image_column: str | None = None
    kinds: Mapping[str, str] | None = None
    classes: Sequence[Any] | None = None
    unreadable: str = "error"
    image_size: tuple[int, int] | None = None
    memory: int = MEMORY
    labels_only: bool = False


def assemble(
    content: Content,
    label: Any,
    options: Options,
    images: Images | None = None,
    guesses: dict[str, Guess] | None = None,
) -> Data:
    """Decide what every column is, encode the labels, decode images, and put it all into ``Data``."""
    names = content.table.column_names
    _check_options(names, options, content.source)
    chosen = choose_label(names, label, content.source)
    labels = None
    if chosen is not None:
        labels = labels_of(
            content.table[chosen], chosen, classes=options.classes, code_names=content.names_of_codes(chosen)
        )
    guesses = guesses if guesses is not None else {}
    columns = [_column(content, name, chosen, options, guesses) for name in names]
    kind = _kind_of_data(columns, options, content.source)
    columns = [_settle(column, kind, options, columns) for column in columns]
    if kind == "tabular":
        columns, kind = _words_as_text(columns, options)
    if kind == "tabular":
        columns = _against_leaks(content, columns, labels, options)
    _check_features(content, columns, kind, required=not options.labels_only)
    rows = np.arange(content.table.num_rows)
    notes = list(content.notes)
    if chosen is not None and label is None:
        notes.append(f"The label '{chosen}' was guessed from the column's name.")
    if kind == "image":
        name = next(c.name for c in columns if c.role == "feature")
        images = images or images_of(content, name, options.image_size, options.memory)
        rows = readable(images, options.unreadable, content.source, notes)
    if labels is not None and len(rows) < len(labels):
        labels = ClassLabels(labels.codes[rows], labels.classes)
    again = replace(options, classes=None)
    return Data(
        kind=kind,
        columns=columns,
        rows=rows,
        source=content.source,
        format=content.format,
        labels=labels,
        label_name=chosen,
        table=content.table,
        images=images,
        notes=notes,
        relabel=partial(_relabelled, content, again, images, guesses),
    )


def _relabelled(
    content: Content, options: Options, images: Images | None, guesses: dict[str, Guess], name: str
) -> Data:
    return assemble(content, name, options, images, guesses)


def _check_options(names: Sequence[str], options: Options, source: str) -> None:
    wanted = [*(options.features or ()), *options.text, *(options.kinds or {})]
    wanted += [options.image_column] if options.image_column else []
    for name in wanted:
        if name not in names:
            raise UnknownNameError("column", name, names, f"It is looked for in {source}.")
    for name, kind in (options.kinds or {}).items():
        if kind not in KINDS:
            raise UnknownNameError("kind of column", kind, KINDS, f"It was given for '{name}'.")
    if options.text and options.image_column:
        raise ParameterError("Give either text= or image_column=, not both: a model reads one of them.")


def _column(content: Content, name: str, label: str | None, options: Options, guesses: dict[str, Guess]) -> Column:
    values = content.table[name]
    if name == label:
        missing = int(np.count_nonzero(is_missing(values).to_numpy()))
        return Column(name, CATEGORY, "label", missing)
    if name not in guesses:
        guesses[name] = guess_kind(name, values, content.folder)
    guess = guesses[name]
    told = (options.kinds or {}).get(name)
    if told in (NUMBER, CATEGORY, TEXT) or name in options.text:
        _check_plain(values, name, content.source)
    told = TEXT if name in options.text else IMAGE if name == options.image_column else told
    if told is None and options.features is not None and name in options.features and guess.kind == IGNORED:
        told = _usable_kind(values, name, content.source)
    if told is not None:
        note = "" if told != IGNORED else "it was told so"
        return Column(name, told, IGNORED if told == IGNORED else "feature", guess.missing, guess.distinct, note)
    role = IGNORED if guess.kind == IGNORED else "feature"
    return Column(name, guess.kind, role, guess.missing, guess.distinct, guess.note)


def _check_plain(values: Any, name: str, source: str) -> None:
    import pyarrow as pa

    if pa.types.is_nested(values.type) or is_blob(values.type):
        raise DataError(f"Column '{name}' of {source} holds {values.type}, which is no number, category or text.")


def _usable_kind(values: Any, name: str, source: str) -> str:
    """The kind of a column that the user asks for and the rules would leave out."""
    import pyarrow as pa

    if is_number(values.type) or pa.types.is_temporal(values.type):
        return NUMBER
    if is_string(values.type) or pa.types.is_boolean(values.type):
        return CATEGORY
    raise DataError(
        f"Column '{name}' of {source} can't be a feature: it holds {values.type}. Leave it out of features=."
    )


def _kind_of_data(columns: Sequence[Column], options: Options, source: str) -> str:
    if options.image_column:
        return "image"
    if options.text:
        return "text"
    able = [c for c in columns if c.role == "feature" and (options.features is None or c.name in options.features)]
    pictures = [c.name for c in able if c.kind == IMAGE]
    if len(pictures) > 1:
        raise DataError(
            f"{source} has several columns of images: {', '.join(pictures)}. Name the one to use with image_column=."
        )
    if pictures:
        return "image"
    words = [c for c in able if c.kind == TEXT]
    if words and len(able) - len(words) <= SIDE_COLUMNS:
        return "text"
    return "tabular"


def _words_as_text(columns: list[Column], options: Options) -> tuple[list[Column], str]:
    """A table whose only feature is a column of very many different words is text: their letters say more than they."""
    features = [c for c in columns if c.role == "feature"]
    only = features[0] if len(features) == 1 else None
    told = only is not None and only.name in (options.kinds or {})
    if only is None or told or only.kind != CATEGORY or (only.distinct or 0) <= MANY_WORDS:
        return columns, "tabular"
    note = f"its {only.distinct:,} different values are read as text; kinds={{{only.name!r}: 'category'}} changes that"
    return [replace(c, kind=TEXT, note=note) if c is only else c for c in columns], "text"


def _settle(column: Column, kind: str, options: Options, columns: Sequence[Column]) -> Column:
    """Leave out what the data's kind can't use, and what the user did not ask for."""
    if column.role != "feature":
        return column
    if options.features is not None and column.name not in (*options.features, *options.text, options.image_column):
        return replace(column, kind=IGNORED, role=IGNORED, note="features= does not name it")
    if kind == "image" and column.name != (options.image_column or column.name):
        return replace(column, kind=IGNORED, role=IGNORED, note="only the image is used")
    if kind == "image" and column.kind != IMAGE:
        return replace(column, kind=IGNORED, role=IGNORED, note="only the image is used")
    if kind == "text" and options.text and column.name not in options.text:
        return replace(column, kind=IGNORED, role=IGNORED, note="only the text that was named is used")
    if kind == "text" and column.kind != TEXT:
        texts = ", ".join(c.name for c in columns if c.kind == TEXT and c.role == "feature")
        note = f"only the text is used ({texts}); features= without it makes a table"
        return replace(column, kind=IGNORED, role=IGNORED, note=note)
    if kind == "tabular" and column.kind == TEXT:
        note = f"it is text in a table of numbers and categories; text={column.name!r} reads it alone"
        return replace(column, kind=IGNORED, role=IGNORED, note=note)
    return column


def _check_features(content: Content, columns: Sequence[Column], kind: str, *, required: bool) -> None:
    """Refuse data without a feature, and numbers that are none or infinite."""
    source = content.source
    for column in columns:
        if kind == "tabular" and column.role == "feature" and column.kind == NUMBER:
            numbers(content.table[column.name], column.name)
    if not required or any(c.role == "feature" for c in columns):
        return
    reasons = "; ".join(f"'{c.name}': {c.note}" for c in columns if c.role == IGNORED)
    raise DataError(
        f"{source} leaves nothing to learn from"
        + (f" ({reasons})." if reasons else ": it has no column but the label.")
        + " Columns can be chosen with features=, text=, image_column= or kinds=."
    )


# -- columns that give the label away ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _About:
    """The label's column, and the columns that the user named: those stay features whatever they look like."""

    label: str
    asked: frozenset[str]


def _against_leaks(
    content: Content, columns: list[Column], labels: ClassLabels | None, options: Options
) -> list[Column]:
    """Leave out further labels and copies of the label; mark what determines it. What the user named stays in."""
    if labels is None:
        return columns
    known = np.flatnonzero(labels.codes >= 0)
    if len(known) > LEAK_ROWS:
        known = known[np.linspace(0, len(known) - 1, LEAK_ROWS).astype(np.int64)]
    label = next((c.name for c in columns if c.role == "label"), "label")
    about = _About(label, frozenset({*(options.features or ()), *(options.kinds or {})}))
    given, names = labels.codes[known], [str(c) for c in labels.classes]
    found = []
    for column in columns:
        few = column.distinct is not None and column.distinct <= max(50, 2 * len(names))
        if column.role == "feature" and column.kind in (NUMBER, CATEGORY) and few:
            codes, words = categories(content.table[column.name])
            column = _judge(column, codes[known], words, given, names, about)
        found.append(column)
    if not any(c.role == "feature" for c in found):
        return [replace(c, note=f.note) if c.role == "feature" else c for c, f in zip(columns, found)]
    return found


def _judge(
    column: Column, codes: np.ndarray, words: Sequence[str], given: np.ndarray, names: Sequence[str], about: _About
) -> Column:
    both = codes >= 0
    codes, given = codes[both], given[both]
    if len(codes) == 0:
        return column
    if column.name not in about.asked:
        what = _label_like(column.name, codes, words, given, names, about.label)
        if what:
            note = f"it looks like {what} (its values are the classes); features= or kinds= uses it"
            return replace(column, kind=IGNORED, role=IGNORED, note=note)
    counts = np.zeros((len(words), len(names)), dtype=np.int64)
    np.add.at(counts, (codes, given), 1)
    chance = counts.sum(0).max() / len(codes)
    told = counts.max(1).sum() / len(codes)
    if chance < 1 and (told - chance) / (1 - chance) >= 0.98 and 20 <= 10 * len(words) <= len(codes):
        return replace(column, note="it alone determines the label; if it is not known when predicting, leave it out")
    return column


def _label_like(
    name: str, codes: np.ndarray, words: Sequence[str], given: np.ndarray, names: Sequence[str], label: str
) -> str:
    """What a column whose values are the classes seems to be: "a copy of the label", "another label", or "" for none.

    Many a feature is yes or no, or 0 or 1, as the label is; so values alone say little where there are two classes.
    """
    place = {class_name: i for i, class_name in enumerate(names)}
    as_label = np.array([place.get(word, -1) for word in words])
    if len(words) < 2 or np.mean(as_label >= 0) < 0.8:
        return ""
    agreement = _kappa(as_label[codes], given, len(names))
    if agreement >= 0.8 and len(codes) >= 20:
        return "a copy of the label"
    akin = label.casefold() in name.casefold() if len(label) > 1 else False
    if LABEL_LIKE.search(name) or akin:
        return "another label"
    speaking = not all(class_name.lstrip("-").isdecimal() for class_name in names)
    enough = 0.3 if speaking and len(names) > 2 else 0.6
    return "another label" if agreement >= enough and len(codes) >= 20 else ""


def _kappa(one: np.ndarray, other: np.ndarray, num_classes: int) -> float:
    """Agreement beyond chance (Cohen's kappa), 1 for copies."""
    agree = float(np.mean(one == other))
    share = np.bincount(one[one >= 0], minlength=num_classes) / len(one)
    chance = float((share * np.bincount(other, minlength=num_classes) / len(other)).sum())
    return (agree - chance) / (1 - chance) if chance < 1 else 0.0
