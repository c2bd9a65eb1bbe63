"""Multi-label data in MULAN's form: an ARFF file, and which of its attributes are labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from errata.data.arff_lines import Attribute, Header, Row, number_of, open_arff, place_of
from errata.data.multilabel import MISSING, truth
from errata.errors import DataError, UnknownNameError

__all__ = ["ARFF", "ArffData", "is_arff", "iter_arff", "label_names_of", "names_of_xml", "read_arff"]

ARFF = (".arff", ".arff.gz")
"""How the files end."""

_COUNT = re.compile(r"(last|first):(\d+)")
_MEKA = re.compile(r":.*?-C\s+(-?\d+)")


@dataclass(frozen=True, eq=False)
class ArffData:
    """Multi-label data as read.

    Parameters
    ----------
    X : (N, D) float32, or a scipy.sparse CSR matrix where the rows of the file are sparse; NaN where missing. A
        nominal attribute of more than two values is D columns of 0 and 1, one for each value
    Y : (N, L) int8: 1 where a label applies, 0 where not, -1 where it isn't known
    feature_names : D names; "colour=red" for a value of a nominal attribute
    label_names : L names
    relation : the name in the file's first line
    source : the file's path
    """

    X: Any
    Y: np.ndarray
    feature_names: list[str]
    label_names: list[str]
    relation: str
    source: str

    def __len__(self) -> int:
        return len(self.Y)


def is_arff(source: Any) -> bool:
    """Whether this is the path of an ARFF file, by its name.

    Examples
    --------
    >>> is_arff("yeast-train.arff.gz"), is_arff("yeast.csv")
    (True, False)
    """
    return str(source).lower().endswith(ARFF) if isinstance(source, (str, Path)) else False


def read_arff(path: str | Path, labels: Any = None) -> ArffData:
    """Read an ARFF file as features and labels.

    Parameters
    ----------
    path : ``.arff`` or ``.arff.gz``; rows may be dense or sparse
    labels : which attributes are labels, see ``label_names_of``

    Raises
    ------
    DataError
        where the file can't be read, a value is not what its attribute declares, or a label holds more than 0, 1 and
        "?"; with the number of the line
    UnknownNameError
        where a label is no attribute of the file

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "tiny.arff"
    >>> _ = file.write_text("@relation t\\n@attribute size numeric\\n@attribute 'a b' {0,1}\\n@data\\n1.5,1\\n?,0\\n")
    >>> data = read_arff(file, 1)
    >>> data.X.tolist(), data.Y.tolist(), data.label_names
    ([[1.5], [nan]], [[1], [0]], ['a b'])
    """
    header, rows = open_arff(path)
    columns = _Columns(header, label_names_of(path, labels, header))
    return _Matrix(columns).read(rows)


def iter_arff(path: str | Path, labels: Any = None) -> Iterator[tuple[dict[str, Any], dict[str, bool]]]:
    """Read an ARFF file event by event, in the file's order, without holding it.

    Parameters
    ----------
    path, labels : see ``read_arff``

    Yields
    ------
    features : name -> number; or text, of a string and of a nominal attribute with other values than 0 and 1; None
        where missing. A sparse row has only what it writes: what is left out is 0 (and a nominal attribute's first
        value, which is always told)
    labels : name -> True or False, of all labels that are known

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "tiny.arff"
    >>> _ = file.write_text("@relation t\\n@attribute w numeric\\n@attribute c {red,blue}\\n@attribute l {0,1}\\n"
    ...                     "@data\\n0.5,red,1\\n{2 1}\\n")
    >>> list(iter_arff(file, ["l"]))
    [({'w': 0.5, 'c': 'red'}, {'l': True}), ({'c': 'red'}, {'l': True})]
    """
    header, rows = open_arff(path)
    return _events(_Columns(header, label_names_of(path, labels, header)), rows)


def label_names_of(path: str | Path, labels: Any = None, header: Header | None = None) -> list[str]:
    """Which attributes of an ARFF file are its labels.

    Parameters
    ----------
    path : the ARFF file
    labels : the path of MULAN's ``.xml``; names; a number L for the last L attributes (as MULAN has them), or -L for
        the first, as text "last:6" and "first:6"; or None: then by the ``.xml`` of the same name beside the file
        (``yeast.xml`` for ``yeast-train.arff.gz``), or by the option -C that MEKA writes into the relation; False for
        none
    header : of the file, where it has been read already

    Returns
    -------
    L names, in the order of the list (of the file, for a number)

    Raises
    ------
    DataError, UnknownNameError
        where there are none, or one is no attribute
    """
    header = open_arff(path)[0] if header is None else header
    known = [attribute.name for attribute in header.attributes]
    if labels is False:
        return []
    if labels is None:
        labels = _found(Path(path).expanduser(), header)
    told = _COUNT.fullmatch(labels) if isinstance(labels, str) else None
    if told:
        labels = int(told[2]) * (1 if told[1] == "last" else -1)
    if isinstance(labels, (int, np.integer)) and not isinstance(labels, bool):
        names = _counted(int(labels), known, header.source)
    elif isinstance(labels, (str, Path)) and str(labels).lower().endswith(".xml"):
        names = names_of_xml(Path(labels).expanduser())
    else:
        names = [str(labels)] if isinstance(labels, (str, Path)) else [str(name) for name in labels]
    there = set(known)
    for name in names:
        if name not in there:
            hint = f"It is looked for in {header.source}, as a label; for the last 6 attributes, say, give last:6."
            raise UnknownNameError("attribute", name, known, hint)
    if not names or len(set(names)) < len(names):
        raise DataError(f"{header.source}: expected one label or more, each named once; got {len(names)} names.")
    if len(names) == len(known):
        raise DataError(f"{header.source}: all {len(known)} attributes are labels; there is no feature to learn from.")
    return names


def _counted(number: int, known: list[str], source: str) -> list[str]:
    if not 1 <= abs(number) < len(known):
        raise DataError(
            f"{source} has {len(known)} attributes; {abs(number)} of them can't be labels. Expected a number from 1 to "
            f"{len(known) - 1}, or its negative for the first ones."
        )
    return known[-number:] if number > 0 else known[:-number]


def _found(path: Path, header: Header) -> Any:
    stem = path.name.lower().removesuffix(".gz").removesuffix(".arff")
    for name in dict.fromkeys((stem, re.sub(r"[-_.](train|test)$", "", stem))):
        beside = path.with_name(f"{path.name[: len(name)]}.xml")
        if beside.is_file():
            return beside
    meka = _MEKA.search(header.relation)
    if meka and "weka.filters" not in header.relation:  # a filter may have moved the attributes since
        return -int(meka[1])
    raise DataError(
        f"{path} does not say which of its {len(header.attributes)} attributes are labels. Give labels: MULAN's .xml "
        "file, their names, or last:6 where they are the last 6 (on the command line, --label)."
    )


def names_of_xml(path: Path) -> list[str]:
    """The names in MULAN's list of labels, in its order; nested ones are labels too."""
    names: list[str] = []

    def element(tag: str, attributes: dict[str, str]) -> None:
        if tag.rpartition(":")[2] == "label" and "name" in attributes:
            names.append(attributes["name"])

    def doctype(*_: Any) -> None:
        raise DataError(f"{path} has a document type, which a list of labels does not need; it is not read.")

    reader = expat.ParserCreate()
    reader.StartElementHandler, reader.StartDoctypeDeclHandler = element, doctype
    try:
        with open(path, "rb") as file:
            reader.ParseFile(file)
    except OSError as error:
        raise DataError(f"The list of labels {path} can't be read: {error.strerror or error}.") from error
    except expat.ExpatError as error:
        raise DataError(f"{path} is not XML, as MULAN's lists of labels are: {error}.") from error
    if not names:
        raise DataError(f'{path} names no label; expected <label name="..."></label> for each, as MULAN writes them.')
    return names


