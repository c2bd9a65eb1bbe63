"""Sentences with a label per token: CoNLL files (a token per line), JSON lines, or lists."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from errata.data.delimited_rows import open_bytes
from errata.data.told import BROKEN_FILE, reason
from errata.errors import DataError, ParameterError

__all__ = ["Sentences", "read_sentences"]

TOKENS = ("tokens", "words")
LABELS = ("labels", "tags", "ner_tags", "label", "pos_tags")
START = "-DOCSTART-"
COMMENT = re.compile(r"#\s*(newdoc|newpar|[\w.]+\s*=)")  # of CoNLL-U; a "#" alone is a token
CONLL = (".conll", ".conllu", ".iob", ".bio", ".txt", ".tsv", ".ner", ".pos")


@dataclass(frozen=True, eq=False)
class Sentences:
    """Tokens of all sentences, one after the other.

    Parameters
    ----------
    tokens : (T,) object array of str
    labels : (T,) object array of str or int; None where missing; None as a whole where there are none
    offsets : (S + 1,) int64; sentence i has the tokens offsets[i] to offsets[i + 1]
    source : what was read
    """

    tokens: np.ndarray
    labels: np.ndarray | None
    offsets: np.ndarray
    source: str

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sentence_of(self) -> np.ndarray:
        """(T,) the number of the sentence that each token is in."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def positions(self) -> np.ndarray:
        """(T,) the place of each token in its sentence, from 0."""
        return np.arange(len(self.tokens)) - np.repeat(self.offsets[:-1], np.diff(self.offsets))

    def texts(self) -> list[str]:
        """The sentences, tokens joined by blanks."""
        return [" ".join(self.tokens[a:b]) for a, b in zip(self.offsets[:-1], self.offsets[1:])]


def read_sentences(
    source: Any, label: Any = None, *, token: int | str | None = None, separator: str | None = None
) -> Sentences:
    """Read sentences whose tokens have labels.

    Parameters
    ----------
    source : a CoNLL file (a token and its columns per line, an empty line between sentences; .conll, .txt, .tsv, ...),
        a .jsonl file with a list of tokens and one of labels in each line (both also .gz), or a list of lists of tokens
    label : the labels, as lists like the tokens; or where they are: the column's number of a CoNLL file (the last by
        default, counted from 0), the name in JSON ("labels", "tags", ... by default)
    token : where the tokens are: column 0, or the name "tokens" or "words", by default
    separator : between the columns of a CoNLL file: tabs where the line has any, else blanks, by default

    Raises
    ------
    DataError
        where a line has too few columns, or a sentence not as many labels as tokens; with its number

    Examples
    --------
    >>> found = read_sentences([["in", "Kano"], ["no"]], [["O", "B-LOC"], ["O"]])
    >>> found.labels, found.offsets, found.texts()
    (array(['O', 'B-LOC', 'O'], dtype=object), array([0, 2, 3]), ['in Kano', 'no'])
    """
    if not isinstance(source, (str, os.PathLike)):
        return _of_lists(source, label)
    path = Path(source).expanduser()
    if not path.is_file():
        raise DataError(f"There is no file {path}; expected sentences in CoNLL format or JSON lines.")
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    if ending in (".jsonl", ".ndjson", ".json"):
        return _read_json(path, label, token)
    if ending not in CONLL:
        raise DataError(f"{path}: expected a CoNLL file ({', '.join(CONLL)}) or JSON lines (.jsonl), also .gz.")
    return _read_conll(path, label, token, separator)


def _joined(tokens: list[list[str]], labels: list[Any] | None, source: str) -> Sentences:
    if not any(tokens):
        raise DataError(f"{source} holds no sentence; expected tokens with labels.")
    offsets = np.append(0, np.cumsum([len(sentence) for sentence in tokens])).astype(np.int64)
    return Sentences(_flat(tokens), None if labels is None else _flat(labels), offsets, source)


def _flat(parts: list[Any]) -> np.ndarray:
    values = [value for part in parts for value in part]
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _of_lists(source: Any, label: Any) -> Sentences:
    tokens = [[str(token) for token in sentence] for sentence in source]
    if label is None or isinstance(label, (str, int)):
        return _joined(tokens, None, "the list")
    labels = [list(sentence) for sentence in label]
    _same_lengths(tokens, labels, "the list", "sentence")
    return _joined(tokens, labels, "the list")


