"""Fail on a measured number in the documents that no result file holds.

What counts as a measurement in README.md and docs/**/*.md: a percentage, a factor (`3 x`, `3 times faster`), a number
with a unit of time or memory, percentage points, and any decimal number on a line that speaks of accuracy, precision,
recall and the like. Such a number must stand in one of these:

- a block ``<!-- results: NAME -->`` ... ``<!-- /results -->``, which must be exactly what ``tools/render_results.py``
  renders from benchmarks/results/NAME.json;
- code (between backticks, or a fenced block);
- a line that names its source: ``<!-- from: results/FILE.json#path.to.value -->``; several may stand on a line. The
  value, rounded to the digits shown, must be the number; a share may be shown as a percentage;
- a line marked ``<!-- paper: arXiv-id -->``, for a number that a paper reports;
- a line marked ``<!-- not a measurement -->``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from render_results import BLOCK, RenderError, documents, render

_NUMBER = r"(?<![\w.,/])(?<![A-Za-z]-)(?P<number>\d[\d,]*(?:\.\d+)?)"
_TIME = r"(?:ns|µs|us|ms|s|sec|seconds?|min|minutes?|h|hours?)"
_MEMORY = r"(?:[kKMGT]i?B|bytes?|gigabytes?|megabytes?)"
MEASURED = [
    re.compile(_NUMBER + r"\s?(?P<percent>%|percent\b|per cent\b)"),
    re.compile(_NUMBER + r"\s?(?:x|×|times|fold|-fold)(?!\w)(?!\s*\d)"),
    re.compile(_NUMBER + rf"\s?(?:{_TIME}|{_MEMORY})\b"),
    re.compile(_NUMBER + r"\s(?:percentage )?points?\b"),
]
METRIC = re.compile(
    r"\b(accuracy|accuracies|precision|recall|f1|auc|auroc|log.?loss|error rate|speed-?up)\b", flags=re.I
)
DECIMAL = re.compile(r"(?<![\w.,/])(?<![A-Za-z]-)(?P<number>\d+\.\d+)(?![\w.]*\w)")
SOURCE = re.compile(r"<!-- from: results/(?P<file>[^\s#>]+)#(?P<pointer>[^>]*?) -->")
EXCUSED = re.compile(r"<!-- (?:paper: (?:arXiv:)?\S+|not a measurement) -->")


def check(root: Path) -> list[str]:
    """All complaints, as ``file:line: what``."""
    complaints = []
    for path in documents(root):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(root).as_posix()
        complaints += [f"{name}:{line}: {what}" for line, what in check_text(root, text)]
    return complaints


def check_text(root: Path, text: str) -> Iterator[tuple[int, str]]:
    """(line, complaint) of one document."""
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        try:
            fresh = render(root, block.group("name"))
        except RenderError as error:
            yield line, str(error)
            continue
        if fresh != block.group("body"):
            yield line, f"the table of results '{block.group('name')}' is stale: run python tools/render_results.py"
    blanked = BLOCK.sub(lambda block: "\n" * block.group().count("\n"), text)
    for line, content in _prose(blanked):
        if content.startswith("<!-- results:") or content.startswith("<!-- /results"):
            yield line, "a block of results is not closed, or not opened"
        yield from ((line, what) for what in _check_line(root, content))


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """The numbered lines outside of fenced code."""
    fence = ""
    for number, line in enumerate(text.splitlines(), start=1):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and not fence:
            fence = mark.group(1)[:3]
        elif mark and mark.group(1).startswith(fence):
            fence = ""
        elif not fence:
            yield number, line


def _check_line(root: Path, line: str) -> Iterator[str]:
    if EXCUSED.search(line):
        return
    values, problems = _sources(root, line)
    yield from problems
    found = False
    for shown, percent in measurements(line):
        found = True
        if not any(_same(shown, value, percent) for value in values):
            told = ", ".join(str(v) for v in values)
            yield (
                f"{shown}{'%' if percent else ''} is not what its source holds ({told})"
                if values
                else f"{shown}{'%' if percent else ''} comes from no result file: give its source, "
                "<!-- from: results/FILE.json#path -->"
            )
    if values and not found:
        yield "a source is given, but the line shows no measurement"


def measurements(line: str) -> list[tuple[str, bool]]:
    """The numbers of a line that look measured, and whether each is a percentage.

    Examples
    --------
    >>> measurements("12.5 % of `3 s` in 0.4 s with Python 3.11")
    [('12.5', True), ('0.4', False)]
    """
    text = re.sub(r"`[^`]*`", "", re.sub(r"<!--.*?-->", "", line))
    text = re.sub(r"\]\([^)]*\)", "]", text)  # the targets of links
    hits: dict[int, tuple[str, bool]] = {}
    for pattern in MEASURED:
        for match in pattern.finditer(text):
            percent = bool(match.groupdict().get("percent"))
            hits.setdefault(match.start("number"), (match.group("number"), percent))
    if METRIC.search(text):
        for match in DECIMAL.finditer(text):
            hits.setdefault(match.start("number"), (match.group("number"), False))
    return [hits[place] for place in sorted(hits)]


def _sources(root: Path, line: str) -> tuple[list[float], list[str]]:
    values: list[float] = []
    problems: list[str] = []
    for source in SOURCE.finditer(line):
        path = root / "benchmarks" / "results" / source.group("file")
        try:
            value = resolve(json.loads(path.read_text(encoding="utf-8")), source.group("pointer").strip().split("."))
            values.append(float(value))
        except FileNotFoundError:
            problems.append(f"there is no benchmarks/results/{source.group('file')}")
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{source.group('file')} holds no number at '{source.group('pointer')}' ({error})")
    if "<!-- from:" in line and not values and not problems:
        problems.append("the source is not written as <!-- from: results/FILE.json#path -->")
    return values, problems


def resolve(content: Any, keys: list[str]) -> Any:
    """The value at a dotted path; a key may itself hold dots, a list is entered by number."""
    if not keys:
        return content
    if isinstance(content, list):
        return resolve(content[int(keys[0])], keys[1:])
    for end in range(len(keys), 0, -1):
        key = ".".join(keys[:end])
        if isinstance(content, dict) and key in content:
            return resolve(content[key], keys[end:])
    raise KeyError(keys[0])


def _same(shown: str, value: float, percent: bool) -> bool:
    """Whether the number shown is the value, rounded to as many digits."""
    number = float(shown.replace(",", ""))
    half = 0.5 * 10.0 ** -len(shown.partition(".")[2]) * (1 + 1e-9)
    return any(abs(number - candidate) <= half for candidate in ((value, 100 * value) if percent else (value,)))


def main(root: Path) -> int:
    """Print the complaints; 1 where there are any."""
    complaints = check(root)
    for complaint in complaints:
        print(complaint)
    if complaints:
        print(f"{len(complaints)} numbers or tables in the documents have no result behind them.")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent))
