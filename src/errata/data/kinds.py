"""What kind a table's column is: number, category, text or image; or why it is left out.

The rules are few, so that a wrong guess can be understood, and each guess that may surprise comes with a note.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from errata.data.images import EXTENSIONS, looks_like_image

__all__ = ["CATEGORY", "IGNORED", "IMAGE", "KINDS", "NUMBER", "TEXT", "Guess", "guess_kind", "is_missing"]

NUMBER, CATEGORY, TEXT, IMAGE, IGNORED = "number", "category", "text", "image", "ignored"
KINDS = (NUMBER, CATEGORY, TEXT, IMAGE, IGNORED)

COUNTED = 1_000_000  # rows up to which distinct values are counted exactly
LOOKED_AT = 50_000  # values that the rules for strings look at
TEXT_NAMES = re.compile(
    r"text|sentence|review|comment|title|body|message|question|query|content|document|tweet|utterance|abstract|summary",
    re.IGNORECASE,
)
ID_NAMES = re.compile(
    r"(^|[\W_])(id|ids|idx|index|uuid|guid|key|row|rowid|rownum|number|nr|no|unnamed)\d*($|[\W_])|^$", re.I
)
DATE = r"^\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})([T ]\d{1,2}:\d{2}.*)?\s*$"
UNUSED_NOTE = "kinds={{{name!r}: 'category'}} uses it"


@dataclass(frozen=True)
class Guess:
    """A column's kind, with what was counted on the way."""

    kind: str
    missing: int
    distinct: int | None = None
    note: str = ""


def is_missing(values: Any) -> Any:
    """Where an arrow array has nothing: null, NaN, or an empty string (spaces only)."""
    import pyarrow as pa

    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    return pa.chunked_array([_is_missing(chunk) for chunk in chunks], pa.bool_())


def _is_missing(values: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):  # judge every word once
        words = _is_missing(values.dictionary)
        return pc.fill_null(words.take(values.indices), True) if len(words) else pc.is_null(values)
    nulls = pc.is_null(values, nan_is_null=True)
    if not is_string(values.type):
        return nulls
    blank = pc.or_(pc.equal(pc.binary_length(values), 0), pc.utf8_is_space(values))
    return pc.or_(nulls, pc.fill_null(blank, False))


def guess_kind(name: str, values: Any, folder: Path | None = None) -> Guess:
    """Guess the kind of a column.

    Parameters
    ----------
    name : the column's name, which helps where values don't decide
    values : pyarrow.ChunkedArray
    folder : where paths of images begin

    Examples
    --------
    >>> import pyarrow as pa
    >>> guess_kind("age", pa.chunked_array([[31, 44, 31]])).kind
    'number'
    >>> guess_kind("review", pa.chunked_array([["A good film", "Not my taste", "So so at best"]])).kind
    'text'
    >>> guess_kind("city", pa.chunked_array([["Rome", "Oslo", "Rome", "Oslo"]])).kind
    'category'
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    missing = int(pc.sum(is_missing(values)).as_py() or 0)
    if missing == len(values):
        return Guess(IGNORED, missing, 0, "it is empty")
    if is_blob(kind):
        return _guess_blob(values, missing)
    if pa.types.is_temporal(kind):
        return Guess(IGNORED, missing, None, "dates and times are not used; " + UNUSED_NOTE.format(name=name))
    if pa.types.is_nested(kind):
        return Guess(IGNORED, missing, None, f"its values are nested ({kind}), which is not used")
    distinct = _count_distinct(values)
    if distinct == 1:
        return Guess(IGNORED, missing, 1, "it holds the same value in every row")
    if pa.types.is_boolean(kind):
        return Guess(CATEGORY, missing, distinct)
    if is_number(kind):
        return _guess_number(name, values, missing, distinct)
    return _guess_string(name, values, missing, distinct, folder)


def _guess_blob(values: Any, missing: int) -> Guess:
    first = next((v.as_py() for v in values if v.is_valid), None)
    if isinstance(first, dict):
        first = first.get("bytes") or first.get("path")
    if isinstance(first, str) or looks_like_image(first):
        return Guess(IMAGE, missing)
    return Guess(IGNORED, missing, None, "its values are bytes, but not of a picture")


def _guess_number(name: str, values: Any, missing: int, distinct: int | None) -> Guess:
    import pyarrow as pa

    if pa.types.is_integer(values.type) and missing == 0 and distinct in (len(values), None):
        numbers = values.to_numpy()
        counting = bool((np.diff(numbers) == 1).all()) and numbers[0] in (0, 1)
        if len(values) > 2 and (counting or (distinct is not None and len(values) >= 20 and ID_NAMES.search(name))):
            how = "it counts the rows" if counting else "it is different in every row, like an identifier"
            return Guess(IGNORED, missing, distinct, f"{how}; kinds={{{name!r}: 'number'}} uses it")
    return Guess(NUMBER, missing, distinct)


def _guess_string(name: str, values: Any, missing: int, distinct: int | None, folder: Path | None) -> Guess:
    import pyarrow.compute as pc

    seen = _known(values.slice(0, LOOKED_AT))
    if len(seen) == 0:  # a column that begins with a long gap
        seen = _known(values).slice(0, LOOKED_AT)
    if _are_image_paths(seen, folder):
        return Guess(IMAGE, missing, distinct)
    if pc.all(pc.match_substring_regex(seen, DATE)).as_py():
        return Guess(IGNORED, missing, distinct, "dates and times are not used; " + UNUSED_NOTE.format(name=name))
    words = pc.mean(pc.count_substring_regex(seen, r"\S+")).as_py()
    length = pc.mean(pc.utf8_length(seen)).as_py()
    share = pc.count_distinct(seen).as_py() / len(seen)
    if length >= 60 or (words >= 3 and share > 0.2) or (TEXT_NAMES.search(name) and words >= 1.5 and share > 0.5):
        return Guess(TEXT, missing, distinct)
    if share > 0.9 and len(seen) >= 20:
        note = f"almost every value is different, like an identifier; kinds={{{name!r}: 'text'}} uses it"
        return Guess(TEXT, missing, distinct) if words >= 2 else Guess(IGNORED, missing, distinct, note)
    return Guess(CATEGORY, missing, distinct)


def _known(values: Any) -> Any:
    import pyarrow.compute as pc

    return undictionaried(values.filter(pc.invert(is_missing(values))))


def _are_image_paths(seen: Any, folder: Path | None) -> bool:
    if folder is None:
        return False
    first = seen.slice(0, 5).to_pylist()
    named = [Path(v).suffix.lower() in EXTENSIONS and len(v) < 1024 and "\0" not in v for v in first]
    return all(named) and any((folder / v).is_file() for v in first)


def _count_distinct(values: Any) -> int | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        values = undictionaried(values) if len(values) <= COUNTED else values.unify_dictionaries().chunk(0).dictionary
    if len(values) > COUNTED:
        head = pc.count_distinct(values.slice(0, LOOKED_AT), mode="only_valid").as_py()
        return None if head > 1 else pc.count_distinct(values, mode="only_valid").as_py()
    if is_string(values.type):
        values = _known(values)
    return pc.count_distinct(values, mode="only_valid").as_py()


def undictionaried(values: Any) -> Any:
    """Strings without dictionary encoding; other types as they are."""
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        return values.cast(values.type.value_type)
    return values


def is_string(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_number(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def is_blob(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return {kind.field(i).name for i in range(kind.num_fields)} >= {"bytes", "path"}
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
