"""Label columns of Arrow tables: other values, the same type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from errata.correct.plan import Edits
from errata.correct.source import Order, Source, labels_in, spellings
from errata.data.kinds import is_number
from errata.errors import DataError
from errata.labels import ClassLabels

__all__ = ["Columnar", "edited", "features_after", "metadata_after", "new_columns", "retyped"]


class Columnar(Source):
    """A data set whose labels are an Arrow column: of words, numbers, booleans, or codes of class names.

    Parameters
    ----------
    path, label : the data set and its label's column
    column : pyarrow.ChunkedArray, the labels as they stand there
    file_names : the class names behind codes, where the data set tells them
    classes : as told to ``errata.read``, if they were
    known : the ledger's classes
    """

    def __init__(
        self, path: Path, label: str, column: Any, file_names: list[str] | None, classes: Any, known: list[Any]
    ) -> None:
        labels = labels_in(column, label, classes, file_names, known)
        self.kind = column.type
        self.classes = classes
        self.file_names = file_names
        coded = is_number(column.type) and all(isinstance(name, str) for name in labels.classes)
        self.names = list(labels.classes) if coded else None
        super().__init__(path, label, labels, spellings(column, labels))

    def spell(self, name: Any) -> Any:
        if self.names is None:
            return retyped(name, self.kind, self.name)
        if str(name) not in self.names:
            self.names.append(str(name))
        return self.names.index(str(name))

    def values(self, order: Order) -> dict[int, Any]:
        """Class codes to the values that stand for them, of all classes that rows get."""
        return {int(code): self.raw(order.classes[code]) for code in np.unique(order.edits.codes) if code >= 0}

    def new_names(self) -> list[str] | None:
        """The class names of a copy, where the data set tells class names and gets new ones."""
        return self.names if self.names is not None and self.names != self.file_names else None

    def labels_of_copy(self, column: Any, file_names: list[str] | None, classes: list[Any]) -> ClassLabels:
        """The labels of a copy, read as those of the source were."""
        told = self.classes if self.classes is None or callable(self.classes) else classes
        return labels_in(column, self.label, told, file_names, classes)


def retyped(name: Any, kind: Any, where: str) -> Any:
    """A class as a value of an Arrow type.

    Raises
    ------
    DataError
        where the type can't hold it

    Examples
    --------
    >>> import pyarrow as pa
    >>> retyped("7", pa.int8(), "a.parquet"), retyped(True, pa.string(), "a.parquet")
    (7, 'True')
    """
    import pyarrow as pa

    value_type = kind.value_type if pa.types.is_dictionary(kind) else kind
    try:
        return pa.scalar(str(name)).cast(value_type).as_py()
    except pa.ArrowException as error:
        raise DataError(
            f"The label column of {where} holds {value_type}, which can't hold the class {name!r}."
        ) from error


def edited(table: Any, start: int, order: Order, label: str, values: Mapping[int, Any]) -> Any:
    """Some rows of a table with the order carried out.

    Parameters
    ----------
    table : pyarrow.Table, the source's rows from ``start`` on
    start : the first one's number
    order : what is to be done
    label : the column
    values : class codes to the values that stand for them
    """
    import pyarrow as pa

    stop = start + table.num_rows
    place = table.column_names.index(label)
    rows, codes = order.edits.relabelled(start, stop)
    field = table.schema.field(place)
    if len(rows) or pa.types.is_dictionary(field.type):
        column = _replaced(table.column(place), rows, [values[int(code)] for code in codes], list(values.values()))
        table = table.set_column(place, field, column)
    if order.soft is not None:
        table = _with_probabilities(table, np.arange(start, stop), order)
    kept = order.edits.kept[start:stop] if _drops(order.edits, start, stop) else None
    return table if kept is None else table.filter(pa.array(kept))


def _drops(edits: Edits, start: int, stop: int) -> bool:
    low, high = np.searchsorted(edits.rows, [start, stop])
    return bool((edits.codes[low:high] < 0).any())


def _replaced(column: Any, rows: np.ndarray, values: list[Any], every: list[Any]) -> Any:
    """A column with other values in some rows.

    Parameters
    ----------
    every : all values that are put in anywhere; a dictionary gets them all, so that it is the same in all pieces
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        return _replaced_codes(column, rows, values, every)
    mask = np.zeros(len(column), dtype=bool)
    mask[rows] = True
    joined = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return pa.chunked_array([pc.replace_with_mask(joined, pa.array(mask), pa.array(values, column.type))])