# -- what the values mean ---------------------------------------------------------------------------------------------


class _Columns:
    """How each attribute is turned into numbers; made once for a file."""

    def __init__(self, header: Header, label_names: list[str]) -> None:
        self.header, self.source, self.label_names = header, header.source, label_names
        place = {attribute.name: i for i, attribute in enumerate(header.attributes)}
        self.label_places = [place[name] for name in label_names]
        chosen = set(self.label_places)
        self.feature_places = [i for i in range(len(header.attributes)) if i not in chosen]
        self.truths = {i: self._truths(header.attributes[i]) for i in self.label_places}
        self.binary = {i: _binary(header.attributes[i]) for i in self.feature_places}

    def _truths(self, attribute: Attribute) -> dict[str, int]:
        values = attribute.values if attribute.kind == "nominal" else ("0", "1")
        truths = {value: truth(value) for value in values}
        if attribute.kind in ("string", "date") or not set(truths.values()) <= {0, 1}:
            raise DataError(
                f"{self.source}, line {attribute.line}: '{attribute.name}' can't be a label: expected the values 0 and "
                f"1 (or no and yes); it is declared as {', '.join(attribute.values[:6]) or attribute.kind}."
            )
        return {value: int(told) for value, told in truths.items()}

    def label(self, place: int, text: str | None, line: int) -> int:
        """0, 1, or -1 where it is missing."""
        if text is None:
            return MISSING
        truths = self.truths[place]
        if text not in truths and self.header.attributes[place].kind == "numeric":
            value = number_of(text, self.header.attributes[place], line, self.source)
            text = str(int(value)) if value in (0, 1) else text
        if text not in truths:
            name = self.header.attributes[place].name
            raise DataError(
                f"{self.source}, line {line}: expected 0 or 1 (or ? where it isn't known) for the label '{name}'; "
                f"found {text[:40]!r}."
            )
        return truths[text]

    def unwritten(self, place: int) -> int:
        """A label that a sparse row leaves out: 0, or the first value of a nominal attribute."""
        values = self.header.attributes[place].values
        return self.truths[place][values[0]] if values else 0

    def value(self, place: int, text: str | None, line: int) -> Any:
        """A feature as an event has it: a number, a text, or None."""
        if text is None:
            return None
        attribute = self.header.attributes[place]
        if attribute.kind == "numeric":
            return number_of(text, attribute, line, self.source)
        if attribute.kind == "nominal":
            binary = self.binary[place]
            places: dict[str, Any] = dict(zip(attribute.values, attribute.values)) if binary is None else dict(binary)
            return place_of(text, attribute, places, line, self.source)
        return text


