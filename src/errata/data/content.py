"""What a reader hands over: a table (Arrow) or an array, with what is known of it; and columns as NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from errata.data.kinds import is_missing, is_number, is_string, undictionaried
from errata.errors import DataError, ErrataError, UnknownNameError
from errata.labels import MISSING, ClassLabels

__all__ = ["LABEL_NAMES", "MISSING_WORDS", "Content", "categories", "choose_label", "labels_of", "numbers", "texts"]

MISSING_WORDS = (
    "",
    "NA",
    "N/A",
    "n/a",
    "na",
    "NaN",
    "nan",
    "NAN",
    "null",
    "NULL",
    "None",
    "none",
    "?",
    "-",
    "#N/A",
    "NaT",
)
"""What stands for "nothing" in a column of numbers; among words, only the empty string does."""


LABEL_NAMES = ("label", "labels", "target", "class", "y")
"""A column with one of these names is taken for the label where none is named."""


@dataclass
class Content:
    """A table as read, before anything is decided about its columns.

    Parameters
    ----------
    table : pyarrow.Table
    source : what was read, for messages: a path or "a DataFrame"
    format : "CSV", "Parquet", ...
    folder : where paths of images begin, and below which they must stay
    class_names : names of the classes of a column that holds codes; "" for any column
    notes : sentences on how it was read
    """

    table: Any
    source: str
    format: str
    folder: Path | None = None
    class_names: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def names_of_codes(self, column: str) -> list[str] | None:
        """The class names behind the integers of a column, if the file tells them."""
        return self.class_names.get(column, self.class_names.get(""))


def numbers(values: Any, name: str = "", rows: np.ndarray | None = None) -> np.ndarray:
    """A column as (n,) float64, NaN where missing.

    Raises
    ------
    DataError
        where a value is no number, or infinite; with its row

    Examples
    --------
    >>> import pyarrow as pa
    >>> numbers(pa.chunked_array([["1.5", "", "NA"]]))
    array([1.5, nan, nan])
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_string(values.type):
        values = _numbers_from_text(undictionaried(values), name)
    elif pa.types.is_temporal(values.type):
        values = _ticks(values)
    elif not (is_number(values.type) or pa.types.is_boolean(values.type) or pa.types.is_null(values.type)):
        raise DataError(f"Column '{name}' can't be read as numbers: it holds {values.type}.")
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    array = pc.cast(undictionaried(values), pa.float64(), safe=False).to_numpy()
    array = np.array(array, dtype=np.float64) if rows is None else array[rows].astype(np.float64)
    endless = np.isinf(array)
    if endless.any():
        at = int(np.flatnonzero(endless)[0])
        row = at if rows is None else int(rows[at])
        raise DataError(
            f"Column '{name}' holds {array[at]} in row {row}; expected finite numbers (or nothing, where one is "
            f"missing). "
            f"Correct the value or empty the cell; {int(endless.sum()):,} row(s) in all are infinite."
        )
    return array


def _ticks(values: Any) -> Any:
    """Dates and times as whole numbers of their units."""
    import pyarrow as pa

    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("us"))
    return values.cast(pa.int32() if pa.types.is_time32(values.type) else pa.int64())