def _replaced_codes(column: Any, rows: np.ndarray, values: list[Any], every: list[Any]) -> Any:
    import pyarrow as pa

    joined = column.unify_dictionaries().combine_chunks()
    joined = joined.chunk(0) if isinstance(joined, pa.ChunkedArray) else joined
    words = joined.dictionary.to_pylist()
    words += [value for value in dict.fromkeys(every) if value not in words]
    place = {word: code for code, word in enumerate(words)}
    codes = joined.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    missing = np.asarray(joined.indices.is_null())
    codes[rows] = [place[value] for value in values]
    missing[rows] = False
    kind = column.type
    try:
        indices = pa.array(codes, mask=missing).cast(kind.index_type)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"The label column's codes are {kind.index_type}, too small for {len(words)} classes."
        ) from error
    dictionary = pa.array(words, kind.value_type)
    return pa.chunked_array([pa.DictionaryArray.from_arrays(indices, dictionary, ordered=kind.ordered)])


# -- probabilities ----------------------------------------------------------------------------------------------------


def new_columns(schema: Any, order: Order, where: str) -> list[str]:
    """The columns of probabilities that a copy has and the source has not."""
    return [] if order.soft is None or order.check_names(schema.names, where) else order.soft_names


def _with_probabilities(table: Any, rows: np.ndarray, order: Order) -> Any:
    import pyarrow as pa

    values = order.probabilities(rows)
    for name, column in zip(order.soft_names, values.T):
        array = pa.array(np.ascontiguousarray(column), pa.float32(), mask=np.isnan(column))
        if name in table.column_names:
            place = table.column_names.index(name)
            table = table.set_column(place, table.schema.field(place), array.cast(table.schema.field(place).type))
        else:
            table = table.append_column(pa.field(name, pa.float32()), array)
    return table


# -- what is written beside the columns -------------------------------------------------------------------------------


def metadata_after(
    metadata: Mapping[bytes, bytes] | None, label: str, names: list[str] | None, soft: list[str]
) -> dict[bytes, bytes] | None:
    """A schema's metadata where class names or columns were added.

    Parameters
    ----------
    metadata : of the source
    label : the label's column
    names : the class names, where there are new ones
    soft : columns of probabilities that are new

    Examples
    --------
    >>> metadata_after({b"classes": b"cat,dog", b"by": b"ann"}, "y", ["cat", "dog", "cow"], [])
    {b'classes': b'cat,dog,cow', b'by': b'ann'}
    """
    if metadata is None:
        return None
    new = dict(metadata)
    if b"classes" in new and names is not None:
        listed = new[b"classes"].lstrip().startswith(b"[")
        text = json.dumps(names, ensure_ascii=False) if listed else ",".join(names)
        new[b"classes"] = text.encode("utf-8")
    if b"huggingface" in new and (names is not None or soft):
        try:
            described = json.loads(new[b"huggingface"])
            features_after(described["info"]["features"], label, names, soft)
        except (ValueError, KeyError, TypeError):
            return new  # another program's notes
        new[b"huggingface"] = json.dumps(described, ensure_ascii=False).encode("utf-8")
    return new


def features_after(features: Any, label: str, names: list[str] | None, soft: list[str]) -> None:
    """Put class names and columns of probabilities into features as Hugging Face's files describe them."""
    if not isinstance(features, dict):
        return
    feature = features.get(label)
    if names is not None and isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
        feature["names"] = list(names)
        if "num_classes" in feature:
            feature["num_classes"] = len(names)
    for name in soft:
        features[name] = {"dtype": "float32", "_type": "Value"}