def _binary(attribute: Attribute) -> dict[str, int] | None:
    """The numbers of a nominal attribute whose values are 0 and 1 (or one of them)."""
    if attribute.kind != "nominal" or not set(attribute.values) <= {"0", "1"}:
        return None
    return {value: int(value) for value in attribute.values}


def _events(columns: _Columns, rows: Iterator[Row]) -> Iterator[tuple[dict[str, Any], dict[str, bool]]]:
    attributes = columns.header.attributes
    always = {  # a sparse row leaves out the first value, which isn't 0
        place: columns.value(place, attributes[place].values[0], attributes[place].line)
        for place in columns.feature_places
        if attributes[place].kind == "nominal" and attributes[place].values[0] != "0"
    }
    for line, values in rows:
        if isinstance(values, dict):
            own = {i: columns.value(i, values[i], line) for i in sorted(values) if i in columns.binary}
            features = {attributes[i].name: value for i, value in sorted((always | own).items())}
            told = [
                columns.label(i, values[i], line) if i in values else columns.unwritten(i) for i in columns.label_places
            ]
        else:
            features = {attributes[i].name: columns.value(i, values[i], line) for i in columns.feature_places}
            told = [columns.label(i, values[i], line) for i in columns.label_places]
        yield features, {name: bool(value) for name, value in zip(columns.label_names, told) if value != MISSING}


# -- matrices ---------------------------------------------------------------------------------------------------------


class _Matrix:
    """Features and labels of all rows."""

    def __init__(self, columns: _Columns) -> None:
        self.columns = columns
        self.names: list[str] = []
        self.put: dict[int, Callable[[str | None, int], Sequence[tuple[int, float]]]] = {}
        self.unwritten: dict[int, Sequence[tuple[int, float]]] = {}  # what a sparse row means by leaving a place out
        for place in columns.feature_places:
            self._lay_out(place, columns.header.attributes[place])

    def _lay_out(self, place: int, attribute: Attribute) -> None:
        source, first = self.columns.source, len(self.names)
        if attribute.kind in ("string", "date"):
            raise DataError(
                f"{source}, line {attribute.line}: the attribute '{attribute.name}' holds a {attribute.kind}; matrices "
                "need numbers or nominal values. Read the file with errata.read, which also takes texts."
            )
        binary = self.columns.binary[place]
        if attribute.kind == "numeric" or binary is not None:
            self.names.append(attribute.name)

            def one(text: str | None, line: int) -> Sequence[tuple[int, float]]:
                if text is None:
                    return ((first, float("nan")),)
                if binary is not None:
                    return ((first, place_of(text, attribute, binary, line, source)),)
                return ((first, number_of(text, attribute, line, source)),)

            self.put[place] = one
        else:
            size = len(attribute.values)
            self.names += [f"{attribute.name}={value}" for value in attribute.values]
            offsets = {value: i for i, value in enumerate(attribute.values)}

            def several(text: str | None, line: int) -> Sequence[tuple[int, float]]:
                if text is None:
                    return [(first + i, float("nan")) for i in range(size)]
                return ((first + place_of(text, attribute, offsets, line, source), 1.0),)

            self.put[place] = several
        if attribute.kind == "nominal":
            meant = [(i, v) for i, v in self.put[place](attribute.values[0], attribute.line) if v != 0]
            if meant:
                self.unwritten[place] = meant

    def read(self, rows: Iterator[Row]) -> ArffData:
        columns = self.columns
        at, values, starts, labels = [], [], [0], []
        sparse = None
        for line, row in rows:
            sparse = isinstance(row, dict) if sparse is None else sparse
            if isinstance(row, dict):
                pairs = [p for place, text in row.items() if place in self.put for p in self.put[place](text, line)]
                pairs += [p for place, meant in self.unwritten.items() if place not in row for p in meant]
                told = [
                    columns.label(i, row[i], line) if i in row else columns.unwritten(i) for i in columns.label_places
                ]
            else:
                pairs = [p for place, put in self.put.items() for p in put(row[place], line)]
                told = [columns.label(i, row[i], line) for i in columns.label_places]
            at.append(np.array([p[0] for p in pairs], dtype=np.int32))
            values.append(np.array([p[1] for p in pairs], dtype=np.float32))
            starts.append(starts[-1] + len(pairs))
            labels.append(np.array(told, dtype=np.int8))
        if not labels:
            raise DataError(f"{columns.source} has no row after @data; expected at least one.")
        from scipy.sparse import csr_matrix

        shape = (len(labels), len(self.names))
        x: Any = csr_matrix((np.concatenate(values), np.concatenate(at), np.array(starts)), shape=shape)
        x.sort_indices()
        if not sparse:
            x = x.toarray()
        header = columns.header
        return ArffData(x, np.stack(labels), self.names, columns.label_names, header.relation, header.source)
