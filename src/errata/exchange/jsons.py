"""JSON that came from elsewhere: read as data, and complained about by place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from errata.errors import DataError
from errata.exchange.items import fault

__all__ = ["members", "read_json", "read_text"]

_MISSING: Any = object()
_WORDS = {"dict": "an object", "list": "a list", "str": "a text"}


def read_text(path: Path) -> str:
    """A file as UTF-8.

    Raises
    ------
    DataError
        where it is not there, or no text
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except UnicodeDecodeError as error:
        raise fault(
            f"{path}, byte {error.start}", "text in UTF-8", error.object[error.start : error.start + 4]
        ) from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}.") from error


def read_json(path: Path) -> Any:
    """A JSON file, or one with a JSON object in each line.

    Raises
    ------
    DataError
        where it is neither; the line is told
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
        if len(lines) > 1 and lines[0][1].lstrip().startswith("{") and lines[0][1].rstrip().endswith("}"):
            return [_line(path, number, line) for number, line in lines]
        number = getattr(error, "lineno", 1)
        bad = text.splitlines()[number - 1 : number] or [""]
        raise fault(f"{path}, line {number}", "JSON", bad[0][:80]) from error


def _line(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise fault(f"{path}, line {number}", "a JSON object in each line", line[:80]) from error


def members(record: dict[str, Any], name: str, kind: type[Any], where: str, default: Any = _MISSING) -> Any:
    """A member of an object, if it is of the kind that it should be; ``default`` where it is missing or null.

    Raises
    ------
    DataError
        where it is of another kind, or missing without a default
    """
    value = record.get(name)
    if value is None and default is not _MISSING:
        return default
    if not isinstance(value, kind):
        raise fault(where, f"{_WORDS[kind.__name__]} in '{name}'", value)
    return value
