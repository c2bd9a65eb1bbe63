"""Every tutorial runs as it stands, in an empty folder: python blocks in one namespace, commands between them."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from errata.cli import app

TUTORIALS = Path(__file__).resolve().parents[2] / "docs" / "tutorials"
BLOCK = re.compile(r"^```(?P<kind>python|console)\n(?P<body>.*?)^```$", flags=re.M | re.S)


def run(page: Path) -> int:
    """Run the page's blocks in their order in the current folder; how many there were."""
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "tutorial"}
    count = 0
    for block in BLOCK.finditer(text):
        count += 1
        if block["kind"] == "console":
            for line in block["body"].splitlines():
                if line.startswith("$ "):
                    command(line[2:])
            continue
        lines = text.count("\n", 0, block.start("body"))
        exec(compile("\n" * lines + block["body"], str(page), "exec"), namespace)
    return count


def command(line: str) -> None:
    name, *arguments = shlex.split(line)
    assert name == "errata", f"a tutorial runs errata's commands only, not {name}"
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, f"$ {line}\n{done.output}\n{done.exception!r}"


@pytest.mark.parametrize("page", sorted(TUTORIALS.glob("*.md")), ids=lambda p: p.stem)
def test_the_tutorial_runs_as_it_stands(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    path = list(sys.path)
    assert run(page) >= 2
    assert sys.path == path
    assert os.getcwd() == str(tmp_path)


def test_a_tutorial_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "bad.md"
    page.write_text("# Bad\n\n```python\nassert 1 == 2\n```\n")
    with pytest.raises(AssertionError):
        run(page)
    page.write_text("# Bad\n\n```console\n$ errata audit nothing.csv --label y\n```\n")
    with pytest.raises(AssertionError, match=r"nothing\.csv"):
        run(page)
