"""Running the command line in this process, in a folder of its own: a subprocess each would cost seconds of imports."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errata.cli import app


@dataclass
class Result:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def paragraph(self) -> str:
        """The error as one line; fails where it is no clear single paragraph or the exit code does not say so."""
        said = self.err.strip()
        assert "Traceback" not in said, said
        assert self.code in (1, 2), (self.code, said)
        told = said[said.rindex("Error: ") :] if "Error: " in said else said
        assert "\n" not in told.strip(), told
        assert "did not expect" not in told, told
        return told


Run = Callable[..., Result]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture
def run(here: Path) -> Run:
    """``run("audit", "a.csv")``: the command as a user in ``here`` would give it."""

    def call(*arguments: object) -> Result:
        out, err = io.StringIO(), io.StringIO()
        code = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                app([str(a) for a in arguments], prog_name="errata")
            except SystemExit as end:
                code = int(end.code or 0)
        return Result(code, out.getvalue(), err.getvalue())

    return call


def _blobs(
    rows: int = 240, classes: int = 3, wrong: int = 20, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, given, true): clouds of points, ``wrong`` of whose labels are the next class."""
    rng = np.random.default_rng(seed)
    true = np.arange(rows) % classes
    x = rng.normal(size=(rows, 3)) + 4.0 * np.eye(3)[true % 3]
    given = true.copy()
    odd = rng.choice(rows, size=wrong, replace=False)
    given[odd] = (given[odd] + 1) % classes
    return x, given, true


def _write_csv(path: Path, x: np.ndarray, labels: np.ndarray, names: str = "abc") -> Path:
    """A table with columns f0, f1, ... and label."""
    lines = [",".join([*(f"f{j}" for j in range(x.shape[1])), "label"])]
    lines += [",".join([*(f"{v:.4f}" for v in row), names[label]]) for row, label in zip(x, labels)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def blobs() -> Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]:
    return _blobs


@pytest.fixture(scope="session")
def write_csv() -> Callable[..., Path]:
    return _write_csv


@pytest.fixture
def table(here: Path) -> Path:
    """table.csv: 240 rows of three classes, 20 of them with a wrong label."""
    x, given, _ = _blobs()
    return _write_csv(here / "table.csv", x, given)