def _same_lengths(tokens: Sequence[Any], labels: Sequence[Any], source: str, what: str) -> None:
    if len(tokens) != len(labels):
        raise DataError(f"{source} has {len(tokens):,} sentences of tokens and {len(labels):,} of labels.")
    for number, (a, b) in enumerate(zip(tokens, labels)):
        if len(a) != len(b):
            raise DataError(f"{source}, {what} {number}: {len(a)} tokens and {len(b)} labels; each token needs one.")


# -- CoNLL ------------------------------------------------------------------------------------------------------------


def _read_conll(path: Path, label: Any, token: Any, separator: str | None) -> Sentences:
    column, word = _number(label, -1, "label"), _number(token, 0, "token")
    tokens: list[list[str]] = [[]]
    labels: list[list[Any]] = [[]]
    number = 0
    try:
        with open_bytes(path) as file:
            for number, raw in enumerate(file, start=1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                fields = _fields(line, separator)
                if not fields or fields[0] == START:
                    if tokens[-1]:
                        tokens.append([])
                        labels.append([])
                    continue
                if COMMENT.match(line):
                    continue
                _add(fields, word, column, tokens[-1], labels[-1], f"{path}, line {number}")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: line {number}. Convert it to UTF-8.") from error
    except BROKEN_FILE as error:
        raise DataError(f"{path} is damaged after line {number}: {reason(error)}. Fetch or pack it again.") from error
    kept = [i for i, sentence in enumerate(tokens) if sentence]
    return _joined([tokens[i] for i in kept], [labels[i] for i in kept], str(path))


def _number(value: Any, usual: int, what: str) -> int:
    if value is None:
        return usual
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"{what} must be the number of a column of the CoNLL file, from 0, or from -1 at the end; got {value!r}."
        ) from error


def _fields(line: str, separator: str | None) -> list[str]:
    if not line.strip():
        return []
    fields = line.split(separator or "\t") if separator or "\t" in line else line.split()
    return [field.strip() for field in fields]


def _add(fields: list[str], word: int, column: int, tokens: list[str], labels: list[Any], where: str) -> None:
    try:
        text, label = fields[word], fields[column]
    except IndexError as error:
        raise DataError(
            f"{where}: expected a token in column {word} and a label in column {column}; found {len(fields)} "
            f"column(s): {' '.join(fields)[:60]!r}."
        ) from error
    if len(fields) < 2:
        raise DataError(f"{where}: expected a token and its label; found {fields[0][:60]!r} alone.")
    tokens.append(text)
    labels.append(label or None)


# -- JSON -------------------------------------------------------------------------------------------------------------


def _read_json(path: Path, label: Any, token: Any) -> Sentences:
    tokens: list[list[str]] = []
    labels: list[Any] = []
    number = 0
    try:
        with open_bytes(path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    row = _object(line, f"{path}, line {number}")
                    tokens.append([str(t) for t in _list(row, token, TOKENS, f"{path}, line {number}")])
                    labels.append(_list(row, label, LABELS, f"{path}, line {number}"))
                    if len(tokens[-1]) != len(labels[-1]):
                        raise DataError(
                            f"{path}, line {number}: {len(tokens[-1])} tokens and {len(labels[-1])} labels; each token "
                            "needs one."
                        )
    except BROKEN_FILE as error:
        raise DataError(f"{path} is damaged after line {number}: {reason(error)}. Fetch or pack it again.") from error
    return _joined(tokens, labels, str(path))


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: expected a JSON object; {reason(error)}.") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object with tokens and labels, found a {type(row).__name__}.")
    return row


def _list(row: dict[str, Any], name: Any, usual: Sequence[str], where: str) -> list[Any]:
    found = next((n for n in ([name] if name is not None else usual) if n in row), None)
    if found is None:
        raise DataError(f"{where}: expected a list named {name or ' or '.join(usual[:2])!r}; found {list(row)[:8]}.")
    if not isinstance(row[found], list):
        raise DataError(f"{where}: expected '{found}' to be a list; found a {type(row[found]).__name__}.")
    return row[found]