def _numbers_from_text(values: Any, name: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(values)
    nothing = pc.is_in(trimmed, value_set=pa.array(MISSING_WORDS, trimmed.type))
    try:
        return pc.if_else(nothing, None, trimmed).cast(pa.float64())
    except pa.ArrowInvalid:
        for row, value in enumerate(pc.if_else(nothing, None, trimmed)):
            try:
                value.cast(pa.float64())
            except pa.ArrowInvalid:
                raise DataError(
                    f"Column '{name}' is to be read as numbers, but row {row} holds {value.as_py()!r}. Correct the "
                    f"value, "
                    f"or read the column as categories with kinds={{{name!r}: 'category'}}."
                ) from None
        raise


def categories(values: Any) -> tuple[np.ndarray, list[str]]:
    """A column as codes (n,) int64, -1 where missing, and the categories as strings, the most frequent first.

    Examples
    --------
    >>> import pyarrow as pa
    >>> categories(pa.chunked_array([["b", "a", None, "b"]]))
    (array([ 0,  1, -1,  0]), ['b', 'a'])
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = np.asarray(is_missing(values).to_numpy(zero_copy_only=False) if len(values) else [], dtype=bool)
    if not pa.types.is_dictionary(values.type):
        values = pc.dictionary_encode(values)
    joined = values.unify_dictionaries().combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(joined, pa.ChunkedArray):
        joined = joined.chunk(0)
    codes = joined.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    codes[missing] = MISSING
    words = [_word(value) for value in joined.dictionary.to_pylist()]
    counts = np.bincount(codes[codes >= 0], minlength=len(words))
    order = sorted((i for i in range(len(words)) if counts[i]), key=lambda i: (-counts[i], words[i]))
    place = np.full(len(words) + 1, MISSING, dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[codes], [words[i] for i in order]


def _word(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # 3.0 and 3 are one category, whichever way a file holds them
    return "" if value is None else str(value)


def texts(table: Any, columns: Sequence[str], rows: np.ndarray | None = None) -> list[str]:
    """The texts of some columns, joined by a line break; "" where nothing is.

    Examples
    --------
    >>> import pyarrow as pa
    >>> texts(pa.table({"title": ["A", None], "body": ["b", "c"]}), ["title", "body"])
    ['A\\nb', 'c']
    """
    import pyarrow as pa

    parts = []
    for name in columns:
        values = undictionaried(table[name])
        values = values if is_string(values.type) else values.cast(pa.string())
        if rows is not None:
            values = _rows_of(values, rows)
        parts.append(values.to_pylist())
    if len(parts) == 1:
        return [value or "" for value in parts[0]]
    return ["\n".join(value for value in row if value) for row in zip(*parts)]


def _rows_of(values: Any, rows: np.ndarray) -> Any:
    import pyarrow as pa

    if len(rows) and bool((np.diff(rows) == 1).all()):
        return values.slice(int(rows[0]), len(rows))
    return values.cast(pa.large_string()).take(pa.array(rows))  # offsets of 32 bits end at 2 GB


def labels_of(values: Any, name: str, *, classes: Sequence[Any] | None, code_names: list[str] | None) -> ClassLabels:
    """A column as class labels; integer codes get their class names where these are known.

    Parameters
    ----------
    values : pyarrow.ChunkedArray
    name : the column's name, for messages
    classes : the class names as the user gives them
    code_names : the class names as the file gives them
    """
    import pyarrow as pa

    if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        raise DataError(
            f"The label column '{name}' holds {values.type}; expected one class per row: words, integers or booleans."
        )
    try:
        labels = _labels_of_words(values, name, classes, code_names) if is_string(values.type) else None
    except ErrataError:
        labels = None  # told again below, with the row
    if labels is None:
        values = undictionaried(values)
        values = _tidy_label_words(values) if is_string(values.type) else values
        labels = _encode(values, name, classes, code_names)
    _check_many(labels, name)
    return labels


def _labels_of_words(
    values: Any, name: str, classes: Sequence[Any] | None, code_names: list[str] | None
) -> ClassLabels:
    """Labels that are words, by way of the distinct ones: millions of rows become no Python objects."""
    import pyarrow as pa

    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    coded = coded.unify_dictionaries().combine_chunks()
    coded = coded.chunk(0) if isinstance(coded, pa.ChunkedArray) else coded
    places = coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False)
    used = np.flatnonzero(np.bincount(places, minlength=len(coded.dictionary) + 1)[:-1])
    distinct = _encode(_tidy_label_words(coded.dictionary.take(pa.array(used))), name, classes, code_names)
    lookup = np.full(len(coded.dictionary) + 1, MISSING, dtype=np.int64)
    lookup[used] = distinct.codes
    return ClassLabels(lookup[places], distinct.classes)


def _encode(values: Any, name: str, classes: Sequence[Any] | None, code_names: list[str] | None) -> ClassLabels:
    import pyarrow as pa
    import pyarrow.compute as pc

    names = list(classes) if classes is not None else code_names
    if names is not None and (is_number(values.type) or pa.types.is_null(values.type)):
        coded = _from_codes(values, names)
        if coded is not None:
            return coded
    if pa.types.is_boolean(values.type) and values.null_count == 0:
        plain = values.to_numpy(zero_copy_only=False)
    elif not is_number(values.type):
        plain = np.array(values.to_pylist(), dtype=object)
    elif values.null_count == 0 and pa.types.is_integer(values.type):
        plain = values.to_numpy()
    else:
        plain = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return ClassLabels.encode(plain, classes=classes, name=name)


def _from_codes(values: Any, names: list[Any]) -> ClassLabels | None:
    """Integers that are places in ``names`` (-1 and nothing: missing); None where they don't fit, or name classes."""
    if any(not isinstance(n, str) for n in names):
        return None
    codes = np.asarray(values.to_pandas(), dtype=np.float64)
    codes = np.where(np.isnan(codes), MISSING, codes)
    if (codes != np.floor(codes)).any() or codes.min() < MISSING or codes.max() >= len(names) or codes.max() < 0:
        return None
    return ClassLabels(codes.astype(np.int64), list(names))


def _tidy_label_words(values: Any) -> Any:
    """Trim spaces; words that are all whole numbers become integers, so that "1" in a file is class 1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.utf8_trim_whitespace(values)
    nothing = pc.is_in(values, value_set=pa.array(MISSING_WORDS, values.type))
    known = pc.if_else(nothing, None, values)
    number = r"^[+-]?(0|[1-9]\d{0,17})(\.\d*)?([eE][+-]?\d+)?$"
    if known.null_count == len(known) or not pc.all(pc.match_substring_regex(known, number)).as_py():
        return pc.if_else(pc.equal(values, ""), None, values)
    whole = pc.all(pc.match_substring_regex(known, r"^[+-]?\d+$")).as_py()
    return pc.replace_substring(known, "+", "").cast(pa.int64() if whole else pa.float64())


def _check_many(labels: ClassLabels, name: str) -> None:
    known = len(labels) - labels.missing
    if len(labels.classes) > 100 and len(labels.classes) > 0.5 * known:
        shown = ", ".join(repr(c) for c in labels.classes[:3])
        raise DataError(
            f"The label column '{name}' holds {len(labels.classes):,} different values in {known:,} labelled rows, "
            f"such as "
            f"{shown}; expected classes, each with several rows. Choose another column with label=."
        )


def choose_label(names: Sequence[str], label: Any, source: str, hint: str = "") -> str | None:
    """The label's column: the one named, or the only one with a label's name; None where ``label`` is False.

    Raises
    ------
    UnknownNameError
        where the named column is not there
    DataError
        where none is named, and none or several look like it

    Examples
    --------
    >>> choose_label(["text", "Label"], None, "a.csv")
    'Label'
    """
    if label is False:
        return None
    if label is not None:
        if label not in names:
            raise UnknownNameError("column", label, names, f"It was to be the label of {source}. {hint}".strip())
        return str(label)
    likely = [name for name in names if name.strip().lower() in LABEL_NAMES]
    if len(likely) == 1:
        return likely[0]
    found = f"several columns could be it ({', '.join(likely)})" if likely else "no column is named like one"
    shown = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    raise DataError(
        f"Which column of {source} holds the labels? None was named, and {found}. Its columns are: {shown}. "
        "Name one with label=... (--label on the command line); label=False reads the data without labels. "
        f"{hint}".strip()
    )
