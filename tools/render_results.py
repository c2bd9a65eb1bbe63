"""Render the tables of benchmarks/results into the documents.

A result file benchmarks/results/NAME.json, as benchmarks/_record.py writes it, has in its ``result`` beside all that
was measured a list ``tables``: ``{"title": ..., "columns": [...], "rows": [[...], ...], "note": ...}`` (title and note
are optional), or benchmarks/_tables.py draws them from it. A document shows them between two comments::

    <!-- results: NAME -->
    <!-- /results -->

``python tools/render_results.py`` fills all such blocks of README.md and docs/; ``check_docs_numbers.py`` fails where a
block is not what this renders.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
from _tables import tables_of

BLOCK = re.compile(r"(<!-- results: (?P<name>[^\s>]+) -->\n)(?P<body>.*?)(<!-- /results -->)", flags=re.S)


class RenderError(Exception):
    """A block cannot be rendered; the message says why."""


def documents(root: Path) -> list[Path]:
    """The documents that may hold results."""
    return [p for p in (root / "README.md", *sorted((root / "docs").glob("**/*.md"))) if p.is_file()]


def load(root: Path, name: str) -> dict[str, Any]:
    """The result file of a name, such as ``audit_speed``."""
    path = root / "benchmarks" / "results" / f"{name}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RenderError(f"there is no result file {path.relative_to(root)}") from None
    except ValueError as error:
        raise RenderError(f"{path.relative_to(root)} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise RenderError(f"{path.relative_to(root)} must hold a JSON object")
    return content


def render(root: Path, name: str) -> str:
    """The Markdown of a result: its tables, and a line that says how and where it was measured."""
    record = load(root, name)
    tables = tables_of(name, record.get("result", {}))
    if not tables:
        raise RenderError(f"benchmarks/results/{name}.json has no tables to show")
    missing = [key for key in ("command", "commit", "machine") if not record.get(key)]
    if missing:
        raise RenderError(f"benchmarks/results/{name}.json does not say its {', '.join(missing)}")
    said = f"Measured by `{record['command']}` at commit `{record['commit'][:12]}` on {_machine(record['machine'])}.\n"
    return "\n" + "\n".join([*map(_table, tables), said]) + "\n"


def _machine(machine: dict[str, Any]) -> str:
    parts = [machine.get("accelerator"), machine.get("cpu"), machine.get("cores") and f"{machine['cores']} cores"]
    return ", ".join(str(part) for part in parts if part)


def _table(table: dict[str, Any]) -> str:
    columns, rows = table["columns"], table["rows"]
    lines = [f"**{table['title']}**", ""] if table.get("title") else []
    lines.append("| " + " | ".join(str(c) for c in columns) + " |")
    lines.append("|" + "|".join(" --- " if i == 0 else " ---: " for i in range(len(columns))) + "|")
    for row in rows:
        if len(row) != len(columns):
            raise RenderError(f"a row of {len(row)} cells stands under {len(columns)} columns: {row}")
        lines.append("| " + " | ".join(_cell(c) for c in row) + " |")
    if table.get("note"):
        lines += ["", str(table["note"])]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|").replace("\n", " ")


def fill(root: Path, text: str) -> str:
    """The text with each block's body rendered anew."""
    return BLOCK.sub(lambda block: block.group(1) + render(root, block.group("name")) + block.group(4), text)


def main(root: Path) -> int:
    """Fill the blocks of all documents."""
    for path in documents(root):
        text = path.read_text(encoding="utf-8")
        try:
            new = fill(root, text)
        except RenderError as error:
            print(f"{path.relative_to(root)}: {error}", file=sys.stderr)
            return 1
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(f"{path.relative_to(root)}: rendered")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent.parent))
