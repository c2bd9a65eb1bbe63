"""Streams of events: features and labels, read one at a time and never held as a whole.

An event is a pair ``(x, y)``: ``x`` from the names of features to numbers, texts, or None where missing; ``y`` from the
names of labels to True or False, without those that aren't known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from errata.data.arff import is_arff, iter_arff, label_names_of, names_of_xml
from errata.data.arff_lines import Attribute, open_arff
from errata.data.multilabel import MISSING, SEPARATORS, split_text, truth
from errata.data.stream_files import StreamTable, delimited_rows, frame_rows, json_rows, parquet_rows
from errata.errors import DataError, ParameterError, UnknownNameError

__all__ = ["ENDINGS", "Event", "Events", "label_columns", "open_events", "open_features"]

Event = tuple[dict[str, Any], dict[str, bool]]

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet", ".arff")
"""How files of streams end; all but Parquet also gzipped, with ``.gz``."""

LOOKED_AT = 200  # events at the beginning by which the labels' form is found out


@dataclass(frozen=True, eq=False)
class Events:
    """A stream that is read again from its beginning whenever it is iterated over.

    Parameters
    ----------
    begin : gives the events, from the first
    source : what it is, for people and messages: the path of a file
    label : how the labels were named
    labels : their names, where they are known beforehand; None where they are met with on the way
    length : how many events there are, where that is known
    notes : how the source was read, in sentences
    again : whether it can be read more than once

    Examples
    --------
    >>> stream = open_events([({"a": 1.0}, ["red"]), ({"a": 2.0}, [])])
    >>> list(stream)
    [({'a': 1.0}, {'red': True}), ({'a': 2.0}, {'red': False})]
    """

    begin: Callable[[], Iterator[Event]]
    source: str
    label: Any = None
    labels: tuple[str, ...] | None = None
    length: int | None = None
    notes: tuple[str, ...] = ()
    again: bool = True

    def __iter__(self) -> Iterator[Event]:
        return self.begin()

    def describe(self) -> list[str]:
        """How the source was read, in sentences."""
        many = "" if self.length is None else f"{self.length:,} events; "
        told = "labels are met with on the way" if self.labels is None else f"{len(self.labels)} labels"
        some = "" if not self.labels else f" ({', '.join(self.labels[:6])}{', ...' if len(self.labels) > 6 else ''})"
        return [f"{self.source}: {many}{told}{some}.", *self.notes]


def open_events(
    source: Any,
    label: Any = None,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool = True,
) -> Events:
    """Open a stream.

    Parameters
    ----------
    source : the path of a file: .csv .tsv .jsonl .arff (also gzipped) or .parquet; a DataFrame; or any iterable of
        pairs (features, labels), such as a data set of River's, where labels are a dictionary or the names of those
        that are there
    label : which columns are labels: names ("a,b" or a list); the path of MULAN's .xml, which names them; a number L
        for the last L columns, -L for the first ("last:6", "first:6"); or one column that holds lists or texts as "a|b"
    separator, encoding, header : of .csv and .tsv

    Raises
    ------
    DataError
        where there is no such file, or it can't be read; while it is read, where a line is damaged, with its number
    UnknownNameError
        where a label is no column
    ParameterError
        where the labels of a table are not named
    """
    if isinstance(source, Events):
        return source
    if not _is_table(source) and not isinstance(source, (str, Path)):
        return _of_pairs(source)
    if not _is_table(source) and is_arff(source):
        return _of_arff(_file(source), label)
    return _of_rows(_table(source, separator, encoding, header), label)


def open_features(
    source: Any,
    labels: Iterable[str] = (),
    *,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool = True,
) -> Events:
    """Open a stream of which only the features are wanted; its events have no labels.

    Parameters
    ----------
    source : as for ``open_events``; or an iterable of features alone
    labels : names of columns that are no features; they need not be there
    separator, encoding, header : of .csv and .tsv

    Examples
    --------
    >>> list(open_features([{"a": 1.0}, ({"a": 2.0}, ["red"])]))
    [({'a': 1.0}, {}), ({'a': 2.0}, {})]
    """
    chosen = set(labels)
    if isinstance(source, Events):
        return replace(source, begin=lambda: ((x, {}) for x, _ in source), labels=())
    if not _is_table(source) and not isinstance(source, (str, Path)):
        alone = [(one, {}) if isinstance(one, Mapping) else one for one in source]
        return open_features(_of_pairs(alone), chosen)
    if not _is_table(source) and is_arff(source):
        path = _file(source)
        there = [attribute.name for attribute in open_arff(path)[0].attributes if attribute.name in chosen]
        return open_features(_of_arff(path, there or False))
    table = _table(source, separator, encoding, header)

    def begin() -> Iterator[Event]:
        for number, row in table.rows():
            for name in chosen & row.keys():
                del row[name]
            yield _features(table.source, number, row), {}

    return Events(begin, table.source, None, (), table.length)


def _is_table(source: Any) -> bool:
    return hasattr(source, "to_dict") and hasattr(source, "columns")


def _file(source: str | Path) -> Path:
    path = Path(source).expanduser()
    if not path.is_file():
        kind = "a folder, not a stream" if path.is_dir() else "not there"
        raise DataError(f"{path} is {kind}. Expected a file: {', '.join(ENDINGS)} (but Parquet also gzipped).")
    return path


def _table(source: Any, separator: str | None, encoding: str | None, header: bool) -> StreamTable:
    if _is_table(source):
        return frame_rows(source)
    path = _file(source)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".tsv", ".tab")):
        return delimited_rows(path, separator, encoding, header)
    if name.endswith(".jsonl"):
        return json_rows(path)
    if path.name.lower().endswith(".parquet"):
        return parquet_rows(path)
    raise DataError(f"{path} has an ending that is not known; expected one of {', '.join(ENDINGS)}.")


# -- in memory --------------------------------------------------------------------------------------------------------


def _of_pairs(source: Any) -> Events:
    if not isinstance(source, Iterable):
        raise ParameterError(
            f"A stream is a path, a table, or an iterable of (features, labels); got {type(source).__name__}."
        )
    again = not isinstance(source, Iterator)
    length = len(source) if isinstance(source, Sized) else None
    return Events(lambda: _pairs(source), type(source).__name__, length=length, again=again)


def _pairs(source: Iterable[Any]) -> Iterator[Event]:
    known: dict[str, bool] = {}
    for number, pair in enumerate(source):
        if not (isinstance(pair, Sequence) and len(pair) == 2 and isinstance(pair[0], Mapping)):
            raise DataError(
                f"Event {number}: expected a pair (features, labels), features as a dictionary; got {str(pair)[:60]}."
            )
        x, y = pair
        if isinstance(y, Mapping):
            yield dict(x), {name: bool(there) for name, there in y.items() if there is not None}
            continue
        if isinstance(y, (str, bytes)) or not isinstance(y, Iterable):
            raise DataError(f"Event {number}: expected labels as a dictionary or the names of those there; got {y!r}.")
        yield dict(x), _those_there(known, y)


def _those_there(known: dict[str, bool], there: Iterable[Any]) -> dict[str, bool]:
    """Every label met with so far: whether it is among these."""
    names = [str(name) for name in there]
    known.update(dict.fromkeys((name for name in names if name not in known), False))
    return known | dict.fromkeys(names, True)


def _of_arff(path: Path, label: Any) -> Events:
    header = open_arff(path)[0]
    names = label_names_of(path, _told(label), header)
    chosen = set(names)
    # a sparse row does not write zeros; its events have them
    zeros = {a.name: 0.0 for a in header.attributes if a.name not in chosen and _has_zero(a)}

    def begin() -> Iterator[Event]:
        for x, y in iter_arff(path, names):
            yield zeros | x, y

    return Events(begin, str(path), label, tuple(names))


def _has_zero(attribute: Attribute) -> bool:
    return attribute.kind == "numeric" or (attribute.kind == "nominal" and set(attribute.values) <= {"0", "1"})


# -- which columns are labels -----------------------------------------------------------------------------------------


def _told(label: Any) -> Any:
    """``label`` as it came from a command line: numbers as numbers, "a,b" as names."""
    if isinstance(label, str):
        text = label.strip()
        if text.removeprefix("-").isdigit():
            return int(text)
        if "," in text:
            return [name.strip() for name in text.split(",") if name.strip()]
    return label


def label_columns(label: Any, names: Iterable[str]) -> list[str]:
    """The columns that hold labels, as far as their names are known: ``names``, and that of a column of lists.

    Examples
    --------
    >>> label_columns("tags", ["a", "b"]), label_columns("2", ["a", "b"])
    (['a', 'b', 'tags'], ['a', 'b'])
    """
    told = _told(label)
    return [*names, *([told] if isinstance(told, str) and told not in names else [])]


def _named(source: Any, label: Any, names: Sequence[str]) -> list[str]:
    told = _told(label)
    if isinstance(told, str) and told.lower().endswith(".xml"):
        told = names_of_xml(Path(told).expanduser())
    if isinstance(told, Path):
        told = names_of_xml(told.expanduser())
    if isinstance(told, str) and told.partition(":")[0] in ("last", "first") and told.partition(":")[2].isdigit():
        told = int(told.partition(":")[2]) * (1 if told.startswith("last") else -1)
    if told is None or told == [] or told == "":
        raise ParameterError(
            f"Which columns of {source} are labels? Name them (--label a,b), or say how many of the last ones are "
            f"(--label 6). Columns: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}."
        )
    if isinstance(told, int) and not isinstance(told, bool):
        if not 1 <= abs(told) < len(names):
            raise DataError(
                f"{source} has {len(names)} columns; {abs(told)} of them can't be labels. Expected 1 to "
                f"{len(names) - 1}, or the negative of that for the first ones."
            )
        return list(names[-told:] if told > 0 else names[:-told])
    chosen = [str(told)] if isinstance(told, str) else [str(name) for name in told]
    for name in chosen:
        if name not in names:
            raise UnknownNameError("column", name, names, f"It is looked for in {source}, as a label.")
    if len(chosen) == len(names):
        raise DataError(f"{source}: all {len(names)} columns are labels; there is no feature to learn from.")
    return chosen


def _of_rows(table: StreamTable, label: Any) -> Events:
    """A stream from numbered rows; how the labels are written is found out from the first ones."""
    source, rows, names, length = table.source, table.rows, table.names, table.length
    first = list(islice(rows(), LOOKED_AT))
    if not first:
        raise DataError(f"{source} has no rows; expected one event at least.")
    if names is None:
        names = list(dict.fromkeys(chain.from_iterable(row for _, row in first)))
    chosen = _named(source, label, names)
    values = [row.get(chosen[0]) for _, row in first]
    if len(chosen) > 1 or all(_is_truth(value) for value in values):
        return Events(lambda: _columned(source, rows(), chosen), source, label, tuple(chosen), length)
    texts = [value for value in values if isinstance(value, str)]
    separator = next((s for s in SEPARATORS if any(s in text for text in texts)), SEPARATORS[0])
    note = f"The column {chosen[0]} holds lists of labels" + (f", separated by '{separator}'." if texts else ".")
    return Events(lambda: _listed(source, rows(), chosen[0], separator), source, label, None, length, notes=(note,))


def _is_truth(value: Any) -> bool:
    return not isinstance(value, (list, tuple)) and truth(value) in (0, 1, MISSING)


def _columned(source: Any, rows: Iterator[tuple[int, dict[str, Any]]], chosen: Sequence[str]) -> Iterator[Event]:
    for number, row in rows:
        y = {}
        for name in chosen:
            value = row.pop(name, None)
            told = truth(value)
            if told not in (0, 1, MISSING):
                raise DataError(
                    f"{source}, row {number}: expected 0 or 1 (or nothing, where it isn't known) for the label "
                    f"'{name}'; found {str(value)[:40]!r}."
                )
            if told != MISSING:
                y[name] = bool(told)
        yield _features(source, number, row), y


def _listed(source: Any, rows: Iterator[tuple[int, dict[str, Any]]], column: str, separator: str) -> Iterator[Event]:
    known: dict[str, bool] = {}
    for number, row in rows:
        value = row.pop(column, None)
        value = str(int(value)) if isinstance(value, float) and value.is_integer() else value
        there = split_text([value], separator)[0]
        yield _features(source, number, row), {} if there is None else _those_there(known, there)


def _features(source: Any, number: int, row: dict[str, Any]) -> dict[str, Any]:
    for name, value in row.items():
        if isinstance(value, float) and value != value:
            row[name] = None
        elif isinstance(value, (list, dict)):
            raise DataError(
                f"{source}, row {number}: the feature '{name}' holds {str(value)[:40]}; expected a number or a text. "
                "Give a column per value."
            )
    return row
